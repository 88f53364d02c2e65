"""Train a flow on a table of stars, and distil the emulator of the fast engine from it."""

import dataclasses
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import jax

from redflower.api.sample import TrainingSample, training_sample
from redflower.api.training_plan import RunPlanner, chosen_preset, resolved_config
from redflower.bands import STANDARD, SURVEY_ENDS, BandSet, band_set, star_bands
from redflower.catalogue import DistancePrior
from redflower.catalogue.io.sources import TableSource
from redflower.errors import InputError
from redflower.flow import Model, fit_coverage
from redflower.photometric_scales import PhotometricScale
from redflower.physics import ExtinctionLaw, SelectionFunction, law_of_name
from redflower.platforms import compute_platform
from redflower.provenance import LAW_KEY, VERSION
from redflower.survey import Survey
from redflower.train import DistilStep, Epoch, TrainConfig, TrainResult, distil, make_diagnostics, train_flow
from redflower.train.plan import TrainingPlan


def train(
    stars: TableSource,
    *,
    name: str = "model",
    description: str = "",
    config: TrainConfig | None = None,
    preset: str | None = None,
    n_bands: int = SURVEY_ENDS["2mass"],
    surveys: "Sequence[str | Path | Survey] | None" = None,
    law: ExtinctionLaw | None = None,
    distance_prior: DistancePrior | None = None,
    photometry: PhotometricScale | str | None = None,
    selection: SelectionFunction | None = None,
    start_from: Model | None = None,
    keep_coverage: bool = False,
    max_minutes: float | None = None,
    checkpoint: Path | None = None,
    resume: bool = False,
    estimate: Callable[[TrainingPlan], None] | None = None,
    progress: Callable[[Epoch], None] | None = None,
    step_progress: Callable[[int, int], None] | None = None,
    emulator_progress: Callable[[DistilStep], None] | None = None,
) -> tuple[Model, TrainResult]:
    """Train a flow on a prepared table of stars believed free of dust, then distil the fast engine's emulator from it.

    Parameters
    ----------
    stars : a prepared table (`redflower.prepare`, purpose ``training``), the path of one, a data frame or an Arrow table;
        a Parquet file may be larger than memory.
    name, description : what the model will be called and what it is.
    config : the training configuration. Its own settings take precedence. If None, or if it states no stages, the stages are
        those of the preset.
    preset : quick, standard (the default; quick where fewer than 8 minutes are given), best or paper: stages that scale with
        the sample, and an emulator (`redflower.train.presets`).
    n_bands : 3 (Gaia), 8 (+ Pan-STARRS1) or 11 (+ 2MASS); stars without the last bands train the others.
    surveys : in place of `n_bands`, the surveys of the model in the order that its bands are to have, such as ``("gaia", "ps1",
        "2mass", "allwise")``: names of `redflower.surveys.shipped_surveys`, or files that describe others.
    law : extinction law of the contrastive term, stored with the model. Defaults to that of `start_from`, else that of
        simulated stars, else `redflower.physics.default_law`.
    distance_prior : see `redflower.catalogue.read_distance_prior`. Defaults to the mock Galaxy's,
        with a warning unless the stars are simulated.
    photometry : photometric scale of a table that states none. The model records the scale of its stars; with `start_from`
        they are moved to the scale of that model.
    selection : selection function of the sample (`redflower.catalogue.read_selection`), used here and stored in the model
        for inference. If None, it is 1 everywhere.
    start_from : a model to start from, with its emulator; further bands of `surveys` come behind its own, whose density is what
        it was at the start. If None, training starts from random weights.
    keep_coverage : serve all (R, Z) at which `start_from` had stars, and not those of these stars alone. What these stars
        teach is then carried to places where nothing checks it: for a few real stars, of one field, that correct a flow's
        colours.
    max_minutes : time for everything, from reading the stars to the emulator: some real steps are timed first, and the
        stages and the emulator then shortened alike, so that every learning rate still falls to its end. Should the machine
        slow down, the run stops in time with the best flow so far. A resumed run keeps its plan, and has its minutes anew.
        [min]
    checkpoint, resume, progress, step_progress : see `redflower.train.train_flow`. The checkpoint is removed once the model
        is complete.
    estimate : called with the plan, and the time it should take, before the first step that counts.
    emulator_progress : see `redflower.train.distil`.

    Returns
    -------
    The model and how it was reached.

    Raises
    ------
    InputError : no such preset, a preset beside a configuration that states stages, or too little time; and as
        `redflower.train.train_flow`.
    TrainingError : see `redflower.train.train_flow`.

    Examples
    --------
    >>> import redflower
    >>> from redflower.train import EmulatorConfig, FlowConfig, StageConfig, TrainConfig
    >>> quick = TrainConfig(
    ...     flow=FlowConfig(depth=1, block_dim=2),
    ...     stages=(StageConfig(n_draws=2, batch_size=128, max_epochs=1),),
    ...     emulator=EmulatorConfig(n_steps=0),
    ... )
    >>> model, result = redflower.train("dust-free.parquet", name="quick", n_bands=3, config=quick)
    >>> model.band_names
    ('gaia_g', 'gaia_bp', 'gaia_rp')
    >>> len(result.history)
    1
    """
    started_s = time.monotonic()
    preset = chosen_preset(config, preset, max_minutes)
    stated = config or TrainConfig()
    bands = _bands(n_bands, surveys)
    if start_from is not None and not start_from.bands.begins(bands):
        raise InputError(
            f"train: the model to start from has {' '.join(start_from.bands.labels)}, and the bands of the new one must begin "
            f"with them; asked for are {' '.join(bands.labels)}. Name its surveys first (--bands), and further ones behind them."
        )
    if keep_coverage and start_from is None:
        raise InputError(
            "keep_coverage (--keep-coverage) keeps the coverage of the model to start from, and there is none: give "
            "start_from (--start-from) too."
        )
    compute_platform()
    with ExitStack() as stack:
        sample = training_sample(
            stars, distance_prior, g_bright_mag=stated.g_bright_mag, g_faint_mag=stated.g_faint_mag,
            parallax_min_mas=stated.parallax_min_mas, selection=selection,
            scale=start_from.scale() if start_from else None, photometry=photometry,
            folder=_tabulated(stars, checkpoint, stack), bands=star_bands(bands),
        )  # fmt: skip
        limits_mag = {"g_bright_mag": sample.g_bright_mag, "g_faint_mag": sample.g_faint_mag}
        law = law or (start_from.law if start_from else law_of_name(_simulated_law(sample.meta)))
        law = law.of_bands(star_bands(bands))
        asked = resolved_config(config, preset, len(sample.source_id), going_on=start_from is not None)
        planner = RunPlanner(
            asked, law, started_s=started_s, max_minutes=max_minutes, estimate=estimate, **limits_mag
        )
        result = train_flow(
            sample.data, asked, n_bands=len(bands), selection=selection, prior_limit_mag=sample.prior.g_limit_mag,
            law=law, names=sample.source_id, start_from=start_from.flow if start_from else None,
            max_minutes=max_minutes, plan=planner if estimate is not None or max_minutes is not None else None,
            checkpoint=checkpoint, resume=resume, progress=progress, step_progress=step_progress, **limits_mag,
        )  # fmt: skip
        result.diagnostics = make_diagnostics(result.flow, sample.data, sample.ruwe, seed=result.config.seed)
    model = Model(
        name=name,
        description=description,
        flow=result.flow,
        law=law,
        g_bright_mag=sample.g_bright_mag,
        g_faint_mag=sample.g_faint_mag,
        coverage=start_from.coverage if start_from and keep_coverage else fit_coverage(result.condition),
        selection=selection,
        photometry=sample.scale,
        distance_prior=sample.prior.as_dict(),
        config=result.config.model_dump(mode="json"),
        provenance={
            **_provenance(sample, result),
            "preset": preset,
            "max_minutes": max_minutes,
            "started_from": start_from.model_id if start_from else None,
            "coverage_kept": keep_coverage,
        },
    )
    if result.config.emulator.n_steps > 0:
        emulator = distil(
            model,
            result.config.emulator,
            start_from=start_from.emulator if start_from else None,
            max_seconds=planner.seconds_left() if planner.plan is not None else None,
            steps=planner.distil_steps,
            progress=emulator_progress,
        )
        model = dataclasses.replace(model, emulator=emulator)
    if checkpoint is not None and result.complete:
        checkpoint.unlink(missing_ok=True)
    return model, result


def _bands(n_bands: int, surveys: "Sequence[str | Path | Survey] | None") -> BandSet:
    """Return the bands of a model."""
    if surveys is not None:
        return band_set(surveys)
    if n_bands not in SURVEY_ENDS.values():
        raise InputError(f"train(n_bands) must be one of {sorted(SURVEY_ENDS.values())}; got {n_bands}.")
    return STANDARD.leading(n_bands)


def _tabulated(stars: TableSource, checkpoint: Path | None, stack: ExitStack) -> Path | None:
    """Return the folder in which a file's stars are tabulated, for as long as the stack lasts; None to hold them in memory."""
    if not isinstance(stars, (str, Path)) or Path(stars).suffix != ".parquet":
        return None
    if checkpoint is None:
        return Path(stack.enter_context(TemporaryDirectory(prefix="redflower-train-")))
    # Beside the checkpoint, so that a killed run's files are found, and overwritten, by the one that resumes.
    folder = checkpoint.with_suffix(".tabulated")
    _check_is_ours(folder)
    stack.callback(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _provenance(sample: TrainingSample, result: TrainResult) -> dict[str, Any]:
    """Return what a model records of its sample and of how it was reached."""
    return {
        "redflower": VERSION,
        "jax": jax.__version__,
        "stars": len(sample.source_id),
        "input": {k: sample.meta[k] for k in ("source", "input", "sha256", "settings") if k in sample.meta},
        "validation_log_evidence": result.validation_log_evidence,
        "outlier_share": result.outlier_share,
        "epochs": len(result.history),
        "stopped_because": result.stopped_because,
    }


def _simulated_law(meta: dict[str, Any]) -> str | None:
    """Return the name of the law that a simulated sky's dust follows; None for other stars."""
    name = meta.get("source", {}).get(LAW_KEY) or meta.get(LAW_KEY)
    return None if name is None else str(name)


def _check_is_ours(folder: Path) -> None:
    """Refuse a folder of tabulated stars, which is emptied and removed, that holds anything else."""
    if folder.exists() and (not folder.is_dir() or any(path.suffix != ".bin" for path in folder.iterdir())):
        raise InputError(
            f"train: {folder}, where the tabulated stars would lie, holds other files. Give the model another name, or move it."
        )
