"""What the surveys make of a star: errors, limits, saturation.

How the catalogue errors run with magnitude was read off real stars, the field of M67 and the 10,000 stars of Green et
al. (2021). Their levels (factors of 0.7 to 1.5) are such that the medians of a high-latitude sample in which, as in
theirs, half of the stars have 2MASS (G < 18.6) are those of O'Callaghan et al. (2025, table 1).
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from jaxtyping import Bool, Float
from zero_point import zpt

from redflower.bands import N_BANDS, STANDARD, BandSet
from redflower.simulate.further_survey import further_error, further_listed

# (magnitude of the band, median error) node by node; linear in the log of the error between them. [mag]
_ERROR_NODES: Final[dict[str, tuple[tuple[float, ...], tuple[float, ...]]]] = {
    "G": ((13, 14, 15, 16, 17, 18, 19, 20, 21), (0.00018, 0.00019, 0.00024, 0.00036, 0.00056, 0.00096, 0.0017, 0.0034, 0.0072)),
    "BP": ((13, 14, 15, 16, 17, 18, 19, 20, 21), (0.0012, 0.0013, 0.0018, 0.0031, 0.0056, 0.012, 0.026, 0.06, 0.14)),
    "RP": ((12, 13, 14, 15, 16, 17, 18, 19, 20), (0.00048, 0.00054, 0.00075, 0.0012, 0.0022, 0.0045, 0.0099, 0.023, 0.054)),
    "g": ((13, 14, 15, 17, 18, 19, 20, 21, 22), (0.014, 0.0057, 0.005, 0.0055, 0.0071, 0.011, 0.018, 0.037, 0.085)),
    "r": ((13, 14, 15, 17, 18, 19, 20, 21, 22), (0.015, 0.0062, 0.0047, 0.0052, 0.0061, 0.009, 0.016, 0.034, 0.081)),
    "i": ((13, 14, 15, 17, 18, 19, 20, 21, 22), (0.010, 0.0048, 0.0034, 0.0035, 0.0044, 0.0068, 0.013, 0.028, 0.065)),
    "z": ((13, 14, 15, 16, 17, 18, 19, 20, 21), (0.0067, 0.0035, 0.0034, 0.0037, 0.0045, 0.0066, 0.012, 0.023, 0.056)),
    "y": ((12, 13, 14, 15, 16, 17, 18, 19, 20), (0.0063, 0.0035, 0.0034, 0.0036, 0.0044, 0.0066, 0.013, 0.028, 0.07)),
    "J": ((9, 13, 14, 14.5, 15, 15.5, 16, 16.5, 17), (0.022, 0.023, 0.0265, 0.031, 0.039, 0.053, 0.078, 0.113, 0.177)),
    "H": ((9, 12, 13, 14, 14.5, 15, 15.5, 16, 16.5), (0.022, 0.023, 0.0265, 0.038, 0.051, 0.074, 0.110, 0.170, 0.250)),
    "Ks": ((9, 11, 12, 13, 13.5, 14, 14.5, 15, 15.5), (0.018, 0.019, 0.022, 0.0285, 0.036, 0.050, 0.069, 0.104, 0.160)),
    # hypot(0.022 or 0.021, 0.217 at the 5-sigma limit, W1 = 16.9 or W2 = 16.0): AllWISE Explanatory Supplement (Cutri 2013).
    "W1": ((8, 12, 13, 14, 15, 16, 17, 18), (0.022, 0.0222, 0.0230, 0.0267, 0.0438, 0.0973, 0.239, 0.598)),
    "W2": ((8, 11, 12, 13, 14, 15, 16, 17), (0.021, 0.0211, 0.0217, 0.0252, 0.0405, 0.0890, 0.218, 0.546)),
}  # fmt: skip

#: Scatter of the natural log of the catalogue errors at one magnitude, from the same stars: visits, sky, crowding.
ERROR_SCATTER: Final[dict[str, float]] = {"gaia": 0.30, "ps1": 0.22, "2mass": 0.12}
#: The same of further surveys, assumed to be that of 2MASS.
FURTHER_ERROR_SCATTER: Final = 0.12

#: Pan-STARRS1 saturation, 5-sigma limits and southern edge (O'Callaghan et al. 2025, section 3.2).
PS1_BRIGHT_MAG: Final[dict[str, float]] = {"g": 13.5, "r": 13.5, "i": 13.5, "z": 13.0, "y": 12.0}
PS1_FAINT_MAG: Final[dict[str, float]] = {"g": 23.3, "r": 23.2, "i": 23.1, "z": 22.3, "y": 21.4}
PS1_DECLINATION_MIN_DEG: Final = -30.0

#: 2MASS gives the photometric quality 'A' to errors of at most this, a signal-to-noise ratio of 10 (Cutri et al. 2003).
TMASS_ERROR_MAX_MAG: Final = 0.1085

#: Gaia DR3 Vega zero points (Riello et al. 2021, A&A 649, A3). [mag]
GAIA_ZERO_POINT_MAG: Final[dict[str, float]] = {"G": 25.6873668671, "BP": 25.3385422158, "RP": 24.7478955012}

# Medians of the 5-parameter solutions of Gaia DR3 (Lindegren et al. 2021, A&A 649, A2, table 4 and fig. 7).
_PARALLAX_NODES: Final = (
    (6.0, 13.0, 14.0, 15.0, 16.0, 17.0, 18.0, 19.0, 20.0, 21.0),
    (0.018, 0.014, 0.018, 0.028, 0.043, 0.070, 0.122, 0.227, 0.48, 1.2),
)
_PARALLAX_SCATTER: Final = 0.18


def catalogue_errors(
    magnitude_mag: Float[np.ndarray, "star band"], rng: np.random.Generator, bands: BandSet = STANDARD
) -> Float[np.ndarray, "star band"]:
    """Draw catalogue errors of stars of given noise-free apparent magnitudes, with their scatter. [mag]

    The scatter is independent of the star; half of its variance is common to the bands of a survey.
    """
    out = np.empty_like(magnitude_mag)
    common = {survey: rng.standard_normal(len(magnitude_mag)) for survey in ERROR_SCATTER}
    for i, band in enumerate(bands):
        if (
            i == N_BANDS
        ):  # further bands have random numbers of their own: the others' stay what they are without them
            rng = rng.spawn(1)[0]
            common |= {
                name: rng.standard_normal(len(magnitude_mag)) for name in bands.surveys if name not in common
            }
        own = rng.standard_normal(len(magnitude_mag))
        size = ERROR_SCATTER.get(band.survey, FURTHER_ERROR_SCATTER)
        scatter = size * (common[band.survey] + own) / np.sqrt(2.0)
        nodes = _ERROR_NODES.get(band.label)
        m = magnitude_mag[:, i]
        out[:, i] = (further_error(band, m) if nodes is None else _log_interpolated(m, *nodes)) * np.exp(
            scatter
        )
    return out


def _log_interpolated(x: np.ndarray, nodes: tuple[float, ...], values: tuple[float, ...]) -> np.ndarray:
    """Interpolate the log of positive values; constant before the first node, the last slope after the last."""
    logs = np.log(values)
    slope = (logs[-1] - logs[-2]) / (nodes[-1] - nodes[-2])
    return np.exp(np.interp(x, nodes, logs) + slope * np.maximum(x - nodes[-1], 0.0))


def ps1_drift_mag(
    magnitude_mag: Float[np.ndarray, "star band"], drift: Mapping[str, Any], bands: BandSet = STANDARD
) -> Float[np.ndarray, "star band"]:
    """Return how much Pan-STARRS1's magnitudes differ from the truth: a broken line per band, zero at its second node. [mag]

    Parameters
    ----------
    magnitude_mag : noise-free magnitudes.
    drift : ``nodes_mag``, four of them, and ``mag_per_mag``, a slope per band below and one above the third node.
    """
    low, pivot, middle, high = drift["nodes_mag"]
    below, above = np.array(drift["mag_per_mag"])
    out = np.zeros_like(magnitude_mag)
    ps1 = [i for i, band in enumerate(bands) if band.survey == "ps1"]
    m = magnitude_mag[:, ps1]
    out[:, ps1] = below * (np.clip(m, low, middle) - pivot) + above * (np.clip(m, middle, high) - middle)
    return out


def listed(
    observed_mag: Float[np.ndarray, "star band"],
    error_mag: Float[np.ndarray, "star band"],
    dec_deg: Float[np.ndarray, " star"],
    bands: BandSet = STANDARD,
) -> Bool[np.ndarray, "star band"]:
    """Return which bands a cross-matched catalogue would list.

    Gaia always; Pan-STARRS1 north of its edge, between saturation and limit; 2MASS where all three of its bands reach the
    quality 'A', because only 'AAA' sources are used; further surveys as `further_listed` has it.
    """
    out = np.ones(observed_mag.shape, bool)
    tmass = [i for i, band in enumerate(bands) if band.survey == "2mass"]
    for i, band in enumerate(bands):
        if band.survey == "ps1":
            bright, faint = PS1_BRIGHT_MAG[band.label], PS1_FAINT_MAG[band.label]
            inside = (observed_mag[:, i] > bright) & (observed_mag[:, i] < faint)
            out[:, i] = inside & (dec_deg > PS1_DECLINATION_MIN_DEG)
        elif i >= N_BANDS:
            out[:, i] = further_listed(band, observed_mag, error_mag, dec_deg, bands)
    out[:, tmass] = (error_mag[:, tmass] <= TMASS_ERROR_MAX_MAG).all(axis=1, keepdims=True)
    return out


def parallax_errors(
    g_mag: Float[np.ndarray, " star"], rng: np.random.Generator
) -> Float[np.ndarray, " star"]:
    """Draw parallax errors of stars of given noise-free G, with scatter. [mas]"""
    median = _log_interpolated(g_mag, *_PARALLAX_NODES)
    return median * np.exp(_PARALLAX_SCATTER * rng.standard_normal(len(g_mag)))


def effective_wavenumber(bp_rp_mag: Float[np.ndarray, " star"]) -> Float[np.ndarray, " star"]:
    """Return the effective wavenumber of a colour (Lindegren et al. 2021, A&A 649, A2, eq. 3). [1/um]"""
    c = np.clip(bp_rp_mag, -0.5, 7.0)
    return 2.0 - 1.8 / np.pi * np.arctan(0.331 + 0.572 * c - 0.014 * c**2 + 0.045 * c**3)


def parallax_zero_point(
    g_mag: Float[np.ndarray, " star"],
    nu_eff_per_um: Float[np.ndarray, " star"],
    ecl_lat_deg: Float[np.ndarray, " star"],
) -> Float[np.ndarray, " star"]:
    """Return the parallax zero point of 5-parameter solutions (Lindegren et al. 2021, A&A 649, A4). [mas]

    Outside the relation's range, 6 < G < 21 and 1.1 < nu_eff < 1.9, its value at the edge.
    """
    zpt.load_tables()
    unused = np.full(len(g_mag), 1.5)
    nu_eff, g = np.clip(nu_eff_per_um, 1.1001, 1.8999), np.clip(g_mag, 6.001, 20.999)
    solved = np.full(len(g_mag), 31)
    return np.asarray(zpt.get_zpt(g, nu_eff, unused, ecl_lat_deg, solved, _warnings=False), float)
