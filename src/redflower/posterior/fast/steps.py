"""The fast engine: quadrature by the emulator, checked against the exact density, refined where the check says so.

Three steps, each for the stars that the one before could not settle:

1. a quadrature on a grid of fixed size, corrected and judged by a few exact importance weights;
2. many exact importance weights on a grid over the part that counts, round after round until they suffice, whose weighted
   draws then are the posterior;
3. the reference engine (`redflower.posterior.nuts.sampler`).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from redflower.bands import G
from redflower.errors import InputError, ModelError
from redflower.flow.emulator import Emulator, Noise, make_noise
from redflower.flow.model import Model
from redflower.posterior.fast.check import (
    Check,
    WeightedDraws,
    check_of,
    effective_number,
    log_node_weights,
    weighted_draws,
)
from redflower.posterior.fast.grid import FastTarget, Grid, interpolated_grid, posterior_grid, zoomed_grid
from redflower.posterior.fast.grid_summaries import (
    GridSummary,
    mass_beyond,
    node_masses,
    summarise_grid,
    trapezium,
)
from redflower.posterior.fast.tilt import Tilt, fit_tilt, tilted, widening
from redflower.posterior.log_density import Target
from redflower.posterior.status import BRIGHT_EDGE_MAG, EDGE_MAG
from redflower.star import Star

#: Stars that a CPU core works on at once: the layers of their networks then stay in its caches.
QUADRATURE_AT_ONCE: Final = 16
REFINED_AT_ONCE: Final = 4
#: Cells into which step 2 divides those of its grid, on each axis.
REFINED_CELLS: Final = 4


@dataclass(frozen=True)
class FastSettings:
    """How much the fast engine works, and when it is not satisfied.

    Attributes
    ----------
    check_nodes, check_draws_per_node : importance weights of every star; pairs, so an even number per node.
    refine_nodes, refine_draws_per_node : the same for a round of step 2, to which stars go that step 1 does not settle.
    refine_rounds : most rounds of step 2.
    min_check_ess : least effective number of the check's draws, as a share of them.
    max_shift : largest correction of the mean of E or of the distance modulus, in deviations.
    max_widening : largest correction of ln of their deviations.
    max_scatter : largest scatter of the nodes' log weights about the correction. [nat]
    max_resolution_shift : largest effect of leaving out every other node, in deviations.
    min_refine_ess, max_pareto_k : what the weights of the nodes of all rounds must reach together, or the star goes on to
        NUTS: effective number, and shape of the tail.
    min_round_ess : least effective number per round so far for which further rounds are tried.
    """

    check_nodes: int = 64
    check_draws_per_node: int = 4
    refine_nodes: int = 512
    refine_draws_per_node: int = 2
    refine_rounds: int = 48
    min_check_ess: float = 0.35
    max_shift: float = 0.6
    max_widening: float = 0.15
    max_scatter: float = 0.45
    max_resolution_shift: float = 0.25
    min_refine_ess: float = 300.0
    min_round_ess: float = 6.25
    max_pareto_k: float = 0.7

    @classmethod
    def first_step_only(cls) -> "FastSettings":
        """Settings with which every star that the first step can infer stays with it, to test or time that step alone."""
        return cls(
            min_check_ess=0.0,
            max_shift=np.inf,
            max_widening=np.inf,
            max_scatter=np.inf,
            max_resolution_shift=np.inf,
        )


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
    bp_rp_mag: Float[Array, "*star"]
    edge_share: Float[Array, "*star"]
    bright_share: Float[Array, "*star"]
    flow_chi2: Float[Array, "*star"]


def make_fast_target(model: Model, exact: Target) -> FastTarget:
    """The fast engine's target.

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


def noise_of(emulator: Emulator, stars: Star) -> Noise:
    """The filter of every star of a batch, on the host."""
    n = emulator.n_bands
    error_mag = np.asarray(stars.magnitude_error_mag, dtype=np.float64)[:, :n]
    return make_noise(emulator, error_mag, np.asarray(stars.observed)[:, :n])


def _describe(
    fast: FastTarget, star: Star, uncorrected: Grid, draws: WeightedDraws, n_per_node: int
) -> FastResult:
    exact = fast.exact
    check, tilt = check_of(draws), fit_tilt(uncorrected, draws, n_per_node)
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
        summary,
        check,
        tilt,
        widening(uncorrected, grid),
        draws.log_weight,
        grid,
        jnp.interp(summary.ebv_mean_mag, grid.ebv_mag, grid.bp_rp_mag),
        jnp.maximum(low, high),
        bright,
        jnp.median(draws.flow_chi2),
    )


def in_turn(
    one: Callable[..., Any], *of_stars: Any, at_once: int, n_wanted: Int[Array, ""] | None = None
) -> Any:
    """A function of one star over a batch, so many at once as the caches of a CPU core hold; all at once on a GPU.

    Of the groups after the first ``n_wanted`` stars, which are padding, a CPU computes nothing.
    """
    many = jax.vmap(one)
    if jax.default_backend() != "cpu":
        return many(*of_stars)
    if n_wanted is None:
        return jax.lax.map(lambda star: one(*star), of_stars, batch_size=at_once)
    groups = jax.tree.map(lambda a: a.reshape(-1, at_once, *a.shape[1:]), of_stars)
    empty = jax.tree.map(
        lambda a: jnp.zeros(a.shape, a.dtype), jax.eval_shape(many, *jax.tree.map(lambda a: a[0], groups))
    )

    def group(first: Array, stars: Any) -> Any:
        return jax.lax.cond(first < n_wanted, lambda s: many(*s), lambda _: empty, stars)

    n_groups = len(jax.tree.leaves(groups)[0])
    found = jax.lax.map(lambda g: group(*g), (at_once * jnp.arange(n_groups), groups))
    return jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:]), found)


@eqx.filter_jit
def quadrature_batch(
    fast: FastTarget, stars: Star, noise: Noise, keys: PRNGKeyArray, n_nodes: int, n_per_node: int
) -> FastResult:
    """Step 1 for a batch, with the draws of its check; compiled once per size of batch and number of draws."""

    def one(star: Star, noise: Noise, key: PRNGKeyArray) -> FastResult:
        grid = posterior_grid(fast, star, noise)
        draws = weighted_draws(fast, star, noise, grid, key, n_nodes=n_nodes, n_per_node=n_per_node)
        return _describe(fast, star, grid, draws, n_per_node)

    return in_turn(one, stars, noise, keys, at_once=QUADRATURE_AT_ONCE)


@eqx.filter_jit
def zoomed_batch(fast: FastTarget, stars: Star, noise: Noise, grids: Grid) -> Grid:
    """The grids of step 2 for a batch, from those of step 1; compiled like step 1."""
    return in_turn(
        lambda star, noise, grid: zoomed_grid(fast, star, noise, grid),
        stars, noise, grids, at_once=QUADRATURE_AT_ONCE,
    )  # fmt: skip


@eqx.filter_jit
def refined_batch(
    fast: FastTarget,
    stars: Star,
    noise: Noise,
    grids: Grid,
    keys: PRNGKeyArray,
    number: Int[Array, ""],
    n_wanted: Int[Array, ""],
    n_nodes: int,
    n_per_node: int,
) -> tuple[WeightedDraws, Float[Array, "star"]]:
    """A round of step 2 for the first stars of a batch: weighted draws from their grids, interpolated, and ln evidence."""

    def one(
        star: Star, noise: Noise, grid: Grid, key: PRNGKeyArray
    ) -> tuple[WeightedDraws, Float[Array, ""]]:
        fine = interpolated_grid(grid, REFINED_CELLS)
        key = jax.random.fold_in(key, number)
        draws = weighted_draws(
            fast, star, noise, fine, key, n_nodes=n_nodes, n_per_node=n_per_node, spread=True
        )
        return draws, node_masses(fine)[1] + check_of(draws).log_mean_weight

    return in_turn(one, stars, noise, grids, keys, at_once=REFINED_AT_ONCE, n_wanted=n_wanted)


class Refined:
    """The rounds of step 2 of some stars, put together.

    Parameters
    ----------
    n_stars : how many stars.
    n_per_node : draws of a node, side by side.
    """

    def __init__(self, n_stars: int, n_per_node: int) -> None:
        self._n_per_node = n_per_node
        self._draws: list[list[WeightedDraws]] = [[] for _ in range(n_stars)]
        self._log_evidence: list[list[float]] = [[] for _ in range(n_stars)]

    def add(self, star: int, draws: WeightedDraws, log_evidence: float) -> None:
        """A round of one star."""
        self._draws[star].append(draws)
        self._log_evidence[star].append(log_evidence)

    def effective(self, stars: np.ndarray) -> np.ndarray:
        """Effective number of nodes of stars with equally many rounds."""
        by_star = [np.concatenate([draws.log_weight for draws in self._draws[star]]) for star in stars]
        return effective_number(log_node_weights(np.stack(by_star), self._n_per_node))

    def draws(self, stars: np.ndarray) -> Any:
        """All draws of stars with equally many rounds, a row per star, on the host."""
        rows: list[Any] = [jax.tree.map(lambda *a: np.concatenate(a), *self._draws[star]) for star in stars]
        arrays: list[Any] = [np.stack(parts) for parts in zip(*rows, strict=True)]
        return WeightedDraws(*arrays)

    def log_evidence(self, stars: np.ndarray) -> np.ndarray:
        """ln of the mean evidence of the rounds, of stars with equally many."""
        rounds = np.array([self._log_evidence[i] for i in stars])
        return np.logaddexp.reduce(rounds, axis=1) - np.log(rounds.shape[1])

    def forget(self, stars: np.ndarray) -> None:
        """Free the draws of stars that are done."""
        for star in stars:
            self._draws[star] = []


def batches(rows: np.ndarray, size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Rows in batches: those of the batch, and the same padded to one size."""
    for start in range(0, len(rows), size):
        batch = rows[start : start + size]
        yield batch, np.resize(batch, size)


def take(stars: Any, rows: np.ndarray) -> Any:
    """Rows of a batch, on the device."""
    return jax.tree.map(lambda a: jnp.asarray(np.asarray(a)[rows]), stars)


def unsettled(result: FastResult, settings: FastSettings) -> np.ndarray:
    """Which stars of a batch the first step has not settled."""
    n_draws = settings.check_nodes * settings.check_draws_per_node
    bad = np.asarray(result.check.ess < settings.min_check_ess * n_draws)
    bad |= np.asarray(result.tilt.shift > settings.max_shift)
    bad |= np.asarray(result.widening > settings.max_widening)
    bad |= np.asarray(result.tilt.scatter > settings.max_scatter)
    bad |= np.asarray(result.summary.resolution_shift > settings.max_resolution_shift)
    return bad | ~np.isfinite(result.summary.ebv_mean_mag) | ~np.isfinite(result.check.ess)


def normalised_weights(draws: WeightedDraws) -> np.ndarray:
    """Weights that add up to one, a row per star."""
    log_weight = np.asarray(draws.log_weight, dtype=np.float64)
    weight = np.exp(log_weight - log_weight.max(axis=1, keepdims=True))
    return np.asarray(weight / weight.sum(axis=1, keepdims=True))


def weighted_summary(draws: WeightedDraws, levels: np.ndarray) -> dict[str, np.ndarray]:
    """Moments and quantiles of weighted draws, a row per star."""
    weight = normalised_weights(draws)
    ebv = np.asarray(draws.ebv_mag, dtype=np.float64)
    distance = 10.0 ** (1.0 + np.asarray(draws.modulus_mag, dtype=np.float64) / 5.0)
    out: dict[str, np.ndarray] = {}
    centred = {}
    for name, values in (("ebv", ebv), ("distance", distance)):
        mean = (weight * values).sum(axis=1)
        centred[name] = values - mean[:, None]
        out[f"{name}_mean"] = mean
        out[f"{name}_std"] = np.sqrt((weight * centred[name] ** 2).sum(axis=1))
        order = np.argsort(values, axis=1, kind="stable")
        sorted_values = np.take_along_axis(values, order, axis=1)
        cumulative = np.cumsum(np.take_along_axis(weight, order, axis=1), axis=1)
        cumulative -= 0.5 * np.take_along_axis(weight, order, axis=1)
        out[f"{name}_quantiles"] = np.stack(
            [np.interp(levels, c, v) for c, v in zip(cumulative, sorted_values, strict=True)]
        )
    covariance = (weight * centred["ebv"] * centred["distance"]).sum(axis=1)
    out["ebv_distance_corr"] = covariance / np.maximum(out["ebv_std"] * out["distance_std"], 1e-30)
    return out
