"""The emulator's networks, and which of their inputs each output may see."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, Shaped


class Network(eqx.Module):
    """A residual multilayer perceptron whose weights are multiplied by fixed masks."""

    weights: tuple[Float[Array, "_ _"], ...]
    biases: tuple[Float[Array, " _"], ...]

    def __call__(
        self, features: Float[Array, "feature *node"], masks: tuple[np.ndarray, ...] | None
    ) -> Float[Array, "out *node"]:
        def layer(i: int, values: Array) -> Array:
            weight = self.weights[i] if masks is None else self.weights[i] * masks[i]
            return weight @ values + column_for(self.biases[i], values)

        last = len(self.weights) - 1
        hidden = layer(0, features)
        for i in range(1, last):
            hidden = hidden + layer(i, jax.nn.silu(hidden))
        return layer(last, jax.nn.silu(hidden))


class EmulatorStructure(NamedTuple):
    """Sizes of the networks: hidden units and layers of the density and of the denoiser, components of a mixture."""

    hidden: int = 96
    layers: int = 3
    components: int = 4
    denoiser_hidden: int = 128
    denoiser_layers: int = 3


def column_for(
    values: Shaped[Array | np.ndarray, " row"], like: Shaped[Array, "_ *node"]
) -> Shaped[Array, "row *one"]:
    """Give a vector as many axes as another array, so that it broadcasts over all nodes."""
    return jnp.asarray(values).reshape(-1, *[1] * (like.ndim - 1))


def density_masks(n_bands: int, structure: EmulatorStructure) -> tuple[np.ndarray, ...]:
    """Make masks that let the factor of a band see only the bands before it (Germain et al. 2015)."""
    bands = np.arange(1, n_bands + 1)
    feature = np.concatenate([bands, bands[1:], bands, bands, np.zeros(3)])
    hidden = np.sort(1 + np.arange(structure.hidden) % (n_bands - 1))
    out = np.tile(bands[1:], 3 * structure.components)
    first = hidden[:, None] >= feature[None, :]
    middle = hidden[:, None] >= hidden[None, :]
    last = out[:, None] > hidden[None, :]
    return tuple(m.astype(np.float32) for m in (first, *[middle] * (structure.layers - 1), last))


def initial_networks(
    key: PRNGKeyArray, n_bands: int, structure: EmulatorStructure
) -> tuple[Network, Network]:
    """Make untrained networks of the density and of the denoiser."""
    masks = density_masks(n_bands, structure)
    density_key, denoiser_key = jax.random.split(key)
    n_out, width = n_bands * (n_bands - 1) // 2 + 2 * n_bands, structure.denoiser_hidden
    inner = [(width, width)] * (structure.denoiser_layers - 1)
    shapes = [(width, masks[0].shape[1]), *inner, (n_out, width)]

    def network(key: PRNGKeyArray, masks: list[np.ndarray]) -> Network:
        weights = []
        for i, (layer_key, mask) in enumerate(zip(jax.random.split(key, len(masks)), masks, strict=True)):
            scale = 0.1 if i == len(masks) - 1 else 1.0
            fan_in = np.maximum(mask.sum(axis=1, keepdims=True), 1.0)
            weights.append(scale * jax.random.normal(layer_key, mask.shape) * mask * np.sqrt(1.5 / fan_in))
        return Network(tuple(weights), tuple(jnp.zeros(len(w)) for w in weights))

    density = network(density_key, list(masks))
    denoiser = network(denoiser_key, [np.ones(shape, np.float32) for shape in shapes])
    bias = np.zeros((3, structure.components, n_bands - 1), np.float32)
    bias[0] = np.linspace(-1.0, 1.0, structure.components)[:, None]
    bias[1] = -0.5
    return eqx.tree_at(lambda n: n.biases[-1], density, jnp.asarray(bias.ravel())), denoiser
