"""A product opened by every program that astronomers open tables with."""

import json
import shutil
import subprocess
import warnings
from pathlib import Path

import numpy as np
import pandas
import pyarrow.parquet as pq
from astropy.table import Table
from PIL import Image

STILTS = shutil.which("stilts")


def check_opens(path: Path) -> int:
    """Open a file as its readers would, astropy, pandas, pyarrow and STILTS among them; the number of its rows.

    Numbers must be those that redflower reads; STILTS counts rows.
    """
    from redflower import read_table

    ours = read_table(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = Table.read(path, format="votable" if path.suffix == ".vot" else None)
    assert theirs.colnames == ours.colnames
    for name in ours.colnames:
        _check_same(ours[name], theirs[name], name)
    if path.suffix == ".parquet":
        frame = pandas.read_parquet(path)
        arrow = pq.read_table(path)
        assert list(frame.columns) == arrow.column_names == ours.colnames
        for name in ours.colnames:
            if ours[name].ndim == 1:
                _check_same(ours[name], frame[name].to_numpy(), name)
            else:
                stacked = np.stack(frame[name].to_numpy()) if len(frame) else np.zeros(0)
                assert np.array_equal(stacked.reshape(-1), np.asarray(ours[name]).reshape(-1)), name
    if STILTS is not None and path.suffix in (".fits", ".ecsv", ".vot"):
        done = subprocess.run(
            ["stilts", "tcopy", f"in={path}", "ofmt=csv", "out=-"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert len(done.stdout.splitlines()) == len(ours) + 1
    return len(ours)


def check_folder_opens(folder: Path) -> int:
    """Open everything in a folder of results; the number of files."""
    n_files = 0
    for path in sorted(folder.iterdir()):
        if path.suffix in (".parquet", ".fits", ".ecsv", ".vot", ".csv"):
            check_opens(path)
        elif path.suffix == ".json":
            json.loads(path.read_text("utf-8"))
        elif path.suffix == ".png":
            with Image.open(path) as image:
                image.verify()
        elif path.suffix == ".pdf":
            assert path.read_bytes().startswith(b"%PDF")
        elif path.suffix in (".svg", ".html"):
            assert "</" in path.read_text("utf-8")
        else:
            raise AssertionError(f"a product of a kind that nothing here opens: {path.name}")
        n_files += 1
    return n_files


def _check_same(ours: object, theirs: object, name: str) -> None:
    one, other = (np.ma.filled(np.ma.asarray(c), _filler(c)) for c in (ours, theirs))
    if one.dtype.kind == "f":
        one, other = (np.asarray(c, dtype=float).reshape(-1) for c in (one, other))
        assert np.array_equal(one, other, equal_nan=True), name
    elif one.dtype.kind == "U":
        words = [
            v.decode() if isinstance(v, bytes) else ("" if v is None else str(v)) for v in other.reshape(-1)
        ]
        assert list(one.reshape(-1)) == words, name
    else:
        assert np.array_equal(one.reshape(-1), other.reshape(-1)), name


def _filler(column: object) -> object:
    kind = np.asarray(column).dtype.kind
    return (
        np.nan
        if kind == "f"
        else ""
        if kind in "US"
        else False
        if kind == "b"
        else None
        if kind == "O"
        else 0
    )
