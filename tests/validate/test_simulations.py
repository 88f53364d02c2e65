"""Stars drawn from a model's prior follow it, and the engine's posteriors of them are calibrated."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import redflower
from redflower.api.simulations import check_by_simulations
from redflower.errors import InputError
from redflower.flow import load_model
from redflower.physics import SelectionFunction, flow_condition, log_distance_prior
from redflower.products.page_validation import flagged_cells, simulations_sentence
from redflower.validate.simulations import simulate_from_prior
from tests.helpers.model_stars import PRIOR, draw_model_stars


@pytest.fixture(scope="module")
def model():
    return load_model("mock-sky")


@pytest.fixture(scope="module")
def design(model):
    return draw_model_stars(model, 200, 4, n_observed=8)[0]


@pytest.mark.equation("E13")
@pytest.mark.equation("E14")
def test_reddenings_and_distances_are_those_of_the_prior(model, design) -> None:
    """By Kolmogorov's test against the uniform reddening, and against the distance prior times the share within the limits."""
    # No dust, so that no star leaves the sample by it, which would change what is left.
    made = simulate_from_prior(
        model, design, 4000, np.random.default_rng(0), ebv_min_mag=-1e-3, ebv_max_mag=1e-3
    )
    assert stats.kstest((made.ebv_mag + 1e-3) / 2e-3, "uniform").pvalue > 1e-3
    log_d = np.linspace(np.log(5.0), np.log(1e5), 4001)
    distance = jnp.asarray(np.exp(log_d), jnp.float32)
    flow = model.flow.prepared()
    l_deg, b_deg = jnp.float32(design.l_deg[0]), jnp.float32(design.b_deg[0])
    modulus = 5.0 * np.log10(np.exp(log_d) / 10.0)
    share = jax.jit(
        jax.vmap(lambda d, low, high: flow.log_mass_between(low, high, flow_condition(d, l_deg, b_deg)))
    )(
        distance,
        jnp.asarray(model.g_bright_mag - modulus, jnp.float32),
        jnp.asarray(model.g_faint_mag - modulus, jnp.float32),
    )
    prior = jax.vmap(log_distance_prior, (0, None, None, None))(distance, *map(jnp.float32, PRIOR))
    weight = np.exp(np.asarray(share, float) + np.asarray(prior, float) + log_d)
    below = np.concatenate([[0.0], np.cumsum(0.5 * (weight[1:] + weight[:-1]))])
    found = stats.kstest(made.modulus_mag, lambda mu: np.interp(mu, modulus, below / below[-1]))
    assert found.pvalue > 1e-3
    # Noise is that of the design's errors.
    residual = (np.asarray(made.stars.parallax_mas) - 10.0 ** (2.0 - made.modulus_mag / 5.0)) / np.asarray(
        made.stars.parallax_error_mas
    )
    assert stats.kstest(residual, "norm").pvalue > 1e-3


def test_a_model_with_a_selection_function_is_refused(model, design) -> None:
    cells = jnp.zeros((12, 3, 2))
    everywhere = SelectionFunction(
        log_probability=cells,
        log_mean_probability=cells[:, :, 0],
        uncertainty=cells,
        g_centre_mag=jnp.arange(3.0),
        g_rp_centre_mag=jnp.arange(2.0),
        nside=1,
    )
    selected = dataclasses.replace(model, selection=everywhere)
    with pytest.raises(InputError, match="selection function"):
        simulate_from_prior(
            selected, design, 10, np.random.default_rng(0), ebv_min_mag=-0.05, ebv_max_mag=0.5
        )


def test_the_check_ranks_every_star_and_says_so_in_words(model) -> None:
    """256 stars: that all five bands hold has a chance of 0.8 and more; that none does would be chance of 1e-5."""
    sky = redflower.simulate(300, seed=3, preset="high-latitude", g_faint_mag=18.0)
    table = redflower.prepare(sky, purpose="inference").table
    checked = check_by_simulations(table, model, n_simulations=256)
    ranks = checked["ranks"]
    assert {one["n"] for one in ranks.values()} == {256}
    assert any(one["inside"] for one in ranks.values())
    assert sum(checked["status"].values()) == 256
    text = simulations_sentence(checked)
    assert "256 stars drawn from the model's own prior" in text
    assert ("ARE NOT" in text) != checked["good"]
    assert all(c["n"] >= 100 for c in checked["cells"])
    # All are known of a star: in cells of the truth an exact posterior would be flagged too.
    known = {"observed BP - RP", "G less distance modulus", "parallax over error", "|b|"}
    assert {c["quantity"] for c in checked["cells"] if not c["quantity"].startswith("bands")} <= known
    assert len(flagged_cells(checked)) <= len(checked["cells"])
    averaged = checked["data_averaged"]
    assert sum(averaged["posterior"]) == pytest.approx(1.0, abs=1e-3)
    assert sum(averaged["prior"]) == pytest.approx(1.0)
    assert ("IS NOT the prior" in text) == (averaged["worst"] >= 3.5)


@pytest.mark.slow
def test_two_thousand_stars_are_calibrated(model) -> None:
    """All ranks inside their 95 % bands (a chance of 0.8 for an exact engine, they go together), TARP within 0.035."""
    sky = redflower.simulate(3000, seed=91, preset="high-latitude", g_faint_mag=18.3)
    table = redflower.prepare(sky, purpose="inference").table
    checked = check_by_simulations(table, model, n_simulations=2000)
    assert checked["good"], checked["ranks"]
