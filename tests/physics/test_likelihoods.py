"""Likelihoods of magnitudes and parallax, against scipy and at the edges of their domain."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from redflower.physics import (
    DISTANCE_FLOOR_PC,
    absolute_to_colour,
    colour_covariance,
    log_parallax_likelihood,
    log_photometric_likelihood,
)

RNG = np.random.default_rng(3)
MODEL = np.linspace(15.0, 17.0, 11)
ERROR = np.linspace(0.003, 0.05, 11)
SEEN = MODEL + ERROR * RNG.normal(size=11)
OBSERVED = np.array([True] * 8 + [False, True, False])


@pytest.mark.equation("E5")
def test_photometric_likelihood_is_the_normal_density_of_the_observed_bands() -> None:
    ours = log_photometric_likelihood(
        jnp.asarray(SEEN), jnp.asarray(ERROR), jnp.asarray(OBSERVED), jnp.asarray(MODEL)
    )
    expected = stats.norm.logpdf(SEEN, MODEL, ERROR)[OBSERVED].sum()
    # A magnitude of 17 has a float32 error of 1e-6, 3e-4 of the smallest error, times residuals of 1 to 2.
    np.testing.assert_allclose(ours, expected, atol=5e-3)


@pytest.mark.equation("E5")
@pytest.mark.equation("EP3")
def test_in_colours_with_their_full_covariance_it_is_the_same_density_and_without_it_is_not() -> None:
    with jax.enable_x64(True):
        in_magnitudes = log_photometric_likelihood(
            jnp.asarray(SEEN), jnp.asarray(ERROR), jnp.ones(11, bool), jnp.asarray(MODEL)
        )
        residual = absolute_to_colour(jnp.asarray(SEEN - MODEL))
        covariance = np.asarray(colour_covariance(jnp.asarray(ERROR)))
    in_colours = stats.multivariate_normal.logpdf(residual, np.zeros(11), covariance)
    np.testing.assert_allclose(in_magnitudes, in_colours, rtol=1e-10)
    independent = stats.multivariate_normal.logpdf(residual, np.zeros(11), np.diag(np.diag(covariance)))
    assert abs(independent - in_colours) > 0.1


@pytest.mark.equation("E5")
@pytest.mark.parametrize("filler", [0.0, 99.9, np.nan, np.inf])
def test_unobserved_bands_count_for_nothing_whatever_fills_them(filler: float) -> None:
    hidden = ~OBSERVED
    magnitude = jnp.asarray(np.where(hidden, filler, SEEN))
    error = jnp.asarray(np.where(hidden, filler, ERROR))
    observed, model = jnp.asarray(OBSERVED), jnp.asarray(MODEL)
    value, gradients = jax.value_and_grad(log_photometric_likelihood, (0, 1, 3))(
        magnitude, error, observed, model
    )
    shown = log_photometric_likelihood(*(a[OBSERVED] for a in (magnitude, error, observed, model)))
    np.testing.assert_allclose(value, shown, rtol=1e-6)
    for gradient in gradients:
        np.testing.assert_array_equal(np.asarray(gradient)[hidden], 0.0)
        assert np.all(np.isfinite(gradient))


@pytest.mark.equation("E5")
def test_a_star_without_bands_has_likelihood_one() -> None:
    value = log_photometric_likelihood(jnp.zeros(11), jnp.ones(11), jnp.zeros(11, bool), jnp.full(11, 15.0))
    assert value == 0.0


@pytest.mark.equation("E6")
@pytest.mark.parametrize(
    ("parallax_mas", "error_mas", "distance_pc"),
    [(1.0, 0.1, 950.0), (-0.3, 0.2, 4000.0), (100.0, 0.02, 10.0), (0.02, 0.5, 5e4)],
)
def test_parallax_likelihood_is_the_normal_density(
    parallax_mas: float, error_mas: float, distance_pc: float
) -> None:
    ours = log_parallax_likelihood(parallax_mas, error_mas, distance_pc)
    np.testing.assert_allclose(
        ours, stats.norm.logpdf(parallax_mas, 1000 / distance_pc, error_mas), rtol=1e-5
    )


@pytest.mark.equation("E6")
def test_parallax_is_in_milliarcseconds() -> None:
    # The likeliest distance of 2 mas is 500 pc; in arcseconds it would be 0.5 pc.
    distance_pc = np.linspace(100, 1000, 901)
    log_likelihood = jax.vmap(lambda d: log_parallax_likelihood(2.0, 0.05, d))(distance_pc)
    assert distance_pc[np.argmax(log_likelihood)] == 500.0


@pytest.mark.equation("E6")
@pytest.mark.equation("D5")
def test_parallax_likelihood_is_finite_down_to_distance_zero() -> None:
    function = jax.value_and_grad(log_parallax_likelihood, (0, 1, 2))
    for distance_pc in (0.0, DISTANCE_FLOOR_PC / 2, DISTANCE_FLOOR_PC, 1.0, 1e6):
        for parallax_mas in (-5.0, 0.0, 800.0):
            value, gradients = function(parallax_mas, 0.01, distance_pc)
            assert np.isfinite(value)
            assert np.all(np.isfinite(gradients))
    assert log_parallax_likelihood(1.0, 0.1, 0.0) == log_parallax_likelihood(1.0, 0.1, DISTANCE_FLOOR_PC)
