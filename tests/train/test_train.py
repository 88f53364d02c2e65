"""The evidence estimator against quadrature, and the loop's promises."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate

from redflower.errors import InputError
from redflower.physics import absolute_to_colour, distance_modulus, flow_condition, log_distance_prior
from redflower.train import FlowConfig, StageConfig, TrainConfig, read_config, train_flow
from redflower.train.loss.estimator import Estimator
from tests.helpers.flows import random_flow
from tests.helpers.training import log_evidence, log_selected_fraction, make_training_star
from tests.posterior.test_posterior import example_star

LIMITS = {"g_bright_mag": 13.5, "g_faint_mag": 20.5}


@pytest.mark.equation("E23")
@pytest.mark.equation("EA3")
@pytest.mark.equation("EA4")
@pytest.mark.equation("EA5")
@pytest.mark.equation("D10")
@pytest.mark.parametrize("proposal", ["posterior", "gaussian"])
def test_estimate_agrees_with_quadrature_over_distance(proposal: str) -> None:
    """One band, tiny magnitude error: the integral is over distance alone. 20,000 draws leave below 0.02."""
    flow = random_flow(4, dim=1).prepared()
    star = example_star(tuple(range(1, 11)))
    data = make_training_star(star)
    estimate = log_evidence(
        flow, data, jax.random.key(0), Estimator(proposal=proposal, **LIMITS), n_draws=20_000
    )
    distance = np.linspace(300.0, 4000.0, 6001)

    def log_integrand(d):
        x = absolute_to_colour(star.magnitude_mag[:1] - distance_modulus(d))
        value = flow.log_prob(x, flow_condition(d, star.l_deg, star.b_deg))
        value += log_distance_prior(d, star.prior_log_length_pc, star.prior_alpha, star.prior_beta)
        z = (star.parallax_mas - 1000.0 / d) / star.parallax_error_mas
        return value - 0.5 * z**2 - 0.5 * jnp.log(2 * jnp.pi) - jnp.log(star.parallax_error_mas)

    values = np.asarray(
        jax.jit(jax.vmap(log_integrand))(jnp.asarray(distance, jnp.float32)), dtype=np.float64
    )
    expected = np.log(integrate.simpson(np.exp(values), x=distance))
    expected -= float(log_selected_fraction(flow, data, **LIMITS))
    assert float(estimate) == pytest.approx(expected, abs=0.05)


@pytest.mark.equation("EP7")
def test_geometric_distances_are_quantiles_by_the_definition_of_the_catalogue() -> None:
    """r_med_geo, and half of r_hi_geo - r_lo_geo: the median and the 15.9 and 84.1 % points of parallax likelihood times
    prior (Bailer-Jones et al. 2021, section 2.4), for good, poor and negative parallaxes."""
    distance = np.geomspace(1.0, 1e5, 400_001)
    for parallax, error in ((10.0, 0.02), (1.1, 0.1), (0.2, 0.3), (-0.4, 0.3)):
        fields = vars(example_star()) | {
            "parallax_mas": jnp.float32(parallax),
            "parallax_error_mas": jnp.float32(error),
        }
        data = make_training_star(type(example_star())(**fields))
        density = distance**2 * np.exp(
            -distance / 400.0 - 0.5 * ((parallax - 1000.0 / distance) / error) ** 2
        )
        mass = integrate.cumulative_trapezoid(density, distance, initial=0.0)
        low, median, high = np.interp(np.array([0.15865525, 0.5, 0.84134475]) * mass[-1], mass, distance)
        assert float(data.geometric_distance_pc) == pytest.approx(median, rel=2e-3)
        assert float(data.geometric_sigma_pc) == pytest.approx(0.5 * (high - low), rel=1e-2)


def sample(n: int):
    """Stars drawn about `example_star`, with colours that vary."""
    rng = np.random.default_rng(0)
    star = example_star()
    shift = rng.normal(0.0, 1.0, (n, 1)) * np.linspace(0.2, 0.5, 11) + rng.normal(0, 0.02, (n, 11))
    fields = dict(vars(jax.tree.map(lambda v: np.broadcast_to(np.asarray(v), (n, *np.shape(v))), star)))
    fields["magnitude_mag"] = (np.asarray(star.magnitude_mag) + shift).astype(np.float32)
    fields["parallax_mas"] = (1.1 + 0.1 * rng.normal(size=n)).astype(np.float32)
    return type(star)(**fields)


CONFIG = TrainConfig(
    flow=FlowConfig(depth=1, block_dim=2),
    stages=(StageConfig(n_draws=2, batch_size=128, max_epochs=4, learning_rate=1e-2),),
    validation_draws=4,
    magnitudes="likelihood",
)


def test_training_raises_the_evidence() -> None:
    config = CONFIG.model_copy(update={"magnitudes": "adapted"})
    whole = train_flow(sample(600), config, n_bands=3, **LIMITS)
    assert whole.history[-1].validation_log_evidence > whole.history[0].validation_log_evidence
    assert whole.validation_log_evidence == max(e.validation_log_evidence for e in whole.history)


def test_too_few_stars_and_a_foreign_checkpoint_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="at least 500"):
        train_flow(sample(20), CONFIG, n_bands=3, **LIMITS)
    with pytest.raises(InputError, match="no checkpoint"):
        train_flow(sample(600), CONFIG, n_bands=3, **LIMITS, checkpoint=tmp_path / "none", resume=True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[flow]\nblock_dims = 4", "block_dims"),
        ('[[stages]]\nn_draws = "32"', "n_draws"),
        # Nothing else is said to be wrong.
        ("[[stages]]\nn_drawz = 4", r"c.toml: stages.0.n_drawz: [^;]*$"),
        ("[flow", "not valid TOML"),
        ("validation_fraction = 0.9", "validation_fraction"),
    ],
)
def test_a_wrong_configuration_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "c.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_config(path)


def test_the_configurations_of_the_repository_are_valid() -> None:
    folder = Path(__file__).parents[2] / "configs"
    paper = read_config(folder / "paper.toml")
    assert (paper.stages[0].n_draws, paper.contrast.strength, paper.proposal) == (32, 0.3, "gaussian")
    assert read_config(folder / "laptop.toml").contrast.strength == 0.0
