"""The parallax zero point of Lindegren et al. 2021 (A&A 649, A4), and the kinds of astrometric solution it tells apart."""

import warnings
from functools import cache
from typing import Any, Final

import numpy as np
from astropy.table import Table
from jaxtyping import Bool, Float, Int

from redflower.catalogue.io.columns import as_floats
from redflower.catalogue.releases import solution_bits

#: What `solution_kind` returns: the values of ``astrometric_params_solved`` in Gaia DR3.
TWO_PARAMETERS, FIVE_PARAMETERS, SIX_PARAMETERS = 3, 31, 95

G_RANGE_MAG: Final = (6.0, 21.0)
NU_EFF_RANGE_PER_UM: Final = (1.1, 1.9)
PSEUDOCOLOUR_RANGE_PER_UM: Final = (1.24, 1.72)

# Obliquity of the ecliptic at J2000, as in the Gaia archive's coordinates (Gaia DR3 documentation, 4.1.7).
_OBLIQUITY_DEG: Final = 84381.41100 / 3600.0
# The package takes two dozen numbers of working memory a star: a part at a time.
_ROWS_AT_ONCE: Final = 500_000


def solution_kind(stars: Table) -> Int[np.ndarray, " star"]:
    """Return the kind of astrometric solution of each star: 3, 31 or 95; 0 where the table does not tell.

    Two bits of ``astrometric_params_solved`` tell: that of a parallax, and that of a pseudocolour. What else was solved for
    (accelerations and orbits in Gaia DR4) makes no other kind. Where the column is absent, the colours tell: the archive gives
    ``nu_eff_used_in_astrometry`` for solutions with five parameters alone, and ``pseudocolour`` for those with six.
    """
    bits = np.nan_to_num(as_floats(stars, "astrometric_params_solved"), nan=0.0).astype(int)
    parallax_bit, pseudocolour_bit = solution_bits()
    with_parallax = np.where(bits & pseudocolour_bit, SIX_PARAMETERS, FIVE_PARAMETERS)
    solved = np.where(bits & parallax_bit, with_parallax, np.where(bits, TWO_PARAMETERS, 0))
    if "astrometric_params_solved" not in stars.colnames:
        has_parallax = np.isfinite(as_floats(stars, "parallax"))
        six = has_parallax & np.isfinite(as_floats(stars, "pseudocolour"))
        five = has_parallax & np.isfinite(as_floats(stars, "nu_eff_used_in_astrometry")) & ~six
        solved[six], solved[five] = SIX_PARAMETERS, FIVE_PARAMETERS
    return solved


def lindegren21_zero_point_mas(
    g_mag: Float[np.ndarray, " star"],
    nu_eff_per_um: Float[np.ndarray, " star"],
    pseudocolour_per_um: Float[np.ndarray, " star"],
    ecl_lat_deg: Float[np.ndarray, " star"],
    solved: Int[np.ndarray, " star"],
) -> tuple[Float[np.ndarray, " star"], Bool[np.ndarray, " star"]]:
    """Compute zero points of Gaia (E)DR3 parallaxes, for five- and six-parameter solutions mixed freely.

    Source: Lindegren et al. (2021), A&A 649, A4, section 5 and tables 9, 10, through ``gaiadr3-zeropoint``.

    Parameters
    ----------
    g_mag : apparent G. [mag]
    nu_eff_per_um : effective wavenumber; read where ``solved`` is 31. [1/um]
    pseudocolour_per_um : pseudocolour; read where ``solved`` is 95. [1/um]
    ecl_lat_deg : ecliptic latitude. [deg]
    solved : 31 or 95.

    Returns
    -------
    The zero points, to be subtracted from the parallaxes [mas], and whether G or colour was outside the range of
    the function, in which case it was taken at the nearest edge.
    """
    if len(g_mag) == 0:
        return np.zeros(0), np.zeros(0, dtype=bool)
    six = solved == SIX_PARAMETERS
    g = np.clip(g_mag, *G_RANGE_MAG)
    nu_eff = np.clip(nu_eff_per_um, *NU_EFF_RANGE_PER_UM)
    pseudocolour = np.clip(pseudocolour_per_um, *PSEUDOCOLOUR_RANGE_PER_UM)
    at_edge = (g != g_mag) | np.where(six, pseudocolour != pseudocolour_per_um, nu_eff != nu_eff_per_um)
    value_mas = np.empty(len(g))
    with warnings.catch_warnings():
        # The package warns at the very edges; values outside have been moved to them and are flagged.
        warnings.simplefilter("ignore")
        for start in range(0, len(g), _ROWS_AT_ONCE):
            rows = slice(start, start + _ROWS_AT_ONCE)
            value_mas[rows] = _lindegren_package().get_zpt(
                g[rows],
                np.where(six[rows], 1.5, nu_eff[rows]),
                np.where(six[rows], pseudocolour[rows], 1.5),
                ecl_lat_deg[rows],
                solved[rows].astype(float),
            )
    return value_mas, at_edge


def ecliptic_latitude_deg(
    ra_deg: Float[np.ndarray, " star"], dec_deg: Float[np.ndarray, " star"]
) -> Float[np.ndarray, " star"]:
    """Convert equatorial positions to ecliptic latitude at J2000. [deg]"""
    obliquity, ra, dec = np.deg2rad(_OBLIQUITY_DEG), np.deg2rad(ra_deg), np.deg2rad(dec_deg)
    sine = np.sin(dec) * np.cos(obliquity) - np.cos(dec) * np.sin(obliquity) * np.sin(ra)
    return np.rad2deg(np.arcsin(np.clip(sine, -1.0, 1.0)))


@cache
def _lindegren_package() -> Any:
    """Load the package of the published function, with its tables of coefficients."""
    from zero_point import zpt

    zpt.load_tables()
    return zpt
