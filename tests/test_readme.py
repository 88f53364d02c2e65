"""The README's Python example runs as printed."""

import re
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"


def test_the_python_example_runs(capsys) -> None:
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert len(blocks) == 1
    assert len(blocks[0].splitlines()) <= 12
    exec(compile(blocks[0], "README.md", "exec"), {})
    assert "ebv_mean" in capsys.readouterr().out


def test_every_file_that_the_readme_names_exists() -> None:
    root = README.parent
    for name in re.findall(r"`((?:docs|configs)/[\w./-]+)`|\]\((docs/[\w./-]+)\)", README.read_text()):
        path = name[0] or name[1]
        assert (root / path).exists(), path
