"""The training configuration: TOML in, frozen and checked."""

import json
import tomllib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from redflower.constants import EBV_MAX_MAG, EBV_MIN_MAG, OUTLIER_SHARE
from redflower.errors import InputError

Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class FlowConfig(_Section):
    """The network. Defaults: O'Callaghan et al. (2025), section 2.3.1."""

    depth: Count = 3
    block_dim: Count = 4


class StageConfig(_Section):
    """One stage of the optimisation; a run is a list of them. Defaults: section 4.2 of the paper.

    `n_draws` is K, the importance draws per star; `magnitudes` how their true magnitudes are drawn, as in `TrainConfig`
    (the run's choice when None); `final_rate_fraction` < 1 lets the learning rate fall to
    that fraction of itself along a half cosine over `max_epochs`. `epoch_stars` is how many stars, drawn at random, an
    epoch goes over: all of them when None, or when there are no more.
    """

    n_draws: Count = 32
    magnitudes: Literal["adapted", "likelihood"] | None = None
    learning_rate: Positive = 1e-3
    final_rate_fraction: Annotated[float, Field(gt=0, le=1)] = 1.0
    weight_decay: Annotated[float, Field(ge=0)] = 1e-4
    gradient_clip: Positive = 10.0
    batch_size: Count = 8192
    max_epochs: Count = 1000
    patience: Count = 50
    epoch_stars: Count | None = None

    def steps_per_epoch(self, n_training: int) -> int:
        """Return the steps of an epoch over a sample of so many stars to train on."""
        n_stars = min(self.epoch_stars or n_training, n_training)
        return max(1, n_stars // min(self.batch_size, n_training))


class ContrastConfig(_Section):
    """The contrastive term (docs/explanation/model.md, E20-E22). Numbers: sections 2.10.2 and 2.11 of the paper.

    `strength` is the final lambda, 0 for none (the default: docs/decisions/0005-contrastive-term.md). lambda is 0 for
    `start_epochs` epochs and then rises to `strength` in `ramp_epochs` equal steps, one after every epoch that leaves
    the held-out evidence within `tolerance` nat per star of its best; after an epoch that does not, it goes one step
    back. Each of `negatives` reddened copies of a star takes `n_draws` importance draws (the stage's when None) and E
    uniform between `ebv_min_mag` and `ebv_max_mag`; the flow's log density counts as `floor` below it.
    """

    strength: Annotated[float, Field(ge=0, lt=1)] = 0.0
    start_epochs: Annotated[int, Field(ge=0)] = 0
    ramp_epochs: Count = 20
    tolerance: Positive = 0.05
    negatives: Count = 3
    n_draws: Count | None = None
    ebv_min_mag: Positive = 0.05
    ebv_max_mag: Positive = 0.5
    floor: float = -70.0


class EmulatorConfig(_Section):
    """How the emulator of the fast engine is distilled from the trained flow (docs/explanation/fast-engine.md).

    `n_stars` noise-free stars are drawn from the flow and given `n_patterns` combinations of errors and missing bands in
    `n_steps` steps of Adam, whose rate falls along a half cosine; 0 steps leave the model without an emulator.
    `ebv_min_mag` to `ebv_max_mag` is the range of reddening that the fast engine will serve. The density has `layers`
    hidden layers of `hidden` units, and each band is a mixture of `components` normal distributions; the denoiser, which
    proposes noise-free magnitudes, has sizes of its own.
    """

    n_stars: Count = 600_000
    n_patterns: Count = 40_000
    n_steps: Annotated[int, Field(ge=0)] = 12_000
    batch_size: Count = 4096
    learning_rate: Positive = 3e-3
    ebv_min_mag: Annotated[float, Field(ge=-0.5, le=5)] = EBV_MIN_MAG
    ebv_max_mag: Annotated[float, Field(ge=-0.5, le=5)] = EBV_MAX_MAG
    hidden: Count = 96
    layers: Count = 3
    components: Count = 4
    denoiser_hidden: Count = 128
    denoiser_layers: Count = 3
    seed: Seed = 0

    @model_validator(mode="after")
    def _limits_rise(self) -> "EmulatorConfig":
        if not self.ebv_min_mag < self.ebv_max_mag:
            raise ValueError("ebv_min_mag must be below ebv_max_mag")
        return self


class TrainConfig(_Section):
    """A whole training run.

    `proposal` is how distances are drawn: ``posterior`` (inverse CDF of parallax likelihood times prior) or
    ``gaussian`` (appendix A of the paper). `magnitudes` is how true magnitudes are drawn: ``adapted`` (from likelihood
    times flow, EA3c) or ``likelihood`` (appendix A). `normaliser` is how the share of stars within the limits is computed:
    ``exact``, ``same_draws`` (the paper's A6) or ``none``; the last two are for comparison only
    (docs/explanation/loss.md). `integrate_gaps`: whether bands that are missing before a star's last one are integrated
    over, or everything from the first of them on is left out. `g_bright_mag`, `g_faint_mag` and `parallax_min_mas` are the
    sample's limits, where those that `prepare` recorded should not hold. `outlier_share` is the share of stars that are not of
    the population (quasars, galaxies, bad matches) with which the run starts; it is learnt from stars held out.
    0 leaves such stars out of the model: all are of the population. A run whose held-out evidence falls by more than
    `divergence_nat` per star stops.
    """

    flow: FlowConfig = FlowConfig()
    proposal: Literal["posterior", "gaussian"] = "posterior"
    magnitudes: Literal["adapted", "likelihood"] = "adapted"
    normaliser: Literal["exact", "same_draws", "none"] = "exact"
    integrate_gaps: bool = True
    contrast: ContrastConfig = ContrastConfig()
    emulator: EmulatorConfig = EmulatorConfig()
    outlier_share: Annotated[float, Field(ge=0, lt=0.5)] = OUTLIER_SHARE
    stages: Annotated[tuple[StageConfig, ...], Field(min_length=1)] = (StageConfig(),)
    validation_fraction: Annotated[float, Field(gt=0, lt=0.5)] = 0.1
    validation_draws: Count = 32
    divergence_nat: Positive = 20.0
    g_bright_mag: float | None = None
    g_faint_mag: float | None = None
    parallax_min_mas: float | None = None
    seed: Seed = 0


def read_config(path: str | Path | None) -> TrainConfig:
    """Read the configuration from a TOML file, or return the defaults if None.

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
        return TrainConfig.model_validate_json(json.dumps(content, default=str))
    except OSError as error:
        raise InputError(f"--config {path}: cannot be read ({error.strerror}).") from error
    except ValidationError as error:
        found = error.errors()
        # What holds a wrong value is called wrong itself, in words that are not true.
        parents = {e["loc"][:k] for e in found for k in range(len(e["loc"]))}
        inner = [e for e in found if e["loc"] not in parents]
        lines = [f"{'.'.join(map(str, e['loc']))}: {e['msg']} (got {e['input']!r})" for e in inner]
        raise InputError(f"--config {path}: " + "; ".join(lines)) from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"--config {path}: not valid TOML: {error}.") from error
