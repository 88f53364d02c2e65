"""The block neural autoregressive network as dense matrix products, with the Jacobian in linear space.

A block autoregressive network (De Cao et al. 2019) is a monotone triangular map: output k depends on inputs
1..k alone, and increases with input k. With the activation tanh(a) + 0.01 a, whose derivative never falls
below 0.01, the diagonal of the Jacobian is a product of positive matrices of moderate size. It is carried
along as one vector beside the values, in linear space, by the block-diagonal part of each weight matrix; the
logarithm is taken once, at the end.
"""

import math
from typing import ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from flowjax.bijections import AbstractBijection
from jaxtyping import Array, Float, PRNGKeyArray

#: Slope of the activation far from zero, as in flowjax; it bounds the Jacobian away from zero.
MIN_SLOPE = 0.01


class DenseWeights(NamedTuple):
    """Effective weights of a network: masks, positivity and normalisation already applied.

    Attributes
    ----------
    matrices : one (out, in) matrix per layer, block lower triangular.
    diagonals : the same matrices with all but their diagonal blocks set to zero.
    biases : one (out,) vector per layer.
    condition : (out of the first layer, condition) matrix.
    """

    matrices: tuple[Float[Array, "_ _"], ...]
    diagonals: tuple[Float[Array, "_ _"], ...]
    biases: tuple[Float[Array, " _"], ...]
    condition: Float[Array, "_ cond"]


def dense_forward(
    weights: DenseWeights, x: Float[Array, " dim"], condition: Float[Array, " cond"]
) -> tuple[Float[Array, " dim"], Float[Array, " dim"]]:
    """Evaluate the map u = f(x, condition) and the diagonal of its Jacobian, du_k/dx_k > 0.

    Equation: E7 (docs/explanation/model.md). Source: De Cao et al. (2019); O'Callaghan et al. (2025), eqs 7-8.
    """
    last = len(weights.matrices) - 1
    value, slope = x, jnp.ones_like(x)
    for layer, (matrix, diagonal, bias) in enumerate(
        zip(weights.matrices, weights.diagonals, weights.biases, strict=True)
    ):
        # Vector times matrix, not matrix times vector: over a batch, the gradient then needs no transposed copies.
        value = value @ matrix.T + bias  # E7
        slope = slope @ diagonal.T
        if layer == 0:
            value = value + condition @ weights.condition.T
        if layer < last:
            tanh = jnp.tanh(value)
            slope = slope * (1.0 + MIN_SLOPE - tanh * tanh)
            value = tanh + MIN_SLOPE * value
    return value, slope


def leading_weights(weights: DenseWeights, dim: int, n_leading: int) -> DenseWeights:
    """Return the weights of the network of the first `n_leading` of `dim` inputs alone: exact, and smaller."""

    def top(array: Array, axes: int) -> Array:
        return array[tuple(slice(n // dim * n_leading) for n in array.shape[:axes])]

    return DenseWeights(
        matrices=tuple(top(matrix, 2) for matrix in weights.matrices),
        diagonals=tuple(top(matrix, 2) for matrix in weights.diagonals),
        biases=tuple(top(bias, 1) for bias in weights.biases),
        condition=top(weights.condition, 1),
    )


def block_masks(dim: int, out_block: int, in_block: int) -> tuple[Array, Array]:
    """Return masks of the diagonal blocks, and of the blocks strictly below them."""
    rows = jnp.repeat(jnp.arange(dim), out_block)[:, None]
    columns = jnp.repeat(jnp.arange(dim), in_block)[None, :]
    return rows == columns, rows > columns


class BlockAutoregressiveNetwork(AbstractBijection):
    """Block neural autoregressive network, conditioned through its first layer.

    Weights on the diagonal blocks are made positive by softplus, and every row is scaled to a learnt norm, as in
    flowjax's network of the same name. `materialise` gives the effective weights once per batch.

    Parameters
    ----------
    key : random key of the initial weights.
    dim : number of coordinates.
    cond_dim : number of conditioning variables.
    depth : number of hidden layers.
    block_dim : hidden units per coordinate.
    """

    weights: tuple[Float[Array, "_ _"], ...]
    log_norms: tuple[Float[Array, " _"], ...]
    biases: tuple[Float[Array, " _"], ...]
    condition: Float[Array, "_ _"]
    dim: int = eqx.field(static=True)
    depth: int = eqx.field(static=True)
    block_dim: int = eqx.field(static=True)
    shape: tuple[int, ...] = eqx.field(static=True)
    cond_shape: tuple[int, ...] = eqx.field(static=True)
    inverse_message: ClassVar[str] = (
        "BlockAutoregressiveNetwork has no closed-form inverse; draw through "
        "ConditionalFlow.sample, which finds the roots band by band."
    )

    def __init__(self, key: PRNGKeyArray, *, dim: int, cond_dim: int, depth: int, block_dim: int):
        if min(dim, cond_dim, depth, block_dim) < 1:
            raise ValueError(
                "BlockAutoregressiveNetwork needs dim, cond_dim, depth and block_dim of at least 1; got "
                f"{dim=}, {cond_dim=}, {depth=}, {block_dim=}."
            )
        blocks = [1] + [block_dim] * depth + [1]
        weights, log_norms, biases = [], [], []
        for out_block, in_block in zip(blocks[1:], blocks[:-1], strict=True):
            key, weight_key, bias_key = jax.random.split(key, 3)
            bound = 1.0 / math.sqrt(dim * in_block)
            shape = (dim * out_block, dim * in_block)
            weights.append(jax.random.uniform(weight_key, shape, minval=-bound, maxval=bound))
            biases.append(jax.random.uniform(bias_key, shape[:1], minval=-bound, maxval=bound))
            log_norms.append(jnp.zeros(shape[0]))
        # The last hidden units lie between -1 and 1; with rows of this norm their sum covers the normal's bulk.
        log_norms[-1] = jnp.full(dim, math.log(4.0), jnp.float32)
        key, condition_key = jax.random.split(key)
        bound = 1.0 / math.sqrt(cond_dim)
        self.condition = jax.random.uniform(
            condition_key, (dim * block_dim, cond_dim), minval=-bound, maxval=bound
        )
        self.weights, self.log_norms, self.biases = tuple(weights), tuple(log_norms), tuple(biases)
        self.dim, self.depth, self.block_dim = dim, depth, block_dim
        self.shape, self.cond_shape = (dim,), (cond_dim,)

    def materialise(self) -> DenseWeights:
        """Compute the effective weights: positive on the diagonal blocks, zero above them, with rows of the learnt norm."""
        matrices, diagonals = [], []
        for weight, log_norm in zip(self.weights, self.log_norms, strict=True):
            diagonal_mask, below_mask = block_masks(
                self.dim, weight.shape[0] // self.dim, weight.shape[1] // self.dim
            )
            matrix = jnp.where(diagonal_mask, jax.nn.softplus(weight), jnp.where(below_mask, weight, 0.0))
            norm = jnp.sqrt(jnp.sum(matrix * matrix, axis=1, keepdims=True))
            matrix = matrix * (jnp.exp(log_norm)[:, None] / norm)
            matrices.append(matrix)
            diagonals.append(jnp.where(diagonal_mask, matrix, 0.0))
        return DenseWeights(
            matrices=tuple(matrices), diagonals=tuple(diagonals), biases=self.biases, condition=self.condition
        )

    def transform_and_log_det(self, x, condition=None):
        value, slope = dense_forward(self.materialise(), x, condition)
        return value, jnp.sum(jnp.log(slope))

    def inverse_and_log_det(self, y, condition=None):
        raise NotImplementedError(self.inverse_message)
