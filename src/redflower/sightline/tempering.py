"""Evidence and draws of a posterior on the unit cube, by tempered sequential Monte Carlo.

The particles start as draws of the prior; the likelihood is raised to a power that grows from 0 to 1 in steps chosen
so that the weights stay even; between steps the particles are resampled and moved by Metropolis steps that leave the
tempered posterior unchanged (Del Moral, Doucet & Jasra 2006, J. R. Stat. Soc. B 68, 411). All particles are moved at
once, so that the likelihood is called with a batch.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.cluster.vq import kmeans2
from scipy.special import gammaln, logsumexp, ndtr, ndtri

#: Degrees of freedom of the Student distributions that propose far moves.
_DEGREES = 6.0

Points = Float[np.ndarray, "particle dim"]
Jump = Callable[[Points, np.random.Generator], tuple[Points, Float[np.ndarray, " particle"]]]


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

    n_particles: int = 600
    n_moves: int = 6
    n_final: int = 32
    even_share: float = 0.5


@dataclass(frozen=True)
class Problem:
    """A posterior on the unit cube.

    Attributes
    ----------
    n_dim : dimensions of the cube, on which the prior is uniform over the points that are ``valid``.
    log_likelihood : natural log, for a batch of points.
    start : draws of the prior.
    valid : whether each point of a batch belongs to the prior's support.
    make_jump : from the particles before a step's moves, a move that may go far: from points, the proposals and the log
        of the ratio of proposal densities, backward over forward; or None.
    log_prior_volume : minus the natural log of the share of the cube that is valid.
    """

    n_dim: int
    log_likelihood: Callable[[Points], Float[np.ndarray, " particle"]]
    start: Callable[[int, np.random.Generator], Points]
    valid: Callable[[Points], Bool[np.ndarray, " particle"]]
    make_jump: Callable[[Points], Jump] | None = None
    log_prior_volume: float = 0.0


@dataclass(frozen=True)
class Sampled:
    """What the sampler found.

    Attributes
    ----------
    points : draws of the posterior, equally weighted, particle after particle: what is fitted to the first half of them is
        judged by other particles in the second. Draws of the same particles resemble those that were fitted, and the
        evidence would be too low, the more so the more dimensions.
    log_likelihood : of each.
    log_evidence, log_evidence_error : natural log of the mean likelihood under the prior, by bridge sampling, and its
        standard error as if draws were independent: a lower bound.
    log_evidence_by_steps : the same from the steps in temperature; biased low where the particles lag behind.
    n_evaluations : likelihoods computed.
    """

    points: Points
    log_likelihood: Float[np.ndarray, " draw"]
    log_evidence: float
    log_evidence_error: float
    overlap: float
    log_evidence_by_steps: float
    n_evaluations: int


def sample(problem: Problem, rng: np.random.Generator, settings: TemperingSettings) -> Sampled:
    """Draws and evidence. Equations: ES6, ES7 (docs/model.md)."""
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
        mixture = _make_mixture_jump(points, rng)
        moves = [mixture, None]
        if problem.make_jump is not None:
            moves = [mixture, problem.make_jump(points), mixture, None]
        for k in range(n_moves):
            points, log_like, scale = _move(
                problem, points, log_like, power, scale, moves[k % len(moves)], rng
            )
            calls += n
            if power == 1.0 and k % 2 == 1:
                kept.append((points, log_like))
    draws, values = (np.stack(parts, axis=1) for parts in zip(*kept, strict=True))
    draws, values = draws.reshape(-1, draws.shape[-1]), values.ravel()
    by_bridge, error, overlap = _bridge(problem, draws, values, rng)
    return Sampled(draws, values, by_bridge, error, overlap, float(log_evidence), calls + len(draws) // 2)


def _bridge(
    problem: Problem, draws: Points, log_like: np.ndarray, rng: np.random.Generator
) -> tuple[float, float, float]:
    """Evidence by bridge sampling between the second half of the particles and a mixture fitted to the first.

    Equation: ES7 (docs/model.md). The error is that of independent draws, a lower bound.
    """
    half = len(draws) // 2
    mixture = _StudentMixture(_probit(draws[:half]), rng)
    y = _probit(draws[half:])
    proposed = mixture.draw(len(y), rng)
    points = ndtr(proposed)
    fine = problem.valid(points)
    value = np.where(fine, problem.log_likelihood(np.where(fine[:, None], points, draws[half:])), -np.inf)
    normal = -0.5 * y.shape[1] * np.log(2.0 * np.pi)
    # ln of target over proposal, in probit coordinates, where the prior is normal over its valid part.
    at_draws = log_like[half:] + normal - 0.5 * np.sum(y**2, axis=1) - mixture.log_density(y)
    at_proposed = value + normal - 0.5 * np.sum(proposed**2, axis=1) - mixture.log_density(proposed)
    log_z, error, overlap = bridge(at_draws, at_proposed)
    return log_z + problem.log_prior_volume, error, overlap


def bridge(
    at_target: Float[np.ndarray, " draw"], at_proposal: Float[np.ndarray, " draw"]
) -> tuple[float, float, float]:
    """Ratio of the normalisers of two densities from as many draws of either.

    Equation: ES7 (docs/model.md). Source: Meng & Wong (1996), Statistica Sinica 6, 831.

    Parameters
    ----------
    at_target, at_proposal : ln of target over proposal at draws of the target and of the proposal.

    Returns
    -------
    ln of the ratio, its standard error for independent draws, and the overlap of the two: 1 where they are the same, 0
    where they have nothing in common.
    """
    log_z = float(logsumexp(at_proposal) - np.log(len(at_proposal)))
    if not np.isfinite(log_z):
        return -np.inf, np.inf, 0.0
    for _ in range(500):
        top = at_proposal - np.logaddexp(at_proposal, log_z)
        bottom = -np.logaddexp(at_target, log_z)
        new = float(logsumexp(top) - logsumexp(bottom))  # ES7
        done = abs(new - log_z) < 1e-6
        log_z = new
        if done:
            break
    top = np.exp(at_proposal - np.logaddexp(at_proposal, log_z))
    bottom = np.exp(log_z - np.logaddexp(at_target, log_z))
    relative = [np.var(part) / max(np.mean(part) ** 2, 1e-300) / len(part) for part in (top, bottom)]
    return log_z, float(np.sqrt(sum(relative))), float(2.0 * np.mean(bottom))


def _next_step(log_like: np.ndarray, left: float, target: float) -> float:
    """Rise of the power that brings the effective number of particles down to the target; at most what is left."""

    def effective(step: float) -> float:
        log_weight = step * log_like
        return float(np.exp(2.0 * logsumexp(log_weight) - logsumexp(2.0 * log_weight)))

    if effective(left) >= target:
        return left
    low, high = 0.0, left
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if effective(middle) >= target else (low, middle)
    return max(low, 1e-9)


def _systematic(weight: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Indices of a systematic resampling."""
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
) -> tuple[Points, np.ndarray, float]:
    """One Metropolis step of every particle: a far jump, or along the difference of two other particles."""
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
    return np.where(accept[:, None], proposal, points), np.where(accept, new, log_like), scale


def _make_mixture_jump(points: Points, rng: np.random.Generator) -> Jump:
    """Proposals from Student mixtures fitted to the particles in probit coordinates.

    Each half of the particles is proposed to from the mixture of the other half, and never from itself.
    """
    n, dim = points.shape
    half = rng.permutation(n) < n // 2
    fitted = [_StudentMixture(_probit(points[half == side]), rng) for side in (False, True)]

    def jump(points: Points, rng: np.random.Generator) -> tuple[Points, np.ndarray]:
        y = _probit(points)
        new, log_ratio = np.empty_like(y), np.empty(n)
        for mine, mixture in ((half, fitted[0]), (~half, fitted[1])):
            new[mine] = mixture.draw(int(mine.sum()), rng)
            log_ratio[mine] = mixture.log_density(y[mine]) - mixture.log_density(new[mine])
        # The prior is normal in these coordinates.
        log_ratio += 0.5 * np.sum(y**2 - new**2, axis=1)
        return ndtr(new), log_ratio

    return jump


def _probit(points: Points) -> Points:
    return ndtri(np.clip(points, 1e-12, 1.0 - 1e-12))


class _StudentMixture:
    """A mixture of Student distributions about the clusters of a set of points."""

    def __init__(self, y: Points, rng: np.random.Generator) -> None:
        n, dim = y.shape
        spread = y.std(axis=0) + 1e-6
        count = int(np.clip(n // (4 * dim), 1, 6))
        _, label = kmeans2(y / spread, count, minit="++", seed=rng)
        self.weight, self.mean, self.factor, self.inverse = [], [], [], []
        for k in range(count):
            part = y[label == k]
            if len(part) < 2 * dim and count > 1:
                continue
            covariance = np.cov(part.T).reshape(dim, dim)
            covariance = 0.9 * covariance + 0.1 * np.diag(np.diag(covariance)) + 1e-8 * np.eye(dim)
            factor = np.linalg.cholesky(covariance)
            self.weight.append(len(part))
            self.mean.append(part.mean(axis=0))
            self.factor.append(factor)
            self.inverse.append(np.linalg.inv(factor))
        if not self.weight:
            factor = np.diag(spread)
            self.weight, self.mean, self.factor = [1], [y.mean(axis=0)], [factor]
            self.inverse = [np.linalg.inv(factor)]
        self.weight = np.array(self.weight) / np.sum(self.weight)
        half = 0.5 * (_DEGREES + dim)
        self.log_constant = float(
            gammaln(half) - gammaln(0.5 * _DEGREES) - 0.5 * dim * np.log(_DEGREES * np.pi)
        )

    def draw(self, n: int, rng: np.random.Generator) -> Points:
        which = rng.choice(len(self.weight), size=n, p=self.weight)
        z = rng.standard_normal((n, len(self.mean[0])))
        z *= np.sqrt(_DEGREES / rng.chisquare(_DEGREES, size=(n, 1)))
        return np.stack(self.mean)[which] + np.einsum("nij,nj->ni", np.stack(self.factor)[which], z)

    def log_density(self, y: Points) -> np.ndarray:
        """Natural log."""
        dim = y.shape[1]
        parts = []
        for weight, mean, factor, inverse in zip(
            self.weight, self.mean, self.factor, self.inverse, strict=True
        ):
            square = np.sum(((y - mean) @ inverse.T) ** 2, axis=1)
            log_volume = np.log(np.diag(factor)).sum()
            parts.append(np.log(weight) - log_volume - 0.5 * (_DEGREES + dim) * np.log1p(square / _DEGREES))
        return self.log_constant + np.logaddexp.reduce(parts, axis=0)
