"""Draws of a field of dust from its posterior: Hamiltonian Monte Carlo in coordinates that are nearly independent."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Float

from redflower.errors import InputError
from redflower.field.geometry import Coordinates, Field, Geometry, Place
from redflower.field.hamiltonian import State, StepLength, hamiltonian_draw
from redflower.field.posterior import FieldData, log_density_map, log_posterior
from redflower.field.prior import FieldPrior, Numbers, n_numbers, numbers_of, start_of_means

#: Steps of a climb to the posterior's neighbourhood, and their length in units of the prior.
_CLIMB_STEPS: Final = 150
_CLIMB_RATE: Final = 0.04
#: Length of the first steps.
_FIRST_STEP: Final = 0.05
#: Least inverse variance of a number, that of the prior. That of the mean of a shell without dust is lower, but where such a mean
#: comes to be seen its posterior ends as if at a wall, and steps must be short.
_PRECISION_MIN: Final = 1.0
#: Fields of a round of warm-up about which the posterior's shape is taken; coordinates suit their mean.
_N_SHAPES: Final = 2
#: Draws that a unit variance of a number counts as, beside those of a round; and how far its variance may be from that.
_TRUST: Final = 20.0
_VARIANCES: Final = (0.3, 1.5)


@dataclass(frozen=True)
class FieldSettings:
    """Effort of the sampler.

    Attributes
    ----------
    n_bursts, n_burst : rounds of warm-up, after each of which the coordinates are chosen anew, and draws in each.
    n_draws : draws that are kept, of each chain.
    n_chains : independent chains.
    n_steps : leapfrog steps of a draw, in the mean.
    """

    n_bursts: int = 4
    n_burst: int = 40
    n_draws: int = 200
    n_chains: int = 2
    n_steps: int = 20

    def __post_init__(self) -> None:
        if min(self.n_bursts, self.n_burst, self.n_draws, self.n_chains, self.n_steps) < 1:
            raise InputError("FieldSettings needs whole numbers of at least 1.")

    @property
    def n_all(self) -> int:
        """Number of draws of all chains, those of the warm-up included."""
        return self.n_chains * (self.n_bursts * self.n_burst + self.n_draws)


@dataclass(frozen=True)
class Draws:
    """Draws of the posterior, chain after chain.

    Attributes
    ----------
    log_density : natural logarithm of the dust's density in every shell and cell, in mag per mag.
    numbers : the other numbers of the field, an array over the draws for each.
    chain : of every draw.
    n_steps : leapfrog steps in all.
    accepted : mean acceptance.
    """

    log_density: Float[np.ndarray, "draw shell row column"]
    numbers: Numbers
    chain: np.ndarray
    n_steps: int
    accepted: float


def sample_field(
    data: FieldData,
    prior: FieldPrior,
    n_shells: int,
    shell_mag: float,
    n_groups: int,
    settings: FieldSettings,
    seed: int,
    progress: Callable[[int], None] | None = None,
) -> Draws:
    """Draw fields of dust from the posterior.

    Parameters
    ----------
    data : of the stars, from `field_data`.
    prior : beliefs beforehand.
    n_shells, shell_mag : of the grid.
    n_groups : groups of stars with a zero point each.
    settings : effort.
    seed : of the random numbers.
    progress : called with the number of draws done, warm-up included.
    """
    engine = _engine(prior, n_shells, shell_mag, n_groups)
    done, chains = 0, []

    def tell(n: int) -> None:
        nonlocal done
        done += n
        if progress is not None:
            progress(done)

    for chain in range(settings.n_chains):
        chains.append(_run_chain(engine, data, settings, [seed, chain], tell))
    numbers = [one for c in chains for one in c.numbers]
    return Draws(
        np.concatenate([c.log_density for c in chains]),
        jax.tree.map(lambda *a: np.array(a), *numbers),
        np.repeat(np.arange(settings.n_chains), settings.n_draws),
        sum(c.n_steps for c in chains),
        float(np.mean([a for c in chains for a in c.accepted])),
    )


class _Chain(NamedTuple):
    log_density: np.ndarray
    numbers: list[Numbers]
    n_steps: int
    accepted: list[float]


def _run_chain(
    engine: "_Engine", data: FieldData, settings: FieldSettings, seed: list[int], tell: Callable[[int], None]
) -> _Chain:
    """Warm up from a start of its own, and keep the draws after that."""
    words = np.random.default_rng(seed)
    key = jax.random.PRNGKey(int(words.integers(2**31)))
    key, own = jax.random.split(key)
    fields = [engine.start(own, data)]
    length, n_steps = StepLength(_FIRST_STEP), 0
    maps, numbers, accepted = [], [], []
    for burst in range(settings.n_bursts + 1):
        last = burst == settings.n_bursts
        coordinates = engine.coordinates(fields, data, answering=burst > 0)
        state = engine.begin(fields[-1], data, coordinates)
        fields = []
        for _ in range(settings.n_draws if last else settings.n_burst):
            key, own = jax.random.split(key)
            n = int(words.integers(settings.n_steps // 2, settings.n_steps * 3 // 2 + 1)) or 1
            state, rate = engine.draw(state, data, coordinates, length.now, n, own)
            n_steps += n
            field = engine.field(state.at, data, coordinates)
            if last:
                density, one = jax.tree.map(np.asarray, engine.map(field, data))
                maps.append(density)
                numbers.append(one)
                accepted.append(float(rate))
            else:
                length.learn(float(rate))
                fields.append(field)
        length.settle()
        tell(settings.n_draws if last else settings.n_burst)
    return _Chain(np.array(maps), numbers, n_steps, accepted)


@lru_cache(maxsize=4)
def _engine(prior: FieldPrior, n_shells: int, shell_mag: float, n_groups: int) -> "_Engine":
    return _Engine(prior, n_shells, shell_mag, n_groups)


def _stiff(matrix: np.ndarray, least: float = _PRECISION_MIN) -> np.ndarray:
    """Return a symmetric matrix with the sizes of its eigenvalues, no smaller than the least."""
    values, ways = np.linalg.eigh(matrix)
    return (ways * np.maximum(np.abs(values), least)) @ ways.T


def _root_of(matrix: np.ndarray) -> np.ndarray:
    values, ways = np.linalg.eigh(matrix)
    return (ways * np.sqrt(values)) @ ways.T


class _Engine:
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
            told, jnp.asarray(root, jnp.float32), jnp.asarray(z.mean(axis=0), jnp.float32), answer
        )

    def begin(self, field: Field, data: FieldData, coordinates: Coordinates) -> State:
        """Return the sampler's state at a field."""
        at = self._place(field, data, coordinates)
        return State(at, *self._energy(at, data, coordinates))
