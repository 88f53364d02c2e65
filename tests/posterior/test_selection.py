"""The selection function (E12) inside the model: training, the one log density, the fast engine, the model file."""

import dataclasses
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy import integrate, stats

from redflower.bands import RP, G
from redflower.errors import ModelError
from redflower.flow import load_model, save_model
from redflower.physics import SelectionFunction, log_mean_selection, log_selection
from redflower.posterior import make_target
from redflower.posterior.batches import take
from redflower.posterior.fast.check import make_check, weighted_draws
from redflower.posterior.fast.grid import posterior_grid
from redflower.posterior.fast.grid_summaries import node_masses
from redflower.posterior.fast.steps import make_fast_target, noise_inputs
from redflower.posterior.log_density import log_posterior
from redflower.train.dataset import tabulate
from redflower.train.loss.estimator import Estimator
from redflower.train.loss.evidence import log_evidence
from redflower.train.loss.normaliser import log_selected_fraction
from tests.helpers.flows import random_model
from tests.helpers.model_stars import draw_model_stars
from tests.train.test_selection import (
    BRIGHT_MAG,
    FAINT_MAG,
    MEAN_MAG,
    SPREAD_MAG,
    distance_density,
    linear_flow,
    population,
)

#: Loses bright stars: 5 % of those at G = 8 are in the sample and all at G = 13, linear in the logarithm.
LOG_AT_8 = np.log(0.05)
#: No star of the training test is brighter; the normaliser sums over intervals from here. [mag]
TRAINING_BRIGHT_MAG = 3.0


def brightness_selection() -> SelectionFunction:
    log_p = jnp.broadcast_to(jnp.array([LOG_AT_8, 0.0]), (12, 2))
    cells = jnp.broadcast_to(log_p[:, :, None], (12, 2, 2))
    return SelectionFunction(
        log_probability=cells,
        log_mean_probability=log_p,
        uncertainty=jnp.zeros_like(cells),
        g_centre_mag=jnp.array([8.0, 13.0]),
        g_rp_centre_mag=jnp.array([0.3, 0.9]),
        nside=1,
    )


def log_p_of(g_mag: np.ndarray) -> np.ndarray:
    return np.interp(g_mag, [8.0, 13.0], [LOG_AT_8, 0.0])


def colour_selection(seed: int = 0, n_g: int = 5) -> SelectionFunction:
    """Steep in G and colour, and different in every pixel."""
    rng = np.random.default_rng(seed)
    cells = np.log(rng.uniform(0.02, 1.0, (12, n_g, 4)))
    return SelectionFunction(
        log_probability=jnp.asarray(cells, jnp.float32),
        log_mean_probability=jnp.asarray(cells.mean(axis=2), jnp.float32),
        uncertainty=jnp.zeros(cells.shape),
        g_centre_mag=jnp.linspace(13.0, 20.0, n_g),
        g_rp_centre_mag=jnp.array([0.2, 0.5, 0.8, 1.1]),
        nside=1,
    )


@pytest.mark.equation("E24")
@pytest.mark.equation("E12b")
def test_the_normaliser_is_the_integral_over_magnitude_and_distance() -> None:
    """Against scipy's quadrature of N(M | mean, spread) S(M + mu) p(d); 0.25 mag steps leave 0.01 nat."""
    selection = brightness_selection()
    data = jax.tree.map(lambda a: jnp.asarray(a[0]), tabulate(population(1, seed=1)))
    flow = linear_flow(jnp.float32(MEAN_MAG), jnp.log(jnp.float32(SPREAD_MAG)))
    value = log_selected_fraction(flow, data, BRIGHT_MAG, FAINT_MAG, selection)
    d, g = np.linspace(1.0, 6000.0, 3001), np.linspace(-5.0, FAINT_MAG, 2001)
    mu = 5 * np.log10(d / 10)
    inner = [
        integrate.simpson(stats.norm.pdf(g, MEAN_MAG + m, SPREAD_MAG) * np.exp(log_p_of(g)), x=g) for m in mu
    ]
    expected = np.log(integrate.simpson(distance_density(d) * np.array(inner), x=d))
    np.testing.assert_allclose(value, expected, atol=0.01)
    assert expected < np.log(0.6)


@pytest.mark.equation("E24")
@pytest.mark.equation("E12")
@pytest.mark.slow
@pytest.mark.parametrize("told", [True, False])
def test_training_recovers_the_population_behind_a_selection_function(told: bool) -> None:
    """Bright stars are missing from the sample; a training that is not told of it finds the population too faint."""
    everything = population(8_000, seed=8)
    rng = np.random.default_rng(9)
    # S is meant of true magnitudes; measured ones differ by 0.1 mag, over which S changes by 6 %, up and down alike.
    kept = np.flatnonzero(rng.random(8_000) < np.exp(log_p_of(everything.magnitude_mag[:, 0])))[:2000]
    assert len(kept) == 2000
    assert everything.magnitude_mag[kept, 0].min() > TRAINING_BRIGHT_MAG
    data = tabulate(jax.tree.map(lambda a: a[kept], everything))
    selection = brightness_selection() if told else None

    def loss(parameters, key):
        flow = linear_flow(*parameters)
        keys = jax.random.split(key, 2000)
        return -jnp.mean(
            jax.vmap(
                lambda d, k: log_evidence(
                    flow,
                    d,
                    k,
                    Estimator(
                        proposal="posterior",
                        selection=selection,
                        g_bright_mag=TRAINING_BRIGHT_MAG,
                        g_faint_mag=FAINT_MAG,
                    ),
                    n_draws=8,
                )
            )(data, keys)
        )

    optimiser = optax.adam(optax.cosine_decay_schedule(0.1, 80, 0.02))
    parameters = (jnp.float32(4.0), jnp.float32(0.0))

    @jax.jit
    def step(parameters, state, key):
        updates, state = optimiser.update(jax.grad(loss)(parameters, key), state)
        return optax.apply_updates(parameters, updates), state

    state = optimiser.init(parameters)
    for i in range(80):
        parameters, state = step(parameters, state, jax.random.fold_in(jax.random.key(5), i))
    mean_mag, spread_mag = float(parameters[0]), float(jnp.exp(parameters[1]))
    close = abs(mean_mag - MEAN_MAG) < 0.15 and abs(spread_mag - SPREAD_MAG) < 0.1
    assert close is told, (mean_mag, spread_mag)


@pytest.mark.equation("E16")
@pytest.mark.equation("E12")
def test_the_log_density_has_the_selection_of_the_unextinguished_star() -> None:
    model = random_model(3, 11)
    selection = colour_selection()
    with_it = dataclasses.replace(model, selection=selection)
    stars, _, _ = draw_model_stars(load_model("mock-sky"), 4, 1, n_observed=11, with_parallax=True)
    for k in range(4):
        star = eqx.tree_at(
            lambda s: s.selection_pixel, jax.tree.map(lambda a, k=k: a[k], stars), np.int32(3 * k)
        )
        absolute = jnp.linspace(4.0, 5.0, 11)
        values = [
            log_posterior(make_target(m, ebv_min_mag=-0.05, ebv_max_mag=0.5), star, 0.1, 11.0, absolute)
            for m in (model, with_it)
        ]
        expected = log_selection(selection, 3 * k, absolute[G] + 11.0, absolute[G] - absolute[RP])
        np.testing.assert_allclose(values[1] - values[0], expected, atol=2e-3)


@pytest.mark.equation("EF4")
@pytest.mark.equation("E12")
def test_the_fast_engine_knows_the_selection() -> None:
    """Evidence with S over evidence without is the posterior mean of S, which the draws without S give by themselves."""
    model = load_model("mock-sky")
    n = 16
    stars, _, _ = draw_model_stars(model, n, 3, n_observed=11, with_parallax=True)
    stars = eqx.tree_at(lambda s: s.selection_pixel, stars, np.arange(n, dtype=np.int32) % 12)
    steep = jnp.broadcast_to(
        -0.8 * jnp.arange(8.0)[::-1], (12, 8)
    )  # 0.8 nat per mag, in favour of faint stars

    def of_g(row: jax.Array) -> SelectionFunction:
        cells = jnp.broadcast_to(row[:, :, None], (12, 8, 4))
        return SelectionFunction(
            log_probability=cells,
            log_mean_probability=row,
            uncertainty=jnp.zeros_like(cells),
            g_centre_mag=jnp.linspace(13.0, 20.0, 8),
            g_rp_centre_mag=jnp.array([0.2, 0.5, 0.8, 1.1]),
            nside=1,
        )

    @eqx.filter_jit
    def run(fast, part, noise, keys):
        def one(star, noise, key):
            grid = posterior_grid(fast, star, noise)
            draws = weighted_draws(fast, star, noise, grid, key, n_nodes=1024, n_per_node=4)
            check = make_check(draws)
            return check.ess, node_masses(grid)[1] + check.log_mean_weight, draws

        return jax.vmap(one)(part, noise, keys)

    results = []
    for selection in (of_g(jnp.zeros_like(steep)), of_g(steep), colour_selection(n_g=8)):
        told = dataclasses.replace(model, selection=selection)
        fast = make_fast_target(told, make_target(told, ebv_min_mag=-0.05, ebv_max_mag=0.5))
        part = take(stars, np.arange(n))
        noise = jax.tree.map(jnp.asarray, noise_inputs(fast.emulator, part))
        keys = jax.random.split(jax.random.key(0), n)
        results.append(jax.tree.map(np.asarray, run(fast, part, noise, keys)))
    (ess, plain, draws), (steep_ess, selected, _), (colour_ess, _, _) = results
    log_s = np.interp(draws.unreddened_g_mag, np.linspace(13.0, 20.0, 8), steep[0])
    weight = np.exp(draws.log_weight - draws.log_weight.max(axis=1, keepdims=True))
    expected = np.log((weight * np.exp(log_s)).sum(axis=1) / weight.sum(axis=1))
    # Each star's estimate scatters by 0.8 nat per mag times 0.1 mag of A_G over the root of its effective
    # draws; with a quarter of these 4,096 the largest difference of the 16 was 0.05.
    np.testing.assert_allclose(selected - plain, expected, atol=0.06)
    assert expected.std() > 0.3
    # The grid holds S at the expected colour; where S is steep in colour too, the weights bear the rest.
    assert np.median(steep_ess / ess) > 0.95
    assert np.median(colour_ess / ess) > 0.8


@pytest.mark.equation("E12b")
def test_the_mean_over_colours_is_linear_between_centres() -> None:
    selection = colour_selection()
    row = np.asarray(selection.log_mean_probability)[4]
    np.testing.assert_allclose(log_mean_selection(selection, 4, 13.0), row[0], rtol=1e-6)
    np.testing.assert_allclose(log_mean_selection(selection, 4, 13.875), 0.5 * (row[0] + row[1]), rtol=1e-5)
    np.testing.assert_allclose(log_mean_selection(selection, 4, 40.0), row[-1], rtol=1e-6)


def test_a_model_file_keeps_the_selection_function(tmp_path: Path) -> None:
    model = dataclasses.replace(random_model(1, 3), selection=colour_selection())
    again = load_model(save_model(model, tmp_path / "m"))
    assert again.selection is not None
    assert again.selection.nside == 1
    for name in ("log_probability", "log_mean_probability", "uncertainty", "g_centre_mag", "g_rp_centre_mag"):
        np.testing.assert_array_equal(getattr(again.selection, name), getattr(model.selection, name))
    assert again.model_id == model.model_id
    assert again.model_id != dataclasses.replace(model, selection=None).model_id
    high = eqx.tree_at(lambda s: s.log_probability, model.selection, model.selection.log_probability + 9.0)
    damaged = save_model(dataclasses.replace(model, selection=high), tmp_path / "bad")
    with pytest.raises(ModelError, match="above 1"):
        load_model(damaged)
