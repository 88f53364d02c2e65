"""Coordinates of a field's modes in which their posterior is nearly a standard normal one, whatever its numbers are."""

from typing import Any, Final, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from redflower.field.prior import Numbers, log_spectrum_at
from redflower.triangular import inverse_of_lower, lower_root, solve_upper

#: Wave numbers at which the coordinates are worked out; between them they are linear in the logarithm of the wave number.
_N_WAVES: Final = 24
#: Blocks into which the modes of a large grid are divided, at least; and the smallest block.
_N_BLOCKS: Final = 64
_BLOCK_MIN: Final = 32


class Waves(NamedTuple):
    """The modes of a grid and the wave numbers between which they lie.

    Attributes
    ----------
    wave_number : of every mode. [rad/deg]
    knot : wave numbers at which coordinates are worked out, rising. [rad/deg]
    of_block : the first of the two knots between which the modes of each block lie.
    members : modes of each block, filled up with one that is none.
    part : how far each of them is from the first knot to the second.
    place : of every mode among the members, block after block; the mode of wave number 0 comes after them all.
    """

    wave_number: Float[Array, "row column"]
    knot: Float[Array, " knot"]
    of_block: Int[Array, " block"]
    members: Int[Array, "block member"]
    part: Float[Array, "block member"]
    place: Int[Array, " mode"]


class Whitening(NamedTuple):
    """What makes independent standard normal modes from the coordinates that are sampled (ES14).

    Attributes
    ----------
    knots : the matrix at every knot. At a mode it is linear between knots; at wave number 0 it is 1.
    waves : the modes.
    """

    knots: Float[Array, "knot shell other"]
    waves: Waves


def waves_of(wave_number: Float[np.ndarray, "row column"]) -> Waves:
    """Return the modes of a grid with their places between knots."""
    q = wave_number.ravel()
    low, high = q[q > 0].min(), q.max() * (1.0 + 1e-6)
    knot = np.geomspace(low, high, _N_WAVES)
    place = np.log(np.maximum(q, low) / low) / np.log(high / low) * (_N_WAVES - 1)
    lower = np.where(q > 0, np.minimum(place.astype(int), _N_WAVES - 2), -1)
    size = max(_BLOCK_MIN, len(q) // _N_BLOCKS)
    rows: list[np.ndarray] = []
    of_block: list[int] = []
    for k in range(_N_WAVES - 1):
        own = np.flatnonzero(lower == k)
        blocks = [own[at : at + size] for at in range(0, len(own), size)]
        rows += blocks
        of_block += [k] * len(blocks)
    members = np.full((len(rows), size), len(q))
    for row, block in zip(members, rows, strict=True):
        row[: len(block)] = block
    where = np.full(len(q) + 1, members.size)
    where[members.ravel()] = np.arange(members.size)
    where[np.flatnonzero(lower < 0)] = members.size
    part = np.append(place, 0.0)[members] - np.array(of_block)[:, None]
    return Waves(
        jnp.asarray(wave_number, jnp.float32),
        jnp.asarray(knot, jnp.float32),
        jnp.asarray(of_block, jnp.int32),
        jnp.asarray(members, jnp.int32),
        jnp.asarray(np.where(members < len(q), part, 0.0), jnp.float32),
        jnp.asarray(where[:-1], jnp.int32),
    )


def whitening(numbers: Numbers, waves: Waves, told: Float[Array, "shell other"]) -> Whitening:
    """Return what makes independent standard normal modes from the coordinates that are sampled.

    Equation: ES14.

    Parameters
    ----------
    numbers : of the field.
    waves : its modes.
    told : what the stars say of a mode of the shells' log densities: the matrix of second derivatives at a reference.
    """
    deviation = jnp.exp(0.5 * log_spectrum_at(numbers, waves.knot, waves.wave_number))
    eye = jnp.eye(len(told))
    precision = eye + deviation.T[:, :, None] * told * deviation.T[:, None, :]  # ES14
    return Whitening(jnp.swapaxes(inverse_of_lower(lower_root(precision)), 1, 2), waves)


def whitened(
    white: Float[Array, "shell row column"], by: Whitening
) -> tuple[Float[Array, "shell row column"], Any]:
    """Return standard normal modes from the sampled ones, and the logarithm of the factor between volumes. Equation: ES14.

    In blocks of modes between the same knots, for a matrix of every mode's own would be most of the cost of a step.
    """
    waves, n = by.waves, len(white)
    flat = white.reshape(n, -1)
    none = jnp.zeros((n, 1))
    here = jnp.moveaxis(jnp.concatenate([flat, none], axis=1)[:, waves.members], 0, 1)
    part = waves.part[:, None, :]
    low, high = by.knots[waves.of_block], by.knots[waves.of_block + 1]
    found = low @ (here * (1.0 - part)) + high @ (here * part)
    # The mode of wave number 0 is as it was.
    found = jnp.concatenate([jnp.moveaxis(found, 1, 0).reshape(n, -1), flat[:, :1]], axis=1)
    factor = jnp.log(_between(by, jnp.diagonal(by.knots, axis1=1, axis2=2)))
    none = (waves.place == waves.members.size)[:, None]
    return found[:, waves.place].reshape(white.shape), jnp.where(none, 0.0, factor)


def _between(by: Whitening, at_knots: Float[Array, "knot *shape"]) -> Float[Array, "mode *shape"]:
    """Interpolate numbers of the knots to every mode; that of wave number 0 gets some that mean nothing."""
    waves = by.waves
    place = jnp.minimum(waves.place, waves.members.size - 1)
    block = place // waves.members.shape[1]
    part = waves.part.reshape(-1)[place].reshape(-1, *(1,) * (at_knots.ndim - 1))
    return at_knots[waves.of_block[block]] * (1.0 - part) + at_knots[waves.of_block[block] + 1] * part


def matrices(by: Whitening) -> Float[Array, "mode shell other"]:
    """Return the matrix of every mode."""
    none = (by.waves.place == by.waves.members.size)[:, None, None]
    return jnp.where(none, jnp.eye(by.knots.shape[1]), _between(by, by.knots))


def sampled(modes: Float[Array, "shell row column"], by: Whitening) -> Float[Array, "shell row column"]:
    """Return the coordinates that are sampled from independent standard normal modes: the inverse of `whitened`."""
    return solve_upper(matrices(by), modes.reshape(len(modes), -1).T).T.reshape(modes.shape)
