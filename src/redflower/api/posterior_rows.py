"""The rows that inference writes of some stars of a prepared table, and their provenance."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from astropy.table import Column, Table

from redflower.calibrate.sample_fit import sample_fit
from redflower.calibrate.verdict import judge
from redflower.catalogue import DistancePrior, to_stars
from redflower.catalogue.io.columns import as_floats
from redflower.catalogue.io.display import with_formats
from redflower.catalogue.prepared import is_known_to_prepare, table_scale
from redflower.errors import InputError
from redflower.flow import Model
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
from redflower.provenance import META_KEY, PHOTOMETRY_KEY, VERSION


def posterior_table(
    stars: Table,
    model: Model,
    settings: InferenceSettings,
    prior: DistancePrior,
    *,
    photometry: PhotometricScale | str | None = None,
    offsets: PhotometricOffsets | None = None,
    keep: Sequence[str] = (),
    without: Sequence[str] = (),
    progress: Callable[[int], None] | None = None,
) -> Table:
    """Infer one part of a table. Unlike `infer`, accept a part in which no star can be inferred."""
    if offsets is not None:
        offsets.check_model(model.model_id, model.band_names)
    batch = to_stars(
        stars,
        prior,
        model.selection,
        scale=model.scale(),
        photometry=photometry,
        offsets=offsets,
        without=without,
        bands=model.star_bands,
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
        "model": {"id": model.model_id, "description": model.description, "law": model.law.to_spec()},
        "without_bands": list(without),
        PHOTOMETRY_KEY: model.scale().as_dict(),
        "photometry_moved": describe_move(table_scale(stars, photometry), model.scale(), model.bands),
        "offsets": None if offsets is None else offsets_content(offsets),
        "distance_prior": {"name": prior.name, "sha256": prior.sha256},
        "ebv_prior_mag": [settings.ebv_min_mag, settings.ebv_max_mag],
        "ebv_limit_mag": _ebv_limit_recorded(stars, settings),
        "engine": settings.engine,
        "hand_on": settings.hand_on,
        "outlier_share": settings.outlier_share,
        "nuts": vars(settings.nuts).copy(),
        "fast": _json_safe(vars(settings.fast)) if settings.engine == "fast" else None,
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


def _json_safe(settings: dict[str, Any]) -> dict[str, Any]:
    """Return settings as JSON can hold them: an infinite limit becomes text."""
    return {k: str(v) if isinstance(v, float) and not np.isfinite(v) else v for k, v in settings.items()}
