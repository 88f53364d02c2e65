"""The normaliser's quadrature over distance, for the whole population and for every absolute magnitude of it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from scipy.special import gammainc, gammaincinv

from redflower.flow.sample_share import prior_nodes
from redflower.star import Star
from redflower.train.dataset import make_training_star
from redflower.train.loss.normaliser import log_selected_fraction
from tests.posterior.test_posterior import example_star
from tests.train.test_selection import linear_flow

#: ln L/pc, alpha, beta: like the mock Galaxy's at high latitude, one with a heavy tail, and one nearly exponential.
PRIORS = ((6.5, 0.70, 1.2), (2.5, 0.40, 1.6), (7.3, 1.2, 0.9))


def sightlines(n: int, prior: tuple[float, float, float], seed: int = 0) -> Star:
    """Stars at many places under one distance prior."""
    rng = np.random.default_rng(seed)
    fields = dict(vars(jax.tree.map(lambda a: np.broadcast_to(a, (n, *np.shape(a))), example_star())))
    names = ("prior_log_length_pc", "prior_alpha", "prior_beta")
    fields |= {name: np.full(n, value, np.float32) for name, value in zip(names, prior, strict=True)}
    fields["l_deg"] = rng.uniform(0, 360, n).astype(np.float32)
    fields["b_deg"] = rng.uniform(20, 90, n).astype(np.float32)
    return Star(**fields)


def cdf_of(distance_pc: np.ndarray, prior: tuple[float, float, float]) -> np.ndarray:
    log_length, alpha, beta = prior
    return gammainc((beta + 1) / alpha, np.exp(alpha * (np.log(distance_pc) - log_length)))


@pytest.mark.equation("E24")
@pytest.mark.equation("D9")
@pytest.mark.parametrize("prior", PRIORS)
def test_every_absolute_magnitude_counts_for_the_stars_that_the_limits_let_pass(prior) -> None:
    """Of stars of M_G the limits 13.5 < G < 19 let pass those between two distances: in closed form, and by the nodes."""
    data = jax.jit(jax.vmap(make_training_star))(sightlines(4000, prior))
    log_distance, log_weight = (
        np.asarray(a, float) for a in jax.jit(jax.vmap(prior_nodes))(data.star, data.prior_log_range)
    )
    m_g = np.arange(-1.0, 16.5, 0.5)
    near, far = (10 ** (1 + (limit - m_g) / 5) for limit in (13.5, 19.0))
    distance, weight = np.exp(log_distance)[:, :, None], np.exp(log_weight)[:, :, None]
    mass = (np.where((distance > near) & (distance < far), weight, 0.0)).sum(axis=1).mean(axis=0)
    expected = cdf_of(far, prior) - cdf_of(near, prior)
    # A star has a node more or less between the two distances, which is a third of the mass where that is least. By chance
    # 4,000 stars then differ by 0.005, the worst of 35 magnitudes by 0.02. (Nodes of equal probability: 0.5 and less.)
    np.testing.assert_allclose(mass, expected, rtol=0.03)


@pytest.mark.equation("E24")
@pytest.mark.equation("D9")
@pytest.mark.parametrize("prior", PRIORS)
@pytest.mark.parametrize(("mean_mag", "spread_mag"), [(5.0, 1.5), (11.0, 1.0), (0.6, 0.3)])
def test_the_selected_fraction_of_a_population_is_its_integral(
    prior, mean_mag: float, spread_mag: float
) -> None:
    """A sum over 20,000 quantiles of the prior in float64; each population is about as wide as the nodes are apart, or wider."""
    data = jax.jit(jax.vmap(make_training_star))(sightlines(32, prior))
    flow = linear_flow(jnp.float32(mean_mag), jnp.log(jnp.float32(spread_mag)))
    value = jax.jit(jax.vmap(lambda one: log_selected_fraction(flow, one, 13.5, 19.0)))(data)
    log_length, alpha, beta = prior
    levels = (np.arange(20_000) + 0.5) / 20_000
    mu = 5 * (log_length + np.log(gammaincinv((beta + 1) / alpha, levels)) / alpha) / np.log(10) - 5
    share = np.diff(stats.norm.cdf(np.array([[13.5], [19.0]]) - mu, mean_mag, spread_mag), axis=0)
    np.testing.assert_allclose(value, np.log(share.mean()), atol=2e-3)


def test_the_shifts_of_the_nodes_are_uniform_and_depend_on_the_place_alone() -> None:
    stars = sightlines(4000, PRIORS[0])
    data = jax.jit(jax.vmap(make_training_star))(stars)
    first = np.asarray(jax.jit(jax.vmap(prior_nodes))(data.star, data.prior_log_range)[0])
    low, high = np.asarray(data.prior_log_range).T
    shift = (first[:, 0] - low) / (high - low) * first.shape[1]
    # Kolmogorov and Smirnov: a uniform sample of 4,000 exceeds this once in a thousand.
    assert stats.kstest(shift, "uniform").statistic < 1.95 / np.sqrt(4000)
    # Another star at the same place.
    other = jax.tree.map(lambda a: np.asarray(a).copy(), stars)
    other.magnitude_mag[:] += 1.0
    other = jax.jit(jax.vmap(make_training_star))(other)
    again = np.asarray(jax.jit(jax.vmap(prior_nodes))(other.star, other.prior_log_range)[0])
    np.testing.assert_array_equal(first, again)


@pytest.mark.equation("E24b")
@pytest.mark.parametrize("error_mas", [0.02, 0.5])
@pytest.mark.parametrize("least_mas", [0.0, 1.0])
def test_a_cut_on_parallax_takes_the_share_that_is_measured_below_it(
    error_mas: float, least_mas: float
) -> None:
    """Against a sum over 20,000 quantiles of the prior, in float64; also that the cut is no small thing for poor parallaxes."""
    prior = PRIORS[0]
    stars = sightlines(32, prior)
    stars = Star(**{**vars(stars), "parallax_error_mas": np.full(32, error_mas, np.float32)})
    cut = jax.jit(jax.vmap(lambda one: make_training_star(one, least_mas)))(stars)
    flow = linear_flow(jnp.float32(9.0), jnp.log(jnp.float32(2.0)))
    value = jax.jit(jax.vmap(lambda one: log_selected_fraction(flow, one, 13.5, 20.5)))(cut)
    log_length, alpha, beta = prior
    levels = (np.arange(20_000) + 0.5) / 20_000
    log_distance = log_length + np.log(gammaincinv((beta + 1) / alpha, levels)) / alpha
    mu = 5 * log_distance / np.log(10) - 5
    share = np.diff(stats.norm.cdf(np.array([[13.5], [20.5]]) - mu, 9.0, 2.0), axis=0)[0]
    passes = stats.norm.cdf((1000.0 * np.exp(-log_distance) - least_mas) / error_mas)
    # The step of a good parallax, 2 % of its distance wide at 1 kpc, lies anywhere between nodes that are 15 % apart: stars
    # differ by a twentieth, and their mean by a hundredth.
    np.testing.assert_allclose(np.mean(value), np.log(np.mean(share * passes)), atol=0.02)
    if error_mas > 0.1:
        np.testing.assert_allclose(value, np.log(np.mean(share * passes)), atol=2e-3)
        assert np.mean(share * passes) < 0.9 * np.mean(share)
