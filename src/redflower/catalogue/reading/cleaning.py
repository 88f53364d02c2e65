"""Cleaning of single columns: units, marks of missing values, ranges, identifiers."""

from dataclasses import dataclass
from typing import Final

import astropy.units as u
import numpy as np
from astropy.table import Column, MaskedColumn
from jaxtyping import Bool, Float

from redflower.catalogue.io.units import AnyUnit, check_plausible_median, factor_to, parse_unit, wrong_unit
from redflower.catalogue.io.words import missing_words, parse_numbers, parse_whole_numbers
from redflower.catalogue.reading.schema import InputColumn
from redflower.errors import InputError

# Relative width within which a number is a sentinel: float32 rounding of 99.9 and the like.
_SENTINEL_RTOL: Final = 1e-6

#: So many impossible values, and no possible one, are no accident.
_ALL_OUTSIDE_MIN: Final = 5


@dataclass(frozen=True)
class CleanColumn:
    """A cleaned column, the unit that was stated for it (None if none was), and what a user should know."""

    column: Column
    unit: AnyUnit | None
    notes: list[str]


def clean_numbers(
    column: Column, spec: InputColumn, stated_unit: str | None, *, judged: bool = True
) -> CleanColumn:
    """Bring a column of numbers to the unit and the missing values of its description.

    Parameters
    ----------
    column : as read.
    spec : the description of the column.
    stated_unit : the unit that the column map states, for a column without one.
    judged : whether the values together tell that the unit is another. Few values of a larger table do not.

    Raises
    ------
    InputError
        If the column holds no numbers, its unit is another quantity's, or its values are impossible in it.
    """
    name, theirs = spec.name, str(column.name)
    unit = _unit_of(column, spec, stated_unit)
    values = _as_floats(_without_yes_and_no(column) if spec.kind == "flag" else column, name)
    notes: list[str] = []

    values[~np.isfinite(values)] = np.nan
    # On the values as the file has them, before any unit is converted.
    marked = _marked(values, spec.sentinels)
    values[marked] = np.nan
    if marked.any():
        notes.append(f"{name}: {marked.sum()} values are marks of missing values (-999, 99.9 and the like)")

    if spec.unit is not None and not spec.any_unit and unit is not None:
        try:
            factor = factor_to(unit, spec.unit)
        except (ValueError, u.UnitConversionError):
            raise wrong_unit(name, theirs, unit, spec.unit) from None
        if factor != 1.0:
            values *= factor
            notes.append(f"{name} is converted from {unit} to {spec.unit}")
    system = spec.system
    if system and isinstance(unit, u.function.FunctionUnitBase) and system not in str(unit):
        raise InputError(f"column {name!r} must hold {system} magnitudes; the table says {str(unit)!r}.")
    if unit is not None and spec.any_unit and not _can_be_flux(unit):
        raise wrong_unit(name, theirs, unit, "a unit of flux")

    # What the user states in a column map is believed; what a file says, or does not say, is checked.
    if judged and spec.plausible_median is not None and spec.unit is not None and stated_unit is None:
        low = spec.valid[0] if spec.valid else -np.inf
        said = "as the table says" if unit is not None else "no unit is stated"
        check_plausible_median(values[values > low], name, spec.unit, spec.plausible_median, said)

    n_values = int(np.isfinite(values).sum())
    values, outside = _within_range(values, spec)
    if outside:
        low, high = spec.valid or (-np.inf, np.inf)
        if judged and outside == n_values >= _ALL_OUTSIDE_MIN:
            raise InputError(
                f"column {name!r} must lie within {low:g} to {high:g}{f' {spec.unit}' if spec.unit else ''}; none of its "
                f"{n_values} values does. It may be in another unit, or another quantity."
            )
        notes.append(f"{name}: {outside} values outside {low:g} to {high:g} are taken as missing")
    if spec.kind in ("integer", "flag"):
        missing = np.isnan(values)
        whole = np.where(missing, 0.0, values).astype(np.int64)
        cleaned = MaskedColumn(whole, mask=missing) if missing.any() else Column(whole)
    else:
        cleaned = Column(values, unit=None if spec.any_unit else spec.unit)
    return CleanColumn(cleaned, unit, notes)


def clean_identifiers(column: Column, notes: list[str]) -> Column:
    """Convert identifiers to int64, every digit kept.

    Raises
    ------
    InputError
        If one is missing, or digits are lost already or would be.
    """
    name, theirs = "source_id", repr(str(column.name))
    values, missing = np.asarray(column), np.ma.getmaskarray(column)
    if values.ndim != 1:
        raise InputError(
            f"{name} must be one whole number per star; column {theirs} has shape {values.shape}."
        )
    if values.dtype.kind == "U":
        missing = missing | missing_words(values)
    elif values.dtype.kind == "f":
        missing = missing | np.isnan(values)
    if missing.any():
        raise InputError(
            f"{missing.sum()} of {len(values)} rows have no {name} (column {theirs}, first in row "
            f"{np.flatnonzero(missing)[0] + 1}); give each star one, or remove those rows. {_READ_WHOLE}"
        )
    if values.dtype.kind == "f":
        # A float counts exactly only as far as its mantissa goes; Gaia's identifiers are larger.
        exact_below = 2.0 ** (np.finfo(values.dtype).nmant + 1)
        lost = ~(np.abs(values) < exact_below) | (values != np.round(values))
        if lost.any():
            raise InputError(
                f"{name} must hold whole numbers, every digit kept; column {theirs} is stored as {values.dtype}, which holds "
                f"whole numbers to {exact_below:.0f} alone, so that {lost.sum()} of {len(values)} may be another star's, such as "
                f"{values[lost][0]!s} in row {np.flatnonzero(lost)[0] + 1}. {_READ_WHOLE}"
            )
    elif values.dtype.kind == "U":
        whole = parse_whole_numbers(values)
        if isinstance(whole, str):
            raise InputError(
                f"{name} must hold whole numbers of 64 bits; column {theirs} holds the text {whole!r}. Write the number alone, "
                "or leave the column out in `prepare`, and rows are numbered."
            )
        values = whole
        notes.append(f"{name} is stored as text and read as whole numbers")
    elif values.dtype.kind not in "iu":
        raise InputError(f"{name} must hold whole numbers; column {theirs} is of type {values.dtype}.")
    if values.dtype.kind == "u" and values.size and values.max() > np.iinfo(np.int64).max:
        raise InputError(
            f"{name} must fit a signed 64-bit integer; column {theirs} holds {values.max()}. Map "
            "another column to source_id, or leave it out in `prepare`, and rows are numbered."
        )
    return Column(values.astype(np.int64))


_READ_WHOLE: Final = (
    "Read the table again with source_id as whole numbers (pandas: dtype={'source_id': 'Int64'}, which also knows missing "
    "ones) or as text, from a file that has every digit."
)


def clean_text(column: Column) -> Column:
    """Convert text to str, empty where missing; quality flags read as numbers (222) become text again."""
    if isinstance(column, MaskedColumn):
        missing = np.ma.getmaskarray(column)
        return Column(np.where(missing, "", np.asarray(column).astype(str)))
    return Column(np.asarray(column).astype(str))


def _marked(values: Float[np.ndarray, " star"], sentinels: tuple[float, ...]) -> Bool[np.ndarray, " star"]:
    """Tell which values are one of the marks of a missing value."""
    if not sentinels:
        return np.zeros(values.shape, dtype=bool)
    marks = np.sort(sentinels)
    above = np.clip(np.searchsorted(marks, values), 0, len(marks) - 1)
    with np.errstate(invalid="ignore"):
        near = [
            np.abs(values - mark) <= _SENTINEL_RTOL * np.abs(mark)
            for mark in (marks[above - 1], marks[above])
        ]
    return near[0] | near[1]


def _unit_of(column: Column, spec: InputColumn, stated_unit: str | None) -> AnyUnit | None:
    """Return the unit of a column from the table, or else from the column map; the two must not differ."""
    if spec.unit is None:
        return None
    stated = parse_unit(stated_unit)
    try:
        own = parse_unit(column.unit)
    except ValueError:
        if stated is None:
            raise wrong_unit(spec.name, str(column.name), column.unit, spec.unit) from None
        own = None
    if own is None or stated is None:
        return own if stated is None else stated
    if own != stated:
        raise InputError(
            f"column {spec.name!r}: the table says {own} and the column map [units] says {stated}; "
            "correct one of them."
        )
    return own


def _can_be_flux(unit: AnyUnit) -> bool:
    return not isinstance(unit, u.function.FunctionUnitBase) and not any(
        unit.is_equivalent(other) for other in (u.mag, u.deg, u.m)
    )


def _as_floats(column: Column, name: str) -> Float[np.ndarray, " star"]:
    """Copy the column to a new float64 array, with NaN where masked."""
    missing = np.ma.getmaskarray(column) if isinstance(column, MaskedColumn) else None
    values = np.asarray(column)
    if values.dtype.kind == "U":
        return parse_numbers(values, missing, name, str(column.name))
    if values.dtype.kind not in "fiub":
        raise InputError(
            f"column {name!r} must hold numbers; column {column.name!r} is of type {values.dtype}."
        )
    floats = np.array(values, dtype=np.float64)
    if missing is not None:
        floats[missing] = np.nan
    return floats


#: What programs write for yes and no in text.
_YES_AND_NO: Final = {"true": "1", "t": "1", "yes": "1", "false": "0", "f": "0", "no": "0"}


def _without_yes_and_no(column: Column) -> Column:
    """Write words for yes and no as 1 and 0; other values stay as they are."""
    if np.asarray(column).dtype.kind != "U":
        return column
    words = [_YES_AND_NO.get(str(word).strip().lower(), str(word)) for word in np.asarray(column)]
    kept = MaskedColumn(words, name=column.name, dtype=str)
    kept.mask = np.ma.getmaskarray(column)
    return kept


def _within_range(
    values: Float[np.ndarray, " star"], spec: InputColumn
) -> tuple[Float[np.ndarray, " star"], int]:
    """Set values outside the column's range to NaN and count them; impossible angles are refused."""
    if spec.valid is None:
        return values, 0
    low, high = spec.valid
    if spec.unit == "deg":
        if high == 360.0:
            # Longitudes are also given from -180 to 180.
            values = np.where((values < 0.0) & (values >= -180.0), values + 360.0, values)
        bad = (values < low) | (values > high)
        if bad.any():
            raise InputError(
                f"column {spec.name!r} must lie within {low:g} to {high:g} deg; {bad.sum()} values do not, "
                f"such as {values[bad][0]:.6g}. Are columns swapped, or in another unit?"
            )
        return values, 0
    bad = (values <= low) | (values >= high)
    return np.where(bad, np.nan, values), int(bad.sum())
