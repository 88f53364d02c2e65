"""Distances drawn from parallax and prior for training: right into the tails."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats

from redflower.train.dataset import make_training_star
from redflower.train.loss.proposals import draw_from_posterior
from tests.posterior.test_posterior import example_star

N_DRAWS = 400_000


@pytest.mark.equation("EA3")
@pytest.mark.equation("D10")
@pytest.mark.parametrize(("parallax_mas", "error_mas"), [(10.0, 0.02), (1.1, 0.1), (0.3, 0.3), (-0.4, 0.3)])
def test_the_draws_have_the_density_of_parallax_times_prior_out_to_four_deviations(
    parallax_mas: float, error_mas: float
) -> None:
    """In cells of half a deviation of a normal distribution: stratified draws leave next to no noise in any of them."""
    fields = vars(example_star()) | {
        "parallax_mas": jnp.float32(parallax_mas),
        "parallax_error_mas": jnp.float32(error_mas),
    }
    data = jax.jit(make_training_star)(type(example_star())(**fields))
    drawn, log_weight = jax.jit(draw_from_posterior, static_argnums=2)(data, jax.random.key(0), N_DRAWS)
    assert np.ptp(np.asarray(log_weight)) == 0.0
    log_distance = np.linspace(np.log(20.0), np.log(1e5), 1_000_001)
    d = np.exp(log_distance)
    log_density = 3 * log_distance - d / 400.0 - 0.5 * ((parallax_mas - 1000.0 / d) / error_mas) ** 2
    mass = integrate.cumulative_trapezoid(np.exp(log_density - log_density.max()), log_distance, initial=0.0)
    edges = np.interp(stats.norm.cdf(np.arange(-4.0, 4.25, 0.5)), mass / mass[-1], log_distance)
    share = np.histogram(np.log(np.asarray(drawn, float)), edges)[0] / N_DRAWS
    expected = np.diff(stats.norm.cdf(np.arange(-4.0, 4.25, 0.5)))
    # The tabulated quantiles are good to 1e-7 of the whole mass times the number of nodes that float32 adds up, 3 % of the
    # outermost cells; inside, a cell ends within a hundredth of a deviation.
    np.testing.assert_allclose(share, expected, rtol=0.06)
    # Nothing is heaped up at an end.
    ends = np.sort(np.asarray(drawn))
    assert len(np.unique(ends[:10])) > 5
    assert len(np.unique(ends[-10:])) > 5
