"""The shape of the posterior of a field about a place in it, and coordinates that suit it."""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from redflower.field.posterior import (
    FieldData,
    levels,
    likelihoods,
    log_likelihoods,
    log_posterior,
    towards_stars,
)
from redflower.field.prior import FieldPrior, numbers_of, share_in_front
from redflower.field.whitening import sampled, whitened, whitening

#: Step in reddening over which a star's log likelihood is bent, and the errors between which it may then lie. [mag]
_BEND_MAG: Final = 0.02
_ERRORS_MAG: Final = (0.01, 1.0)
#: Steps towards the answer of the modes to the numbers.
_CONJUGATE_STEPS: Final = 10


class Field(NamedTuple):
    """A field, whatever the coordinates: independent standard normal modes, and the numbers before their units."""

    modes: Float[Array, "shell row column"]
    z: Float[Array, " number"]


class Place(NamedTuple):
    """A place of the sampler: coordinates of the modes and of the numbers, both of about unit width."""

    white: Float[Array, "shell row column"]
    u: Float[Array, " number"]


class Coordinates(NamedTuple):
    """What the sampler's coordinates are made of (ES14).

    Attributes
    ----------
    told : what the stars tell of a mode of the shells.
    root : a root of the covariance of the numbers.
    back : its inverse.
    middle : numbers at which the modes are as they would be without an answer.
    answer : how the modes answer to a change of each of the numbers that move them, which come first and last.
    """

    told: Float[Array, "shell other"]
    root: Float[Array, "number other"]
    back: Float[Array, "number other"]
    middle: Float[Array, " number"]
    answer: Float[Array, "moving shell row column"]


class StarsView(NamedTuple):
    """The stars as measurements of one reddening each, about a place.

    Attributes
    ----------
    weight : what each tells, the inverse square of its error. [1/mag^2]
    share : of each of its distances.
    """

    weight: Float[Array, " star"]
    share: Float[Array, "star node"]


class Geometry:
    """Coordinates of one field of stars."""

    def __init__(self, prior: FieldPrior, shell_mag: float, n_shells: int, n_groups: int) -> None:
        self._prior, self._shell_mag, self._n_shells = prior, shell_mag, n_shells
        # Means of the shells, and zero points.
        self._first, self._last = n_shells, n_groups

    def moving(self, z: Float[Array, " number"]) -> Float[Array, " moving"]:
        """Return those of the numbers that move the modes."""
        return jnp.concatenate([z[: self._first], z[len(z) - self._last :]])

    def modes_and_numbers(
        self, at: Place, c: Coordinates
    ) -> tuple[Float[Array, "shell row column"], Float[Array, " number"]]:
        """Return the coordinates of `log_posterior` at a place of the sampler. Equation: ES14."""
        z = c.root @ at.u
        return at.white + jnp.tensordot(self.moving(z - c.middle), c.answer, axes=1), z  # ES14

    def field(self, at: Place, data: FieldData, c: Coordinates) -> Field:
        """Return the field at a place of the sampler."""
        white, z = self.modes_and_numbers(at, c)
        return Field(whitened(white, self._matrix(z, data, c.told))[0], z)

    def place(self, field: Field, data: FieldData, c: Coordinates) -> Place:
        """Return the place of the sampler that is a field."""
        white = sampled(field.modes, self._matrix(field.z, data, c.told))
        white = white - jnp.tensordot(self.moving(field.z - c.middle), c.answer, axes=1)
        return Place(white, c.back @ field.z)

    def _matrix(self, z: Any, data: FieldData, told: Any) -> Any:
        return whitening(numbers_of(z, self._prior, data.behind, self._shell_mag), data.waves, told)

    def _towards(self, modes: Any, z: Any, data: FieldData) -> tuple[Any, Any]:
        numbers = numbers_of(z, self._prior, data.behind, self._shell_mag)
        return towards_stars(modes, numbers, data, self._shell_mag), numbers

    def stars_view(self, field: Field, data: FieldData) -> StarsView:
        """Describe the stars' likelihoods about a field."""
        dust, numbers = self._towards(*field, data)
        level = levels(dust, numbers, data)
        low, here, high = (log_likelihoods(level + s * _BEND_MAG, numbers, data) for s in (-1.0, 0.0, 1.0))
        bend = (2.0 * here - low - high) / _BEND_MAG**2
        each = jnp.maximum(likelihoods(level, numbers, data), 1e-9)
        weight = jnp.clip(bend, _ERRORS_MAG[1] ** -2, _ERRORS_MAG[0] ** -2)
        return StarsView(weight, each / each.sum(axis=1, keepdims=True))

    def told(self, field: Field, data: FieldData, view: StarsView) -> Float[Array, "shell other"]:
        """Estimate what the stars tell of a mode of the shells' log densities. Equation: ES14."""
        dust, numbers = self._towards(*field, data)
        slope = dust * jnp.einsum("sn,snk->sk", view.share, share_in_front(data.place, numbers))
        n_cells = field.modes.shape[1] * field.modes.shape[2]
        return (slope * view.weight[:, None]).T @ slope / np.float32(n_cells)  # ES14

    def shape(
        self, field: Field, data: FieldData, told: Float[Array, "shell other"]
    ) -> Float[Array, "number number"]:
        """Return the matrix of second derivatives of the energy by the numbers, the modes held."""
        white = sampled(field.modes, self._matrix(field.z, data, told))
        slope = jax.grad(lambda z: -log_posterior(z, white, data, told, self._prior, self._shell_mag))
        # Once for all ways: what is the same for each is as much work as what is not.
        bend = jax.lax.map(jax.linearize(slope, field.z)[1], jnp.eye(len(field.z)))
        return 0.5 * (bend + bend.T)

    def answer(
        self, field: Field, data: FieldData, view: StarsView, told: Float[Array, "shell other"]
    ) -> tuple[
        Float[Array, "moving shell row column"], Float[Array, "number number"], Float[Array, "number number"]
    ]:
        """Return how the modes answer to the moving numbers, what is then no longer known of the numbers, and what was (ES14).

        By Gauss and Newton's matrix of second derivatives; of those numbers that do not move the modes nothing is said.
        """
        residuals, white = self._residuals(field, data, view, told)
        by_white = jax.linearize(lambda w: residuals(w, field.z), white)[1]
        back = jax.linear_transpose(by_white, white)
        by_number = jax.linearize(lambda z: residuals(white, z), field.z)[1]
        eye = jnp.eye(len(field.z))
        moving = jnp.concatenate([eye[: self._first], eye[len(eye) - self._last :]])

        def one(way: Any) -> tuple[Any, Any, Any]:
            column = by_number(way)
            (push,) = back(column)
            return -_solve(lambda x: back(by_white(x))[0], push, _CONJUGATE_STEPS), push, column[1]

        answers, pushes, columns = jax.lax.map(one, moving)
        less = -pushes.reshape(len(moving), -1) @ answers.reshape(len(moving), -1).T
        less, held = 0.5 * (less + less.T), columns @ columns.T
        return answers, moving.T @ less @ moving, moving.T @ held @ moving

    def _residuals(
        self, field: Field, data: FieldData, view: StarsView, told: Float[Array, "shell other"]
    ) -> tuple[Callable[[Any, Any], tuple[Any, Any]], Float[Array, "shell row column"]]:
        """Return the function whose squares make the energy about a field, of modes and numbers, and the modes there."""

        def residuals(white: Any, z: Any) -> tuple[Any, Any]:
            modes, _ = whitened(white, self._matrix(z, data, told))
            dust, numbers = self._towards(modes, z, data)
            mean = (view.share * levels(dust, numbers, data)).sum(axis=1)
            return modes, jnp.sqrt(view.weight) * mean

        return residuals, sampled(field.modes, self._matrix(field.z, data, told))


def _solve(matrix: Callable[[Any], Any], wanted: Any, n_steps: int) -> Any:
    """Solve a positive definite system by conjugate gradients."""

    def step(_: Any, carry: Any) -> Any:
        x, left, way, size = carry
        image = matrix(way)
        along = size / jnp.maximum((way * image).sum(), 1e-20)
        x, left = x + along * way, left - along * image
        new = (left**2).sum()
        return x, left, left + new / jnp.maximum(size, 1e-20) * way, new

    start = (jnp.zeros_like(wanted), wanted, wanted, (wanted**2).sum())
    return jax.lax.fori_loop(0, n_steps, step, start)[0]
