"""The fast engine: quadrature by the emulator, checked against the exact density, refined where the check says so.

Three steps, each for the stars that the one before could not settle:

1. a quadrature on a grid of fixed size, corrected and judged by a few exact importance weights; where they do not settle it, a
   second look with a finer grid and more of them;
2. many exact importance weights on a grid over the part that counts, round after round until they suffice, whose weighted
   draws then are the posterior;
3. the reference engine (`redflower.posterior.nuts.sampler`).
"""

from typing import Final, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key, PRNGKeyArray

from redflower.bands import G
from redflower.errors import InputError, ModelError
from redflower.flow.emulator import Emulator, Noise, make_noise
from redflower.flow.model import Model
from redflower.posterior.batches import map_stars
from redflower.posterior.fast.check import Check, WeightedDraws, make_check, weighted_draws
from redflower.posterior.fast.fit import Fit, star_fit
from redflower.posterior.fast.grid import (
    FINER_EBV_NODES,
    FINER_MODULUS_NODES,
    FastTarget,
    Grid,
    cut_drop,
    defended,
    interpolated_grid,
    log_grid,
    next_box,
    posterior_grid,
    uniform_axes,
)
from redflower.posterior.fast.grid_summaries import (
    GridSummary,
    mass_beyond,
    node_masses,
    summarise_grid,
    trapezium,
)
from redflower.posterior.fast.tilt import Tilt, fit_tilt, tilted, widening
from redflower.posterior.log_density import Target
from redflower.posterior.settings import FastSettings
from redflower.posterior.status import BRIGHT_EDGE_MAG, EDGE_MAG
from redflower.programs import kept_program
from redflower.star import Star

#: Stars that a CPU core works on at once: the layers of their networks then stay in its caches. A vector register holds eight
#: numbers, so that every place in a group is worked out alike, to the last bit (tests/scale/test_stream.py).
QUADRATURE_AT_ONCE: Final = 8
REFINED_AT_ONCE: Final = 1
#: Cells into which step 2 divides those of its grid, on each axis.
REFINED_CELLS: Final = 4


class FastResult(NamedTuple):
    """What step 1 found of one star.

    Attributes
    ----------
    summary : moments and quantiles.
    check : effective number and mean of the importance weights.
    tilt : the correction of the grid that they gave.
    widening : what it did to the deviations, see `redflower.posterior.fast.tilt.widening`.
    log_weight : the weights themselves, for the shape of their tail.
    grid : the joint density.
    cut_drop : how far the density is below its peak where the grid ends although prior and parallax go on. [nat]
    bp_rp_mag : intrinsic colour at the mean of E. [mag]
    edge_share : posterior share within `EDGE_MAG` of the nearer end of the reddening prior.
    bright_share : posterior share within `BRIGHT_EDGE_MAG` of the sample's bright limit.
    flow_chi2 : median squared length in the flow's normal coordinates.
    """

    summary: GridSummary
    check: Check
    tilt: Tilt
    widening: Float[Array, "*star"]
    log_weight: Float[Array, "*star draw"]
    grid: Grid
    cut_drop: Float[Array, "*star"]
    bp_rp_mag: Float[Array, "*star"]
    edge_share: Float[Array, "*star"]
    bright_share: Float[Array, "*star"]
    flow_chi2: Float[Array, "*star"]


def make_fast_target(model: Model, exact: Target) -> FastTarget:
    """Make the fast engine's target.

    Raises
    ------
    ModelError : the model has no emulator.
    InputError : the reddening prior is wider than the emulator's range.
    """
    emulator = model.emulator
    if emulator is None:
        raise ModelError(
            f"infer: model {model.name!r} has no emulator, which the fast engine needs. Use the engine nuts, or "
            "train the model with this version of redflower."
        )
    low, high = float(emulator.ebv_low_mag), float(emulator.ebv_high_mag)
    if exact.ebv_min_mag < low - 1e-6 or exact.ebv_max_mag > high + 1e-6:
        raise InputError(
            f"infer: the reddening prior [{exact.ebv_min_mag:g}, {exact.ebv_max_mag:g}] mag is wider than what the "
            f"emulator of model {model.name!r} covers, [{low:g}, {high:g}] mag. Narrow the prior, or use the engine "
            "nuts."
        )
    return FastTarget(exact, emulator.with_masks_applied())


def noise_inputs(emulator: Emulator, stars: Star) -> Noise:
    """Compute the noise filter of every star of a batch, on the host."""
    n = emulator.n_bands
    error_mag = np.asarray(stars.magnitude_error_mag, dtype=np.float64)[:, :n]
    whitener = stars.error_whitener
    leading = None if whitener is None else np.asarray(whitener, dtype=np.float64)[:, :n, :n]
    return make_noise(emulator, error_mag, np.asarray(stars.observed)[:, :n], leading)


def _describe(
    fast: FastTarget, star: Star, uncorrected: Grid, draws: WeightedDraws, n_per_node: int
) -> FastResult:
    exact = fast.exact
    check, tilt = make_check(draws), fit_tilt(uncorrected, draws, n_per_node)
    log_evidence = node_masses(uncorrected)[1] + check.log_mean_weight
    grid = tilted(uncorrected, tilt)
    summary = summarise_grid(grid)._replace(log_evidence=log_evidence)
    of_ebv = node_masses(grid)[0].sum(axis=0)
    density = of_ebv / trapezium(len(of_ebv))
    low = 1.0 - mass_beyond(grid.ebv_mag, density, jnp.asarray(exact.ebv_min_mag + EDGE_MAG))
    high = mass_beyond(grid.ebv_mag, density, jnp.asarray(exact.ebv_max_mag - EDGE_MAG))
    unreddened_g = star.magnitude_mag[G] - grid.g_extinction_mag
    bright = jnp.sum(jnp.where(unreddened_g < exact.g_bright_mag + BRIGHT_EDGE_MAG, of_ebv, 0.0))
    return FastResult(
        summary=summary,
        check=check,
        tilt=tilt,
        widening=widening(uncorrected, grid),
        log_weight=draws.log_weight,
        grid=grid,
        cut_drop=cut_drop(fast, star, grid),
        bp_rp_mag=jnp.interp(summary.ebv_mean_mag, grid.ebv_mag, grid.bp_rp_mag),
        edge_share=jnp.maximum(low, high),
        bright_share=bright,
        flow_chi2=jnp.median(draws.flow_chi2),
    )


@kept_program
def quadrature_batch(
    fast: FastTarget,
    stars: Star,
    noise: Noise,
    keys: Key[Array, " star"],
    fit_keys: Key[Array, " star"],
    n_wanted: Int[Array, ""],
    n_nodes: int,
    n_per_node: int,
) -> tuple[FastResult, Fit]:
    """Run step 1 for the first stars of a batch, with the draws of its check; compiled per size of batch and number of draws."""

    def one(star: Star, noise: Noise, key: PRNGKeyArray, fit_key: PRNGKeyArray) -> tuple[FastResult, Fit]:
        grid = posterior_grid(fast, star, noise)
        draws = weighted_draws(fast, star, noise, grid, key, n_nodes=n_nodes, n_per_node=n_per_node)
        return _describe(fast, star, grid, draws, n_per_node), star_fit(fast, star, noise, grid, fit_key)

    return map_stars(one, stars, noise, keys, fit_keys, at_once=QUADRATURE_AT_ONCE, n_wanted=n_wanted)


@kept_program
def second_look_batch(
    fast: FastTarget,
    stars: Star,
    noise: Noise,
    grids: Grid,
    tilts: Tilt,
    keys: Key[Array, " star"],
    n_wanted: Int[Array, ""],
    n_nodes: int,
    n_per_node: int,
) -> FastResult:
    """Look again at the first stars of a batch: a finer grid over what the corrected one says, and fresh weights against it."""

    def one(star: Star, noise: Noise, grid: Grid, tilt: Tilt, key: PRNGKeyArray) -> FastResult:
        axes = uniform_axes(next_box(fast, star, grid), FINER_MODULUS_NODES, FINER_EBV_NODES)
        again = tilted(log_grid(fast, star, noise, *axes), tilt)
        draws = weighted_draws(fast, star, noise, again, key, n_nodes=n_nodes, n_per_node=n_per_node)
        return _describe(fast, star, again, draws, n_per_node)

    return map_stars(one, stars, noise, grids, tilts, keys, at_once=QUADRATURE_AT_ONCE, n_wanted=n_wanted)


@kept_program
def refined_batch(
    fast: FastTarget,
    stars: Star,
    noise: Noise,
    grids: Grid,
    keys: Key[Array, " key"],
    number: Int[Array, ""],
    n_wanted: Int[Array, ""],
    n_nodes: int,
    n_per_node: int,
) -> tuple[WeightedDraws, Float[Array, " star"]]:
    """Run a round of step 2 for the first stars of a batch: weighted draws from their interpolated grids, and ln evidence."""

    def one(
        star: Star, noise: Noise, grid: Grid, key: PRNGKeyArray
    ) -> tuple[WeightedDraws, Float[Array, ""]]:
        fine = defended(interpolated_grid(grid, REFINED_CELLS))
        key = jax.random.fold_in(key, number)
        draws = weighted_draws(
            fast, star, noise, fine, key, n_nodes=n_nodes, n_per_node=n_per_node, spread=True
        )
        return draws, node_masses(fine)[1] + make_check(draws).log_mean_weight

    return map_stars(one, stars, noise, grids, keys, at_once=REFINED_AT_ONCE, n_wanted=n_wanted)


def unsettled(result: FastResult, settings: FastSettings, n_nodes: int, n_per_node: int) -> np.ndarray:
    """Tell which stars of a batch the weights of a look have not settled."""
    bad = np.asarray(result.check.ess < settings.min_check_ess * n_nodes * n_per_node)
    bad |= np.asarray(result.tilt.shift > settings.max_shift)
    bad |= np.asarray(result.widening > settings.max_widening)
    bad |= np.asarray(result.tilt.scatter > settings.max_error * np.sqrt(n_nodes))
    bad |= np.asarray(result.summary.resolution_shift > settings.max_resolution_shift)
    bad |= np.asarray(result.cut_drop < settings.min_cut_drop)
    return bad | ~np.isfinite(result.summary.ebv_mean_mag) | ~np.isfinite(result.check.ess)
