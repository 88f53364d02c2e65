"""Reading and writing tables by the ending of the file's name, whole or not at all.

==========  =====  ============  ==============  ==========
ending      units  descriptions  missing values  provenance
==========  =====  ============  ==============  ==========
.parquet    yes    yes           yes             yes
.fits       yes    yes           yes             yes
.ecsv       yes    yes           yes             yes
.vot        yes    yes           yes             yes
.csv        no     no            as empty cells  no
==========  =====  ============  ==============  ==========

Provenance is the JSON-able dictionary ``table.meta["redflower"]``. FITS and VOTable cannot tell a missing
float from NaN (both come back as missing), nor a missing text from an empty one (both come back as empty).
"""

import json
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from astropy.table import Table, vstack

from redflower.catalogue.io.content import check_content
from redflower.catalogue.io.display import with_formats, without_formats
from redflower.catalogue.io.formats import provenance_json, read_fits, read_votable, write_fits, write_votable
from redflower.catalogue.io.parquet import (
    iter_parquet,
    join_parquet,
    parquet_column_names,
    parquet_row_count,
    read_parquet,
    write_parquet,
)
from redflower.catalogue.io.plain import plain_table, tidied
from redflower.catalogue.io.text import read_csv, read_ecsv, write_csv, write_ecsv
from redflower.entries import why_of
from redflower.errors import InputError, TableError
from redflower.files import check_new_file, is_there, written_whole
from redflower.provenance import META_KEY

__all__ = [
    "ENDINGS",
    "check_writable",
    "column_names",
    "count_rows",
    "join_tables",
    "read_table",
    "read_table_parts",
    "write_table",
]

_LOG: Final = logging.getLogger(__name__)

#: Endings that are read and written. All but Parquet are also read with ``.gz`` behind.
ENDINGS: Final = (".parquet", ".fits", ".ecsv", ".vot", ".csv")


def read_table(path: "str | Path", columns: Sequence[str] | None = None) -> Table:
    """Read a table, its format known by the ending of the file's name.

    Parameters
    ----------
    path : a file that ends in one of `ENDINGS`.
    columns : names of the columns to keep. Defaults to all. Only Parquet saves reading the others.

    Returns
    -------
    A plain table, numbers in native byte order, text as str, units parsed where astropy knows them. Missing
    values are masked; under the mask, floats are NaN.

    Raises
    ------
    TableError
        If the file is absent, of another kind, damaged, cut short, or holds no table.

    Examples
    --------
    >>> import redflower
    >>> table = redflower.read_table("raw.parquet", columns=["source_id", "parallax"])
    >>> table.colnames
    ['source_id', 'parallax']
    """
    path = Path(path)
    ending = _ending(path, reading=True)
    _check_is_file(path)
    check_content(path, ending)
    reader: Callable[[Path], Table] = {
        ".parquet": lambda file: read_parquet(file, columns),
        ".fits": read_fits,
        ".ecsv": read_ecsv,
        ".vot": read_votable,
        ".csv": read_csv,
    }[ending]
    try:
        table = reader(path)
    except TableError:
        raise
    except UnicodeDecodeError as problem:
        raise TableError(
            f"{path} cannot be read: byte {problem.object[problem.start]:#04x} is no text in UTF-8. Save it again in UTF-8, "
            "or with the ending of what it is."
        ) from problem
    except Exception as problem:  # whatever a reader of a damaged file raises, the user needs one sentence
        raise TableError(
            f"{path} cannot be read as {ending}: {why_of(problem)}. The file is damaged, was cut "
            "short, or is of another kind than its ending says; fetch or write it again."
        ) from problem
    table = tidied(table, path)
    _LOG.info("read %s: %d rows", path, len(table))
    if columns is not None and table.colnames != list(columns):
        absent = [name for name in columns if name not in table.colnames]
        if absent:
            raise TableError(f"{path} has no column {absent[0]!r}.")
        table = table[list(columns)]
    return with_formats(table) if META_KEY in table.meta else table


def read_table_parts(path: "str | Path", n_rows: int) -> Iterator[Table]:
    """Read a table in parts of at most ``n_rows`` rows. Parquet is read part by part, other formats whole at once.

    Raises
    ------
    TableError
        As `read_table`.
    """
    path = Path(path)
    if _ending(path, reading=True) == ".parquet":
        _check_is_file(path)
        check_content(path, ".parquet")
        for part in iter_parquet(path, n_rows=n_rows):
            yield tidied(part, path)
        return
    table = read_table(path)
    for start in range(0, max(len(table), 1), n_rows):
        yield table[start : start + n_rows]


def count_rows(path: "str | Path") -> int | None:
    """Read the row count of a Parquet file from its footer; None for other formats, which would have to be read whole."""
    path = Path(path)
    if _ending(path, reading=True) != ".parquet":
        return None
    _check_is_file(path)
    check_content(path, ".parquet")
    return parquet_row_count(path)


def join_tables(
    parts: Sequence[Path],
    path: "str | Path",
    provenance: dict[str, Any] | None = None,
    *,
    overwrite: bool = False,
) -> Path:
    """Join Parquet parts with the same columns to one table; Parquet to Parquet without holding it whole.

    Parameters
    ----------
    parts, path : the parts, and the table to write.
    provenance : of the table. Defaults to that of the first part.
    overwrite : whether to replace a table that is there.

    Raises
    ------
    TableError
        As `write_table`.
    """
    path = Path(path)
    if _ending(path, reading=False) != ".parquet":
        table = vstack([read_table(part) for part in parts], metadata_conflicts="silent")
        if provenance is not None:
            table.meta[META_KEY] = provenance
        return write_table(table, path, overwrite=overwrite)
    check_writable(path, overwrite=overwrite)
    with written_whole(path) as part:
        join_parquet(parts, part, provenance)
    return path


def column_names(path: "str | Path") -> list[str] | None:
    """Read a file's column names if that needs no reading of the whole file (Parquet), else return None."""
    path = Path(path)
    if _ending(path, reading=True) != ".parquet":
        return None
    _check_is_file(path)
    check_content(path, ".parquet")
    return parquet_column_names(path)


def write_table(table: Table, path: "str | Path", *, overwrite: bool = False) -> Path:
    """Write a table, its format known by the ending of the file's name, whole or not at all.

    Parameters
    ----------
    table : with JSON-able provenance in ``meta["redflower"]``, if any.
    path : a file that ends in one of `ENDINGS`.
    overwrite : whether to replace a file that is there. Defaults to refusing it.

    Returns
    -------
    The path written.

    Raises
    ------
    TableError
        If the ending is unknown, the folder absent, the file there already (without ``overwrite``), or the
        table holds something that the format cannot.

    Examples
    --------
    >>> import redflower
    >>> table = redflower.read_table("raw.parquet")
    >>> redflower.write_table(table[:10], "first-ten.ecsv").name
    'first-ten.ecsv'
    """
    path = Path(path)
    ending = _ending(path, reading=False)
    check_writable(path, overwrite=overwrite)
    plain = plain_table(table)
    without_formats(plain)
    if META_KEY in table.meta:
        # YAML would write a tuple as a Python object, at which every other program's reader of ECSV stops.
        plain.meta = {**table.meta, META_KEY: json.loads(provenance_json(table))}
    writer: Callable[[Table, Path], None] = {
        ".parquet": write_parquet,
        ".fits": write_fits,
        ".ecsv": write_ecsv,
        ".vot": write_votable,
        ".csv": write_csv,
    }[ending]
    try:
        with written_whole(path) as part:
            writer(plain, part)
    except TableError:
        raise
    except Exception as problem:
        raise TableError(f"{path} cannot be written: {why_of(problem)}.") from problem
    if ending == ".csv":
        _LOG.warning(
            "%s: CSV keeps no units, descriptions or provenance; .parquet, .fits, .ecsv and .vot keep them.",
            path,
        )
    return path


def check_writable(path: "str | Path", *, overwrite: bool = False) -> None:
    """Refuse an output path that cannot be written, before any work is done.

    Raises
    ------
    TableError
        If the ending is unknown, the folder absent, or the file there already (without ``overwrite``).
    """
    path = Path(path)
    _ending(path, reading=False)
    check_new_file(path, overwrite=overwrite, error=TableError)


def _ending(path: Path, *, reading: bool) -> str:
    name = path.name.lower()
    if reading and name.endswith(".gz") and not name.endswith(".parquet.gz"):
        name = name.removesuffix(".gz")
    ending = Path(name).suffix
    if ending not in ENDINGS:
        raise TableError(
            f"{path}: the ending {ending or '(none)'!r} is not known; "
            f"tables end in one of {', '.join(ENDINGS)}."
        )
    return ending


def _check_is_file(path: Path) -> None:
    if not is_there(path):
        raise TableError(f"{path} does not exist.")
    if path.is_dir():
        raise TableError(f"{path} is a folder; name one table file.")
    if not path.is_file():
        raise TableError(f"{path} is no file that can be read as a table, or a link that leads nowhere.")
    if path.stat().st_size == 0:
        raise TableError(f"{path} is empty (0 bytes).")
    if not os.access(path, os.R_OK):
        raise InputError(f"{path} cannot be read: permission denied.")
