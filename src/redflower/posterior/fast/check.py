"""The check of the fast engine against the exact density: importance weights in all dimensions.

Nodes of the quadrature are drawn by their mass, noise-free magnitudes by the emulator's denoiser, and each draw is
weighted by the exact density of equation E16 over that of the draw. If the emulator were exact and the denoiser too, all
weights would be one.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from redflower.flow.conditional import needed_bands
from redflower.flow.emulator import Noise
from redflower.physics import distance_pc_of_modulus, flow_condition
from redflower.posterior.fast.grid import FastTarget, Grid, noisy_y
from redflower.posterior.fast.grid_summaries import drawn_nodes
from redflower.posterior.fast.proposal import (
    draw_from_both,
    exact_densities,
    fit_proposal,
    mirrored_normal,
)
from redflower.posterior.log_density import LOG_NONE, is_any
from redflower.star import Star


class WeightedDraws(NamedTuple):
    """Draws of one star's posterior and their weights against the exact density.

    Attributes
    ----------
    ebv_mag, modulus_mag : the place of each draw. [mag]
    log_weight : ln of exact density over density of the draw; its mean weight is exact evidence over the grid's.
    flow_chi2 : squared length in the flow's normal coordinates, over the bands that count.
    unreddened_g_mag : apparent G without dust. [mag]
    """

    ebv_mag: Float[Array, "*star draw"]
    modulus_mag: Float[Array, "*star draw"]
    log_weight: Float[Array, "*star draw"]
    flow_chi2: Float[Array, "*star draw"]
    unreddened_g_mag: Float[Array, "*star draw"]


def weighted_draws(
    fast: FastTarget,
    star: Star,
    noise: Noise,
    grid: Grid,
    key: PRNGKeyArray,
    *,
    n_nodes: int,
    n_per_node: int,
    spread: bool = False,
) -> WeightedDraws:
    """Draw `n_nodes` nodes by systematic sampling of the grid's mass, with ``n_per_node`` magnitudes at each, in mirrored pairs.

    With ``spread`` a draw lies anywhere in its node's cell. The grid then acts as a density, constant in every cell, and not as
    a set of points, and the weights correct for what it does not resolve. A share of the nodes has magnitudes from a wider
    proposal.

    Equation: EF5 (docs/explanation/model.md).
    """
    emulator = fast.emulator
    n = emulator.n_bands
    node_key, normal_key, modulus_key, ebv_key, wide_key = jax.random.split(key, 5)
    row, column = drawn_nodes(grid, node_key, n_nodes)
    modulus_mag, ebv_mag = grid.modulus_mag[row], grid.ebv_mag[column]
    if spread:
        modulus_mag = within_cells(modulus_key, grid.modulus_mag, row)
        ebv_mag = within_cells(ebv_key, grid.ebv_mag, column)
    # Nodes last, as the emulator wants them.
    normal = mirrored_normal(normal_key, wide_key, (n, n_per_node, n_nodes), wider=spread)
    needed = needed_bands(noise.observed)
    proposal = fit_proposal(fast, star, noise, grid)
    drawn = draw_from_both(proposal, grid, normal, modulus_mag, ebv_mag, needed=needed, wider=spread)
    y = noisy_y(emulator, star, noise, ebv_mag, modulus_mag)
    condition = flow_condition(distance_pc_of_modulus(modulus_mag), star.l_deg, star.b_deg)
    seen = emulator.see(y, ebv_mag, condition, noise)
    magnitude_mag, log_factors = emulator.propose(y, seen, noise, drawn.normal)
    log_proposal = drawn.log_ratio + jnp.sum(jnp.where(needed[:, None, None], log_factors, 0.0), axis=0)
    exact = exact_densities(fast, star, magnitude_mag, modulus_mag, ebv_mag)
    at_node = grid.log_density[row, column][:, None]
    log_weight = exact.log_density - log_proposal.T - at_node  # EF5
    log_weight = jnp.where(jnp.isfinite(log_weight) & is_any(at_node), log_weight, LOG_NONE)
    return WeightedDraws(
        ebv_mag=jnp.repeat(ebv_mag, n_per_node),
        modulus_mag=jnp.repeat(modulus_mag, n_per_node),
        log_weight=log_weight.ravel(),
        flow_chi2=exact.flow_chi2.ravel(),
        unreddened_g_mag=exact.unreddened_g_mag.ravel(),
    )


def within_cells(
    key: PRNGKeyArray, nodes: Float[Array, " node"], chosen: Int[Array, " draw"]
) -> Float[Array, " draw"]:
    """Draw uniformly within half a spacing of each chosen node; the end nodes have half a cell."""
    half = 0.5 * (nodes[1] - nodes[0])
    low, high = jnp.maximum(nodes[chosen] - half, nodes[0]), jnp.minimum(nodes[chosen] + half, nodes[-1])
    return low + (high - low) * jax.random.uniform(key, chosen.shape)


class Check(NamedTuple):
    """What the weights say as a whole.

    Attributes
    ----------
    ess : effective number of draws, (sum w)^2 / sum w^2; 0 where none has a weight.
    log_mean_weight : ln of exact evidence over the grid's.
    """

    ess: Float[Array, "*star"]
    log_mean_weight: Float[Array, "*star"]


def make_check(draws: WeightedDraws) -> Check:
    """Summarise the weights of one star's draws."""
    peak = jnp.max(draws.log_weight)
    weight = jnp.exp(draws.log_weight - peak)
    total = jnp.sum(weight)
    ess = jnp.where(is_any(peak), total**2 / jnp.sum(weight**2), 0.0)
    return Check(ess, peak + jnp.log(total / len(weight)))
