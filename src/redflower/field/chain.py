"""One chain of the sampler: warm-up, and draws that may go on."""

from collections.abc import Callable
from typing import Any, Final

import jax
import numpy as np
from jaxtyping import Int

from redflower.field.engine import Engine
from redflower.field.geometry import Field
from redflower.field.hamiltonian import StepLength
from redflower.field.posterior import FieldData
from redflower.field.prior import Numbers
from redflower.field.settings import FieldSettings

#: Length of the first steps.
_FIRST_STEP: Final = 0.05
#: Draws from one exchange of shells to the next: the place in other coordinates takes as long as a few steps.
_EXCHANGE_EVERY: Final = 3
#: Where chains go on, their steps go into trajectories of up to so many times the length, and only then into more draws: what is
#: slow is crossed in a time that is in proportion to its width over that length, and to the square of that where they are short.
_LONGEST: Final = 4


class Chain:
    """One chain from a start of its own: warm-up, and draws that may go on; of those as many are kept as of the first round."""

    def __init__(self, engine: Engine, data: FieldData, settings: FieldSettings, seed: list[int]) -> None:
        self._engine, self._data, self._settings = engine, data, settings
        self._words = np.random.default_rng(seed)
        self._key = jax.random.PRNGKey(int(self._words.integers(2**31)))
        self._length, self._every, self._longer = StepLength(_FIRST_STEP), 1, 1
        self._taken = 0
        self.log_density: list[np.ndarray] = []
        self.numbers: list[Numbers] = []
        self.accepted: list[float] = []
        self.n_steps = 0

    def warm_up(self, tell: Callable[[int], None]) -> None:
        """Climb, and choose coordinates by rounds of draws."""
        fields = [self._engine.start(self._own_key(), self._data)]
        for burst in range(self._settings.n_bursts):
            self._begin(fields, answering=burst > 0)
            fields, named, labels = [], [], np.arange(len(self._data.behind))
            for _ in range(self._settings.n_burst):
                tell(0)
                field, order, rate = self._next()
                labels = labels[order]
                self._length.learn(rate)
                fields.append(field)
                named.append(labels)
            # Draws of before an exchange, as if they had been of after it.
            fields = [
                self._engine.field_in_order(f, np.argsort(of)[labels], self._data)
                for f, of in zip(fields, named, strict=True)
            ]
            self._length.settle()
            tell(self._settings.n_burst)
        self._begin(fields, answering=True)

    def draw(self, n: int, tell: Callable[[int], None]) -> None:
        """Take the steps of some draws of the first length, and keep a draw for every first, second, fourth... of them."""
        n_together = self._every // self._longer
        for k in range(n // self._longer):
            tell(0)
            field, _, rate = self._next()
            self.accepted.append(rate)
            if (k + 1) % n_together == 0:
                density, one = jax.tree.map(np.asarray, self._engine.map(field, self._data))
                self.log_density.append(density)
                self.numbers.append(one)
        tell(n)

    def thin(self) -> None:
        """Keep every second of the draws so far, and take twice as many steps for each of those to come."""
        self._every *= 2
        self._longer = min(self._every, _LONGEST)
        self.log_density, self.numbers = self.log_density[::2], self.numbers[::2]

    def _own_key(self) -> Any:
        self._key, own = jax.random.split(self._key)
        return own

    def _begin(self, fields: list[Field], *, answering: bool) -> None:
        self._coordinates = self._engine.coordinates(fields, self._data, answering=answering)
        self._state = self._engine.begin(fields[-1], self._data, self._coordinates)

    def _next(self) -> tuple[Field, Int[np.ndarray, " shell"], float]:
        """Take a draw; return it, the order into which it put the shells, and the probability at which it was accepted."""
        engine, data, n = self._engine, self._data, self._longer * self._settings.n_steps
        steps = int(self._words.integers(n // 2, n * 3 // 2 + 1)) or 1
        self._state, rate = engine.draw(
            self._state, data, self._coordinates, self._length.now, steps, self._own_key()
        )
        self.n_steps += steps
        field = engine.field(self._state.at, data, self._coordinates)
        self._taken += 1
        order = np.arange(len(data.behind))
        if self._taken % max(_EXCHANGE_EVERY // self._longer, 1) == 0:
            order = engine.exchanges(field, self._words)
        if (order != np.arange(len(order))).any():
            # The same map under other names, and coordinates that go with them.
            field, self._coordinates = engine.in_order(field, self._coordinates, order, data)
            self._state = engine.begin(field, data, self._coordinates)
        return field, order, float(rate)
