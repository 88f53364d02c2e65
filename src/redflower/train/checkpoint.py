"""The state of a training run, and its file: written whole after every epoch, read to resume bit for bit."""

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array

from redflower.entries import why_of
from redflower.errors import InputError
from redflower.files import written_whole
from redflower.flow.conditional import ConditionalFlow
from redflower.physics import SelectionFunction
from redflower.train.config import TrainConfig
from redflower.train.loss.objective import stage_optimiser
from redflower.train.loss.training_star import TrainingStar


@dataclass(frozen=True)
class Epoch:
    """What one epoch showed; a list of them is the training history. Logs are nat per star.

    Attributes
    ----------
    stage, epoch : counted from 0.
    train_log_evidence, validation_log_evidence : mean ln L_s; of the training stars while they were learnt from.
    train_log_contrast, validation_log_contrast : mean ln C_s of their reddened copies; 0 without a contrastive term.
    contrast_strength : lambda during the epoch.
    seconds, stars_per_s : of the epoch, validation included.
    seconds_left : until all stages are done, if none stops early.
    """

    stage: int
    epoch: int
    train_log_evidence: float
    validation_log_evidence: float
    seconds: float
    stars_per_s: float
    train_log_contrast: float = 0.0
    validation_log_contrast: float = 0.0
    contrast_strength: float = 0.0
    seconds_left: float = 0.0


@dataclass
class State:
    """Everything that a run carries from one epoch to the next.

    `best` is the highest held-out objective, and `best_evidence` its evidence; `contrast_steps` is how far lambda
    has risen; `outlier_share` is that of stars which are not of the population, as learnt so far.
    """

    flow: ConditionalFlow
    best_flow: ConditionalFlow
    best: float = -np.inf
    best_evidence: float = -np.inf
    highest_evidence: float = -np.inf
    contrast_steps: float = 0.0
    stage: int = 0
    epoch: int = 0
    since_best: int = 0
    outlier_share: float = 0.0
    history: list[Epoch] = field(default_factory=list)
    opt_leaves: list[Array] | None = None


_NUMBERS = (
    "best", "best_evidence", "highest_evidence", "contrast_steps", "stage", "epoch", "since_best", "outlier_share",
)  # fmt: skip


def run_fingerprint(
    config: TrainConfig,
    n_bands: int,
    data: TrainingStar,
    selection: SelectionFunction | None = None,
    prior_limit_mag: float | None = None,
) -> str:
    """Return what a checkpoint must share with the run that resumes it: configuration, bands, sample and selection."""
    star = data.star
    sums = [float(np.sum(a, dtype=np.float64)) for a in (star.magnitude_mag, star.parallax_mas)]
    if selection is not None:
        sums.append(float(np.sum(selection.log_probability, dtype=np.float64)))
    if prior_limit_mag is not None:
        sums.append(prior_limit_mag)
    return "|".join([config.model_dump_json(), str(n_bands), str(len(star.parallax_mas)), *map(repr, sums)])


def save_checkpoint(
    path: Path, state: State, opt_leaves: list[Array], fingerprint: str, config: TrainConfig
) -> None:
    """Write the state, and the configuration that the run was planned to have, whole or not at all."""
    header = {name: getattr(state, name) for name in _NUMBERS}
    header |= {"fingerprint": fingerprint, "config": config.model_dump(mode="json")}
    header |= {"history": [asdict(epoch) for epoch in state.history]}
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(path) as part, part.open("wb") as file:
        file.write((json.dumps(header) + "\n").encode())
        eqx.tree_serialise_leaves(file, (state.flow.network, state.best_flow.network, opt_leaves))
        file.flush()
        os.fsync(file.fileno())


def load_checkpoint(path: Path | None, state: State, fingerprint: str) -> tuple[State, TrainConfig]:
    """Read the state of a file and the configuration of its run; `state` gives the shapes and the standardisation.

    Raises
    ------
    InputError : no such file, one of another run, or a damaged one.
    """
    if path is None or not path.is_file():
        raise InputError(f"train --resume: there is no checkpoint {path}. Start without --resume.")
    try:
        return _read(path, state, fingerprint)
    except InputError:
        raise
    except Exception as problem:  # whatever a file that is cut short, or another program's, leads to
        raise InputError(
            f"train --resume: the checkpoint {path} is damaged ({type(problem).__name__}: {why_of(problem)}). Remove "
            "it, and train from the start."
        ) from problem


def _read(path: Path, state: State, fingerprint: str) -> tuple[State, TrainConfig]:
    with path.open("rb") as file:
        header = json.loads(file.readline())
        if header.pop("fingerprint") != fingerprint:
            raise InputError(
                f"train --resume: the checkpoint {path} was written by a run with another sample or configuration. "
                "Resume with the same arguments, or remove the checkpoint."
            )
        network = state.flow.network
        config = TrainConfig.model_validate_json(json.dumps(header.pop("config")))
        history = [Epoch(**epoch) for epoch in header.pop("history")]
        numbers = {name: header[name] for name in _NUMBERS}
        if not all(type(number) in (int, float) for number in numbers.values()):
            raise ValueError(f"{', '.join(_NUMBERS)} must be numbers")
        optimiser = stage_optimiser(config.stages[numbers["stage"]])
        template = jax.tree.leaves(optimiser.init(eqx.filter(network, eqx.is_inexact_array)))
        flow, best_flow, opt_leaves = eqx.tree_deserialise_leaves(file, (network, network, template))
    standardisation = state.flow.standardisation
    state = State(
        flow=ConditionalFlow(flow, standardisation),
        best_flow=ConditionalFlow(best_flow, standardisation),
        history=history,
        opt_leaves=opt_leaves,
        **numbers,
    )
    return state, config
