"""The training loop: stages, early stopping on held-out stars, divergence, checkpoints."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from redflower.errors import InputError, TrainingError
from redflower.flow.conditional import ConditionalFlow
from redflower.flow.outliers import fit_outlier_share
from redflower.physics import ExtinctionLaw, SelectionFunction, default_law
from redflower.platforms import compute_platform
from redflower.star import Star
from redflower.train.batches import rows_with_gaps
from redflower.train.checkpoint import Epoch, State, load_checkpoint, run_fingerprint, save_checkpoint
from redflower.train.config import StageConfig, TrainConfig
from redflower.train.dataset import conditions, tabulate
from redflower.train.diagnostics import Diagnostics
from redflower.train.epochs import StepProgress, run_epoch
from redflower.train.loss.contrastive import contrast_strength, next_contrast_steps
from redflower.train.loss.objective import Objective, learning_rate, log_mixture, rows_of_bad_gradients
from redflower.train.loss.training_star import TrainingStar
from redflower.train.measure import EPOCH_STREAM, VALIDATION_STREAM, check_data, check_finite, make_measure
from redflower.train.plan import FlowCosts, seconds_left
from redflower.train.start import initial_flow, split_rows, with_outliers
from redflower.train.steps import CompiledSteps, Measured, Planner, epoch_batches, time_flow

MIN_STARS = 500
#: A larger share of outliers says that the flow does not know the population, and not what the sample holds.
MOST_OUTLIERS = 0.25

Progress = Callable[[Epoch], None]


@dataclass
class TrainResult:
    """The flow that was best on held-out stars, and how it was reached.

    `outlier_share` is the share of the stars that are not of the population;
    `complete` says that all stages were done; `validation_log_evidence` is the evidence of that flow; `condition` the
    (log10 R/pc, log10 Z/pc) of every star; `bad_rows` the rows that stopped the run, if any; `diagnostics` what a report
    shows, if it was asked for; `config` what was run.
    """

    flow: ConditionalFlow
    validation_log_evidence: float
    history: list[Epoch] = field(default_factory=list)
    condition: np.ndarray = field(default_factory=lambda: np.zeros((0, 2)))
    validation_rows: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=int))
    stopped_because: str = ""
    complete: bool = False
    bad_rows: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=int))
    diagnostics: Diagnostics | None = None
    outlier_share: float = 0.0
    config: TrainConfig = field(default_factory=TrainConfig)


def train_flow(
    stars: Star | TrainingStar,
    config: TrainConfig,
    *,
    n_bands: int,
    g_bright_mag: float,
    g_faint_mag: float,
    selection: SelectionFunction | None = None,
    prior_limit_mag: float | None = None,
    law: ExtinctionLaw | None = None,
    names: np.ndarray | None = None,
    start_from: ConditionalFlow | None = None,
    max_minutes: float | None = None,
    plan: Planner | None = None,
    checkpoint: Path | None = None,
    resume: bool = False,
    progress: Progress | None = None,
    step_progress: StepProgress | None = None,
) -> TrainResult:
    """Fit the flow to stars believed free of dust by the FLOWER loss.

    Equations: E17-E24 (docs/explanation/model.md).

    Parameters
    ----------
    stars : the sample, a batch, or what `redflower.train.dataset` tabulated of one, in memory or memory-mapped; every
        star has G and lies within the limits.
    config : the stages.
    n_bands : how many leading bands the flow models.
    g_bright_mag, g_faint_mag : limits of the sample in apparent G. [mag]
    selection : its selection function, in whose pixels the stars are. If None, it is 1 everywhere.
    prior_limit_mag : limit in G of the stars whose distances the prior gives (E13b). If None, the prior is of all stars. [mag]
    law : extinction law of the contrastive term. Defaults to `redflower.physics.default_law`.
    names : identifiers used in messages. Defaults to row numbers.
    start_from : a flow with the same bands to start from. If None, the network starts at random.
    max_minutes : stop after this time, keeping the best flow so far.
    plan : called before the first step with what was measured on this machine; its configuration, which may differ in
        lengths alone, is run instead, until the time that it says. A run that goes on keeps the plan of its start.
    checkpoint : file that holds the state after every epoch; the caller removes it when the model is complete.
    resume : continue from that file, by the plan of its run.
    progress : called after every epoch.
    step_progress : called after every step with the steps done and the steps of the epoch.

    Raises
    ------
    InputError : too few stars, or a checkpoint that belongs to another run.
    TrainingError : the evidence is not finite; the message names rows of the sample.
    """
    compute_platform()
    started = time.monotonic()
    data = stars if isinstance(stars, TrainingStar) else tabulate(stars)
    n_stars = len(data.star.parallax_mas)
    if n_stars < MIN_STARS:
        raise InputError(f"train: {n_stars} usable stars; at least {MIN_STARS} are needed to fit the flow.")
    training_rows, validation_rows = split_rows(n_stars, config)
    check_data(data, names)
    flow = start_from or initial_flow(config, n_bands, data)
    if flow.n_bands != n_bands:
        raise InputError(
            f"train: the model to start from has {flow.n_bands} bands; {n_bands} were asked for."
        )
    gaps = rows_with_gaps(data, n_bands) if config.integrate_gaps else np.zeros(n_stars, dtype=bool)
    data = with_outliers(
        data, flow, config, n_bands=n_bands, g_bright_mag=g_bright_mag, g_faint_mag=g_faint_mag
    )
    objective = Objective(
        config=config,
        law=law or default_law(),
        g_bright_mag=g_bright_mag,
        g_faint_mag=g_faint_mag,
        selection=selection,
        prior_limit_mag=prior_limit_mag,
    )
    measure = make_measure(objective, data, gaps, config.validation_draws, None)
    # One plain draw of each star finds what is not finite in its data.
    check_finite(make_measure(objective, data, gaps, 1, "likelihood"), flow, n_stars, names)

    state = State(
        flow=flow, best_flow=flow, outlier_share=config.outlier_share if start_from is not None else 0.0
    )
    fingerprint = run_fingerprint(config, n_bands, data, selection, prior_limit_mag)
    if resume:
        state, config = load_checkpoint(checkpoint, state, fingerprint)
    stop: Stop | None = None
    stop_at_s = None if max_minutes is None else started + 60.0 * max_minutes
    steps = CompiledSteps(objective)
    costs: FlowCosts | None = None
    if plan is not None and not resume:
        costs = time_flow(
            config.stages, steps, flow, data,
            training_rows=training_rows, validation_rows=validation_rows, gaps=gaps, measure=measure,
            check=plan.check,
        )  # fmt: skip
        config, stop_at_s = plan(Measured(flow, conditions(data), len(training_rows), costs))

    def out_of_time() -> bool:
        return stop_at_s is not None and time.monotonic() > stop_at_s

    while state.stage < len(config.stages) and stop is None:
        stage = config.stages[state.stage]
        optimiser, step = steps.of(stage)
        opt_state = optimiser.init(eqx.filter(state.flow.network, eqx.is_inexact_array))
        if state.opt_leaves is not None:
            opt_state = jax.tree.unflatten(jax.tree.structure(opt_state), state.opt_leaves)
            state.opt_leaves = None
        while state.epoch < stage.max_epochs and state.since_best < stage.patience:
            epoch_start = time.monotonic()
            where = f"stage {state.stage + 1}, epoch {state.epoch + 1}"
            strength = contrast_strength(config.contrast, state.contrast_steps)
            # A flow that is still random would leave every star to the outliers, and learn nothing from any.
            knows_the_population = (
                start_from is not None or state.stage > 0 or 2 * state.epoch >= stage.max_epochs
            )
            loss_share = state.outlier_share if knows_the_population else 0.0
            stream = EPOCH_STREAM + 1000 * state.stage + state.epoch
            rng = np.random.default_rng((config.seed, state.stage, state.epoch))
            batches = epoch_batches(stage, training_rows, gaps, rng)
            all_steps, done = stage.max_epochs * batches.n_steps, state.epoch * batches.n_steps

            def rate(
                i: int, stage: StageConfig = stage, done: int = done, all_steps: int = all_steps
            ) -> float:
                return learning_rate(stage, (done + i) / all_steps)

            outcome = run_epoch(
                step, state.flow, opt_state, data, batches,
                rate=rate, strength=strength, outlier_share=loss_share, stream=stream,
                out_of_time=out_of_time, progress=step_progress,
            )  # fmt: skip
            state.flow, opt_state = outcome.flow, outcome.opt_state
            if outcome.bad_step is not None:
                number, flow_then = outcome.bad_step
                groups = batches.gathered(data, number)
                stop = Stop(
                    f"the loss or its gradient was not finite at {where}, step {number + 1}",
                    rows_of_bad_gradients(
                        objective,
                        flow_then,
                        groups,
                        stream=stream,
                        strength=strength,
                        outlier_share=loss_share,
                        stage=stage,
                    ),  # fmt: skip
                )
                break
            evidence, contrast = measure(state.flow, validation_rows, VALIDATION_STREAM)
            log_outlier = np.asarray(data.log_outlier, float)[validation_rows]
            if config.outlier_share > 0.0 and np.isfinite(evidence).all():
                share = fit_outlier_share(evidence, log_outlier)
                state.outlier_share = share if share < MOST_OUTLIERS else 0.0
                evidence = np.asarray(
                    log_mixture(jnp.asarray(evidence), jnp.asarray(log_outlier), state.outlier_share)
                )
            value, validation_contrast = float(np.mean(evidence)), float(np.mean(contrast))
            if not np.isfinite(value) or value < state.highest_evidence - config.divergence_nat:
                # The worst tenth of a per cent, at most ten: what to look at first.
                order = np.argsort(np.nan_to_num(evidence, nan=-np.inf))
                worst = validation_rows[order[: min(10, max(1, len(validation_rows) // 1000))]]
                stop = Stop(f"the loss diverged at {where}: held-out ln evidence {value:.4g} per star", worst)
                break
            _judge(state, config, value, validation_contrast)
            elapsed = time.monotonic() - epoch_start
            record = Epoch(
                stage=state.stage,
                epoch=state.epoch,
                train_log_evidence=outcome.log_evidence,
                validation_log_evidence=value,
                seconds=elapsed,
                stars_per_s=outcome.n_steps * min(stage.batch_size, len(training_rows)) / elapsed,
                train_log_contrast=outcome.log_contrast,
                validation_log_contrast=validation_contrast,
                contrast_strength=strength,
                seconds_left=seconds_left(
                    config, state.stage, state.epoch, elapsed, len(training_rows), costs
                ),
            )
            state.history.append(record)
            state.epoch += 1
            if checkpoint is not None and outcome.n_steps == batches.n_steps:
                save_checkpoint(checkpoint, state, jax.tree.leaves(opt_state), fingerprint, config)
            if progress is not None:
                progress(record)
            if out_of_time():
                stop = Stop("the time limit was reached before the last stage was done")
                break
        # The next stage starts from the best flow, with a fresh optimiser.
        state.flow, state.epoch, state.since_best = state.best_flow, 0, 0
        state.stage += 1
    because = "all stages were done" if stop is None else stop.sentence(names)
    if not np.isfinite(state.best):
        raise TrainingError(
            f"train: no epoch ended with a finite evidence ({because}). Lower the learning rate, or leave these stars out."
        )
    return TrainResult(
        flow=state.best_flow,
        validation_log_evidence=state.best_evidence,
        history=state.history,
        condition=conditions(data),
        validation_rows=validation_rows,
        stopped_because=because,
        outlier_share=state.outlier_share,
        complete=stop is None,
        bad_rows=np.zeros(0, dtype=int) if stop is None else stop.rows,
        config=config,
    )


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


def _judge(state: State, config: TrainConfig, evidence: float, contrast: float) -> None:
    """Keep the flow if it is the best so far, and set lambda's next step, by the means of the stars held out."""
    score = evidence - config.contrast.strength * contrast  # E22 at its final lambda
    state.since_best += 1
    if score > state.best:
        state.best, state.best_evidence = score, evidence
        state.best_flow, state.since_best = state.flow, 0
    state.contrast_steps = next_contrast_steps(
        config.contrast, state.contrast_steps, evidence, state.highest_evidence
    )
    state.highest_evidence = max(state.highest_evidence, evidence)
