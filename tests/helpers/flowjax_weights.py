"""The weights of flowjax's own network in redflower's form."""

import jax.numpy as jnp
from paramax import unwrap

from redflower.flow.bnaf import DenseWeights, block_masks


def weights_from_flowjax(network) -> DenseWeights:
    """Return the effective weights of flowjax's `BlockAutoregressiveNetwork`, for comparison in tests and benchmarks.

    Parameters
    ----------
    network : a conditional `flowjax.bijections.BlockAutoregressiveNetwork` with flowjax's default activation.
    """
    plain = unwrap(network)
    linears = [linear for linear, _ in plain.layers]
    dim = network.shape[0]
    matrices = tuple(linear.weight for linear in linears)
    diagonals = tuple(
        jnp.where(block_masks(dim, m.shape[0] // dim, m.shape[1] // dim)[0], m, 0.0) for m in matrices
    )
    return DenseWeights(
        matrices=matrices,
        diagonals=diagonals,
        biases=tuple(li.bias for li in linears),
        condition=plain.cond_linear.weight,
    )
