"""The columns of a table as redflower names and measures them: cleaned one by one, each freed with its last use."""

from collections import Counter

import astropy.units as u
import numpy as np
from astropy.table import Column, Table

from redflower.catalogue.io.units import AnyUnit
from redflower.catalogue.prepared import FURTHER_NAMES, PREPARED_NAMES
from redflower.catalogue.reading.cleaning import clean_identifiers, clean_numbers, clean_text
from redflower.catalogue.reading.column_map import ColumnChoice, ColumnMap
from redflower.errors import InputError, TableError


def clean_columns(
    table: Table, choice: ColumnChoice, column_map: ColumnMap, notes: list[str], *, judged: bool = True
) -> Table:
    """Return the columns of the schema that a table has, and those carried along; the table loses what is taken.

    Parameters
    ----------
    table : as it was read.
    choice : which of its columns is which.
    column_map : its constants and units.
    notes : what was assumed is added here.
    judged : as of `redflower.catalogue.reading.cleaning.clean_numbers`.

    Raises
    ------
    TableError
        If a column holds more than a value per star, or what cannot be numbers.
    InputError
        If a unit is wrong, values are impossible, or a column carried along has a name that redflower writes.
    """
    n_rows = len(table)
    uses = Counter([*choice.source.values(), *choice.extra.values()])
    table.keep_columns([name for name in table.colnames if name in uses])

    def take(theirs: str) -> Column:
        """Take a column of the source and free it with its last use: millions of stars should not be held twice."""
        column = table[theirs]
        uses[theirs] -= 1
        if not uses[theirs]:
            table.remove_column(theirs)
        return column

    stars = Table()
    unitless: list[str] = []
    with_unit: list[str] = []
    units: dict[str, AnyUnit | None] = {}
    for name, spec in column_map.schema.items():
        if name in choice.source:
            column = take(choice.source[name])
        elif name in column_map.constants:
            column = Column(np.full(n_rows, column_map.constants[name]), name=name)
        else:
            continue
        if column.ndim > 1:
            raise TableError(f"column {name!r} must hold one value per star; it has shape {column.shape}.")
        if name == "source_id":
            stars.add_column(clean_identifiers(column, notes), name=name, copy=False)
        elif spec.kind == "text":
            stars.add_column(clean_text(column), name=name, copy=False)
        else:
            cleaned = clean_numbers(column, spec, column_map.units.get(name), judged=judged)
            stars.add_column(cleaned.column, name=name, copy=False)
            units[name] = cleaned.unit
            notes += cleaned.notes
            if spec.unit is not None and not spec.any_unit and name not in column_map.constants:
                (unitless if cleaned.unit is None else with_unit).append(f"{name} [{spec.unit}]")
        stars[name].description = spec.description
    if unitless:
        which = ", ".join(unitless) if with_unit else "all columns (deg, mas, mag)"
        notes.append(f"no unit is stated, so redflower's are assumed, for {which}")
    _match_flux_units(stars, units, column_map)
    for name, theirs in choice.extra.items():
        if name in PREPARED_NAMES or name in FURTHER_NAMES:
            raise InputError(f"column map: [extra] {name} is a name that redflower writes; choose another.")
        stars.add_column(take(theirs).copy(), name=name, copy=False)
    return stars


def _match_flux_units(stars: Table, units: dict[str, AnyUnit | None], column_map: ColumnMap) -> None:
    """Bring each flux error into the unit of its flux; only their ratio is used."""
    for band in (band for survey in column_map.surveys for band in survey.bands):
        flux, error = band.flux_column, band.flux_error_column
        if flux is None or error is None or units.get(flux) is None or units.get(error) is None:
            continue
        try:
            factor = float(units[error].to(units[flux]))  # type: ignore[union-attr]
        except (u.UnitConversionError, AttributeError):
            raise InputError(
                f"columns {flux!r} and {error!r} must be in one unit; "
                f"they are in {units[flux]} and {units[error]}."
            ) from None
        stars[error] = Column(
            np.asarray(stars[error]) * factor, name=error, description=stars[error].description
        )
