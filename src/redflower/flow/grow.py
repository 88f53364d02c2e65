"""A flow of more bands made from one of fewer, whose density of the first bands stays what it is."""

from collections.abc import Callable

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from redflower.flow.bnaf import BlockAutoregressiveNetwork
from redflower.flow.conditional import ConditionalFlow
from redflower.flow.standardise import Standardisation


def grown_flow(flow: ConditionalFlow, fitted: Standardisation, key: PRNGKeyArray) -> ConditionalFlow:
    """Return a flow of more bands that begins as another: the density of its first bands is the same function.

    The map is triangular, so that the rows of the network and of the standardisation that belong to the first bands do not know
    of those behind them. Rows of further bands are random, as those of a new flow.

    Equation: E8 (docs/explanation/model.md).

    Parameters
    ----------
    flow : of the first bands.
    fitted : standardisation of all bands, fitted to the sample. Its rows of the further bands are used.
    key : random key of the new rows.
    """
    old = flow.network
    n_bands = len(fitted.x_mean)
    grown = BlockAutoregressiveNetwork(
        key, dim=n_bands, cond_dim=old.cond_shape[0], depth=old.depth, block_dim=old.block_dim
    )

    def leaves(of: Callable[[BlockAutoregressiveNetwork], tuple[Array, ...]]) -> tuple[Array, ...]:
        return tuple(_put(new, kept) for new, kept in zip(of(grown), of(old), strict=True))

    grown = eqx.tree_at(
        lambda network: (network.weights, network.log_norms, network.biases, network.condition),
        grown,
        (
            leaves(lambda network: network.weights),
            leaves(lambda network: network.log_norms),
            leaves(lambda network: network.biases),
            _put(grown.condition, old.condition),
        ),
    )
    return ConditionalFlow(grown, _grown_standardisation(flow.standardisation, fitted))


def _put(new: Array, kept: Array) -> Array:
    """Return an array with another in its first rows and columns."""
    return new.at[tuple(slice(n) for n in kept.shape)].set(kept)


def _grown_standardisation(old: Standardisation, fitted: Standardisation) -> Standardisation:
    """Return the old rows with the fitted rows of the further bands, about the old means."""
    k = len(old.x_mean)
    lower = np.array(fitted.x_inverse_cholesky, dtype=np.float64)
    lower[:k, :k], lower[:k, k:] = np.asarray(old.x_inverse_cholesky), 0.0
    mean = np.array(fitted.x_mean, dtype=np.float64)
    # What a row subtracts in all must stay what was fitted, although the means of the first bands are others.
    subtracted = np.asarray(fitted.x_inverse_cholesky, np.float64) @ mean
    mean[:k] = np.asarray(old.x_mean)
    for row in range(k, len(mean)):
        mean[row] = (subtracted[row] - lower[row, :row] @ mean[:row]) / lower[row, row]
    return Standardisation(
        x_mean=jnp.asarray(mean, dtype=jnp.float32),
        x_inverse_cholesky=jnp.asarray(lower, dtype=jnp.float32),
        condition_mean=old.condition_mean,
        condition_std=old.condition_std,
    )
