"""Are a model's posteriors calibrated on stars drawn from its own prior?"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
from astropy.table import Table

from redflower.api.inference import matching_prior
from redflower.api.kept import KeptPieces
from redflower.api.star_pieces import StarsJob, inferred_stars
from redflower.bands import BP, RP, BandSet, G
from redflower.catalogue import DistancePrior, to_stars
from redflower.catalogue.io.sources import TableSource
from redflower.catalogue.reading.prepared_stars import open_prepared
from redflower.distances import distance_from_modulus, modulus_from_distance
from redflower.flow import Model
from redflower.photometric_scales import PhotometricScale
from redflower.posterior import InferenceSettings
from redflower.posterior.density import joint_density
from redflower.validate.ranks import coverage_by_cell, data_averaged, ranks_of, uniformity
from redflower.validate.simulations import Simulations, simulate_from_prior

#: Edges of the cells in which coverage is looked at: BP - RP and M_G in mag, |b| in deg. All are of what is known of a star: only
#: there must an exact posterior hold its share and have no bias. Stars of one true colour are drawn towards the prior by any.
_CELLS = {
    "observed BP - RP": (-1.0, 0.6, 0.8, 1.0, 1.3, 1.8, 2.3, 5.0),
    "G less distance modulus": (-5.0, 2.0, 4.0, 5.0, 6.0, 8.0, 10.0, 16.0),
    "parallax over error": (-100.0, 1.0, 3.0, 10.0, 1e4),
    "|b|": (0.0, 30.0, 45.0, 60.0, 90.1),
}

#: Cells in which the mean posterior of the reddening is compared with its prior.
_N_AVERAGED = 11


def check_by_simulations(
    stars: TableSource,
    model: Model | str | Path,
    *,
    n_simulations: int = 2000,
    settings: InferenceSettings | None = None,
    distance_prior: DistancePrior | None = None,
    photometry: PhotometricScale | str | None = None,
    without: Sequence[str] = (),
    workers: int | None = None,
    kept: KeptPieces | None = None,
    progress: Callable[[int], None] | None = None,
) -> dict[str, Any]:
    """Infer stars drawn from a model's own prior, and say whether the posteriors are calibrated.

    Simulation-based calibration (Talts et al. 2018, arXiv:1804.06788) with simultaneous bands, TARP (Lemos et al. 2023), and
    coverage cell by cell. It tests the engine and not the model: the stars are the model's by construction.

    Parameters
    ----------
    stars : a prepared table: the simulated stars have its positions, errors and observed bands.
    model : a model without a selection function, the name of a shipped one, or the path of a model file.
    n_simulations : number of stars to draw.
    settings : of the inference; its seed also draws the stars. Densities are always made.
    distance_prior, photometry, without : as for `redflower.infer`.
    workers : number of processes that share the stars, as for `redflower.infer`.
    kept : keeps finished posteriors, as for `redflower.validate`.
    progress : called with the number of stars done.

    Returns
    -------
    ``n``; ``ranks``: `redflower.validate.ranks.uniformity` of the reddening, the distance, the log density, the log likelihood
    and random regions (TARP); ``data_averaged``: the mean posterior of the reddening against its prior; ``cells`` of
    `coverage_by_cell`; ``worst_cell``; ``status`` counts; ``good``: whether all ranks are in their bands.

    Raises
    ------
    InputError
        If the table is not prepared, or the model has a selection function.

    Examples
    --------
    >>> import redflower
    >>> found = redflower.check_by_simulations("stars.parquet", "mock-sky", n_simulations=100)
    >>> found["n"] <= 100
    True
    """
    settings = replace(settings or InferenceSettings(), density=True)
    table = open_prepared(stars, "check_by_simulations' input")
    model, prior = matching_prior(model, distance_prior, table.colnames)
    batch = to_stars(
        table,
        prior,
        model.selection,
        scale=model.scale(),
        photometry=photometry,
        without=without,
        bands=model.star_bands,
    )
    # A star whose errors nobody knows is no design.
    observed = np.asarray(batch.stars.observed)[:, : model.n_bands]
    usable = np.flatnonzero(observed[:, G] & (observed.sum(axis=1) > 2) & batch.usable)
    design = jax.tree.map(lambda a: np.asarray(a)[usable], batch.stars)
    rng = np.random.default_rng(settings.seed)
    made = simulate_from_prior(
        model, design, n_simulations, rng, ebv_min_mag=settings.ebv_min_mag, ebv_max_mag=settings.ebv_max_mag
    )
    batch_of_all = (made.stars, np.arange(len(made.ebv_mag), dtype=np.int64))
    ((columns, _),) = inferred_stars(
        StarsJob(model, settings), [batch_of_all], workers, progress, "check_by_simulations", kept
    )
    return _judged(made, columns, model.bands, rng, (settings.ebv_min_mag, settings.ebv_max_mag))


def _judged(
    made: Simulations,
    columns: dict[str, np.ndarray],
    of: BandSet,
    rng: np.random.Generator,
    ebv_range_mag: tuple[float, float],
) -> dict[str, Any]:
    density = joint_density(Table(columns))
    length, alpha, beta = (
        np.asarray(getattr(made.stars, f"prior_{name}"), float) for name in ("log_length_pc", "alpha", "beta")
    )

    def log_prior(rows: np.ndarray, modulus_mag: np.ndarray) -> np.ndarray:
        """Evaluate ln of the distance prior in distance modulus, up to a constant of each star. Equation: E13."""
        log_d, row = np.log(distance_from_modulus(modulus_mag)), rows[:, None]
        return (beta[row] + 1.0) * log_d - np.exp(alpha[row] * (log_d - length[row]))  # E13

    ranks = ranks_of(density, made.ebv_mag, made.modulus_mag, rng, log_prior)
    used = ranks.used
    ranked = {
        name: uniformity(getattr(ranks, field))
        for name, field in (
            ("E(B-V)", "ebv"), ("distance", "modulus"), ("log density", "log_density"),
            ("log likelihood", "log_likelihood"), ("random regions", "region"),
        )
    }  # fmt: skip
    magnitude, seen = (np.asarray(a)[used] for a in (made.stars.magnitude_mag, made.stars.observed))
    parallax, error, has = (
        np.asarray(getattr(made.stars, name))[used]
        for name in ("parallax_mas", "parallax_error_mas", "has_parallax")
    )
    values = {
        "observed BP - RP": np.where(seen[:, BP] & seen[:, RP], magnitude[:, BP] - magnitude[:, RP], np.nan),
        "G less distance modulus": magnitude[:, G] - modulus_from_distance(columns["distance_q50"][used]),
        "parallax over error": np.where(has, parallax / error, 0.0),
        "|b|": np.abs(np.asarray(made.stars.b_deg, float)[used]),
    }
    residual = columns["ebv_mean"][used] - made.ebv_mag[used]
    cells = coverage_by_cell(ranks.ebv, residual, {k: (v, _CELLS[k]) for k, v in values.items()})
    bands = np.array([of.shown(row) for row in np.asarray(made.stars.observed)[used, : len(of)]])
    for word in np.unique(bands):
        here = (bands == word).astype(float)
        cells += [
            c | {"quantity": f"bands {word}"}
            for c in coverage_by_cell(ranks.ebv, residual, {"": (here, (0.5, 1.5))})
        ]
    worst = max(cells, key=lambda c: abs(c["inside_68"] - 0.68) / c["error"], default=None)
    words, counts = np.unique(columns["status"], return_counts=True)
    return {
        "n": len(made.ebv_mag),
        "good": all(one["inside"] for one in ranked.values()),
        "ranks": ranked,
        "cells": cells,
        "worst_cell": worst,
        "data_averaged": data_averaged(density, made.ebv_mag, np.linspace(*ebv_range_mag, _N_AVERAGED + 1)),
        "status": {str(w): int(c) for w, c in zip(words, counts, strict=True)},
    }
