"""The readers and writers of FITS and VOTable, one pair each; Parquet and text tables have modules of their own.

A reader may raise anything on a damaged file: `redflower.catalogue.io.tables` turns it into one clear message.
"""

import json
import logging
import warnings
from pathlib import Path
from typing import Any, Final

import astropy.units as u
import numpy as np
from astropy.io import fits, votable
from astropy.table import Column, MaskedColumn, Table
from astropy.utils.exceptions import AstropyUserWarning

from redflower.catalogue.io.display import add_ucds
from redflower.catalogue.io.fits_files import open_fits
from redflower.catalogue.io.names import plain_names
from redflower.errors import RowLimitError, TableError
from redflower.provenance import META_KEY

_LOG: Final = logging.getLogger(__name__)


_FITS_KEYWORD: Final = "REDFLOWR"


def read_fits(path: Path) -> Table:
    with warnings.catch_warnings():
        # astropy only warns of a file that is shorter than its header says.
        warnings.filterwarnings("error", message=".*truncated.*", category=AstropyUserWarning)
        warnings.filterwarnings("ignore", category=u.UnitsWarning)
        with open_fits(path) as file:
            tables = [hdu for hdu in file if isinstance(hdu, (fits.BinTableHDU, fits.TableHDU))]
            if not tables:
                raise TableError(
                    f"{path} holds no table, only images or headers. If it should hold one, it was cut short in its "
                    "header: fetch or write it again."
                )
            if len(tables) > 1:
                _LOG.warning("%s holds %d tables; the first is read.", path, len(tables))
            table = read_fits_table(tables[0], path)
    return table


def read_fits_table(hdu: fits.BinTableHDU | fits.TableHDU, where: object) -> Table:
    """Read the table of one extension of a FITS file."""
    header = hdu.header
    # As the header spells them: astropy renames or drops one of two columns of a name.
    plain_names([str(header.get(f"TTYPE{i}", f"col{i}")) for i in range(1, header["TFIELDS"] + 1)], where)
    table = Table.read(hdu, format="fits", character_as_bytes=False)
    table.meta.pop(_FITS_KEYWORD, None)
    text = header.get(_FITS_KEYWORD)
    for i, name in enumerate(table.colnames, start=1):
        table[name].description = table[name].description or header.get(f"TCOMM{i}")
    if text:
        table.meta[META_KEY] = json.loads(text)
    return table


def write_fits(table: Table, path: Path) -> None:
    bare = _bare(table)
    for name in bare.colnames:
        column = bare[name]
        if isinstance(column, MaskedColumn) and column.mask.any():
            if column.dtype.kind == "b":
                raise TableError(
                    f"column {name!r}: FITS cannot hold missing true/false values; use .parquet."
                )
            if column.dtype.kind in "iu":
                info = np.iinfo(column.dtype)
                # The default marker, 999999, is a value that may occur.
                column.fill_value = info.min if column.dtype.kind == "i" else info.max
            bare[name] = column
        bare[name].unit = None
        bare[name].description = None
    hdu = fits.table_to_hdu(bare)
    for i, name in enumerate(table.colnames, start=1):
        if table[name].unit is not None:
            hdu.header[f"TUNIT{i}"] = _unit_text(table[name].unit)
        if table[name].description:
            hdu.header[f"TCOMM{i}"] = table[name].description.encode("ascii", "replace").decode()
    if META_KEY in table.meta:
        hdu.header[_FITS_KEYWORD] = provenance_json(table)
    hdu.writeto(path, output_verify="exception")


def _unit_text(unit: object) -> str:
    """Spell a unit as FITS does where it can, else as astropy does (electron / s has no FITS spelling)."""
    try:
        return u.Unit(unit).to_string("fits")
    except ValueError:
        return str(unit)


def read_votable(path: Path) -> Table:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        file = votable.parse(path)
        status = _query_status(file)
        if status.upper() == "OVERFLOW":
            raise RowLimitError(
                f"{path} holds only the first part of a query's result (QUERY_STATUS OVERFLOW): the server's "
                "limit on rows was reached. Repeat the query asynchronously or in smaller regions."
            )
        if status.upper() == "ERROR":
            raise TableError(f"{path} holds a server's error message (QUERY_STATUS ERROR), not a table.")
        first = next(iter(file.iter_tables()), None)
        if first is None:
            raise TableError(f"{path} holds no table.")
        plain_names([field.name for field in first.fields], path)
        table = first.to_table(use_names_over_ids=True)
    table.meta.clear()
    for name in table.colnames:
        # Units outside the VOTable standard come as strangers of the same name (electron / s); name them again.
        table[name].unit = None if table[name].unit is None else str(table[name].unit)
    for resource in file.resources:
        for info in resource.infos:
            if info.name == META_KEY:
                table.meta[META_KEY] = json.loads(info.value)
    return table


def _query_status(file: Any) -> str:
    """Return the last QUERY_STATUS of a VOTable; servers append OVERFLOW after the table."""
    status = "OK"
    for resource in file.resources:
        for info in [*resource.infos, *(i for t in resource.tables for i in t.infos)]:
            if info.name == "QUERY_STATUS":
                status = info.value
    return status


def write_votable(table: Table, path: Path) -> None:
    bare = _bare(table)
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # units outside the VOTable standard are written as astropy spells them
        file = votable.from_table(bare)
        add_ucds(file.get_first_table())
        for field in file.get_first_table().fields:
            shape = bare[field.name].shape[1:]
            if len(shape) > 1:
                # astropy writes the shape of an array in Python's order; the standard wants the reverse.
                field.arraysize = "x".join(str(size) for size in reversed(shape))
        if META_KEY in table.meta:
            resource = file.resources[0]
            resource.infos.append(votable.tree.Info(name=META_KEY, value=provenance_json(table)))
        file.to_xml(str(path), tabledata_format="binary2")


def _bare(table: Table) -> Table:
    """Return a shallow copy without meta, and with empty text where text is missing: FITS and VOTable mask none."""
    bare = table.copy(copy_data=False)
    bare.meta.clear()
    for name in bare.colnames:
        column = bare[name]
        if column.dtype.kind == "U" and isinstance(column, MaskedColumn):
            bare[name] = Column(column.filled(""), name=name, description=column.description)
    return bare


def provenance_json(table: Table) -> str:
    """Return the provenance of a table as JSON.

    Raises
    ------
    TableError
        If it holds what JSON has no word for.
    """
    try:
        return json.dumps(table.meta[META_KEY], allow_nan=False)
    except (TypeError, ValueError) as problem:
        raise TableError(f"the table's provenance cannot be written as JSON: {problem}.") from None
