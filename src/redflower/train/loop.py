"""The training loop: stages, early stopping on held-out stars, divergence, checkpoints."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from redflower.errors import InputError, TrainingError
from redflower.flow.bnaf import BlockAutoregressiveNetwork
from redflower.flow.conditional import ConditionalFlow
from redflower.flow.standardise import fit_standardisation
from redflower.physics import ExtinctionLaw, SelectionFunction, Zhang23Law
from redflower.platforms import compute_platform
from redflower.random_streams import Stream, stream_key
from redflower.star import Star
from redflower.train.checkpoint import Epoch, State, load_checkpoint, run_fingerprint, save_checkpoint
from redflower.train.config import TrainConfig
from redflower.train.dataset import CHUNK, conditions, point_estimates, tabulate
from redflower.train.diagnostics import Diagnostics
from redflower.train.loss.contrastive import contrast_strength, next_contrast_steps
from redflower.train.loss.evidence import TrainingStar
from redflower.train.loss.objective import Objective, make_step, rows_of_bad_gradients, stage_optimiser

#: Stars per compiled call of the validation; the last call is padded.
VALIDATION_CHUNK = 2048
GAP_CHUNK = 256
STANDARDISE_STARS = 200_000
MIN_STARS = 500
#: Streams of random numbers: a check of every star, the validation, and from here on a stream per epoch.
CHECK_STREAM, VALIDATION_STREAM, EPOCH_STREAM = 0, 1, 2

Progress = Callable[[Epoch], None]
StepProgress = Callable[[int, int], None]


@dataclass
class TrainResult:
    """The flow that was best on held-out stars, and how it was reached.

    `complete` says that all stages were done; `validation_log_evidence` is the evidence of that flow; `condition` the
    (log10 R/pc, log10 Z/pc) of every star; `bad_rows` the rows that stopped the run, if any; `diagnostics` what a report
    shows, if it was asked for.
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


def train_flow(
    stars: Star | TrainingStar,
    config: TrainConfig,
    *,
    n_bands: int,
    g_bright_mag: float,
    g_faint_mag: float,
    selection: SelectionFunction | None = None,
    law: ExtinctionLaw | None = None,
    names: np.ndarray | None = None,
    start_from: ConditionalFlow | None = None,
    max_minutes: float | None = None,
    checkpoint: Path | None = None,
    resume: bool = False,
    progress: Progress | None = None,
    step_progress: StepProgress | None = None,
) -> TrainResult:
    """Fit the flow to stars believed free of dust by the FLOWER loss.

    Equations: E17-E24 (docs/model.md).

    Parameters
    ----------
    stars : the sample, a batch, or what `redflower.train.dataset` tabulated of one, in memory or memory-mapped; every
        star has G and lies within the limits.
    config : the stages.
    n_bands : how many leading bands the flow models.
    g_bright_mag, g_faint_mag : limits of the sample in apparent G. [mag]
    selection : its selection function, in whose pixels the stars are; 1 everywhere without it.
    law : extinction law of the contrastive term; Zhang & Yuan (2023) without it.
    names : what messages call each star; its row without it.
    start_from : a flow with the same bands to go on from; otherwise the network starts at random.
    max_minutes : stop after this time, keeping the best flow so far.
    checkpoint : file that holds the state after every epoch; the caller removes it when the model is complete.
    resume : go on from that file.
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
    shuffled = np.random.default_rng(config.seed).permutation(n_stars)
    n_validation = max(1, round(config.validation_fraction * n_stars))
    validation_rows, training_rows = np.sort(shuffled[:n_validation]), np.sort(shuffled[n_validation:])
    _check_data(data, names)
    flow = start_from or initial_flow(config, n_bands, data)
    if flow.n_bands != n_bands:
        raise InputError(
            f"train: the model to start from has {flow.n_bands} bands; {n_bands} were asked for."
        )
    gaps = _rows_with_gaps(data, n_bands) if config.integrate_gaps else np.zeros(n_stars, dtype=bool)
    objective = Objective(config, law or Zhang23Law(), g_bright_mag, g_faint_mag, selection)
    contrasting = config.contrast.strength > 0.0
    measure = _make_measure(objective, data, gaps, config.validation_draws, None)
    # One plain draw of each star finds what is not finite in its data.
    _check_finite(_make_measure(objective, data, gaps, 1, "likelihood"), flow, n_stars, names)

    state = State(flow=flow, best_flow=flow)
    fingerprint = run_fingerprint(config, n_bands, data, selection)
    if resume:
        state = load_checkpoint(checkpoint, state, config, fingerprint)
    stopped, bad_rows = "", np.zeros(0, dtype=int)

    def out_of_time() -> bool:
        return max_minutes is not None and time.monotonic() - started > 60.0 * max_minutes

    while state.stage < len(config.stages) and not stopped:
        stage = config.stages[state.stage]
        batch_size = min(stage.batch_size, len(training_rows))
        steps = len(training_rows) // batch_size
        optimiser = stage_optimiser(stage, steps)
        opt_state = optimiser.init(eqx.filter(state.flow.network, eqx.is_inexact_array))
        if state.opt_leaves is not None:
            opt_state = jax.tree.unflatten(jax.tree.structure(opt_state), state.opt_leaves)
            state.opt_leaves = None
        step = make_step(objective, optimiser, stage, contrast=contrasting)
        while state.epoch < stage.max_epochs and state.since_best < stage.patience:
            epoch_start = time.monotonic()
            strength = contrast_strength(config.contrast, state.contrast_steps)
            stream = EPOCH_STREAM + 1000 * state.stage + state.epoch
            rng = np.random.default_rng((config.seed, state.stage, state.epoch))
            batches = Batches(training_rows, gaps, batch_size, rng)
            state.flow, opt_state, means, bad_step = _steps(
                step, state.flow, opt_state, data, batches, strength, stream, out_of_time, step_progress
            )
            where = f"stage {state.stage + 1}, epoch {state.epoch + 1}"
            if bad_step is not None:
                number, flow_then = bad_step
                rows = batches.rows(number)
                bad = rows_of_bad_gradients(
                    objective, flow_then, rows_of(data, rows), rows, gaps[rows],
                    stream=stream, strength=strength, stage=stage,
                )  # fmt: skip
                bad_rows = rows[bad]
                stopped = f"the loss or its gradient was not finite at {where}, step {number + 1}"
                break
            evidence, contrast = measure(state.flow, validation_rows, VALIDATION_STREAM)
            value, validation_contrast = float(np.mean(evidence)), float(np.mean(contrast))
            score = value - config.contrast.strength * validation_contrast  # E22 at its final lambda
            if not np.isfinite(value) or value < state.highest_evidence - config.divergence_nat:
                # The worst tenth of a per cent, at most ten: what to look at first.
                order = np.argsort(np.nan_to_num(evidence, nan=-np.inf))
                bad_rows = validation_rows[order[: min(10, max(1, n_validation // 1000))]]
                stopped = f"the loss diverged at {where}: held-out ln evidence {value:.4g} per star"
                break
            state.since_best += 1
            if score > state.best:
                state.best, state.best_evidence = score, value
                state.best_flow, state.since_best = state.flow, 0
            state.contrast_steps = next_contrast_steps(
                config.contrast, state.contrast_steps, value, state.highest_evidence
            )
            state.highest_evidence = max(state.highest_evidence, value)
            elapsed = time.monotonic() - epoch_start
            record = Epoch(
                state.stage, state.epoch, means[0], value, elapsed, len(means[2]) * batch_size / elapsed,
                means[1], validation_contrast, strength,
                _seconds_left(config, state.stage, state.epoch, elapsed),
            )  # fmt: skip
            state.history.append(record)
            state.epoch += 1
            if checkpoint is not None and len(means[2]) == steps:
                save_checkpoint(checkpoint, state, jax.tree.leaves(opt_state), fingerprint)
            if progress is not None:
                progress(record)
            if out_of_time():
                stopped = f"the time limit of {max_minutes:g} minutes was reached"
                break
        # The next stage starts from the best flow, with a fresh optimiser.
        state.flow, state.epoch, state.since_best = state.best_flow, 0, 0
        state.stage += 1
    if len(bad_rows):
        names = bad_rows if names is None else np.asarray(names)[bad_rows]
        stopped += f"; the stars are {', '.join(map(str, names[:10]))}" + (", ..." if len(names) > 10 else "")
    if not np.isfinite(state.best):
        raise TrainingError(
            f"train: no epoch ended with a finite evidence ({stopped}). Lower the learning rate, or leave these stars out."
        )
    return TrainResult(
        flow=state.best_flow,
        validation_log_evidence=state.best_evidence,
        history=state.history,
        condition=conditions(data),
        validation_rows=validation_rows,
        stopped_because=stopped or "all stages were done",
        complete=not stopped,
        bad_rows=bad_rows,
    )


class Batches:
    """The batches of one epoch: every batch has its share of the stars with gaps, in a group of its own.

    Only that group pays for drawing missing bands. It has one size, so that the step is compiled once; where the
    share is not whole, the last place is a repeated star of weight zero.
    """

    def __init__(self, rows: np.ndarray, gaps: np.ndarray, batch_size: int, rng: np.random.Generator) -> None:
        order = rng.permutation(rows)
        self._gappy, self._complete = order[gaps[order]], order[~gaps[order]]
        self.n_steps = len(rows) // batch_size
        self._edges = np.round(np.linspace(0, len(self._gappy), self.n_steps + 1)).astype(int)
        self._n_gappy = int(np.max(np.diff(self._edges)))
        self._n_complete = min(batch_size - self._n_gappy, len(self._complete) // self.n_steps)

    def groups(self, step: int) -> list[tuple[bool, np.ndarray, np.ndarray]]:
        """(with gaps, rows, weights) of every group of a step; rows rise, for the sake of memory-mapped files."""
        out = []
        if self._n_complete:
            rows = np.sort(self._complete[step * self._n_complete : (step + 1) * self._n_complete])
            out.append((False, rows, np.ones(len(rows), np.float32)))
        if self._n_gappy:
            rows = np.sort(self._gappy[self._edges[step] : self._edges[step + 1]])
            weights = (np.arange(self._n_gappy) < len(rows)).astype(np.float32)
            padded = np.concatenate([rows, np.repeat(self._gappy[:1], self._n_gappy - len(rows))])
            out.append((True, padded, weights))
        return out

    def rows(self, step: int) -> np.ndarray:
        """All rows of a step."""
        return np.unique(np.concatenate([rows for _, rows, _ in self.groups(step)]))


def _steps(
    step: Callable,
    flow: ConditionalFlow,
    opt_state: Any,
    data: TrainingStar,
    batches: Batches,
    strength: float,
    stream: int,
    out_of_time: Callable[[], bool],
    step_progress: StepProgress | None,
) -> tuple[ConditionalFlow, Any, tuple[float, float, list], tuple[int, ConditionalFlow] | None]:
    """The steps of one epoch, up to the first that is not finite or to the end of the time."""
    outcomes: list[tuple] = []
    flows = [flow, flow]
    for i in range(batches.n_steps):
        groups = tuple(
            (has_gaps, rows_of(data, rows), jnp.asarray(rows, jnp.uint32), jnp.asarray(weights))
            for has_gaps, rows, weights in batches.groups(i)
        )
        flows = [flows[1], flow]
        flow, opt_state, *outcome = step(flow, opt_state, jnp.float32(strength), jnp.uint32(stream), groups)
        outcomes.append(tuple(outcome))
        # Looked at a step late, so that a batch is gathered while the one before it is worked on. A step that was
        # not finite has changed nothing.
        if i and not bool(outcomes[-2][2]):
            return flow, opt_state, (0.0, 0.0, outcomes), (i - 1, flows[0])
        if step_progress is not None:
            step_progress(i + 1, batches.n_steps)
        if out_of_time():
            break
    if not bool(outcomes[-1][2]):
        return flow, opt_state, (0.0, 0.0, outcomes), (len(outcomes) - 1, flows[1])
    evidence, contrast = (float(np.mean([float(o[k]) for o in outcomes])) for k in (0, 1))
    return flow, opt_state, (evidence, contrast, outcomes), None


def _make_measure(
    objective: Objective, data: TrainingStar, gaps: np.ndarray, n_draws: int, magnitudes: str | None
) -> Callable:
    """A function of (flow, rows, stream) that gives ln L_s and ln C_s of every row."""
    contrast = objective.config.contrast.strength > 0.0

    @eqx.filter_jit
    def terms(flow, batch, rows, stream, has_gaps):
        return objective.terms(
            flow,
            batch,
            rows,
            stream,
            n_draws=n_draws,
            gaps=has_gaps,
            contrast=contrast,
            magnitudes=magnitudes,
        )

    def measure(flow: ConditionalFlow, rows: np.ndarray, stream: int) -> tuple[np.ndarray, np.ndarray]:
        out = np.zeros((2, len(rows)))
        for has_gaps, chunk in ((False, VALIDATION_CHUNK), (True, GAP_CHUNK)):
            group = np.flatnonzero(gaps[rows] == has_gaps)
            for start in range(0, len(group), chunk):
                place = group[np.minimum(np.arange(start, start + chunk), len(group) - 1)]
                values = terms(
                    flow, rows_of(data, rows[place]), jnp.asarray(rows[place], jnp.uint32), jnp.uint32(stream), has_gaps
                )  # fmt: skip
                out[:, place] = np.asarray(values)
        return out[0], out[1]

    return measure


def rows_of(data: TrainingStar, rows: np.ndarray) -> TrainingStar:
    """Some stars of a sample, gathered from memory or from files."""
    return jax.tree.map(lambda a: jnp.asarray(a[rows]), data)


def _rows_with_gaps(data: TrainingStar, n_bands: int) -> np.ndarray:
    """Which stars lack a band before their last one."""
    observed = np.asarray(data.star.observed)[:, :n_bands]
    last = n_bands - 1 - np.argmax(observed[:, ::-1], axis=1)
    return observed.sum(axis=1) <= last


def initial_flow(config: TrainConfig, n_bands: int, data: TrainingStar) -> ConditionalFlow:
    """A random network behind a standardisation fitted to the sample, or to `STANDARDISE_STARS` of it."""
    n_stars = len(data.star.parallax_mas)
    few = np.sort(np.random.default_rng(config.seed).permutation(n_stars)[:STANDARDISE_STARS])
    x, observed, condition = point_estimates(jax.tree.map(lambda a: a[few], data), n_bands)
    network = BlockAutoregressiveNetwork(
        stream_key(config.seed, Stream.FLOW_WEIGHTS),
        dim=n_bands,
        cond_dim=condition.shape[1],
        depth=config.flow.depth,
        block_dim=config.flow.block_dim,
    )
    return ConditionalFlow(network, fit_standardisation(x, observed, condition))


def _seconds_left(config: TrainConfig, stage: int, epoch: int, seconds: float) -> float:
    """Time until all stages are done, from that of one epoch and the draws of each."""
    left = seconds * (config.stages[stage].max_epochs - epoch - 1)
    for later in config.stages[stage + 1 :]:
        left += seconds * later.max_epochs * later.n_draws / config.stages[stage].n_draws
    return left


def _check_data(data: TrainingStar, names: np.ndarray | None) -> None:
    """Refuse a sample with data that are not numbers: nothing can be fitted to it, not even a standardisation."""
    n_stars = len(data.star.parallax_mas)
    bad: list[np.ndarray] = []
    for start in range(0, n_stars, CHUNK):
        part = [np.asarray(leaf[start : start + CHUNK]) for leaf in jax.tree.leaves(data)]
        finite = [np.isfinite(a).reshape(len(a), -1).all(axis=1) for a in part if a.dtype.kind == "f"]
        bad.append(start + np.flatnonzero(~np.all(finite, axis=0)))
    _refuse(np.concatenate(bad), n_stars, names)


def _refuse(bad: np.ndarray, n_stars: int, names: np.ndarray | None) -> None:
    if len(bad):
        words = bad[:10] if names is None else np.asarray(names)[bad[:10]]
        raise TrainingError(
            f"train: the evidence of {len(bad)} of {n_stars} stars is not finite; the first are "
            f"{', '.join(map(str, words))}. Check their magnitudes, errors and parallaxes, or leave them out."
        )


def _check_finite(measure: Callable, flow: ConditionalFlow, n_stars: int, names: np.ndarray | None) -> None:
    """Refuse a sample in which some star has no finite evidence, before hours are spent on it."""
    evidence, contrast = measure(flow, np.arange(n_stars), CHECK_STREAM)
    _refuse(np.flatnonzero(~np.isfinite(evidence + contrast)), n_stars, names)
