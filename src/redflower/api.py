"""The Python front door: tables in, tables and small results out. The command line calls nothing else."""

import dataclasses
import shutil
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import jax
import numpy as np
from astropy.table import Column, Table

from redflower.bands import SURVEY_ENDS
from redflower.catalogue import (
    DistancePrior,
    default_distance_prior,
    require_prepared,
    to_stars,
    training_sample,
)
from redflower.catalogue.io.columns import as_floats
from redflower.errors import InputError, ModelError
from redflower.flow import Model, fit_coverage, load_model
from redflower.physics import ExtinctionLaw, SelectionFunction, Zhang23Law
from redflower.posterior import Flag, InferenceSettings, Status, infer_stars
from redflower.posterior.density import DENSITY_COLUMNS
from redflower.posterior.flags import MIN_BANDS
from redflower.posterior.nuts.chains import chains_of_stars
from redflower.posterior.status import STATUS_MESSAGES
from redflower.products import fit_posteriors
from redflower.products.arviz_objects import star_inference_data
from redflower.provenance import META_KEY, VERSION
from redflower.train import DistilStep, Epoch, TrainConfig, TrainResult, distil, make_diagnostics, train_flow

#: Fit the dust along a line of sight; see `redflower.products.fit_posteriors`.
sightline = fit_posteriors

#: Unit and description of every column of `infer`'s table that has them.
_DESCRIPTIONS = {
    "mean": "posterior mean",
    "std": "posterior standard deviation",
    "q05": "5 % quantile",
    "q16": "16 % quantile",
    "q50": "median",
    "q84": "84 % quantile",
    "q95": "95 % quantile",
}
OUTPUT_COLUMNS: dict[str, tuple[str | None, str]] = {
    **{f"ebv_{k}": ("mag", f"E(B-V), {v}") for k, v in _DESCRIPTIONS.items()},
    **{f"distance_{k}": ("pc", f"distance, {v}") for k, v in _DESCRIPTIONS.items()},
    "ebv_distance_corr": (None, "posterior correlation of E(B-V) and distance"),
    "log_evidence": (
        None,
        "natural log of the evidence: quadrature and importance weights, or bridge sampling (nuts)",
    ),
    "bands": (None, "bands used"),
    "model": (None, "model id"),
    "engine": (
        None,
        "what settled the star: fast (quadrature), importance (weighted draws) or nuts (chains)",
    ),
    "ess": (
        None,
        "effective draws: of the check's weights (fast), of the weights (importance), of the chains (nuts)",
    ),
    "pareto_k": (None, "tail shape of the importance weights against the exact density; NaN for nuts"),
    "r_hat": (None, "split R-hat, the larger of E(B-V)'s and distance's; NaN without chains"),
    "divergences": (None, "diverging trajectories of the chains"),
    "status": (None, "one word: ok, or why to look twice"),
    "flags": (None, "bit mask, see redflower.posterior.Flag"),
}

#: Columns that `infer` adds with the densities: the distance prior that they hold (docs/model.md, E13).
PRIOR_COLUMNS: dict[str, tuple[str | None, str]] = {
    "prior_log_length": (None, "distance prior: natural log of its length scale in pc"),
    "prior_alpha": (None, "distance prior: exponent alpha"),
    "prior_beta": (None, "distance prior: exponent beta"),
}
_PRIOR_FIELDS = {
    "prior_log_length": "prior_log_length_pc",
    "prior_alpha": "prior_alpha",
    "prior_beta": "prior_beta",
}


def train(
    stars: Table | str | Path,
    *,
    name: str,
    description: str = "",
    config: TrainConfig | None = None,
    n_bands: int = SURVEY_ENDS["2mass"],
    law: ExtinctionLaw | None = None,
    distance_prior: DistancePrior | None = None,
    selection: SelectionFunction | None = None,
    start_from: Model | None = None,
    keep_coverage: bool = False,
    max_minutes: float | None = None,
    checkpoint: Path | None = None,
    resume: bool = False,
    progress: Callable[[Epoch], None] | None = None,
    step_progress: Callable[[int, int], None] | None = None,
    emulator_progress: Callable[[DistilStep], None] | None = None,
) -> tuple[Model, TrainResult]:
    """Train a flow on a prepared table of stars believed free of dust, then distil the fast engine's emulator from it.

    Parameters
    ----------
    stars : a prepared table (`redflower.prepare`, purpose ``training``), or the path of one; a Parquet file may be
        larger than memory.
    name, description : what the model will be called and what it is.
    config : the training configuration; the defaults of `TrainConfig` without it.
    n_bands : 3 (Gaia), 8 (+ Pan-STARRS1) or 11 (+ 2MASS); stars without the last bands train the others.
    law : extinction law of the contrastive term, stored with the model; Zhang & Yuan (2023) without it.
    distance_prior : see `redflower.catalogue.read_distance_prior`; the mock Galaxy's without it.
    selection : selection function of the sample (`redflower.catalogue.read_selection`), used here and stored in the model
        for inference; 1 everywhere without it.
    start_from : a model to go on from, with its emulator.
    keep_coverage : serve all (R, Z) at which `start_from` had stars, and not those of these stars alone. What these stars
        teach is then carried to places where nothing checks it: for a few real stars, of one field, that correct a flow's
        colours.
    max_minutes, checkpoint, resume, progress, step_progress : see `redflower.train.train_flow`. The time limit is that of
        the flow; the checkpoint is removed once the model is complete.
    emulator_progress : see `redflower.train.distil`.

    Returns
    -------
    The model and how it was reached.

    Raises
    ------
    InputError, TrainingError : see `redflower.train.train_flow`.
    """
    config = config or TrainConfig()
    if n_bands not in SURVEY_ENDS.values():
        raise InputError(f"train(n_bands) must be one of {sorted(SURVEY_ENDS.values())}; got {n_bands}.")
    if keep_coverage and start_from is None:
        raise InputError(
            "keep_coverage (--keep-coverage) keeps the coverage of the model to start from, and there is none: give "
            "start_from (--start-from) too."
        )
    prior = distance_prior or default_distance_prior()
    with ExitStack() as stack:
        folder = None
        if not isinstance(stars, Table) and Path(stars).suffix == ".parquet":
            # Beside the checkpoint, so that a killed run's files are found, and overwritten, by the one that resumes.
            if checkpoint is not None:
                folder = checkpoint.with_suffix(".tabulated")
                stack.callback(shutil.rmtree, folder, ignore_errors=True)
            else:
                folder = Path(stack.enter_context(TemporaryDirectory(prefix="redflower-train-")))
        sample = training_sample(
            stars, prior, g_bright_mag=config.g_bright_mag, g_faint_mag=config.g_faint_mag, selection=selection,
            folder=folder,
        )  # fmt: skip
        result = train_flow(
            sample.data,
            config,
            n_bands=n_bands,
            g_bright_mag=sample.g_bright_mag,
            g_faint_mag=sample.g_faint_mag,
            selection=selection,
            law=law,
            names=sample.source_id,
            start_from=start_from.flow if start_from else None,
            max_minutes=max_minutes,
            checkpoint=checkpoint,
            resume=resume,
            progress=progress,
            step_progress=step_progress,
        )
        result.diagnostics = make_diagnostics(result.flow, sample.data, sample.ruwe, seed=config.seed)
    model = Model(
        name=name,
        description=description,
        flow=result.flow,
        law=law or Zhang23Law(),
        g_bright_mag=sample.g_bright_mag,
        g_faint_mag=sample.g_faint_mag,
        coverage=start_from.coverage if start_from and keep_coverage else fit_coverage(result.condition),
        selection=selection,
        distance_prior={"name": prior.name, "sha256": prior.sha256},
        config=config.model_dump(mode="json"),
        provenance={
            "redflower": VERSION,
            "jax": jax.__version__,
            "stars": len(sample.source_id),
            "input": {
                k: sample.meta[k] for k in ("source", "input", "sha256", "settings") if k in sample.meta
            },
            "validation_log_evidence": result.validation_log_evidence,
            "epochs": len(result.history),
            "stopped_because": result.stopped_because,
            "started_from": start_from.model_id if start_from else None,
            "coverage_kept": keep_coverage,
        },
    )
    if config.emulator.n_steps > 0:
        model = dataclasses.replace(
            model,
            emulator=distil(
                model,
                config.emulator,
                start_from=start_from.emulator if start_from else None,
                progress=emulator_progress,
            ),
        )
    if checkpoint is not None and result.complete:
        checkpoint.unlink(missing_ok=True)
    return model, result


def infer(
    stars: Table,
    model: Model | str | Path,
    *,
    settings: InferenceSettings | None = None,
    distance_prior: DistancePrior | None = None,
    progress: Callable[[int], None] | None = None,
) -> Table:
    """Posterior summaries of E(B-V) and distance, a row per star of a prepared table, in its order.

    Parameters
    ----------
    stars : a prepared table (`redflower.prepare`, purpose ``inference``).
    model : a model, the name of a shipped one, or the path of a model file.
    settings : reddening prior, chain lengths, batch size, seed.
    distance_prior : must be the one that the model was trained with; the mock Galaxy's without it.
    progress : called with the number of stars done.

    Returns
    -------
    A table with `OUTPUT_COLUMNS`, units and descriptions; what was used stands in ``meta["redflower"]``.

    Raises
    ------
    InputError : the table is not prepared, or lacks every band of the model.
    ModelError : the distance prior is not the one that the model was trained with.
    """
    settings = settings or InferenceSettings()
    require_prepared(stars, "infer's input")
    model, prior = matching_prior(model, distance_prior)
    table = posterior_table(stars, model, settings, prior, progress=progress)
    if not inferable(table):
        raise nothing_to_infer(model)
    return table


def matching_prior(
    model: Model | str | Path, distance_prior: DistancePrior | None
) -> tuple[Model, DistancePrior]:
    """The model, loaded, and the distance prior it was trained with.

    Raises
    ------
    ModelError : there is no such model, or the prior is another one.
    """
    model = model if isinstance(model, Model) else load_model(model)
    prior = distance_prior or default_distance_prior()
    trained_with = model.distance_prior.get("sha256")
    if trained_with and trained_with != prior.sha256:
        raise ModelError(
            f"infer: model {model.name!r} was trained with the distance prior {model.distance_prior['name']!r}, "
            f"but {prior.name!r} was given. The two must be the same; pass that prior, or train again."
        )
    return model, prior


def json_safe(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings as JSON holds them: an infinite limit as text."""
    return {k: str(v) if isinstance(v, float) and not np.isfinite(v) else v for k, v in settings.items()}


def inferable(posteriors: Table) -> bool:
    """Whether any star of an inference table had the bands to be inferred."""
    return bool((np.asarray(posteriors["status"]).astype(str) != Status.NO_BANDS.value).any())


def nothing_to_infer(model: Model) -> InputError:
    """The error of a table in which no star has the model's bands."""
    return InputError(
        f"infer: no star can be inferred: model {model.name!r} needs at least {MIN_BANDS} of "
        f"{', '.join(model.band_names)}, and no star has them. Check the column map "
        "that `redflower prepare` was given."
    )


def posterior_table(
    stars: Table,
    model: Model,
    settings: InferenceSettings,
    prior: DistancePrior,
    *,
    progress: Callable[[int], None] | None = None,
) -> Table:
    """`infer` on a part of a table, in which it is no error that no star can be inferred."""
    batch = to_stars(stars, prior, model.selection)
    source_id = np.asarray(stars["source_id"])
    columns = infer_stars(
        model,
        batch.stars,
        source_id,
        settings,
        ebv_limit_mag=_ebv_limit_mag(stars, settings),
        progress=progress,
    )
    placed = batch.reason != "no position"
    columns["status"][~placed] = Status.NONFINITE.value
    for values in columns.values():
        if values.dtype.kind == "f":
            values[~placed] = np.nan
    columns["model"] = np.full(len(stars), model.model_id)
    described = dict(OUTPUT_COLUMNS)
    if settings.density:
        described |= DENSITY_COLUMNS | PRIOR_COLUMNS
        for column in PRIOR_COLUMNS:
            columns[column] = np.asarray(getattr(batch.stars, _PRIOR_FIELDS[column]))
    table = Table()
    table["source_id"] = Column(source_id, description="Gaia source identifier")
    for column, (unit, text) in described.items():
        table[column] = Column(columns[column], unit=unit, description=text)
    for column in stars.colnames:
        if column.startswith("true_") or column in ("l", "b"):
            table[column] = stars[column]
    table.meta[META_KEY] = {
        "stage": "posteriors",
        "redflower": VERSION,
        "model": {"id": model.model_id, "description": model.description},
        "distance_prior": {"name": prior.name, "sha256": prior.sha256},
        "ebv_prior_mag": [settings.ebv_min_mag, settings.ebv_max_mag],
        "ebv_limit_mag": settings.ebv_limit_mag or ("ebv_map" if "ebv_map" in stars.colnames else None),
        "engine": settings.engine,
        "hand_on": settings.hand_on,
        "nuts": vars(settings.nuts).copy(),
        "fast": json_safe(vars(settings.fast)) if settings.engine == "fast" else None,
        "seed": settings.seed,
        "input": stars.meta.get(META_KEY, {}),
    }
    return table


def _ebv_limit_mag(stars: Table, settings: InferenceSettings) -> np.ndarray | None:
    """All the dust towards each star: what the user gave, or the dust map that the table was prepared with."""
    if settings.ebv_limit_mag is not None:
        return np.full(len(stars), settings.ebv_limit_mag)
    return as_floats(stars, "ebv_map") if "ebv_map" in stars.colnames else None


def draw_posteriors(
    stars: Table,
    model: Model | str | Path,
    *,
    settings: InferenceSettings | None = None,
    distance_prior: DistancePrior | None = None,
    progress: Callable[[int], None] | None = None,
) -> Any:
    """The chains of every star that can be inferred, by NUTS, as an `arviz.InferenceData` (extra ``arviz``).

    For few stars: 800 draws of nine numbers each, 30 kB a star. They are the draws from which `infer` with the engine
    ``nuts`` and the same settings makes its rows.

    Parameters
    ----------
    stars, model, settings, distance_prior, progress : as for `infer`.

    Raises
    ------
    InputError : as for `infer`, or ArviZ is not installed.
    ModelError : as for `infer`.
    """
    settings = settings or InferenceSettings()
    require_prepared(stars, "draw_posteriors' input")
    model, prior = matching_prior(model, distance_prior)
    batch = to_stars(stars, prior, model.selection)
    rows = np.flatnonzero(batch.reason != "no position")
    placed = jax.tree.map(lambda a: np.asarray(a)[rows], batch.stars)
    source_id = np.asarray(stars["source_id"])[rows]
    inferred, chains = chains_of_stars(model, placed, source_id, settings, progress=progress)
    if not len(inferred):
        raise nothing_to_infer(model)
    return star_inference_data(
        source_id[inferred],
        chains,
        {"model": model.model_id, "ebv_prior_mag": [settings.ebv_min_mag, settings.ebv_max_mag]},
    )


def usable_rows(posteriors: Table) -> np.ndarray:
    """Which rows may enter a mean: status ``ok`` or at the lower edge of the prior, and like the training stars.

    Dust-free stars scatter below zero and reach the lower edge; leaving them out would bias a mean over them high. A star
    at the upper edge is another matter: its reddening is unknown. So is that of a star with the flag
    ``LOW_FLOW_PROBABILITY``, which dust is made to explain though no dust-free star of the model looks like it.
    """
    words = np.asarray(posteriors["status"]).astype(str)
    at_lower_edge = (words == Status.EDGE_OF_PRIOR.value) & (np.asarray(posteriors["ebv_mean"]) < 0.0)
    unlike_all = (np.asarray(posteriors["flags"]) & int(Flag.LOW_FLOW_PROBABILITY)) != 0
    return ((words == Status.OK.value) | at_lower_edge) & ~unlike_all


def status_counts(posteriors: Table) -> dict[str, int]:
    """How many stars have each status, the most frequent first."""
    words, counts = np.unique(np.asarray(posteriors["status"]).astype(str), return_counts=True)
    return {str(words[i]): int(counts[i]) for i in np.argsort(-counts, kind="stable")}


def describe_statuses(counts: dict[str, int]) -> Sequence[str]:
    """A line per status: the count, the word and its meaning."""
    return [f"{count:>7,}  {word}: {STATUS_MESSAGES[Status(word)]}" for word, count in counts.items()]
