"""Which column of a HEALPix table is the map of E(B-V)."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import astropy.units as u

from redflower.catalogue.io.units import parse_unit
from redflower.errors import InputError

#: Names of a map of E(B-V), in lower case without marks: E(B-V), E_BV, EBV_SFD and the like begin so.
_EBV_EXACT: Final = ("ebv", "ebmv", "reddening", "ebvmag", "ebvmean", "meanebv", "ebvsfd", "ebvval")
_EBV_BEGIN: Final = ("ebv", "ebmv", "reddening")
_NOT_THE_VALUE: Final = (
    "err",
    "std",
    "sig",
    "unc",
    "var",
    "flag",
    "mask",
    "rms",
    "nobs",
    "count",
    "low",
    "upp",
    "quantile",
)
#: Names of other quantities, which a map of one column may also hold: optical depth, radiance, A_V, column density.
_OTHERS: Final = ("tau", "radiance", "av", "a0", "ag", "ak", "nhi", "hi", "beta", "err", "std", "sigma")
_ERRORS: Final = ("err", "std", "sigma", "unc", "rms")
_PIXEL_NAMES: Final = (
    "pixel",
    "pix",
    "pixels",
    "index",
    "hpx",
    "hpxpixel",
    "healpix",
    "hpxindex",
    "ipix",
    "pixelnumber",
    "hp",
)


def split_column(source: "str | Path") -> tuple[Path, str | None]:
    """Split a map named as ``FILE.fits[COLUMN]`` into file and column; a file that has such a name is meant itself."""
    path = Path(source)
    found = re.fullmatch(r"(.+)\[([^\[\]]+)\]", str(source))
    if found is None or path.exists():
        return path, None
    return Path(found.group(1)), found.group(2).strip()


def pixel_column(names: Sequence[str]) -> str:
    """Find the column of pixel numbers of a map that lists its pixels: the one with that name, or else the first."""
    return next((name for name in names if _plain(name) in _PIXEL_NAMES), names[0])


def value_column(path: Path, names: Sequence[str], asked: str | None, scale: float) -> tuple[str, str]:
    """Find the column that holds E(B-V), and a sentence that says which.

    Parameters
    ----------
    names : the columns of values.
    asked : the one that the user names.
    scale : the factor from values to E(B-V) that the user gives; other than 1 says that the values are another quantity.

    Raises
    ------
    InputError
        If it cannot be told; with all columns.
    """
    listed = ", ".join(repr(name) for name in names)
    how = f"Name it behind the file: {path}[COLUMN]."
    if asked is not None:
        found = [name for name in names if name == asked] or [n for n in names if n.lower() == asked.lower()]
        if len(found) != 1:
            raise InputError(f"dust map {path} has no column {asked!r}; it has {listed}. {how}")
        return found[0], f"{path.name}: column {found[0]!r}, as asked"
    if len(names) == 1:
        name = names[0]
        if scale == 1.0 and not is_ebv(name) and _is_other(name):
            raise InputError(
                f"dust map {path} must hold E(B-V) in mag; its one column is called {name!r}. If it is E(B-V), name it behind "
                f"the file, {path}[{name}]; if not, give the factor to E(B-V) (--ebv-map-scale)."
            )
        said = f"column {name!r}" if is_ebv(name) else f"its one column, {name!r}, is taken for E(B-V)"
        return name, f"{path.name}: {said}"
    found = [name for name in names if _plain(name) in _EBV_EXACT] or [name for name in names if is_ebv(name)]
    if len(found) != 1:
        which = "none that is called E(B-V)" if not found else f"{len(found)} that may be E(B-V)"
        raise InputError(f"dust map {path} has {len(names)} columns and {which}: {listed}. {how}")
    return found[0], f"{path.name}: column {found[0]!r} of {len(names)} is read"


def is_ebv(name: str) -> bool:
    """Tell whether a column's name says that it is E(B-V), and not its error."""
    plain = _plain(name)
    return plain.startswith(_EBV_BEGIN) and not any(word in plain for word in _NOT_THE_VALUE)


def factor_to_mag(path: Path, name: str, unit: str | None, scale: float) -> float:
    """Return the factor from a column's unit to mag; 1 where no unit is stated, or the user gives the whole factor.

    Raises
    ------
    InputError
        If the unit is another quantity's and no factor is given.
    """
    if scale != 1.0 or unit is None:
        return 1.0
    try:
        parsed = parse_unit(unit)
        return 1.0 if parsed is None else float(parsed.to(u.mag))
    except u.UnitConversionError:
        raise InputError(
            f"dust map {path} must hold E(B-V) in mag; its column {name!r} is in {unit!r}. Give the factor to E(B-V) "
            "(--ebv-map-scale), or another column."
        ) from None
    except (ValueError, TypeError, AttributeError):
        return 1.0


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _is_other(name: str) -> bool:
    """Tell whether a name is another quantity's, or an error's: TAU353, A_V, N_HI, EBV_ERR; not AVERAGE or TEMPERATURE."""
    plain = _plain(name)
    words = re.split(r"[^a-z0-9]+", name.lower())
    other = "|".join(_OTHERS)
    return (
        any(re.fullmatch(rf"({other})\d*", text) for text in (plain, words[0]))
        or re.fullmatch(rf"({other})\d*", "".join(words[:2])) is not None
        or any(word in plain for word in _ERRORS)
    )
