"""A chain that goes on: longer trajectories first, then more draws, and as many kept as before."""

import numpy as np
import pytest

from redflower.field.chain import Chain
from redflower.field.engine import Engine
from redflower.field.geometry import Field
from redflower.field.hamiltonian import State
from redflower.field.posterior import FieldData
from redflower.field.settings import FieldSettings


class Counted(Engine):
    """An engine that draws nothing and counts the steps."""

    def __init__(self) -> None:
        self.steps = []
        self.draw = self._count
        self.field = lambda at, data, coordinates: at
        self.map = lambda field, data: (field.modes, field.z)

    def _count(self, state, data, coordinates, step, n, key):
        self.steps.append(n)
        return State(Field(np.zeros((2, 1, 1)), np.array([float(len(self.steps))])), 0.0, None), 1.0

    def exchanges(self, field, rng):
        return np.arange(2)


@pytest.mark.parametrize("n_draws", [40, 41])
def test_a_chain_that_goes_on_takes_longer_trajectories_and_keeps_as_many_draws(n_draws) -> None:
    """Lengths are drawn evenly from half of the mean to three halves: means of 20 and more of them are known to 15 %."""
    engine = Counted()
    data = FieldData._make([None] * len(FieldData._fields))._replace(behind=np.zeros(2))
    chain = Chain(engine, data, FieldSettings(n_steps=20, n_draws=n_draws), [1, 2])
    chain._state, chain._coordinates = State(None, 0.0, None), None
    before, times = 0, 1
    chain.draw(n_draws, lambda n: None)
    for mean, each in ((20, 1), (40, 2), (80, 4), (80, 8), (80, 16)):
        assert len(chain.numbers) == len(chain.log_density) == n_draws
        steps = engine.steps[before:]
        assert np.mean(steps) == pytest.approx(mean, rel=0.15)
        # As many steps as if draws of the first length had been taken, twice as many each time.
        assert sum(steps) == pytest.approx(20 * n_draws * max(each // 2, 1), rel=0.2)
        before = len(engine.steps)
        chain.thin()
        chain.draw(times * n_draws, lambda n: None)
        times *= 2
    kept = np.concatenate(chain.numbers)
    assert (np.diff(kept) > 0).all()
