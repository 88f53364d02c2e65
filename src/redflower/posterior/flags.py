"""From draws to one row per star: moments, quantiles, evidence, convergence, status and flags."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray
from numpyro.diagnostics import effective_sample_size, split_gelman_rubin
from scipy.stats import chi2

from redflower.bands import G
from redflower.constants import LATITUDE_MIN_DEG
from redflower.flow.coverage import Coverage
from redflower.flow.model import Model
from redflower.physics import ExtinctionLaw, distance_pc_of_modulus, flow_condition
from redflower.posterior.bridge import log_evidence_by_bridge
from redflower.posterior.log_density import Target, Whitening, log_whitened, needed_bands
from redflower.posterior.nuts.sampler import Draws
from redflower.posterior.status import BRIGHT_EDGE_MAG, EDGE_MAG, MAX_EDGE_SHARE, Flag, Status
from redflower.star import Star

QUANTILES = {"q05": 0.05, "q16": 0.16, "q50": 0.50, "q84": 0.84, "q95": 0.95}
MIN_ESS = 100.0
MAX_R_HAT = 1.05
MAX_DIVERGENT_SHARE = 0.01
MIN_BANDS = 3
#: A star is called unlike the training stars when its median squared length in the flow's normal coordinates is
#: beyond this quantile of chi-squared: one star of the trained population in ten thousand.
UNLIKELY_QUANTILE = 0.9999


def log_evidences(target: Target, stars: Star, draws: Draws, keys: PRNGKeyArray) -> Float[np.ndarray, "star"]:
    """ln evidence of every star of a batch, by bridge sampling. Equation: E16c."""
    n_stars, n_chains, n_draws, dim = draws.theta.shape
    n_kept = n_chains * n_draws // 2 * 2
    theta = np.asarray(draws.theta).reshape(n_stars, -1, dim)[:, :n_kept]
    log_density = np.asarray(draws.log_density).reshape(n_stars, -1)[:, :n_kept]
    normal = np.asarray(jax.vmap(lambda key: jax.random.normal(key, (n_kept // 2, dim)))(keys))

    def density(points: np.ndarray) -> np.ndarray:
        return np.asarray(_log_densities(target, stars, draws.whitening, jnp.asarray(points, jnp.float32)))

    return log_evidence_by_bridge(theta, log_density, normal, density)


@eqx.filter_jit
def _log_densities(
    target: Target, stars: Star, whitening: Whitening, theta: Float[Array, "star draw theta"]
) -> Float[Array, "star draw"]:
    def one(star: Star, whitening: Whitening, theta: Float[Array, "draw theta"]) -> Float[Array, "draw"]:
        return jax.vmap(lambda t: log_whitened(target, star, whitening, t))(theta)

    return jax.vmap(one)(stars, whitening, theta)


def summarise(
    model: Model, target: Target, stars: Star, draws: Draws, ebv_limit_mag: Float[np.ndarray, "star"]
) -> dict[str, np.ndarray]:
    """Columns of the output table, but for the identifiers and the evidence, as arrays over the batch.

    Parameters
    ----------
    ebv_limit_mag : see `flag_bits`.

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
    columns |= diagnostics(draws)

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


def diagnostics(draws: Draws) -> dict[str, np.ndarray]:
    """``ess`` (the smaller of E's and the distance's), ``r_hat`` (split, the larger) and ``divergences`` of each star."""
    # numpyro's diagnostics want (chain, draw, ...).
    parts = (draws.ebv_mag, draws.distance_modulus_mag)
    by_chain = [np.moveaxis(np.asarray(values, dtype=np.float64), 0, -1) for values in parts]
    return {
        "ess": np.min([effective_sample_size(v) for v in by_chain], axis=0),
        "r_hat": np.max([split_gelman_rubin(v) for v in by_chain], axis=0),
        "divergences": np.asarray(draws.diverging).sum(axis=(1, 2)),
    }


def chain_failures(columns: dict[str, np.ndarray], n_draws: int) -> dict[Status, Bool[np.ndarray, " star"]]:
    """What is wrong with which star's chains, from their `diagnostics` and the draws of all chains of a star."""
    return {
        Status.NOT_CONVERGED: ~(columns["r_hat"] <= MAX_R_HAT),
        Status.DIVERGENT: columns["divergences"] / n_draws > MAX_DIVERGENT_SHARE,
        Status.LOW_ESS: ~(columns["ess"] >= MIN_ESS),
    }


def chains_failed(columns: dict[str, np.ndarray], n_draws: int) -> Bool[np.ndarray, " star"]:
    """Whether anything is: see `chain_failures`."""
    return np.any(list(chain_failures(columns, n_draws).values()), axis=0)


def covered_by_training(model: Model, stars: Star, modulus_mag: np.ndarray) -> np.ndarray:
    """Whether each star's (R, Z) at a distance modulus [mag] is where the model had training stars."""
    return np.asarray(_covered(model.coverage, np.asarray(modulus_mag, np.float32), stars.l_deg, stars.b_deg))


@eqx.filter_jit
def _covered(coverage: Coverage, modulus_mag: Array, l_deg: Array, b_deg: Array) -> Array:
    return coverage.contains(jax.vmap(flow_condition)(distance_pc_of_modulus(modulus_mag), l_deg, b_deg))


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


def shares_near_ends(
    target: Target, ebv_mag: np.ndarray, unreddened_g_mag: np.ndarray, weight: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Posterior shares near the bright limit, and near an end of the reddening prior, of draws in a row per star."""

    def share(there: np.ndarray) -> np.ndarray:
        return np.asarray(np.average(there, axis=1, weights=weight))

    low, high = ebv_mag < target.ebv_min_mag + EDGE_MAG, ebv_mag > target.ebv_max_mag - EDGE_MAG
    bright = unreddened_g_mag < target.g_bright_mag + BRIGHT_EDGE_MAG
    return share(bright), np.maximum(share(low), share(high))


def status_words(
    columns: dict[str, np.ndarray],
    failures: dict[Status, np.ndarray],
    covered: np.ndarray,
    bright_share: np.ndarray,
    edge_share: np.ndarray,
) -> np.ndarray:
    """The first condition that holds is the word; the others are in flags and columns.

    Parameters
    ----------
    columns : with ``ebv_mean``, ``distance_mean`` and ``distance_std``.
    failures : an engine's own conditions.
    covered : whether the star's (R, Z) is covered by the training sample.
    bright_share, edge_share : posterior shares near the bright limit and near an end of the reddening prior.
    """
    finite = np.isfinite(columns["ebv_mean"] + columns["distance_mean"] + columns["distance_std"])
    conditions = {
        Status.NONFINITE: ~finite,
        **failures,
        Status.OUTSIDE_COVERAGE: ~covered,
        Status.BRIGHT_LIMIT: bright_share > MAX_EDGE_SHARE,
        Status.EDGE_OF_PRIOR: edge_share > MAX_EDGE_SHARE,
    }
    return np.select(list(conditions.values()), [s.value for s in conditions], default=Status.OK.value)


def flag_bits(
    model: Model,
    target: Target,
    stars: Star,
    *,
    ebv_mean_mag: np.ndarray,
    bp_rp_mag: np.ndarray,
    flow_chi2: np.ndarray,
    covered: np.ndarray,
    ebv_limit_mag: np.ndarray,
) -> np.ndarray:
    """The column ``flags`` of a batch.

    Parameters
    ----------
    ebv_mean_mag : posterior mean of E(B-V). [mag]
    bp_rp_mag : typical intrinsic BP - RP of the posterior. [mag]
    flow_chi2 : typical squared length of the star in the flow's normal coordinates.
    covered : whether the star's (R, Z) is covered by the training sample.
    ebv_limit_mag : all the dust towards the star, E_max of section 2.9.2. [mag]
    """
    n = target.n_bands
    observed = np.asarray(stars.observed)[:, :n]
    ebv_mag, colour_mag = np.maximum(ebv_mean_mag, 0.0), bp_rp_mag
    single = (np.asarray(a, np.float32) for a in (ebv_mag, ebv_limit_mag, colour_mag))
    in_range, g_coefficient, needed = map(np.asarray, _of_law(model.law, *single, observed))
    bright_mag = target.g_bright_mag + g_coefficient * ebv_limit_mag
    bits: dict[Flag, Any] = {
        Flag.MISSING_BAND: ~observed.all(axis=1),
        Flag.NO_PARALLAX: ~np.asarray(stars.has_parallax),
        Flag.ENTERED_BY_EXTINCTION: observed[:, G] & (np.asarray(stars.magnitude_mag)[:, G] < bright_mag),
        Flag.LOW_FLOW_PROBABILITY: flow_chi2 > chi2.ppf(UNLIKELY_QUANTILE, np.maximum(needed, 1)),
        Flag.COEFFICIENT_OUT_OF_RANGE: (~np.asarray(in_range)[:, :n] & observed).any(axis=1),
        Flag.OUTSIDE_COVERAGE: ~covered,
        Flag.LOW_LATITUDE: np.abs(np.asarray(stars.b_deg)) < LATITUDE_MIN_DEG,
    }
    flags = np.zeros(len(observed), dtype=np.int64)
    for flag, rows in bits.items():
        flags |= np.where(np.asarray(rows), int(flag), 0)
    return flags


@eqx.filter_jit
def _of_law(
    law: ExtinctionLaw, ebv_mag: Array, ebv_limit_mag: Array, bp_rp_mag: Array, observed: Array
) -> tuple[Array, Array, Array]:
    """Which coefficients are in range, that of G at the limit of E, and the number of bands that count."""
    in_range = jax.vmap(law.in_range)(ebv_mag, bp_rp_mag)
    g_coefficient = jax.vmap(law.coefficients)(ebv_limit_mag, bp_rp_mag)[:, G]
    return in_range, g_coefficient, jax.vmap(needed_bands)(observed).sum(axis=1)


def quantile_columns(values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Arrays of quantiles spread over their columns."""
    out: dict[str, np.ndarray] = {}
    for name, array in values.items():
        if name.endswith("_quantiles"):
            stem = name.removesuffix("_quantiles")
            out |= {f"{stem}_{label}": array[:, i] for i, label in enumerate(QUANTILES)}
        else:
            out[name] = array
    return out


def unusable_status(model: Model, stars: Star) -> np.ndarray:
    """A status word for every star that cannot be inferred at all; empty for the others."""
    n = model.n_bands
    observed = np.asarray(stars.observed)[:, :n]
    magnitude_mag, error_mag = (
        np.asarray(a)[:, :n] for a in (stars.magnitude_mag, stars.magnitude_error_mag)
    )
    per_band = np.isfinite(magnitude_mag) & np.isfinite(error_mag) & (error_mag > 0)
    has_parallax = np.asarray(stars.has_parallax)
    parallax_fine = np.isfinite(stars.parallax_mas) & (np.asarray(stars.parallax_error_mas) > 0)
    scalars = (stars.l_deg, stars.b_deg, stars.prior_log_length_pc, stars.prior_alpha, stars.prior_beta)
    finite = np.all([np.isfinite(a) for a in scalars], axis=0)
    finite &= (per_band | ~observed).all(axis=1) & (parallax_fine | ~has_parallax)
    g_mag = magnitude_mag[:, G]
    conditions = {
        Status.NO_BANDS: observed.sum(axis=1) < MIN_BANDS,
        Status.NONFINITE: ~finite,
        Status.OUTSIDE_LIMITS: observed[:, G] & ((g_mag < model.g_bright_mag) | (g_mag > model.g_faint_mag)),
    }
    longest = max(len(s) for s in Status)
    words = np.select(list(conditions.values()), [s.value for s in conditions], default="")
    return words.astype(f"<U{longest}")
