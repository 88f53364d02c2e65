"""Fit a sample's offsets: Fisher scoring of the evidence of all stars, reddening and distance of each integrated out."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from typing import Final

import numpy as np
from jaxtyping import Bool, Float

from redflower.calibrate.pulls import Pulls, sample_pulls
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
    offset_mag : sample minus model of every band of the model, in the frame in which they are smallest; 0 for a band that
        was not fitted. [mag]
    covariance_mag2 : of them. [mag^2]
    fitted : which bands were fitted: those that at least `MIN_STARS_PER_BAND` stars have.
    used : which stars the last pass used.
    before, after : the first pass, without offsets, and the last.
    observed : which bands each star has.
    passes : how many passes it took.
    converged : whether the last pass changed no offset by more than the tolerance.
    """

    offset_mag: Float[np.ndarray, " band"]
    covariance_mag2: Float[np.ndarray, "band band"]
    fitted: Bool[np.ndarray, " band"]
    used: Bool[np.ndarray, " star"]
    before: Pulls
    after: Pulls
    observed: Bool[np.ndarray, "star band"]
    passes: int
    converged: bool


def fit_offsets(
    fast: FastTarget,
    stars: Star,
    source_id: np.ndarray,
    ebv_mag: Float[np.ndarray, " star"],
    ebv_error_mag: Float[np.ndarray, " star"],
    settings: CalibrationSettings,
    dust: Float[np.ndarray, " band"] | None = None,
    progress: Callable[[int], None] | None = None,
) -> OffsetFit:
    """Fit the offsets that make a sample most probable under a model.

    The pull of a star is the derivative of its ln evidence by its magnitudes, with reddening and distance integrated out; the
    covariance of the stars' pulls is their information on the offsets (Fisher). Each pass steps by the sum of pulls over the
    information and the prior's, until the offsets stand still.

    Equations: CA1 to CA3 (docs/explanation/model.md).

    Parameters
    ----------
    fast : the fast engine's target.
    stars, source_id : the sample.
    ebv_mag, ebv_error_mag : what is known of each star's reddening beforehand. [mag]
    settings : prior and passes.
    dust : as for `scoring_step`, where nothing is known of the stars' reddenings.
    progress : called with the number of passes done.
    """
    n = fast.emulator.n_bands
    observed = np.asarray(stars.observed)[:, :n]
    offset = np.zeros(n)
    fitted = observed.sum(axis=0) >= MIN_STARS_PER_BAND
    k = int(fitted.sum())
    held = _held(k, settings.prior_mag)
    before = accepted = None
    step, covariance, converged, done = np.zeros(k), np.zeros((k, k)), False, 0
    best = -np.inf
    while done < settings.max_passes and not converged:
        tried = offset.copy()
        tried[fitted] += step
        found = sample_pulls(fast, stars, source_id, tried, ebv_mag, ebv_error_mag, settings.seed)
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
            pull = np.asarray(found.pull, dtype=np.float64)[:, fitted] * weight[:, None]
            centred = pull - pull.mean(axis=0)
            step, covariance = scoring_step(
                pull.sum(axis=0), centred.T @ centred, offset[fitted], settings.prior_mag,
                None if dust is None else dust[fitted],
            )  # fmt: skip
        converged = bool(np.abs(step).max() < settings.tolerance_mag)
    used = weight > 0.5
    after = accepted
    assert before is not None
    assert after is not None
    offset[fitted], covariance = sparsest(offset[fitted], covariance, None if dust is None else dust[fitted])
    full = np.zeros((n, n))
    full[np.ix_(fitted, fitted)] = covariance
    return OffsetFit(
        offset_mag=offset, covariance_mag2=full, fitted=fitted, used=used, before=before, after=after, observed=observed,
        passes=done, converged=converged,
    )  # fmt: skip


def _weights(
    found: Pulls, observed: Bool[np.ndarray, "star band"]
) -> tuple[Float[np.ndarray, " star"], float]:
    """Return each star's probability of being of the population, and the ln evidence of the sample.

    A star is of the population, or with the chance `OUTLIER_SHARE` one whose residuals are `OUTLIER_SCALE` times as
    large. Equation: CA1.
    """
    log_odds = _log_odds(np.asarray(found.fit.residual), observed)
    log_evidence = np.asarray(found.log_evidence, dtype=np.float64)
    good = np.isfinite(log_evidence) & np.isfinite(np.asarray(found.pull)).all(axis=1)
    weight = np.where(good, star_weights(np.asarray(found.fit.residual), observed), 0.0)
    mixed = log_evidence + np.logaddexp(0.0, log_odds) + np.log1p(-OUTLIER_SHARE)  # CA1
    return weight, float(mixed[good].sum())


def star_weights(
    residual: Float[np.ndarray, "star colour"], observed: Bool[np.ndarray, "star band"]
) -> Float[np.ndarray, " star"]:
    """Return each star's probability of being of the population. Equation: CA1."""
    return 1.0 / (1.0 + np.exp(np.clip(_log_odds(residual, observed), -700.0, 700.0)))


def _log_odds(
    residual: Float[np.ndarray, "star colour"], observed: Bool[np.ndarray, "star band"]
) -> Float[np.ndarray, " star"]:
    """Return ln odds that a star is not of the population."""
    n = observed[:, 1:].sum(axis=1)
    squares = (np.asarray(residual, dtype=np.float64) ** 2).sum(axis=1)
    log_ratio = 0.5 * squares * (1.0 - OUTLIER_SCALE**-2) - n * np.log(OUTLIER_SCALE)
    return np.log(OUTLIER_SHARE / (1.0 - OUTLIER_SHARE)) + log_ratio


def scoring_step(
    pull: Float[np.ndarray, " band"],
    information: Float[np.ndarray, "band band"],
    offset: Float[np.ndarray, " band"],
    prior_mag: float,
    dust: Float[np.ndarray, " band"] | None,
) -> tuple[Float[np.ndarray, " band"], Float[np.ndarray, "band band"]]:
    """Return a step of Fisher scoring from some offsets, and the covariance of the offsets that it leads to.

    Equation: CA3.

    Parameters
    ----------
    pull, information : sum of the stars' pulls at these offsets, and their information. [1 / mag, 1 / mag^2]
    offset : where the step starts. [mag]
    prior_mag : one sigma of every offset beforehand. [mag]
    dust : shift of the bands per E(B-V), if the sample's mean reddening is unknown: it then takes up what it can, and the offsets
        have none of it. If None, the reddenings of the stars are known.
    """
    held = _held(len(pull), prior_mag)
    if dust is not None:
        # What dust and a common shift can explain is taken out of pull and information: both are free.
        free = np.stack([np.ones_like(dust), dust], axis=1)
        along = information @ free
        share = along @ np.linalg.inv(free.T @ along + 1e-9 * np.eye(2))
        pull = pull - share @ (free.T @ pull)
        information = information - share @ along.T
        # The offsets have neither, by definition; their errors are those of what is left.
        basis = np.linalg.qr(free)[0]
        held = held + basis @ basis.T / COMMON_MAG**2
    covariance = np.linalg.inv(information + held)  # CA3
    return covariance @ (-pull - held @ offset), covariance


def _held(n: int, prior_mag: float) -> Float[np.ndarray, "band band"]:
    """Return the information of the prior: every band by itself, and a common shift not at all."""
    return np.eye(n) / prior_mag**2 + np.ones((n, n)) / (n * COMMON_MAG**2)


def sparsest(
    offset: Float[np.ndarray, " band"],
    covariance: Float[np.ndarray, "band band"],
    dust: Float[np.ndarray, " band"] | None,
) -> tuple[Float[np.ndarray, " band"], Float[np.ndarray, "band band"]]:
    """Return offsets in the frame in which they are smallest, so that a single band that is off reads as it is.

    A shift common to all bands is free, and with ``dust`` a multiple of it too. Of all frames the one is taken that has the
    least sum of absolute offsets; in it one band is at zero, or two.
    """
    free = np.ones((len(offset), 1)) if dust is None else np.stack([np.ones_like(dust), dust], axis=1)
    best, best_sum = np.eye(len(offset)), np.inf
    for chosen in combinations(range(len(offset)), free.shape[1]):
        corner = free[list(chosen)]
        if abs(np.linalg.det(corner)) < 1e-6:
            continue
        frame = np.eye(len(offset))
        frame[:, list(chosen)] -= free @ np.linalg.inv(corner)
        total = float(np.abs(frame @ offset).sum())
        if total < best_sum:
            best, best_sum = frame, total
    moved = best @ covariance @ best.T
    # Bands at zero have no error of their own in this frame; they keep that of the common one.
    at_zero = np.flatnonzero(np.diag(moved) < 1e-16)
    moved[at_zero, at_zero] = covariance[at_zero, at_zero]
    return best @ offset, moved
