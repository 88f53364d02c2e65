"""The experiment of section 5.1 of the paper on a table of stars: redden, infer, score."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from astropy.table import Column, Table, vstack

from redflower.api.inference import left_out
from redflower.api.kept import KeptPieces
from redflower.api.star_pieces import StarsJob, inferred_stars
from redflower.api.statuses import usable_rows
from redflower.bands import BP, RP, G
from redflower.calibrate.verdict import MIN_JUDGED_STARS, SampleFit, judge
from redflower.catalogue import DistancePrior, choose_distance_prior, to_stars
from redflower.catalogue.band_names import bands_named
from redflower.catalogue.io.sources import TableSource
from redflower.catalogue.prepared import table_scale
from redflower.catalogue.reading.prepared_stars import open_prepared
from redflower.distances import modulus_from_distance
from redflower.errors import InputError
from redflower.flow import Model, load_model
from redflower.photometric_scales import PhotometricScale, describe_move
from redflower.posterior import InferenceSettings
from redflower.posterior.columns import OUTPUT_COLUMNS
from redflower.products.validation import summarise_trials
from redflower.progress import ShowProgress, shown
from redflower.provenance import META_KEY, PHOTOMETRY_KEY, VERSION
from redflower.validate import trials
from redflower.validate.synthetic import AS_THEY_ARE


def validate(
    stars: TableSource,
    model: Model | str | Path,
    *,
    n_stars: int | None = None,
    n_bands: Sequence[int] | None = None,
    resample: bool = False,
    settings: InferenceSettings | None = None,
    distance_prior: DistancePrior | None = None,
    photometry: PhotometricScale | str | None = None,
    without: Sequence[str] = (),
    workers: int | None = None,
    kept: KeptPieces | None = None,
    progress: ShowProgress = None,
) -> tuple[Table, dict[str, Any]]:
    """Redden dust-free stars by known amounts, infer them, and score the posteriors (section 5.1 of the paper).

    Parameters
    ----------
    stars : a prepared table of stars free of dust, or the path of one; none of them used in training.
    model : a model, the name of a shipped one, or the path of a model file.
    n_stars : number of stars to take, at random. Defaults to all.
    n_bands : numbers of leading bands to test; any that the model lacks is dropped. Defaults to those up to the end of each
        survey behind Gaia: 8 and 11 of the standard bands.
    resample : draw noise again around the observed magnitudes and parallaxes, as the paper does; see
        `redflower.validate.redden`.
    settings : of the inference; its seed also chooses the stars and the random reddenings.
    distance_prior : the one that the model was trained with. Defaults to it where it comes with redflower.
    photometry : photometric scale of a table that states none; see `redflower.infer`.
    without : bands to leave out of every star, as for `redflower.infer`; no star needs them to enter.
    workers : number of processes that share the stars, as for `redflower.infer`.
    kept : keeps finished posteriors, so that a stopped run can go on; see `redflower.api.kept.KeptPieces`.
    progress : whether to show it, or what to call with the number of posteriors done. Defaults to showing it on
        a terminal and in a notebook.

    Returns
    -------
    A row per star, number of bands and reddening: ``trial n_bands true_ebv known_distance bp_rp_0 m_g_0 usable`` beside
    the columns of `infer`; and the scores of `redflower.products.validation.summarise_trials`. The intrinsic colour is the
    observed one (``true_x_BP - true_x_RP`` where a mock table has it), the known distance ``r_med_geo``,
    ``true_distance`` or else the posterior mean without dust.

    Raises
    ------
    InputError
        If the table is not prepared, or no star has all bands.

    Examples
    --------
    >>> import redflower
    >>> rows, scores = redflower.validate("dust-free.parquet", "mock-sky", n_stars=20, n_bands=[8])
    >>> sorted(set(rows["n_bands"].tolist()))
    [8]
    >>> residual_mag = rows["ebv_mean"] - rows["true_ebv"]
    """
    settings = dataclasses.replace(settings or InferenceSettings(), density=True)
    stars = open_prepared(stars, "validate's input")
    model = model if isinstance(model, Model) else load_model(model)
    prior = choose_distance_prior(distance_prior, stars.colnames, sha256=model.distance_prior.get("sha256"))
    rng = np.random.default_rng(settings.seed)
    if n_stars is not None and n_stars < 1:
        raise InputError(
            f"validate: n_stars (--stars) must be at least 1; got {n_stars}. Leave it out for all."
        )
    if n_stars is not None and n_stars < len(stars):
        stars = stars[np.sort(rng.choice(len(stars), n_stars, replace=False))]
    batch = to_stars(
        stars,
        prior,
        model.selection,
        scale=model.scale(),
        photometry=photometry,
        without=left_out(without, model.star_bands),
        bands=model.star_bands,
    )
    wanted = [n for n in (n_bands or list(model.bands.survey_ends.values())[1:]) if n <= model.n_bands]
    arrays = jax.tree.map(np.asarray, batch.stars)
    bp_rp_mag = _intrinsic_colour(stars, np.asarray(arrays.magnitude_mag))
    source_id = np.asarray(stars["source_id"])
    made = list(
        trials(
            arrays,
            model.law,
            bp_rp_mag,
            rng,
            n_bands=wanted,
            resample=resample,
            without=bands_named(without, model.star_bands),
        )
    )
    parts: list[Table] = []
    fit: SampleFit | None = None
    with shown(progress, "posteriors", None) as call:
        batches = [(trial.stars, source_id[trial.rows]) for trial in made]
        inferred = inferred_stars(StarsJob(model, settings), batches, workers, call, "validate", kept)
    for trial, (columns, found) in zip(made, inferred, strict=True):
        ids = source_id[trial.rows]
        if (
            trial.name == AS_THEY_ARE and not resample
        ):  # noise that is drawn again is there twice: such stars fit badly
            # Each star once, with the most bands that enough of them have.
            fit = found if fit is None or found.n_stars >= MIN_JUDGED_STARS else fit
        part = Table({"source_id": ids})
        part["trial"] = np.full(len(ids), trial.name, dtype="<U12")
        part["n_bands"] = np.full(len(ids), trial.n_bands)
        part["true_ebv"] = Column(trial.true_ebv_mag, unit="mag", description="injected reddening")
        for name, values in columns.items():
            unit, text = OUTPUT_COLUMNS.get(name, (None, ""))
            part[name] = Column(values, unit=unit, description=text)
        for name in ("l", "b"):
            part[name] = stars[name][trial.rows]
        part["bp_rp_0"] = Column(bp_rp_mag[trial.rows], unit="mag", description="intrinsic BP - RP")
        part["known_distance"] = Column(
            _known_distance(stars, columns, trial.rows, trial.true_ebv_mag), unit="pc"
        )
        part["row"] = trial.rows
        part["usable"] = Column(usable_rows(part), description="whether the row may enter a mean")
        parts.append(part)
    if not parts:
        raise InputError(
            f"validate: no star has all of the first {' or '.join(map(str, wanted))} bands of the model; "
            "give a table with complete photometry."
        )
    table = vstack(parts, metadata_conflicts="silent")
    _add_absolute_magnitude(table, np.asarray(arrays.magnitude_mag)[:, G])
    table.meta[META_KEY] = {
        "stage": "validation",
        "redflower": VERSION,
        "model": {"id": model.model_id, "description": model.description},
        PHOTOMETRY_KEY: model.scale().as_dict(),
        "photometry_moved": describe_move(table_scale(stars, photometry), model.scale(), model.bands),
        "distance_prior": {"name": prior.name, "sha256": prior.sha256},
        "ebv_prior_mag": [settings.ebv_min_mag, settings.ebv_max_mag],
        "seed": settings.seed,
        "resample": resample,
        "input": stars.meta.get(META_KEY, {}),
        "verdict": None if fit is None else judge(fit).as_dict(),
    }
    return table, summarise_trials(table)


def _intrinsic_colour(stars: Table, magnitude_mag: np.ndarray) -> np.ndarray:
    """Return BP - RP of dust-free stars: the true colour of a mock table, else the observed one. [mag]"""
    if {"true_x_BP", "true_x_RP"} <= set(stars.colnames):
        return np.asarray(stars["true_x_BP"], dtype=float) - np.asarray(stars["true_x_RP"], dtype=float)
    return magnitude_mag[:, BP] - magnitude_mag[:, RP]


def _known_distance(
    stars: Table, columns: dict[str, np.ndarray], rows: np.ndarray, ebv_mag: np.ndarray
) -> np.ndarray:
    """Return distances known from elsewhere; NaN where there are none. [pc]"""
    for name in ("true_distance", "r_med_geo"):
        if name in stars.colnames:
            known = np.asarray(stars[name], dtype=float)[rows]
            if np.isfinite(known).any():
                return known
    return np.where(ebv_mag == 0.0, columns["distance_mean"], np.nan)


def _add_absolute_magnitude(table: Table, g_mag: np.ndarray) -> None:
    """Fill in unknown distances from the trial without dust, and add the intrinsic absolute magnitude in G."""
    row, distance = np.asarray(table["row"]), np.asarray(table["known_distance"], dtype=float)
    best = np.full(len(g_mag), np.nan)
    known = np.isfinite(distance)
    best[row[known]] = distance[known]
    table["known_distance"] = Column(
        best[row], unit="pc", description="known distance, else posterior mean without dust"
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        absolute = g_mag[row] - modulus_from_distance(best[row])
    table["m_g_0"] = Column(
        absolute, unit="mag", description="intrinsic absolute magnitude in G at the known distance"
    )
    table.remove_column("row")
