"""Bands that are missing in between: drawn from the flow, integrated over exactly."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from redflower.flow.conditional import ConditionalFlow
from redflower.physics import absolute_to_colour, distance_modulus, flow_condition
from redflower.train.loss.estimator import Estimator
from redflower.train.loss.gaps import fill_gaps
from redflower.train.loss.training_star import POSTERIOR_LEVELS
from tests.helpers.flows import random_flow
from tests.helpers.training import log_evidence, make_training_star
from tests.posterior.test_posterior import example_star

LIMITS = {"g_bright_mag": 13.5, "g_faint_mag": 20.5}
CONDITION = jnp.array([3.95, 2.8], jnp.float32)


@pytest.mark.equation("EA3b")
def test_missing_coordinates_are_quantiles_of_the_flows_own_conditionals() -> None:
    """At level p a missing coordinate has u = Phi^-1(p); given ones are not touched; no gradient passes."""
    flow = random_flow(4, dim=6).prepared()
    x = flow.sample(jax.random.key(0), CONDITION)
    observed = jnp.array([True, True, False, False, True, True])
    levels = jnp.array([0.5, 0.5, 0.3, 0.9, 0.5, 0.5])
    junk = jnp.where(observed, x, 1e3)
    filled, log_mass = fill_gaps(flow, junk, observed, CONDITION, levels)
    u = flow.forward(filled, CONDITION)[0]
    np.testing.assert_array_equal(filled[observed], x[observed])
    np.testing.assert_allclose(u[2:4], jax.scipy.special.ndtri(levels[2:4]), atol=1e-3)
    assert abs(float(log_mass)) < 1e-4
    gradient = jax.grad(lambda f: jnp.sum(fill_gaps(f, junk, observed, CONDITION, levels)[0]))(flow)
    assert all(not np.any(leaf) for leaf in jax.tree.leaves(gradient))


@pytest.mark.equation("EA3b")
def test_a_missing_middle_band_is_integrated_over_in_value_and_gradient() -> None:
    """Three bands, the middle one missing: against a quadrature over it, with the same draws of the others.

    8,000 draws leave the log evidence good to 0.03, and the gradient to a twentieth of itself.
    """
    flow = random_flow(4, dim=3)
    star = example_star((1, *range(3, 11)))
    data = make_training_star(star)
    n_draws, key = 8_000, jax.random.key(3)
    grid = jnp.linspace(-40.0, 40.0, 801)

    def estimate(network):
        prepared = ConditionalFlow(network, flow.standardisation).prepared()
        return log_evidence(
            prepared, data, key, Estimator(proposal="posterior", normaliser="none", **LIMITS), n_draws=n_draws
        )

    def quadrature(network):
        """The distance and the two given magnitudes on their own grids of equal probability."""
        prepared = ConditionalFlow(network, flow.standardisation).prepared()
        level = (jnp.arange(24) + 0.5) / 24
        distance_pc = jnp.exp(jnp.interp(level, POSTERIOR_LEVELS, data.posterior_log_distance))
        noise = jax.scipy.special.ndtri((jnp.arange(4) + 0.5) / 4)

        def one(d, g_noise, rp_noise):
            g = star.magnitude_mag[0] + g_noise * star.magnitude_error_mag[0]
            rp = star.magnitude_mag[2] + rp_noise * star.magnitude_error_mag[2]
            absolute = jnp.stack([g, g, rp]) - distance_modulus(d)
            x = absolute_to_colour(absolute)
            condition = flow_condition(d, star.l_deg, star.b_deg)
            middle = prepared.standardisation.x_mean[1] + grid
            logs = jax.vmap(lambda c: prepared.log_prob(x.at[1].set(c), condition))(middle)
            return jax.scipy.special.logsumexp(logs) + jnp.log(grid[1] - grid[0])

        logs = jax.vmap(jax.vmap(jax.vmap(one, (None, None, 0)), (None, 0, None)), (0, None, None))(
            distance_pc, noise, noise
        )
        return jax.scipy.special.logsumexp(logs) - jnp.log(float(logs.size)) + data.log_parallax_evidence

    value, gradient = eqx.filter_jit(eqx.filter_value_and_grad(estimate))(flow.network)
    expected, expected_gradient = eqx.filter_jit(eqx.filter_value_and_grad(quadrature))(flow.network)
    assert float(value) == pytest.approx(float(expected), abs=0.03)
    scale = np.sqrt(sum(float(jnp.sum(g**2)) for g in jax.tree.leaves(expected_gradient)))
    difference = jax.tree.map(lambda a, b: a - b, gradient, expected_gradient)
    assert np.sqrt(sum(float(jnp.sum(g**2)) for g in jax.tree.leaves(difference))) < 0.05 * max(scale, 1.0)


def test_a_star_without_gaps_has_the_evidence_it_has_without_the_drawing() -> None:
    """Eight bands of eleven, none missing in between: the two ways are one."""
    flow = random_flow(4).prepared()
    data = make_training_star(example_star((8, 9, 10)))
    a, b = (
        log_evidence(
            flow,
            data,
            jax.random.key(1),
            Estimator(proposal="posterior", integrate_gaps=gaps, **LIMITS),
            n_draws=16,
        )
        for gaps in (True, False)
    )
    assert float(a) == pytest.approx(float(b), abs=1e-4)


@pytest.mark.equation("EA3c")
def test_adapted_draws_estimate_the_same_integral_with_less_scatter() -> None:
    """Five bands, the last three with errors ten times the width of the flow's conditionals. The mean of the estimates
    (not of their logs) is that of plain draws; a few adapted draws scatter less than many plain ones."""
    flow = random_flow(4, dim=5)
    narrow = flow.standardisation.x_inverse_cholesky.at[2:, :].multiply(30.0)
    flow = eqx.tree_at(lambda f: f.standardisation.x_inverse_cholesky, flow, narrow).prepared()
    star = example_star(tuple(range(5, 11)))
    x = flow.sample(jax.random.key(8), CONDITION)
    absolute = jnp.concatenate([x[:1], x[0] + x[1:]]) + distance_modulus(900.0)
    magnitude = star.magnitude_mag.at[:5].set(absolute + star.magnitude_mag[0] - absolute[0])
    error = star.magnitude_error_mag.at[2:5].set(0.1)
    star = eqx.tree_at(lambda s: (s.magnitude_mag, s.magnitude_error_mag), star, (magnitude, error))
    data = make_training_star(star)

    def estimates(magnitudes: str, n_draws: int, n_repeats: int) -> np.ndarray:
        keys = jax.random.split(jax.random.key(2), n_repeats)
        one = jax.jit(
            jax.vmap(
                lambda k: log_evidence(
                    flow, data, k,
                    Estimator(proposal="posterior", normaliser="none", integrate_gaps=False, magnitudes=magnitudes, **LIMITS),
                    n_draws=n_draws,
                )
            )
        )  # fmt: skip
        return np.asarray(one(keys), dtype=float)

    plain, adapted = estimates("likelihood", 4096, 16), estimates("adapted", 512, 64)
    totals = [np.exp(v - plain.max()) for v in (plain, adapted)]
    errors = [t.std() / np.sqrt(len(t)) for t in totals]
    assert abs(totals[0].mean() - totals[1].mean()) < 4.0 * np.hypot(*errors)
    assert max(errors) < 0.1 * totals[0].mean()
    assert adapted.std() < estimates("likelihood", 512, 64).std() / 2.0
