"""Likelihoods of what was measured of one star: magnitudes and parallax."""

from typing import Final

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Bool, Float

from redflower.constants import LOG_SQRT_2PI
from redflower.physics._types import ScalarLike
from redflower.physics.coordinates import DISTANCE_FLOOR_PC

#: Parallax times distance. Parallaxes are in milliarcseconds everywhere in redflower. [mas pc]
PARALLAX_DISTANCE_MAS_PC: Final = 1000.0


def log_photometric_likelihood(
    magnitude_mag: Float[Array | np.ndarray, " band"],
    magnitude_error_mag: Float[Array | np.ndarray, " band"],
    observed: Bool[ArrayLike, " band"],
    model_magnitude_mag: Float[Array | np.ndarray, " band"],
    whitener: Float[Array | np.ndarray, "band band"] | None = None,
) -> Float[Array, ""]:
    r"""Evaluate the log likelihood of the observed apparent magnitudes.

    .. math:: \ln p(\hat m \mid x, E, d) = \sum_{i\ \mathrm{observed}} \ln N(\hat m_i \mid m_i, \sigma_i^2),
       \qquad m = \Lambda^{-1} x + R(E, C) E + \mu(d)

    Equation: E5, E5b (docs/explanation/model.md). Source: O'Callaghan et al. (2025), eq. 5, with a diagonal covariance: the
    errors of *magnitudes* are independent, unless a survey's bands come with their covariance. Those of colours are not
    (`redflower.physics.photometry.colour_covariance`); as the determinant of Lambda is 1, the density is the
    same in either.

    Parameters
    ----------
    magnitude_mag : apparent magnitudes. [mag]
    magnitude_error_mag : their standard errors, floor included, > 0 where observed. [mag]
    observed : which of the bands count. Values and errors of the others are not read, not even a NaN.
    model_magnitude_mag : apparent magnitudes of the model, extinction and distance modulus included. [mag]
    whitener : of the errors' correlation (`redflower.physics.correlated_errors.error_whitener`). If None, errors are independent.

    Returns
    -------
    Natural log of the density in mag^-(number of observed bands); 0 where no band was observed.
    """
    # The inner `where`s keep fillers out of the arithmetic, and so out of the gradient.
    error_mag = jnp.where(observed, magnitude_error_mag, 1.0)
    z = jnp.where(observed, magnitude_mag - model_magnitude_mag, 0.0) / error_mag
    if whitener is None:
        log_density = -0.5 * z**2 - jnp.log(error_mag) - LOG_SQRT_2PI  # E5
    else:
        # A product and a sum: XLA fuses them, where its batched products of small matrices are slow on a CPU.
        white = jnp.sum(whitener * z[None, :], axis=1)
        log_stretch = jnp.log(jnp.diagonal(whitener))
        log_density = -0.5 * white**2 + log_stretch - jnp.log(error_mag) - LOG_SQRT_2PI  # E5b
    return jnp.sum(jnp.where(observed, log_density, 0.0))


def log_parallax_likelihood(
    parallax_mas: ScalarLike, parallax_error_mas: ScalarLike, distance_pc: ScalarLike
) -> Float[Array, ""]:
    r"""Evaluate the log likelihood of the parallax given the distance.

    .. math:: \ln p(\varpi \mid d) = \ln N(\varpi \mid 1000\,\mathrm{pc}/d,\ \sigma_\varpi^2)\ \text{in mas}

    Equation: E6 (docs/explanation/model.md). Source: O'Callaghan et al. (2025), eq. 6. The zero point that stands there
    is already taken off the parallax (the catalogue does it), so it is not here.

    Parameters
    ----------
    parallax_mas : parallax, zero point removed; may be negative. [mas]
    parallax_error_mas : its standard error, > 0. [mas]
    distance_pc : heliocentric distance, >= 0; below `DISTANCE_FLOOR_PC` it acts as that (D5). [pc]

    Returns
    -------
    Natural log of the density in 1/mas.
    """
    model_mas = PARALLAX_DISTANCE_MAS_PC / jnp.maximum(distance_pc, DISTANCE_FLOOR_PC)  # D5
    z = (parallax_mas - model_mas) / parallax_error_mas
    return -0.5 * z**2 - jnp.log(parallax_error_mas) - LOG_SQRT_2PI  # E6
