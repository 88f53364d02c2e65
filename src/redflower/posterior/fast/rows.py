"""The columns of stars that the fast engine settles, from their grids or from their weighted draws."""

from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float

from redflower.posterior.batches import batches
from redflower.posterior.columns import quantile_columns
from redflower.posterior.fast.check import WeightedDraws
from redflower.posterior.fast.grid import Grid
from redflower.posterior.fast.steps import FastResult
from redflower.posterior.fast.weights import (
    effective_number,
    log_node_weights,
    normalised_weights,
    pareto_k,
    weighted_summary,
)
from redflower.posterior.flags import covered_by_training, flag_bits, shares_near_ends, status_words
from redflower.posterior.results import Request
from redflower.quantiles import LEVELS
from redflower.star import Star


class _Typical(NamedTuple):
    """What flags and status want of each star, beside its columns; see `flag_bits` and `status_words`."""

    modulus_mag: Float[np.ndarray, " star"]
    bp_rp_mag: Float[np.ndarray, " star"]
    flow_chi2: Float[np.ndarray, " star"]
    bright_share: Float[np.ndarray, " star"]
    edge_share: Float[np.ndarray, " star"]


def columns_of_grid(
    request: Request, part: Star, result: FastResult, rows: np.ndarray
) -> dict[str, np.ndarray]:
    """Return the columns of a padded batch from its grids, on the host."""
    s = result.summary
    columns = quantile_columns(
        {
            "ebv_mean": s.ebv_mean_mag, "ebv_std": s.ebv_std_mag, "ebv_quantiles": s.ebv_quantiles_mag,
            "distance_mean": s.distance_mean_pc, "distance_std": s.distance_std_pc,
            "distance_quantiles": s.distance_quantiles_pc, "ebv_distance_corr": s.correlation,
        }
    )  # fmt: skip
    columns["log_evidence"] = np.asarray(s.log_evidence)
    columns["ess"], columns["pareto_k"] = (
        np.asarray(result.check.ess),
        pareto_k(np.asarray(result.log_weight)),
    )
    typical = _Typical(
        modulus_mag=_peak_modulus_mag(result.grid),
        bp_rp_mag=np.asarray(result.bp_rp_mag),
        flow_chi2=np.asarray(result.flow_chi2),
        bright_share=np.asarray(result.bright_share),
        edge_share=np.asarray(result.edge_share),
    )
    return _judged(request, part, columns, rows, typical)


def columns_of_draws(
    request: Request, draws: WeightedDraws, grids: Grid, rows: np.ndarray, size: int
) -> dict[str, np.ndarray]:
    """Return the columns of some stars from their weighted draws, ``size`` stars at a time."""
    parts = [
        _columns_of_draws(
            request,
            jax.tree.map(lambda a: a[batch], draws),  # noqa: B023
            jax.tree.map(lambda a: a[padded], grids),  # noqa: B023
            rows[padded],
        )
        for batch, padded in batches(np.arange(len(rows)), size)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _columns_of_draws(
    request: Request, draws: WeightedDraws, grids: Grid, rows: np.ndarray
) -> dict[str, np.ndarray]:
    """Return the columns of a batch; ``grids`` and ``rows`` are padded."""
    columns = quantile_columns(weighted_summary(draws, np.array(LEVELS)))
    by_node = log_node_weights(np.asarray(draws.log_weight), request.settings.fast.refine_draws_per_node)
    columns["ess"], columns["pareto_k"] = effective_number(by_node), pareto_k(by_node)
    bright_share, edge_share = shares_near_ends(
        request.target,
        np.asarray(draws.ebv_mag),
        np.asarray(draws.unreddened_g_mag),
        normalised_weights(draws),
    )
    axes = zip(columns["ebv_mean"], np.asarray(grids.ebv_mag), np.asarray(grids.bp_rp_mag), strict=False)
    typical = _Typical(
        modulus_mag=_peak_modulus_mag(grids),
        bp_rp_mag=np.array([np.interp(*one) for one in axes]),
        flow_chi2=np.median(draws.flow_chi2, axis=1),
        bright_share=bright_share,
        edge_share=edge_share,
    )
    return _judged(request, request.part(rows), columns, rows, typical)


def _judged(
    request: Request, part: Star, columns: dict[str, np.ndarray], rows: np.ndarray, typical: _Typical
) -> dict[str, np.ndarray]:
    """Add ``status`` and ``flags`` to the columns of a batch. Compiled functions see the padded size alone."""
    n_stars, size = len(columns["ebv_mean"]), len(rows)
    covered = covered_by_training(request.model, part, typical.modulus_mag)
    flags = flag_bits(
        request.model,
        request.target,
        part,
        ebv_mean_mag=np.resize(columns["ebv_mean"], size),
        bp_rp_mag=np.resize(typical.bp_rp_mag, size),
        flow_chi2=np.resize(typical.flow_chi2, size),
        covered=covered,
        ebv_limit_mag=request.ebv_limit_mag[rows],
    )
    columns["status"] = status_words(columns, {}, covered[:n_stars], typical.bright_share, typical.edge_share)
    columns["flags"] = flags[:n_stars]
    return columns


def _peak_modulus_mag(grids: Grid) -> np.ndarray:
    """Return the distance modulus at the peak of every grid. [mag]"""
    peak = np.argmax(np.asarray(grids.log_density).max(axis=2), axis=1)
    return np.asarray(grids.modulus_mag)[np.arange(len(peak)), peak]
