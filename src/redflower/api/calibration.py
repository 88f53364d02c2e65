"""Calibrate a sample: per-band offsets of its magnitudes against a model."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
from astropy.table import Column, Table

from redflower.api.inference import matching_prior
from redflower.bands import BP, RP, G
from redflower.calibrate import CalibrationSettings, DustHold, OffsetFit, choose_stars, fit_offsets
from redflower.calibrate.pulls import sample_pulls
from redflower.calibrate.sample import typical_dust
from redflower.calibrate.settings import MAX_STARS
from redflower.cards import card, line
from redflower.catalogue import DistancePrior, to_stars
from redflower.catalogue.io.columns import as_floats
from redflower.catalogue.io.sources import TableSource
from redflower.catalogue.prepared import table_scale
from redflower.catalogue.reading.prepared_stars import open_prepared
from redflower.constants import EBV_MAX_MAG, EBV_MIN_MAG
from redflower.flow import Model
from redflower.photometric_offsets import PhotometricOffsets, offsets_content
from redflower.photometric_scales import PhotometricScale, describe_move
from redflower.posterior.fast.fit import POOR_FIT, Fit, tail_probability
from redflower.posterior.fast.grid import FastTarget
from redflower.posterior.fast.steps import make_fast_target
from redflower.posterior.flags import unusable_status
from redflower.posterior.log_density import make_target
from redflower.products.page_calibration import calibration_facts
from redflower.progress import Counter, TimeLeft
from redflower.provenance import META_KEY, PHOTOMETRY_KEY, VERSION
from redflower.star import Star


@dataclass(frozen=True, repr=False)
class Calibration:
    """Offsets of a sample, and how its stars fit without and with them.

    Attributes
    ----------
    offsets : what `infer(offsets=...)` takes.
    stars : a row per star that was used: place in colour, magnitude and distance, and for each band its residual given
        the bands before it, ``before`` without offsets and ``after`` with those of the other half of the stars.
    numbers : the same in numbers, for files and reports.
    """

    offsets: PhotometricOffsets
    stars: Table
    numbers: dict[str, Any]

    def __repr__(self) -> str:
        return line("calibration", self._facts())

    def _repr_html_(self) -> str:
        return card("Calibration", self._facts())

    def _facts(self) -> list[tuple[str, str]]:
        return [(fact.question, fact.value) for fact in calibration_facts(self.numbers)]


def calibrate(
    stars: TableSource,
    model: Model | str | Path,
    *,
    max_stars: int = MAX_STARS,
    settings: CalibrationSettings | None = None,
    distance_prior: DistancePrior | None = None,
    photometry: PhotometricScale | str | None = None,
    progress: Callable[[int], None] | None = None,
) -> Calibration:
    """Fit per-band offsets of a sample against a model, with each star's reddening, distance and colours integrated out.

    Dust and offsets both move all bands together. Where the table was prepared with a dust map (column ``ebv_map``), each star's
    reddening is held at the map's value. Otherwise what the
    bands have in common with dust is taken for dust, and the offsets have none of it; the result says so.

    Parameters
    ----------
    stars : a prepared table (`redflower.prepare`), or its path, with at least 200 stars behind less than 0.1 mag of dust.
    model : a model with an emulator, the name of a shipped one, or the path of a model file.
    max_stars : most stars to use, chosen at random.
    settings : prior of the offsets, cuts and passes. Defaults to `CalibrationSettings()`.
    distance_prior, photometry : as for `redflower.infer`.
    progress : called with the number of passes over the stars done.

    Returns
    -------
    Offsets with their covariance, residuals of the stars judged by the offsets of the half that they are not in, and numbers.

    Raises
    ------
    InputError : the table is not prepared, or too few of its stars can calibrate.
    ModelError : as for `redflower.infer`, or the model has no emulator.

    Examples
    --------
    >>> import redflower
    >>> from redflower.calibrate import CalibrationSettings
    >>> one_pass = CalibrationSettings(max_passes=1)
    >>> found = redflower.calibrate("dust-free.parquet", "mock-sky", max_stars=256, settings=one_pass)
    >>> found.offsets.bands[:2]
    ('gaia_g', 'gaia_bp')
    >>> corrected = redflower.infer("stars.parquet", "mock-sky", offsets=found.offsets)
    """
    settings = settings or CalibrationSettings()
    stars = open_prepared(stars, "calibrate's input")
    model, prior = matching_prior(model, distance_prior, stars.colnames)
    target = make_target(model, ebv_min_mag=EBV_MIN_MAG, ebv_max_mag=EBV_MAX_MAG)
    fast = make_fast_target(model, target)
    batch = to_stars(
        stars, prior, model.selection, scale=model.scale(), photometry=photometry, bands=model.star_bands
    )
    if "ebv_map" in stars.colnames:
        meta = stars.meta.get(META_KEY, {}).get("settings", {}).get("ebv_map") or {}
        hold = DustHold.by_map(as_floats(stars, "ebv_map"), str(meta.get("file", "the dust map")))
    else:
        hold = DustHold.by_prior(len(stars))
    usable = (unusable_status(model, batch.stars) == "") & (batch.reason != "no position")
    usable &= np.asarray(batch.stars.observed)[:, G]
    rows = choose_stars(usable, hold, max_stars=max_stars, seed=settings.seed)
    chosen = jax.tree.map(lambda a: np.asarray(a)[rows], batch.stars)
    source_id, hold = np.asarray(stars["source_id"])[rows], hold.at(rows)
    dust = None if np.isfinite(hold.ebv_error_mag).any() else typical_dust(model)
    done, passes, left = 0, settings.max_passes, TimeLeft(0.0, compiles=True)

    def tell(n_done: int, size: int, further: int) -> None:
        """Show a pass over so many stars; a fit takes as many passes as the first did, and most of them before it is known."""
        left.expect(size * (passes - n_done + 1) + further * passes)
        left_s = left.after(size)
        if isinstance(progress, Counter):
            progress(done + n_done, left_s=left_s)
        elif progress is not None:
            progress(done + n_done)

    def fit(part: np.ndarray, further: int) -> OffsetFit:
        nonlocal done, passes
        found = fit_offsets(
            fast,
            jax.tree.map(lambda a: a[part], chosen),
            source_id[part],
            hold.ebv_mag[part],
            hold.ebv_error_mag[part],
            settings,
            dust=dust,
            progress=lambda n: tell(n, len(part), further),
        )
        done += found.passes
        passes = found.passes
        return found

    whole = fit(np.arange(len(rows)), len(rows))
    first = np.random.default_rng(settings.seed).permutation(len(rows)) % 2 == 0
    halves = [fit(np.flatnonzero(half), int(n)) for half, n in ((first, (~first).sum()), (~first, 0))]
    after = _judged(fast, chosen, source_id, hold, halves, first, settings.seed)
    offsets = PhotometricOffsets(
        bands=tuple(name for name, fitted in zip(model.band_names, whole.fitted, strict=True) if fitted),
        offset_mag=whole.offset_mag[whole.fitted],
        covariance_mag2=whole.covariance_mag2[np.ix_(whole.fitted, whole.fitted)],
        model_id=model.model_id,
        provenance={
            "redflower": VERSION,
            "dust": hold.description,
            "stars": int(whole.used.sum()),
            "left_out": int((~whole.used).sum()),
            "converged": whole.converged,
            PHOTOMETRY_KEY: model.scale().as_dict(),
            "photometry_moved": describe_move(table_scale(stars, photometry), model.scale(), model.bands),
            "input": stars.meta.get(META_KEY, {}),
        },
    )
    table = _star_table(model, source_id, chosen, whole, after)
    return Calibration(offsets, table, _numbers(model, offsets, whole, halves, after))


def _judged(
    fast: FastTarget,
    chosen: Star,
    source_id: np.ndarray,
    hold: DustHold,
    halves: list[OffsetFit],
    first: np.ndarray,
    seed: int,
) -> Fit:
    """Return how each star fits with the offsets of the half that it is not in."""
    parts: list[Any] = []
    order: list[np.ndarray] = []
    for half, other in ((first, halves[1]), (~first, halves[0])):
        part = np.flatnonzero(half)
        stars = jax.tree.map(lambda a: a[part], chosen)  # noqa: B023
        found = sample_pulls(
            fast, stars, source_id[part], other.offset_mag, hold.ebv_mag[part], hold.ebv_error_mag[part], seed
        )
        parts.append(found.fit)
        order.append(part)
    back = np.argsort(np.concatenate(order))
    return jax.tree.map(lambda *a: np.concatenate(a)[back], *parts)


def _star_table(model: Model, source_id: np.ndarray, stars: Star, whole: OffsetFit, after: Fit) -> Table:
    """Return a row per star: where it stands, and its residuals before and after."""
    magnitude = np.asarray(stars.magnitude_mag, dtype=float)
    observed = whole.observed
    table = Table({"source_id": source_id})
    colour = np.where(observed[:, BP] & observed[:, RP], magnitude[:, BP] - magnitude[:, RP], np.nan)
    table["bp_rp"] = Column(colour, unit="mag", description="observed BP - RP on the model's scale")
    table["gaia_g"] = Column(magnitude[:, G], unit="mag", description="observed G on the model's scale")
    table["distance"] = Column(
        np.asarray(whole.after.distance_mean_pc, dtype=float),
        unit="pc",
        description="posterior mean distance",
    )
    table["used"] = Column(
        whole.used, description="whether the fit used the star; the others fit the model badly"
    )
    for when, fit in (("before", whole.before.fit), ("after", after)):
        table[f"p_fit_{when}"] = Column(
            tail_probability(np.asarray(fit.residual), observed),
            description=f"tail probability of the residuals, {when}",
        )
        for i, name in enumerate(model.band_names[1:], start=1):
            values = np.where(observed[:, i], fit.residual_mag[:, i - 1], np.nan)
            table[f"{name}_{when}"] = Column(
                values, unit="mag", description=f"{name} minus what G and the bands before it predict, {when}"
            )
    return table


def _numbers(
    model: Model, offsets: PhotometricOffsets, whole: OffsetFit, halves: list[OffsetFit], after: Fit
) -> dict[str, Any]:
    """Return the offsets' file with what else reports say."""
    difference = (halves[0].offset_mag - halves[1].offset_mag)[whole.fitted]
    error = np.sqrt(np.diag(halves[0].covariance_mag2) + np.diag(halves[1].covariance_mag2))[whole.fitted]
    share = {
        when: float(np.mean(tail_probability(np.asarray(fit.residual), whole.observed) < POOR_FIT))
        for when, fit in (("before", whole.before.fit), ("after", after))
    }
    return {
        **offsets_content(offsets),
        "correlation": np.round(_correlation(offsets.covariance_mag2), 3).tolist(),
        "halves": {
            "difference_mag": np.round(difference, 5).tolist(),
            "error_mag": np.round(error, 5).tolist(),
        },
        "share_of_poor_fits": share,
        "passes": whole.passes,
        "labels": [band.label for band, fitted in zip(model.bands, whole.fitted, strict=True) if fitted],
    }


def _correlation(covariance: np.ndarray) -> np.ndarray:
    scale = np.sqrt(np.diag(covariance))
    return covariance / np.outer(scale, scale)
