"""Training a flow on a sample: its checks, what its stages share, and what they led to."""

import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from redflower.errors import InputError, TrainingError
from redflower.flow.conditional import ConditionalFlow
from redflower.physics import ExtinctionLaw, SelectionFunction, default_law
from redflower.platforms import compute_platform
from redflower.star import Star
from redflower.train.batches import Sample, rows_with_gaps
from redflower.train.checkpoint import Epoch, State, load_checkpoint, run_fingerprint
from redflower.train.config import TrainConfig
from redflower.train.dataset import conditions, tabulate
from redflower.train.diagnostics import Diagnostics
from redflower.train.epochs import StepProgress
from redflower.train.loss.objective import Objective
from redflower.train.loss.training_star import TrainingStar
from redflower.train.measure import check_data, check_finite, make_measure
from redflower.train.plan import FlowCosts
from redflower.train.stages import Progress, Run
from redflower.train.start import first_flow, split_rows, with_outliers
from redflower.train.steps import CompiledSteps, Measured, Planner, time_flow

MIN_TRAINING_STARS = 500


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
    started_s = time.monotonic()
    data = stars if isinstance(stars, TrainingStar) else tabulate(stars)
    n_stars = len(data.star.parallax_mas)
    if n_stars < MIN_TRAINING_STARS:
        raise InputError(
            f"train: {n_stars} usable stars; at least {MIN_TRAINING_STARS} are needed to fit the flow."
        )
    training_rows, validation_rows = split_rows(n_stars, config)
    check_data(data, names)
    flow = first_flow(config, n_bands, data, start_from)
    if flow.n_bands != n_bands:
        raise InputError(
            f"train: the model to start from has {flow.n_bands} bands; {n_bands} were asked for."
        )
    gaps = rows_with_gaps(data, n_bands) if config.integrate_gaps else np.zeros(n_stars, dtype=bool)
    data = with_outliers(
        data, flow, config, n_bands=n_bands, g_bright_mag=g_bright_mag, g_faint_mag=g_faint_mag
    )
    sample = Sample(data=data, gaps=gaps, training_rows=training_rows, validation_rows=validation_rows)
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
    stop_at_s = None if max_minutes is None else started_s + 60.0 * max_minutes
    steps = CompiledSteps(objective)
    costs: FlowCosts | None = None
    if plan is not None and not resume:
        costs = time_flow(config.stages, steps, flow, sample, measure=measure, check=plan.check)
        config, stop_at_s = plan(
            Measured(flow=flow, condition=conditions(data), n_training=len(training_rows), costs=costs)
        )
    run = Run(
        config=config,
        sample=sample,
        objective=objective,
        steps=steps,
        measure=measure,
        state=state,
        starts_trained=start_from is not None,
        costs=costs,
        stop_at_s=stop_at_s,
        checkpoint=checkpoint,
        fingerprint=fingerprint,
        progress=progress,
        step_progress=step_progress,
    )
    stop = run.stages()
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
