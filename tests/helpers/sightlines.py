"""A table of posteriors with joint densities, as `redflower.infer` writes it, of an invented sightline."""

from collections.abc import Sequence

import numpy as np
from astropy.table import Table

from redflower.validate.mock_sightlines import mock_sightline


def posterior_table(n_stars: int, clouds: Sequence[tuple[float, float]], seed: int = 0) -> Table:
    """Posteriors of stars behind clouds of (distance in pc, E(B-V) in mag)."""
    rng = np.random.default_rng(seed)
    mock = mock_sightline(n_stars, clouds, rng)
    density = mock.density
    weight = np.exp(density.log_density())
    weight /= weight.sum(axis=(1, 2), keepdims=True)
    table = Table({"source_id": np.arange(n_stars, dtype=np.int64) + 10**15})
    table["l"], table["b"] = (
        104.0 + 0.1 * rng.uniform(-1, 1, n_stars),
        22.3 + 0.1 * rng.uniform(-1, 1, n_stars),
    )
    axes = {"ebv": (density.ebv_nodes_mag(), 1), "distance": (10 ** (1 + density.modulus_nodes_mag() / 5), 2)}
    for name, (nodes, other) in axes.items():
        marginal = weight.sum(axis=other)
        mean = (marginal * nodes).sum(axis=1)
        table[f"{name}_mean"] = mean
        table[f"{name}_std"] = np.sqrt((marginal * (nodes - mean[:, None]) ** 2).sum(axis=1))
    table["status"], table["flags"] = np.full(n_stars, "ok", dtype="<U16"), np.zeros(n_stars, dtype=int)
    for name in ("ebv_start", "ebv_step", "modulus_start", "modulus_step"):
        table[f"density_{name}"] = getattr(density, f"{name}_mag")
    table["density"] = density.steps_below_peak
    table["prior_log_length"] = mock.prior_log_length_pc
    table["prior_alpha"], table["prior_beta"] = mock.prior_alpha, mock.prior_beta
    table.meta["redflower"] = {"stage": "posteriors", "ebv_prior_mag": [-0.05, 0.5]}
    return table
