"""The compiled functions of a field's sampler, and the choice of its coordinates."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Int

from redflower.field.exchange import coordinates_in_order, exchanges, field_in_order, numbers_in_order
from redflower.field.geometry import Coordinates, Field, Geometry, Place
from redflower.field.hamiltonian import State, hamiltonian_draw
from redflower.field.posterior import FieldData, log_density_map, log_posterior
from redflower.field.prior import FieldPrior, Numbers, n_numbers, numbers_of, start_of_means

#: Steps of a climb to the posterior's neighbourhood, and their length in units of the prior.
_CLIMB_STEPS: Final = 150
_CLIMB_RATE: Final = 0.04
#: Least inverse variance of a number, that of the prior. That of the mean of a shell without dust is lower, but where such a mean
#: comes to be seen its posterior ends as if at a wall, and steps must be short.
_PRECISION_MIN: Final = 1.0
#: Fields of a round of warm-up about which the posterior's shape is taken; coordinates suit their mean.
_N_SHAPES: Final = 2
#: Draws that a unit variance of a number counts as, beside those of a round; and how far its variance may be from that.
_TRUST: Final = 20.0
_VARIANCES: Final = (0.3, 1.5)


@lru_cache(maxsize=4)
def make_engine(prior: FieldPrior, n_shells: int, shell_mag: float, n_groups: int) -> "Engine":
    return Engine(prior, n_shells, shell_mag, n_groups)


def _stiff(matrix: np.ndarray, least: float = _PRECISION_MIN) -> np.ndarray:
    """Return a symmetric matrix with the sizes of its eigenvalues, no smaller than the least."""
    values, ways = np.linalg.eigh(matrix)
    return (ways * np.maximum(np.abs(values), least)) @ ways.T


def _root_of(matrix: np.ndarray) -> np.ndarray:
    values, ways = np.linalg.eigh(matrix)
    return (ways * np.sqrt(values)) @ ways.T


class Engine:
    """The compiled functions of fits of one kind; fields of one shape share them."""

    def __init__(self, prior: FieldPrior, n_shells: int, shell_mag: float, n_groups: int) -> None:
        self._prior, self._shell_mag = prior, shell_mag
        self._n_groups, self._n_shells = n_groups, n_shells
        geometry = Geometry(prior, shell_mag, n_shells, n_groups)

        def value_and_slope(data: FieldData, c: Coordinates) -> Callable[[Place], Any]:
            def energy(at: Place) -> Any:
                white, z = geometry.modes_and_numbers(at, c)
                return -log_posterior(z, white, data, c.told, prior, shell_mag)

            return jax.value_and_grad(energy)

        def map_of(field: Field, data: FieldData) -> tuple[Any, Numbers]:
            numbers = numbers_of(field.z, prior, data.behind, shell_mag)
            return log_density_map(field.modes, numbers, data.waves.wave_number), numbers

        self._climb = jax.jit(self._climb_steps)
        self.draw = jax.jit(
            lambda state, data, c, step, n, key: hamiltonian_draw(
                value_and_slope(data, c), state, step, n, key
            )
        )
        self._energy = jax.jit(lambda at, data, c: value_and_slope(data, c)(at))
        self._told = jax.jit(lambda f, data: geometry.told(f, data, geometry.stars_view(f, data)))
        self._answer = jax.jit(
            lambda f, data, told: geometry.answer(f, data, geometry.stars_view(f, data), told)
        )
        self._place, self.field, self.map = (jax.jit(f) for f in (geometry.place, geometry.field, map_of))
        self._shape = jax.jit(geometry.shape)

    def start(self, key: Any, data: FieldData) -> Field:
        """Draw numbers from the prior and go uphill from there, the means of the shells and the modes free."""
        z = jax.random.normal(key, (n_numbers(self._n_shells, self._n_groups),))
        z = z.at[: self._n_shells].set(start_of_means(self._prior, self._shell_mag))
        return self._climb(Field(jnp.zeros((self._n_shells, *data.waves.wave_number.shape)), z), data)

    def _climb_steps(self, start: Field, data: FieldData) -> Field:
        optimiser = optax.adam(optax.cosine_decay_schedule(_CLIMB_RATE, _CLIMB_STEPS, 0.1))
        told = jnp.zeros((self._n_shells, self._n_shells))
        slope = jax.grad(lambda f: -log_posterior(f.z, f.modes, data, told, self._prior, self._shell_mag))
        # The highest place of all would have a scatter of nothing or of far too much.
        free = jnp.zeros(len(start.z)).at[: self._n_shells].set(1.0).at[-self._n_groups :].set(1.0)

        def step(_: Any, carry: Any) -> Any:
            at, state = carry
            down = slope(at)
            update, state = optimiser.update(Field(down.modes, down.z * free), state)
            return optax.apply_updates(at, update), state

        return jax.lax.fori_loop(0, _CLIMB_STEPS, step, (start, optimiser.init(start)))[0]

    def coordinates(self, fields: list[Field], data: FieldData, *, answering: bool) -> Coordinates:
        """Choose coordinates for the neighbourhood of some fields.

        Parameters
        ----------
        fields : draws of a round of warm-up, or the start alone.
        data : of the stars.
        answering : whether modes answer to the numbers; it takes as long as some thirty draws.
        """
        later = fields[len(fields) // 3 :]
        some = [later[i] for i in sorted({*np.linspace(0, len(later) - 1, _N_SHAPES).astype(int)})]
        told = jnp.mean(jnp.array([self._told(f, data) for f in some]), axis=0)
        bends = [np.asarray(self._shape(f, data, told), float) for f in some]
        half = _root_of(np.mean([_stiff(b) for b in bends], axis=0))
        answer = jnp.zeros((self._n_shells + self._n_groups, *fields[-1].modes.shape))
        precision = half @ half
        if answering:
            answer, free, held = self._answer(some[-1], data, told)
            # The share of what is known that is lost once the modes answer.
            back = np.linalg.inv(_root_of(np.asarray(held, float) + np.eye(len(half))))
            kept = np.eye(len(half)) - back @ np.asarray(free, float) @ back
            precision = half @ _stiff(kept, 0.0) @ half
        root = np.linalg.cholesky(np.linalg.inv(_stiff(precision)))
        z = np.array([f.z for f in later], float)
        if len(z) > 1:
            seen = np.linalg.solve(root, z.T).var(axis=1)
            root = root * np.sqrt(np.clip((len(z) * seen + _TRUST) / (len(z) + _TRUST), *_VARIANCES))
        return Coordinates(
            told=told,
            root=jnp.asarray(root, jnp.float32),
            back=jnp.asarray(np.linalg.inv(root), jnp.float32),
            middle=jnp.asarray(z.mean(axis=0), jnp.float32),
            answer=answer,
        )

    def exchanges(self, field: Field, rng: np.random.Generator) -> Int[np.ndarray, " shell"]:
        """Draw an order of the shells of a field in which it is as likely."""
        return exchanges(np.asarray(field.z), self._prior, self._n_shells, rng)

    def field_in_order(self, field: Field, order: Int[np.ndarray, " shell"], data: FieldData) -> Field:
        """Return the same field with its shells in another order."""
        if (order == np.arange(len(order))).all():
            return field
        return field_in_order(field, order, self._prior, np.asarray(data.behind))

    def in_order(
        self, field: Field, c: Coordinates, order: Int[np.ndarray, " shell"], data: FieldData
    ) -> tuple[Field, Coordinates]:
        """Return the same field with its shells in another order, and coordinates that suit it."""
        middle = numbers_in_order(np.asarray(c.middle), order, self._prior, np.asarray(data.behind))
        return self.field_in_order(field, order, data), coordinates_in_order(c, order, jnp.asarray(middle))

    def begin(self, field: Field, data: FieldData, coordinates: Coordinates) -> State:
        """Return the sampler's state at a field."""
        at = self._place(field, data, coordinates)
        return State(at, *self._energy(at, data, coordinates))
