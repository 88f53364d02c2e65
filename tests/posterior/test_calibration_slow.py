"""Simulation-based calibration of the reference engine, beside that of the fast one in test_fast_engine.py."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import kstest

from redflower.bands import G
from redflower.flow import load_model
from redflower.posterior import NutsSettings, make_target, sample_stars
from redflower.posterior.keys import star_keys
from redflower.validate.simulations import simulate_from_prior
from tests.helpers.model_stars import draw_model_stars

N_STARS, BATCH = 192, 64


@pytest.mark.slow
def test_chains_are_calibrated_over_the_prior() -> None:
    """Ranks of the truth among the draws, uniform for stars drawn from prior and model; false alarm 1e-4 each.

    True G is ranked here alone: the fast engine integrates it out.
    """
    model = load_model("mock-sky")
    limits_mag = {"ebv_min_mag": -0.05, "ebv_max_mag": 0.5}
    design = draw_model_stars(model, N_STARS, 41, n_observed=11)[0]
    simulated = simulate_from_prior(model, design, N_STARS, np.random.default_rng(42), **limits_mag)
    stars = simulated.stars
    target = make_target(model, **limits_mag)
    true_g_mag = simulated.absolute_mag[:, G] + simulated.modulus_mag
    ranks: dict[str, list[float]] = {"ebv": [], "modulus": [], "true G": []}
    for start in range(0, N_STARS, BATCH):
        rows = np.arange(start, start + BATCH)
        part = jax.tree.map(lambda a, rows=rows: jnp.asarray(a[rows]), stars)
        draws = sample_stars(target, part, star_keys(rows, 1), NutsSettings(n_warmup=250, n_draws=400))
        for name, values, truth in (
            ("ebv", draws.ebv_mag, simulated.ebv_mag[rows]),
            ("modulus", draws.distance_modulus_mag, simulated.modulus_mag[rows]),
            ("true G", draws.unreddened_g_mag, true_g_mag[rows]),
        ):
            flat = np.asarray(values).reshape(BATCH, -1)
            ranks[name] += (flat < truth[:, None]).mean(axis=1).tolist()
    for name, values in ranks.items():
        assert kstest(values, "uniform").pvalue > 1e-4, name
