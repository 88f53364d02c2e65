"""The likelihood of a sightline's stars, from their joint densities in cells, under steps of the reddening."""

from typing import Final

import numpy as np
from jaxtyping import Float
from scipy.special import ndtr

from redflower.sightline.cells import CellGrid
from redflower.sightline.dust import Dust

#: In float32 a likelihood of nothing may come out below nothing.
_TINY: Final = np.float32(1e-30)
#: A kernel with less of its mass than this between the limits of the reddening prior explains no star.
_KERNEL_MASS_MIN: Final = 1e-8
#: A drift of the zero point is followed in steps of about this much distance modulus. [mag]
DRIFT_STEP_MAG: Final = 0.5


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
        r"""Evaluate ln likelihood of a batch of sightlines.

        .. math:: \ln \mathcal L = \sum_s \ln\left[(1 - \epsilon)\, \ell_s + \epsilon\right]

        Equation: ES4 (docs/explanation/model.md), with the cells of ES1 and the kernel ES2. Relative to the stars' evidences
        under the uniform reddening prior: 0 when every star is an outlier.
        """
        inlier = self._drifting(dust) if dust.drift.any() else self._still(dust)
        share = dust.outlier_share.astype(np.float32)[:, None]
        mixed = (1.0 - share) * np.maximum(inlier, _TINY) + share
        return np.log(mixed).sum(axis=1, dtype=np.float64)  # ES4

    def _still(self, dust: Dust) -> Float[np.ndarray, "sightline star"]:
        """Evaluate every star's likelihood where the zero point does not drift. Equation: ES1."""
        kernel = kernel_cells(dust, self.grid)
        n_steps = dust.modulus_mag.shape[1]
        # The last segment everywhere, then at each step what lies in front of it is exchanged.
        inlier = kernel[:, n_steps] @ self._up_to[-1]
        for k in range(n_steps):
            self._add_up_to(inlier, dust.modulus_mag[:, k], kernel[:, k] - kernel[:, k + 1])
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
            self._add_up_to(inlier, dust.modulus_mag[:, k], -change[:, k])
        return inlier

    def _place(self, modulus_mag: Float[np.ndarray, " n"]) -> tuple[np.ndarray, np.ndarray]:
        """Return cells of distance, and how far into them."""
        edges = self.grid.modulus_edges_mag
        place = np.clip((modulus_mag - edges[0]) / (edges[1] - edges[0]), 0.0, len(edges) - 1.0)
        cell = np.minimum(place.astype(int), len(edges) - 2)
        return cell, (place - cell).astype(np.float32)

    def _add_up_to(
        self,
        inlier: Float[np.ndarray, "sightline star"],
        modulus_mag: Float[np.ndarray, " sightline"],
        kernel: Float[np.ndarray, "sightline ebv_cell"],
    ) -> None:
        """Add what stars have under a kernel up to a distance of each sightline. Equation: ES1."""
        cell, part = self._place(modulus_mag)
        ends = np.concatenate([(1.0 - part[:, None]) * kernel, part[:, None] * kernel], axis=1)
        order = np.argsort(cell, kind="stable")
        where, first = np.unique(cell[order], return_index=True)
        for at, rows in zip(where, np.split(order, first[1:]), strict=True):
            inlier[rows] += ends[rows] @ self._up_to[at : at + 2].reshape(ends.shape[1], -1)  # ES1


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
    below = ndtr((grid.ebv_edges_mag - level_mag[:, :, None]) / scatter_mag[:, :, None])
    inside = below[:, :, -1:] - below[:, :, :1]
    kernel = np.diff(below, axis=2) / np.maximum(inside, _KERNEL_MASS_MIN)  # ES2
    return np.where(inside > _KERNEL_MASS_MIN, kernel, 0.0).astype(np.float32)
