"""Draws of a field of dust from its posterior: Hamiltonian Monte Carlo in coordinates that are nearly independent."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float
from numpyro.infer.hmc import hmc
from numpyro.infer.util import ParamInfo

from redflower.errors import InputError
from redflower.field.posterior import (
    FieldData,
    Reference,
    information,
    log_density_map,
    log_posterior,
)
from redflower.field.prior import FieldPrior, Numbers, log_spectrum, n_numbers, numbers_of

#: Steps of a climb to the posterior's neighbourhood, and their length in units of the prior.
_CLIMB_STEPS: Final = 150
_CLIMB_RATE: Final = 0.04
#: Of proposals, to which the steps' length is adapted: in so many dimensions longer steps are worth some refusals.
_ACCEPTANCE: Final = 0.7


@dataclass(frozen=True)
class FieldSettings:
    """Effort of the sampler.

    Attributes
    ----------
    n_bursts, n_burst : rounds of warm-up, after each of which the coordinates are chosen anew, and draws in each.
    n_draws : draws that are kept, of each chain.
    n_chains : independent chains.
    max_depth : a draw takes up to 2^max_depth - 1 steps.
    """

    n_bursts: int = 3
    n_burst: int = 60
    n_draws: int = 150
    n_chains: int = 2
    max_depth: int = 5

    def __post_init__(self) -> None:
        if min(self.n_bursts, self.n_burst, self.n_draws, self.n_chains, self.max_depth) < 1:
            raise InputError("FieldSettings needs whole numbers of at least 1.")


class Place(NamedTuple):
    """A place of the sampler: standard normal numbers, and white modes of the map."""

    white: Float[Array, "shell row column"]
    z: Float[Array, " number"]


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
    n_cells = len(data.wave_number)
    engine = _Engine(prior, shell_mag, n_groups, settings.max_depth)
    shape = (n_shells, n_cells, n_cells)
    start = Place(jnp.zeros(shape), jnp.zeros(n_numbers(n_shells, n_groups)))
    start = engine.climb(start, data, _uncentred(start, data, prior, shell_mag))
    kept_maps, kept_numbers, kept_chain = [], [], []
    n_steps, accepted, done = 0, [], 0
    for chain in range(settings.n_chains):
        key = jax.random.PRNGKey(np.random.SeedSequence([seed, chain]).generate_state(1)[0])
        place, covariance, step = start, np.full(len(start.z), 0.05), 0.1
        reference = engine.reference(place, data, _uncentred(place, data, prior, shell_mag))
        place = engine.moved(place, _uncentred(place, data, prior, shell_mag), reference, data)
        for burst in range(settings.n_bursts + 1):
            last = burst == settings.n_bursts
            key, own = jax.random.split(key)
            n_warm = settings.n_burst if not last else max(settings.n_burst // 2, 1)
            state = engine.begin(place, data, reference, covariance, step, n_warm, own)
            state, seen, steps, _ = engine.run(state, data, reference, n_warm)
            done, n_steps = done + n_warm, n_steps + steps
            _tell(progress, done)
            if last:
                state, seen, steps, rate = engine.run(
                    state, data, reference, settings.n_draws, keep_maps=True
                )
                done, n_steps = done + settings.n_draws, n_steps + steps
                _tell(progress, done)
                kept_maps.append(seen[0])
                kept_numbers += seen[2]
                kept_chain.append(np.full(settings.n_draws, chain))
                accepted.append(rate)
                break
            place, step = state.z, float(state.adapt_state.step_size)
            later = seen[1][len(seen[1]) // 3 :]
            # Shrunk towards what it was: a few draws tell little of fifty numbers.
            covariance = (later.var(axis=0) * len(later) + 5.0 * covariance) / (len(later) + 5.0)
            new = engine.reference(place, data, reference)
            place = engine.moved(place, reference, new, data)
            reference = new
    return Draws(
        np.concatenate(kept_maps),
        jax.tree.map(lambda *a: np.array(a), *kept_numbers),
        np.concatenate(kept_chain),
        n_steps,
        float(np.mean(accepted)),
    )


def _tell(progress: Callable[[int], None] | None, done: int) -> None:
    if progress is not None:
        progress(done)


def _uncentred(place: Place, data: FieldData, prior: FieldPrior, shell_mag: float) -> Reference:
    """Return the reference in which nothing is centred."""
    numbers = numbers_of(place.z, prior, data.behind, shell_mag)
    return Reference(log_spectrum(numbers, data.wave_number), jnp.zeros_like(place.white))


class _Engine:
    """The compiled functions of one fit."""

    def __init__(self, prior: FieldPrior, shell_mag: float, n_groups: int, max_depth: int) -> None:
        self._prior, self._shell_mag, self._n_groups, self._depth = prior, shell_mag, n_groups, max_depth

        def potential_of(data: FieldData, reference: Reference) -> Callable[[Place], Any]:
            return lambda at: -log_posterior(at.z, at.white, data, reference, prior, shell_mag)

        self._potential_of = potential_of
        self._begin, self._next = hmc(potential_fn_gen=potential_of, algo="NUTS")
        self._climb = jax.jit(self._climb_steps)
        self._reference = jax.jit(self._reference_at)
        self._run = jax.jit(self._run_some, static_argnames="n")
        self._map = jax.jit(self._map_at)
        self._value_and_grad = jax.jit(
            lambda at, data, reference: jax.value_and_grad(potential_of(data, reference))(at)
        )
        self._inverse_mass: Any = None

    def climb(self, start: Place, data: FieldData, reference: Reference) -> Place:
        """Go uphill from a place."""
        return self._climb(start, data, reference)

    def _climb_steps(self, start: Place, data: FieldData, reference: Reference) -> Place:
        optimiser = optax.adam(optax.cosine_decay_schedule(_CLIMB_RATE, _CLIMB_STEPS, 0.1))
        slope = jax.grad(self._potential_of(data, reference))
        # The highest place of all would have a scatter of nothing or of far too much.
        free = jnp.zeros(len(start.z)).at[: len(start.white)].set(1.0).at[-self._n_groups :].set(1.0)

        def step(_: Any, carry: Any) -> Any:
            at, state = carry
            down = slope(at)
            update, state = optimiser.update(Place(down.white, down.z * free), state)
            return optax.apply_updates(at, update), state

        return jax.lax.fori_loop(0, _CLIMB_STEPS, step, (start, optimiser.init(start)))[0]

    def reference(self, at: Place, data: FieldData, old: Reference) -> Reference:
        """Choose coordinates for the neighbourhood of a place."""
        return self._reference(at, data, old)

    def _reference_at(self, at: Place, data: FieldData, old: Reference) -> Reference:
        numbers = numbers_of(at.z, self._prior, data.behind, self._shell_mag)
        power = log_spectrum(numbers, data.wave_number)
        known = information(at.z, at.white, data, old, self._prior, self._shell_mag)
        gain = jnp.exp(power) * known[:, None, None]
        return Reference(power, gain / (1.0 + gain))

    def moved(self, at: Place, old: Reference, new: Reference, data: FieldData) -> Place:
        """Return the same field in the coordinates of another reference."""
        numbers = numbers_of(at.z, self._prior, data.behind, self._shell_mag)
        power = log_spectrum(numbers, data.wave_number)
        before = old.centring * (old.log_spectrum - power)
        after = new.centring * (new.log_spectrum - power)
        return Place(at.white * jnp.exp(0.5 * (before - after)), at.z)

    def begin(
        self,
        at: Place,
        data: FieldData,
        reference: Reference,
        variance: Any,
        step: float,
        n_warm: int,
        key: Any,
    ) -> Any:
        """Return a sampler's state whose steps suit a reference: a well known mode has a narrow posterior."""
        narrow = 1.0 - reference.centring.reshape(-1)
        diagonal = jnp.concatenate([narrow, jnp.asarray(variance, jnp.float32)])
        energy, slope = self._value_and_grad(at, data, reference)
        return self._begin(
            ParamInfo(at, energy, slope),
            num_warmup=n_warm,
            step_size=step,
            inverse_mass_matrix=diagonal,
            adapt_mass_matrix=False,
            max_tree_depth=self._depth,
            target_accept_prob=_ACCEPTANCE,
            model_args=(data, reference),
            rng_key=key,
        )

    def run(
        self, state: Any, data: FieldData, reference: Reference, n: int, *, keep_maps: bool = False
    ) -> tuple[Any, tuple[np.ndarray, np.ndarray, list[Numbers]], int, float]:
        """Take draws; return the state, their maps (if kept), coordinates, numbers, steps, mean acceptance."""
        maps, kept, numbers, steps, rates = [], [], [], 0, []
        for _ in range(n):
            state = self._run(state, data, reference, n=1)
            numbers.append(np.asarray(state.z.z))
            steps += int(state.num_steps)
            rates.append(float(state.accept_prob))
            if keep_maps:
                density, one = jax.tree.map(np.asarray, self._map(state.z, data, reference))
                maps.append(density)
                kept.append(one)
        return state, (np.array(maps), np.array(numbers), kept), steps, float(np.mean(rates))

    def _run_some(self, state: Any, data: FieldData, reference: Reference, n: int) -> Any:
        for _ in range(n):
            state = self._next(state, (data, reference))
        return state

    def _map_at(self, at: Place, data: FieldData, reference: Reference) -> Any:
        numbers = numbers_of(at.z, self._prior, data.behind, self._shell_mag)
        density = log_density_map(at.white, numbers, log_spectrum(numbers, data.wave_number), reference)
        return density, numbers
