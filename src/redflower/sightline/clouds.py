"""The posterior of clouds, and of a profile without clouds, on the unit cube; and the evidence of one cloud more."""

from functools import cache
from typing import Final

import numpy as np
from jaxtyping import Bool, Float
from scipy.special import expit, gammainccinv, gammaln, logit, ndtr, ndtri

from redflower.posterior.bridge import bridge
from redflower.sightline.cells import CellGrid
from redflower.sightline.dust import Dust, DustPrior
from redflower.sightline.likelihood import StarSet
from redflower.sightline.polarisation import polarisation_at
from redflower.sightline.problem import Jump, Points, Problem
from redflower.sightline.tempering import Sampled, spread

#: Boxes of (distance, E(B-V)) in which far jumps propose clouds, and the share of them that the prior proposes.
_JUMP_BINS: Final = (40, 20)
_JUMP_PRIOR_SHARE: Final = 0.2


def cloud_problem(stars: StarSet, prior: DustPrior, n_clouds: int) -> Problem:
    """Pose the posterior of a foreground and a number of clouds as a problem on the unit cube.

    The cube holds what all stars share (`DustPrior.n_shared` numbers) and three numbers per cloud: distance, E(B-V),
    patchiness, and four more for its polarisation where the stars' is given. Clouds are kept with the strongest first; the prior
    is that of unordered clouds. In the order of distance a cloud that the stars do not need would stand now before and now behind
    one that they do, and no move that compares particles with each other would fit more than one of these orders.
    """
    shared = prior.n_shared
    n_each = stars.n_per_cloud
    n_dim = shared + n_each * n_clouds
    columns = shared + 1 + n_each * np.arange(n_clouds)

    def start(n: int, rng: np.random.Generator) -> Points:
        return _sorted_clouds(rng.random((n, n_dim)), shared, n_clouds)

    def valid(points: Points) -> Bool[np.ndarray, " particle"]:
        return np.asarray((np.diff(points[:, columns], axis=1) <= 0).all(axis=1))

    def make_jump(points: Points) -> Jump:
        """Make a proposal that redraws one cloud, from where the clouds of all particles are or from the prior."""
        boxes = _CloudBoxes(points[:, shared:], n_each)
        chance = np.arange(1.0, n_clouds + 1.0) / np.arange(1.0, n_clouds + 1.0).sum()

        def jump(points: Points, rng: np.random.Generator) -> tuple[Points, Float[np.ndarray, " particle"]]:
            n, moved = len(points), points.copy()
            # The weaker a cloud, the more places it may have.
            rank = rng.choice(n_clouds, size=n, p=chance)
            first, rows = shared + n_each * rank, np.arange(n)
            old = np.stack([points[rows, first], points[rows, first + 1]], axis=1)
            new = boxes.draw(n, rng)
            moved[rows, first], moved[rows, first + 1] = new.T
            moved[rows, first + 2] = np.where(rng.random(n) < 0.5, rng.random(n), moved[rows, first + 2])
            stronger = (moved[:, columns] > new[:, 1:]).sum(axis=1)
            log_ratio = (
                boxes.log_density(old) - boxes.log_density(new) + np.log(chance[stronger] / chance[rank])
            )
            return _sorted_clouds(moved, shared, n_clouds), log_ratio

        return jump

    return Problem(
        n_dim=n_dim,
        log_likelihood=lambda points: stars.log_likelihood(clouds_at(points, prior, stars.grid, n_clouds)),
        start=start,
        valid=valid,
        make_jump=make_jump if n_clouds else None,
        log_prior_volume=float(gammaln(n_clouds + 1.0)),
    )


def clouds_at(points: Points, prior: DustPrior, grid: CellGrid, n_clouds: int) -> Dust:
    """Map points of the unit cube to clouds in the order of distance, by inverse distribution functions.

    Equation: ES5 (docs/explanation/model.md).
    """
    foreground, scatter, outliers, drift = _shared(points, prior, grid)
    near, far = prior.modulus_mag
    n_each = (points.shape[1] - prior.n_shared) // n_clouds if n_clouds else 3
    clouds = points[:, prior.n_shared : prior.n_shared + n_each * n_clouds].reshape(
        len(points), n_clouds, n_each
    )
    clouds = np.take_along_axis(clouds, np.argsort(clouds[:, :, 0], axis=1)[:, :, None], axis=1)
    place, height, patch = (clouds[:, :, k] for k in range(3))
    most = grid.ebv_range_mag[1]
    nearest, farthest = (1.0 / (e + prior.ebv_scale_mag) for e in (prior.ebv_min_mag, most))
    ebv = 1.0 / (nearest - height * (nearest - farthest)) - prior.ebv_scale_mag  # ES5
    return Dust(
        foreground_mag=foreground,
        scatter_mag=scatter,
        outlier_share=outliers,
        modulus_mag=near + (far - near) * place,  # ES5
        ebv_mag=ebv,
        patchiness=-prior.patchiness_mean * np.log1p(-patch * -np.expm1(-1.0 / prior.patchiness_mean)),  # ES5
        drift=drift,
        drifts_between_mag=prior.modulus_mag,
        polarisation=polarisation_at(clouds[:, :, 3:], ebv, prior.p_per_ebv) if n_each > 3 else None,
    )


#: The non-decreasing profile: steps every 0.5 mag of distance modulus with gamma-distributed heights.
PROFILE_STEP_MAG: Final = 0.5
PROFILE_SHAPE: Final = 0.15
PROFILE_SCALE_MAG: Final = 0.1


def profile_problem(stars: StarSet, prior: DustPrior) -> Problem:
    """Pose the posterior of a profile that never falls, without clouds: steps at fixed distances (ES8)."""
    n_dim = prior.n_shared + 1 + len(profile_edges_mag(prior))
    return Problem(
        n_dim=n_dim,
        log_likelihood=lambda points: stars.log_likelihood(profile_at(points, prior, stars.grid)),
        start=lambda n, rng: rng.random((n, n_dim)),
        valid=lambda points: np.ones(len(points), dtype=bool),
    )


def profile_edges_mag(prior: DustPrior) -> Float[np.ndarray, " step"]:
    """Return the distance moduli of the steps of the non-decreasing profile. [mag]"""
    near, far = prior.modulus_mag
    return np.arange(near + 0.5 * PROFILE_STEP_MAG, far, PROFILE_STEP_MAG)


def profile_at(points: Points, prior: DustPrior, grid: CellGrid) -> Dust:
    """Map points of the unit cube to profiles. Equation: ES8 (docs/explanation/model.md)."""
    foreground, scatter, outliers, drift = _shared(points, prior, grid)
    place, heights = points[:, prior.n_shared, None], points[:, prior.n_shared + 1 :]
    edges = np.broadcast_to(profile_edges_mag(prior), heights.shape)
    patch = -prior.patchiness_mean * np.log1p(-place * -np.expm1(-1.0 / prior.patchiness_mean))
    rise = PROFILE_SCALE_MAG * _gamma_quantile(heights)  # ES8
    patches = np.broadcast_to(patch, edges.shape)
    return Dust(
        foreground_mag=foreground,
        scatter_mag=scatter,
        outlier_share=outliers,
        modulus_mag=edges,
        ebv_mag=rise,
        patchiness=patches,
        drift=drift,
        drifts_between_mag=prior.modulus_mag,
    )


#: Nodes of the quantiles of the steps' gamma distribution. [logit of probability]
_LOGIT_NODES: Final = np.linspace(-30.0, 30.0, 4001)


@cache
def _log_gamma_quantiles() -> Float[np.ndarray, " node"]:
    """Compute ln of the gamma distribution's quantiles at the nodes."""
    # From above where the probability is next to one.
    upper = gammainccinv(PROFILE_SHAPE, expit(-_LOGIT_NODES))
    return np.log(np.maximum(upper, 1e-300))


def _gamma_quantile(probability: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
    """Interpolate the quantiles of the steps' gamma distribution, to a relative 1e-4: scipy's took a fifth of a fit."""
    at = logit(np.clip(probability, 1e-13, 1.0 - 1e-12))
    return np.exp(np.interp(at, _LOGIT_NODES, _log_gamma_quantiles()))  # ES8


def _shared(points: Points, prior: DustPrior, grid: CellGrid) -> tuple[np.ndarray, ...]:
    """Map the shared coordinates: foreground, scatter, outlier share and drift. Equation: ES5."""
    low, high = prior.scatter_mag
    floor = ndtr(grid.ebv_range_mag[0] / prior.foreground_std_mag)
    foreground = prior.foreground_std_mag * ndtri(
        floor + (1.0 - floor) * np.clip(points[:, 0], 1e-9, 1.0 - 1e-9)
    )
    scatter = low * (high / low) ** points[:, 1]  # ES5
    outliers = -np.expm1(np.log1p(-np.minimum(points[:, 2], 1.0 - 1e-9)) / prior.outlier_exponent)  # ES5
    drift = np.zeros(len(points))
    if prior.drift_std > 0:
        drift = prior.drift_std * ndtri(np.clip(points[:, 3], 1e-9, 1.0 - 1e-9))  # ES5
    return foreground, scatter, outliers, drift


def _sorted_clouds(points: Points, shared: int, n_clouds: int) -> Points:
    """Sort each point's clouds, the strongest first."""
    if not n_clouds:
        return points
    clouds = points[:, shared:].reshape(len(points), n_clouds, -1)
    order = np.argsort(-clouds[:, :, 1], axis=1)
    clouds = np.take_along_axis(clouds, order[:, :, None], axis=1)
    return np.concatenate([points[:, :shared], clouds.reshape(len(points), -1)], axis=1)


def log_evidence_of_one_more(
    stars: StarSet, prior: DustPrior, fewer: Sampled, more: Sampled, rng: np.random.Generator
) -> tuple[float, float, float]:
    """Estimate the evidence ratio of N + 1 and N clouds, by bridge sampling between their posteriors.

    Equation: ES7 (docs/explanation/model.md). A draw of N clouds gains one, drawn from where those of N + 1 are or
    from the prior; a draw of N + 1 loses one of its clouds at random.

    Parameters
    ----------
    stars : of the sightline.
    prior : of the dust.
    fewer, more : draws of the posteriors of N and of N + 1 clouds.
    rng : random numbers.

    Returns
    -------
    ln of the ratio, its error and the overlap, as `bridge`.
    """
    shared = prior.n_shared
    n_each = stars.n_per_cloud
    n_more = (more.points.shape[1] - shared) // n_each
    # From some particles, for others: see `tempering.Sampled`.
    half = len(more.points) // 2
    proposal = _CloudBoxes(more.points[:half, shared:], n_each)
    of_more, of_fewer = spread(half, len(more.points)), spread(0, len(fewer.points))
    count = min(len(of_more), len(of_fewer))
    of_more, of_fewer = rng.permutation(of_more)[:count], rng.permutation(of_fewer)[:count]
    with_one, without = more.points[of_more], fewer.points[of_fewer]
    # From N + 1 clouds: one is taken out.
    lost = rng.integers(n_more, size=count)
    clouds = with_one[:, shared:].reshape(count, n_more, n_each)
    out = clouds[np.arange(count), lost]
    kept = clouds[np.arange(n_more) != lost[:, None]].reshape(count, -1)
    left = np.concatenate([with_one[:, :shared], kept], axis=1)
    grid = stars.grid

    def log_like(points: Points, n: int) -> Float[np.ndarray, " draw"]:
        return stars.log_likelihood(clouds_at(points, prior, grid, n))

    at_more = more.log_likelihood[of_more] - log_like(left, n_more - 1) - proposal.log_density(out)
    # To N clouds: one is inserted.
    new = np.concatenate([proposal.draw(count, rng), rng.random((count, n_each - 2))], axis=1)
    grown = _sorted_clouds(np.concatenate([without, new], axis=1), shared, n_more)
    at_fewer = log_like(grown, n_more) - fewer.log_likelihood[of_fewer] - proposal.log_density(new)
    return bridge(at_more, at_fewer)


class _CloudBoxes:
    """A density of (distance, E(B-V)) on the unit square: boxes filled by the clouds of many draws, and the prior."""

    def __init__(self, clouds: Points, n_each: int) -> None:
        clouds = clouds.reshape(-1, n_each)
        counts, _, _ = np.histogram2d(
            clouds[:, 0], clouds[:, 1], bins=_JUMP_BINS, range=[[0.0, 1.0], [0.0, 1.0]]
        )
        self.density = (1.0 - _JUMP_PRIOR_SHARE) * counts / counts.sum() * counts.size + _JUMP_PRIOR_SHARE
        self._cumulative = np.cumsum(self.density.ravel() / self.density.size)

    def log_density(self, clouds: Float[np.ndarray, "draw coordinate"]) -> Float[np.ndarray, " draw"]:
        """Evaluate ln density relative to uniform."""
        at = [np.minimum((clouds[:, k] * m).astype(int), m - 1) for k, m in enumerate(_JUMP_BINS)]
        return np.log(self.density[at[0], at[1]])

    def draw(self, n: int, rng: np.random.Generator) -> Float[np.ndarray, "draw 2"]:
        """Draw places of clouds."""
        box = np.minimum(np.searchsorted(self._cumulative, rng.random(n)), self.density.size - 1)
        return (np.stack(np.unravel_index(box, self.density.shape), axis=1) + rng.random((n, 2))) / _JUMP_BINS
