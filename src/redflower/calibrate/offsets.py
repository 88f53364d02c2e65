"""Fit a sample's offsets: Fisher scoring of the evidence of all stars, reddening and distance of each integrated out."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, Float
from scipy.stats import chi2

from redflower.calibrate.pulls import Pulls, pulls_of
from redflower.calibrate.settings import CalibrationSettings
from redflower.posterior.fast.grid import FastTarget
from redflower.star import Star

#: Stars not of the population: their share, and how much larger their residuals are.
OUTLIER_SHARE: Final = 0.02
OUTLIER_SCALE: Final = 5.0
#: Fewer stars than this do not fit a band.
MIN_STARS_PER_BAND: Final = 50
#: A shift common to all bands is held at zero: it cannot be told from distance. [mag]
COMMON_MAG: Final = 1e-5


@dataclass(frozen=True)
class OffsetFit:
    """Offsets of the bands that the sample has, and the last pass over it.

    Attributes
    ----------
    offset_mag : sample less model of every band of the model, relative to their median; 0 for a band that was not fitted. [mag]
    covariance_mag2 : of them. [mag^2]
    fitted : which bands were fitted: those that at least `MIN_STARS_PER_BAND` stars have.
    used : which stars the last pass used.
    before, after : the first pass, without offsets, and the last.
    observed : which bands each star has.
    passes : how many passes it took.
    converged : whether the last pass changed no offset by more than the tolerance.
    """

    offset_mag: Float[np.ndarray, " band"]
    covariance_mag2: Float[np.ndarray, " band band"]
    fitted: Bool[np.ndarray, " band"]
    used: Bool[np.ndarray, " star"]
    before: Pulls
    after: Pulls
    observed: Bool[np.ndarray, " star band"]
    passes: int
    converged: bool


def fit_offsets(
    fast: FastTarget,
    stars: Star,
    source_id: np.ndarray,
    ebv_mag: Float[np.ndarray, " star"],
    ebv_error_mag: Float[np.ndarray, " star"],
    settings: CalibrationSettings,
    progress: Callable[[int], None] | None = None,
) -> OffsetFit:
    """Fit the offsets that make a sample most probable under a model.

    The pull of a star is the derivative of its ln evidence by its magnitudes, with reddening and distance integrated out; the
    covariance of the stars' pulls is their information on the offsets (Fisher). Each pass steps by the sum of pulls over the
    information and the prior's, until the offsets stand still.

    Equations: CA1 to CA3 (docs/model.md).

    Parameters
    ----------
    fast : the fast engine's target.
    stars, source_id : the sample.
    ebv_mag, ebv_error_mag : what is known of each star's reddening beforehand. [mag]
    settings : prior, cut and passes.
    progress : called with the number of passes done.
    """
    n = fast.emulator.n_bands
    observed = np.asarray(stars.observed)[:, :n]
    offset = np.zeros(n)
    fitted = observed.sum(axis=0) >= MIN_STARS_PER_BAND
    k = int(fitted.sum())
    held = np.eye(k) / settings.prior_mag**2 + np.ones((k, k)) / (k * COMMON_MAG**2)
    before = accepted = None
    step, covariance, converged, done = np.zeros(k), np.zeros((k, k)), False, 0
    best = -np.inf
    while done < settings.max_passes and not converged:
        tried = offset.copy()
        tried[fitted] += step
        found = pulls_of(fast, stars, source_id, tried, ebv_mag, ebv_error_mag, settings.seed)
        before = before or found
        done += 1
        if progress is not None:
            progress(done)
        weight, total = _weights(found, observed)
        objective = total - 0.5 * tried[fitted] @ held @ tried[fitted]
        if objective < best - 1e-3 * len(source_id):
            step = 0.4 * step  # too far: the stars do not follow a parabola
        else:
            offset, best, accepted = tried, max(best, objective), found
            pull = np.asarray(found.fit.pull, dtype=np.float64)[:, fitted] * weight[:, None]
            centred = pull - pull.mean(axis=0)
            covariance = np.linalg.inv(centred.T @ centred + held)  # CA3
            step = covariance @ (-pull.sum(axis=0) - held @ offset[fitted])
        converged = bool(np.abs(step).max() < settings.tolerance_mag)
    used = weight > 0.5
    after = accepted
    assert before is not None
    assert after is not None
    offset[fitted], covariance = _relative_to_median(offset[fitted], covariance)
    full = np.zeros((n, n))
    full[np.ix_(fitted, fitted)] = covariance
    return OffsetFit(
        offset_mag=offset, covariance_mag2=full, fitted=fitted, used=used, before=before, after=after, observed=observed,
        passes=done, converged=converged,
    )  # fmt: skip


def p_fit(
    residual: Float[np.ndarray, " star colour"], observed: Bool[np.ndarray, " star band"]
) -> Float[np.ndarray, " star"]:
    """Return the tail probability of the stars' residuals; NaN for stars without a colour."""
    n = observed[:, 1:].sum(axis=1)
    total = (np.asarray(residual, dtype=np.float64) ** 2).sum(axis=1)
    return np.where(n > 0, chi2.sf(total, np.maximum(n, 1)), np.nan)


def _weights(
    found: Pulls, observed: Bool[np.ndarray, " star band"]
) -> tuple[Float[np.ndarray, " star"], float]:
    """Return each star's probability of being of the population, and the ln evidence of the sample.

    A star is of the population, or with the chance `OUTLIER_SHARE` one whose residuals are `OUTLIER_SCALE` times as
    large. Equation: CA1.
    """
    n = observed[:, 1:].sum(axis=1)
    squares = (np.asarray(found.fit.residual, dtype=np.float64) ** 2).sum(axis=1)
    log_ratio = 0.5 * squares * (1.0 - OUTLIER_SCALE**-2) - n * np.log(OUTLIER_SCALE)
    log_odds = np.log(OUTLIER_SHARE / (1.0 - OUTLIER_SHARE)) + log_ratio
    log_evidence = np.asarray(found.log_evidence, dtype=np.float64)
    good = np.isfinite(log_evidence) & np.isfinite(np.asarray(found.fit.pull)).all(axis=1)
    weight = np.where(good, 1.0 / (1.0 + np.exp(np.minimum(log_odds, 700.0))), 0.0)
    mixed = log_evidence + np.logaddexp(0.0, log_odds) + np.log1p(-OUTLIER_SHARE)  # CA1
    return weight, float(mixed[good].sum())


def _relative_to_median(
    offset: Float[np.ndarray, " band"], covariance: Float[np.ndarray, " band band"]
) -> tuple[Float[np.ndarray, " band"], Float[np.ndarray, " band band"]]:
    """Move the common shift so that the median band has none: a single band that is off then reads as it is."""
    middle = int(np.argsort(offset)[(len(offset) - 1) // 2])
    relative = np.eye(len(offset))
    relative[:, middle] -= 1.0
    # The middle band's own error is not known from itself: it keeps that of the common frame.
    moved = relative @ covariance @ relative.T
    moved[middle, middle] = covariance[middle, middle]
    return offset - offset[middle], moved
