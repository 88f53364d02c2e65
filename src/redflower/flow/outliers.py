"""What stars that are not of the population look like: a broad density about the training sample's colours.

A quasar, a galaxy, a bad match or a blend has colours of no star. Such data have a density of their own, so broad that only a
star which the flow calls nearly impossible is taken for one of them. It is the same in training and in inference.
"""

from typing import Final

import numpy as np
from jaxtyping import Bool, Float
from scipy.special import expit, gammaln

from redflower.bands import G
from redflower.constants import OUTLIER_SHARE
from redflower.flow.standardise import Standardisation
from redflower.star import Star

#: Half of what is not of the population lies about the locus of its colours (blends, variables), half anywhere within about this
#: of it (quasars, galaxies, bad matches). [mag]
OUTLIER_WIDTHS_MAG: Final = (0.0, 0.5)
#: Degrees of freedom of Student's t: heavy tails, for nobody knows how far they reach.
OUTLIER_FREEDOM: Final = 4.0
#: Scale of the parallaxes of what is not a star, or not this star. [mas]
OUTLIER_PARALLAX_MAS: Final = 1.0
#: Stars whose matrices are in memory together.
_CHUNK: Final = 16_384


def log_outlier_density(
    stars: Star,
    standardisation: Standardisation,
    *,
    n_bands: int,
    g_bright_mag: float,
    g_faint_mag: float,
    used: Bool[np.ndarray, "star band"] | None = None,
) -> Float[np.ndarray, " star"]:
    """Return ln of the density of each star's data, if it is not of the population.

    Uniform in G between the limits; two of Student's t in the colours relative to G, with the mean and the covariance of the
    training sample and the star's errors, one of them wider by 0.5 mag in all directions; another in the parallax, about 0.

    Equation: E26 (docs/explanation/model.md).

    Parameters
    ----------
    stars : a batch, host arrays.
    standardisation : of the flow: it holds mean and covariance of the sample's colours.
    n_bands : how many leading bands count.
    g_bright_mag, g_faint_mag : limits of the sample. [mag]
    used : which bands count. If None, those that were observed.

    Returns
    -------
    ln of a density in (magnitudes, parallax), per mag of each band that counts and per mas; NaN for stars without G.
    """
    observed = np.asarray(stars.observed)[:, :n_bands] if used is None else np.asarray(used)[:, :n_bands]
    cholesky = np.linalg.inv(np.asarray(standardisation.x_inverse_cholesky, np.float64)[:n_bands, :n_bands])
    covariance = (cholesky @ cholesky.T)[1:, 1:]
    mean_mag = np.asarray(standardisation.x_mean, np.float64)[1:n_bands]
    out = np.full(len(observed), np.nan)
    for start in range(0, len(observed), _CHUNK):
        rows = slice(start, start + _CHUNK)
        magnitude, error = (
            np.asarray(a[rows], np.float64)[:, :n_bands]
            for a in (stars.magnitude_mag, stars.magnitude_error_mag)
        )
        both = [
            _log_colours(
                magnitude, error, observed[rows, 1:], mean_mag, covariance + width**2 * np.eye(n_bands - 1)
            )
            for width in OUTLIER_WIDTHS_MAG
        ]
        out[rows] = np.logaddexp(*both) - np.log(2.0)
    out -= np.log(g_faint_mag - g_bright_mag)
    parallax, error = (np.asarray(a, np.float64) for a in (stars.parallax_mas, stars.parallax_error_mas))
    scale = np.hypot(error, OUTLIER_PARALLAX_MAS)
    of_parallax = _log_student((parallax / scale) ** 2, 2.0 * np.log(scale), np.ones_like(scale))
    out += np.where(np.asarray(stars.has_parallax), of_parallax, 0.0)
    return np.where(observed[:, G], out, np.nan)  # E26


def _log_colours(
    magnitude_mag: Float[np.ndarray, "star band"],
    error_mag: Float[np.ndarray, "star band"],
    observed: Bool[np.ndarray, "star colour"],
    mean_mag: Float[np.ndarray, " colour"],
    covariance: Float[np.ndarray, "colour colour"],
) -> Float[np.ndarray, " star"]:
    """Return ln of Student's t in the colours that were observed. Equation: E26."""
    both = observed[:, :, None] & observed[:, None, :]
    # All colours share the error of G. A colour that is missing has a row and a column of the unit matrix.
    matrix = covariance + error_mag[:, :1, None] ** 2 + np.eye(len(mean_mag)) * error_mag[:, 1:, None] ** 2
    matrix = np.where(both, matrix, np.eye(len(mean_mag)))
    with np.errstate(invalid="ignore"):
        residual = np.where(observed, magnitude_mag[:, 1:] - magnitude_mag[:, :1] - mean_mag, 0.0)
    factor = np.linalg.cholesky(matrix)
    scaled = np.linalg.solve(factor, residual[:, :, None])[:, :, 0]
    log_determinant = 2.0 * np.log(np.diagonal(factor, axis1=1, axis2=2)).sum(axis=1)
    return _log_student((scaled**2).sum(axis=1), log_determinant, observed.sum(axis=1))


def _log_student(
    square: Float[np.ndarray, " star"],
    log_determinant: Float[np.ndarray, " star"],
    n_dim: np.ndarray,
) -> Float[np.ndarray, " star"]:
    nu = OUTLIER_FREEDOM
    constant = gammaln(0.5 * (nu + n_dim)) - gammaln(0.5 * nu) - 0.5 * n_dim * np.log(nu * np.pi)
    return constant - 0.5 * log_determinant - 0.5 * (nu + n_dim) * np.log1p(square / nu)


def outlier_probability(
    log_density: Float[np.ndarray, " star"],
    log_outlier: Float[np.ndarray, " star"],
    share: float,
) -> Float[np.ndarray, " star"]:
    """Return the probability that each star is not of the population, given the share of such stars in the sample.

    Equation: E28 (docs/explanation/model.md).

    Parameters
    ----------
    log_density, log_outlier : ln of the density of the star's data, of the population and otherwise.
    share : of the stars that are not of it, before the data are looked at.
    """
    if share <= 0.0:
        return np.where(np.isfinite(log_density), 0.0, np.nan)
    return expit(np.log(share) - np.log1p(-share) + log_outlier - log_density)  # E28


def fit_outlier_share(
    log_density: Float[np.ndarray, " star"],
    log_outlier: Float[np.ndarray, " star"],
    start: float = OUTLIER_SHARE,
) -> float:
    """Return the share of a sample that is not of the population, by maximum likelihood.

    The likelihood has one maximum; the expectation-maximisation climbs to it. Half a star more of each kind keeps the share off 0
    and 1. Equation: E28.
    """
    share = start
    for _ in range(200):
        expected = float(outlier_probability(log_density, log_outlier, share).sum())
        new = (expected + 0.5) / (len(log_density) + 1.0)
        if abs(new - share) < 1e-3 * share:
            return new
        share = new
    return share
