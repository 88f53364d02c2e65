"""Status words and flag bits of a batch of stars, by any engine."""

from typing import Any

import jax
import numpy as np
from jaxtyping import Array
from scipy.special import gammaincinv

from redflower.bands import MIN_BANDS, G
from redflower.constants import LATITUDE_MIN_DEG
from redflower.flow.conditional import needed_bands
from redflower.flow.coverage import Coverage
from redflower.flow.model import Model
from redflower.physics import ExtinctionLaw, distance_pc_of_modulus, flow_condition
from redflower.posterior.log_density import Target
from redflower.posterior.status import BRIGHT_EDGE_MAG, EDGE_MAG, MAX_EDGE_SHARE, Flag, Status
from redflower.programs import kept_program
from redflower.star import Star

#: A star is called unlike the training stars when its median squared length in the flow's normal coordinates is
#: above this quantile of chi-squared: one star of the trained population in ten thousand.
UNLIKELY_QUANTILE = 0.9999


def covered_by_training(model: Model, stars: Star, modulus_mag: np.ndarray) -> np.ndarray:
    """Tell whether each star's (R, Z) at a distance modulus [mag] is where the model had training stars."""
    return np.asarray(_covered(model.coverage, np.asarray(modulus_mag, np.float32), stars.l_deg, stars.b_deg))


@kept_program
def _covered(coverage: Coverage, modulus_mag: Array, l_deg: Array, b_deg: Array) -> Array:
    return coverage.contains(jax.vmap(flow_condition)(distance_pc_of_modulus(modulus_mag), l_deg, b_deg))


def shares_near_ends(
    target: Target, ebv_mag: np.ndarray, unreddened_g_mag: np.ndarray, weight: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the posterior shares near the bright limit and near an end of the reddening prior, from a row of draws per star."""

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
    """Choose each star's status word: the first condition that holds. The others are in flags and columns.

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
    """Compute the column ``flags`` of a batch.

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
        Flag.LOW_FLOW_PROBABILITY: flow_chi2
        > 2.0 * gammaincinv(np.maximum(needed, 1) / 2.0, UNLIKELY_QUANTILE),  # quantile of chi-squared
        Flag.COEFFICIENT_OUT_OF_RANGE: (~np.asarray(in_range)[:, :n] & observed).any(axis=1),
        Flag.OUTSIDE_COVERAGE: ~covered,
        Flag.LOW_LATITUDE: np.abs(np.asarray(stars.b_deg)) < LATITUDE_MIN_DEG,
    }
    flags = np.zeros(len(observed), dtype=np.int64)
    for flag, rows in bits.items():
        flags |= np.where(np.asarray(rows), int(flag), 0)
    return flags


@kept_program
def _of_law(
    law: ExtinctionLaw, ebv_mag: Array, ebv_limit_mag: Array, bp_rp_mag: Array, observed: Array
) -> tuple[Array, Array, Array]:
    """Return which coefficients are in range, that of G at the limit of E, and the number of bands that count."""
    in_range = jax.vmap(law.in_range)(ebv_mag, bp_rp_mag)
    g_coefficient = jax.vmap(law.coefficients)(ebv_limit_mag, bp_rp_mag)[:, G]
    return in_range, g_coefficient, jax.vmap(needed_bands)(observed).sum(axis=1)


def unusable_status(model: Model, stars: Star) -> np.ndarray:
    """Return a status word for every star that cannot be inferred at all, and empty text for the others."""
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
