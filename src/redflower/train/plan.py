"""How long a configuration takes on this machine, and what of it fits into a number of minutes. Pure: times in, a plan out."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from redflower.errors import InputError
from redflower.train.config import EmulatorConfig, StageConfig, TrainConfig

#: Share of the time that is planned for: the rest is for a machine that slows down.
PLANNED_SHARE: Final = 0.9
#: A plan has at least so many steps in every stage and of the emulator, unless the configuration has fewer.
LEAST_STAGE_STEPS: Final = 20
LEAST_EMULATOR_STEPS: Final = 300
#: Compiled programs are kept by the command line, and by JAX where it is told to.
COMPILED_AGAIN: Final = "What is compiled is kept, so that the same command starts faster the next time."
#: Lengths that are tried, as shares of the configuration's.
_SHARES: Final = np.geomspace(1.0, 1e-4, 400)


@dataclass(frozen=True)
class FlowCosts:
    """Measured times of the flow. [s]

    Attributes
    ----------
    step_s : of a step of every stage, compiled.
    validation_s : of judging the held-out stars once.
    """

    step_s: tuple[float, ...]
    validation_s: float


@dataclass(frozen=True)
class EmulatorCosts:
    """Measured times of the emulator. [s]

    Attributes
    ----------
    draw_s : of drawing the stars that it learns from.
    step_s : of a step, compiled.
    """

    draw_s: float
    step_s: float


@dataclass(frozen=True)
class TrainingPlan:
    """What will be run, and how long it should take.

    Attributes
    ----------
    config : the configuration with the lengths of the plan.
    flow_s, emulator_s, other_s : time of the stages, of the emulator, and of what comes after them. [s]
    elapsed_s : since the start, reading, compiling and measuring included. [s]
    shortened : whether the configuration asked for more.
    early_stops : whether a stage may end before its last epoch, so that the times are upper limits.
    """

    config: TrainConfig
    flow_s: float
    emulator_s: float
    other_s: float
    elapsed_s: float
    shortened: bool
    early_stops: bool

    @property
    def left_s(self) -> float:
        """Time from now on. [s]"""
        return self.flow_s + self.emulator_s + self.other_s


def stage_seconds(stage: StageConfig, n_training: int, step_s: float, validation_s: float) -> float:
    """Return the time of all epochs of a stage. [s]"""
    return stage.max_epochs * (stage.steps_per_epoch(n_training) * step_s + validation_s)


def emulator_seconds(config: EmulatorConfig, costs: EmulatorCosts | None) -> float:
    """Return the time of the emulator, 0 without one. [s]"""
    if costs is None or config.n_steps == 0:
        return 0.0
    return costs.draw_s + config.n_steps * costs.step_s


def shortened_stage(stage: StageConfig, n_training: int, share: float) -> StageConfig:
    """Return a stage of a share of the steps, whose learning rate still falls to its end.

    Epochs are left out first; where one is too much, what is left of it goes over fewer stars.
    """
    per_epoch = stage.steps_per_epoch(n_training)
    all_steps = stage.max_epochs * per_epoch
    n_steps = max(min(LEAST_STAGE_STEPS, all_steps), int(share * all_steps))
    if n_steps >= all_steps:
        return stage
    n_epochs = -(-n_steps // per_epoch)
    shorter = n_steps // n_epochs
    update: dict[str, int] = {"max_epochs": n_epochs, "patience": min(stage.patience, n_epochs)}
    if shorter < per_epoch:
        update["epoch_stars"] = shorter * min(stage.batch_size, n_training)
    return stage.model_copy(update=update)


def shortened(config: TrainConfig, n_training: int, share: float) -> TrainConfig:
    """Return a configuration of a share of the steps, of the flow and of the emulator alike."""
    if share >= 1.0:
        return config
    emulator = config.emulator
    if emulator.n_steps:
        n_steps = max(min(LEAST_EMULATOR_STEPS, emulator.n_steps), int(share * emulator.n_steps))
        emulator = emulator.model_copy(update={"n_steps": n_steps})
    stages = tuple(shortened_stage(stage, n_training, share) for stage in config.stages)
    return config.model_copy(update={"stages": stages, "emulator": emulator})


def plan_training(
    config: TrainConfig,
    n_training: int,
    costs: FlowCosts,
    emulator_costs: EmulatorCosts | None,
    *,
    elapsed_s: float,
    other_s: float,
    max_minutes: float | None,
) -> TrainingPlan:
    """Return the longest plan that fits: the configuration itself, or every stage and the emulator shortened alike.

    Parameters
    ----------
    config
        What is asked for.
    n_training
        Stars to train on.
    costs, emulator_costs
        Measured on this machine.
    elapsed_s
        Time already spent. [s]
    other_s
        Time of what comes after the stages and the emulator. [s]
    max_minutes
        All that there is, from the start to the model; no limit when None. [min]

    Raises
    ------
    InputError
        If not even the shortest plan fits.
    """

    def planned(share: float) -> TrainingPlan:
        some = shortened(config, n_training, share)
        flow_s = sum(
            stage_seconds(stage, n_training, step_s, costs.validation_s)
            for stage, step_s in zip(some.stages, costs.step_s, strict=True)
        )
        return TrainingPlan(
            config=some,
            flow_s=flow_s,
            emulator_s=emulator_seconds(some.emulator, emulator_costs),
            other_s=other_s,
            elapsed_s=elapsed_s,
            shortened=some != config,
            early_stops=any(stage.patience < stage.max_epochs for stage in some.stages),
        )

    if max_minutes is None:
        return planned(1.0)
    left_s = PLANNED_SHARE * (60.0 * max_minutes - elapsed_s)
    for share in _SHARES:
        plan = planned(float(share))
        if plan.left_s <= left_s:
            return plan
    needed_min = (elapsed_s + plan.left_s / PLANNED_SHARE) / 60.0
    raise InputError(
        f"train: max_minutes (--max-minutes) of {max_minutes:g} is too short for one epoch of each stage: reading, "
        f"compiling and measuring took {elapsed_s / 60.0:.1f} minutes, and the shortest training and emulator take "
        f"{plan.left_s / 60.0:.1f} more here. {COMPILED_AGAIN} Give at least {np.ceil(10.0 * needed_min) / 10.0:.1f}, or the "
        "preset quick."
    )


def seconds_left(
    config: TrainConfig, stage: int, epoch: int, seconds: float, n_training: int, costs: FlowCosts | None
) -> float:
    """Return the time until all stages are done: of this one by its last epoch, of later ones as measured or by their draws."""
    now = config.stages[stage]
    left = seconds * (now.max_epochs - epoch - 1)
    for k in range(stage + 1, len(config.stages)):
        later = config.stages[k]
        if costs is not None:
            left += stage_seconds(later, n_training, costs.step_s[k], costs.validation_s)
        else:
            stars = later.steps_per_epoch(n_training) * later.batch_size * later.n_draws
            stars_now = now.steps_per_epoch(n_training) * now.batch_size * now.n_draws
            left += seconds * later.max_epochs * stars / stars_now
    return left
