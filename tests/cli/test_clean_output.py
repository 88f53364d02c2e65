"""Clean inputs give clean screens: no library's warning comes through, whatever the command."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

#: What Python, JAX, numpy, astropy, matplotlib and absl write before a warning.
WARNING = re.compile(r"warning|deprecat|^[WE]\d{4} |UserWarn|Traceback", re.IGNORECASE | re.MULTILINE)


def said(folder: Path, *arguments: object) -> str:
    """Run a command as a user does, with what Python shows to users by default, and return what it says on stderr."""
    done = subprocess.run(
        [sys.executable, "-c", "from redflower.cli import main; main()", *map(str, arguments)],
        cwd=folder, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
        env={name: value for name, value in os.environ.items() if name != "PYTHONWARNINGS"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stderr


QUICK = (
    ("simulate", "sky.parquet", "--preset", "two-cloud", "--stars", 60, "--g-faint", 18, "--seed", 3),
    (
        "prepare",
        "sky.parquet",
        "stars.fits",
        "--for",
        "inference",
        "--report",
        "cuts.json",
        "--left-out",
        "out.vot",
    ),
    ("prepare", "sky.parquet", "stars.parquet", "--for", "inference", "--figures", "figures"),
    ("columns", "sky.parquet"),
    ("models", "mock-sky"),
    ("cite",),
)
LONG = (
    ("infer", "stars.parquet", "post.parquet", "--model", "mock-sky", "--density"),
    ("infer", "stars.fits", "post.vot", "--model", "mock-sky", "--overwrite"),
    ("sightline", "post.parquet", "clouds", "--max-clouds", 1, "--stars", "stars.parquet"),
    ("map", "post.parquet", "map.fits", "--nside", 4, "--max-clouds", 1),
    ("field", "post.parquet", "field.fits", "--draws", 4, "--chains", 1, "--adaptive"),
    ("validate", "stars.parquet", "check", "--model", "mock-sky", "--stars", 20, "--simulations", 40),
    ("explore", "post.parquet", "page.html", "--stars", "stars.parquet"),
    ("plot", "post.parquet", "--stars", "stars.parquet"),
    ("plot", "map.fits"),
    ("plot", "clouds"),
    ("runs", "."),
    ("run", "sky.parquet", "all", "--map"),
)


def test_quick_commands_are_clean(tmp_path) -> None:
    for arguments in QUICK[:2]:
        assert not WARNING.search(said(tmp_path, *arguments)), arguments


@pytest.mark.slow
def test_every_command_is_clean(tmp_path) -> None:
    for arguments in (*QUICK, *LONG):
        text = said(tmp_path, *arguments)
        assert not WARNING.search(text), (arguments, text)
