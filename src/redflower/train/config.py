"""The training configuration: TOML in, frozen and checked."""

import json
import tomllib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from redflower.errors import InputError

Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class FlowConfig(_Section):
    """The network. Defaults: O'Callaghan et al. (2025), section 2.3.1."""

    depth: Count = 3
    block_dim: Count = 4


class StageConfig(_Section):
    """One stage of the optimisation; a run is a list of them. Defaults: section 4.2 of the paper.

    `n_draws` is K, the importance draws per star; `final_rate_fraction` < 1 lets the learning rate fall to
    that fraction of itself along a half cosine over `max_epochs`.
    """

    n_draws: Count = 32
    learning_rate: Positive = 1e-3
    final_rate_fraction: Annotated[float, Field(gt=0, le=1)] = 1.0
    weight_decay: Annotated[float, Field(ge=0)] = 1e-4
    gradient_clip: Positive = 10.0
    batch_size: Count = 8192
    max_epochs: Count = 1000
    patience: Count = 50


class TrainConfig(_Section):
    """A whole training run.

    `proposal` is how distances are drawn: ``posterior`` (inverse CDF of parallax likelihood times prior) or
    ``gaussian`` (appendix A of the paper).
    """

    flow: FlowConfig = FlowConfig()
    proposal: Literal["posterior", "gaussian"] = "posterior"
    stages: Annotated[tuple[StageConfig, ...], Field(min_length=1)] = (StageConfig(),)
    validation_fraction: Annotated[float, Field(gt=0, lt=0.5)] = 0.1
    validation_draws: Count = 32
    g_bright_mag: float | None = None
    g_faint_mag: float | None = None
    seed: int = 0


def read_config(path: str | Path | None) -> TrainConfig:
    """The configuration of a TOML file; the defaults without one.

    Raises
    ------
    InputError : no such file, not TOML, an unknown key, or a value out of its range.
    """
    if path is None:
        return TrainConfig()
    try:
        with Path(path).open("rb") as file:
            content = tomllib.load(file)
        # Through JSON, so that strict mode takes a TOML array for a tuple and still refuses "3" for 3.
        return TrainConfig.model_validate_json(json.dumps(content))
    except OSError as error:
        raise InputError(f"--config {path}: cannot be read ({error.strerror}).") from error
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"--config {path}: not valid TOML: {error}.") from error
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, e['loc']))}: {e['msg']} (got {e['input']!r})" for e in error.errors()]
        raise InputError(f"--config {path}: " + "; ".join(lines)) from error
