"""Coordinates of a field's modes in which their posterior is nearly a standard normal one, whatever its numbers are."""

from typing import Any, Final, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Float

from redflower.field.prior import Numbers, log_spectrum_at, shell_mixing

#: Wave numbers at which the coordinates are worked out; between them they are linear in the logarithm of the wave number.
_N_WAVES: Final = 24


class Waves(NamedTuple):
    """The modes of a grid and the wave numbers between which they lie.

    Attributes
    ----------
    wave_number : of every mode. [rad/deg]
    knot : wave numbers at which coordinates are worked out, rising. [rad/deg]
    share : of every knot in the coordinates of every mode; the mode of wave number 0 has none.
    """

    wave_number: Float[Array, "row column"]
    knot: Float[Array, " knot"]
    share: Float[Array, "mode knot"]


def waves_of(wave_number: Float[np.ndarray, "row column"]) -> Waves:
    """Return the modes of a grid with their places between knots."""
    q = wave_number.ravel()
    low, high = q[q > 0].min(), q.max() * (1.0 + 1e-6)
    knot = np.geomspace(low, high, _N_WAVES)
    place = np.log(np.maximum(q, low) / low) / np.log(high / low) * (_N_WAVES - 1)
    lower = np.minimum(place.astype(int), _N_WAVES - 2)
    share = np.zeros((len(q), _N_WAVES), np.float32)
    rows = np.arange(len(q))
    share[rows, lower] = 1.0 - (place - lower)
    share[rows, lower + 1] += place - lower
    share[q <= 0] = 0.0
    return Waves(jnp.asarray(wave_number, jnp.float32), jnp.asarray(knot, jnp.float32), jnp.asarray(share))


def whitening(
    numbers: Numbers, waves: Waves, told: Float[Array, "shell other"]
) -> Float[Array, "mode shell other"]:
    """Return the matrix of every mode that makes independent standard normal modes from the coordinates that are sampled.

    Equation: ES14.

    Parameters
    ----------
    numbers : of the field.
    waves : its modes.
    told : what the stars say of a mode of the shells' log densities: the matrix of second derivatives at a reference.
    """
    n_shells = len(told)
    deviation = jnp.exp(0.5 * log_spectrum_at(numbers, waves.knot, waves.wave_number))
    mix = deviation.T[:, :, None] * shell_mixing(numbers.alike, n_shells)
    eye = jnp.eye(n_shells)
    precision = eye + jnp.swapaxes(mix, 1, 2) @ told @ mix  # ES14
    root = jnp.linalg.cholesky(precision)
    knots = solve_triangular(jnp.swapaxes(root, 1, 2), jnp.broadcast_to(eye, root.shape), lower=False)
    between = (waves.share @ knots.reshape(len(waves.knot), -1)).reshape(-1, n_shells, n_shells)
    return jnp.where(waves.share.sum(axis=1)[:, None, None] > 0, between, eye)


def whitened(
    white: Float[Array, "shell row column"], matrix: Float[Array, "mode shell other"]
) -> tuple[Float[Array, "shell row column"], Any]:
    """Return standard normal modes from the sampled ones, and the logarithm of the factor between volumes. Equation: ES14."""
    modes = (matrix * white.reshape(len(white), -1).T[:, None, :]).sum(axis=2).T
    factor = jnp.log(jnp.diagonal(matrix, axis1=1, axis2=2))
    return modes.reshape(white.shape), factor


def sampled(
    modes: Float[Array, "shell row column"], matrix: Float[Array, "mode shell other"]
) -> Float[Array, "shell row column"]:
    """Return the coordinates that are sampled from independent standard normal modes: the inverse of `whitened`."""
    white = solve_triangular(matrix, modes.reshape(len(modes), -1).T[:, :, None], lower=False)
    return white[:, :, 0].T.reshape(modes.shape)
