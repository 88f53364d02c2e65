"""The posterior of one star as a quadrature in (E(B-V), distance modulus), by the emulator.

Two passes: a coarse grid over everything that prior and parallax allow finds the box that holds the posterior, a second
grid of fixed size resolves it. All functions take one star; the engine vectorises them.
"""

from typing import Final, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from redflower.bands import BP, RP, G
from redflower.flow.emulator import Emulator, Noise
from redflower.flow.emulator_networks import column_for
from redflower.physics import (
    absolute_to_colour,
    distance_modulus,
    distance_pc_of_modulus,
    distance_posterior_quantiles,
    extinction_mag,
    flow_condition,
    intrinsic_bp_rp,
)
from redflower.posterior.cubics import cubic_matrix
from redflower.posterior.log_density import (
    LOG_NONE,
    Target,
    log_in_sample,
    log_parallax_term,
    log_prior_of_modulus,
)
from redflower.star import Star

#: Nodes of the first pass. Their spacing in E is 0.08 mag over the paper's prior, four times the sigma of the best
#: measured stars: the peak lies between nodes, and cubics between them find it.
COARSE_MODULUS_NODES: Final = 9
COARSE_EBV_NODES: Final = 8
#: Cells into which those of a grid are divided, on each axis, to find the ends of the next: a peak between nodes is seen.
BOX_CELLS: Final = 4
#: Nodes of the second pass; benchmarks/engine/resolution.py has what they leave of an error.
MODULUS_NODES: Final = 12
EBV_NODES: Final = 14
#: Nodes of the second look at a star, which some get because the above were too few.
FINER_MODULUS_NODES: Final = 14
FINER_EBV_NODES: Final = 18
#: The first pass spans the distances between these levels of parallax likelihood times prior.
TAIL_LEVEL: Final = 3e-6
#: The box ends where the density is below its peak by more than this. [nat]
BOX_DROP: Final = 11.0
#: Lower densities count as this far below the peak where a grid is interpolated. [nat]
INTERPOLATION_FLOOR: Final = 25.0
#: The same where only the ends of a density are sought: between coarse nodes the highest may be far below the peak. [nat]
BOX_FLOOR: Final = 300.0
#: See `defended`. [nat]
DEFENCE_DROP: Final = 7.0


class FastTarget(eqx.Module):
    """What the fast engine needs beside the star: the exact target and the emulator distilled from its flow."""

    exact: Target
    emulator: Emulator


class Box(NamedTuple):
    """Ends of a grid. [mag]"""

    modulus_low_mag: Float[Array, ""]
    modulus_high_mag: Float[Array, ""]
    ebv_low_mag: Float[Array, ""]
    ebv_high_mag: Float[Array, ""]


class Grid(NamedTuple):
    """ln posterior density of one star, not normalised, in (distance modulus, E), on a uniform grid of its box.

    ``g_extinction_mag`` and ``bp_rp_mag`` are the extinction in G and the intrinsic colour along the axis of E.
    """

    modulus_mag: Float[Array, " modulus"]
    ebv_mag: Float[Array, " ebv"]
    log_density: Float[Array, "modulus ebv"]
    g_extinction_mag: Float[Array, " ebv"]
    bp_rp_mag: Float[Array, " ebv"]


def noisy_y(
    emulator: Emulator,
    star: Star,
    noise: Noise,
    ebv_mag: Float[Array, "*node"],
    modulus_mag: Float[Array, "*node"],
) -> Float[Array, "band *node"]:
    """Return the star's noisy (M_G, colours) at reddenings and distance moduli, in the emulator's form. [mag]"""
    observed, magnitude_mag, reference = (
        column_for(a, ebv_mag[None])
        for a in (noise.observed, star.magnitude_mag[: emulator.n_bands], emulator.reference)
    )
    magnitude_mag = magnitude_mag - reference * ebv_mag - modulus_mag
    return absolute_to_colour(jnp.where(observed, magnitude_mag, magnitude_mag[G]))


class Expected(NamedTuple):
    """What the filter expects of a star at one reddening, from whatever bands it has; G - RP without dust (D12). [mag]"""

    bp_rp_mag: Float[Array, ""]
    g_rp_mag: Float[Array, ""]
    g_extinction_mag: Float[Array, ""]


def expected_colours(
    fast: FastTarget, star: Star, noise: Noise, ebv_mag: Float[Array, ""], modulus_mag: Float[Array, ""]
) -> Expected:
    """Return the expected intrinsic colours, and the extinction that follows from them."""
    emulator = fast.emulator
    y = noisy_y(emulator, star, noise, ebv_mag, modulus_mag)
    seen = emulator.see(y, ebv_mag, jnp.zeros(2), noise)
    state = emulator.expected_state(y, seen, noise)
    reference = emulator.reference
    reddened_mag = state[BP] - state[RP] + ebv_mag * (reference[BP] - reference[RP])
    bp_rp_mag = intrinsic_bp_rp(fast.exact.law, reddened_mag, ebv_mag)
    extinction = extinction_mag(fast.exact.law, ebv_mag, bp_rp_mag)
    # The state is the noise of G, and the other magnitudes minus the observed G.
    reddened_g_rp_mag = -state[G] - state[RP] + ebv_mag * (reference[G] - reference[RP])
    of_dust = jnp.maximum(extinction, 0.0)  # D12
    return Expected(bp_rp_mag, reddened_g_rp_mag - of_dust[G] + of_dust[RP], extinction[G])


def log_grid(
    fast: FastTarget,
    star: Star,
    noise: Noise,
    modulus_mag: Float[Array, " modulus"],
    ebv_mag: Float[Array, " ebv"],
) -> Grid:
    """Evaluate ln of equation E16, with the intrinsic magnitudes integrated out, on the product of two axes.

    Equation: EF4 (docs/explanation/model.md).
    """
    exact, emulator = fast.exact, fast.emulator
    first = exact.flow.leading(1)
    middle_mag = modulus_mag[len(modulus_mag) // 2]
    expected = jax.vmap(lambda e: expected_colours(fast, star, noise, e, middle_mag))(ebv_mag)
    in_sample = jax.vmap(lambda a, c: log_in_sample(exact, star, star.magnitude_mag[G] - a, c))(
        jnp.maximum(expected.g_extinction_mag, 0.0), expected.g_rp_mag
    )  # D12
    distance_pc = distance_pc_of_modulus(modulus_mag)
    log_distance = jax.vmap(lambda d: log_parallax_term(star, d) + log_prior_of_modulus(exact, star, d))(
        distance_pc
    )
    condition = flow_condition(distance_pc, star.l_deg, star.b_deg)

    def first_factor(mu: Array, condition: Array, extinction: Array) -> Float[Array, ""]:
        m_g = star.magnitude_mag[G] - extinction - mu
        return first.log_prob_terms(m_g[None], condition)[0]

    log_first = jax.vmap(jax.vmap(first_factor, in_axes=(None, None, 0)), in_axes=(0, 1, None))(
        modulus_mag, condition, expected.g_extinction_mag
    )
    # All nodes of the grid as the emulator wants them, on one last axis.
    shape = (len(modulus_mag), len(ebv_mag))
    node_modulus_mag, node_ebv_mag = jnp.repeat(modulus_mag, shape[1]), jnp.tile(ebv_mag, shape[0])
    y = noisy_y(emulator, star, noise, node_ebv_mag, node_modulus_mag)
    seen = emulator.see(y, node_ebv_mag, jnp.repeat(condition, shape[1], axis=1), noise)
    log_others = jnp.sum(emulator.log_factors(seen, noise), axis=0).reshape(shape)
    log_ebv = in_sample - jnp.log(exact.ebv_max_mag - exact.ebv_min_mag)
    total = log_first + log_others + log_distance[:, None] + log_ebv[None, :]  # EF4
    total = jnp.where(jnp.isfinite(total), total, LOG_NONE)
    return Grid(
        modulus_mag=modulus_mag,
        ebv_mag=ebv_mag,
        log_density=total,
        g_extinction_mag=expected.g_extinction_mag,
        bp_rp_mag=expected.bp_rp_mag,
    )


def uniform_axes(
    box: Box, n_modulus: int, n_ebv: int
) -> tuple[Float[Array, " modulus"], Float[Array, " ebv"]]:
    """Return uniform axes of a box, ends included."""
    modulus = jnp.linspace(0.0, 1.0, n_modulus) * (box.modulus_high_mag - box.modulus_low_mag)
    ebv = jnp.linspace(0.0, 1.0, n_ebv) * (box.ebv_high_mag - box.ebv_low_mag)
    return box.modulus_low_mag + modulus, box.ebv_low_mag + ebv


def whole_box(fast: FastTarget, star: Star) -> Box:
    """Return the box of everything that the reddening prior, the parallax and the distance prior allow."""
    levels = jnp.array([TAIL_LEVEL, 1.0 - TAIL_LEVEL])
    quantiles_pc = distance_posterior_quantiles(
        levels, star.parallax_mas, star.parallax_error_mas, star.has_parallax,
        star.prior_log_length_pc, star.prior_alpha, star.prior_beta,
    ).quantiles_pc  # fmt: skip
    low, high = distance_modulus(quantiles_pc[0]), distance_modulus(quantiles_pc[1])
    middle, half = 0.5 * (low + high), jnp.maximum(0.5 * (high - low), 1e-3)
    exact = fast.exact
    ends = (jnp.asarray(exact.ebv_min_mag), jnp.asarray(exact.ebv_max_mag))
    return Box(middle - half, middle + half, *ends)


def bounding_box(grid: Grid) -> Box:
    """Return the smallest box around all that is within `BOX_DROP` of the peak, by cubics between the nodes."""
    fine = interpolated_grid(grid, BOX_CELLS, floor_nat=BOX_FLOOR)
    kept = fine.log_density > jnp.max(fine.log_density) - BOX_DROP

    def ends(nodes: Array, there: Array) -> tuple[Array, Array]:
        first = jnp.argmax(there)
        last = len(nodes) - 1 - jnp.argmax(there[::-1])
        return nodes[jnp.maximum(first - 1, 0)], nodes[jnp.minimum(last + 1, len(nodes) - 1)]

    return Box(*ends(fine.modulus_mag, kept.any(axis=1)), *ends(fine.ebv_mag, kept.any(axis=0)))


def side_drops(grid: Grid) -> Box:
    """Return how far the density of a grid is below its peak on each of its sides, at the highest. [nat]"""
    drop = jnp.max(grid.log_density) - grid.log_density
    return Box(drop[0].min(), drop[-1].min(), drop[:, 0].min(), drop[:, -1].min())


def cut_drop(fast: FastTarget, star: Star, grid: Grid) -> Float[Array, ""]:
    """Return how far the density is below its peak where the grid ends although prior and parallax go on. [nat]"""
    whole, ends, drops = whole_box(fast, star), grid_ends(grid), side_drops(grid)
    reach_mag = 1e-4
    at_end = Box(
        ends.modulus_low_mag <= whole.modulus_low_mag + reach_mag,
        ends.modulus_high_mag >= whole.modulus_high_mag - reach_mag,
        ends.ebv_low_mag <= whole.ebv_low_mag + reach_mag,
        ends.ebv_high_mag >= whole.ebv_high_mag - reach_mag,
    )
    sides = [jnp.where(there, jnp.inf, drop) for there, drop in zip(at_end, drops, strict=True)]
    return jnp.min(jnp.stack(sides))


def grid_ends(grid: Grid) -> Box:
    """Return the box of a grid."""
    return Box(grid.modulus_mag[0], grid.modulus_mag[-1], grid.ebv_mag[0], grid.ebv_mag[-1])


def next_box(fast: FastTarget, star: Star, grid: Grid) -> Box:
    """Return the box of a second look: what counts of a grid, and half as much again beyond a side that cuts it off."""
    whole, near, drops = whole_box(fast, star), bounding_box(grid), side_drops(grid)
    more_modulus = 0.5 * (near.modulus_high_mag - near.modulus_low_mag)
    more_ebv = 0.5 * (near.ebv_high_mag - near.ebv_low_mag)

    def out(drop: Array, by_mag: Array) -> Array:
        return jnp.where(drop < BOX_DROP - 2.0, by_mag, 0.0)

    return Box(
        jnp.maximum(near.modulus_low_mag - out(drops.modulus_low_mag, more_modulus), whole.modulus_low_mag),
        jnp.minimum(
            near.modulus_high_mag + out(drops.modulus_high_mag, more_modulus), whole.modulus_high_mag
        ),
        jnp.maximum(near.ebv_low_mag - out(drops.ebv_low_mag, more_ebv), whole.ebv_low_mag),
        jnp.minimum(near.ebv_high_mag + out(drops.ebv_high_mag, more_ebv), whole.ebv_high_mag),
    )


def posterior_grid(
    fast: FastTarget, star: Star, noise: Noise, nodes: tuple[int, int] = (MODULUS_NODES, EBV_NODES)
) -> Grid:
    """Evaluate the posterior on a coarse grid, then on a fine grid over the box that holds it.

    Parameters
    ----------
    nodes : of the fine grid, along the modulus and along E(B-V).
    """
    coarse = log_grid(
        fast, star, noise, *uniform_axes(whole_box(fast, star), COARSE_MODULUS_NODES, COARSE_EBV_NODES)
    )
    return log_grid(fast, star, noise, *uniform_axes(bounding_box(coarse), *nodes))


def interpolated_grid(grid: Grid, factor: int, floor_nat: float = INTERPOLATION_FLOOR) -> Grid:
    """Interpolate the log density by Catmull-Rom cubics onto ``factor`` times as many cells on each axis."""
    # A floor, or nodes without any density would throw the cubics beside them.
    floored = jnp.maximum(grid.log_density, jnp.max(grid.log_density) - floor_nat)
    n_modulus, n_ebv = grid.log_density.shape
    fine_modulus, fine_ebv = (n_modulus - 1) * factor + 1, (n_ebv - 1) * factor + 1
    along_modulus = jnp.asarray(cubic_matrix(n_modulus, fine_modulus))
    along_ebv = jnp.asarray(cubic_matrix(n_ebv, fine_ebv))
    log_density = along_modulus @ floored @ along_ebv.T
    return Grid(
        modulus_mag=jnp.linspace(grid.modulus_mag[0], grid.modulus_mag[-1], fine_modulus),
        ebv_mag=jnp.linspace(grid.ebv_mag[0], grid.ebv_mag[-1], fine_ebv),
        log_density=log_density,
        g_extinction_mag=along_ebv @ grid.g_extinction_mag,
        bp_rp_mag=along_ebv @ grid.bp_rp_mag,
    )


def defended(grid: Grid) -> Grid:
    """Add a uniform density `DEFENCE_DROP` below the peak, for draws where the grid may be far too low.

    It takes a hundredth of the draws of a normal posterior, and no weight can be more than it allows.
    """
    floor = jnp.max(grid.log_density) - DEFENCE_DROP
    return grid._replace(log_density=jnp.logaddexp(grid.log_density, floor))
