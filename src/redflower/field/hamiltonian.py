"""Hamiltonian Monte Carlo in many coordinates of about unit width: one draw, and the length of its steps."""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from redflower.field.posterior import total

#: Of proposals, to which the steps' length is adapted: in so many dimensions longer steps are worth some refusals.
ACCEPTANCE: Final = 0.7
#: How fast the step's length is adapted.
_RATE: Final = 0.25
#: An energy that rises by more than this is no proposal.
_WILD: Final = 1000.0


class State(NamedTuple):
    """A place of the sampler with its energy and the slope of that."""

    at: Any
    energy: Any
    slope: Any


def hamiltonian_draw(
    value_and_slope: Callable[[Any], tuple[Any, Any]], state: State, step: Any, n_steps: Any, key: Any
) -> tuple[State, Any]:
    """Take one draw; return it with the probability at which it was accepted.

    Parameters
    ----------
    value_and_slope : of the energy, the negative log density.
    state : the draw before.
    step, n_steps : length and number of the leapfrog steps.
    key : random.
    """
    leaves, tree = jax.tree.flatten(state.at)
    own, chance = jax.random.split(key)
    kicks = [
        jax.random.normal(k, a.shape) for k, a in zip(jax.random.split(own, len(leaves)), leaves, strict=True)
    ]
    momentum = jax.tree.unflatten(tree, kicks)

    def kick(p: Any, slope: Any, by: Any) -> Any:
        return jax.tree.map(lambda a, b: a - by * b, p, slope)

    def leap(_: Any, carry: tuple[State, Any]) -> tuple[State, Any]:
        here, p = carry
        p = kick(p, here.slope, 0.5 * step)
        at = jax.tree.map(lambda a, b: a + step * b, here.at, p)
        there = State(at, *value_and_slope(at))
        return there, kick(p, there.slope, 0.5 * step)

    end, p = jax.lax.fori_loop(0, n_steps, leap, (state, momentum))
    rise = end.energy - state.energy + _kinetic(p) - _kinetic(momentum)
    rise = jnp.where(jnp.isfinite(rise), rise, _WILD)
    accepted = jnp.log(jax.random.uniform(chance)) < -rise
    return jax.tree.map(lambda a, b: jnp.where(accepted, a, b), end, state), jnp.exp(-jnp.maximum(rise, 0.0))


def _kinetic(momentum: Any) -> Any:
    return sum(0.5 * total(a**2) for a in jax.tree.leaves(momentum))


class StepLength:
    """The length of the steps, which nears that of the wanted acceptance."""

    def __init__(self, step: float) -> None:
        self._log = float(np.log(step))
        self._seen: list[float] = []

    @property
    def now(self) -> float:
        """Return the length to take next."""
        return float(np.exp(self._log))

    def learn(self, accepted: float) -> None:
        """Shorten or lengthen the steps after a draw."""
        self._log += _RATE * (accepted - ACCEPTANCE) / np.sqrt(1.0 + len(self._seen) / 10.0)
        self._seen.append(self._log)

    def settle(self) -> None:
        """Take the mean of the lengths of the later half from here on."""
        if self._seen:
            self._log = float(np.mean(self._seen[len(self._seen) // 2 :]))
            self._seen = []
