"""The stages of a run: epochs until the held-out stars stop improving, or until something stops the run."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from redflower.flow.outliers import fit_outlier_share
from redflower.train.batches import Batches, Sample
from redflower.train.checkpoint import Epoch, State, save_checkpoint
from redflower.train.config import StageConfig, TrainConfig
from redflower.train.epochs import BadStep, EpochLoss, EpochOutcome, StepProgress, run_epoch
from redflower.train.loss.contrastive import contrast_strength, next_contrast_steps
from redflower.train.loss.objective import Objective, learning_rate, log_mixture, rows_of_bad_gradients
from redflower.train.measure import EPOCH_STREAM, VALIDATION_STREAM, Measure
from redflower.train.plan import FlowCosts, seconds_left
from redflower.train.steps import CompiledSteps, epoch_batches

#: A larger share of outliers says that the flow does not know the population, and not what the sample holds.
MOST_OUTLIERS = 0.25

Progress = Callable[[Epoch], None]


@dataclass(frozen=True)
class Stop:
    """Why a run ended before its last stage was done, and the rows of the stars at fault, if there are any."""

    because: str
    rows: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=int))

    def sentence(self, names: np.ndarray | None) -> str:
        """Return the reason, with the first of the stars by name, or by row if there are no names."""
        if not len(self.rows):
            return self.because
        words = self.rows if names is None else np.asarray(names)[self.rows]
        return f"{self.because}; the stars are {', '.join(map(str, words[:10]))}" + (
            ", ..." if len(words) > 10 else ""
        )


@dataclass
class Run:
    """What the stages of a run share; `state` alone changes from epoch to epoch.

    Attributes
    ----------
    config : what is run.
    sample : its stars.
    objective, steps, measure : the loss, its compiled steps, and its measure on held-out stars.
    state : as it begins, or as a checkpoint has it.
    starts_trained : whether the flow that it begins with knows the population already.
    costs : measured times of the steps, if they were measured.
    stop_at_s : when to stop, by `time.monotonic`; never when None. [s]
    checkpoint, fingerprint : file of the state after every epoch, and what it must share with the run that resumes it.
    progress, step_progress : called after every epoch, and after every step.
    """

    config: TrainConfig
    sample: Sample
    objective: Objective
    steps: CompiledSteps
    measure: Measure
    state: State
    starts_trained: bool
    costs: FlowCosts | None
    stop_at_s: float | None
    checkpoint: Path | None
    fingerprint: str
    progress: Progress | None
    step_progress: StepProgress | None

    def stages(self) -> Stop | None:
        """Run the stages that are left, and return what stopped them before the last was done."""
        state = self.state
        while state.stage < len(self.config.stages):
            stop = self._stage(self.config.stages[state.stage])
            if stop is not None:
                return stop
            # The next stage starts from the best flow, with a fresh optimiser.
            state.flow, state.epoch, state.since_best = state.best_flow, 0, 0
            state.stage += 1
        return None

    def _stage(self, stage: StageConfig) -> Stop | None:
        """Run the epochs of a stage until its length or its patience ends, or something stops the run."""
        state = self.state
        optimiser, step = self.steps.of(stage)
        opt_state = optimiser.init(eqx.filter(state.flow.network, eqx.is_inexact_array))
        if state.opt_leaves is not None:
            opt_state = jax.tree.unflatten(jax.tree.structure(opt_state), state.opt_leaves)
            state.opt_leaves = None
        while state.epoch < stage.max_epochs and state.since_best < stage.patience:
            opt_state, stop = self._epoch(stage, step, opt_state)
            if stop is not None:
                return stop
        return None

    def _epoch(self, stage: StageConfig, step: Callable, opt_state: Any) -> tuple[Any, Stop | None]:
        """Run one epoch, judge the flow on the held-out stars, and record both."""
        state, config, started_s = self.state, self.config, time.monotonic()
        where = f"stage {state.stage + 1}, epoch {state.epoch + 1}"
        rng = np.random.default_rng((config.seed, state.stage, state.epoch))
        batches = epoch_batches(stage, self.sample.training_rows, self.sample.gaps, rng)
        loss = self._loss(stage)
        all_steps, done = stage.max_epochs * batches.n_steps, state.epoch * batches.n_steps
        outcome = run_epoch(
            step, state.flow, opt_state, self.sample.data, batches, loss,
            rate=lambda i: learning_rate(stage, (done + i) / all_steps),
            out_of_time=self._out_of_time, progress=self.step_progress,
        )  # fmt: skip
        state.flow = outcome.flow
        if outcome.bad_step is not None:
            return outcome.opt_state, self._stop_at(outcome.bad_step, batches, loss, stage, where)
        evidence, contrast = self._held_out()
        value = float(np.mean(evidence))
        if not np.isfinite(value) or value < state.highest_evidence - config.divergence_nat:
            # The worst tenth of a per cent, at most ten: what to look at first.
            rows = self.sample.validation_rows
            order = np.argsort(np.nan_to_num(evidence, nan=-np.inf))
            worst = rows[order[: min(10, max(1, len(rows) // 1000))]]
            because = f"the loss diverged at {where}: held-out ln evidence {value:.4g} per star"
            return outcome.opt_state, Stop(because, worst)
        self._judge(value, contrast)
        self._record(stage, outcome, loss, value, contrast, time.monotonic() - started_s)
        if self.checkpoint is not None and outcome.n_steps == batches.n_steps:
            save_checkpoint(
                self.checkpoint, state, jax.tree.leaves(outcome.opt_state), self.fingerprint, config
            )
        if self.progress is not None:
            self.progress(state.history[-1])
        if self._out_of_time():
            return outcome.opt_state, Stop("the time limit was reached before the last stage was done")
        return outcome.opt_state, None

    def _loss(self, stage: StageConfig) -> EpochLoss:
        """Return what the loss of the coming epoch is made with."""
        state = self.state
        # A flow that is still random would leave every star to the outliers, and learn nothing from any.
        knows_the_population = self.starts_trained or state.stage > 0 or 2 * state.epoch >= stage.max_epochs
        return EpochLoss(
            stream=EPOCH_STREAM + 1000 * state.stage + state.epoch,
            strength=contrast_strength(self.config.contrast, state.contrast_steps),
            outlier_share=state.outlier_share if knows_the_population else 0.0,
        )

    def _stop_at(
        self, bad: BadStep, batches: Batches, loss: EpochLoss, stage: StageConfig, where: str
    ) -> Stop:
        """Find the stars at fault in a step that was not finite."""
        groups = batches.gathered(self.sample.data, bad.number)
        return Stop(
            f"the loss or its gradient was not finite at {where}, step {bad.number + 1}",
            rows_of_bad_gradients(self.objective, bad.flow, groups, stage=stage, **loss._asdict()),
        )

    def _held_out(self) -> tuple[np.ndarray, float]:
        """Measure the flow on the held-out stars: ln evidence of each, fitted share of outliers included, and mean ln C."""
        state, rows = self.state, self.sample.validation_rows
        evidence, contrast = self.measure(state.flow, rows, VALIDATION_STREAM)
        log_outlier = np.asarray(self.sample.data.log_outlier, float)[rows]
        if self.config.outlier_share > 0.0 and np.isfinite(evidence).all():
            share = fit_outlier_share(evidence, log_outlier)
            state.outlier_share = share if share < MOST_OUTLIERS else 0.0
            evidence = np.asarray(
                log_mixture(jnp.asarray(evidence), jnp.asarray(log_outlier), state.outlier_share)
            )
        return evidence, float(np.mean(contrast))

    def _judge(self, evidence: float, contrast: float) -> None:
        """Keep the flow if it is the best so far, and set lambda's next step, by the means of the stars held out."""
        state, config = self.state, self.config
        score = evidence - config.contrast.strength * contrast  # E22 at its final lambda
        state.since_best += 1
        if score > state.best:
            state.best, state.best_evidence = score, evidence
            state.best_flow, state.since_best = state.flow, 0
        state.contrast_steps = next_contrast_steps(
            config.contrast, state.contrast_steps, evidence, state.highest_evidence
        )
        state.highest_evidence = max(state.highest_evidence, evidence)

    def _record(
        self,
        stage: StageConfig,
        outcome: EpochOutcome,
        loss: EpochLoss,
        evidence: float,
        contrast: float,
        seconds: float,
    ) -> None:
        """Add the epoch to the history, and count it."""
        state, n_training = self.state, len(self.sample.training_rows)
        state.history.append(
            Epoch(
                stage=state.stage,
                epoch=state.epoch,
                train_log_evidence=outcome.log_evidence,
                validation_log_evidence=evidence,
                seconds=seconds,
                stars_per_s=outcome.n_steps * min(stage.batch_size, n_training) / seconds,
                train_log_contrast=outcome.log_contrast,
                validation_log_contrast=contrast,
                contrast_strength=loss.strength,
                seconds_left=seconds_left(
                    self.config, state.stage, state.epoch, seconds, n_training, self.costs
                ),
            )
        )
        state.epoch += 1

    def _out_of_time(self) -> bool:
        return self.stop_at_s is not None and time.monotonic() > self.stop_at_s
