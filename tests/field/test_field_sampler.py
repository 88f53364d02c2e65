"""The sampler of a field by itself: a density that is known, steps that find their length, and chains that do not agree."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from redflower.errors import InputError
from redflower.field.agreement import agreement_of
from redflower.field.hamiltonian import ACCEPTANCE, State, StepLength, hamiltonian_draw
from redflower.field.settings import FieldSettings

#: Standard deviations of a normal density of five coordinates.
WIDTH = jnp.array([0.5, 0.8, 1.0, 1.3, 2.0])


def energy(at):
    return 0.5 * jnp.sum((at["x"] / WIDTH) ** 2)


def test_draws_of_a_normal_density_have_its_widths() -> None:
    """4,000 draws, of which some 2,000 are independent: widths are known to 1.6 %, and the tolerance is four times that."""
    value_and_slope = jax.value_and_grad(energy)
    draw = jax.jit(lambda s, step, n, key: hamiltonian_draw(value_and_slope, s, step, n, key))
    at = {"x": jnp.ones(5)}
    value, slope = value_and_slope(at)
    state, length = State(at=at, energy=value, slope=slope), StepLength(0.02)
    rng = np.random.default_rng(1)
    seen, rates = [], []
    for k in range(4300):
        state, rate = draw(state, length.now, int(rng.integers(2, 7)), jax.random.PRNGKey(k))
        if k < 300:
            length.learn(float(rate))
            if k == 299:
                length.settle()
        else:
            seen.append(np.asarray(state.at["x"]))
            rates.append(float(rate))
    np.testing.assert_allclose(np.std(seen, axis=0), WIDTH, rtol=0.07)
    np.testing.assert_allclose(np.mean(seen, axis=0), 0.0, atol=0.2)
    assert np.mean(rates) == pytest.approx(ACCEPTANCE, abs=0.1)


def test_an_energy_that_is_no_number_is_refused() -> None:
    at = {"x": jnp.ones(5)}
    state = State(at=at, energy=energy(at), slope=jax.grad(energy)(at))
    wall = jax.value_and_grad(lambda a: jnp.where(a["x"][0] == 1.0, energy(a), jnp.nan))
    after, rate = hamiltonian_draw(wall, state, 0.1, 3, jax.random.PRNGKey(0))
    np.testing.assert_array_equal(after.at["x"], at["x"])
    assert float(rate) == 0.0


def samples(offset_mag: float, share: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two chains of 200 independent draws; in a share of 100 pixels the second chain is off."""
    rng = np.random.default_rng(3)
    values = 0.05 + 0.01 * rng.standard_normal((400, 100, 2))
    values[200:, : int(100 * share)] += offset_mag
    return values, 0.002 * rng.standard_normal((400, 1)), np.repeat([0, 1], 200)


def test_chains_too_short_to_be_compared_are_refused_at_the_start() -> None:
    with pytest.raises(InputError, match="n_draws of at least 4"):
        FieldSettings(n_draws=3)


def test_chains_that_agree_have_converged() -> None:
    found = agreement_of(*samples(0.0, 0.0))
    assert found.converged
    assert found.r_hat < 1.03
    assert found.ess > 150


def test_chains_that_differ_in_some_pixels_say_so_there() -> None:
    found = agreement_of(*samples(0.02, 0.1))
    assert not found.converged
    np.testing.assert_array_equal(np.flatnonzero(found.apart), np.arange(10))


def test_chains_whose_zero_points_differ_have_not_converged() -> None:
    values, zero, chain = samples(0.0, 0.0)
    zero[200:] += 0.01
    assert not agreement_of(values, zero, chain).converged


def test_a_slow_chain_has_not_converged_though_it_is_alone() -> None:
    """A walk over 200 draws is seen by the halves of the chain and by its few independent draws."""
    values, zero, _ = samples(0.0, 0.0)
    walk = np.cumsum(np.random.default_rng(5).standard_normal(400))[:, None, None]
    found = agreement_of(values + 0.001 * walk, zero, np.zeros(400, int))
    assert not found.converged
    assert found.ess < 40


def test_a_map_of_nothing_has_no_chains_to_differ() -> None:
    values, zero, chain = samples(0.0, 0.0)
    values[:, :, 0] = 0.0
    values[:, :, 1] = np.nan
    found = agreement_of(values, zero, chain)
    assert np.all(found.r_hat_of_pixels == 1.0)
    assert found.converged
