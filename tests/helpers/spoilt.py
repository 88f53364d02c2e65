"""Tables as people really have them: each way of spoiling a good one, and the programs that write them.

Nothing here uses redflower's own writers: pandas, pyarrow and astropy write what their users have.
"""

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas
import pyarrow as pa
import pyarrow.parquet as pq
from astropy.io import fits
from astropy.table import Column, MaskedColumn, Table

FORMATS = (".parquet", ".fits", ".ecsv", ".vot", ".csv")
PACKED = tuple(f"{ending}.gz" for ending in FORMATS if ending != ".parquet")


def write_as_others_do(table: Table, path: Path) -> Path:
    """Write a table by its file's ending with pandas (Parquet, CSV) or astropy (FITS, ECSV, VOTable); packed if asked."""
    packed = path.suffix == ".gz"
    target = path.with_suffix("") if packed else path
    plain = Table(table, copy=True)
    plain.meta.clear()
    if target.suffix == ".parquet":
        moment_frame(plain).to_parquet(target)
    elif target.suffix == ".csv":
        moment_frame(plain).to_csv(target, index=False)
    else:
        kind = {".fits": "fits", ".ecsv": "ascii.ecsv", ".vot": "votable"}[target.suffix]
        plain.write(target, format=kind, overwrite=True)
    if packed:
        path.write_bytes(gzip.compress(target.read_bytes()))
        target.unlink()
    return path


def moment_frame(table: Table) -> pandas.DataFrame:
    """A data frame of the table, whole numbers whole also where some are masked; arrays as lists."""
    columns = {}
    for name in table.colnames:
        column = table[name]
        if column.ndim > 1:
            columns[name] = pandas.Series(list(np.asarray(column).reshape(len(column), -1)))
        elif isinstance(column, MaskedColumn) and column.dtype.kind in "iu" and column.mask.any():
            columns[name] = pandas.Series(pandas.array(np.ma.filled(column, 0), dtype="Int64")).mask(
                column.mask
            )
        elif isinstance(column, MaskedColumn) and column.dtype.kind == "U":
            columns[name] = pandas.Series(
                [None if v is np.ma.masked else str(v) for v in column], dtype=object
            )
        else:
            columns[name] = pandas.Series(
                np.ma.filled(column, np.nan) if column.dtype.kind == "f" else np.asarray(column)
            )
    return pandas.DataFrame(columns)


def replaced(table: Table, name: str, values: object) -> Table:
    """The table with other values in a column, at its place; units go with it."""
    spoilt = Table(table, copy=True)
    column = values if isinstance(values, Column) else Column(values)
    column.name = name
    spoilt.replace_column(name, column)
    return spoilt


def renamed(table: Table, name: str, other: str) -> Table:
    spoilt = Table(table, copy=True)
    spoilt.rename_column(name, other)
    return spoilt


def without_units(table: Table) -> Table:
    spoilt = Table(table, copy=True)
    for column in spoilt.columns.values():
        column.unit = None
    return spoilt


def write_twice(table: Table, name: str, path: Path) -> Path:
    """Write a table in which a column stands twice, as each format lets one do."""
    frame = moment_frame(table)
    if path.suffix == ".csv":
        frame.insert(0, "again", frame[name])
        path.write_text(frame.to_csv(index=False).replace("again", name, 1))
    elif path.suffix == ".parquet":
        arrow = pa.Table.from_pandas(frame, preserve_index=False)
        pq.write_table(arrow.append_column(name, arrow.column(name)), path)
    else:
        # A name of the same length, changed in the file: no library would write it.
        again = "Z" * len(name)
        doubled = Table(table, copy=True)
        doubled.meta.clear()
        doubled[again] = doubled[name]
        write_as_others_do(doubled, path)
        path.write_bytes(path.read_bytes().replace(again.encode(), name.encode()))
    return path


#: Ways to spoil an identifier column so that digits may be lost, or it is none; all must be refused.
BAD_IDENTIFIERS: dict[str, Callable[[np.ndarray], object]] = {
    "float64": lambda ids: ids.astype(np.float64),
    "float32": lambda ids: ids.astype(np.float32),
    "float32 of 25 bits": lambda ids: (2**24 + 2 * np.arange(len(ids)) + 2).astype(np.float32),
    "halves": lambda ids: np.arange(len(ids)) + 0.5,
    "decimals as text": lambda ids: np.array([f"{i}.5" for i in range(len(ids))]),
    "scientific text": lambda ids: np.array([f"{float(i):.6e}" for i in ids]),
    "designations": lambda ids: np.array([f"Gaia DR3 {i}" for i in ids]),
    "names": lambda ids: np.array([f"star {i}" for i in range(len(ids))]),
    "beyond 64 bits as text": lambda ids: np.array([f"{i}{i}" for i in ids]),
    "missing": lambda ids: MaskedColumn(ids, mask=np.arange(len(ids)) == 2),
    "missing float": lambda ids: np.where(np.arange(len(ids)) == 2, np.nan, np.arange(len(ids)) + 1.0),
    "a word": lambda ids: np.where(np.arange(len(ids)) == 2, "NA", ids.astype(str)),
    "an empty text": lambda ids: np.where(np.arange(len(ids)) == 2, "", ids.astype(str)),
}

#: Ways that keep every digit; all must be read whole.
GOOD_IDENTIFIERS: dict[str, Callable[[np.ndarray], object]] = {
    "int64": lambda ids: ids,
    "uint64": lambda ids: ids.astype(np.uint64),
    "text": lambda ids: ids.astype(str),
    "text with blanks": lambda ids: np.char.add(np.char.add(" ", ids.astype(str)), "  "),
}


def write_fits_with_marks(table: Table, path: Path) -> Path:
    """A FITS table whose missing whole numbers have a mark of their own (TNULL)."""
    fits.table_to_hdu(table).writeto(path)
    return path
