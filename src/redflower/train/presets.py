"""The stages that a name stands for, scaled to a sample and a machine. Pure: numbers in, a configuration out.

Why these numbers: docs/howto/training.md, "Presets".
"""

from dataclasses import dataclass
from typing import Any, Final, Literal

from redflower.errors import InputError
from redflower.train.config import ContrastConfig, EmulatorConfig, StageConfig, TrainConfig

DEFAULT_PRESET: Final = "standard"
#: Stars for which the steps below are meant; the steps of a larger sample grow with the fourth root of its size.
TYPICAL_STARS: Final = 100_000
GROWTH_POWER: Final = 0.25
#: A small sample takes smaller batches, so that an epoch still has about so many of them, down to the smallest.
BATCHES_PER_EPOCH: Final = 40
SMALLEST_BATCH: Final = 32
#: Held-out stars: this share, and no more than this many. More would cost time and choose no better.
VALIDATION_SHARE: Final = 0.1
MOST_VALIDATION_STARS: Final = 2_000
#: A stage that a large sample does not fill is divided into so many epochs, so that held-out stars judge it in between.
LEAST_EPOCHS: Final = 5
#: On an accelerator a step takes the same time whatever its batch: larger batches, fewer steps.
ACCELERATOR_BATCH_FACTOR: Final = 8
ACCELERATOR_STEP_FACTOR: Final = 0.5


@dataclass(frozen=True)
class StageRecipe:
    """A stage before it knows the sample.

    Attributes
    ----------
    n_draws, magnitudes, batch_size, learning_rate, final_rate_fraction : as in `StageConfig`.
    n_steps : of `TYPICAL_STARS` stars.
    most_passes : times that a small sample is gone over at most.
    """

    n_draws: int
    magnitudes: Literal["adapted", "likelihood"]
    batch_size: int
    n_steps: int
    most_passes: int
    learning_rate: float
    final_rate_fraction: float = 0.05


@dataclass(frozen=True)
class Preset:
    """What a name stands for.

    Attributes
    ----------
    stages : from few cheap draws to draws that know the flow, and, in longer ones, to many of them.
    validation_draws : as many as the last stage needs to be judged fairly (docs/decisions/0013-many-draws-at-the-end.md).
    emulator : of the fast engine.
    """

    stages: tuple[StageRecipe, ...]
    validation_draws: int
    emulator: EmulatorConfig


PRESETS: Final = {
    "quick": Preset(
        stages=(
            StageRecipe(4, "likelihood", 256, n_steps=4_000, most_passes=60, learning_rate=5e-3),
            StageRecipe(8, "adapted", 512, n_steps=800, most_passes=20, learning_rate=1e-3),
        ),
        validation_draws=16,
        emulator=EmulatorConfig(n_stars=200_000, n_steps=2_500, batch_size=2048),
    ),
    "standard": Preset(
        stages=(
            StageRecipe(4, "likelihood", 256, n_steps=12_000, most_passes=100, learning_rate=3e-3),
            StageRecipe(8, "adapted", 512, n_steps=3_000, most_passes=40, learning_rate=1e-3),
            StageRecipe(64, "adapted", 512, n_steps=400, most_passes=4, learning_rate=7e-4),
        ),
        validation_draws=64,
        emulator=EmulatorConfig(),
    ),
    "best": Preset(
        stages=(
            StageRecipe(4, "likelihood", 256, n_steps=16_000, most_passes=120, learning_rate=3e-3),
            StageRecipe(8, "adapted", 1024, n_steps=6_000, most_passes=60, learning_rate=1e-3),
            StageRecipe(64, "adapted", 512, n_steps=2_000, most_passes=10, learning_rate=1e-3),
            StageRecipe(192, "adapted", 512, n_steps=1_000, most_passes=6, learning_rate=7e-4),
        ),
        validation_draws=256,
        emulator=EmulatorConfig(n_steps=24_000, batch_size=8192, learning_rate=2e-3),
    ),
}
#: The paper's own recipe: the same for every sample (configs/paper.toml).
PAPER: Final = TrainConfig(
    proposal="gaussian",
    magnitudes="likelihood",
    contrast=ContrastConfig(strength=0.3, ramp_epochs=100),
    stages=(StageConfig(),),
)
PRESET_NAMES: Final = (*PRESETS, "paper")


def preset_stages(
    preset: str, n_stars: int, *, accelerated: bool = False, going_on: bool = False
) -> tuple[StageConfig, ...]:
    """Return the stages that a preset means for a sample.

    Parameters
    ----------
    preset
        One of `PRESET_NAMES`.
    n_stars
        Stars of the sample, those held out included.
    accelerated
        Whether JAX computes on a GPU or a TPU.
    going_on
        Whether training starts from a flow: the stages of cheap draws, which would blur it, are then left out.

    Returns
    -------
    tuple of StageConfig
        With every learning rate falling to its end.

    Raises
    ------
    InputError
        If there is no such preset.

    Examples
    --------
    >>> [stage.batch_size for stage in preset_stages("standard", 100_000)]
    [256, 512, 512]
    >>> preset_stages("standard", 3_000)[0].batch_size
    64
    """
    if preset not in PRESET_NAMES:
        raise InputError(
            f"train: there is no preset {preset!r}. Choose one of {', '.join(PRESET_NAMES)}; without a preset and a "
            f"configuration, {DEFAULT_PRESET} is used."
        )
    if preset == "paper":
        return PAPER.stages
    recipes = PRESETS[preset].stages
    if going_on:
        recipes = tuple(recipe for recipe in recipes if recipe.magnitudes == "adapted")
    n_training = max(1, n_stars - validation_stars(n_stars))
    return tuple(_stage(recipe, n_training, accelerated=accelerated) for recipe in recipes)


def _stage(recipe: StageRecipe, n_training: int, *, accelerated: bool) -> StageConfig:
    batch_size, most_steps = recipe.batch_size, float(recipe.n_steps)
    if accelerated:
        batch_size, most_steps = batch_size * ACCELERATOR_BATCH_FACTOR, most_steps * ACCELERATOR_STEP_FACTOR
    while batch_size > SMALLEST_BATCH and batch_size * BATCHES_PER_EPOCH > n_training:
        batch_size //= 2
    per_pass = max(1, n_training // batch_size)
    most_steps *= max(1.0, n_training / TYPICAL_STARS) ** GROWTH_POWER
    n_steps = max(LEAST_EPOCHS, round(min(most_steps, recipe.most_passes * per_pass)))
    n_epochs = max(LEAST_EPOCHS, -(-n_steps // per_pass))
    per_epoch = min(per_pass, max(1, round(n_steps / n_epochs)))
    return StageConfig(
        n_draws=recipe.n_draws,
        magnitudes=recipe.magnitudes,
        batch_size=batch_size,
        learning_rate=recipe.learning_rate,
        final_rate_fraction=recipe.final_rate_fraction,
        max_epochs=n_epochs,
        # The whole schedule: the best flow is that of the low rates at its end.
        patience=n_epochs,
        epoch_stars=None if per_epoch == per_pass else per_epoch * batch_size,
    )


def validation_stars(n_stars: int) -> int:
    """Return how many stars of a sample a preset holds out."""
    return max(1, min(round(VALIDATION_SHARE * n_stars), MOST_VALIDATION_STARS))


def preset_config(
    preset: str,
    n_stars: int,
    *,
    stated: TrainConfig | None = None,
    accelerated: bool = False,
    going_on: bool = False,
) -> TrainConfig:
    """Return the whole configuration that a preset means for a sample.

    Parameters
    ----------
    preset, n_stars, accelerated, going_on
        As for `preset_stages`.
    stated
        A configuration; what it states stands, and the preset fills in the rest.

    Raises
    ------
    InputError
        If there is no such preset.
    """
    stages = preset_stages(preset, n_stars, accelerated=accelerated, going_on=going_on)
    if preset == "paper":
        config = PAPER
    else:
        meant = PRESETS[preset]
        config = TrainConfig(
            stages=stages,
            validation_fraction=max(validation_stars(n_stars) / max(n_stars, 10), 1e-6),
            validation_draws=meant.validation_draws,
            emulator=meant.emulator,
        )
    if stated is None:
        return config
    kept: dict[str, Any] = {name: getattr(stated, name) for name in stated.model_fields_set}
    return config.model_copy(update=kept)
