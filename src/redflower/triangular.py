"""Small matrices by loops over their rows, many of them at once, and with gradients.

Compiled programs call no LAPACK: two that do so at once on one CPU wait for each other for ever (jax 0.10.2; decision 0004).
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

_Count = Int[Array, ""] | int


def lower_root(matrix: Float[Array, "*batch n n"], least: float = 0.0) -> Float[Array, "*batch n n"]:
    """Return the lower triangular root (Cholesky's) of symmetric matrices.

    Parameters
    ----------
    matrix : positive definite ones; of others the root of a matrix nearby.
    least : to which each pivot is raised.
    """
    n = matrix.shape[-1]
    places = jnp.arange(n)

    def column(k: _Count, state: tuple[Array, Array]) -> tuple[Array, Array]:
        rest, lower = state
        pivot = jnp.sqrt(jnp.maximum(rest[..., k, k], least))[..., None]
        found = jnp.where(places > k, rest[..., :, k] / pivot, jnp.where(places == k, pivot, 0.0))
        return rest - found[..., :, None] * found[..., None, :], lower.at[..., :, k].set(found)

    return jax.lax.fori_loop(0, n, column, (matrix, jnp.zeros_like(matrix)))[1]


def inverse_of_lower(lower: Float[Array, "*batch n n"]) -> Float[Array, "*batch n n"]:
    """Return the inverses of lower triangular matrices."""
    n = lower.shape[-1]
    one = jnp.eye(n, dtype=lower.dtype)

    def row(k: _Count, rows: Array) -> Array:
        """Add row k: those from k on are still zero."""
        before = jnp.sum(lower[..., k, :, None] * rows, axis=-2)
        return rows.at[..., k, :].set((one[k] - before) / lower[..., k, k, None])

    return jax.lax.fori_loop(0, n, row, jnp.zeros_like(lower))


def solve_lower(
    lower: Float[Array, "*batch n n"], values: Float[Array, "*batch n"]
) -> Float[Array, "*batch n"]:
    """Solve lower x = values."""

    def entry(k: _Count, found: Array) -> Array:
        """Add entry k: those from k on are still zero."""
        before = jnp.sum(lower[..., k, :] * found, axis=-1)
        return found.at[..., k].set((values[..., k] - before) / lower[..., k, k])

    return jax.lax.fori_loop(0, values.shape[-1], entry, jnp.zeros_like(values))


def solve_upper(
    upper: Float[Array, "*batch n n"], values: Float[Array, "*batch n"]
) -> Float[Array, "*batch n"]:
    """Solve upper x = values, upper triangular."""
    return solve_lower(upper[..., ::-1, ::-1], values[..., ::-1])[..., ::-1]
