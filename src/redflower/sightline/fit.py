"""How many clouds a sightline has, with odds, and the distance and reddening of each."""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import numpy as np
from jaxtyping import Float
from scipy.special import logsumexp

from redflower.distances import distance_from_modulus
from redflower.errors import InputError
from redflower.platforms import compute_platform
from redflower.posterior.density import JointDensity
from redflower.sightline.cells import make_grid, star_cells
from redflower.sightline.clouds import (
    cloud_problem,
    clouds_at,
    log_evidence_of_one_more,
    profile_at,
    profile_problem,
)
from redflower.sightline.dust import DustPrior
from redflower.sightline.likelihood import StarSet
from redflower.sightline.polarisation import StarPolarisation
from redflower.sightline.result import CloudModel, SightlineFit
from redflower.sightline.tempering import Sampled, TemperingSettings, log_evidence_by_bridge, sample

#: Fewer stars than this say nothing of a sightline.
MIN_SIGHTLINE_STARS: Final = 5
#: Clouds are looked for between the distances within which the stars have these shares of their pooled distance density.
_REACH: Final = (0.01, 0.975)


def fit_sightline(
    density: JointDensity,
    ebv_range_mag: tuple[float, float],
    rng: np.random.Generator,
    *,
    max_clouds: int = 4,
    prior: DustPrior | None = None,
    settings: TemperingSettings | None = None,
    log_weight: Float[np.ndarray, "star modulus"] | None = None,
    p_outlier: Float[np.ndarray, " star"] | None = None,
    polarisation: StarPolarisation | None = None,
    monotone: bool = True,
    progress: Callable[[int], None] | None = None,
) -> SightlineFit:
    """Fit 0 ... ``max_clouds`` clouds to the joint densities of the stars of one cone.

    Equations: ES1, ES2, ES3, ES4, ES5 and ES6 (docs/explanation/model.md). No star is chosen or weighted by its posterior mean.

    Parameters
    ----------
    density : of the stars; those without a usable density are left out, one by one.
    ebv_range_mag : limits of the uniform reddening prior in the densities. [mag]
    rng : random numbers.
    max_clouds : the largest number of clouds to compare, 0 to 8.
    prior : of the dust.
    settings : effort of the sampler.
    log_weight : a factor on every star's density over its distance moduli, see `star_cells`.
    p_outlier : probability that each star is not of the population, see `star_cells`.
    polarisation : of the same stars, as further data: each cloud then has a polarisation of its own (ES16, ES17).
    monotone : whether to fit the non-decreasing profile too.
    progress : called with the number of models done.

    Raises
    ------
    InputError
        If fewer than 5 stars have a density, ``max_clouds`` is out of range, or polarisation meets a drifting zero point.
    """
    compute_platform()
    if not 0 <= max_clouds <= 8:
        raise InputError(f"fit_sightline(max_clouds) must be 0 to 8; got {max_clouds}.")
    prior = prior or DustPrior()
    if polarisation is not None and prior.drift_std > 0:
        raise InputError(
            "polarisation is fitted with a zero point that does not drift; leave drift_std at 0."
        )
    grid = make_grid(ebv_range_mag)
    cells = star_cells(density, grid, log_weight, p_outlier)
    stars = StarSet(cells, grid, polarisation)
    if stars.n_stars < MIN_SIGHTLINE_STARS:
        raise InputError(
            f"a sightline needs at least {MIN_SIGHTLINE_STARS} stars with a density; {stars.n_stars} of {len(cells)} have one. "
            "Take a wider cone, or infer with `--density`."
        )
    prior = replace(prior, distance_pc=_within_reach(prior.distance_pc, cells, grid.modulus_edges_mag))
    settings = settings or TemperingSettings()
    found: list[Sampled] = []
    log_evidence, variance = np.zeros(max_clouds + 1), np.zeros(max_clouds + 1)
    for n_clouds in range(max_clouds + 1):
        problem = cloud_problem(stars, prior, n_clouds)
        found.append(sample(problem, rng, _effort(settings, n_clouds)))
        log_evidence[n_clouds], error, _ = log_evidence_by_bridge(problem, found[-1], rng)
        variance[n_clouds] = error**2
        if n_clouds > 1:
            # A cloud that the stars do not need leaves the posterior of the others nearly as it was; a cloud that they
            # do need makes it compact, so that a mixture fits. The smaller error tells.
            ratio, error, _ = log_evidence_of_one_more(stars, prior, found[-2], found[-1], rng)
            if variance[n_clouds - 1] + error**2 < variance[n_clouds]:
                log_evidence[n_clouds] = log_evidence[n_clouds - 1] + ratio
                variance[n_clouds] = variance[n_clouds - 1] + error**2
        if progress is not None:
            progress(n_clouds + 1)
    probability = np.exp(log_evidence - logsumexp(log_evidence))  # ES6
    models = tuple(
        CloudModel(
            n_clouds=n_clouds,
            log_evidence=float(log_evidence[n_clouds]),
            log_evidence_error=float(np.sqrt(variance[n_clouds])),
            probability=float(probability[n_clouds]),
            draws=clouds_at(one.points, prior, grid, n_clouds),
            log_likelihood_max=float(one.log_likelihood.max()),
        )
        for n_clouds, one in enumerate(found)
    )
    smooth, smooth_evidence = None, float("nan")
    if monotone:
        problem = profile_problem(stars, prior)
        one = sample(problem, rng, replace(settings, n_moves=2 * settings.n_moves))
        smooth, smooth_evidence = (
            profile_at(one.points, prior, grid),
            # Of the reddenings alone: not to be compared with evidences of both.
            log_evidence_by_bridge(problem, one, rng)[0] if polarisation is None else float("nan"),
        )
        if progress is not None:
            progress(max_clouds + 2)
    return SightlineFit(
        models=models,
        monotone=smooth,
        monotone_log_evidence=smooth_evidence,
        n_stars=stars.n_stars,
        prior=prior,
    )


def _effort(settings: TemperingSettings, n_clouds: int) -> TemperingSettings:
    """Return the sampler's effort for a number of clouds: more clouds, more ways to share the dust among them."""
    return replace(
        settings,
        # One cloud in the place of two lies at either, and the better place may be the narrower: of 300 particles
        # none was left there in every second fit of some sightlines, which cost up to 29 nat.
        n_particles=settings.n_particles * (3 if n_clouds == 1 else 1),
        # With six moves whatever the number of clouds, four came out too low by a nat.
        n_moves=settings.n_moves * max(n_clouds, 1),
    )


def _within_reach(
    distance_pc: tuple[float, float], cells: np.ndarray, modulus_edges_mag: np.ndarray
) -> tuple[float, float]:
    """Restrict the prior's distances to where the stars are."""
    per_star = cells.sum(axis=2, dtype=np.float64)
    total = per_star.sum(axis=1, keepdims=True)
    pooled = np.concatenate([[0.0], np.cumsum((per_star / np.where(total > 0, total, 1.0)).sum(axis=0))])
    modulus = np.interp(np.array(_REACH) * pooled[-1], pooled, modulus_edges_mag)
    low, high = distance_from_modulus(modulus)
    near, far = distance_pc
    near = float(np.clip(low, near, 0.5 * far))
    return near, float(np.clip(high, 2.0 * near, far))
