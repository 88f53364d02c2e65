"""The flow's triangular map one band at a time: what its own coordinate does to u_k, with those before it as they are.

Whoever draws or solves for the bands one after another needs no more than the blocks on the diagonal of the network for
the band in hand, and the rows of its block for the bands before it.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from redflower.flow.bnaf import MIN_SLOPE
from redflower.flow.conditional import PreparedFlow

#: What enters each layer of the network: the units of the bands so far, and zero in those of the bands to come.
Inputs = list[Float[Array, " _"]]


class Image(NamedTuple):
    """What one band's coordinate becomes.

    Attributes
    ----------
    u : the flow's normal coordinate of the band.
    slope : its derivative by the standardised coordinate.
    entering : what the band puts into its own units of every layer.
    """

    u: Float[Array, ""]
    slope: Float[Array, ""]
    entering: Inputs


class Bandwise(NamedTuple):
    """A flow at one condition, split into its bands.

    Attributes
    ----------
    rows : of every layer, each band's rows: (band, out, in of all bands).
    own : of every layer, the blocks on the diagonal: (band, out, in).
    biases : of every layer: (band, out); the first holds the condition.
    """

    rows: list[Float[Array, "band out inputs"]]
    own: list[Float[Array, "band out in"]]
    biases: list[Float[Array, "band out"]]

    def empty(self) -> Inputs:
        """Return the inputs before the first band."""
        return [jnp.zeros(r.shape[2]) for r in self.rows]

    def fixed(self, k: Int[Array, ""] | int, inputs: Inputs) -> Inputs:
        """Return what the bands before `k` put into the units of band `k`."""
        return [r[k] @ value + bias[k] for r, value, bias in zip(self.rows, inputs, self.biases, strict=True)]

    def image(self, k: Int[Array, ""] | int, fixed: Inputs, y: Float[Array, ""]) -> Image:
        """Map the standardised coordinate `y` of band `k`, given what is `fixed`."""
        value, slope, entering = y[None], jnp.ones(1), []
        for layer, constant in enumerate(fixed):
            entering.append(value)
            value, slope = self.own[layer][k] @ value + constant, self.own[layer][k] @ slope
            if layer < len(fixed) - 1:
                tanh = jnp.tanh(value)
                slope = slope * (1.0 + MIN_SLOPE - tanh * tanh)
                value = tanh + MIN_SLOPE * value
        return Image(u=value[0], slope=slope[0], entering=entering)

    def push(self, k: Int[Array, ""] | int, inputs: Inputs, image: Image) -> Inputs:
        """Return the inputs with band `k` in them."""
        return [
            jax.lax.dynamic_update_slice(value, new, (k * len(new),))
            for value, new in zip(inputs, image.entering, strict=True)
        ]

    def solve(
        self,
        k: Int[Array, ""] | int,
        fixed: Inputs,
        u: Float[Array, ""],
        bracket: tuple[Float[Array, ""], Float[Array, ""]],
        n_halvings: int,
    ) -> Float[Array, ""]:
        """Return the standardised coordinate of band `k` at which the map is `u`, by halving a bracket that holds it."""

        def halve(_: Int[Array, ""] | int, bracket: tuple[Array, Array]) -> tuple[Array, Array]:
            low, high = bracket
            middle = 0.5 * (low + high)
            below = self.image(k, fixed, middle).u < u
            return jnp.where(below, middle, low), jnp.where(below, high, middle)

        low, high = jax.lax.fori_loop(0, n_halvings, halve, bracket)
        return 0.5 * (low + high)


def bandwise(flow: PreparedFlow, condition: Float[Array, " cond"]) -> Bandwise:
    """Split a flow at one condition into its bands.

    Parameters
    ----------
    condition : (log10 R/pc, log10 Z/pc).
    """
    weights, n_bands = flow.weights, flow.n_bands
    places = jnp.arange(n_bands)
    rows = [m.reshape(n_bands, -1, m.shape[1]) for m in weights.matrices]
    own = [r.reshape(*r.shape[:2], n_bands, -1)[places, :, places] for r in rows]
    biases = [bias.reshape(n_bands, -1) for bias in weights.biases]
    of_condition = weights.condition @ flow.standardisation.condition(condition)
    biases[0] = biases[0] + of_condition.reshape(n_bands, -1)
    return Bandwise(rows=rows, own=own, biases=biases)
