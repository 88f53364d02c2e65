"""What each star says of the reddening: its likelihood as a function of the mean reddening, at a few distances of its own."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float
from scipy.special import ndtr

from redflower.posterior.density import JointDensity
from redflower.sightline.cells import MODULUS_RANGE_MAG, CellGrid, star_cells

#: Shares of a star's probability between which its distances are gathered: narrow in the tails, where a second solution may lie.
_SHARES: Final = (0.0, 0.02, 0.1, 0.22, 0.36, 0.5, 0.64, 0.78, 0.9, 0.98, 1.0)
N_NODES: Final = len(_SHARES) - 1
#: Step of the mean reddening in the tables, and how far they go beyond the limits of the stars' prior. [mag]
LEVEL_STEP_MAG: Final = 0.01
_BEYOND_MAG: Final = (0.03, 0.05)
#: Scatters of the stars' reddening about the field's at which there is a table; between them it is linear in its square. [mag]
SCATTERS_MAG: Final = (0.003, 0.015, 0.04)
#: Distances of a star are gathered from cells of this width. [mag]
_MODULUS_CELL_MAG: Final = 0.05
_CHUNK: Final = 1024
_KERNEL_MASS_MIN: Final = 1e-8


@dataclass(frozen=True)
class StarTables:
    """Likelihoods of stars in tables.

    Attributes
    ----------
    value : likelihood of each star's part at each of its distances, for every scatter and mean reddening; their sum over the
        distances is 1 where nothing is known of E.
    modulus_mag : those distances, as distance moduli. [mag]
    level_start_mag : first mean reddening of the tables. [mag]
    """

    value: Float[np.ndarray, "star node scatter level"]
    modulus_mag: Float[np.ndarray, "star node"]
    level_start_mag: float


def tabulate_stars(
    density: JointDensity,
    ebv_range_mag: tuple[float, float],
    *,
    log_weight: Float[np.ndarray, "star modulus"] | None = None,
    p_outlier: Float[np.ndarray, " star"] | None = None,
) -> StarTables:
    """Tabulate the likelihood of every star, its uniform reddening prior divided out.

    Equation: ES10 (docs/explanation/model.md).

    Parameters
    ----------
    density : of the stars.
    ebv_range_mag : limits of their uniform reddening prior. [mag]
    log_weight, p_outlier : as in `redflower.sightline.cells.star_cells`.
    """
    low, high = ebv_range_mag
    # Even cells: where they widen, a table is too flat beside its peak.
    n_cells = max(round((high - low) / LEVEL_STEP_MAG), 2)
    near, far = MODULUS_RANGE_MAG
    modulus_edges = np.linspace(near, far, round((far - near) / _MODULUS_CELL_MAG) + 1)
    grid = CellGrid(modulus_edges, np.linspace(low, high, n_cells + 1))
    levels = np.arange(low - _BEYOND_MAG[0], high + _BEYOND_MAG[1] + LEVEL_STEP_MAG / 2, LEVEL_STEP_MAG)
    kernel = level_kernel(levels, np.array(SCATTERS_MAG), grid).astype(np.float32)
    middle = 0.5 * (grid.modulus_edges_mag[1:] + grid.modulus_edges_mag[:-1])
    width = (np.diff(grid.ebv_edges_mag) / (high - low)).astype(np.float32)
    n_stars = len(density.ebv_start_mag)
    value = np.empty((n_stars, N_NODES, len(SCATTERS_MAG), len(levels)), np.float32)
    modulus = np.empty((n_stars, N_NODES))
    for start in range(0, n_stars, _CHUNK):
        rows = np.arange(start, min(start + _CHUNK, n_stars))
        weight, outlier = (None if a is None else a[rows] for a in (log_weight, p_outlier))
        cells = star_cells(density.rows(rows), grid, weight, outlier)
        mass = cells @ width
        share = np.cumsum(mass, axis=1) - 0.5 * mass
        share /= np.maximum(mass.sum(axis=1, keepdims=True), 1e-30)
        node = np.clip(np.searchsorted(_SHARES, share, side="right") - 1, 0, N_NODES - 1)
        member = (node[:, None, :] == np.arange(N_NODES)[:, None]).astype(np.float32)
        value[rows] = np.einsum("snc,ce->sne", member @ cells, kernel.reshape(len(width), -1)).reshape(
            len(cells), N_NODES, len(SCATTERS_MAG), len(levels)
        )  # ES10
        weighted = member * mass[:, None, :]
        total = weighted.sum(axis=2)
        typical = (mass @ middle) / np.maximum(mass.sum(axis=1), 1e-30)
        modulus[rows] = np.where(total > 0, weighted @ middle / np.maximum(total, 1e-30), typical[:, None])
    return StarTables(value, modulus, float(levels[0]))


def level_kernel(
    level_mag: Float[np.ndarray, " level"], scatter_mag: Float[np.ndarray, " scatter"], grid: CellGrid
) -> Float[np.ndarray, "ebv_cell scatter level"]:
    """Return the probability of every cell of reddening about each mean with each scatter. Equation: ES2."""
    edges = grid.ebv_edges_mag[:, None, None]
    below = ndtr((edges - level_mag) / scatter_mag[:, None])
    inside = below[-1] - below[0]
    # The normaliser of a mean outside the limits would make a star's likelihood there as large as at the limit.
    return np.diff(below, axis=0) / np.maximum(inside, _KERNEL_MASS_MIN)  # ES2
