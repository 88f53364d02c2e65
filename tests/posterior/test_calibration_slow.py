"""Simulation-based calibration of the reference engine, beside that of the fast one in test_fast_engine.py."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import kstest

from redflower.flow import load_model
from redflower.posterior import NutsSettings, make_target, sample_stars
from redflower.posterior.keys import star_keys
from tests.helpers.model_stars import draw_model_stars

N_STARS, BATCH = 192, 64


@pytest.mark.slow
def test_chains_are_calibrated_over_the_prior() -> None:
    """Ranks of the truth among the draws, uniform for stars drawn from prior and model; false alarm 1e-4 each."""
    model = load_model("mock-sky")
    stars, ebv, distance = draw_model_stars(model, N_STARS, 41, n_observed=11)
    target = make_target(model, ebv_min_mag=-0.05, ebv_max_mag=0.5)
    ranks: dict[str, list[float]] = {"ebv": [], "modulus": []}
    for start in range(0, N_STARS, BATCH):
        rows = np.arange(start, start + BATCH)
        part = jax.tree.map(lambda a, rows=rows: jnp.asarray(a[rows]), stars)
        draws = sample_stars(target, part, star_keys(rows, 1), NutsSettings(n_warmup=250, n_draws=400))
        for name, values, truth in (
            ("ebv", draws.ebv_mag, ebv[rows]),
            ("modulus", draws.distance_modulus_mag, 5.0 * np.log10(distance[rows] / 10.0)),
        ):
            flat = np.asarray(values).reshape(BATCH, -1)
            ranks[name] += (flat < truth[:, None]).mean(axis=1).tolist()
    for name, values in ranks.items():
        assert kstest(values, "uniform").pvalue > 1e-4, name
