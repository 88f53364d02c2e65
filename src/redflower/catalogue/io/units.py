"""Units of catalogue columns: reading what files say, and converting to the units of the schema."""

from typing import Final, TypeAlias

import astropy.units as u
import numpy as np
from jaxtyping import Float

from redflower.errors import InputError

#: Any unit: mag(AB) and its like are of a family of their own in astropy.
AnyUnit: TypeAlias = u.UnitBase | u.function.FunctionUnitBase

#: Spellings that catalogues use and astropy does not know.
_SPELLINGS: Final = {
    "degree": "deg", "degrees": "deg", "magnitude": "mag", "magnitudes": "mag", "mags": "mag",
    "milliarcsec": "mas", "milliarcsecond": "mas", "milliarcseconds": "mas", "mag(vega)": "mag",
    "parsec": "pc", "parsecs": "pc", "e-/s": "electron / s", "1/micron": "1 / um", "micron^-1": "1 / um",
}  # fmt: skip


def parse_unit(text: str | AnyUnit | None) -> AnyUnit | None:
    """Parse the unit that a file states; None where it states none.

    Raises
    ------
    ValueError
        If the text is no unit that astropy or the usual misspellings know.
    """
    if text is None:
        return None
    if isinstance(text, u.UnitBase) and not isinstance(text, u.UnrecognizedUnit):
        return None if text == u.dimensionless_unscaled else text
    if isinstance(text, u.function.FunctionUnitBase):
        return text
    spelled = str(text).strip()
    spelled = _SPELLINGS.get(spelled.lower(), spelled)
    if spelled in ("", "-", "--", "---", "None"):
        return None
    return u.Unit(spelled.replace("'", ""))


def factor_to(unit: AnyUnit, wanted: str) -> float:
    """Return the factor that converts values in ``unit`` to ``wanted``.

    Raises
    ------
    ValueError
        If the two measure different things.
    """
    target = u.Unit(wanted)
    if isinstance(unit, u.function.FunctionUnitBase):
        # mag(AB) and the like: a magnitude with its zero point named.
        if target == u.mag and unit.function_unit == u.mag:
            return 1.0
        raise ValueError(f"{unit} is not {target}")
    return float(unit.to(target))


def wrong_unit(name: str, theirs: str, unit: object, wanted: str) -> InputError:
    """Make the error for a column whose unit cannot be converted to redflower's."""
    source = name if theirs == name else f"{name} (column {theirs!r} of the table)"
    return InputError(
        f"column {source} must be in {wanted} or a unit that converts to it; the table says {str(unit)!r}. "
        f"Correct the unit in the table, or map another column to {name!r}."
    )


def check_plausible_median(
    values: Float[np.ndarray, " star"], name: str, unit: str, plausible: tuple[float, float], said: str
) -> None:
    """Refuse values whose median is impossible in the unit they are taken to be in.

    Parameters
    ----------
    values : cleaned values of the column in ``unit``, NaN where missing.
    plausible : the range in which the median of any real table lies.
    said : where the unit came from, for the message.

    Raises
    ------
    InputError
        If the median of the finite values is outside the range.
    """
    finite = values[np.isfinite(values)]
    if finite.size == 0:
        return
    median = float(np.median(finite))
    if plausible[0] <= median <= plausible[1]:
        return
    guess = _likely_unit(median, unit, plausible)
    raise InputError(
        f"column {name!r} was taken to be in {unit} ({said}), but its median is {median:.3g}, outside the "
        f"possible {plausible[0]:g} to {plausible[1]:g} {unit}"
        + (f"; it looks like {guess}" if guess else "")
        + f". State the true unit in the table, or in a column map (--columns MAP.toml) as: "
        f'[units] {name} = "{guess or unit}"'
        + (" (and the same for parallax, if it is in the same unit)" if name == "parallax_error" else "")
        + "."
    )


def _likely_unit(median: float, unit: str, plausible: tuple[float, float]) -> str | None:
    """Return the commonest other unit of the same kind in which the median would be possible."""
    others = {"mas": ("arcsec", "uas"), "pc": ("kpc",), "mag": ("mmag",), "1 / um": ("1 / nm",)}
    for guess in others.get(unit, ()):
        if plausible[0] <= median * float(u.Unit(guess).to(u.Unit(unit))) <= plausible[1]:
            return guess
    return None
