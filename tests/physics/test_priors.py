"""Priors of distance and reddening, and the distance from parallax and prior, against scipy and the real table."""

import itertools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.typing import ArrayLike
from scipy import integrate, stats
from scipy.special import gammaln

from redflower.physics import (
    DISTANCE_FLOOR_PC,
    distance_posterior_quantiles,
    distance_prior_cdf,
    distance_prior_quantile,
    log_distance_prior,
    log_parallax_evidence,
    log_parallax_likelihood,
    log_reddening_prior,
)

# Parameters (ln L/pc, alpha, beta) like those over the sky: towards the poles, the plane, the anticentre and the
# bulge, where the shape runs from a heavy tail to a sharp edge.
SKY = [(-13.0, 0.18, 7.0), (-12.4, 0.21, 6.5), (5.0, 0.75, 2.0), (8.6, 1.63, 0.106), (9.0, 3.9, 1.2)]
LEVELS = np.array([0.05, 0.16, 0.5, 0.84, 0.95])

# Compiled once for all parameters: over distances, and over stars.
LOG_PRIOR = jax.jit(jax.vmap(log_distance_prior, (0, None, None, None)))
CDF = jax.jit(jax.vmap(distance_prior_cdf, (0, None, None, None)))
POSTERIOR = jax.jit(jax.vmap(distance_posterior_quantiles, (None, 0, 0, 0, None, None, None)))
EVIDENCE = jax.jit(log_parallax_evidence)
PRIOR_GRADIENTS = {
    function: jax.jit(jax.vmap(jax.value_and_grad(function, (0, 1, 2, 3)), (0, None, None, None)))
    for function in (log_distance_prior, distance_prior_cdf)
}


def exact_log_prior(log_d: ArrayLike, log_length_pc: float, alpha: float, beta: float) -> np.ndarray:
    """Equation 13 in float64."""
    ratio = np.asarray(log_d) - log_length_pc
    log_normaliser = np.log(alpha) - gammaln((beta + 1) / alpha) - log_length_pc
    return log_normaliser + beta * ratio - np.exp(alpha * ratio)


def exact_posterior(
    parallax_mas: float, error_mas: float, parameters: tuple[float, float, float]
) -> tuple[np.ndarray, float]:
    """Quantiles at LEVELS and log evidence, by adaptive quadrature of scipy in float64."""

    def log_density(log_d: ArrayLike) -> np.ndarray:
        likelihood = stats.norm.logpdf(parallax_mas, 1000 / np.exp(log_d), error_mas)
        return exact_log_prior(log_d, *parameters) + likelihood + log_d

    # Where the mass is, from dense nodes; then Gauss-Kronrod between neighbouring cuts of it.
    nodes = np.linspace(0.0, np.log(1e5), 1_000_001)
    values = log_density(nodes)
    massive = nodes[values > values.max() - 35]
    cuts = np.linspace(massive[0], massive[-1], 201)
    peak = values.max()
    pieces = [
        integrate.quad(lambda s: float(np.exp(log_density(s) - peak)), a, b, epsabs=0, epsrel=1e-9)[0]
        for a, b in zip(cuts[:-1], cuts[1:], strict=True)
    ]
    mass = np.concatenate([[0.0], np.cumsum(pieces)])
    quantiles = []
    for level in LEVELS * mass[-1]:
        cell = np.searchsorted(mass, level) - 1
        inner = np.linspace(cuts[cell], cuts[cell + 1], 2001)
        within = integrate.cumulative_simpson(np.exp(log_density(inner) - peak), x=inner, initial=0.0)
        quantiles.append(np.interp(level - mass[cell], within, inner))
    return np.exp(quantiles), float(np.log(mass[-1]) + peak)


@pytest.fixture(scope="module")
def sky_table(shared_data: Path) -> np.ndarray:
    """The distance prior of every pixel of the sky (Bailer-Jones et al. 2021)."""
    return np.genfromtxt(shared_data / "bailerjones2021_prior_summary.csv", delimiter=",", names=True)


@pytest.mark.equation("E13")
@pytest.mark.parametrize("parameters", SKY)
def test_distance_prior_is_the_generalised_gamma_and_integrates_to_one(parameters: tuple) -> None:
    log_length_pc, alpha, beta = parameters
    distance_pc = np.geomspace(1e-2, 1e6, 40001)
    ours = np.asarray(LOG_PRIOR(distance_pc, *parameters), float)
    expected = stats.gengamma.logpdf(distance_pc, (beta + 1) / alpha, alpha, scale=np.exp(log_length_pc))
    likely = expected > expected.max() - 20
    # Sums of terms up to 120, each rounded in float32 by 6e-8 of itself: some 3e-5.
    np.testing.assert_allclose(ours[likely], expected[likely], atol=6e-5)
    mass = integrate.trapezoid(np.exp(ours) * distance_pc, np.log(distance_pc))
    np.testing.assert_allclose(mass, 1.0, atol=1e-4)


@pytest.mark.equation("E13")
@pytest.mark.parametrize("parameters", SKY)
def test_distance_prior_cdf_is_its_integral(parameters: tuple) -> None:
    log_length_pc, alpha, beta = parameters
    distance_pc = np.geomspace(1.0, 1e5, 400)
    ours = CDF(distance_pc, *parameters)
    expected = stats.gengamma.cdf(distance_pc, (beta + 1) / alpha, alpha, scale=np.exp(log_length_pc))
    # x = (d/L)^alpha reaches 50 and is rounded by 5e-7; the gamma distribution of shape 45 has a density of 0.06.
    np.testing.assert_allclose(ours, expected, atol=2e-5)


@pytest.mark.equation("E13")
def test_over_the_whole_sky_the_prior_integrates_to_one_and_has_the_tables_median(
    sky_table: np.ndarray,
) -> None:
    columns = (np.log(sky_table["GGDrlen"]), sky_table["GGDalpha"], sky_table["GGDbeta"])
    parameters = [jnp.asarray(column, jnp.float32) for column in columns]
    assert len(parameters[0]) == 12288

    median_pc = jax.jit(jax.vmap(distance_prior_quantile, (None, 0, 0, 0)))(0.5, *parameters)
    # The quantile lives on 1 pc to 100 kpc; some pixels of the plane hold up to 8e-5 within 1 pc.
    np.testing.assert_allclose(median_pc, sky_table["GGDmedian"], rtol=1.5e-4)

    half = jax.jit(jax.vmap(distance_prior_cdf))(
        jnp.asarray(sky_table["GGDmedian"], jnp.float32), *parameters
    )
    np.testing.assert_allclose(half, 0.5, atol=3e-5)

    log_distance_pc = jnp.linspace(np.log(1e-3), np.log(1e6), 1024)
    over_distance = jax.vmap(log_distance_prior, (0, None, None, None))
    thinned = [column[::8] for column in parameters]
    log_prior = jax.jit(jax.vmap(over_distance, (None, 0, 0, 0)))(jnp.exp(log_distance_pc), *thinned)
    mass = integrate.trapezoid(np.exp(log_prior + log_distance_pc), log_distance_pc, axis=1)
    np.testing.assert_allclose(mass, 1.0, atol=1e-4)


@pytest.mark.equation("E13")
@pytest.mark.equation("D5")
@pytest.mark.parametrize("parameters", SKY)
def test_distance_prior_is_finite_on_the_closed_domain(parameters: tuple) -> None:
    distance_pc = jnp.array([0.0, DISTANCE_FLOOR_PC, 1.0, 1e3, 1e5])
    for both in PRIOR_GRADIENTS.values():
        value, gradients = both(distance_pc, *parameters)
        assert np.all(np.isfinite(value))
        assert np.all(np.isfinite(gradients))
    # What the paper sets to zero at d = 0 holds next to nothing: the mass within the floor is below 1e-7.
    log_mass = log_distance_prior(0.0, *parameters) + np.log(DISTANCE_FLOOR_PC)
    assert log_mass < np.log(1e-7)


@pytest.mark.equation("E14")
@pytest.mark.equation("D8")
def test_reddening_prior_is_uniform_between_its_limits() -> None:
    inside = jax.vmap(log_reddening_prior)(jnp.array([-0.05, 0.0, 0.2, 0.5]))
    np.testing.assert_allclose(inside, -np.log(0.55), rtol=1e-6)
    assert np.all(np.isneginf(jax.vmap(log_reddening_prior)(jnp.array([-0.051, 0.501]))))
    np.testing.assert_allclose(log_reddening_prior(0.9, 0.0, 1.0), 0.0, atol=1e-7)
    assert np.isneginf(log_reddening_prior(-0.01, 0.0, 1.0))
    for ebv_mag in (-0.05, 0.0, 0.3, 0.5, 0.6):
        gradients = jax.grad(log_reddening_prior, (0, 1, 2))(ebv_mag, -0.05, 0.5)
        assert gradients[0] == 0.0
        assert np.all(np.isfinite(gradients))


# Parallax and error: no information, faint and negative, S/N of 2, 10, 100 and 1000, and one so negative that only
# the prior's far tail can explain it.
PARALLAXES = [
    (0.1, 5.0),
    (-0.4, 0.3),
    (-0.05, 0.3),
    (0.8, 0.4),
    (1.0, 0.1),
    (2.0, 0.02),
    (20.0, 0.02),
    (-2.0, 0.1),
]


@pytest.mark.equation("EP7")
@pytest.mark.parametrize("parameters", [SKY[0], SKY[3], SKY[4]])
def test_distance_quantiles_and_evidence_equal_quadrature(parameters: tuple) -> None:
    parallax_mas, error_mas = jnp.asarray(np.array(PARALLAXES).T)
    ours = POSTERIOR(
        jnp.asarray(LEVELS), parallax_mas, error_mas, jnp.ones(len(PARALLAXES), bool), *parameters
    )
    for star in range(len(PARALLAXES)):
        seen = (float(parallax_mas[star]), float(error_mas[star]))
        quantiles_pc, log_evidence = exact_posterior(*seen, parameters)
        width_pc = (quantiles_pc[-2] - quantiles_pc[1]) / 2
        # float32 places a node within 1e-6 of its distance, 1e-3 of the width at a S/N of 1000.
        error = np.abs(ours.quantiles_pc[star] - quantiles_pc)
        assert np.all(error < 1e-4 * quantiles_pc), seen
        assert np.all(error < 3e-3 * width_pc), seen
        # z^2/2 reaches 200 and the prior's terms 120.
        np.testing.assert_allclose(ours.log_evidence[star], log_evidence, atol=2e-4)


@pytest.mark.equation("EP7")
@pytest.mark.parametrize("parameters", SKY)
def test_without_a_parallax_the_distance_is_that_of_the_prior(parameters: tuple) -> None:
    log_length_pc, alpha, beta = parameters
    nothing = jnp.full(len(PARALLAXES), jnp.nan)
    ours = POSTERIOR(jnp.asarray(LEVELS), nothing, nothing, jnp.zeros(len(PARALLAXES), bool), *parameters)
    expected = stats.gengamma.ppf(LEVELS, (beta + 1) / alpha, alpha, scale=np.exp(log_length_pc))
    # Up to 8e-5 of the mass is within 1 pc, beyond the grid; it counts most for the lowest quantile.
    np.testing.assert_allclose(ours.quantiles_pc[0], expected, rtol=2e-3 if beta < 0.2 else 1e-4)
    np.testing.assert_array_equal(ours.log_evidence, 0.0)
    assert EVIDENCE(np.nan, np.nan, False, *parameters) == 0.0


@pytest.mark.equation("EP7")
def test_a_sharp_parallax_gives_its_own_distance_and_the_prior_there_as_evidence() -> None:
    parameters = SKY[0]
    same = jnp.ones(len(PARALLAXES))
    ours = POSTERIOR(jnp.asarray(LEVELS), 5.0 * same, 0.001 * same, same > 0, *parameters)
    # sigma_d = d^2 sigma / 1000 = 0.04 pc at 200 pc.
    np.testing.assert_allclose(ours.quantiles_pc[0], 200 + 0.04 * stats.norm.ppf(LEVELS), atol=2e-3)
    # p(parallax) = p(d) |dd / dparallax| = p(d) d^2 / 1000.
    expected = exact_log_prior(np.log(200.0), *parameters) + np.log(200.0**2 / 1000)
    np.testing.assert_allclose(ours.log_evidence[0], expected, atol=1e-3)


@pytest.mark.equation("EP7")
@pytest.mark.equation("E6")
def test_the_evidence_is_that_of_the_models_own_likelihood_and_prior() -> None:
    parameters = SKY[1]
    distance_pc = jnp.geomspace(1.0, 1e5, 20001)
    log_product = jax.jit(jax.vmap(lambda d: log_parallax_likelihood(0.7, 0.2, d)))(distance_pc)
    log_product = log_product + LOG_PRIOR(distance_pc, *parameters)
    summed = integrate.trapezoid(np.exp(log_product) * distance_pc, np.log(distance_pc))
    ours = EVIDENCE(0.7, 0.2, True, *parameters)
    np.testing.assert_allclose(ours, np.log(summed), atol=1e-4)


@pytest.mark.equation("EP7")
def test_quantiles_and_evidence_have_finite_gradients_and_rise_with_level() -> None:
    cases = itertools.product(PARALLAXES, (True, False), SKY)
    rows = [(*seen, float(has_parallax), *parameters) for seen, has_parallax, parameters in cases]
    parallax_mas, error_mas, has_parallax, *parameters = jnp.array(rows).T
    levels = jnp.array([1e-4, 0.16, 0.5, 0.84, 1 - 1e-4])

    def value_and_itself(*arguments: jax.Array) -> tuple[jax.Array, jax.Array]:
        posterior = distance_posterior_quantiles(levels, *arguments)
        value = jnp.append(posterior.quantiles_pc, posterior.log_evidence)
        return value, value

    function = jax.jit(jax.vmap(jax.jacrev(value_and_itself, (0, 1, 3, 4, 5), has_aux=True)))
    jacobians, value = function(parallax_mas, error_mas, has_parallax > 0, *parameters)
    assert np.all(np.diff(value[:, :-1], axis=1) > 0)
    for jacobian in jacobians:
        assert jnp.isfinite(jacobian).all()
