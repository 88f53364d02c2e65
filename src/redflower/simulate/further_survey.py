"""What further surveys make of a star: AllWISE, SDSS, SkyMapper, and Gaia's BP and RP spectra.

Errors of SDSS and SkyMapper are an error of bright stars and the sky's noise, which is that of a signal-to-noise ratio of 5 at
the survey's depth. Errors of spectra, and how those of their bands go together, are those of real spectra.
"""

from functools import cache
from typing import Final

import numpy as np
from jaxtyping import Bool, Float

from redflower.bands import Band, BandSet, G
from redflower.simulate.further_colours import further_coefficients

#: AllWISE lists sources to a signal-to-noise ratio of 5 in W1, and in W2 quality 'B' goes to 3 (Cutri et al. 2013).
WISE_ERROR_MAX_MAG: Final[dict[str, float]] = {"wise_w1": 0.217, "wise_w2": 0.362}

#: (saturation, magnitude of a signal-to-noise ratio of 5). SDSS: limits of the imaging, 95 % complete (Abazajian et al. 2009);
#: SkyMapper: the short exposures' saturation (Wolf et al. 2018), one exposure of 100 s of the main survey. [mag]
DEPTHS_MAG: Final[dict[str, tuple[float, float]]] = {
    "sdss_u": (13.0, 22.0), "sdss_g": (14.0, 22.2), "sdss_r": (14.0, 22.2), "sdss_i": (14.0, 21.3), "sdss_z": (12.0, 20.5),
    "skymapper_u": (9.0, 19.5), "skymapper_v": (9.0, 19.5), "skymapper_g": (9.0, 21.0), "skymapper_r": (9.0, 21.0),
    "skymapper_i": (9.0, 20.0), "skymapper_z": (9.0, 19.0),
}  # fmt: skip
#: Error of bright stars, by survey; assumed. [mag]
BRIGHT_ERROR_MAG: Final[dict[str, float]] = {"sdss": 0.008, "skymapper": 0.008}
#: Error at a signal-to-noise ratio of 5. [mag]
FIVE_SIGMA_MAG: Final = 0.217

#: SkyMapper's northern edge.
SKYMAPPER_DECLINATION_MAX_DEG: Final = 2.0
#: Gaia DR3 has spectra of stars to this G (De Angeli et al. 2023, A&A 674, A2). [mag]
SPECTRA_G_MAX_MAG: Final = 17.65
#: `redflower spectra` makes magnitudes of a signal-to-noise ratio of at least 10. [mag]
SPECTRA_ERROR_MAX_MAG: Final = 0.10857


def further_error(band: Band, magnitude_mag: Float[np.ndarray, " star"]) -> Float[np.ndarray, " star"]:
    """Return the median catalogue error of stars of given magnitudes in a band of SDSS, SkyMapper or spectra. [mag]"""
    if band.survey == "xp":
        known = further_coefficients("spectral_colours.json")["xp_errors"]
        constant, photons, sky = known["variance_terms_mag2"][known["bands"].index(band.label)]
        faint = 10.0 ** (0.4 * (magnitude_mag - 15.0))
        return np.sqrt(constant + photons * faint + sky * faint**2)
    noise = FIVE_SIGMA_MAG * 10.0 ** (0.4 * (magnitude_mag - DEPTHS_MAG[band.name][1]))
    return np.hypot(BRIGHT_ERROR_MAG[band.survey], noise)


@cache
def spectra_correlation(bands: BandSet) -> Float[np.ndarray, "band band"]:
    """Return the correlation of the catalogue errors of the bands of a set: that of real spectra, and none of other bands."""
    known = further_coefficients("spectral_colours.json")["xp_errors"]
    out = np.eye(len(bands))
    places = [i for i, band in enumerate(bands) if band.survey == "xp"]
    of = [known["bands"].index(bands[i].label) for i in places]
    out[np.ix_(places, places)] = np.array(known["correlation"])[np.ix_(of, of)]
    return out


def correlated(
    normal: Float[np.ndarray, "star band"],
    error_mag: Float[np.ndarray, "star band"],
    floor_mag: Float[np.ndarray, " band"],
    bands: BandSet,
) -> Float[np.ndarray, "star band"]:
    """Return standard normals of bands that go together as the errors of spectra do, whose floors are independent.

    Parameters
    ----------
    normal : independent ones; those of bands that are not of spectra stay as they are.
    error_mag, floor_mag : catalogue errors, and what is added to them in quadrature.
    bands : of all.
    """
    places = [i for i, band in enumerate(bands) if band.survey == "xp"]
    if not places:
        return normal
    error, floor = error_mag[:, places], floor_mag[places]
    total = np.hypot(error, floor)
    covariance = spectra_correlation(bands)[np.ix_(places, places)] * error[:, :, None] * error[:, None, :]
    covariance[:, range(len(places)), range(len(places))] = total**2
    out = normal.copy()
    out[:, places] = np.einsum("nij,nj->ni", np.linalg.cholesky(covariance), normal[:, places]) / total
    return out


def further_listed(
    band: Band,
    observed_mag: Float[np.ndarray, "star band"],
    error_mag: Float[np.ndarray, "star band"],
    dec_deg: Float[np.ndarray, " star"],
    bands: BandSet,
) -> Bool[np.ndarray, " star"]:
    """Return of which stars a further survey would list a band.

    AllWISE to its limit in W1, W2 to quality 'B'; SDSS, here all over the sky, and SkyMapper, south of its edge, between
    saturation and a signal-to-noise ratio of 5; spectra to their limit in G, and where the band's signal-to-noise ratio is 10.
    """
    i = bands.index[band.name]
    if band.name in WISE_ERROR_MAX_MAG:
        found = error_mag[:, i] <= WISE_ERROR_MAX_MAG[band.name]
        return found & (error_mag[:, bands.index["wise_w1"]] <= WISE_ERROR_MAX_MAG["wise_w1"])
    if band.survey == "xp":
        return (error_mag[:, i] <= SPECTRA_ERROR_MAX_MAG) & (observed_mag[:, G] < SPECTRA_G_MAX_MAG)
    seen = (observed_mag[:, i] > DEPTHS_MAG[band.name][0]) & (error_mag[:, i] <= FIVE_SIGMA_MAG)
    return seen & (dec_deg < SKYMAPPER_DECLINATION_MAX_DEG) if band.survey == "skymapper" else seen
