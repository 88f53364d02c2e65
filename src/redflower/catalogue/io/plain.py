"""Tables of numbers and text alone: what is written, and what a reader found, put in order."""

import numpy as np
from astropy.table import Column, Table

from redflower.catalogue.io.columns import apply_masks, column_like
from redflower.catalogue.io.names import plain_names
from redflower.catalogue.io.objects import plain_objects
from redflower.errors import TableError


def plain_table(table: Table) -> Table:
    """Turn quantities into columns with units; the data are shared.

    Raises
    ------
    TableError
        If a column is an object, such as a SkyCoord, that tables of numbers and text cannot hold.
    """
    plain = Table(table, copy=False)
    for name in plain.colnames:
        column = plain[name]
        if not isinstance(column, Column):
            raise TableError(
                f"column {name!r} holds a {type(column).__name__}; turn it into numbers or text first."
            )
        if column.dtype.kind == "O":
            plain.replace_column(name, plain_objects(column), copy=False)
        elif column.dtype.kind == "S":
            plain[name] = column_like(column, np.char.decode(np.asarray(column), "utf-8"))
    return plain


def tidied(table: Table, where: object) -> Table:
    """Tidy a table: plain names, native byte order, text as str, NaN under the mask of floats, no mask where nothing is
    missing.
    """
    table = Table(table, copy=False)
    plain = plain_names(table.colnames, where)
    if plain != table.colnames:
        table.rename_columns(table.colnames, plain)
    table = apply_masks(table)
    for name in table.colnames:
        column = table[name]
        values = np.asarray(column)
        if values.dtype.kind == "S":
            values = np.char.decode(values, "utf-8", "replace")
        elif values.dtype.kind == "O":
            values = np.array(["" if value is None else str(value) for value in values], dtype=str)
        elif not values.dtype.isnative:
            values = values.astype(values.dtype.newbyteorder("="))
        table.replace_column(name, column_like(column, values), copy=False)
    return table
