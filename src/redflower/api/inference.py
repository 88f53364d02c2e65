"""Infer E(B-V) and distance of the stars of a table: a row per star, or all of its draws."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from astropy.table import Column, Table

from redflower.bands import MIN_BANDS
from redflower.calibrate.sample_fit import sample_fit
from redflower.calibrate.verdict import judge
from redflower.catalogue import DistancePrior, choose_distance_prior, to_stars
from redflower.catalogue.io.columns import as_floats
from redflower.catalogue.io.display import with_formats
from redflower.catalogue.io.sources import TableSource
from redflower.catalogue.prepared import is_known_to_prepare, table_scale
from redflower.catalogue.reading.prepared_stars import open_prepared
from redflower.errors import InputError, ModelError
from redflower.flow import Model, load_model
from redflower.photometric_offsets import PhotometricOffsets, offsets_content
from redflower.photometric_scales import PhotometricScale, describe_move
from redflower.posterior import InferenceSettings, Status, infer_stars
from redflower.posterior.columns import (
    DENSITY_COLUMNS,
    EBV_PRIOR_COLUMNS,
    OUTPUT_COLUMNS,
    PRIOR_COLUMNS,
    PRIOR_FIELDS,
)
from redflower.posterior.fast.fit import FitRecord
from redflower.posterior.nuts.chains import chains_of_stars
from redflower.products.arviz_objects import star_inference_data
from redflower.progress import ShowProgress, shown
from redflower.provenance import META_KEY, PHOTOMETRY_KEY, VERSION


def infer(
    stars: TableSource,
    model: Model | str | Path,
    *,
    settings: InferenceSettings | None = None,
    distance_prior: DistancePrior | None = None,
    photometry: PhotometricScale | str | None = None,
    offsets: PhotometricOffsets | None = None,
    keep: Sequence[str] = (),
    progress: ShowProgress = None,
) -> Table:
    """Infer E(B-V) and distance of every star of a prepared table: a row of posterior summaries per star, in its order.

    Parameters
    ----------
    stars : a prepared table (`redflower.prepare`, purpose ``inference``), the path of one, a data frame, an Arrow table.
    model : a model, the name of a shipped one, or the path of a model file.
    settings : `redflower.InferenceSettings`: reddening prior, chain lengths, batch size, seed. With ``density=True`` it
        adds the joint densities, which `redflower.sightline`, `redflower.sky_map` and `redflower.mean_reddening` need.
    distance_prior : must be the one that the model was trained with. Defaults to it where it comes with redflower, with a
        warning unless the stars are simulated.
    photometry : photometric scale of a table that states none (`redflower.photometric_scales`). Magnitudes are moved to the
        model's scale.
    offsets : of the sample against the model, from `redflower.calibrate` or `redflower.read_offsets`; taken off the magnitudes.
    keep : further columns of the prepared table to pass on, such as ``gaia_g``. Positions, the truths of a simulation and
        columns that are none of redflower's, which `prepare` was told to keep, come along by themselves.
    progress : whether to show it, or what to call with the number of stars done. Defaults to showing it on
        a terminal and in a notebook.

    Returns
    -------
    A table with `OUTPUT_COLUMNS`, units and descriptions; ``meta["redflower"]`` records what was used.

    Raises
    ------
    InputError : the table is not prepared, states no photometric scale, or lacks every band of the model.
    ModelError : the distance prior is not the one that the model was trained with, the model states no photometric scale,
        or no relation between the table's and the model's is known.

    Examples
    --------
    >>> import redflower
    >>> posteriors = redflower.infer("stars.parquet", "mock-sky")
    >>> posteriors["ebv_mean"].unit, posteriors["distance_mean"].unit
    (Unit("mag"), Unit("pc"))
    >>> reliable = posteriors[redflower.usable_rows(posteriors)]
    """
    settings = settings or InferenceSettings()
    stars = open_prepared(stars, "infer's input")
    model, prior = matching_prior(model, distance_prior, stars.colnames)
    with shown(progress, "stars", len(stars)) as call:
        table = posterior_table(
            stars, model, settings, prior, photometry=photometry, offsets=offsets, keep=keep, progress=call
        )
    if not inferable(table):
        raise nothing_to_infer(model)
    return table


def matching_prior(
    model: Model | str | Path, distance_prior: DistancePrior | None, names: Iterable[str] | None = None
) -> tuple[Model, DistancePrior]:
    """Load the model, and choose the distance prior it was trained with; warn of a packaged prior for real stars.

    Parameters
    ----------
    model, distance_prior : as for `infer`.
    names : columns of the stars, which tell whether they are simulated. If None, no warning is given.

    Returns
    -------
    The model and the prior.

    Raises
    ------
    ModelError : there is no such model, or the prior is another one.
    """
    model = model if isinstance(model, Model) else load_model(model)
    trained_with = model.distance_prior.get("sha256")
    prior = choose_distance_prior(distance_prior, names, sha256=trained_with)
    if trained_with and trained_with != prior.sha256:
        raise ModelError(
            f"infer: model {model.name!r} was trained with the distance prior {model.distance_prior['name']!r}, "
            f"but {prior.name!r} was given. The two must be the same; pass that prior, or train again."
        )
    return model, prior


def json_safe(settings: dict[str, Any]) -> dict[str, Any]:
    """Return settings as JSON can hold them: an infinite limit becomes text."""
    return {k: str(v) if isinstance(v, float) and not np.isfinite(v) else v for k, v in settings.items()}


def inferable(posteriors: Table) -> bool:
    """Tell whether any star of an inference table had the bands to be inferred."""
    return bool((np.asarray(posteriors["status"]).astype(str) != Status.NO_BANDS.value).any())


def nothing_to_infer(model: Model) -> InputError:
    """Make the error for a table in which no star has the model's bands."""
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
    photometry: PhotometricScale | str | None = None,
    offsets: PhotometricOffsets | None = None,
    keep: Sequence[str] = (),
    progress: Callable[[int], None] | None = None,
) -> Table:
    """Infer one part of a table. Unlike `infer`, accept a part in which no star can be inferred."""
    if offsets is not None:
        offsets.check_model(model.model_id, model.band_names)
    batch = to_stars(
        stars, prior, model.selection, scale=model.scale(), photometry=photometry, offsets=offsets
    )
    source_id = np.asarray(stars["source_id"])
    records: list[FitRecord] = []
    columns = infer_stars(
        model,
        batch.stars,
        source_id,
        settings,
        ebv_limit_mag=_ebv_limit_mag(stars, settings),
        progress=progress,
        judged=records.append,
    )
    fit = sample_fit(model, records[0], columns)
    placed = batch.reason != "no position"
    columns["status"][~placed] = Status.NONFINITE.value
    for values in columns.values():
        if values.dtype.kind == "f":
            values[~placed] = np.nan
    columns["model"] = np.full(len(stars), model.model_id)
    described = dict(OUTPUT_COLUMNS)
    if settings.density:
        described |= DENSITY_COLUMNS | PRIOR_COLUMNS | EBV_PRIOR_COLUMNS
        for column, end in zip(EBV_PRIOR_COLUMNS, (settings.ebv_min_mag, settings.ebv_max_mag), strict=True):
            columns[column] = np.full(len(stars), end)
        for column in PRIOR_COLUMNS:
            columns[column] = np.asarray(getattr(batch.stars, PRIOR_FIELDS[column]))
    table = Table()
    table["source_id"] = Column(source_id, description="Gaia source identifier")
    for column, (unit, text) in described.items():
        table[column] = Column(columns[column], unit=unit, description=text)
    for column in passed_on(stars, keep, {*described, "source_id"}):
        table[column] = stars[column]
    with_formats(table)
    table.meta[META_KEY] = {
        "stage": "posteriors",
        "redflower": VERSION,
        "model": {"id": model.model_id, "description": model.description},
        PHOTOMETRY_KEY: model.scale().as_dict(),
        "photometry_moved": describe_move(table_scale(stars, photometry), model.scale()),
        "offsets": None if offsets is None else offsets_content(offsets),
        "distance_prior": {"name": prior.name, "sha256": prior.sha256},
        "ebv_prior_mag": [settings.ebv_min_mag, settings.ebv_max_mag],
        "ebv_limit_mag": _ebv_limit_recorded(stars, settings),
        "engine": settings.engine,
        "hand_on": settings.hand_on,
        "outlier_share": settings.outlier_share,
        "nuts": vars(settings.nuts).copy(),
        "fast": json_safe(vars(settings.fast)) if settings.engine == "fast" else None,
        "seed": settings.seed,
        "input": stars.meta.get(META_KEY, {}),
        "fit": fit.as_dict(),
        "verdict": judge(fit).as_dict(),
    }
    return table


def passed_on(stars: Table, keep: Sequence[str], written: set[str]) -> list[str]:
    """Return the columns of a prepared table that go into its posteriors.

    Parameters
    ----------
    stars : the prepared table.
    keep : those that the user asked for.
    written : names that inference writes itself.

    Raises
    ------
    InputError : a column asked for is not there, or has a name that inference writes.
    """
    absent = [name for name in keep if name not in stars.colnames]
    if absent:
        raise InputError(
            f"infer: keep names {', '.join(map(repr, absent))}, which the prepared table lacks; it has "
            f"{', '.join(stars.colnames)}. Columns of the raw table come along with `redflower prepare --keep`."
        )
    wanted = dict.fromkeys([name for name in ("ra", "dec", "l", "b") if name in stars.colnames])
    wanted |= dict.fromkeys(name for name in stars.colnames if name in keep or not is_known_to_prepare(name))
    wanted.pop("source_id", None)
    clash = [name for name in wanted if name in written]
    if clash:
        raise InputError(
            f"infer: the prepared table has a column {clash[0]!r} to be kept, and inference writes one of that name. Prepare "
            "again, and name it otherwise in the column map ([extra])."
        )
    return list(wanted)


def _ebv_limit_mag(stars: Table, settings: InferenceSettings) -> np.ndarray | None:
    """Return all the dust towards each star: the user's number, or the dust map that the table was prepared with."""
    if settings.ebv_limit_mag is not None:
        return np.full(len(stars), settings.ebv_limit_mag)
    return as_floats(stars, "ebv_map") if "ebv_map" in stars.colnames else None


def _ebv_limit_recorded(stars: Table, settings: InferenceSettings) -> float | str | None:
    """Return what the provenance says of that limit: the user's number, which may be 0, or where it came from."""
    if settings.ebv_limit_mag is not None:
        return settings.ebv_limit_mag
    return "ebv_map" if "ebv_map" in stars.colnames else None


def draw_posteriors(
    stars: TableSource,
    model: Model | str | Path,
    *,
    settings: InferenceSettings | None = None,
    distance_prior: DistancePrior | None = None,
    photometry: PhotometricScale | str | None = None,
    progress: ShowProgress = None,
) -> Any:
    """Draw chains of every star that can be inferred, by NUTS, as an `arviz.InferenceData` (extra ``arviz``).

    For few stars: 800 draws of nine numbers each, 30 kB a star. They are the draws from which `infer` with the engine
    ``nuts`` and the same settings makes its rows.

    Parameters
    ----------
    stars, model, settings, distance_prior, photometry, progress : as for `infer`.

    Returns
    -------
    Chains with the dimensions chain, draw and star; ``ebv`` and ``distance_modulus`` are in mag.

    Raises
    ------
    InputError : as for `infer`, or ArviZ is not installed.
    ModelError : as for `infer`.

    Examples
    --------
    >>> import redflower
    >>> from redflower.posterior import InferenceSettings, NutsSettings
    >>> quick = InferenceSettings(nuts=NutsSettings(n_chains=2, n_warmup=40, n_draws=40), batch_size=2)
    >>> chains = redflower.draw_posteriors("few-stars.parquet", "mock-sky", settings=quick)
    >>> chains.posterior["ebv"].dims
    ('chain', 'draw', 'star')
    """
    settings = settings or InferenceSettings()
    stars = open_prepared(stars, "draw_posteriors' input")
    model, prior = matching_prior(model, distance_prior, stars.colnames)
    batch = to_stars(stars, prior, model.selection, scale=model.scale(), photometry=photometry)
    rows = np.flatnonzero(batch.reason != "no position")
    placed = jax.tree.map(lambda a: np.asarray(a)[rows], batch.stars)
    source_id = np.asarray(stars["source_id"])[rows]
    with shown(progress, "stars", len(rows)) as call:
        inferred, chains = chains_of_stars(model, placed, source_id, settings, progress=call)
    if not len(inferred):
        raise nothing_to_infer(model)
    return star_inference_data(
        source_id[inferred],
        chains,
        {"model": model.model_id, "ebv_prior_mag": [settings.ebv_min_mag, settings.ebv_max_mag]},
    )
