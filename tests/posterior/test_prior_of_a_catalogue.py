"""A distance prior of a catalogue's stars: divided by the flow's share of stars to the catalogue's limit (E13b)."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats

from redflower.catalogue import default_distance_prior, read_distance_prior
from redflower.flow import load_model
from redflower.physics import flow_condition
from redflower.posterior import InferenceSettings, infer_stars, make_target
from redflower.posterior.fast.steps import FastSettings
from redflower.posterior.log_density import log_posterior
from redflower.train.dataset import tabulate
from redflower.train.loss.estimator import Estimator
from redflower.train.loss.evidence import log_evidence
from tests.helpers.model_stars import draw_model_stars
from tests.train.test_selection import (
    BRIGHT_MAG,
    ERROR_MAG,
    FAINT_MAG,
    MEAN_MAG,
    PARALLAX_ERROR_MAS,
    SPREAD_MAG,
    distance_density,
    linear_flow,
    population,
)

MODEL = load_model("mock-sky")
LIMIT_MAG = 15.0


def of_catalogue(limit_mag: float):
    return dataclasses.replace(MODEL, distance_prior={**MODEL.distance_prior, "g_limit_mag": limit_mag})


def test_a_prior_says_of_which_stars_it_is(shared_data) -> None:
    assert default_distance_prior().g_limit_mag is None
    assert "g_limit_mag" not in default_distance_prior().as_dict()
    published = read_distance_prior(shared_data / "bailerjones2021_prior_summary.csv")
    assert published.as_dict()["g_limit_mag"] == 20.7


@pytest.mark.equation("E13b")
@pytest.mark.equation("E16")
def test_the_log_density_is_divided_by_the_share_of_stars_to_the_limit() -> None:
    stars, _, _ = draw_model_stars(MODEL, 1, 1, n_observed=11)
    star = jax.tree.map(lambda a: jnp.asarray(a[0]), stars)
    # Large errors, so that the density is no number of thousands of nat, of which float32 keeps a hundredth.
    star = eqx.tree_at(
        lambda s: (s.magnitude_error_mag, s.has_parallax),
        star,
        (jnp.full(11, 5.0), jnp.asarray(False)),  # noqa: FBT003
    )
    absolute, limits = jnp.linspace(4.4, 5.0, 11), {"ebv_min_mag": -0.05, "ebv_max_mag": 0.5}
    first = MODEL.flow.prepared().leading(1)
    for modulus in (8.0, 11.0, 14.0):
        value, without = (
            float(
                log_posterior(
                    make_target(m, **limits), star, jnp.float32(0.1), jnp.float32(modulus), absolute
                )
            )
            for m in (of_catalogue(17.0), MODEL)
        )
        condition = flow_condition(10 ** (1 + modulus / 5), star.l_deg, star.b_deg)
        u = float(first.forward(jnp.array([17.0 - modulus]), condition)[0][0])
        # Two numbers of some ten nat in float32.
        assert value - without == pytest.approx(-stats.norm.logcdf(u), abs=3e-3)


@pytest.mark.equation("E13b")
@pytest.mark.equation("E23")
@pytest.mark.equation("E24")
def test_the_evidence_of_training_is_the_closed_form_with_the_catalogue_s_prior() -> None:
    """Over distance by scipy's quadrature, over magnitude by hand; 4,000 draws scatter by under 0.02 nat."""
    stars = population(40, seed=2)
    flow = linear_flow(jnp.float32(MEAN_MAG), jnp.log(jnp.float32(SPREAD_MAG)))
    estimator = Estimator("posterior", BRIGHT_MAG, FAINT_MAG, prior_limit_mag=LIMIT_MAG)
    keys = jax.random.split(jax.random.key(0), 40)
    value = jax.jit(jax.vmap(lambda d, k: log_evidence(flow, d, k, estimator, 4000)))(tabulate(stars), keys)
    d = np.linspace(1.0, 6000.0, 60_001)
    mu = 5 * np.log10(d / 10)
    density = distance_density(d) / stats.norm.cdf(LIMIT_MAG, MEAN_MAG + mu, SPREAD_MAG)
    total = np.hypot(SPREAD_MAG, ERROR_MAG)
    share = integrate.simpson(density * stats.norm.cdf(FAINT_MAG, MEAN_MAG + mu, SPREAD_MAG), x=d)
    expected = []
    for m, plx in zip(stars.magnitude_mag[:, 0].astype(float), stars.parallax_mas.astype(float), strict=True):
        middle = (m * SPREAD_MAG**2 + (MEAN_MAG + mu) * ERROR_MAG**2) / total**2
        photometry = stats.norm.pdf(m, MEAN_MAG + mu, total)
        photometry *= stats.norm.cdf(FAINT_MAG, middle, SPREAD_MAG * ERROR_MAG / total)
        parallax = stats.norm.pdf(plx, 1000 / d, PARALLAX_ERROR_MAS)
        expected.append(np.log(integrate.simpson(photometry * parallax * density, x=d) / share))
    difference = np.asarray(value) - np.array(expected)
    # One star beyond the limit by several errors has few draws inside; the rest agree closely.
    assert np.median(np.abs(difference)) < 0.01
    assert np.abs(difference).max() < 0.15


@pytest.mark.equation("E13b")
@pytest.mark.equation("EF4")
@pytest.mark.slow
def test_the_fast_engine_s_two_steps_agree_on_it_and_it_moves_distances_outward() -> None:
    """By quadrature, and by weights of the exact density alone, of stars without a parallax; a limit at 17 is a strong one."""
    stars, _, _ = draw_model_stars(MODEL, 64, 4, n_observed=8, with_parallax=False)
    model, ids = of_catalogue(17.0), np.arange(64)
    first = InferenceSettings(fast=FastSettings.first_step_only(), hand_on=False)
    second = InferenceSettings(fast=FastSettings(min_check_ess=2.0), hand_on=False)
    quadrature, weights = (infer_stars(model, stars, ids, s) for s in (first, second))
    plain = infer_stars(MODEL, stars, ids, second)
    fine = (weights["status"] == "ok") & np.isfinite(quadrature["ebv_mean"]) & (plain["status"] == "ok")
    assert fine.sum() > 30
    shift = (quadrature["distance_mean"] - weights["distance_mean"])[fine] / weights["distance_std"][fine]
    # Step 1 with nothing sent on is right to a quarter of a deviation for nine stars of ten, or it would not be judged at all.
    assert np.quantile(np.abs(shift), 0.9) < 0.3
    moved = (weights["distance_mean"] / plain["distance_mean"])[fine]
    assert np.mean(moved > 1.0) > 0.8
    assert np.median(moved) > 1.01
