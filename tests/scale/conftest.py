"""What the tests of faults share."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def small_disk(tmp_path: Path):
    """A file system of 1 MB, where this process may mount one."""
    folder = tmp_path / "small"
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True, text=True
    )
    if done.returncode != 0:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


#: What Python runs as it starts, in every process of a run: a rename that is said to be done, and is not.
LOSING = """
import os

replace = os.replace


def losing(a, b, **more):
    if os.path.basename(str(b)) != {lost!r}:
        replace(a, b, **more)
    elif os.path.isfile(a):
        os.unlink(a)


os.replace = losing
"""


@pytest.fixture
def losing(tmp_path: Path) -> Callable[[str], dict[str, str]]:
    """What makes the environment of processes whose file system loses each rename to a name."""

    def environment(lost: str) -> dict[str, str]:
        folder = tmp_path / "losing"
        folder.mkdir()
        (folder / "sitecustomize.py").write_text(LOSING.format(lost=lost))
        path = [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
        return {**os.environ, "PYTHONPATH": os.pathsep.join(path)}

    return environment
