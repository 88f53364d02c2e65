"""Tables of posteriors as other programs return them, cleaned for a fit of the dust."""

from typing import Final

import numpy as np
from astropy.table import Column, Table

from redflower.catalogue.io.columns import as_floats
from redflower.catalogue.io.sources import TableSource, as_table
from redflower.catalogue.prepared import is_prepared
from redflower.catalogue.reading.cleaning import clean_identifiers, clean_numbers
from redflower.catalogue.reading.lookalikes import refuse_case_twins, refuse_lookalikes
from redflower.catalogue.reading.schema import INPUT_COLUMNS, InputColumn
from redflower.catalogue.reading.sky_pixel import check_positions_in_pixels
from redflower.errors import InputError, TableError
from redflower.posterior import Status
from redflower.posterior.columns import (
    DENSITY_COLUMNS,
    EBV_PRIOR_COLUMNS,
    EMPTY,
    OUTPUT_COLUMNS,
    PRIOR_COLUMNS,
)
from redflower.posterior.density import N_EBV_NODES, N_MODULUS_NODES
from redflower.provenance import META_KEY

_REMEDY: Final = "Rename it to {name!r}; if it is another thing, give it another name, or remove it."
_NEEDED: Final = ("source_id", "status", "flags")
_WORDS: Final = ("status", "engine", "bands", "model")
_KNOWN: Final = frozenset(
    {"source_id", "l", "b", *OUTPUT_COLUMNS, *DENSITY_COLUMNS, *PRIOR_COLUMNS, *EBV_PRIOR_COLUMNS}
)
_INFER: Final = "Infer the stars again with densities (`redflower infer --density`; in Python InferenceSettings(density=True))"


def open_posteriors(source: TableSource, what: str) -> Table:
    """Open posteriors with densities from any source, with whole identifiers, units as written, and NaN for missing values.

    Parameters
    ----------
    source : whatever `redflower.catalogue.io.sources.as_table` reads: what `redflower.infer` returned or wrote.
    what : how messages call it, for instance "sightline's input".

    Raises
    ------
    InputError
        If the table has no rows, holds no posteriors, lacks identifiers or another column that a fit needs, or does not tell
        the reddening prior that its densities hold.
    """
    table = as_table(source, what)
    names = table.colnames
    refuse_case_twins([name for name in names if name.lower() in _KNOWN], (), what, _REMEDY)
    spelled = {name: name.lower() for name in names if name.lower() in _KNOWN and name != name.lower()}
    if spelled:
        table = table.copy(copy_data=False)
        table.rename_columns(list(spelled), list(spelled.values()))
    if "ebv_mean" not in table.colnames and "density" not in table.colnames:
        kind = "a prepared table" if is_prepared(table) else "no table of posteriors"
        rows = "" if len(table) else ", and it has no rows"
        raise InputError(f"{what} is {kind}{rows}. {_INFER}, and give that table.")
    absent = {name: (name,) for name in sorted(_KNOWN - set(table.colnames))}
    unused = [name for name in table.colnames if name not in _KNOWN]
    refuse_lookalikes(absent, unused, {*_KNOWN, *INPUT_COLUMNS}, what, _REMEDY)
    if len(table) == 0:
        raise InputError(f"{what} has no rows; there is no star to fit.")
    lacking = [name for name in _NEEDED if name not in table.colnames]
    lacking += [name for name, other in (("l", "b"), ("b", "l")) if other in names and name not in names]
    if lacking:
        raise TableError(
            f"{what} lacks {', '.join(repr(name) for name in lacking)}, which a table of posteriors has. Go back to "
            "the table that `redflower infer` wrote, and keep its columns."
        )
    table = _cleaned(table, what)
    ebv_prior_mag(table, what)
    return table


def ebv_prior_mag(posteriors: Table, what: str = "the table") -> tuple[float, float]:
    """Return the ends of the reddening prior that the densities hold, from its columns or else its provenance. [mag]

    Raises
    ------
    InputError
        If the table does not tell, or its stars have different ones.
    """
    low_name, high_name = EBV_PRIOR_COLUMNS
    if {low_name, high_name} <= set(posteriors.colnames):
        ends = np.unique(np.stack([as_floats(posteriors, n) for n in (low_name, high_name)], axis=1), axis=0)
        if len(ends) != 1 or not np.isfinite(ends).all():
            raise InputError(
                f"{what} must be inferred with one reddening prior; its columns {low_name} and {high_name} hold {len(ends)} "
                "different ones. Infer all stars with the same --ebv-min and --ebv-max."
            )
        low, high = ends[0]
    else:
        stated = posteriors.meta.get(META_KEY, {}).get("ebv_prior_mag")
        if stated is None:
            raise InputError(
                f"{what} does not say which reddening prior its densities hold: another program has dropped the columns "
                f"{low_name} and {high_name} and the provenance. {_INFER}, or add the two columns [mag]."
            )
        low, high = stated
    if not low < high:
        raise InputError(
            f"{what}: the reddening prior must rise from {low_name} to {high_name}; got {low} and {high} mag."
        )
    return float(low), float(high)


def _cleaned(table: Table, what: str) -> Table:
    clean = Table(table, copy=False)
    described = {**OUTPUT_COLUMNS, **DENSITY_COLUMNS, **PRIOR_COLUMNS, **EBV_PRIOR_COLUMNS}
    for name in clean.colnames:
        if name in ("l", "b"):
            spec = INPUT_COLUMNS[name]
        elif name in described and name not in (*_WORDS, "density", "flags"):
            unit, text = described[name]
            spec = InputColumn(name, text, unit, sentinels=())
        else:
            continue
        column = clean[name]
        if column.ndim > 1:
            raise TableError(
                f"{what}: column {name!r} must hold one value per star; it has shape {column.shape}."
            )
        number = clean_numbers(column, spec, None).column
        number.name, number.description = name, column.description
        clean.replace_column(name, number, copy=False)
    ids = clean_identifiers(clean["source_id"], [])
    _refuse_repeats(np.asarray(ids), what)
    ids.name, ids.description = "source_id", clean["source_id"].description
    clean.replace_column("source_id", ids, copy=False)
    _clean_words(clean)
    if "density" in clean.colnames:
        clean.replace_column("density", _density(clean["density"], what), copy=False)
    if "l" in clean.colnames:
        l_deg, b_deg = (np.asarray(clean[name]) for name in ("l", "b"))
        check_positions_in_pixels(np.asarray(clean["source_id"]), l_deg, b_deg, ("l", "b"))
    return clean


def _refuse_repeats(ids: np.ndarray, what: str) -> None:
    """Refuse a star that stands twice: a fit would count it twice."""
    names, counts = np.unique(ids, return_counts=True)
    if (counts > 1).any():
        raise InputError(
            f"{what}: source_id must be unique, for a fit counts every row as a star; {(counts > 1).sum()} stand more than once, "
            f"such as {names[counts > 1][0]}. Keep one row of each."
        )


def _clean_words(table: Table) -> None:
    """Clean status and flags: a star that lacks them counts as failed."""
    status = table["status"]
    words = np.char.strip(np.ma.filled(np.ma.asarray(status).astype(str), Status.FAILED.value))
    table["status"] = Column(
        np.where(words == "", Status.FAILED.value, words), description=status.description
    )
    flags = table["flags"]
    bits = np.nan_to_num(as_floats(table, "flags")).astype(np.int64)
    table["flags"] = Column(bits, description=flags.description)


def _density(column: Column, what: str) -> Column:
    """Return the joint densities as bytes, and restore the shape that programs without arrays of arrays have lost."""
    values = np.ma.filled(np.ma.asarray(column).astype(float), np.nan)
    flat = (N_MODULUS_NODES * N_EBV_NODES,)
    # VOTables of astropy state the two sizes in the order that is not the standard's; the values' own order is the same.
    if values.shape[1:] in (flat, (N_EBV_NODES, N_MODULUS_NODES)):
        values = values.reshape(-1, N_MODULUS_NODES, N_EBV_NODES)
    if values.ndim != 3 or values.shape[1:] != (N_MODULUS_NODES, N_EBV_NODES):
        raise TableError(
            f"{what}: the column density must hold {N_MODULUS_NODES} x {N_EBV_NODES} values per star; it has shape "
            f"{column.shape}. {_INFER}."
        )
    values = np.where(np.isnan(values), EMPTY, values)
    if ((values < 0) | (values > EMPTY) | (values != np.rint(values))).any():
        raise TableError(f"{what}: the column density must hold whole numbers from 0 to {EMPTY}. {_INFER}.")
    return Column(values.astype(np.uint8), name="density", description=column.description)
