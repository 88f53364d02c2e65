"""The linear answer to noise: a Gaussian filter over the bands, computed once per star.

Taking the dust-free population as one normal distribution, the noisy magnitudes of a star can be predicted band by
band from those before it, each weighted by its own error, and the noise-free ones from all of them. A star's position on
the (E, distance) grid does not enter, so this is done once per star, on the host in float64. The networks of the
emulator then only describe how the real population differs from one normal distribution.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Bool, Float


class PopulationMoments(NamedTuple):
    """First and second moments of reddened colours about a linear run with the magnitude in G.

    Attributes
    ----------
    intercept, slope : colours relative to G as intercept + slope * M_G. [mag], [-]
    covariance : of the residuals. [mag^2]
    """

    intercept: Float[np.ndarray, " colour"]
    slope: Float[np.ndarray, " colour"]
    covariance: Float[np.ndarray, "colour colour"]


class CorrelatedNoise(NamedTuple):
    """The filter of stars whose errors are correlated, and what is left of each error.

    Attributes
    ----------
    filter : as of independent errors.
    error_mag : standard error of each band given the errors of the bands before it. [mag]
    """

    filter: "NoiseFilter"
    error_mag: Float[np.ndarray, "star band"]


class NoiseFilter(NamedTuple):
    """What the filter says of a star, as linear maps of its noisy colour-magnitude vector y.

    With z = y[1:] - intercept - slope * y[0], ``innovation @ z`` is each colour minus its prediction from the bands before
    it, and ``smoother @ innovation @ z`` shifts the noise-free state. The state is (noise of G, magnitudes of the other
    bands minus the *observed* G).

    Attributes
    ----------
    innovation : unit lower triangular.
    prediction_std_mag : standard deviation of each noise-free prediction. [mag]
    smoother : (state, colour); columns of missing bands are zero.
    factor_mag : lower Cholesky factor of the covariance of the state given all bands. [mag]
    factor_inverse : its inverse. [1/mag]
    """

    innovation: Float[Array | np.ndarray, "*star colour colour"]
    prediction_std_mag: Float[Array | np.ndarray, "*star colour"]
    smoother: Float[Array | np.ndarray, "*star band colour"]
    factor_mag: Float[Array | np.ndarray, "*star band band"]
    factor_inverse: Float[Array | np.ndarray, "*star band band"]


def make_noise_filter(
    moments: PopulationMoments,
    error_mag: Float[np.ndarray, "star band"],
    observed: Bool[np.ndarray, "star band"],
) -> NoiseFilter:
    """Make the noise filter of every star of a batch.

    Equation: EF2 (docs/explanation/model.md): Kalman's filter with one scalar measurement per band.

    Parameters
    ----------
    moments : of the population.
    error_mag : standard errors of the magnitudes, > 0. [mag]
    observed : which bands were observed; G always is.
    """
    n_stars, n_bands = error_mag.shape
    variance = np.asarray(error_mag, dtype=np.float64) ** 2
    # State: noise of G first, so that the leading part of the factor is the marginal of the leading bands.
    lever = np.concatenate([[1.0], -(1.0 + np.asarray(moments.slope, dtype=np.float64))])
    covariance = np.zeros((n_stars, n_bands, n_bands))
    covariance[:, 1:, 1:] = moments.covariance
    covariance += variance[:, 0, None, None] * np.outer(lever, lever)
    gains = np.zeros((n_stars, n_bands, n_bands - 1))
    prediction = np.zeros((n_stars, n_bands - 1))
    for k in range(1, n_bands):
        prediction[:, k - 1] = covariance[:, k, k]
        weight = np.where(observed[:, k], 1.0 / (covariance[:, k, k] + variance[:, k]), 0.0)
        gain = covariance[:, :, k] * weight[:, None]  # EF2
        gains[:, :, k - 1] = gain
        covariance -= gain[:, :, None] * covariance[:, None, k, :]
    mixing = np.tril(gains[:, 1:, :], -1) + np.eye(n_bands - 1)
    covariance += 1e-12 * np.eye(n_bands)
    factor = np.linalg.cholesky(0.5 * (covariance + covariance.transpose(0, 2, 1)))
    single = np.float32
    return NoiseFilter(
        innovation=np.linalg.inv(mixing).astype(single),
        prediction_std_mag=np.sqrt(np.maximum(prediction, 1e-12)).astype(single),
        smoother=gains.astype(single),
        factor_mag=factor.astype(single),
        factor_inverse=np.linalg.inv(factor).astype(single),
    )


def make_correlated_filter(
    moments: PopulationMoments,
    error_mag: Float[np.ndarray, "star band"],
    observed: Bool[np.ndarray, "star band"],
    whitener: Float[np.ndarray, "star band band"],
) -> CorrelatedNoise:
    """Make the noise filter of every star of a batch whose errors are correlated.

    The innovations are those of one normal distribution with the errors' whole covariance, so that the filter is exact there. An
    innovation's variance is that of the errors given the errors before, and a rest, which takes the place of the noise-free
    prediction's. For independent errors this is `make_noise_filter`.

    Equation: EF8 (docs/explanation/model.md).

    Parameters
    ----------
    moments, error_mag, observed : as of `make_noise_filter`.
    whitener : of the errors' correlation, see `redflower.physics.correlated_errors.error_whitener`.
    """
    n_stars, n_bands = error_mag.shape
    error = np.asarray(error_mag, dtype=np.float64)
    root = np.linalg.inv(np.asarray(whitener, dtype=np.float64)) * error[:, :, None]
    noise = root @ root.transpose(0, 2, 1)
    lever = np.concatenate([[1.0], -(1.0 + np.asarray(moments.slope, dtype=np.float64))])
    state = np.zeros((n_stars, n_bands, n_bands))
    state[:, 1:, 1:] = moments.covariance
    state += noise[:, :1, :1] * np.outer(lever, lever)
    # Of the state with the noisy colours, and of these with each other.
    shared = lever[:, None] * noise[:, :1, 1:]
    with_data = state[:, :, 1:] + shared
    data = with_data[:, 1:] + shared[:, 1:].transpose(0, 2, 1) + noise[:, 1:, 1:]
    seen = observed[:, 1:]
    data = np.where(seen[:, :, None] & seen[:, None, :], data, np.eye(n_bands - 1))
    with_data = np.where(seen[:, None, :], with_data, 0.0)
    lower = np.linalg.cholesky(data)
    deviation = np.diagonal(lower, axis1=1, axis2=2)
    innovation = np.linalg.inv(lower) * deviation[:, :, None]
    smoother = (
        np.linalg.solve(lower, with_data.transpose(0, 2, 1)).transpose(0, 2, 1) / deviation[:, None, :]
    )  # EF8
    left = error / np.diagonal(whitener, axis1=1, axis2=2)
    rest = np.where(seen, deviation**2 - left[:, 1:] ** 2, np.diagonal(state, axis1=1, axis2=2)[:, 1:])  # EF8
    scaled = smoother * deviation[:, None, :]
    covariance = state - scaled @ scaled.transpose(0, 2, 1) + 1e-12 * np.eye(n_bands)
    factor = np.linalg.cholesky(0.5 * (covariance + covariance.transpose(0, 2, 1)))
    single = np.float32
    made = NoiseFilter(
        innovation=innovation.astype(single),
        prediction_std_mag=np.sqrt(np.maximum(rest, 1e-12)).astype(single),
        smoother=smoother.astype(single),
        factor_mag=factor.astype(single),
        factor_inverse=np.linalg.inv(factor).astype(single),
    )
    return CorrelatedNoise(made, left)


def population_moments(y: Float[np.ndarray, "star band"]) -> PopulationMoments:
    """Compute moments of a sample of noise-free colour-magnitude vectors, leaving out stars far off. [mag]"""
    y = np.asarray(y, dtype=np.float64)
    near = (np.abs(y - np.median(y, axis=0)) < 5.0).all(axis=1)
    covariance = np.cov(y[near].T)
    mean = y[near].mean(axis=0)
    slope = covariance[1:, 0] / covariance[0, 0]
    return PopulationMoments(
        mean[1:] - slope * mean[0],
        slope,
        covariance[1:, 1:] - np.outer(slope, covariance[0, 1:]),
    )
