"""Infer E(B-V) and distance of the stars of a table: a row per star, or all of its draws."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import jax
import numpy as np
from astropy.table import Table

from redflower.api.parts import InferenceJob, joined, rows_per_part, slices, start_inference
from redflower.api.processes import inference_ms, shared_out, worker_count
from redflower.bands import MIN_BANDS, STANDARD, BandSet
from redflower.catalogue import DistancePrior, choose_distance_prior, to_stars
from redflower.catalogue.band_names import bands_named
from redflower.catalogue.io.sources import TableSource
from redflower.catalogue.reading.prepared_stars import open_prepared
from redflower.errors import InputError, ModelError
from redflower.flow import Model, load_model
from redflower.photometric_offsets import PhotometricOffsets
from redflower.photometric_scales import PhotometricScale
from redflower.posterior import InferenceSettings, Status
from redflower.products.arviz_objects import star_inference_data
from redflower.progress import ShowProgress, shown

Job = TypeVar("Job", bound=InferenceJob)


def infer(
    stars: TableSource,
    model: Model | str | Path,
    *,
    settings: InferenceSettings | None = None,
    distance_prior: DistancePrior | None = None,
    photometry: PhotometricScale | str | None = None,
    offsets: PhotometricOffsets | None = None,
    keep: Sequence[str] = (),
    without: Sequence[str] = (),
    workers: int | None = None,
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
    without : bands to take as missing in every star, by label or name, such as ``("y",)``: to see what one band does to the
        result, or because it is not to be trusted.
    workers : number of processes that share the stars; the rows do not depend on it. If None, one for every core where there
        are enough stars to pay for their start, else none beside this one.
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
    WorkerError : worker processes cannot be started, or one that was given the same stars ended twice.

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
    job = make_job(
        InferenceJob, model, stars.colnames, settings=settings, distance_prior=distance_prior, photometry=photometry,
        offsets=offsets, keep=keep, without=without,
    )  # fmt: skip
    n_workers = worker_count(workers, len(stars), inference_ms(settings))
    with shown(progress, "stars", len(stars)) as call:
        table = joined(_tables(job, stars, n_workers, call))
    if not inferable(table):
        raise nothing_to_infer(job.model)
    return table


def make_job(
    kind: type[Job],
    model: Model | str | Path,
    names: Iterable[str],
    *,
    settings: InferenceSettings,
    distance_prior: DistancePrior | None,
    photometry: PhotometricScale | str | None,
    offsets: PhotometricOffsets | None,
    keep: Sequence[str],
    without: Sequence[str],
) -> Job:
    """Return what is asked of every part of a table, checked.

    Parameters
    ----------
    kind : of the job.
    names : columns of the table.
    model, settings, distance_prior, photometry, offsets, keep, without : as of `infer`.

    Raises
    ------
    InputError : a band that is to be left out is none, or too few are left.
    ModelError : there is no such model, or the prior is another one.
    """
    model, prior = matching_prior(model, distance_prior, names)
    return kind(model, settings, prior, photometry, offsets, tuple(keep), left_out(without, model.star_bands))


def _tables(
    job: InferenceJob, stars: Table, n_workers: int, progress: Callable[..., None] | None
) -> list[Table]:
    """Infer the parts of a table, here or in workers; return their posteriors in its order."""
    parts = slices(len(stars), rows_per_part(len(stars)))
    done = dict.fromkeys(range(len(parts)), 0)

    def tell(number: int, n_done: int) -> None:
        done[number] = n_done
        if progress is not None:
            progress(sum(done.values()))

    def what(number: int) -> str:
        part = stars[parts[number]]
        return (
            f"infer: {len(part):,} stars from source_id {part['source_id'][0]} on (`redflower infer` on a file keeps all others, "
            "and names those that fail)"
        )

    tasks = ((number, stars[part]) for number, part in enumerate(parts))
    tables = dict(shared_out(start_inference, (job,), tasks, min(n_workers, len(parts)), tell, what))
    return [tables[number] for number in sorted(tables)]


def left_out(without: Sequence[str], bands: BandSet = STANDARD) -> tuple[str, ...]:
    """Return the labels of bands that are to be left out.

    Raises
    ------
    InputError : there is no such band, or too few are left.
    """
    places = bands_named(without, bands)
    if len(bands) - len(places) < MIN_BANDS:
        raise InputError(
            f"without: {MIN_BANDS} bands at least are needed; {len(bands) - len(places)} would be left."
        )
    return tuple(bands.labels[k] for k in places)


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
    from redflower.posterior.nuts.chains import chains_of_stars

    settings = settings or InferenceSettings()
    stars = open_prepared(stars, "draw_posteriors' input")
    model, prior = matching_prior(model, distance_prior, stars.colnames)
    batch = to_stars(
        stars, prior, model.selection, scale=model.scale(), photometry=photometry, bands=model.star_bands
    )
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
