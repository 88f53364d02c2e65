"""The limits and the selection of stars at negative reddening: asked of their magnitudes as they are (D12)."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from redflower.bands import BP, RP, G
from redflower.flow import load_model
from redflower.physics import extinction_mag, log_selection, log_within_limits
from redflower.posterior import InferenceSettings, infer_stars, make_target
from redflower.posterior.fast.steps import FastSettings
from redflower.posterior.log_density import log_posterior
from tests.helpers.model_stars import draw_model_stars
from tests.posterior.test_selection import colour_selection

MODEL = load_model("mock-sky")
LIMITS = {"ebv_min_mag": -0.05, "ebv_max_mag": 0.5}


@pytest.mark.equation("D12")
@pytest.mark.equation("E16")
@pytest.mark.parametrize("ebv_mag", [-0.05, -0.01, 0.0, 0.02, 0.3])
def test_limits_and_selection_are_asked_at_no_reddening_below_none(ebv_mag: float) -> None:
    """The log density with limits and selection, less that without, is their own: at M + mu, or with the negative A."""
    stars, _, _ = draw_model_stars(MODEL, 1, 1, n_observed=11)
    star = jax.tree.map(lambda a: jnp.asarray(a[0]), stars)
    absolute = jnp.linspace(4.4, 5.0, 11)
    modulus = MODEL.g_faint_mag - absolute[G] - 0.02
    told = dataclasses.replace(MODEL, selection=colour_selection())
    free = dataclasses.replace(MODEL, g_bright_mag=-100.0, g_faint_mag=100.0)
    value, without = (
        float(log_posterior(make_target(m, **LIMITS), star, jnp.float32(ebv_mag), modulus, absolute))
        for m in (told, free)
    )
    extinction = np.asarray(extinction_mag(MODEL.law, ebv_mag, absolute[BP] - absolute[RP]), float)
    kept = extinction if ebv_mag < 0 else np.zeros(len(extinction))
    g_mag = float(absolute[G] + modulus) + kept[G]
    expected = float(log_within_limits(g_mag, MODEL.g_bright_mag, MODEL.g_faint_mag))
    expected += float(
        log_selection(told.selection, 0, g_mag, float(absolute[G] - absolute[RP]) + kept[G] - kept[RP])
    )
    # Two numbers of some hundred nat in float32.
    assert value - without == pytest.approx(expected, abs=2e-3)


@pytest.mark.equation("D12")
@pytest.mark.equation("EF4")
@pytest.mark.slow
def test_stars_without_dust_at_the_faint_limit_are_not_pushed_to_redder_values() -> None:
    """The same posterior as without a limit, by quadrature and by weights of the exact density; it was 0.018 mag higher."""
    stars, _, _ = draw_model_stars(MODEL, 128, 2, n_observed=8, ebv_limits_mag=(0.0, 0.0))
    to_the_limit = MODEL.g_faint_mag - 0.04 - stars.magnitude_mag[:, :1]
    stars = eqx.tree_at(
        lambda s: s.magnitude_mag, stars, (stars.magnitude_mag + to_the_limit).astype(np.float32)
    )
    settings = InferenceSettings(fast=FastSettings.first_step_only(), hand_on=False, density=True)
    limited, free = (
        infer_stars(m, stars, np.arange(128), settings)
        for m in (MODEL, dataclasses.replace(MODEL, g_faint_mag=MODEL.g_faint_mag + 5.0))
    )
    fine = np.isfinite(limited["ebv_mean"]) & np.isfinite(free["ebv_mean"])
    # The helper draws errors of any size; where that of G is not small, the true G may be beyond the limit.
    fine &= stars.magnitude_error_mag[:, G] < 0.005
    assert fine.sum() > 30
    shift = (limited["ebv_mean"] - free["ebv_mean"])[fine]
    # The soft edge takes 3e-5 at four of its widths; the same draws serve both.
    np.testing.assert_allclose(shift, 0.0, atol=1e-3)
    # The joint density, which sightlines take, is the same too: a step of its storage is 0.1 nat.
    steps = [np.asarray(t["density"], int)[fine] for t in (limited, free)]
    assert np.mean(np.abs(steps[0] - steps[1]) <= 1) > 0.99
