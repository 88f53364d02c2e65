"""Polarisation of stars from a table of its own, in the order of other stars."""

from pathlib import Path
from typing import Final

import numpy as np

from redflower.catalogue.io.sources import TableSource, as_table
from redflower.errors import InputError
from redflower.sightline.polarisation import StarPolarisation

#: Columns of the table: Stokes parameters over intensity, and their standard deviations.
COLUMNS: Final = ("q", "u", "q_error", "u_error")
#: Fewer stars than this say nothing of polarisation.
MIN_POLARISED: Final = 5


def polarisation_of(source: TableSource, source_id: np.ndarray) -> StarPolarisation:
    """Return the polarisation of stars, those without any as not measured.

    Parameters
    ----------
    source : a table with the columns ``source_id``, ``q``, ``u``, ``q_error`` and ``u_error``, or its path.
    source_id : of the stars, in the order that is wanted.

    Raises
    ------
    InputError
        If a column is missing, a star occurs twice, or too few of the stars have a polarisation.
    """
    what = str(source) if isinstance(source, (str, Path)) else "the table of polarisation"
    table = as_table(source, what)
    if lacking := [name for name in ("source_id", *COLUMNS) if name not in table.colnames]:
        raise InputError(
            f"{what}: polarisation needs the columns source_id, {', '.join(COLUMNS)}; {', '.join(lacking)} are missing."
        )
    known, first, count = np.unique(np.asarray(table["source_id"]), return_index=True, return_counts=True)
    if (count > 1).any():
        raise InputError(
            f"{what}: {int((count > 1).sum())} stars occur more than once, {known[count > 1][0]} first. Keep one row of each."
        )
    at = np.minimum(np.searchsorted(known, source_id), max(len(known) - 1, 0))
    there = known[at] == source_id if len(known) else np.zeros(len(source_id), bool)
    values = {}
    for name in COLUMNS:
        column: np.ndarray = np.ma.filled(np.ma.asarray(table[name], dtype=float), np.nan)
        values[name] = (
            np.where(there, column[first][at], np.nan) if len(known) else np.full(len(there), np.nan)
        )
    found = StarPolarisation(**values)
    if found.measured.sum() < MIN_POLARISED:
        raise InputError(
            f"{what}: {int(found.measured.sum())} of the {len(source_id)} stars have a polarisation here; "
            f"{MIN_POLARISED} are needed. Is source_id that of the same release?"
        )
    return found
