"""Stars that are not of the model's population are found, and its own are not taken for them."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from redflower.bands import BAND_INDEX, BP, N_BANDS, G
from redflower.flow import load_model
from redflower.posterior import InferenceSettings, infer_stars
from redflower.posterior.log_density import make_target
from redflower.posterior.outliers import sample_shares
from redflower.posterior.settings import FastSettings
from redflower.posterior.status import Status
from redflower.train.dataset import make_training_star
from redflower.train.loss.normaliser import log_selected_fraction
from tests.helpers.model_stars import draw_model_stars

SETTINGS = InferenceSettings(fast=FastSettings.first_step_only())
#: Colours of a quasar at redshift 1.5 (Pan-STARRS1 of Schneider et al. 2010, 2MASS of a power law), relative to G. [mag]
QUASAR_MAG = {
    "gaia_bp": 0.25, "gaia_rp": -0.45, "ps1_g": 0.12, "ps1_r": -0.02, "ps1_i": -0.08, "ps1_z": -0.02, "ps1_y": -0.03,
    "tmass_j": -1.1, "tmass_h": -1.7, "tmass_ks": -2.4,
}  # fmt: skip


@pytest.fixture(scope="module")
def model():
    return load_model("mock-sky")


@pytest.fixture(scope="module")
def stars(model):
    return draw_model_stars(model, 512, 8, n_observed=N_BANDS, ebv_limits_mag=(0.0, 0.2))[0]


def inferred(model, stars, **settings):
    chosen = InferenceSettings(fast=SETTINGS.fast, **settings)
    return infer_stars(model, stars, np.arange(len(stars.l_deg)), chosen)


@pytest.fixture(scope="module")
def own(model, stars):
    return inferred(model, stars)


@pytest.mark.equation("E24")
def test_training_and_inference_divide_by_one_share(model, stars) -> None:
    """With no cut on parallax the normaliser of training is that of inference."""
    target = make_target(model, ebv_min_mag=-0.05, ebv_max_mag=0.5)
    few = jax.tree.map(lambda a: jnp.asarray(a[:128]), stars)
    data = jax.jit(jax.vmap(make_training_star))(few)
    expected = jax.jit(
        jax.vmap(
            lambda one: log_selected_fraction(
                target.flow,
                one,
                target.g_bright_mag,
                target.g_faint_mag,
                target.selection,
                target.prior_limit_mag,
            )
        )
    )(data)
    # Two programs of one formula round differently in float32.
    np.testing.assert_allclose(np.asarray(sample_shares(target, few)), np.asarray(expected), atol=2e-4)


@pytest.mark.equation("E28")
def test_the_models_own_stars_are_not_taken_for_others(own) -> None:
    """512 stars of the model: at a prior share of 1 % fewer than one is expected to be called an outlier.

    A star of the population is more probable as an outlier with a probability below 1 % (Markov's inequality: the ratio of the
    densities has a mean of 1 under the population); most densities are far apart, so that the mean probability is far less.
    """
    assert np.nanmean(own["p_outlier"]) < 0.002
    assert (own["status"] == Status.OUTLIER.value).sum() <= 1


def with_magnitudes(stars, change):
    magnitude = np.array(stars.magnitude_mag)
    change(magnitude)
    return eqx.tree_at(lambda s: s.magnitude_mag, stars, magnitude)


def quasars(magnitude: np.ndarray) -> None:
    for name, colour in QUASAR_MAG.items():
        magnitude[:, BAND_INDEX[name]] = magnitude[:, G] + colour


def blended_bp(magnitude: np.ndarray) -> None:
    magnitude[:, BP] -= 0.75


@pytest.mark.equation("E28")
@pytest.mark.parametrize("change", [quasars, blended_bp])
def test_what_is_not_of_the_population_is_called_so(model, stars, own, change) -> None:
    """Good photometry tells: of those whose errors are below 0.05 mag from G to y, more than nine in ten are found."""
    good = np.asarray(stars.magnitude_error_mag)[:, :8].max(axis=1) < 0.05
    made = with_magnitudes(stars, change)
    if change is quasars:
        noise = np.random.default_rng(0).standard_normal(len(good)) * np.asarray(stars.parallax_error_mas)
        made = eqx.tree_at(lambda s: s.parallax_mas, made, noise.astype(np.float32))
    found = inferred(model, made)
    called = found["p_outlier"] > 0.5
    assert good.sum() > 50
    assert called[good].mean() > 0.9
    words = found["status"][called]
    assert set(words) <= {Status.OUTLIER.value, Status.OUTSIDE_COVERAGE.value}
    # Their numbers are what would hold for a star of the population: they change only what is looked at.
    assert np.isfinite(found["ebv_mean"][called]).all()


@pytest.mark.equation("E28")
def test_a_share_of_none_calls_nothing_an_outlier(model, stars) -> None:
    found = inferred(model, with_magnitudes(stars, quasars), outlier_share=0.0)
    assert not (found["p_outlier"] > 0.0).any()
    assert Status.OUTLIER.value not in found["status"]
