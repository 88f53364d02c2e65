"""Columns of tables: their values as plain arrays, and columns made like another."""

from typing import Any

import numpy as np
from astropy.table import Column, MaskedColumn, Table
from jaxtyping import Float

from redflower.catalogue.io.names import mask_names
from redflower.catalogue.io.units import parse_unit
from redflower.catalogue.io.words import parse_numbers


def as_floats(stars: Table, name: str) -> Float[np.ndarray, " star"]:
    """Return a column as float64, with NaN where it is missing or absent."""
    if name not in stars.colnames:
        return np.full(len(stars), np.nan)
    column = stars[name]
    if column.dtype.kind == "U":
        return parse_numbers(np.asarray(column), np.ma.getmaskarray(column), name, name)
    if isinstance(column, MaskedColumn):
        return np.ma.filled(column.astype(float), np.nan)
    return np.asarray(column, dtype=float)


def column_like(column: Column, values: np.ndarray) -> Column:
    """Make a column with new values and the old mask, unit and description."""
    kept = {"name": column.name, "unit": _known_unit(column.unit), "description": column.description}
    mask = np.ma.getmaskarray(column) if isinstance(column, MaskedColumn) else None
    if mask is None or not mask.any():
        return Column(values, **kept)
    if values.dtype.kind == "f":
        values = np.where(mask, np.nan, values).astype(values.dtype)
    return MaskedColumn(values, mask=mask, **kept)


def apply_masks(table: Table) -> Table:
    """Turn every column ``NAME.mask`` into the mask of the column ``NAME``: astropy writes masks so."""
    for name, mask_name in mask_names(table.colnames).items():
        column, mask = table[name], table[mask_name]
        said = np.asarray(mask)
        is_text = said.dtype.kind in "US"
        missing = np.char.lower(said.astype(str)) == "true" if is_text else said.astype(bool)
        missing = missing | np.ma.getmaskarray(mask) | np.ma.getmaskarray(column)
        values = np.array(np.ma.getdata(column))
        table.replace_column(name, column_like(MaskedColumn(column, mask=missing), values), copy=False)
        table.remove_column(mask_name)
    return table


def _known_unit(unit: Any) -> Any:
    """Return the unit as astropy parses it; where it cannot, as the file spells it."""
    try:
        return parse_unit(unit)
    except ValueError:
        return unit
