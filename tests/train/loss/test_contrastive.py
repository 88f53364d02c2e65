"""The contrastive term: what it is, its schedule, and what it does to a flow."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from redflower.physics import Zhang23Law, extinction_mag
from redflower.train import ContrastConfig, FlowConfig, StageConfig, TrainConfig, train_flow
from redflower.train.dataset import tabulate
from redflower.train.loss.contrastive import contrast_strength, next_contrast_steps, redden_star
from redflower.train.loss.estimator import Estimator
from redflower.train.loss.objective import Objective
from tests.helpers.flows import random_flow
from tests.helpers.training import log_contrast, log_evidence, make_training_star
from tests.posterior.test_posterior import example_star
from tests.train.test_train import LIMITS, sample

LAW = Zhang23Law()


@pytest.mark.equation("E21")
def test_a_copy_has_the_extinction_of_the_stars_own_colour_in_every_band() -> None:
    star = example_star()
    copy = redden_star(LAW, star, jnp.float32(0.3))
    expected = extinction_mag(LAW, 0.3, star.magnitude_mag[1] - star.magnitude_mag[2])
    np.testing.assert_allclose(copy.magnitude_mag - star.magnitude_mag, expected, atol=2e-6)
    assert float(expected[0]) > 0.5  # R times E, not R
    np.testing.assert_array_equal(copy.parallax_mas, star.parallax_mas)


@pytest.mark.equation("E21")
def test_copies_have_the_marginal_likelihood_of_their_magnitudes_down_to_the_floor() -> None:
    """At a nearly fixed E, without floor, ln C is the ln evidence of the reddened star; at the floor it has no gradient."""
    flow, star = random_flow(4), example_star()
    data = make_training_star(star)
    narrow = ContrastConfig(strength=0.3, ebv_min_mag=0.2, ebv_max_mag=0.2001, negatives=2, floor=-1e6)
    estimator = Estimator(proposal="posterior", integrate_gaps=False, **LIMITS)
    settings = {"law": LAW, "n_draws": 4000}
    value, possible = log_contrast(
        flow.prepared(), data, jax.random.key(0), estimator, config=narrow, **settings
    )
    copy = eqx.tree_at(lambda d: d.star, data, redden_star(LAW, star, jnp.float32(0.20005)))
    expected = log_evidence(
        flow.prepared(),
        copy,
        jax.random.key(1),
        Estimator(proposal="posterior", normaliser="none", **LIMITS),
        n_draws=8000,
    )
    assert bool(possible)
    assert float(value) == pytest.approx(float(expected), abs=0.1)

    def floored(network):
        whole = eqx.tree_at(lambda f: f.network, flow, network).prepared()
        config = narrow.model_copy(update={"floor": 100.0})
        return log_contrast(whole, data, jax.random.key(0), estimator, law=LAW, config=config, n_draws=8)[0]

    at_floor, gradient = eqx.filter_value_and_grad(floored)(flow.network)
    assert float(at_floor) == pytest.approx(100.0 + float(data.log_parallax_evidence), abs=1e-3)
    assert all(not np.any(leaf) for leaf in jax.tree.leaves(gradient))


def test_a_star_without_bp_or_dimmed_out_of_the_sample_teaches_nothing() -> None:
    flow = random_flow(4).prepared()
    settings = {
        "law": LAW,
        "config": ContrastConfig(strength=0.3),
        "n_draws": 4,
    }
    kind = {"proposal": "posterior", "integrate_gaps": False}
    value, possible = log_contrast(
        flow,
        make_training_star(example_star((1,))),
        jax.random.key(0),
        Estimator(**kind, **LIMITS),
        **settings,
    )
    assert (float(value), bool(possible)) == (0.0, False)
    data = make_training_star(example_star())
    limits = {"g_bright_mag": 13.5, "g_faint_mag": 16.05}
    value, _ = log_contrast(flow, data, jax.random.key(0), Estimator(**kind, **limits), **settings)
    assert float(value) == pytest.approx(-70.0 + float(data.log_parallax_evidence), abs=1e-3)


@pytest.mark.equation("E22")
def test_lambda_rises_by_its_schedule_and_steps_back_when_the_evidence_worsens() -> None:
    config = ContrastConfig(strength=0.3, start_epochs=2, ramp_epochs=3, tolerance=0.1)
    steps, highest, strengths = 0.0, -np.inf, []
    for evidence in (1.0, 2.0, 2.5, 2.45, 2.3, 2.45, 2.5, 2.5):
        strengths.append(contrast_strength(config, steps))
        steps = next_contrast_steps(config, steps, evidence, highest)
        highest = max(highest, evidence)
    np.testing.assert_allclose(strengths, [0.0, 0.0, 0.0, 0.1, 0.2, 0.1, 0.2, 0.3], atol=1e-9)


@pytest.mark.slow
@pytest.mark.equation("E20")
@pytest.mark.equation("E22")
def test_what_the_term_buys_and_what_it_costs() -> None:
    """Two runs that differ in lambda alone, three bands. With the term the reddened copies lose far more density than
    the dust-free stars do: here more than 2 nat for less than 0.25, over stars that neither run trained on."""
    stars, held_out = sample(3000), sample(3400)
    held_out = jax.tree.map(lambda a: a[3000:], held_out)
    densities = {}
    for strength in (0.0, 0.3):
        config = TrainConfig(
            flow=FlowConfig(depth=2, block_dim=4),
            contrast=ContrastConfig(strength=strength, ramp_epochs=5, n_draws=2, tolerance=1.0),
            stages=(StageConfig(n_draws=4, batch_size=256, max_epochs=25, learning_rate=1e-2, final_rate_fraction=0.05),),
            validation_draws=8, magnitudes="likelihood",
        )  # fmt: skip
        flow = train_flow(stars, config, n_bands=3, **LIMITS).flow
        fixed = config.model_copy(update={"contrast": ContrastConfig(strength=0.3, n_draws=64)})
        objective = Objective(config=fixed, law=LAW, **LIMITS)
        terms = eqx.filter_jit(
            lambda f, d, r, o=objective: o.terms(f, d, r, 7, n_draws=64, gaps=False, contrast=True)
        )(flow, tabulate(held_out), jnp.arange(400, dtype=jnp.uint32))
        densities[strength] = [float(jnp.mean(term)) for term in terms]
    lost_clean = densities[0.0][0] - densities[0.3][0]
    lost_reddened = densities[0.0][1] - densities[0.3][1]
    assert lost_reddened > 2.0, densities
    assert lost_clean < 0.25, densities
