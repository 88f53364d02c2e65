"""Moments and quantiles of a posterior that is given on a grid."""

from typing import Final, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from redflower.physics import distance_pc_of_modulus
from redflower.posterior.cubics import cubic_matrix
from redflower.posterior.fast.grid import Grid
from redflower.quantiles import LEVELS

#: Points per cell when a marginal's logarithm is interpolated for its quantiles.
REFINEMENT: Final = 4


class MomentFrame(NamedTuple):
    """Centre and scales of a star's posterior."""

    ebv_mean_mag: Float[Array, "*star"]
    ebv_std_mag: Float[Array, "*star"]
    modulus_mean_mag: Float[Array, "*star"]
    modulus_std_mag: Float[Array, "*star"]
    correlation: Float[Array, "*star"]


class GridSummary(NamedTuple):
    """Summaries of one star's grid.

    Attributes
    ----------
    ebv_mean_mag, ebv_std_mag, ebv_quantiles_mag : of E(B-V). [mag]
    distance_mean_pc, distance_std_pc, distance_quantiles_pc : of the distance. [pc]
    correlation : of E and distance.
    log_evidence : ln of the integral of the density.
    resolution_shift : largest change of the mean of E or of the distance, in units of its deviation, when every other
        node of either axis is left out. The error of the full grid is far smaller.
    """

    ebv_mean_mag: Float[Array, ""]
    ebv_std_mag: Float[Array, ""]
    ebv_quantiles_mag: Float[Array, " level"]
    distance_mean_pc: Float[Array, ""]
    distance_std_pc: Float[Array, ""]
    distance_quantiles_pc: Float[Array, " level"]
    correlation: Float[Array, ""]
    log_evidence: Float[Array, ""]
    resolution_shift: Float[Array, ""]


def trapezium(n: int) -> Float[Array, " node"]:
    """Return the trapezium rule's weights in units of the spacing; exponentially accurate inside, second order at an edge."""
    return jnp.ones(n).at[0].set(0.5).at[-1].set(0.5)


def node_masses(grid: Grid) -> tuple[Float[Array, "modulus ebv"], Float[Array, ""]]:
    """Return the probability of every node, and ln of the integral of the density."""
    peak = jnp.max(grid.log_density)
    weight = jnp.outer(trapezium(len(grid.modulus_mag)), trapezium(len(grid.ebv_mag)))
    mass = jnp.exp(grid.log_density - peak) * weight
    total = jnp.sum(mass)
    cell = (grid.modulus_mag[1] - grid.modulus_mag[0]) * (grid.ebv_mag[1] - grid.ebv_mag[0])
    return mass / total, peak + jnp.log(total * cell)


def moment_frame(grid: Grid) -> MomentFrame:
    """Return the moments of a grid in (E, distance modulus)."""
    mass = node_masses(grid)[0]
    of_e, of_m = mass.sum(axis=0), mass.sum(axis=1)
    mean_e, mean_m = of_e @ grid.ebv_mag, of_m @ grid.modulus_mag
    off_e, off_m = grid.ebv_mag - mean_e, grid.modulus_mag - mean_m
    std_e = jnp.sqrt(of_e @ off_e**2 + 1e-12)
    std_m = jnp.sqrt(of_m @ off_m**2 + 1e-12)
    correlation = jnp.clip((off_m @ mass @ off_e) / (std_e * std_m), -0.99, 0.99)
    return MomentFrame(
        ebv_mean_mag=mean_e,
        ebv_std_mag=std_e,
        modulus_mean_mag=mean_m,
        modulus_std_mag=std_m,
        correlation=correlation,
    )


def drawn_nodes(
    grid: Grid, key: PRNGKeyArray, n_nodes: int
) -> tuple[Int[Array, " node"], Int[Array, " node"]]:
    """Draw nodes of a star's grid by their mass, systematically: places along the axis of modulus and along that of E."""
    mass = node_masses(grid)[0].ravel()
    cumulative = jnp.cumsum(mass)
    level = (jnp.arange(n_nodes) + jax.random.uniform(key)) / n_nodes * cumulative[-1]
    chosen = jnp.clip(jnp.searchsorted(cumulative, level, method="scan_unrolled"), 0, len(mass) - 1)
    return chosen // len(grid.ebv_mag), chosen % len(grid.ebv_mag)


def summarise_grid(grid: Grid) -> GridSummary:
    """Compute all summaries of a star's grid."""
    mass, log_evidence = node_masses(grid)
    of_ebv, of_modulus = mass.sum(axis=0), mass.sum(axis=1)
    distance_pc = distance_pc_of_modulus(grid.modulus_mag)
    mean_e, mean_d = of_ebv @ grid.ebv_mag, of_modulus @ distance_pc
    off_e, off_d = grid.ebv_mag - mean_e, distance_pc - mean_d
    std_e = jnp.sqrt(jnp.maximum(of_ebv @ off_e**2, 1e-12))
    std_d = jnp.sqrt(jnp.maximum(of_modulus @ off_d**2, 1e-12 * mean_d**2))
    correlation = (off_d @ mass @ off_e) / (std_e * std_d)
    # Every other node of one axis or the other: by how much either mean moves.
    shifts = []
    for half_mass, ebv, distance in (
        (mass[:, ::2], grid.ebv_mag[::2], distance_pc),
        (mass[::2, :], grid.ebv_mag, distance_pc[::2]),
    ):
        half = half_mass / jnp.maximum(jnp.sum(half_mass), 1e-30)
        shifts += [(half.sum(axis=0) @ ebv - mean_e) / std_e, (half.sum(axis=1) @ distance - mean_d) / std_d]
    levels = jnp.asarray(LEVELS)
    marginal_e = jnp.where(of_ebv > 0, of_ebv, 0.0) / trapezium(len(of_ebv))
    marginal_mu = of_modulus / trapezium(len(of_modulus))
    return GridSummary(
        ebv_mean_mag=mean_e,
        ebv_std_mag=std_e,
        ebv_quantiles_mag=quantiles(grid.ebv_mag, marginal_e, levels),
        distance_mean_pc=mean_d,
        distance_std_pc=std_d,
        distance_quantiles_pc=distance_pc_of_modulus(quantiles(grid.modulus_mag, marginal_mu, levels)),
        correlation=correlation,
        log_evidence=log_evidence,
        resolution_shift=jnp.max(jnp.abs(jnp.stack(shifts))),
    )


def quantiles(
    nodes: Float[Array, " node"], density: Float[Array, " node"], levels: Float[Array, " level"]
) -> Float[Array, " level"]:
    """Compute quantiles of a density on uniform nodes, with its logarithm interpolated by cubics between them."""
    fine_nodes, fine_density = refined(nodes, density)
    mass = 0.5 * (fine_density[1:] + fine_density[:-1])
    cumulative = jnp.concatenate([jnp.zeros(1), jnp.cumsum(mass)])
    return jnp.interp(levels * cumulative[-1], cumulative, fine_nodes)


def refined(
    nodes: Float[Array, " node"], density: Float[Array, " node"]
) -> tuple[Float[Array, " fine"], Float[Array, " fine"]]:
    """Interpolate a density onto `REFINEMENT` times as many cells, by cubics of its logarithm: exact for a normal density."""
    n = len(nodes)
    log_density = jnp.log(jnp.maximum(density / jnp.max(density), 1e-12))
    fine_log = cubic_matrix(n, (n - 1) * REFINEMENT + 1) @ log_density
    fine_nodes = nodes[0] + (nodes[1] - nodes[0]) * jnp.arange((n - 1) * REFINEMENT + 1) / REFINEMENT
    return fine_nodes, jnp.exp(fine_log)


def mass_beyond(
    nodes: Float[Array, " node"], density: Float[Array, " node"], limit: Float[Array, ""]
) -> Float[Array, ""]:
    """Return the share of a density above a limit; all or none of it where the limit is outside the nodes."""
    fine_nodes, fine_density = refined(nodes, density)
    mass = 0.5 * (fine_density[1:] + fine_density[:-1])
    cumulative = jnp.concatenate([jnp.zeros(1), jnp.cumsum(mass)]) / jnp.maximum(jnp.sum(mass), 1e-30)
    return 1.0 - jnp.interp(limit, fine_nodes, cumulative)
