"""The training loop: stages, early stopping on held-out evidence, checkpoints."""

import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from redflower.errors import InputError, TrainingError
from redflower.flow.bnaf import BlockAutoregressiveNetwork
from redflower.flow.conditional import ConditionalFlow
from redflower.flow.standardise import fit_standardisation
from redflower.star import Star
from redflower.train.config import StageConfig, TrainConfig
from redflower.train.dataset import make_training_stars, point_estimates
from redflower.train.evidence import TrainingStar, log_evidence

#: Stars per compiled call of the validation; the last call is padded.
VALIDATION_CHUNK = 2048
MIN_STARS = 500


@dataclass(frozen=True)
class Epoch:
    """What one epoch showed; a list of them is the training history."""

    stage: int
    epoch: int
    train_log_evidence: float
    validation_log_evidence: float
    seconds: float
    stars_per_s: float


@dataclass
class TrainResult:
    """The flow with the best held-out evidence, and how it was reached."""

    flow: ConditionalFlow
    validation_log_evidence: float
    history: list[Epoch] = field(default_factory=list)
    condition: np.ndarray = field(default_factory=lambda: np.zeros((0, 2)))
    validation_rows: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=int))
    stopped_because: str = ""


Progress = Callable[[Epoch], None]


def train_flow(
    stars: Star,
    config: TrainConfig,
    *,
    n_bands: int,
    g_bright_mag: float,
    g_faint_mag: float,
    start_from: ConditionalFlow | None = None,
    max_minutes: float | None = None,
    checkpoint: Path | None = None,
    resume: bool = False,
    progress: Progress | None = None,
) -> TrainResult:
    """Fit the flow to stars believed free of dust by maximising their marginal likelihood.

    Equations: E17-E19, E23, E24 (docs/model.md), without the contrastive term.

    Parameters
    ----------
    stars : the sample, a batch; every star has G and lies within the limits.
    config : the stages.
    n_bands : how many leading bands the flow models.
    g_bright_mag, g_faint_mag : limits of the sample in apparent G. [mag]
    start_from : a flow with the same bands to go on from; otherwise the network starts at random.
    max_minutes : stop after this time, keeping the best flow so far.
    checkpoint : file that holds the state after every epoch; removed when all stages are done.
    resume : go on from that file.
    progress : called after every epoch.

    Raises
    ------
    InputError : too few stars, or a checkpoint that belongs to another run.
    TrainingError : the evidence is not finite; the message names rows of the sample.
    """
    started = time.monotonic()
    n_stars = len(stars.parallax_mas)
    if n_stars < MIN_STARS:
        raise InputError(f"train: {n_stars} usable stars; at least {MIN_STARS} are needed to fit the flow.")
    data = make_training_stars(stars)
    shuffled = np.random.default_rng(config.seed).permutation(n_stars)
    n_validation = max(1, round(config.validation_fraction * n_stars))
    validation_rows, training_rows = np.sort(shuffled[:n_validation]), np.sort(shuffled[n_validation:])
    x, observed, condition = point_estimates(data, n_bands)
    flow = start_from or _initial_flow(config, n_bands, x, observed, condition)
    if flow.n_bands != n_bands:
        raise InputError(
            f"train: the model to start from has {flow.n_bands} bands; {n_bands} were asked for."
        )

    def evidence(flow: ConditionalFlow, data: TrainingStar, keys: PRNGKeyArray, n_draws: int) -> Array:
        prepared = flow.prepared()
        return jax.vmap(
            lambda star, key: log_evidence(
                prepared, star, key, n_draws=n_draws, proposal=config.proposal,
                g_bright_mag=g_bright_mag, g_faint_mag=g_faint_mag,
            )
        )(data, keys)  # fmt: skip

    validate = eqx.filter_jit(lambda flow, data, keys: evidence(flow, data, keys, config.validation_draws))

    def validation(flow: ConditionalFlow) -> float:
        total = 0.0
        for start in range(0, n_validation, VALIDATION_CHUNK):
            index = np.arange(start, start + VALIDATION_CHUNK)
            rows = validation_rows[np.minimum(index, n_validation - 1)]
            # The same draws at every epoch: differences between epochs are then of the flow alone.
            values = validate(flow, _rows(data, rows), _keys(config.seed, 1, rows))
            total += float(np.sum(np.asarray(values, dtype=np.float64)[index < n_validation]))
        return total / n_validation

    _check_finite(validate, flow, data, config.seed, n_stars)
    state = _State(flow=flow, best_flow=flow, best=-np.inf)
    fingerprint = _fingerprint(config, n_bands, data)
    if resume:
        state = _load_checkpoint(checkpoint, state, config, fingerprint)
    stopped = ""
    while state.stage < len(config.stages) and not stopped:
        stage = config.stages[state.stage]
        steps = max(1, len(training_rows) // stage.batch_size)
        optimiser = _optimiser(stage, steps)
        opt_state = optimiser.init(eqx.filter(state.flow.network, eqx.is_inexact_array))
        if state.opt_leaves is not None:
            opt_state = jax.tree.unflatten(jax.tree.structure(opt_state), state.opt_leaves)
            state.opt_leaves = None
        step = _make_step(evidence, optimiser, stage.n_draws)
        while state.epoch < stage.max_epochs and state.since_best < stage.patience:
            epoch_start = time.monotonic()
            order = np.random.default_rng((config.seed, state.stage, state.epoch)).permutation(training_rows)
            losses = []
            for i in range(steps):
                rows = np.resize(order[i * stage.batch_size : (i + 1) * stage.batch_size], stage.batch_size)
                keys = _keys(config.seed, 2 + 1000 * state.stage + state.epoch, rows)
                state.flow, opt_state, loss = step(state.flow, opt_state, _rows(data, rows), keys)
                losses.append(loss)
            train_loss = float(np.mean([float(loss) for loss in losses]))
            value = validation(state.flow)
            if not np.isfinite(train_loss) or not np.isfinite(value):
                stopped = f"the loss is no longer finite at stage {state.stage + 1}, epoch {state.epoch + 1}"
                break
            state.since_best += 1
            if value > state.best:
                state.best, state.best_flow, state.since_best = value, state.flow, 0
            elapsed = time.monotonic() - epoch_start
            record = Epoch(
                state.stage, state.epoch, -train_loss, value, elapsed, steps * stage.batch_size / elapsed
            )
            state.history.append(record)
            state.epoch += 1
            if checkpoint is not None:
                _save_checkpoint(checkpoint, state, jax.tree.leaves(opt_state), fingerprint)
            if progress is not None:
                progress(record)
            if max_minutes is not None and time.monotonic() - started > 60.0 * max_minutes:
                stopped = f"the time limit of {max_minutes:g} minutes was reached"
                break
        # The next stage starts from the best flow, with a fresh optimiser.
        state.flow, state.epoch, state.since_best = state.best_flow, 0, 0
        state.stage += 1
    if not np.isfinite(state.best):
        raise TrainingError(
            f"train: no epoch ended with a finite evidence ({stopped}). Lower the learning rate."
        )
    if checkpoint is not None and not stopped:
        checkpoint.unlink(missing_ok=True)
    return TrainResult(
        flow=state.best_flow,
        validation_log_evidence=state.best,
        history=state.history,
        condition=condition,
        validation_rows=validation_rows,
        stopped_because=stopped or "all stages were done",
    )


@dataclass
class _State:
    flow: ConditionalFlow
    best_flow: ConditionalFlow
    best: float
    stage: int = 0
    epoch: int = 0
    since_best: int = 0
    history: list[Epoch] = field(default_factory=list)
    opt_leaves: list[Array] | None = None


def _initial_flow(
    config: TrainConfig, n_bands: int, x: np.ndarray, observed: np.ndarray, condition: np.ndarray
) -> ConditionalFlow:
    network = BlockAutoregressiveNetwork(
        jax.random.key(config.seed),
        dim=n_bands,
        cond_dim=condition.shape[1],
        depth=config.flow.depth,
        block_dim=config.flow.block_dim,
    )
    return ConditionalFlow(network, fit_standardisation(x, observed, condition))


def _optimiser(stage: StageConfig, steps_per_epoch: int) -> optax.GradientTransformation:
    rate: Any = stage.learning_rate
    if stage.final_rate_fraction < 1.0:
        rate = optax.cosine_decay_schedule(
            stage.learning_rate, stage.max_epochs * steps_per_epoch, stage.final_rate_fraction
        )
    return optax.chain(
        optax.clip_by_global_norm(stage.gradient_clip),
        optax.adamw(rate, weight_decay=stage.weight_decay),
    )


def _make_step(evidence: Callable, optimiser: optax.GradientTransformation, n_draws: int) -> Callable:
    @eqx.filter_jit
    def step(flow: ConditionalFlow, opt_state: Any, data: TrainingStar, keys: PRNGKeyArray):
        def loss(network: BlockAutoregressiveNetwork) -> Float[Array, ""]:
            return -jnp.mean(evidence(ConditionalFlow(network, flow.standardisation), data, keys, n_draws))

        value, gradient = eqx.filter_value_and_grad(loss)(flow.network)
        updates, opt_state = optimiser.update(
            gradient, opt_state, eqx.filter(flow.network, eqx.is_inexact_array)
        )
        return (
            ConditionalFlow(eqx.apply_updates(flow.network, updates), flow.standardisation),
            opt_state,
            value,
        )

    return step


def _rows(data: TrainingStar, rows: np.ndarray) -> TrainingStar:
    return jax.tree.map(lambda a: jnp.asarray(a[rows]), data)


def _keys(seed: int, stream: int, rows: np.ndarray) -> PRNGKeyArray:
    base = jax.random.fold_in(jax.random.key(seed), stream)
    return jax.vmap(lambda row: jax.random.fold_in(base, row))(jnp.asarray(rows, dtype=jnp.uint32))


def _check_finite(
    validate: Callable, flow: ConditionalFlow, data: TrainingStar, seed: int, n_stars: int
) -> None:
    """Refuse a sample in which some star has no finite evidence, before hours are spent on it."""
    bad: list[int] = []
    for start in range(0, n_stars, VALIDATION_CHUNK):
        rows = np.minimum(np.arange(start, start + VALIDATION_CHUNK), n_stars - 1)
        values = np.asarray(validate(flow, _rows(data, rows), _keys(seed, 0, rows)))
        bad += sorted(set(rows[~np.isfinite(values)].tolist()))
    if bad:
        raise TrainingError(
            f"train: the evidence of {len(bad)} of {n_stars} stars is not finite; rows {bad[:10]} of the usable "
            "sample are the first. Check their magnitudes, errors and parallaxes, or leave them out."
        )


def _fingerprint(config: TrainConfig, n_bands: int, data: TrainingStar) -> str:
    star = data.star
    parts = [
        config.model_dump_json(),
        str(n_bands),
        repr(float(np.sum(star.magnitude_mag, dtype=np.float64))),
    ]
    parts += [str(len(star.parallax_mas)), repr(float(np.sum(star.parallax_mas, dtype=np.float64)))]
    return "|".join(parts)


def _save_checkpoint(path: Path, state: _State, opt_leaves: list[Array], fingerprint: str) -> None:
    header = {
        "fingerprint": fingerprint,
        "best": state.best,
        "stage": state.stage,
        "epoch": state.epoch,
        "since_best": state.since_best,
        "history": [asdict(epoch) for epoch in state.history],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with temporary.open("wb") as file:
        file.write((json.dumps(header) + "\n").encode())
        eqx.tree_serialise_leaves(file, (state.flow.network, state.best_flow.network, opt_leaves))
    os.replace(temporary, path)


def _load_checkpoint(path: Path | None, state: _State, config: TrainConfig, fingerprint: str) -> _State:
    if path is None or not path.is_file():
        raise InputError(f"train --resume: there is no checkpoint {path}. Start without --resume.")
    with path.open("rb") as file:
        header = json.loads(file.readline())
        if header["fingerprint"] != fingerprint:
            raise InputError(
                f"train --resume: the checkpoint {path} was written by a run with another sample or configuration. "
                "Resume with the same arguments, or remove the checkpoint."
            )
        network = state.flow.network
        optimiser = _optimiser(config.stages[header["stage"]], 1)
        template = jax.tree.leaves(optimiser.init(eqx.filter(network, eqx.is_inexact_array)))
        flow, best_flow, opt_leaves = eqx.tree_deserialise_leaves(file, (network, network, template))
    standardisation = state.flow.standardisation
    return _State(
        flow=ConditionalFlow(flow, standardisation),
        best_flow=ConditionalFlow(best_flow, standardisation),
        best=header["best"],
        stage=header["stage"],
        epoch=header["epoch"],
        since_best=header["since_best"],
        history=[Epoch(**epoch) for epoch in header["history"]],
        opt_leaves=opt_leaves,
    )
