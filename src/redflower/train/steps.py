"""The compiled steps of a run's stages, and how long they take here."""

from collections.abc import Callable
from typing import Any, Final, NamedTuple, Protocol, runtime_checkable

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import optax

from redflower.flow.conditional import ConditionalFlow
from redflower.train.batches import Batches, Sample
from redflower.train.config import StageConfig, TrainConfig
from redflower.train.loss.objective import Objective, make_step, stage_optimiser
from redflower.train.measure import EPOCH_STREAM, VALIDATION_STREAM, Measure
from redflower.train.plan import FlowCosts
from redflower.train.stopwatch import mean_seconds

#: What a stage's length and rates do not change.
_LENGTH: Final = {
    "max_epochs": 1,
    "patience": 1,
    "epoch_stars": None,
    "learning_rate": 1.0,
    "final_rate_fraction": 1.0,
}


class Measured(NamedTuple):
    """What a plan is made from.

    Attributes
    ----------
    flow : before its first step.
    condition : (log10 R/pc, log10 Z/pc) of every star.
    n_training : stars to train on.
    costs : times of the steps here.
    """

    flow: ConditionalFlow
    condition: np.ndarray
    n_training: int
    costs: FlowCosts


class Planned(NamedTuple):
    """The configuration to run, and when its stages must end, by `time.monotonic`; never when None. [s]"""

    config: TrainConfig
    stop_at_s: float | None


@runtime_checkable
class Planner(Protocol):
    """Makes a plan of what was measured."""

    def __call__(self, measured: Measured) -> Planned:
        """Return what to run."""
        ...

    def check(self) -> None:
        """Refuse to go on measuring where no time is left."""
        ...


class CompiledSteps:
    """The optimiser and the step of every stage, compiled once for all stages that differ in length and rate alone."""

    def __init__(self, objective: Objective) -> None:
        self._objective = objective
        self._made: dict[StageConfig, tuple[optax.GradientTransformation, Callable]] = {}

    def of(self, stage: StageConfig) -> tuple[optax.GradientTransformation, Callable]:
        """Return the optimiser and the step of a stage."""
        kind = stage.model_copy(update=_LENGTH)
        if kind not in self._made:
            optimiser = stage_optimiser(stage)
            contrast = self._objective.config.contrast.strength > 0.0
            self._made[kind] = optimiser, make_step(self._objective, optimiser, stage, contrast=contrast)
        return self._made[kind]


def time_flow(
    stages: tuple[StageConfig, ...],
    steps: CompiledSteps,
    flow: ConditionalFlow,
    sample: Sample,
    *,
    measure: Measure,
    check: Callable[[], None],
) -> FlowCosts:
    """Make a few real steps of every stage, and judge the held-out stars once; nothing of it is kept.

    `check` is called in between, and may refuse to go on.
    """
    check()
    validation_s = mean_seconds(lambda: measure(flow, sample.validation_rows, VALIDATION_STREAM))
    times = []
    for stage in stages:
        check()
        times.append(_step_seconds(stage, steps, flow, sample))
    return FlowCosts(step_s=tuple(times), validation_s=validation_s)


def _step_seconds(stage: StageConfig, steps: CompiledSteps, flow: ConditionalFlow, sample: Sample) -> float:
    optimiser, step = steps.of(stage)
    opt_state = optimiser.init(eqx.filter(flow.network, eqx.is_inexact_array))
    batches = epoch_batches(stage, sample.training_rows, sample.gaps, np.random.default_rng(0))
    n_done = 0

    def one() -> Any:
        nonlocal n_done
        groups = batches.gathered(sample.data, n_done % batches.n_steps)
        n_done += 1
        # At a rate of 0, without contrast and outliers: the arithmetic of a step is the same.
        nothing = jnp.float32(0.0)
        return step(flow, opt_state, nothing, nothing, nothing, jnp.uint32(EPOCH_STREAM), groups)[2]

    return mean_seconds(one)


def epoch_batches(
    stage: StageConfig, training_rows: np.ndarray, gaps: np.ndarray, rng: np.random.Generator
) -> Batches:
    """Return the batches of an epoch of a stage."""
    n_training = len(training_rows)
    batch_size = min(stage.batch_size, n_training)
    return Batches(training_rows, gaps, batch_size, rng, stage.steps_per_epoch(n_training))
