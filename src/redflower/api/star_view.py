"""One star of a table of posteriors: its joint density, and its magnitudes beside what the model predicts."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import Table
from matplotlib.figure import Figure

from redflower.api.inference import matching_prior
from redflower.api.posteriors import open_posteriors
from redflower.catalogue import to_stars
from redflower.catalogue.io.sources import TableSource, as_table
from redflower.catalogue.prepared import prepared_error_name
from redflower.catalogue.reading.prepared_stars import open_prepared
from redflower.distances import distance_from_modulus
from redflower.errors import InputError
from redflower.flow import Model, load_model, shipped_models
from redflower.plot.star import star_figure
from redflower.posterior import InferenceSettings, infer_stars
from redflower.posterior.columns import DENSITY_COLUMNS
from redflower.posterior.density import joint_density
from redflower.posterior.fast.fit import FitRecord
from redflower.provenance import META_KEY


def draw_star(
    posteriors: TableSource,
    source_id: int,
    *,
    prepared: TableSource | None = None,
    model: Model | str | Path | None = None,
) -> Figure:
    """Draw one star: joint density with quantiles and, given the prepared table, observed against predicted magnitudes.

    Parameters
    ----------
    posteriors : from `redflower.infer`; with densities for the joint density.
    source_id : of the star.
    prepared : the table that was inferred. If None, the magnitudes are left out.
    model : that it was inferred with. Defaults to the shipped model that the posteriors name.

    Returns
    -------
    A matplotlib figure.

    Raises
    ------
    InputError : the star is not in a table, was not inferred, or the model is not known.

    Examples
    --------
    >>> import redflower
    >>> posteriors = redflower.read_table("posteriors.parquet")
    >>> inferred = posteriors[redflower.usable_rows(posteriors)]
    >>> figure = redflower.draw_star("posteriors.parquet", inferred["source_id"][0])
    >>> figure.savefig("star.png")
    """
    table = as_table(posteriors, "draw_star's input")
    if set(DENSITY_COLUMNS) <= set(table.colnames):
        table = open_posteriors(table, "draw_star's input")  # data frames hold densities as lists
    found = np.flatnonzero(np.asarray(table["source_id"]) == int(source_id))
    if len(found) == 0:
        raise InputError(f"no star of the table has the source_id {source_id}; it has {len(table):,} stars.")
    row = table[int(found[0])]
    if not np.isfinite(float(row["ebv_mean"])):
        raise InputError(f"star {source_id} was not inferred: its status is {row['status']}.")
    density = None
    if set(DENSITY_COLUMNS) <= set(table.colnames):
        one = joint_density(table[found[:1]])
        distance_pc = distance_from_modulus(one.modulus_nodes_mag()[0])
        density = distance_pc, one.ebv_nodes_mag()[0], np.maximum(one.log_density()[0], -25.0)
    magnitudes = None
    if prepared is not None:
        magnitudes = predicted_magnitudes(table, int(source_id), prepared, model)
    return star_figure(row, density, magnitudes)


def predicted_magnitudes(
    posteriors: Table, source_id: int, prepared: TableSource, model: Model | str | Path | None = None
) -> Table:
    """Return the observed magnitudes of a star and those that the model predicts, each from the bands before it.

    Parameters
    ----------
    posteriors, source_id, prepared, model : as of `draw_star`.

    Returns
    -------
    ``band observed error predicted predicted_error`` of the star's bands after G [mag], at one draw of its posterior.
    ``predicted_error`` holds the star's error too.

    Raises
    ------
    InputError : the star is not in the prepared table, or the model is not known.
    """
    meta = posteriors.meta.get(META_KEY, {})
    chosen, prior = matching_prior(model if model is not None else _model_of(meta), None)
    stars = open_prepared(prepared, "draw_star's prepared table")
    found = np.flatnonzero(np.asarray(stars["source_id"]) == source_id)
    if len(found) == 0:
        raise InputError(f"the prepared table has no star {source_id}; give the table that was inferred.")
    stars = stars[found[:1]]
    without = meta.get("without_bands", ())
    batch = to_stars(
        stars, prior, chosen.selection, scale=chosen.scale(), without=without, bands=chosen.star_bands
    )
    low, high = meta.get("ebv_prior_mag", (InferenceSettings().ebv_min_mag, InferenceSettings().ebv_max_mag))
    settings = dataclasses.replace(
        InferenceSettings(), ebv_min_mag=low, ebv_max_mag=high, hand_on=False, seed=meta.get("seed", 0)
    )
    records: list[FitRecord] = []
    infer_stars(chosen, batch.stars, np.asarray(stars["source_id"]), settings, judged=records.append)
    record = records[0]
    rows = []
    for k, band in enumerate(chosen.bands):
        if k == 0 or not record.observed[0, k]:
            continue
        observed, off = (
            float(np.asarray(batch.stars.magnitude_mag)[0, k]),
            float(record.residual_mag[0, k - 1]),
        )
        score = float(record.residual[0, k - 1])
        error = float(stars[prepared_error_name(band)][0])
        rows.append(
            (band.label, observed, error, observed - off, max(abs(off / score) if score else error, error))
        )
    return Table(rows=rows, names=("band", "observed", "error", "predicted", "predicted_error"))


def _model_of(meta: dict[str, Any]) -> Model:
    """Return the shipped model that a table's provenance names."""
    wanted = meta.get("model", {}).get("id")
    for name in shipped_models():
        if wanted and wanted.startswith(name):
            model = load_model(name)
            if model.model_id == wanted:
                return model
    raise InputError(
        f"the posteriors are of the model {wanted or '(not stated)'}, which does not come with redflower: give its "
        "file (--model)."
    )
