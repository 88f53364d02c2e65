"""Cleaning of single columns: units, marks of missing values, ranges, identifiers."""

from dataclasses import dataclass
from typing import Final

import astropy.units as u
import numpy as np
from astropy.table import Column, MaskedColumn
from jaxtyping import Float

from redflower.bands import BANDS
from redflower.catalogue.io.units import AnyUnit, check_plausible_median, factor_to, parse_unit, wrong_unit
from redflower.catalogue.reading.schema import InputColumn
from redflower.errors import InputError

# Relative width within which a number is a sentinel: float32 rounding of 99.9 and the like.
_SENTINEL_RTOL: Final = 1e-6

_SYSTEM_OF: Final = {band.magnitude_column: band.system for band in BANDS}


@dataclass(frozen=True)
class CleanColumn:
    """A cleaned column, the unit that was stated for it (None if none was), and what a user should know."""

    column: Column
    unit: AnyUnit | None
    notes: list[str]


def clean_numbers(column: Column, spec: InputColumn, stated_unit: str | None) -> CleanColumn:
    """Bring a column of numbers to the unit and the missing values of its description.

    Parameters
    ----------
    column : as read.
    spec : the description of the column.
    stated_unit : the unit that the column map states, for a column without one.

    Raises
    ------
    InputError
        If the column holds no numbers, its unit is another quantity's, or its values are impossible in it.
    """
    name, theirs = spec.name, str(column.name)
    unit = _unit_of(column, spec, stated_unit)
    values = _as_floats(column, name)
    notes: list[str] = []

    values[~np.isfinite(values)] = np.nan
    marked = np.zeros(values.shape, dtype=bool)
    for sentinel in spec.sentinels:
        # On the values as they stand in the file, before any unit is converted.
        marked |= np.isclose(values, sentinel, rtol=_SENTINEL_RTOL, atol=0.0)
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
    system = _SYSTEM_OF.get(name)
    if system and isinstance(unit, u.function.FunctionUnitBase) and system not in str(unit):
        raise InputError(f"column {name!r} must hold {system} magnitudes; the table says {str(unit)!r}.")
    if unit is not None and spec.any_unit and not _can_be_flux(unit):
        raise wrong_unit(name, theirs, unit, "a unit of flux")

    # What the user states in a column map is believed; what a file says, or does not say, is checked.
    if spec.plausible_median is not None and spec.unit is not None and stated_unit is None:
        low = spec.valid[0] if spec.valid else -np.inf
        said = "as the table says" if unit is not None else "no unit is stated"
        check_plausible_median(values[values > low], name, spec.unit, spec.plausible_median, said)

    values, outside = _within_range(values, spec)
    if outside:
        low, high = spec.valid or (-np.inf, np.inf)
        notes.append(f"{name}: {outside} values outside {low:g} to {high:g} are taken as missing")
    if spec.kind == "integer":
        missing = np.isnan(values)
        whole = np.where(missing, 0.0, values).astype(np.int64)
        cleaned = MaskedColumn(whole, mask=missing) if missing.any() else Column(whole)
    else:
        cleaned = Column(values, unit=None if spec.any_unit else spec.unit)
    return CleanColumn(cleaned, unit, notes)


def clean_identifiers(column: Column, notes: list[str]) -> Column:
    """Identifiers as int64, every digit kept.

    Raises
    ------
    InputError
        If one is missing, or digits are lost already or would be.
    """
    name = "source_id"
    if np.ma.getmaskarray(column).any():
        raise InputError(f"{np.ma.getmaskarray(column).sum()} rows have no {name}; give each star one.")
    values = np.asarray(column)
    if values.dtype.kind == "u" and values.size and values.max() > np.iinfo(np.int64).max:
        raise InputError(
            f"{name} must fit a signed 64-bit integer; column {column.name!r} holds {values.max()}. Map "
            "another column to source_id, or leave it out and rows are numbered."
        )
    if values.dtype.kind == "f":
        # float64 counts exactly up to 2^53; Gaia's identifiers are larger.
        if not (
            np.isfinite(values).all() and (values == np.round(values)).all() and abs(values).max() < 2**53
        ):
            raise InputError(
                f"{name} is stored as {values.dtype}, which cannot hold 19 digits: identifiers are rounded "
                "or missing. Write the table again with source_id as a 64-bit integer or as text."
            )
    elif values.dtype.kind == "U":
        try:
            values = np.array([int(text.strip()) for text in values], dtype=np.int64)
        except (ValueError, OverflowError):
            raise InputError(
                f"{name} must hold whole numbers; column {column.name!r} holds text, such as "
                f"{str(values[0])!r}."
            ) from None
        notes.append(f"{name} is stored as text and read as whole numbers")
    elif values.dtype.kind not in "iu":
        raise InputError(f"{name} must hold whole numbers; column {column.name!r} is of type {values.dtype}.")
    return Column(values.astype(np.int64))


def clean_text(column: Column) -> Column:
    """Text as str, empty where missing; a column of quality flags read as numbers (222) is text again."""
    if isinstance(column, MaskedColumn):
        missing = np.ma.getmaskarray(column)
        return Column(np.where(missing, "", np.asarray(column).astype(str)))
    return Column(np.asarray(column).astype(str))


def _unit_of(column: Column, spec: InputColumn, stated_unit: str | None) -> AnyUnit | None:
    """The unit of a column: what the table says, or else the column map; the two must not differ."""
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
    """A new float64 array of the column, NaN where masked."""
    missing = np.ma.getmaskarray(column) if isinstance(column, MaskedColumn) else None
    values = np.asarray(column)
    if values.dtype.kind == "U":
        blank = np.char.strip(values) == ""
        missing = blank if missing is None else missing | blank
        try:
            values = np.where(missing, "nan", values).astype(float)
        except ValueError:
            example = next((v for v, gap in zip(values, missing, strict=True) if not gap), "")
            raise InputError(
                f"column {name!r} must hold numbers; column {column.name!r} holds text, such as "
                f"{str(example)!r}."
            ) from None
    elif values.dtype.kind not in "fiub":
        raise InputError(
            f"column {name!r} must hold numbers; column {column.name!r} is of type {values.dtype}."
        )
    floats = np.array(values, dtype=np.float64)
    if missing is not None:
        floats[missing] = np.nan
    return floats


def _within_range(
    values: Float[np.ndarray, " star"], spec: InputColumn
) -> tuple[Float[np.ndarray, " star"], int]:
    """Values outside the range of the column set to NaN, and their number; impossible angles are refused."""
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
