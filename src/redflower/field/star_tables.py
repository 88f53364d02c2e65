"""What each star says of the reddening: its likelihood as a function of the mean reddening, at a few distances of its own."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float
from scipy.special import ndtr

from redflower.posterior.density import JointDensity
from redflower.posterior.density_nodes import usable_densities
from redflower.sightline.cells import (
    MODULUS_RANGE_MAG,
    CellGrid,
    fine_density,
    steps_from_first_node,
    weights_between,
)

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
_CHUNK: Final = 128
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
    n_stars = len(density.ebv_start_mag)
    value = np.zeros((n_stars, N_NODES, len(SCATTERS_MAG), len(levels)), np.float32)
    modulus = np.zeros((n_stars, N_NODES))
    usable = np.flatnonzero(usable_densities(density))
    for start in range(0, len(usable), _CHUNK):
        rows = usable[start : start + _CHUNK]
        weight, outlier = (None if a is None else a[rows] for a in (log_weight, p_outlier))
        likelihood, modulus[rows] = _gathered(density.rows(rows), grid, weight, outlier)
        value[rows] = (likelihood @ kernel.reshape(n_cells, -1)).reshape(len(rows), *value.shape[1:])  # ES10
    return StarTables(value, modulus, float(levels[0]))


def _gathered(
    density: JointDensity,
    grid: CellGrid,
    log_weight: Float[np.ndarray, "star modulus"] | None,
    p_outlier: Float[np.ndarray, " star"] | None,
) -> tuple[Float[np.ndarray, "star node ebv_cell"], Float[np.ndarray, "star node"]]:
    """Return what `star_cells` does, the cells of distance gathered into a few, and the mean distance modulus in each.

    Which cells belong together is decided by their mass alone, so that the rest is done between the edges of those few.
    """
    fine = fine_density(density, log_weight)
    n_moduli, n_ebv = fine.shape[1:]
    on_ebv = weights_between(
        steps_from_first_node(grid.ebv_edges_mag, density.ebv_start_mag, density.ebv_step_mag, n_ebv), n_ebv
    )
    by_ebv = fine @ np.swapaxes(on_ebv, 1, 2)
    edges = grid.modulus_edges_mag.copy()
    edges[0], edges[-1] = -np.inf, np.inf
    place = steps_from_first_node(edges, density.modulus_start_mag, density.modulus_step_mag, n_moduli)
    below = _below(by_ebv.sum(axis=2), place)
    total = below[:, -1:]
    mass = np.diff(below, axis=1) / total
    share = np.cumsum(mass, axis=1) - 0.5 * mass
    node = np.clip(np.searchsorted(_SHARES, share, side="right") - 1, 0, N_NODES - 1)
    first = (node[:, None, :] < np.arange(N_NODES + 1)[:, None]).sum(axis=2)
    held = weights_between(np.take_along_axis(place, first, axis=1), n_moduli) @ by_ebv / total[:, :, None]
    low, high = grid.ebv_range_mag
    likelihood = held * ((high - low) / np.diff(grid.ebv_edges_mag))
    if p_outlier is not None:
        outlier = np.nan_to_num(p_outlier)[:, None, None]
        likelihood = (1.0 - outlier) * likelihood + outlier * held.sum(axis=2, keepdims=True)  # E28
    middle = 0.5 * (grid.modulus_edges_mag[1:] + grid.modulus_edges_mag[:-1])
    bins = (np.arange(len(node))[:, None] * N_NODES + node).ravel()
    in_node, moment = (
        np.bincount(bins, weight.ravel(), N_NODES * len(node)).reshape(len(node), -1)
        for weight in (mass, mass * middle)
    )
    typical = (mass @ middle)[:, None]
    return likelihood, np.where(in_node > 0, moment / np.maximum(in_node, 1e-30), typical)


def _below(
    value: Float[np.ndarray, "star node"], place: Float[np.ndarray, "star edge"]
) -> Float[np.ndarray, "star edge"]:
    """Integrate values that are linear between nodes from the first node to places, in steps."""
    up_to = np.cumsum(0.5 * (value[:, 1:] + value[:, :-1]), axis=1)
    up_to = np.concatenate([np.zeros((len(value), 1)), up_to], axis=1)
    node = np.minimum(place.astype(np.int64), value.shape[1] - 2)
    here, after = (np.take_along_axis(value, node + k, axis=1) for k in (0, 1))
    part = place - node
    return np.take_along_axis(up_to, node, axis=1) + part * (here + 0.5 * part * (after - here))


def level_kernel(
    level_mag: Float[np.ndarray, " level"], scatter_mag: Float[np.ndarray, " scatter"], grid: CellGrid
) -> Float[np.ndarray, "ebv_cell scatter level"]:
    """Return the probability of every cell of reddening about each mean with each scatter. Equation: ES2."""
    edges = grid.ebv_edges_mag[:, None, None]
    below = ndtr((edges - level_mag) / scatter_mag[:, None])
    inside = below[-1] - below[0]
    # The normaliser of a mean outside the limits would make a star's likelihood there as large as at the limit.
    return np.diff(below, axis=0) / np.maximum(inside, _KERNEL_MASS_MIN)  # ES2
