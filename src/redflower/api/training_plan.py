"""What a training run is asked for, and the plan that fits it into its time on this machine."""

import math
import time
from collections.abc import Callable

from redflower.errors import InputError
from redflower.flow import Model, fit_coverage
from redflower.physics import ExtinctionLaw
from redflower.platforms import compute_platform
from redflower.train.config import TrainConfig
from redflower.train.distil import time_distil
from redflower.train.distil_steps import DistilSteps
from redflower.train.plan import COMPILED_AGAIN, EmulatorCosts, TrainingPlan, plan_training
from redflower.train.presets import DEFAULT_PRESET, PRESET_NAMES, preset_config
from redflower.train.steps import Measured, Planned

#: Of two presets, the one that is meant where fewer minutes than these are given and none is named. [min]
QUICK_BELOW_MIN = 8.0
#: For judging the stars of the sample, coverage, the model file and its report, and the start of the program. [s]
AFTERWARDS_S = 20.0


def chosen_preset(config: TrainConfig | None, preset: str | None, max_minutes: float | None) -> str | None:
    """Return the preset to use; None where a configuration states its own stages.

    Raises
    ------
    InputError
        If there is no such preset, if the configuration states stages too, or if there is no time.
    """
    if max_minutes is not None and not (math.isfinite(max_minutes) and max_minutes > 0.0):
        raise InputError(
            f"train: max_minutes (--max-minutes) must be a number of minutes above 0; got {max_minutes:g}. "
            "Leave it out for no limit."
        )
    if preset is not None and preset not in PRESET_NAMES:
        raise InputError(
            f"train: there is no preset {preset!r}. Choose one of {', '.join(PRESET_NAMES)}, or none: then it is "
            f"{DEFAULT_PRESET}."
        )
    if config is not None and "stages" in config.model_fields_set:
        if preset is not None:
            raise InputError(
                f"train: the preset {preset!r} (--preset) and a configuration (--config) that states stages exclude each "
                "other. Leave one of them out, or the stages out of the configuration."
            )
        return None
    if preset is None:
        return "quick" if max_minutes is not None and max_minutes < QUICK_BELOW_MIN else DEFAULT_PRESET
    return preset


def resolved_config(
    config: TrainConfig | None, preset: str | None, n_stars: int, *, going_on: bool
) -> TrainConfig:
    """Return the configuration of a run: that given, with what it leaves open from the preset, if there is one."""
    if preset is None:
        assert config is not None
        return config
    accelerated = compute_platform() != "cpu"
    return preset_config(preset, n_stars, stated=config, accelerated=accelerated, going_on=going_on)


class RunPlanner:
    """Plans a run when its flow has been timed: times the emulator too, and shortens both to the time there is.

    Attributes
    ----------
    distil_steps : compiled to be timed; to distil with.
    plan : what came out, None before.
    """

    def __init__(
        self,
        config: TrainConfig,
        law: ExtinctionLaw,
        *,
        g_bright_mag: float,
        g_faint_mag: float,
        started_s: float,
        max_minutes: float | None,
        estimate: Callable[[TrainingPlan], None] | None,
    ) -> None:
        self._config, self._law = config, law
        self._limits_mag = g_bright_mag, g_faint_mag
        self._started_s, self._max_minutes = started_s, max_minutes
        self._estimate = estimate
        self.distil_steps: DistilSteps | None = None
        self.plan: TrainingPlan | None = None

    def __call__(self, measured: Measured) -> Planned:
        """Return what to run, and when its stages must end."""
        self.check()
        emulator_costs = self._time_emulator(measured)
        plan = self.plan = plan_training(
            self._config,
            measured.n_training,
            measured.costs,
            emulator_costs,
            elapsed_s=time.monotonic() - self._started_s,
            other_s=AFTERWARDS_S,
            max_minutes=self._max_minutes,
        )
        if self._estimate is not None:
            self._estimate(plan)
        if self._max_minutes is None:
            return Planned(plan.config, None)
        return Planned(plan.config, self._end_s() - plan.emulator_s)

    def _time_emulator(self, measured: Measured) -> EmulatorCosts | None:
        if self._config.emulator.n_steps == 0:
            return None
        self.distil_steps = DistilSteps(self._config.emulator, self._law, measured.flow.n_bands)
        untrained = Model(
            name="untrained",
            description="",
            flow=measured.flow,
            law=self._law,
            g_bright_mag=self._limits_mag[0],
            g_faint_mag=self._limits_mag[1],
            coverage=fit_coverage(measured.condition),
        )
        return time_distil(untrained, self._config.emulator, self.distil_steps)

    def check(self) -> None:
        """Refuse to go on measuring where the time has passed already.

        Raises
        ------
        InputError
            If so.
        """
        elapsed_s = time.monotonic() - self._started_s
        if self._max_minutes is not None and elapsed_s > 60.0 * self._max_minutes - AFTERWARDS_S:
            raise InputError(
                f"train: max_minutes (--max-minutes) of {self._max_minutes:g} is too short: reading and compiling have taken "
                f"{elapsed_s / 60.0:.1f} minutes so far. {COMPILED_AGAIN} Give more minutes, or the preset quick."
            )

    def seconds_left(self) -> float | None:
        """Return the time for the emulator; None without a limit. [s]"""
        return None if self._max_minutes is None else max(0.0, self._end_s() - time.monotonic())

    def _end_s(self) -> float:
        assert self._max_minutes is not None
        return self._started_s + 60.0 * self._max_minutes - AFTERWARDS_S
