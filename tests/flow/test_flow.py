"""The flow: equality with flowjax, and the three exact consequences of its triangular shape."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flowjax.bijections import BlockAutoregressiveNetwork as FlowjaxNetwork
from paramax import unwrap
from scipy import integrate, stats

from redflower.errors import TrainingError
from redflower.flow import BlockAutoregressiveNetwork, fit_standardisation
from redflower.flow.bnaf import dense_forward, leading_weights
from redflower.flow.conditional import log_normal_mass
from tests.helpers.flowjax_weights import weights_from_flowjax
from tests.helpers.flows import random_flow

CONDITION = jnp.array([3.95, 2.9])


@pytest.mark.equation("E7")
@pytest.mark.parametrize(("dim", "block_dim", "depth"), [(11, 4, 3), (8, 8, 1), (3, 2, 2)])
def test_dense_network_equals_flowjax_with_the_same_weights(dim: int, block_dim: int, depth: int) -> None:
    key = jax.random.key(1)
    network = FlowjaxNetwork(key, dim=dim, cond_dim=2, depth=depth, block_dim=block_dim)
    weights = weights_from_flowjax(network)
    x = 3.0 * jax.random.normal(key, (512, dim))
    condition = jax.random.normal(jax.random.key(2), (512, 2))
    u, log_det = jax.jit(jax.vmap(unwrap(network).transform_and_log_det))(x, condition)
    ours, slope = jax.jit(jax.vmap(lambda a, c: dense_forward(weights, a, c)))(x, condition)
    np.testing.assert_allclose(ours, u, atol=1e-5)
    np.testing.assert_allclose(jnp.log(slope).sum(axis=1), log_det, atol=1e-4)


@pytest.mark.equation("E7")
def test_slope_is_the_diagonal_of_the_jacobian_and_the_map_is_triangular() -> None:
    network = BlockAutoregressiveNetwork(jax.random.key(3), dim=6, cond_dim=2, depth=3, block_dim=4)
    x, condition = jax.random.normal(jax.random.key(4), (6,)), jnp.array([0.3, -1.0])
    jacobian = jax.jacobian(lambda a: dense_forward(network.materialise(), a, condition)[0])(x)
    slope = dense_forward(network.materialise(), x, condition)[1]
    np.testing.assert_allclose(jnp.diagonal(jacobian), slope, rtol=1e-5)
    assert bool(jnp.all(slope > 0))
    assert float(jnp.max(jnp.abs(jnp.triu(jacobian, 1)))) == 0.0
    # The bijection interface of flowjax gives the same.
    u, log_det = network.transform_and_log_det(x, condition)
    assert float(log_det) == pytest.approx(float(jnp.log(slope).sum()), abs=1e-5)


@pytest.mark.equation("E8")
def test_leading_weights_are_the_exact_marginal() -> None:
    flow = random_flow(5).prepared()
    x = flow.standardisation.x_mean + 0.3 * jax.random.normal(jax.random.key(6), (11,))
    terms = flow.log_prob_terms(x, CONDITION)
    for n_leading in (1, 3, 8):
        short = flow.leading(n_leading).log_prob_terms(x[:n_leading], CONDITION)
        np.testing.assert_allclose(short, terms[:n_leading], atol=2e-5)
    with_other_tail = flow.log_prob_terms(x.at[8:].set(99.0), CONDITION)
    np.testing.assert_array_equal(with_other_tail[:8], terms[:8])
    assert leading_weights(flow.weights, 11, 3).matrices[1].shape == (12, 12)


@pytest.mark.equation("E8")
def test_density_integrates_to_one() -> None:
    """Two coordinates by quadrature in float64: the error is the grid's, far below the bound."""
    flow = random_flow(7, dim=2).prepared()
    with jax.enable_x64(True):
        wide = jax.tree.map(lambda a: jnp.asarray(a, jnp.float64), flow)
        draws = jax.jit(jax.vmap(lambda k: wide.sample(k, CONDITION)))(
            jax.random.split(jax.random.key(0), 1000)
        )
        low, high = np.asarray(draws.min(axis=0)), np.asarray(draws.max(axis=0))
        margin = 0.7 * (high - low)
        grids = [np.linspace(a - m, b + m, 301) for a, b, m in zip(low, high, margin, strict=True)]
        points = jnp.asarray(np.stack(np.meshgrid(*grids, indexing="ij"), axis=-1).reshape(-1, 2))
        density = np.exp(jax.jit(jax.vmap(lambda p: wide.log_prob(p, CONDITION)))(points)).reshape(301, 301)
        total = integrate.simpson(integrate.simpson(density, x=grids[1], axis=1), x=grids[0])
    assert total == pytest.approx(1.0, abs=2e-3)


@pytest.mark.equation("E9b")
def test_mass_between_limits_equals_quadrature_of_the_first_marginal() -> None:
    flow = random_flow(8).prepared()
    first = flow.leading(1)
    with jax.enable_x64(True):
        wide = jax.tree.map(lambda a: jnp.asarray(a, jnp.float64), first)
        for low, high in ((-1.0, 0.5), (0.0, 4.0), (-6.0, 6.0)):
            grid = np.linspace(low, high, 20001)
            density = np.exp(
                jax.jit(jax.vmap(lambda m: wide.log_prob(m[None], CONDITION)))(jnp.asarray(grid))
            )
            expected = integrate.simpson(np.asarray(density), x=grid)
            mass = jnp.exp(flow.log_mass_between(jnp.float32(low), jnp.float32(high), CONDITION))
            assert float(mass) == pytest.approx(expected, rel=3e-4, abs=1e-6)


@pytest.mark.parametrize(("low", "high"), [(-9.0, -8.0), (8.0, 9.0), (-1.0, 1.0), (-30.0, 30.0), (2.0, 2.5)])
def test_log_normal_mass_and_its_gradient_in_both_tails(low: float, high: float) -> None:
    # In float64 the difference keeps its digits where both are small: mirror the upper tail.
    a, b = (-high, -low) if low + high > 0 else (low, high)
    expected = np.log(stats.norm.cdf(b) - stats.norm.cdf(a))
    value, gradient = jax.value_and_grad(log_normal_mass, argnums=(0, 1))(jnp.float32(low), jnp.float32(high))
    assert float(value) == pytest.approx(float(expected), rel=2e-4, abs=1e-5)
    assert np.isfinite(gradient[0])
    assert np.isfinite(gradient[1])


def test_inverse_undoes_forward() -> None:
    flow = random_flow(9).prepared()
    u = jax.random.normal(jax.random.key(10), (200, 11))
    x = jax.jit(jax.vmap(lambda v: flow.inverse(v, CONDITION)))(u)
    back = jax.vmap(lambda v: flow.forward(v, CONDITION)[0])(x)
    # Bisection in float32 stops at a few units of rounding of x, times the steepest slope of the map.
    steepest = jax.vmap(lambda v: flow.forward(v, CONDITION)[1].max())(x).max()
    assert float(jnp.max(jnp.abs(back - u))) < 1e-5 * max(10.0, float(steepest))


def test_samples_follow_the_density() -> None:
    """Normal coordinates of draws are standard normal; Kolmogorov-Smirnov, false alarm 1e-4 for 3 tests."""
    flow = random_flow(11, dim=3).prepared()
    keys = jax.random.split(jax.random.key(12), 5000)
    x = jax.jit(jax.vmap(lambda k: flow.sample(k, CONDITION)))(keys)
    first = np.asarray(x[:, 0])
    grid = np.linspace(first.min() - 1, first.max() + 1, 4001)
    lead = flow.leading(1)
    density = np.exp(
        jax.jit(jax.vmap(lambda m: lead.log_prob(m[None], CONDITION)))(jnp.asarray(grid, jnp.float32))
    )
    cdf = integrate.cumulative_trapezoid(density, grid, initial=0.0)
    assert stats.kstest(np.interp(first, grid, cdf), "uniform").pvalue > 1e-4 / 3
    u = np.asarray(jax.vmap(lambda v: flow.forward(v, CONDITION)[0])(x))
    for k in (1, 2):
        assert stats.kstest(u[:, k], "norm").pvalue > 1e-4 / 3


def test_standardisation_makes_residuals_of_unit_spread_despite_outliers() -> None:
    rng = np.random.default_rng(13)
    first = rng.normal(5.0, 2.0, 20000)
    x = np.stack([first, 0.5 * first + 0.02 * rng.normal(size=20000)], axis=1)
    x[:200, 1] += 3.0
    observed = np.ones_like(x, dtype=bool)
    observed[:5000, 1] = False
    standard = fit_standardisation(x, observed, rng.normal(size=(20000, 2)))
    y = np.asarray(jax.vmap(standard.x)(jnp.asarray(x[5000:], jnp.float32)))
    np.testing.assert_allclose(y.std(axis=0), 1.0, atol=0.05)
    assert abs(np.corrcoef(y.T)[0, 1]) < 0.02


def test_standardisation_refuses_a_band_without_stars() -> None:
    observed = np.ones((50, 3), dtype=bool)
    observed[:, 2] = False
    with pytest.raises(TrainingError, match="band 3"):
        fit_standardisation(np.random.default_rng(0).normal(size=(50, 3)), observed, np.zeros((50, 2)))
