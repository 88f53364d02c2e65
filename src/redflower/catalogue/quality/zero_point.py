"""The zero point of Gaia parallaxes: which number is subtracted from each, and why.

Each release has a rule of its own (``data/gaia_releases.toml``). Lindegren et al. 2021 (A&A 649, A4) give it for Gaia (E)DR3 as
a function of G, colour and ecliptic latitude, for solutions with five and six parameters. Their function holds for 6 < G < 21
and wavenumbers 1.1 to 1.9 (five parameters) or 1.24 to 1.72 per micron (six). Beyond, the value at the nearest edge is taken
and the star flagged. It is never applied to another release. A bias that a release gives for each star is looked at and taken.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final, Literal

import numpy as np
from astropy.table import Table
from jaxtyping import Bool, Float, Int

from redflower.catalogue.gaia_release import GaiaRelease
from redflower.catalogue.io.columns import as_floats
from redflower.catalogue.quality.lindegren import (
    FIVE_PARAMETERS,
    SIX_PARAMETERS,
    TWO_PARAMETERS,
    ecliptic_latitude_deg,
    lindegren21_zero_point_mas,
    solution_kind,
)
from redflower.catalogue.releases import default_release, releases
from redflower.errors import InputError
from redflower.provenance import GAIA_RELEASE_KEY, META_KEY

#: The rule of the release where the columns allow, ``none``, or one number in mas for every star.
ZeroPoint = Literal["auto", "none"] | float

#: Fewer values show neither a sign nor a share of gaps.
_SHOWN_BY: Final = 10


class ZeroPointStatus(IntEnum):
    """What was done to the parallax of a star; the prepared column ``zero_point_status``."""

    LINDEGREN_2021 = 0
    LINDEGREN_2021_AT_EDGE = 1
    CONSTANT = 2
    NOT_APPLIED = 3
    NO_PARALLAX = 4
    OWN_BIAS = 5


@dataclass(frozen=True)
class ParallaxZeroPoint:
    """The zero point of every star of a table.

    Attributes
    ----------
    zero_point_mas : to be subtracted from the parallax; 0 where none is applied. [mas]
    status : a `ZeroPointStatus` for each star.
    description : one sentence for the report and the provenance.
    """

    zero_point_mas: Float[np.ndarray, " star"]
    status: Int[np.ndarray, " star"]
    description: str


def parallax_zero_point(
    stars: Table, zero_point: ZeroPoint = "auto", release: GaiaRelease | None = None, *, judged: bool = True
) -> ParallaxZeroPoint:
    """Choose the parallax zero point of each star.

    Parameters
    ----------
    stars : a table from `redflower.catalogue.read_stars`.
    zero_point : ``auto`` for the rule of the release if the table has its columns, ``none``, or one value for all
        stars, such as -0.029 for Gaia DR2. [mas]
    release : of the parallaxes. Defaults to what the table shows (`redflower.catalogue.reading.release`), else to
        `redflower.catalogue.releases.default_release`.
    judged : whether sign, size and gaps of a column of biases are looked at. Few stars of a larger table do not tell them.

    Raises
    ------
    InputError
        If ``zero_point`` is neither a finite number of at most 1 mas nor one of the two words, or the release's own bias
        cannot be what it is said to be.
    """
    n = len(stars)
    has_parallax = np.isfinite(as_floats(stars, "parallax")) & np.isfinite(as_floats(stars, "parallax_error"))
    solved = solution_kind(stars)
    has_parallax &= solved != TWO_PARAMETERS
    status = np.full(n, ZeroPointStatus.NO_PARALLAX, dtype=np.int16)
    if not isinstance(zero_point, str):
        constant_mas = _checked_constant(zero_point)
        status[has_parallax] = ZeroPointStatus.CONSTANT
        return ParallaxZeroPoint(
            np.where(has_parallax, constant_mas, 0.0),
            status,
            f"a constant parallax zero point of {constant_mas:g} mas, removed from every parallax",
        )
    if zero_point not in ("auto", "none"):
        raise InputError(
            f'zero_point must be "auto", "none" or a number of mas, such as -0.029 for Gaia DR2; got {zero_point!r}.'
        )
    status[has_parallax] = ZeroPointStatus.NOT_APPLIED
    nothing = np.zeros(n)
    if zero_point == "none":
        return ParallaxZeroPoint(nothing, status, "no parallax zero point removed, as asked")
    if not has_parallax.any():
        return ParallaxZeroPoint(nothing, status, "no parallaxes, so no zero point")
    release = release or _release_of(stars)
    rule = release.zero_point
    if rule.rule == "column":
        return _own_bias(stars, release, has_parallax, status, judged=judged)
    if rule.rule == "none":
        asked = f"; --zero-point {rule.constant_mas:g} is that of {rule.source}" if rule.constant_mas else ""
        return ParallaxZeroPoint(
            nothing,
            status,
            f"no parallax zero point removed: that of Lindegren et al. 2021 is of Gaia DR3, and the table is of "
            f"{release.title}{asked}",
        )
    return _lindegren21(stars, solved, has_parallax, status)


def _release_of(stars: Table) -> GaiaRelease:
    shown = stars.meta.get(META_KEY, {}).get(GAIA_RELEASE_KEY)
    return releases()[shown["release"]] if shown else default_release()


def _own_bias(
    stars: Table,
    release: GaiaRelease,
    has_parallax: Bool[np.ndarray, " star"],
    status: Int[np.ndarray, " star"],
    *,
    judged: bool,
) -> ParallaxZeroPoint:
    """Take the bias that a release gives for each star, after a check of its sign, its size and its gaps."""
    name, rule, n = release.theirs("parallax_bias"), release.zero_point, int(has_parallax.sum())
    nothing = np.zeros(len(stars))
    if "parallax_bias" not in stars.colnames:
        return ParallaxZeroPoint(
            nothing,
            status,
            f"no parallax zero point removed: the table has no {name}, the bias that {release.title} gives (Lindegren et al. "
            "2021 is of Gaia DR3)",
        )
    bias_mas = as_floats(stars, "parallax_bias")
    known = has_parallax & np.isfinite(bias_mas)
    gaps = n - int(known.sum())
    advice = "Look at the column; --zero-point none, or a number of mas, does without it."
    if judged and (gaps == n or (n >= _SHOWN_BY and gaps > rule.nulls_max * n)):
        raise InputError(
            f"{name} of {release.title} must be there for at least {1 - rule.nulls_max:.0%} of the parallaxes; it is missing for "
            f"{gaps} of {n}. {advice}"
        )
    median_mas = float(np.median(bias_mas[known])) if known.any() else 0.0
    low_mas, high_mas = rule.median_range_mas
    if judged and known.sum() >= _SHOWN_BY and not low_mas <= median_mas <= high_mas:
        why = (
            "A bias above zero is of the other sign: its subtraction would double the error"
            if 0 < median_mas < abs(low_mas)
            else "It looks like another unit, such as microarcsec"
        )
        raise InputError(
            f"{name} of {release.title} must be the bias of the parallax in mas, with a median from {low_mas:g} to {high_mas:g}; "
            f"the median of {known.sum()} is {median_mas:.4g}. {why}. {advice}"
        )
    status[known] = ZeroPointStatus.OWN_BIAS
    description = (
        f"the bias that {release.title} gives ({name}) removed from {known.sum()} of {n} parallaxes "
        f"(median {median_mas:.4f} mas)"
    )
    if gaps:
        description += f"; none removed from {gaps} without it"
    return ParallaxZeroPoint(np.where(known, bias_mas, 0.0), status, description)


def _lindegren21(
    stars: Table,
    solved: Int[np.ndarray, " star"],
    has_parallax: Bool[np.ndarray, " star"],
    status: Int[np.ndarray, " star"],
) -> ParallaxZeroPoint:
    nothing = np.zeros(len(stars))
    g_mag = as_floats(stars, "phot_g_mean_mag")
    nu_eff, pseudocolour = as_floats(stars, "nu_eff_used_in_astrometry"), as_floats(stars, "pseudocolour")
    colour = np.where(solved == SIX_PARAMETERS, pseudocolour, nu_eff)
    known = has_parallax & np.isfinite(g_mag) & np.isfinite(colour)
    known &= (solved == FIVE_PARAMETERS) | (solved == SIX_PARAMETERS)
    if not known.any():
        return ParallaxZeroPoint(
            nothing,
            status,
            "no parallax zero point removed: the table has no nu_eff_used_in_astrometry or pseudocolour of "
            "Gaia DR3 (for Gaia DR2 give a constant, such as --zero-point -0.029)",
        )
    ecl_lat_deg = as_floats(stars, "ecl_lat")
    computed = ecliptic_latitude_deg(as_floats(stars, "ra"), as_floats(stars, "dec"))
    ecl_lat_deg = np.where(np.isfinite(ecl_lat_deg), ecl_lat_deg, computed)
    known &= np.isfinite(ecl_lat_deg)
    value_mas, at_edge = lindegren21_zero_point_mas(
        g_mag[known], nu_eff[known], pseudocolour[known], ecl_lat_deg[known], solved[known]
    )
    zero_point_mas = nothing.copy()
    zero_point_mas[known] = value_mas
    status[known] = np.where(at_edge, ZeroPointStatus.LINDEGREN_2021_AT_EDGE, ZeroPointStatus.LINDEGREN_2021)
    description = (
        f"parallax zero point of Lindegren et al. 2021 removed from {known.sum()} of {has_parallax.sum()} "
        f"parallaxes (median {np.median(value_mas):.4f} mas)"
    )
    if at_edge.any():
        description += f"; {at_edge.sum()} of them outside its range, with the value at the edge"
    if known.sum() < has_parallax.sum():
        description += f"; none removed from {has_parallax.sum() - known.sum()} which lack G or colour"
    return ParallaxZeroPoint(zero_point_mas, status, description)


def _checked_constant(zero_point: Any) -> float:
    try:
        value_mas = float(zero_point)
    except (TypeError, ValueError):
        value_mas = float("nan")
    if not abs(value_mas) <= 1.0:
        raise InputError(
            f"a constant parallax zero point must be a number of mas between -1 and 1; got {zero_point!r}. "
            "Gaia DR2: -0.029 (Lindegren et al. 2018)."
        )
    return value_mas
