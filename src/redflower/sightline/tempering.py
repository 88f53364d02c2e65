"""Draws of a posterior on the unit cube, and its evidence, by tempered sequential Monte Carlo.

The particles start as draws of the prior; the likelihood is raised to a power that grows from 0 to 1 in steps chosen
so that the weights stay even; between steps the particles are resampled and moved by Metropolis steps that leave the
tempered posterior unchanged (Del Moral, Doucet & Jasra 2006, J. R. Stat. Soc. B 68, 411). All particles are moved at
once, so that the likelihood is called with a batch.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float
from scipy.special import logsumexp, ndtr

from redflower.posterior.bridge import bridge
from redflower.sightline.mixture import StudentMixture, make_mixture_jump, probit
from redflower.sightline.problem import Jump, Points, Problem

#: A mixture of which fewer proposals than this are accepted gives way to differences of particles.
_MIXTURE_ACCEPTED: Final = 0.1
#: Draws of a posterior that a bridge stands on, of each half of the particles.
_N_JUDGES: Final = 4000


@dataclass(frozen=True)
class TemperingSettings:
    """Effort of the sampler.

    Attributes
    ----------
    n_particles : points that are moved side by side.
    n_moves : Metropolis steps of each particle at every temperature.
    n_final : the same once the likelihood has its full power; a draw of every particle is kept after every second.
    even_share : effective share of the particles after a step in temperature.
    """

    n_particles: int = 400
    n_moves: int = 6
    n_final: int = 32
    even_share: float = 0.5


@dataclass(frozen=True)
class Sampled:
    """What the sampler found.

    Attributes
    ----------
    points : draws of the posterior, equally weighted, particle after particle. A fit to the first half of them is judged by
        other particles, in the second. Using later draws of the fitted particles instead would bias the evidence low,
        increasingly so in higher dimensions.
    log_likelihood : of each.
    log_evidence_by_steps : natural log of the mean likelihood under the prior, from the steps in temperature; biased low
        where the particles lag behind.
    n_evaluations : likelihoods computed.
    """

    points: Points
    log_likelihood: Float[np.ndarray, " draw"]
    log_evidence_by_steps: float
    n_evaluations: int


def sample(problem: Problem, rng: np.random.Generator, settings: TemperingSettings) -> Sampled:
    """Draw from the posterior. Equation: ES6 (docs/explanation/model.md)."""
    n = settings.n_particles
    points = problem.start(n, rng)
    log_like = problem.log_likelihood(points)
    power, log_evidence, calls, scale = 0.0, 0.0, n, 1.0
    while power < 1.0:
        step = _next_step(log_like, 1.0 - power, settings.even_share * n)
        power = 1.0 if step >= 1.0 - power else power + step
        log_weight = step * log_like
        total = logsumexp(log_weight)
        log_evidence += total - np.log(n)
        weight = np.exp(log_weight - total)
        picked = _systematic(weight, rng)
        points, log_like = points[picked], log_like[picked]
        n_moves = settings.n_moves if power < 1.0 else settings.n_final
        kept: list[tuple[Points, np.ndarray]] = []
        mixture = make_mixture_jump(points, rng)
        moves = [mixture, None]
        if problem.make_jump is not None:
            moves = [mixture, problem.make_jump(points), mixture, None]
        for k in range(n_moves):
            move = moves[k % len(moves)]
            points, log_like, scale, accepted = _move(problem, points, log_like, power, scale, move, rng)
            if move is mixture and accepted < _MIXTURE_ACCEPTED:
                moves = [None if m is mixture else m for m in moves]
            calls += n
            if power == 1.0 and k % 2 == 1:
                kept.append((points, log_like))
    draws, values = (np.stack(parts, axis=1) for parts in zip(*kept, strict=True))
    draws, values = draws.reshape(-1, draws.shape[-1]), values.ravel()
    return Sampled(
        points=draws,
        log_likelihood=values,
        log_evidence_by_steps=float(log_evidence),
        n_evaluations=calls,
    )


def log_evidence_by_bridge(
    problem: Problem, found: Sampled, rng: np.random.Generator
) -> tuple[float, float, float]:
    """Estimate the evidence by bridge sampling between half of the particles and a mixture fitted to the other half.

    Equation: ES7 (docs/explanation/model.md).

    Parameters
    ----------
    problem : the posterior.
    found : draws of it.
    rng : random numbers.

    Returns
    -------
    ln of the evidence, its error as if draws were independent, a lower bound, and the overlap, as `bridge`.
    """
    draws, log_like = found.points, found.log_likelihood
    half = len(draws) // 2
    mixture = StudentMixture(probit(draws[spread(0, half)]), rng)
    judges = spread(half, len(draws))
    y = probit(draws[judges])
    proposed = mixture.draw(len(y), rng)
    points = ndtr(proposed)
    fine = problem.valid(points)
    value = np.where(fine, problem.log_likelihood(np.where(fine[:, None], points, draws[judges])), -np.inf)
    normal = -0.5 * y.shape[1] * np.log(2.0 * np.pi)
    # ln of target over proposal, in probit coordinates, where the prior is normal over its valid part.
    at_draws = log_like[judges] + normal - 0.5 * np.sum(y**2, axis=1) - mixture.log_density(y)
    at_proposed = value + normal - 0.5 * np.sum(proposed**2, axis=1) - mixture.log_density(proposed)
    log_z, error, overlap = bridge(at_draws, at_proposed)
    return log_z + problem.log_prior_volume, error, overlap


def spread(start: int, stop: int) -> np.ndarray:
    """Return rows of draws between two, evenly spread over the particles: neighbours say nearly the same."""
    return np.linspace(start, stop, min(_N_JUDGES, stop - start), endpoint=False).astype(int)


def _next_step(log_like: np.ndarray, left: float, target: float) -> float:
    """Return the step of the power that brings the effective number of particles down to the target, at most to the end."""

    below_best = log_like - log_like.max()

    def effective(step: float) -> float:
        weight = np.exp(step * below_best)
        return float(weight.sum() ** 2 / (weight @ weight))

    if effective(left) >= target:
        return left
    low, high = 0.0, left
    for _ in range(40):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if effective(middle) >= target else (low, middle)
    return max(low, 1e-9)


def _systematic(weight: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw indices by systematic resampling."""
    place = (rng.random() + np.arange(len(weight))) / len(weight)
    return np.minimum(np.searchsorted(np.cumsum(weight), place), len(weight) - 1)


def _move(
    problem: Problem,
    points: Points,
    log_like: np.ndarray,
    power: float,
    scale: float,
    jump: Jump | None,
    rng: np.random.Generator,
) -> tuple[Points, np.ndarray, float, float]:
    """Move every particle by one Metropolis step: a far jump, or along the difference of two other particles."""
    n, dim = points.shape
    log_ratio = np.zeros(n)
    if jump is not None:
        proposal, log_ratio = jump(points, rng)
    else:
        # Differential evolution between the two halves, so that a proposal never depends on the half that moves.
        half = rng.permutation(n)
        other = np.empty((n, 2), dtype=int)
        for mine, theirs in ((half[: n // 2], half[n // 2 :]), (half[n // 2 :], half[: n // 2])):
            pick = rng.integers(len(theirs), size=len(mine))
            shift = rng.integers(1, len(theirs), size=len(mine))
            other[mine, 0] = theirs[pick]
            other[mine, 1] = theirs[(pick + shift) % len(theirs)]
        # All coordinates, or a random part of them.
        part = rng.random((n, dim)) < rng.choice([0.3, 1.0], size=(n, 1))
        count = np.maximum(part.sum(axis=1, keepdims=True), 1)
        stride = scale * 2.38 / np.sqrt(2.0 * count) * np.exp(0.3 * rng.standard_normal((n, 1)))
        jitter = 1e-3 * rng.standard_normal((n, dim))
        proposal = points + np.where(part, stride * (points[other[:, 0]] - points[other[:, 1]]) + jitter, 0.0)
        proposal = np.abs(proposal)
        proposal = 1.0 - np.abs(1.0 - proposal)
    fine = problem.valid(proposal) & (proposal >= 0).all(axis=1) & (proposal <= 1).all(axis=1)
    new = np.where(fine, problem.log_likelihood(np.where(fine[:, None], proposal, points)), -np.inf)
    accept = np.log(rng.random(n)) < power * (new - log_like) + log_ratio
    if jump is None:
        scale = float(np.clip(scale * np.exp(accept.mean() - 0.25), 0.05, 2.0))
    moved = np.where(accept[:, None], proposal, points), np.where(accept, new, log_like)
    return *moved, scale, float(accept.mean())
