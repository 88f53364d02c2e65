"""Colours relative to G, their correlated errors, and magnitude errors from fluxes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from redflower.physics import (
    absolute_to_colour,
    colour_covariance,
    colour_to_absolute,
    magnitude_error_mag,
)

MAGNITUDES = np.array([5.1, 5.5, 4.5, 5.7, 5.2, 5.0, 4.9, 4.8, 4.1, 3.8, 3.7])
ERRORS = np.linspace(0.003, 0.05, 11)


def lambda_matrix(n_bands: int) -> np.ndarray:
    """Equation 4 of the paper, written out."""
    matrix = np.eye(n_bands)
    matrix[1:, 0] = -1.0
    return matrix


@pytest.mark.equation("E3")
@pytest.mark.equation("E4")
@pytest.mark.parametrize("n_bands", [1, 3, 8, 11])
def test_colours_are_lambda_times_magnitudes(n_bands: int) -> None:
    magnitudes = jnp.asarray(MAGNITUDES[:n_bands])
    x = absolute_to_colour(magnitudes)
    np.testing.assert_allclose(x, lambda_matrix(n_bands) @ MAGNITUDES[:n_bands], atol=1e-6)
    np.testing.assert_allclose(colour_to_absolute(x), magnitudes, atol=1e-6)


@pytest.mark.equation("EP3")
def test_colour_covariance_is_lambda_sigma_lambda_transposed() -> None:
    matrix = lambda_matrix(11)
    covariance = colour_covariance(jnp.asarray(ERRORS))
    np.testing.assert_allclose(covariance, matrix @ np.diag(ERRORS**2) @ matrix.T, rtol=1e-5)


@pytest.mark.equation("EP3")
def test_colours_that_share_g_are_correlated_as_noisy_stars_are() -> None:
    rng = np.random.default_rng(0)
    n_stars = 20000
    noise = ERRORS * rng.normal(size=(n_stars, 11))
    seen = np.cov(jax.vmap(absolute_to_colour)(jnp.asarray(noise)).T)
    expected = np.asarray(colour_covariance(jnp.asarray(ERRORS)))
    scale = np.sqrt(np.outer(np.diag(expected), np.diag(expected)))
    # A sample covariance scatters by about sqrt(2 / n) = 0.01 of the scale: 5 sigma of 66 numbers.
    assert np.abs((seen - expected) / scale).max() < 0.05
    assert expected[1, 2] == pytest.approx(ERRORS[0] ** 2)


@pytest.mark.equation("EP2")
@pytest.mark.parametrize("xp", [np, jnp])
def test_magnitude_error_is_the_relative_flux_error_with_the_floor(xp) -> None:
    flux = xp.asarray([1000.0, 20.0, 5.0])
    flux_error = xp.asarray([1.0, 1.0, 1.0])
    error_mag = magnitude_error_mag(flux, flux_error, 0.0)
    assert isinstance(error_mag, np.ndarray if xp is np else jax.Array)
    # Half the magnitude between one error above and one below, true to third order in the relative error.
    f, s = np.asarray(flux), np.asarray(flux_error)
    half_mag = 1.25 * np.log10((f + s) / (f - s))
    np.testing.assert_allclose(error_mag, half_mag, rtol=0.5 * (1 / 5) ** 2)
    np.testing.assert_allclose(error_mag, 1.0857362 / f, rtol=1e-6)
    with_floor = magnitude_error_mag(flux, flux_error, 0.01)
    np.testing.assert_allclose(with_floor, np.hypot(np.asarray(error_mag), 0.01), rtol=1e-6)


@pytest.mark.equation("EP2")
@pytest.mark.parametrize("xp", [np, jnp])
def test_a_flux_that_is_not_positive_has_no_magnitude_error(xp) -> None:
    error_mag = magnitude_error_mag(xp.asarray([0.0, -3.0, np.nan, 4.0]), xp.ones(4), 0.01)
    np.testing.assert_array_equal(np.isnan(np.asarray(error_mag)), [True, True, True, False])


@pytest.mark.equation("EP2")
def test_magnitude_error_has_a_finite_gradient() -> None:
    gradient = jax.grad(lambda f, s: magnitude_error_mag(f, s, 0.003), (0, 1))
    assert np.all(np.isfinite(gradient(jnp.array(10.0), jnp.array(0.0))))
