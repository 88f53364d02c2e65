"""The Malmquist term, against the hard indicator and far outside the limits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats

from redflower.physics import EDGE_WIDTH_MAG, log_within_limits

BRIGHT_MAG, FAINT_MAG = 12.0, 18.0


@jax.jit
@jax.vmap
def log_within(magnitude_mag: jax.Array) -> jax.Array:
    return log_within_limits(magnitude_mag, BRIGHT_MAG, FAINT_MAG)


@pytest.mark.equation("E9")
@pytest.mark.equation("D7")
def test_away_from_the_edges_it_is_the_hard_indicator() -> None:
    magnitude_mag = np.linspace(8.0, 22.0, 2801)
    value = np.exp(log_within(magnitude_mag))
    inside = (magnitude_mag > BRIGHT_MAG) & (magnitude_mag < FAINT_MAG)
    edge_mag = np.minimum(np.abs(magnitude_mag - BRIGHT_MAG), np.abs(magnitude_mag - FAINT_MAG))
    beyond = edge_mag > 5 * EDGE_WIDTH_MAG
    # Phi(-5) = 3e-7 is left beyond five widths.
    np.testing.assert_allclose(value[beyond], inside[beyond], atol=1e-6)
    np.testing.assert_allclose(np.exp(log_within_limits(FAINT_MAG, BRIGHT_MAG, FAINT_MAG)), 0.5, atol=1e-6)


@pytest.mark.equation("D2")
def test_soft_edges_change_the_mass_of_a_population_by_the_square_of_their_width() -> None:
    # Counts that rise as 10^(0.4 m): a soft edge changes the mass by the slope there times w^2 / 2.
    slope = 0.4 * np.log(10)
    magnitude_mag = np.linspace(BRIGHT_MAG - 0.2, FAINT_MAG + 0.2, 40001)
    counts = np.exp(slope * (magnitude_mag - FAINT_MAG))
    soft = integrate.simpson(counts * np.exp(np.asarray(log_within(magnitude_mag), float)), x=magnitude_mag)
    hard = (1 - np.exp(slope * (BRIGHT_MAG - FAINT_MAG))) / slope
    change = slope**2 * EDGE_WIDTH_MAG**2 / 2
    np.testing.assert_allclose(soft / hard - 1, change, atol=2e-6)
    assert change < 5e-5


@pytest.mark.equation("E9")
def test_values_equal_scipy_in_the_tails() -> None:
    for magnitude_mag in (11.0, 11.9, 11.99, 12.01, 17.99, 18.02, 18.5):
        expected = stats.norm.logcdf((magnitude_mag - BRIGHT_MAG) / EDGE_WIDTH_MAG)
        expected += stats.norm.logcdf((FAINT_MAG - magnitude_mag) / EDGE_WIDTH_MAG)
        # m - m_bright has an absolute error of 1e-6 in float32, 1e-4 of the width.
        z = max(BRIGHT_MAG - magnitude_mag, magnitude_mag - FAINT_MAG, 0.0) / EDGE_WIDTH_MAG
        ours = log_within_limits(magnitude_mag, BRIGHT_MAG, FAINT_MAG)
        np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=2e-4 * (1 + z))


@pytest.mark.equation("E9")
@pytest.mark.equation("D2")
def test_the_gradient_leads_back_inside_from_any_magnitude() -> None:
    gradient = jax.jit(jax.vmap(jax.grad(lambda m: log_within_limits(m, BRIGHT_MAG, FAINT_MAG))))
    outside_mag = jnp.array([-60.0, 0.0, 11.0, 11.95, 12.0])
    assert jnp.isfinite(gradient(outside_mag)).all()
    assert (gradient(outside_mag) > 0).all()
    assert jnp.all(jnp.diff(gradient(outside_mag)) < 0)  # steeper farther out: no plateau to be lost on
    assert (gradient(30.0 - outside_mag) < 0).all()
    np.testing.assert_allclose(gradient(jnp.array([15.0])), 0.0)


@pytest.mark.equation("E9")
def test_an_infinite_limit_is_no_limit() -> None:
    value, gradient = jax.value_and_grad(lambda m: log_within_limits(m, -jnp.inf, jnp.inf))(14.0)
    assert value == 0.0
    assert gradient == 0.0
