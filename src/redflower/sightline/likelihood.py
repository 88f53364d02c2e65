"""The likelihood of a sightline's stars, from their joint densities in cells, under steps of the reddening."""

from typing import Final

import numpy as np
from jaxtyping import Float

from redflower.sightline.cells import CellGrid
from redflower.sightline.dust import Dust
from redflower.sightline.polarisation import (
    N_COORDINATES,
    CloudPolarisation,
    StarPolarisation,
    relative_density,
)

#: In float32 a likelihood of nothing may come out below nothing.
_TINY: Final = np.float32(1e-30)
#: A kernel with less of its mass than this between the limits of the reddening prior explains no star.
_KERNEL_MASS_MIN: Final = np.float32(1e-5)
#: Of the complementary error function in float32.
_ERF_P: Final = np.float32(0.3275911)
_ERF_A: Final = (0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429)
#: A drift of the zero point is followed in steps of about this much distance modulus. [mag]
DRIFT_STEP_MAG: Final = 0.5


class StarSet:
    """The stars of a sightline, ready for the likelihood.

    Parameters
    ----------
    cells : from `star_cells`; stars without a density are left out, one by one.
    grid : of the cells.
    polarisation : of the same stars, as further data.
    """

    def __init__(
        self,
        cells: Float[np.ndarray, "star modulus_cell ebv_cell"],
        grid: CellGrid,
        polarisation: StarPolarisation | None = None,
    ) -> None:
        present = cells.any(axis=(1, 2)) & np.isfinite(cells).all(axis=(1, 2))
        cells = cells[present]
        # Nearest first: up to an edge, the stars that may lie in front of it come first, and the others have nothing there.
        nearest = cells.any(axis=2).argmax(axis=1)
        order = np.argsort(nearest, kind="stable")
        cells, nearest = cells[order], nearest[order]
        self._polarisation = None if polarisation is None else polarisation.rows(present).rows(order)
        self.n_stars = len(cells)
        reached = np.flatnonzero(cells.any(axis=(0, 2)))
        start, stop = (reached[0], reached[-1] + 1) if self.n_stars else (0, cells.shape[1])
        # Only the distances that some star may have.
        self.grid = CellGrid(grid.modulus_edges_mag[start : stop + 1], grid.ebv_edges_mag)
        # Up to every edge of distance, star last: the likelihood of a step function needs nothing else.
        self._up_to = np.zeros((stop - start + 1, cells.shape[2], self.n_stars), dtype=np.float32)
        np.cumsum(np.moveaxis(cells[:, start:stop], 0, 2), axis=0, dtype=np.float64, out=self._up_to[1:])
        self._rows = np.empty((0, self.n_stars), dtype=np.float32)
        # Of each edge: stars with anything in front of it.
        self._n_reached = np.searchsorted(nearest, np.arange(start, stop + 1), side="left")

    @property
    def n_per_cloud(self) -> int:
        """Coordinates of the unit cube that a cloud has."""
        return 3 if self._polarisation is None else 3 + N_COORDINATES

    def log_likelihood(self, dust: Dust) -> Float[np.ndarray, " sightline"]:
        r"""Evaluate ln likelihood of a batch of sightlines.

        .. math:: \ln \mathcal L = \sum_s \ln\left[(1 - \epsilon)\, \ell_s + \epsilon\right]

        Equation: ES4 (docs/explanation/model.md), with the cells of ES1 and the kernel ES2. Relative to the stars' evidences
        under the uniform reddening prior: 0 when every star is an outlier.
        """
        none = dust.modulus_mag.shape[1] == 0
        clouds = CloudPolarisation(*(dust.ebv_mag,) * 5) if none else dust.polarisation
        # Steps that say nothing of polarisation are judged by the reddenings alone.
        if self._polarisation is not None and clouds is not None:
            inlier = self._polarised(dust, self._polarisation, clouds)
        else:
            inlier = self._drifting(dust) if dust.drift.any() else self._still(dust)
        share = dust.outlier_share.astype(np.float32)[:, None]
        # In place: fresh memory costs as much as the arithmetic.
        np.maximum(inlier, _TINY, out=inlier)
        inlier *= np.float32(1.0) - share
        inlier += share
        return np.log(inlier, out=inlier).sum(axis=1, dtype=np.float64)  # ES4

    def _still(self, dust: Dust) -> Float[np.ndarray, "sightline star"]:
        """Evaluate every star's likelihood where the zero point does not drift. Equation: ES1."""
        kernel = kernel_cells(dust, self.grid)
        # The last segment everywhere, then at each step what lies in front of it is exchanged.
        inlier = kernel[:, -1] @ self._up_to[-1]
        self._add_up_to(inlier, dust.modulus_mag, kernel[:, :-1] - kernel[:, 1:])
        return inlier

    def _drifting(self, dust: Dust) -> Float[np.ndarray, "sightline star"]:
        """Evaluate every star's likelihood where the zero point drifts, in bins of distance. Equations: ES1, ES3."""
        (near, far), edges = dust.drifts_between_mag, self.grid.modulus_edges_mag
        n_bins = max(1, round((far - near) / DRIFT_STEP_MAG))
        # One more bin in front and one behind, where the zero point does not change.
        inner, step = np.linspace(near, far, n_bins + 1, retstep=True)
        travelled = np.concatenate([[0.0], inner[:-1] + 0.5 * step - near, [far - near]])
        bounds = np.concatenate([edges[:1], np.clip(inner, edges[0], edges[-1]), edges[-1:]])
        cell, part = self._place(bounds)
        up_to = (1.0 - part)[:, None, None] * self._up_to[cell] + part[:, None, None] * self._up_to[cell + 1]
        drifted = dust.drift[:, None] * travelled  # ES3
        levels, scatters = dust.levels_mag(), dust.scatters_mag()
        # Clouds that a bin has behind it at its start.
        passed = (dust.modulus_mag[:, :, None] <= np.concatenate([[-np.inf], inner])).sum(axis=1)
        kernel = _kernel(
            np.take_along_axis(levels, passed, axis=1) + drifted,
            np.take_along_axis(scatters, passed, axis=1),
            self.grid,
        )
        within = np.diff(up_to, axis=0)
        inlier = kernel.reshape(len(kernel), -1) @ within.reshape(-1, self.n_stars)  # ES1
        # From a cloud to the end of its bin the stars are behind it.
        bins = np.searchsorted(inner, dust.modulus_mag, side="right")
        moved = np.take_along_axis(drifted, bins, axis=1)
        before, after = (
            _kernel(levels[:, k : k + bins.shape[1]] + moved, scatters[:, k : k + bins.shape[1]], self.grid)
            for k in (0, 1)
        )
        change = after - before
        for k in range(bins.shape[1]):
            for at in np.unique(bins[:, k]):
                rows = np.flatnonzero(bins[:, k] == at)
                inlier[rows] += change[rows, k] @ up_to[at + 1]  # ES1
        self._add_up_to(inlier, dust.modulus_mag, -change)
        return inlier

    def _polarised(
        self, dust: Dust, stars: StarPolarisation, clouds: CloudPolarisation
    ) -> Float[np.ndarray, "sightline star"]:
        """Evaluate every star's likelihood with its polarisation, place by place between the clouds. Equations: ES1, ES17."""
        kernel, density = kernel_cells(dust, self.grid), relative_density(stars, clouds)
        inlier = density[:, -1] * (kernel[:, -1] @ self._up_to[-1])
        # What lies in front of a cloud has the reddening and the polarisation of before it, and not those of behind it.
        for k in range(dust.modulus_mag.shape[1]):
            for at, sign in ((k, 1.0), (k + 1, -1.0)):
                found = np.zeros_like(inlier)
                self._add_up_to(found, dust.modulus_mag[:, k : k + 1], kernel[:, at : at + 1])
                inlier += np.float32(sign) * density[:, at] * found  # ES17
        return inlier

    def _place(self, modulus_mag: Float[np.ndarray, " *n"]) -> tuple[np.ndarray, np.ndarray]:
        """Return cells of distance, and how far into them."""
        edges = self.grid.modulus_edges_mag
        place = np.clip((modulus_mag - edges[0]) / (edges[1] - edges[0]), 0.0, len(edges) - 1.0)
        cell = np.minimum(place.astype(int), len(edges) - 2)
        return cell, (place - cell).astype(np.float32)

    def _add_up_to(
        self,
        inlier: Float[np.ndarray, "sightline star"],
        modulus_mag: Float[np.ndarray, "sightline step"],
        kernel: Float[np.ndarray, "sightline step ebv_cell"],
    ) -> None:
        """Add what stars have under a kernel up to each distance of each sightline. Equation: ES1."""
        n, n_steps, n_cells = kernel.shape
        if not n_steps:
            return
        if n > 1 and (modulus_mag == modulus_mag[:1]).all():
            # Steps at the same distances in all sightlines, as the profile has them: one matrix product.
            cell, part = self._place(modulus_mag[0])
            part = part[:, None, None]
            up_to = (1.0 - part) * self._up_to[cell] + part * self._up_to[cell + 1]
            inlier += kernel.reshape(n, -1) @ up_to.reshape(-1, self.n_stars)  # ES1
            return
        # Steps in the same cell of distance share a matrix.
        cell, part = self._place(modulus_mag.ravel())
        order = np.argsort(cell, kind="stable")
        ends, part = kernel.reshape(-1, n_cells)[order], part[order, None]
        ends = np.concatenate([(1.0 - part) * ends, part * ends], axis=1)
        found = self._workspace(len(order))
        where, first = np.unique(cell[order], return_index=True)
        for at, start, stop in zip(where, first, [*first[1:], len(order)], strict=True):
            reached = self._n_reached[at + 1]
            both = self._up_to[at : at + 2].reshape(2 * n_cells, -1)[:, :reached]
            np.matmul(ends[start:stop], both, out=found[start:stop, :reached])  # ES1
            found[start:stop, reached:] = 0.0
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        for rows in place.reshape(n, n_steps).T:
            inlier += found[rows]

    def _workspace(self, n_rows: int) -> Float[np.ndarray, "row star"]:
        """Return rows to write to, kept between calls: taking fresh memory costs as much as filling it."""
        if len(self._rows) < n_rows:
            self._rows = np.empty((n_rows, self.n_stars), dtype=np.float32)
        return self._rows[:n_rows]


def kernel_cells(dust: Dust, grid: CellGrid) -> Float[np.ndarray, "sightline segment ebv_cell"]:
    """Return the probability of reddening in each cell of E(B-V), in front of the first step and behind each.

    Equation: ES2 (docs/explanation/model.md): a normal distribution about the mean reddening, cut at the limits of the stars'
    reddening prior and normalised between them.
    """
    return _kernel(dust.levels_mag(), dust.scatters_mag(), grid)


def _kernel(
    level_mag: Float[np.ndarray, "sightline segment"],
    scatter_mag: Float[np.ndarray, "sightline segment"],
    grid: CellGrid,
) -> Float[np.ndarray, "sightline segment ebv_cell"]:
    """Evaluate the kernel of the stars' reddening. Equation: ES2."""
    edges = grid.ebv_edges_mag.astype(np.float32)
    below = _normal_below(
        (edges - level_mag.astype(np.float32)[:, :, None]) / scatter_mag.astype(np.float32)[:, :, None]
    )
    inside = below[:, :, -1:] - below[:, :, :1]
    enough = inside > _KERNEL_MASS_MIN
    return np.diff(below, axis=2) * (enough / np.maximum(inside, _KERNEL_MASS_MIN))  # ES2


def _normal_below(x: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
    """Evaluate the normal distribution function in float32, to 3e-7, in a third of the time that scipy's takes.

    Source: Abramowitz & Stegun (1964), eq. 7.1.26.
    """
    z = np.abs(x) * np.float32(np.sqrt(0.5))
    t = 1.0 / (1.0 + _ERF_P * z)
    tail = np.float32(0.5 * _ERF_A[-1]) * t
    for a in _ERF_A[-2::-1]:
        tail = (tail + np.float32(0.5 * a)) * t
    tail *= np.exp(-z * z)
    return np.where(x > 0, 1.0 - tail, tail)
