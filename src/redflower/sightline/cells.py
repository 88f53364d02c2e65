"""Joint densities of stars on one common grid of cells in (distance modulus, E(B-V)).

A star's log density is interpolated to a finer grid. Between its nodes the density is taken as linear and integrated over
every cell exactly. The rest is linear algebra: the likelihood of any reddening model that is constant within a cell is a
matrix product.
"""

from dataclasses import dataclass
from typing import Final

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from redflower.errors import InputError
from redflower.physics import distance_pc_of_modulus, log_distance_prior
from redflower.posterior.density import JointDensity
from redflower.posterior.density_nodes import REFINEMENTS, on_finer_nodes, usable_densities

#: Widths of the cells: in distance modulus (4.7 % in distance), in E(B-V) at low reddening, and the share of E(B-V)
#: by which the latter grow. [mag, mag, -]
MODULUS_CELL_MAG: Final = 0.1
EBV_CELL_MAG: Final = 0.01
EBV_CELL_GROWTH: Final = 0.05
#: Distance moduli that the cells span: 40 pc to 20 kpc. [mag]
MODULUS_RANGE_MAG: Final = (3.0, 16.5)
_CHUNK: Final = 128
#: Where nothing is stored, which begins 25.5 nat below the peak. [nat]
_NOTHING_NAT: Final = -40.0


@dataclass(frozen=True)
class CellGrid:
    """Edges of the common cells.

    Attributes
    ----------
    modulus_edges_mag, ebv_edges_mag : rising edges; those of E(B-V) begin and end at the limits of the stars'
        uniform reddening prior, outside which their densities say nothing. [mag]
    """

    modulus_edges_mag: Float[np.ndarray, " modulus_edge"]
    ebv_edges_mag: Float[np.ndarray, " ebv_edge"]

    @property
    def ebv_range_mag(self) -> tuple[float, float]:
        """Limits of the reddening prior. [mag]"""
        return float(self.ebv_edges_mag[0]), float(self.ebv_edges_mag[-1])


def make_grid(
    ebv_range_mag: tuple[float, float], modulus_range_mag: tuple[float, float] = MODULUS_RANGE_MAG
) -> CellGrid:
    """Make cells of 0.1 mag in distance modulus, and of 0.01 mag or 5 % in E(B-V), whichever is larger.

    Parameters
    ----------
    ebv_range_mag : limits of the uniform reddening prior of the stars' posteriors. [mag]
    modulus_range_mag : distance moduli to span. [mag]
    """
    low, high = ebv_range_mag
    if not low < high:
        raise InputError(f"make_grid needs a rising ebv_range_mag; got {ebv_range_mag}.")
    edges = [low]
    while edges[-1] < high:
        edges.append(edges[-1] + max(EBV_CELL_MAG, EBV_CELL_GROWTH * abs(edges[-1])))
    # Squeezed, so that the last edge is the limit.
    ebv = low + (np.array(edges) - low) * (high - low) / (edges[-1] - low)
    n_cells = int(np.ceil((modulus_range_mag[1] - modulus_range_mag[0]) / MODULUS_CELL_MAG))
    return CellGrid(np.linspace(*modulus_range_mag, n_cells + 1), ebv)


def star_cells(
    density: JointDensity,
    grid: CellGrid,
    log_weight: Float[np.ndarray, "star modulus"] | None = None,
    p_outlier: Float[np.ndarray, " star"] | None = None,
) -> Float[np.ndarray, "star modulus_cell ebv_cell"]:
    """Compute each star's probability in every cell, times the width of the reddening prior over that of the cell.

    The result is p(cell) / p(E) as it enters ES1: for a kernel with mass w in the cells of E at each distance, the
    star's likelihood is the sum of result times w. A star without a usable density has zeros.

    Parameters
    ----------
    density : of the stars.
    grid : the common cells. Probability at distances outside them counts in the first or last cell.
    log_weight : natural log of a factor on every node of the stars' own distance moduli, e.g. another distance prior
        over the star's own.
    p_outlier : probability that each star is not of the population: its reddening then says nothing (E28). If None, 0.

    Returns
    -------
    float32, a dimensionless likelihood relative to the uniform reddening prior.
    """
    n_stars = len(density.ebv_start_mag)
    low, high = grid.ebv_range_mag
    out = np.zeros((n_stars, len(grid.modulus_edges_mag) - 1, len(grid.ebv_edges_mag) - 1), dtype=np.float32)
    rows = np.flatnonzero(usable_densities(density))
    modulus_edges = grid.modulus_edges_mag.copy()
    modulus_edges[0], modulus_edges[-1] = -np.inf, np.inf
    for start in range(0, len(rows), _CHUNK):
        here = rows[start : start + _CHUNK]
        part = density.rows(here)
        value = fine_density(part, None if log_weight is None else log_weight[here])
        on_modulus = weights_between(
            steps_from_first_node(
                modulus_edges, part.modulus_start_mag, part.modulus_step_mag, value.shape[1]
            ),
            value.shape[1],
        )
        on_ebv = weights_between(
            steps_from_first_node(grid.ebv_edges_mag, part.ebv_start_mag, part.ebv_step_mag, value.shape[2]),
            value.shape[2],
        )
        mass = on_modulus @ value @ np.swapaxes(on_ebv, 1, 2)
        total = mass.sum(axis=(1, 2), keepdims=True)
        with np.errstate(invalid="ignore", divide="ignore"):
            mass = np.where(total > 0, mass / total, 0.0)
        likelihood = mass * ((high - low) / np.diff(grid.ebv_edges_mag))
        if p_outlier is not None:
            share = np.nan_to_num(p_outlier[here])[:, None, None]
            # A cell's likelihood is 1 times the mass of its distance where nothing is known of E.
            likelihood = (1.0 - share) * likelihood + share * mass.sum(axis=2, keepdims=True)  # E28
        out[here] = likelihood
    return out


def flat_distance_log_weight(
    density: JointDensity,
    log_length_pc: Float[np.ndarray, " star"],
    alpha: Float[np.ndarray, " star"],
    beta: Float[np.ndarray, " star"],
) -> Float[np.ndarray, "star modulus"]:
    """Return log weights 1 / p(mu) that turn each star's distance prior into one uniform in distance modulus.

    Equation: ES1 (docs/explanation/model.md). For `star_cells`; stars without a grid have zeros.

    Parameters
    ----------
    density : of the stars.
    log_length_pc, alpha, beta : of each star's generalised gamma prior (E13).
    """
    modulus = np.where(np.isfinite(density.modulus_nodes_mag()), density.modulus_nodes_mag(), 0.0)
    at = jax.vmap(jax.vmap(log_distance_prior, (0, None, None, None)))
    distance_pc = distance_pc_of_modulus(jnp.asarray(modulus, jnp.float32))
    arrays = (jnp.asarray(a, jnp.float32) for a in (log_length_pc, alpha, beta))
    # p(mu) = p(d) d ln(10) / 5; a constant factor of a star's density drops out.
    log_prior = np.asarray(at(distance_pc, *arrays)) + np.log(np.asarray(distance_pc))
    return np.where(np.isfinite(log_prior), -log_prior, 0.0)  # ES1


def fine_density(
    density: JointDensity, log_weight: Float[np.ndarray, "star modulus"] | None
) -> Float[np.ndarray, "star finer_modulus finer_ebv"]:
    """Return densities on finer nodes, up to a factor of each star's own.

    Parameters
    ----------
    density : of stars that have one.
    log_weight : as in `star_cells`.
    """
    log_value = np.maximum(density.log_density(), _NOTHING_NAT)
    if log_weight is not None:
        log_value = log_value + log_weight[:, :, None]
        log_value = log_value - np.max(log_value, axis=(1, 2), keepdims=True)
    return np.exp(on_finer_nodes(log_value))


def steps_from_first_node(
    edges: Float[np.ndarray, " edge"],
    start: Float[np.ndarray, " star"],
    step: Float[np.ndarray, " star"],
    n_nodes: int,
) -> Float[np.ndarray, "star edge"]:
    """Return where edges lie in every star's density, in steps of its finer nodes; nothing lies outside the first and the last.

    Parameters
    ----------
    edges, start, step : edges, and the first node and spacing of the stars' own nodes, in one unit.
    n_nodes : the finer nodes.
    """
    return np.clip((edges[None, :] - start[:, None]) / step[:, None] * 2.0**REFINEMENTS, 0.0, n_nodes - 1.0)


def weights_between(
    place: Float[np.ndarray, "star edge"], n_nodes: int
) -> Float[np.ndarray, "star cell node"]:
    """Integrate between edges the piecewise linear function that is one at a node and zero at the others, in steps."""
    t = np.clip(place[:, :, None] - np.arange(n_nodes), -1.0, 1.0)
    below = np.where(t < 0, 0.5 * (t + 1.0) ** 2, 1.0 - 0.5 * (1.0 - t) ** 2)
    return np.diff(below, axis=1)
