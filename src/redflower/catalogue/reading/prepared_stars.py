"""A prepared table as it comes back from other programs: names, identifiers, units and missing values made right."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from astropy.table import Column, Table

from redflower.bands import BANDS
from redflower.catalogue.io.sources import TableSource, as_table
from redflower.catalogue.prepared import (
    FURTHER_BANDS,
    PREPARED_NAMES,
    prepared_error_name,
    require_prepared,
)
from redflower.catalogue.reading.checks import check_coordinates_agree, check_parallaxes_match_errors
from redflower.catalogue.reading.cleaning import clean_identifiers, clean_numbers
from redflower.catalogue.reading.coordinates import fill_coordinates
from redflower.catalogue.reading.lookalikes import refuse_case_twins, refuse_lookalikes
from redflower.catalogue.reading.schema import (
    INPUT_COLUMNS,
    PHOTOMETRY_SENTINELS,
    InputColumn,
    band_columns,
)
from redflower.catalogue.reading.sky_pixel import check_positions_in_pixels
from redflower.errors import InputError, TableError

_LOG: Final = logging.getLogger(__name__)

_RENAME: Final = "Rename it to {name!r}; if it is another thing, give it another name, or remove it."


def _specs() -> dict[str, InputColumn]:
    """Specify a prepared table's numbers: as the raw ones, but believed, for `prepare` has judged them."""
    specs = {
        name: INPUT_COLUMNS[name]
        for name in (
            "ra",
            "dec",
            "l",
            "b",
            "parallax",
            "parallax_error",
            "ruwe",
            "r_med_geo",
            "r_lo_geo",
            "r_hi_geo",
        )
    }
    for band in (*BANDS, *FURTHER_BANDS.values()):
        specs[band.name], specs[prepared_error_name(band)] = band_columns(band)[:2]
    specs["ebv_map"] = InputColumn(
        "ebv_map",
        "E(B-V) of the dust map towards the star",
        "mag",
        valid=(-1e3, 1e4),
        sentinels=PHOTOMETRY_SENTINELS,
    )
    return {name: replace(spec, name=name, plausible_median=None) for name, spec in specs.items()}


_SPECS: Final = _specs()
_KNOWN: Final = PREPARED_NAMES | set(_SPECS)
#: Columns that a run needs together.
_PAIRS: Final = (
    ("parallax", "parallax_error"),
    *((band.name, prepared_error_name(band)) for band in (*BANDS, *FURTHER_BANDS.values())),
)


def open_prepared(source: TableSource, what: str) -> Table:
    """Open a prepared table of any source and clean it; see `clean_prepared`.

    Parameters
    ----------
    source : whatever `redflower.catalogue.io.sources.as_table` reads.
    what : how messages call it, for instance "infer's input".
    """
    return clean_prepared(as_table(source, what), what)


def clean_prepared(
    table: Table, what: str, all_names: Sequence[str] | None = None, *, say: bool = True
) -> Table:
    """Clean a prepared table: its own names, whole identifiers, units as written, and NaN for missing values.

    Programs through which the table went may have turned identifiers into floats, names into capitals, NaN into 99, and
    numbers into text. What is unambiguous is repaired with a warning; the rest is refused.

    Parameters
    ----------
    table : read by `redflower.catalogue.io.tables` or `redflower.catalogue.io.sources`.
    what : how messages call it.
    all_names : the names of all columns, where only some were read.
    say : whether to warn of repairs. Not for a part that was checked before.

    Raises
    ------
    InputError
        If the table has no rows, is not prepared, lacks a column or holds what cannot be.
    """
    names = list(all_names or table.colnames)
    known = [name for name in names if name.lower() in _KNOWN]
    refuse_case_twins(known, (), what, _RENAME)
    spelled = {
        name: name.lower() for name in table.colnames if name.lower() in _KNOWN and name != name.lower()
    }
    if spelled:
        table = table.copy(copy_data=False)
        table.rename_columns(list(spelled), list(spelled.values()))
    if len(table) == 0:
        raise InputError(f"{what} has no rows; there is no star to work on.")
    _refuse_lookalikes(names, what)
    require_prepared(table, what)
    _check_complete(table.colnames, what)
    clean, notes = _cleaned(table, what)
    for note in notes if say else ():
        _LOG.warning("%s: %s", what, note)
    return clean


def _refuse_lookalikes(names: Sequence[str], what: str) -> None:
    have = {name.lower() for name in names}
    if (
        len(have & PREPARED_NAMES) < len(PREPARED_NAMES) / 4
    ):  # another kind of table, which `require_prepared` reports
        return
    wanted = PREPARED_NAMES - have
    unused = [name for name in names if name.lower() not in _KNOWN]
    known = {*_KNOWN, *INPUT_COLUMNS}
    refuse_lookalikes({name: (name,) for name in sorted(wanted)}, unused, known, what, _RENAME)


def _check_complete(names: Iterable[str], what: str) -> None:
    have = set(names)
    lacking = [] if "source_id" in have else ["source_id"]
    if not {"ra", "dec"} <= have and not {"l", "b"} <= have:
        lacking += [name for name in ("ra", "dec") if name not in have]
    lacking += [other for one, other in _PAIRS if one in have and other not in have]
    lacking += [one for one, other in _PAIRS if other in have and one not in have]
    if lacking:
        raise TableError(
            f"{what} lacks {', '.join(repr(name) for name in lacking)}, which a prepared table has. Go back to the table that "
            "`redflower prepare` wrote, and keep its columns."
        )


def _cleaned(table: Table, what: str) -> tuple[Table, list[str]]:
    clean = Table(table, copy=False)
    notes: list[str] = []
    for name, spec in _SPECS.items():
        if name in clean.colnames:
            column = clean[name]
            if column.ndim > 1:
                raise TableError(
                    f"{what}: column {name!r} must hold one value per star; it has shape {column.shape}."
                )
            number = clean_numbers(column, spec, None)
            number.column.description = column.description
            clean.replace_column(name, _named(number.column, name), copy=False)
            notes += number.notes
    ids = clean_identifiers(clean["source_id"], notes)
    ids.description = clean["source_id"].description
    clean.replace_column("source_id", _named(ids, "source_id"), copy=False)
    frame = ("ra", "dec") if {"ra", "dec"} <= set(clean.colnames) else ("l", "b")
    fill_coordinates(clean, notes)
    lon_deg, lat_deg = (np.asarray(clean[name]) for name in frame)
    if np.isfinite(lon_deg).any():
        check_coordinates_agree(clean)
        check_parallaxes_match_errors(clean)
        check_positions_in_pixels(np.asarray(clean["source_id"]), lon_deg, lat_deg, frame)
    return clean, notes


def _named(column: Column, name: str) -> Column:
    column.name = name
    return column
