"""What `redflower train` says while it works: its plan, every epoch, long epochs, and the emulator."""

import time
from typing import TYPE_CHECKING

from redflower.cli.progress import say

if TYPE_CHECKING:
    from redflower.train import DistilStep, Epoch
    from redflower.train.plan import TrainingPlan

STEP_LINE_EVERY_S = 30.0


class TrainingLines:
    """Say how a run goes on.

    Parameters
    ----------
    max_minutes : the time that was asked for. [min]
    """

    def __init__(self, max_minutes: float | None) -> None:
        self._max_minutes = max_minutes
        self._stages = ""
        self.emulator_began = False
        self._started_s = self._last_s = time.monotonic()

    def plan(self, plan: "TrainingPlan") -> None:
        """Say what is planned, before the first step that counts."""
        self._stages = f" of {len(plan.config.stages)}"
        say(plan_sentence(plan, self._max_minutes))

    def epoch(self, epoch: "Epoch") -> None:
        """Say what an epoch showed."""
        contrast = ""
        if epoch.validation_log_contrast != 0.0:
            contrast = f"reddened copies {epoch.validation_log_contrast:.2f} at lambda {epoch.contrast_strength:.3f}; "
        say(
            f"stage {epoch.stage + 1}{self._stages}, epoch {epoch.epoch + 1}: ln evidence per star "
            f"{epoch.validation_log_evidence:.4f} held out, {epoch.train_log_evidence:.4f} training; {contrast}"
            f"{epoch.stars_per_s:,.0f} stars/s, at most {duration(epoch.seconds_left)} left"
        )

    def step(self, done: int, total: int) -> None:
        """Say every half minute how far a long epoch is."""
        now_s = time.monotonic()
        if done == 1:
            self._started_s = self._last_s = now_s
        elif now_s - self._last_s > STEP_LINE_EVERY_S:
            self._last_s = now_s
            left_s = (now_s - self._started_s) * (total - done) / (done - 1)
            say(f"  step {done:,} of {total:,}; {duration(left_s)} left of this epoch")

    def emulator(self, step: "DistilStep") -> None:
        """Say how far the emulator is."""
        self.emulator_began = True
        say(
            f"emulator of the fast engine, step {step.step:,} of {step.n_steps:,}: ln density {-step.density_loss:.4f}, "
            f"ln proposal {-step.denoiser_loss:.4f} per held-out star; "
            f"{duration(step.seconds / step.step * (step.n_steps - step.step))} left"
        )


def plan_sentence(plan: "TrainingPlan", max_minutes: float | None) -> str:
    """Say how long a plan should take, and what it leaves out."""
    stages = ", ".join(
        f"{stage.max_epochs} epochs of {stage.n_draws} draws in batches of {stage.batch_size:,}"
        for stage in plan.config.stages
    )
    emulator = "no emulator"
    if plan.config.emulator.n_steps:
        emulator = f"emulator {duration(plan.emulator_s)} ({plan.config.emulator.n_steps:,} steps)"
    about = "at most" if plan.early_stops else "about"
    sentence = (
        f"{about} {duration(plan.left_s)} from now: flow {duration(plan.flow_s)} ({stages}), {emulator}, the rest "
        f"{duration(plan.other_s)}; {duration(plan.elapsed_s)} went into reading, compiling and timing"
    )
    if plan.shortened:
        assert max_minutes is not None
        sentence += f". Stages and emulator are shortened to fit into {max_minutes:g} minutes"
    return sentence


def duration(seconds: float) -> str:
    """Return a time span in the unit that suits it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
