"""Models of the dust along a sightline and the likelihood of its stars' joint densities."""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from jaxtyping import Bool, Float
from scipy.special import gammaincinv, gammaln, ndtr, ndtri

from redflower.errors import InputError
from redflower.sightline.cells import CellGrid
from redflower.sightline.tempering import Jump, Points, Problem, bridge

#: In float32 a likelihood of nothing may come out below nothing.
_TINY: Final = np.float32(1e-30)
#: Boxes of (distance, E(B-V)) in which far jumps propose clouds, and the share of them that the prior proposes.
_JUMP_BINS: Final = (40, 20)
_JUMP_PRIOR_SHARE: Final = 0.2
#: A kernel with less of its mass than this between the limits of the reddening prior explains no star.
_KERNEL_MASS_MIN: Final = 1e-8
#: A drift of the zero point is followed in steps of this much distance modulus, a whole number of cells. [mag]
DRIFT_STEP_MAG: Final = 0.5


@dataclass(frozen=True)
class DustPrior:
    """What is believed of the dust before any star is seen (ES5).

    Attributes
    ----------
    distance_pc : between these the clouds lie, uniform in log distance. [pc]
    ebv_scale_mag, ebv_min_mag : a cloud's E(B-V) has the density 1 / (E + scale)^2 above the minimum: half of the
        clouds are below about the scale. [mag]
    foreground_std_mag : standard deviation about 0 of the foreground's reddening plus the zero point of the stars'
        reddenings, which no star can tell apart. [mag]
    drift_std : standard deviation about 0 of the change of that zero point with distance modulus; 0: it does not
        change. [mag per mag]
    scatter_mag : the scatter that all stars share is log-uniform between these. [mag]
    patchiness_mean : mean of the exponential prior of a cloud's relative scatter, cut at 1.
    outlier_exponent : the outlier share has the density (1 - share)^(exponent - 1); its mean is 1 / (exponent + 1).
    """

    distance_pc: tuple[float, float] = (50.0, 5000.0)
    ebv_scale_mag: float = 0.05
    ebv_min_mag: float = 0.005
    foreground_std_mag: float = 0.02
    drift_std: float = 0.0
    scatter_mag: tuple[float, float] = (0.002, 0.03)
    patchiness_mean: float = 0.2
    outlier_exponent: float = 19.0

    def __post_init__(self) -> None:
        if not 0 < self.distance_pc[0] < self.distance_pc[1]:
            raise InputError(f"DustPrior needs rising positive distance_pc; got {self.distance_pc}.")
        if not (self.ebv_scale_mag > 0 and self.ebv_min_mag > 0 and self.foreground_std_mag > 0):
            raise InputError("DustPrior needs positive ebv_scale_mag, ebv_min_mag and foreground_std_mag.")
        if not 0 < self.scatter_mag[0] < self.scatter_mag[1]:
            raise InputError(f"DustPrior needs rising positive scatter_mag; got {self.scatter_mag}.")
        if not 0 <= self.drift_std < 1:
            raise InputError(
                f"DustPrior needs a drift_std from 0 to below 1 mag per mag; got {self.drift_std}."
            )

    @property
    def modulus_mag(self) -> tuple[float, float]:
        """Distance moduli between which the clouds lie. [mag]"""
        near, far = (5.0 * np.log10(d / 10.0) for d in self.distance_pc)
        return float(near), float(far)

    @property
    def n_shared(self) -> int:
        """Numbers that all stars share: foreground, scatter and outlier share, and the drift where there is one."""
        return 4 if self.drift_std > 0 else 3


@dataclass(frozen=True)
class Dust:
    """Parameters of a batch of sightlines: steps of the reddening, ordered in distance.

    Attributes
    ----------
    foreground_mag : reddening in front of the first step, zero point included. [mag]
    scatter_mag : scatter that all stars share. [mag]
    outlier_share : share of the stars whose reddening says nothing.
    modulus_mag : distance modulus of each step. [mag]
    ebv_mag : height of each step. [mag]
    patchiness : relative scatter of each step's height from star to star.
    drift : change of the zero point with distance modulus. [mag per mag]
    drift_from_mag : distance modulus at which the zero point is that of the foreground. [mag]
    """

    foreground_mag: Float[np.ndarray, " sightline"]
    scatter_mag: Float[np.ndarray, " sightline"]
    outlier_share: Float[np.ndarray, " sightline"]
    modulus_mag: Float[np.ndarray, "sightline step"]
    ebv_mag: Float[np.ndarray, "sightline step"]
    patchiness: Float[np.ndarray, "sightline step"]
    drift: Float[np.ndarray, " sightline"]
    drift_from_mag: float

    def levels_mag(self) -> Float[np.ndarray, "sightline segment"]:
        """Mean reddening in front of the first step and behind each. Equation: ES3. [mag]"""
        behind = np.cumsum(self.ebv_mag, axis=1)
        return self.foreground_mag[:, None] + np.concatenate(
            [np.zeros((len(behind), 1)), behind], axis=1
        )  # ES3

    def scatters_mag(self) -> Float[np.ndarray, "sightline segment"]:
        """Scatter of the stars' reddening in front of the first step and behind each. Equation: ES3. [mag]"""
        patches = np.cumsum((self.patchiness * self.ebv_mag) ** 2, axis=1)
        patches = np.concatenate([np.zeros((len(patches), 1)), patches], axis=1)
        return np.sqrt(self.scatter_mag[:, None] ** 2 + patches)  # ES3

    def profile_mag(self, modulus_mag: Float[np.ndarray, " node"]) -> Float[np.ndarray, "sightline node"]:
        """Mean reddening at given distance moduli, without the foreground: what the steps add up to. [mag]"""
        passed = self.modulus_mag[:, :, None] <= modulus_mag
        return np.sum(passed * self.ebv_mag[:, :, None], axis=1)

    def with_drift_as_steps(self, grid: CellGrid) -> "Dust":
        """The same mean reddening over a grid of distance, its drift now small steps among the others. Equation: ES3."""
        first, last = grid.modulus_edges_mag[[0, -1]]
        at = np.arange(first + DRIFT_STEP_MAG, last, DRIFT_STEP_MAG)
        shape = (len(self.drift), len(at))
        start = first + 0.5 * DRIFT_STEP_MAG - self.drift_from_mag
        modulus = np.concatenate([self.modulus_mag, np.broadcast_to(at, shape)], axis=1)
        height = np.broadcast_to(DRIFT_STEP_MAG * self.drift[:, None], shape)
        order = np.argsort(modulus, axis=1)

        def ordered(of_dust: np.ndarray, of_drift: np.ndarray) -> np.ndarray:
            return np.take_along_axis(np.concatenate([of_dust, of_drift], axis=1), order, axis=1)

        return replace(
            self,
            foreground_mag=self.foreground_mag + self.drift * start,  # ES3
            modulus_mag=np.take_along_axis(modulus, order, axis=1),
            ebv_mag=ordered(self.ebv_mag, height),  # ES3
            patchiness=ordered(self.patchiness, np.zeros(shape)),
            drift=np.zeros(len(self.drift)),
        )


class StarSet:
    """The stars of a sightline, ready for the likelihood.

    Parameters
    ----------
    cells : from `star_cells`; stars without a density are left out, one by one.
    grid : of the cells.
    """

    def __init__(self, cells: Float[np.ndarray, "star modulus_cell ebv_cell"], grid: CellGrid) -> None:
        present = cells.any(axis=(1, 2)) & np.isfinite(cells).all(axis=(1, 2))
        cells = cells[present]
        self.n_stars = len(cells)
        reached = np.flatnonzero(cells.any(axis=(0, 2)))
        start, stop = (reached[0], reached[-1] + 1) if self.n_stars else (0, cells.shape[1])
        # Only the distances that some star may have.
        self.grid = CellGrid(grid.modulus_edges_mag[start : stop + 1], grid.ebv_edges_mag)
        # Up to every edge of distance, star last: the likelihood of a step function needs nothing else.
        self._up_to = np.zeros((stop - start + 1, cells.shape[2], self.n_stars), dtype=np.float32)
        np.cumsum(np.moveaxis(cells[:, start:stop], 0, 2), axis=0, dtype=np.float64, out=self._up_to[1:])

    def log_likelihood(self, dust: Dust) -> Float[np.ndarray, " sightline"]:
        r"""Natural log of the likelihood of a batch of sightlines.

        .. math:: \ln \mathcal L = \sum_s \ln\left[(1 - \epsilon)\, \ell_s + \epsilon\right]

        Equation: ES4 (docs/model.md), with the cells of ES1 and the kernel ES2. Relative to the stars' evidences under
        the uniform reddening prior: 0 when every star is an outlier.
        """
        if dust.drift.any():
            dust = dust.with_drift_as_steps(self.grid)
        kernel = kernel_cells(dust, self.grid)
        n_steps, n_ebv = dust.modulus_mag.shape[1], kernel.shape[2]
        edges = self.grid.modulus_edges_mag
        place = (dust.modulus_mag - edges[0]) / (edges[1] - edges[0])
        place = np.clip(place, 0.0, len(edges) - 1.0)
        cell = np.minimum(place.astype(int), len(edges) - 2)
        part = (place - cell).astype(np.float32)
        # The last segment everywhere, then at each step what lies in front of it is exchanged.
        inlier = kernel[:, n_steps] @ self._up_to[-1]
        for k in range(n_steps):
            change = kernel[:, k] - kernel[:, k + 1]
            ends = np.concatenate([(1.0 - part[:, k, None]) * change, part[:, k, None] * change], axis=1)
            order = np.argsort(cell[:, k], kind="stable")
            where, first = np.unique(cell[order, k], return_index=True)
            for at, rows in zip(where, np.split(order, first[1:]), strict=True):
                inlier[rows] += ends[rows] @ self._up_to[at : at + 2].reshape(2 * n_ebv, -1)  # ES1
        share = dust.outlier_share.astype(np.float32)[:, None]
        mixed = (1.0 - share) * np.maximum(inlier, _TINY) + share
        return np.log(mixed).sum(axis=1, dtype=np.float64)  # ES4


def kernel_cells(dust: Dust, grid: CellGrid) -> Float[np.ndarray, "sightline segment ebv_cell"]:
    """Probability that a star's reddening lies in each cell of E(B-V), in front of the first step and behind each.

    Equation: ES2 (docs/model.md): a normal distribution about the mean reddening, cut at the limits of the stars'
    reddening prior and normalised between them.
    """
    level, scatter = dust.levels_mag()[:, :, None], dust.scatters_mag()[:, :, None]
    below = ndtr((grid.ebv_edges_mag - level) / scatter)
    inside = below[:, :, -1:] - below[:, :, :1]
    kernel = np.diff(below, axis=2) / np.maximum(inside, _KERNEL_MASS_MIN)  # ES2
    return np.where(inside > _KERNEL_MASS_MIN, kernel, 0.0).astype(np.float32)


def cloud_problem(stars: StarSet, prior: DustPrior, n_clouds: int) -> Problem:
    """The posterior of a foreground and a number of clouds as a problem on the unit cube.

    The cube holds what all stars share (`DustPrior.n_shared` numbers) and three numbers per cloud: distance, E(B-V),
    patchiness. Clouds are kept in the order of distance; the prior is that of unordered clouds.
    """
    shared = prior.n_shared
    n_dim = shared + 3 * n_clouds
    columns = shared + 3 * np.arange(n_clouds)

    def start(n: int, rng: np.random.Generator) -> Points:
        return _sorted_clouds(rng.random((n, n_dim)), n_clouds)

    def valid(points: Points) -> Bool[np.ndarray, " particle"]:
        return np.asarray((np.diff(points[:, columns], axis=1) >= 0).all(axis=1))

    def make_jump(points: Points) -> Jump:
        """One cloud is drawn anew, from where the clouds of all particles are or from the prior."""
        boxes = _CloudBoxes(points[:, shared:])

        def jump(points: Points, rng: np.random.Generator) -> tuple[Points, Float[np.ndarray, " particle"]]:
            n, moved = len(points), points.copy()
            first = shared + 3 * rng.integers(n_clouds, size=n)
            rows = np.arange(n)
            old = np.stack([points[rows, first], points[rows, first + 1]], axis=1)
            new = boxes.draw(n, rng)
            moved[rows, first], moved[rows, first + 1] = new.T
            moved[rows, first + 2] = np.where(rng.random(n) < 0.5, rng.random(n), moved[rows, first + 2])
            return _sorted_clouds(moved, n_clouds), boxes.log_density(old) - boxes.log_density(new)

        return jump

    return Problem(
        n_dim,
        lambda points: stars.log_likelihood(clouds_of(points, prior, stars.grid, n_clouds)),
        start,
        valid,
        make_jump if n_clouds else None,
        float(gammaln(n_clouds + 1.0)),
    )


def clouds_of(points: Points, prior: DustPrior, grid: CellGrid, n_clouds: int) -> Dust:
    """The clouds at points of the unit cube. Equation: ES5 (docs/model.md), by its inverse distribution functions."""
    foreground, scatter, outliers, drift = _shared(points, prior, grid)
    near, far = prior.modulus_mag
    place, height, patch = (points[:, prior.n_shared + k :: 3][:, :n_clouds] for k in range(3))
    most = grid.ebv_range_mag[1]
    nearest, farthest = (1.0 / (e + prior.ebv_scale_mag) for e in (prior.ebv_min_mag, most))
    return Dust(
        foreground,
        scatter,
        outliers,
        near + (far - near) * place,  # ES5
        1.0 / (nearest - height * (nearest - farthest)) - prior.ebv_scale_mag,  # ES5
        -prior.patchiness_mean * np.log1p(-patch * -np.expm1(-1.0 / prior.patchiness_mean)),  # ES5
        drift,
        near,
    )


#: The non-decreasing profile: steps every 0.5 mag of distance modulus with gamma-distributed heights.
PROFILE_STEP_MAG: Final = 0.5
PROFILE_SHAPE: Final = 0.15
PROFILE_SCALE_MAG: Final = 0.1


def profile_problem(stars: StarSet, prior: DustPrior) -> Problem:
    """The posterior of a profile that never falls, without clouds: steps at fixed distances (ES8)."""
    n_dim = prior.n_shared + 1 + len(profile_edges_mag(prior))
    return Problem(
        n_dim,
        lambda points: stars.log_likelihood(profile_of(points, prior, stars.grid)),
        lambda n, rng: rng.random((n, n_dim)),
        lambda points: np.ones(len(points), dtype=bool),
    )


def profile_edges_mag(prior: DustPrior) -> Float[np.ndarray, " step"]:
    """Distance moduli of the steps of the non-decreasing profile. [mag]"""
    near, far = prior.modulus_mag
    return np.arange(near + 0.5 * PROFILE_STEP_MAG, far, PROFILE_STEP_MAG)


def profile_of(points: Points, prior: DustPrior, grid: CellGrid) -> Dust:
    """The profile at points of the unit cube. Equation: ES8 (docs/model.md)."""
    foreground, scatter, outliers, drift = _shared(points, prior, grid)
    place, heights = points[:, prior.n_shared, None], points[:, prior.n_shared + 1 :]
    edges = np.broadcast_to(profile_edges_mag(prior), heights.shape)
    patch = -prior.patchiness_mean * np.log1p(-place * -np.expm1(-1.0 / prior.patchiness_mean))
    rise = PROFILE_SCALE_MAG * gammaincinv(PROFILE_SHAPE, np.clip(heights, 0.0, 1.0 - 1e-12))  # ES8
    patches = np.broadcast_to(patch, edges.shape)
    return Dust(foreground, scatter, outliers, edges, rise, patches, drift, prior.modulus_mag[0])


def _shared(points: Points, prior: DustPrior, grid: CellGrid) -> tuple[np.ndarray, ...]:
    """Foreground, scatter, outlier share and drift. Equation: ES5."""
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


def _sorted_clouds(points: Points, n_clouds: int) -> Points:
    """The same points with each one's clouds in the order of distance."""
    shared = points.shape[1] - 3 * n_clouds
    clouds = points[:, shared:].reshape(len(points), n_clouds, 3)
    order = np.argsort(clouds[:, :, 0], axis=1)
    clouds = np.take_along_axis(clouds, order[:, :, None], axis=1)
    return np.concatenate([points[:, :shared], clouds.reshape(len(points), -1)], axis=1)


def log_evidence_of_one_more(
    stars: StarSet,
    prior: DustPrior,
    fewer: Points,
    more: Points,
    rng: np.random.Generator,
) -> tuple[float, float, float]:
    """Ratio of the evidences of N + 1 and N clouds, by bridge sampling between their posteriors.

    Equation: ES7 (docs/model.md). A draw of N clouds gets one more, drawn from where those of N + 1 are or from the prior;
    a draw of N + 1 loses one of them, whichever.

    Parameters
    ----------
    stars : of the sightline.
    prior : of the dust.
    fewer, more : draws of the posteriors of N and of N + 1 clouds, on their cubes.
    rng : random numbers.

    Returns
    -------
    ln of the ratio, its error and the overlap, as `bridge`.
    """
    shared = prior.n_shared
    n_more = (more.shape[1] - shared) // 3
    rows = rng.permutation(len(more))
    proposal = _CloudBoxes(more[rows[: len(rows) // 2], shared:])
    count = min(len(rows) // 2, len(fewer))
    with_one = more[rows[len(rows) // 2 :][:count]]
    without = fewer[rng.permutation(len(fewer))[:count]]
    # From N + 1 clouds: one is taken out.
    lost = rng.integers(n_more, size=len(with_one))
    clouds = with_one[:, shared:].reshape(len(with_one), n_more, 3)
    out = clouds[np.arange(len(clouds)), lost]
    kept = clouds[np.arange(n_more) != lost[:, None]].reshape(len(clouds), -1)
    left = np.concatenate([with_one[:, :shared], kept], axis=1)
    grid = stars.grid

    def log_like(points: Points, n: int) -> Float[np.ndarray, " draw"]:
        return stars.log_likelihood(clouds_of(points, prior, grid, n))

    at_more = log_like(with_one, n_more) - log_like(left, n_more - 1) - proposal.log_density(out)
    # To N clouds: one is put in.
    new = np.concatenate([proposal.draw(len(without), rng), rng.random((len(without), 1))], axis=1)
    grown = _sorted_clouds(np.concatenate([without, new], axis=1), n_more)
    at_fewer = log_like(grown, n_more) - log_like(without, n_more - 1) - proposal.log_density(new)
    return bridge(at_more, at_fewer)


class _CloudBoxes:
    """A density of (distance, E(B-V)) on the unit square: boxes filled by the clouds of many draws, and the prior."""

    def __init__(self, clouds: Points) -> None:
        clouds = clouds.reshape(-1, 3)
        counts, _, _ = np.histogram2d(
            clouds[:, 0], clouds[:, 1], bins=_JUMP_BINS, range=[[0.0, 1.0], [0.0, 1.0]]
        )
        self.density = (1.0 - _JUMP_PRIOR_SHARE) * counts / counts.sum() * counts.size + _JUMP_PRIOR_SHARE
        self._cumulative = np.cumsum(self.density.ravel() / self.density.size)

    def log_density(self, clouds: Float[np.ndarray, "draw coordinate"]) -> Float[np.ndarray, " draw"]:
        """Natural log, relative to uniform."""
        at = [np.minimum((clouds[:, k] * m).astype(int), m - 1) for k, m in enumerate(_JUMP_BINS)]
        return np.log(self.density[at[0], at[1]])

    def draw(self, n: int, rng: np.random.Generator) -> Float[np.ndarray, "draw 2"]:
        """Places of clouds."""
        box = np.minimum(np.searchsorted(self._cumulative, rng.random(n)), self.density.size - 1)
        return (np.stack(np.unravel_index(box, self.density.shape), axis=1) + rng.random((n, 2))) / _JUMP_BINS
