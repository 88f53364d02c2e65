"""From chains to a row per star: moments, quantiles, evidence, convergence, status and flags."""

from functools import partial

import jax
import numpy as np
from jaxtyping import Array, Bool, Float, Key
from numpyro.diagnostics import effective_sample_size, split_gelman_rubin

from redflower.bands import G
from redflower.flow.model import Model
from redflower.physics import distance_pc_of_modulus
from redflower.posterior.bridge import log_evidence_by_bridge
from redflower.posterior.flags import covered_by_training, flag_bits, shares_near_ends, status_words
from redflower.posterior.log_density import Target
from redflower.posterior.nuts.sampler import ChainDraws
from redflower.posterior.status import MAX_EDGE_SHARE, Flag, Status
from redflower.posterior.whitening import Whitening, log_whitened
from redflower.programs import kept_program
from redflower.quantiles import QUANTILES
from redflower.star import Star

MIN_ESS = 100.0
MAX_R_HAT = 1.05
MAX_DIVERGENT_SHARE = 0.01


def log_evidences(
    target: Target, stars: Star, draws: ChainDraws, keys: Key[Array, " key"]
) -> Float[np.ndarray, " star"]:
    """Estimate ln evidence of every star of a batch, by bridge sampling. Equation: E16c."""
    n_stars, n_chains, n_draws, dim = draws.theta.shape
    n_kept = n_chains * n_draws // 2 * 2
    theta = np.asarray(draws.theta).reshape(n_stars, -1, dim)[:, :n_kept]
    log_density = np.asarray(draws.log_density).reshape(n_stars, -1)[:, :n_kept]
    normal = np.asarray(_normals(keys, n_kept // 2, dim))

    def density(points: np.ndarray) -> np.ndarray:
        return np.asarray(
            _log_densities(target, stars, draws.whitening, jax.device_put(points.astype(np.float32)))
        )

    return log_evidence_by_bridge(theta, log_density, normal, density)


@partial(jax.jit, static_argnums=(1, 2))
def _normals(keys: Key[Array, " key"], n_draws: int, dim: int) -> Float[Array, "key draw theta"]:
    return jax.vmap(lambda key: jax.random.normal(key, (n_draws, dim)))(keys)


@kept_program
def _log_densities(
    target: Target, stars: Star, whitening: Whitening, theta: Float[Array, "star draw theta"]
) -> Float[Array, "star draw"]:
    def one(star: Star, whitening: Whitening, theta: Float[Array, "draw theta"]) -> Float[Array, " draw"]:
        return jax.vmap(lambda t: log_whitened(target, star, whitening, t))(theta)

    return jax.vmap(one)(stars, whitening, theta)


def summarise_chains(
    model: Model,
    target: Target,
    stars: Star,
    draws: ChainDraws,
    ebv_limit_mag: Float[np.ndarray, " star"],
    diagnosed: dict[str, np.ndarray] | None = None,
) -> dict[str, np.ndarray]:
    """Compute the columns of the output table, except identifiers and evidence, as arrays over the batch.

    Parameters
    ----------
    ebv_limit_mag : see `flag_bits`.
    diagnosed : the `diagnostics` of the draws; computed if None.

    Returns
    -------
    ``ebv_*`` [mag] and ``distance_*`` [pc] (mean, std, quantiles), ``ebv_distance_corr``, ``ess`` (the smaller
    of E's and distance's), ``r_hat``, ``divergences``, ``status`` and ``flags``.
    """
    ebv_mag = np.asarray(draws.ebv_mag, dtype=np.float64)
    modulus_mag = np.asarray(draws.distance_modulus_mag, dtype=np.float64)
    distance_pc = np.asarray(distance_pc_of_modulus(draws.distance_modulus_mag), dtype=np.float64)
    columns: dict[str, np.ndarray] = {}
    for name, values in (("ebv", ebv_mag), ("distance", distance_pc)):
        flat = values.reshape(len(values), -1)
        columns[f"{name}_mean"], columns[f"{name}_std"] = flat.mean(axis=1), flat.std(axis=1, ddof=1)
        levels = np.quantile(flat, list(QUANTILES.values()), axis=1)
        columns |= {f"{name}_{label}": level for label, level in zip(QUANTILES, levels, strict=True)}
    flat_e, flat_d = (v.reshape(len(v), -1) for v in (ebv_mag, distance_pc))
    covariance = ((flat_e - flat_e.mean(1, keepdims=True)) * (flat_d - flat_d.mean(1, keepdims=True))).sum(1)
    columns["ebv_distance_corr"] = (
        covariance / (flat_e.shape[1] - 1) / (columns["ebv_std"] * columns["distance_std"])
    )
    columns |= diagnostics(draws) if diagnosed is None else diagnosed

    g_mag = np.asarray(draws.unreddened_g_mag).reshape(len(flat_e), -1)
    beyond = ((g_mag < target.g_bright_mag) | (g_mag > target.g_faint_mag)).mean(axis=1) > MAX_EDGE_SHARE
    has_g = np.asarray(stars.observed)[:, G]
    covered = covered_by_training(model, stars, np.median(modulus_mag.reshape(len(modulus_mag), -1), axis=1))
    columns["status"] = _status(
        target,
        columns,
        flat_e,
        np.where(has_g[:, None], g_mag, np.inf),  # without G no limit has cut the posterior off
        chain_failures(columns, draws.diverging[0].size),
        covered,
    )
    columns["flags"] = flag_bits(
        model,
        target,
        stars,
        ebv_mean_mag=columns["ebv_mean"],
        bp_rp_mag=np.median(np.asarray(draws.bp_rp_mag).reshape(len(flat_e), -1), axis=1),
        flow_chi2=np.median(np.asarray(draws.flow_chi2).reshape(len(flat_e), -1), axis=1),
        covered=covered,
        ebv_limit_mag=ebv_limit_mag,
    )
    columns["flags"] |= np.where(beyond & ~has_g, int(Flag.BEYOND_LIMITS), 0)
    return columns


def diagnostics(draws: ChainDraws) -> dict[str, np.ndarray]:
    """Compute each star's ``ess`` (the smaller of E's and the distance's), ``r_hat`` (split, the larger) and ``divergences``."""
    # numpyro's diagnostics want (chain, draw, ...).
    parts = (draws.ebv_mag, draws.distance_modulus_mag)
    by_chain = [np.moveaxis(np.asarray(values, dtype=np.float64), 0, -1) for values in parts]
    return {
        "ess": np.min([effective_sample_size(v) for v in by_chain], axis=0),
        "r_hat": np.max([split_gelman_rubin(v) for v in by_chain], axis=0),
        "divergences": np.asarray(draws.diverging).sum(axis=(1, 2)),
    }


def chain_failures(columns: dict[str, np.ndarray], n_draws: int) -> dict[Status, Bool[np.ndarray, " star"]]:
    """Tell what is wrong with which star's chains, from their `diagnostics` and the draws of all chains of a star."""
    return {
        Status.NOT_CONVERGED: ~(columns["r_hat"] <= MAX_R_HAT),
        Status.DIVERGENT: columns["divergences"] / n_draws > MAX_DIVERGENT_SHARE,
        Status.LOW_ESS: ~(columns["ess"] >= MIN_ESS),
    }


def chains_failed(columns: dict[str, np.ndarray], n_draws: int) -> Bool[np.ndarray, " star"]:
    """Tell whether anything is wrong with each star's chains: see `chain_failures`."""
    return np.any(list(chain_failures(columns, n_draws).values()), axis=0)


def _status(
    target: Target,
    columns: dict[str, np.ndarray],
    ebv_mag: np.ndarray,
    unreddened_g_mag: np.ndarray,
    failures: dict[Status, np.ndarray],
    covered: np.ndarray,
) -> np.ndarray:
    bright_share, edge_share = shares_near_ends(target, ebv_mag, unreddened_g_mag)
    return status_words(columns, failures, covered, bright_share, edge_share)
