"""The fast engine on any number of stars: each step stores the stars that it settles and passes the rest on."""

from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, Int

from redflower.flow.emulator import Noise
from redflower.posterior.batches import batches, counted, take
from redflower.posterior.density import density_of_grid
from redflower.posterior.fast.grid import FastTarget, Grid
from redflower.posterior.fast.rows import columns_of_grid
from redflower.posterior.fast.steps import (
    REFINED_AT_ONCE,
    FastResult,
    noise_inputs,
    quadrature_batch,
    refined_batch,
    second_look_batch,
    unsettled,
)
from redflower.posterior.fast.tilt import Tilt
from redflower.posterior.results import Request, Results
from redflower.posterior.status import FAST
from redflower.random_streams import Stream
from redflower.star import Star


class Unsettled(NamedTuple):
    """Stars that a look has not settled, and their grids and corrections on the host; None where there are no stars."""

    rows: Int[np.ndarray, " row"]
    grids: Grid | None
    tilts: Tilt | None


def read_ahead(request: Request, fast: FastTarget, *, or_make: bool) -> None:
    """Start to compile the programs of the fast engine side by side; each is waited for when it is wanted.

    Those that are not kept yet are made, if this is asked for: one is traced while others compile.
    """

    def many(tree: Any, size: int) -> Any:
        return jax.tree.map(lambda a: jax.ShapeDtypeStruct((size, *a.shape[1:]), a.dtype), tree)

    settings, size = request.settings.fast, request.settings.fast_batch_size
    part, noise = star_inputs(request, fast, np.zeros(1, dtype=int))
    keys = many(request.keys(np.zeros(size, dtype=int), Stream.CHECK_OF_STARS), size)
    stars = many((part, noise), size)
    first = quadrature_batch.read_ahead(
        fast,
        *stars,
        keys,
        keys,
        counted(0),
        settings.check_nodes,
        settings.check_draws_per_node,
        or_make=or_make,
    )
    if first is None:
        return
    second = second_look_batch.read_ahead(
        fast,
        *stars,
        first[0].grid,
        first[0].tilt,
        keys,
        counted(0),
        settings.second_nodes,
        settings.second_draws_per_node,
        or_make=or_make,
    )
    if second is None:
        return
    few = rounds_size(size)
    refined_batch.read_ahead(
        fast, *many(stars, few), many(second.grid, few), many(keys, few), counted(0), counted(0), settings.refine_nodes,
        settings.refine_draws_per_node, or_make=or_make,
    )  # fmt: skip


def rounds_size(size: int) -> int:
    """Return how many stars a round of step 2 takes at a time, of the size of a batch."""
    return REFINED_AT_ONCE * max(1, size // (8 * REFINED_AT_ONCE))


def quadrature(request: Request, fast: FastTarget, rows: np.ndarray, results: Results) -> Unsettled:
    """Run step 1 of the fast engine on some rows: one look at all, a second at those that the first does not settle."""
    return second_look(request, fast, first_look(request, fast, rows, results), results)


def first_look(request: Request, fast: FastTarget, rows: np.ndarray, results: Results) -> Unsettled:
    """Look at all stars with few weights, and store those that these settle."""
    numbers = request.settings.fast.check_nodes, request.settings.fast.check_draws_per_node
    left = _Left()
    for batch, padded in batches(rows, request.settings.fast_batch_size):
        part, noise = star_inputs(request, fast, padded)
        found, fit = quadrature_batch(
            fast,
            part,
            noise,
            request.keys(padded, Stream.CHECK_OF_STARS),
            request.keys(padded, Stream.FIT_OF_STARS),
            counted(len(batch)),
            *numbers,
        )
        result: FastResult = jax.tree.map(np.asarray, found)
        results.store_fit(batch, jax.tree.map(np.asarray, fit))
        bad = unsettled(result, request.settings.fast, *numbers)[: len(batch)]
        _store(request, part, result, batch, padded, ~bad, results)
        left.add(batch, result, bad)
    return left.together()


def second_look(request: Request, fast: FastTarget, first: Unsettled, results: Results) -> Unsettled:
    """Look at stars again with a finer grid and more weights, from what the first look says, and store those that are settled."""
    numbers = request.settings.fast.second_nodes, request.settings.fast.second_draws_per_node
    left = _Left()
    for batch, padded in batches(np.arange(len(first.rows)), request.settings.fast_batch_size):
        rows = first.rows[padded]
        part, noise = star_inputs(request, fast, rows)
        found = second_look_batch(
            fast,
            part,
            noise,
            take(first.grids, padded),
            take(first.tilts, padded),
            request.keys(rows, Stream.SECOND_LOOK_AT_STARS),
            counted(len(batch)),
            *numbers,
        )
        result: FastResult = jax.tree.map(np.asarray, found)
        bad = unsettled(result, request.settings.fast, *numbers)[: len(batch)]
        _store(request, part, result, first.rows[batch], rows, ~bad, results)
        left.add(first.rows[batch], result, bad)
    return left.together()


def star_inputs(request: Request, fast: FastTarget, rows: np.ndarray) -> tuple[Star, Noise]:
    """Return some stars and their noise filters, on the device."""
    part = request.part(rows)
    return part, jax.device_put(noise_inputs(fast.emulator, part))


class _Left:
    """Collect what a look leaves over, batch after batch."""

    def __init__(self) -> None:
        self._rows: list[np.ndarray] = []
        self._grids: list[Any] = []
        self._tilts: list[Any] = []

    def add(self, batch: np.ndarray, result: FastResult, bad: Bool[np.ndarray, " row"]) -> None:
        """Add the stars of a batch that are marked."""
        which = np.flatnonzero(bad)
        self._rows.append(batch[which])
        self._grids.append(jax.tree.map(lambda a: a[which], result.grid))
        self._tilts.append(jax.tree.map(lambda a: a[which], result.tilt))

    def together(self) -> Unsettled:
        """Return all of them."""
        if not self._rows:
            return Unsettled(np.zeros(0, dtype=int), None, None)

        def joined(parts: list[Any]) -> Any:
            return jax.tree.map(lambda *a: np.concatenate(a), *parts)

        return Unsettled(np.concatenate(self._rows), joined(self._grids), joined(self._tilts))


def _store(
    request: Request,
    part: Star,
    result: FastResult,
    batch: np.ndarray,
    padded: np.ndarray,
    settled: Bool[np.ndarray, " row"],
    results: Results,
) -> None:
    """Store the stars of a batch that a look has settled."""
    good = np.flatnonzero(settled)
    values = columns_of_grid(request, part, result, padded)
    results.store(batch[good], {name: v[good] for name, v in values.items()}, FAST)
    if request.settings.density:
        results.store_columns(batch[good], density_of_grid(result.grid, good))
    results.done(FAST, len(batch), len(good))
