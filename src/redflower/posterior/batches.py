"""Batches of one size, so that few programs are compiled, and functions of one star over a batch."""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int


def map_stars(
    one: Callable[..., Any], *of_stars: Any, at_once: int, n_wanted: Int[Array, ""] | None = None
) -> Any:
    """Map a single-star function over a batch: in groups that fit a CPU core's cache, or all at once on a GPU.

    A CPU skips the groups after the first ``n_wanted`` stars, which are padding.
    """
    many = jax.vmap(one)
    if jax.default_backend() != "cpu":
        return many(*of_stars)
    if n_wanted is None:
        return jax.lax.map(lambda star: one(*star), of_stars, batch_size=at_once)
    n_stars = len(jax.tree.leaves(of_stars)[0])
    at_once = max(n for n in range(1, at_once + 1) if n_stars % n == 0)
    groups = jax.tree.map(lambda a: a.reshape(-1, at_once, *a.shape[1:]), of_stars)
    empty = jax.tree.map(
        lambda a: jnp.zeros(a.shape, a.dtype), jax.eval_shape(many, *jax.tree.map(lambda a: a[0], groups))
    )

    def group(first: Array, stars: Any) -> Any:
        return jax.lax.cond(first < n_wanted, lambda s: many(*s), lambda _: empty, stars)

    n_groups = len(jax.tree.leaves(groups)[0])
    found = jax.lax.map(lambda g: group(*g), (at_once * jnp.arange(n_groups), groups))
    return jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:]), found)


def batches(rows: np.ndarray, size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield rows in batches: those of the batch, and the same padded to one size."""
    for start in range(0, len(rows), size):
        batch = rows[start : start + size]
        yield batch, np.resize(batch, size)


def take(stars: Any, rows: np.ndarray) -> Any:
    """Return some rows of a batch, on the device."""
    return jax.device_put(jax.tree.map(lambda a: np.asarray(a)[rows], stars))


def counted(n: int) -> Int[Array, ""]:
    """Return a number as a program takes it, on the device."""
    # Not jnp.asarray: it compiles a program for every shape and type that it is given.
    return jax.device_put(np.int32(n))
