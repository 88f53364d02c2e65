"""The effective number of weights whose draws share nodes."""

import numpy as np
import pytest

from redflower.posterior.density import density_of_draws
from redflower.posterior.fast.weights import effective_number, log_node_weights, pareto_k


@pytest.mark.equation("EF5")
@pytest.mark.parametrize("n_per_node", [1, 2, 4])
def test_the_effective_number_is_that_of_a_mean_whose_scatter_it_states(n_per_node: int) -> None:
    """2,000 made stars: the scatter of the weighted mean of a unit normal variable is 1/sqrt(ess), draws sharing nodes or not.

    The weight of a node scatters by 1 nat and that of a draw about it by 0.3: counted as draws, four to a node, the effective
    number would be 3.7 times too large and the scatter stated half of what it is.
    """
    rng = np.random.default_rng(3)
    n_stars, n_nodes = 2000, 256
    place = rng.normal(size=(n_stars, n_nodes))
    log_weight = rng.normal(size=(n_stars, n_nodes, 1)) + 0.3 * rng.normal(
        size=(n_stars, n_nodes, n_per_node)
    )
    flat = log_weight.reshape(n_stars, -1)
    weight = np.exp(flat)
    mean = (weight * np.repeat(place, n_per_node, axis=1)).sum(axis=1) / weight.sum(axis=1)
    ess = effective_number(log_node_weights(flat, n_per_node))
    # The deviation of 2,000 pulls is known to 0.016.
    assert np.std(mean * np.sqrt(ess)) == pytest.approx(1.0, abs=0.05)
    if n_per_node == 4:
        assert np.std(mean * np.sqrt(effective_number(flat))) > 1.8


def test_the_sums_are_those_of_the_draws_side_by_side() -> None:
    log_weight = np.log(np.arange(1.0, 9.0))[None]
    np.testing.assert_allclose(np.exp(log_node_weights(log_weight, 4)), [[10.0, 26.0]])
    np.testing.assert_allclose(log_node_weights(log_weight, 1), log_weight)


@pytest.mark.parametrize("k", [0.3, 0.8])
def test_the_tail_of_node_sums_is_that_of_their_weights(k: float) -> None:
    """Heavy weights that four draws share: 200 stars of 2,000 nodes, whose shapes the estimator knows to 0.1 each."""
    rng = np.random.default_rng(4)
    nodes = np.log(np.power(rng.uniform(size=(200, 2000)), -k))
    draws = np.repeat(nodes, 4, axis=1) + 0.01 * rng.normal(size=(200, 8000))
    assert np.mean(pareto_k(log_node_weights(draws, 4))) == pytest.approx(k, abs=0.05)


def test_the_kernel_of_a_density_counts_a_place_once() -> None:
    """Four draws at each of 100 places: the density of 100 draws, not of 400 with a kernel a third narrower."""
    rng = np.random.default_rng(5)
    e, mu = 0.2 + 0.03 * rng.normal(size=(1, 100)), 9.0 + 0.3 * rng.normal(size=(1, 100))
    alone = density_of_draws(e, mu, np.zeros((1, 100)), (-0.05, 0.5))
    repeated = (np.repeat(a, 4, axis=1) for a in (e, mu))
    together = density_of_draws(*repeated, np.zeros((1, 400)), (-0.05, 0.5), n_together=4)
    for name, values in alone.items():
        np.testing.assert_allclose(together[name], values, rtol=1e-6)
