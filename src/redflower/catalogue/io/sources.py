"""Whatever holds a table, as a plain astropy table: paths, data frames, Arrow tables, FITS records, dictionaries."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
import pyarrow as pa
from astropy.io import fits
from astropy.table import Column, Table

from redflower.catalogue.io.arrow import column_from_arrow
from redflower.catalogue.io.formats import read_fits_table
from redflower.catalogue.io.parquet import table_from_arrow
from redflower.catalogue.io.plain import plain_table, tidied
from redflower.catalogue.io.tables import read_table
from redflower.errors import InputError, TableError

_LOG: Final = logging.getLogger(__name__)

#: What `as_table` turns into a table.
TableSource: TypeAlias = Any

_IN_MEMORY: Final = "a table in memory"


def as_table(source: TableSource, what: str = _IN_MEMORY) -> Table:
    """Make a plain table of a file, an astropy table, a data frame, an Arrow table, a FITS table, an array or a dictionary.

    Parameters
    ----------
    source : as said.
    what : how messages call it.

    Returns
    -------
    The table as `redflower.catalogue.read_table` would give it; data may be shared with the source.

    Raises
    ------
    InputError
        If it is none of these, or breaks a condition of `redflower.catalogue.read_table`.
    """
    if isinstance(source, (str, Path)):
        return read_table(source)
    try:
        table = _table_of(source, what)
    except TableError:
        raise
    except Exception as problem:
        raise TableError(f"{what} cannot be read as a table: {str(problem).splitlines()[0]}.") from problem
    if table is None:
        raise InputError(
            f"{what} must be the path of a table file, an astropy table, a pandas data frame, an Arrow table, a FITS table "
            f"(HDU or record array), a structured array or a dictionary of columns; got {type(source).__name__}."
        )
    return tidied(plain_table(_without_objects(table, what)), what)


def _without_objects(table: Table, what: str) -> Table:
    """Drop columns such as SkyCoord or Time, which are neither numbers nor text; a warning names them."""
    plain = Table(table, copy=False)
    others = [name for name in plain.colnames if not isinstance(plain[name], Column)]
    for name in others:
        _LOG.warning("%s: column %r, a %s, is left out.", what, name, type(plain[name]).__name__)
    plain.remove_columns(others)
    return plain


def _table_of(source: TableSource, what: str) -> Table | None:
    if isinstance(source, Table):
        return source
    if isinstance(source, fits.HDUList):
        source = next((hdu for hdu in source if isinstance(hdu, (fits.BinTableHDU, fits.TableHDU))), None)
        if source is None:
            raise TableError(f"{what}: the FITS file holds no table, only images or headers.")
    if isinstance(source, fits.FITS_rec):
        source = fits.BinTableHDU(source)  # which knows the marks of missing integers
    if isinstance(source, (fits.BinTableHDU, fits.TableHDU)):
        return read_fits_table(source, what)
    if type(source).__module__.partition(".")[0] == "pandas" and hasattr(source, "columns"):
        return _from_pandas(source, what)
    if isinstance(source, pa.RecordBatch):
        source = pa.Table.from_batches([source])
    if not isinstance(source, pa.Table) and hasattr(source, "__arrow_c_stream__"):
        source = pa.table(source)
    if isinstance(source, pa.Table):
        return table_from_arrow(source, what)
    if hasattr(source, "to_table"):  # results of pyvo and of astropy.io.votable
        return Table(source.to_table())
    if isinstance(source, np.ndarray) and source.dtype.names is not None:
        return Table(source)
    if isinstance(source, Mapping):
        return Table(dict(source))
    return None


def _from_pandas(frame: Any, what: str) -> Table:
    """Convert a data frame to a table; a named index becomes a column like the others."""
    named = [name for name in frame.index.names if name is not None and name not in frame.columns]
    if named:
        frame = frame.reset_index(level=named)
    names = [str(name) for name in frame.columns]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise TableError(
            f"{what} has {names.count(twice)} columns of the name {twice!r}; which is meant cannot be told. Rename or "
            "remove the others."
        )
    table = Table()
    for k, name in enumerate(names):
        table.add_column(_column_of_series(frame.iloc[:, k], name), copy=False)
    return table


def _column_of_series(series: Any, name: str) -> Column:
    if isinstance(series.dtype, np.dtype) and series.dtype.kind in "fiub":
        return Column(series.to_numpy(), name=name)
    if getattr(series.dtype, "kind", "") in "mM":  # moments and spans, as text
        return Column(series.astype(str).to_numpy(dtype=object), name=name)
    try:
        array = pa.Array.from_pandas(series)
        chunks = array if isinstance(array, pa.ChunkedArray) else pa.chunked_array([array])
        column = column_from_arrow(name, chunks)
    except pa.ArrowException:  # objects of several kinds
        column = None
    if column is not None:
        return column
    return Column(np.array([_value(v) for v in series] + [None], dtype=object)[:-1], name=name)


def _value(value: Any) -> Any:
    """Return a value of a column of objects, with pandas' own words for "no value" as None."""
    return None if type(value).__name__ in ("NAType", "NaTType") else value
