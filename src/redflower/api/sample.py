"""The training sample of a table, or of a Parquet file larger than memory."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import jax
import numpy as np
from astropy.table import Table
from jaxtyping import Float, Int

from redflower.bands import STANDARD, BandSet, G
from redflower.catalogue.io.columns import as_floats
from redflower.catalogue.io.parquet import iter_parquet
from redflower.catalogue.io.sources import TableSource
from redflower.catalogue.io.tables import column_names
from redflower.catalogue.maps.distance_prior import DistancePrior, choose_distance_prior
from redflower.catalogue.prepared import prepared_error_name, table_scale
from redflower.catalogue.reading.prepared_stars import clean_prepared, open_prepared
from redflower.catalogue.stars import to_stars
from redflower.errors import InputError
from redflower.photometric_scales import PhotometricScale
from redflower.physics import SelectionFunction
from redflower.provenance import META_KEY
from redflower.train.dataset import TabulatedStars, tabulate
from redflower.train.loss.training_star import TrainingStar

_LOG: Final = logging.getLogger(__name__)

#: Rows read, and stars tabulated, at a time: 30 MB.
CHUNK_ROWS: Final = 65_536
_COLUMNS: Final = ("source_id", "ra", "dec", "l", "b", "parallax", "parallax_error", "ruwe")


@dataclass(frozen=True)
class TrainingSample:
    """The stars of a table that can train a flow, with what the loss needs of each.

    Attributes
    ----------
    data : tabulated stars, in memory or memory-mapped.
    source_id, ruwe : of each of them; RUWE is NaN where the table has none.
    g_bright_mag, g_faint_mag : limits of the sample in apparent G. [mag]
    parallax_min_mas : the cut on parallax, None without one. [mas]
    meta : provenance of the table.
    scale : photometric scale that the magnitudes are on.
    prior : the distance prior that was used.
    """

    data: TrainingStar
    source_id: Int[np.ndarray, " star"]
    ruwe: Float[np.ndarray, " star"]
    g_bright_mag: float
    g_faint_mag: float
    parallax_min_mas: float | None
    meta: dict[str, Any]
    scale: PhotometricScale
    prior: DistancePrior


def training_sample(
    stars: TableSource,
    prior: DistancePrior | None = None,
    *,
    g_bright_mag: float | None = None,
    g_faint_mag: float | None = None,
    parallax_min_mas: float | None = None,
    selection: SelectionFunction | None = None,
    scale: PhotometricScale | None = None,
    photometry: PhotometricScale | str | None = None,
    folder: Path | None = None,
    bands: BandSet = STANDARD,
) -> TrainingSample:
    """Read, select and tabulate the stars of a prepared table.

    Parameters
    ----------
    stars : a prepared table, or the path of one. A Parquet file is read in pieces, never whole.
    prior : of distance. Defaults to the mock Galaxy's, with a warning unless the stars are simulated.
    g_bright_mag, g_faint_mag : limits in apparent G; where None, those that `prepare` recorded, else the extremes of
        the stars. [mag]
    parallax_min_mas : the cut on parallax, whose effect the normaliser then knows (E24b); where None, that which `prepare`
        recorded, else none. [mas]
    selection : the sample's selection function, for the pixels of the stars.
    scale : photometric scale to move the magnitudes to. Defaults to the table's own.
    photometry : photometric scale of a table that states none.
    bands : of the arrays of stars, which are those of the model to be: `redflower.bands.star_bands`.
    folder : where to keep the tabulated stars as memory-mapped files (about 0.4 kB each). If None, they stay in memory.

    Returns
    -------
    The stars that can train a flow, tabulated, with the limits of the sample.

    Raises
    ------
    InputError : the table is not prepared, or no star of it can be used.

    Examples
    --------
    >>> from redflower.api import training_sample
    >>> sample = training_sample("dust-free.parquet")
    >>> sample.g_bright_mag, sample.g_faint_mag
    (13.5, 20.5)
    """
    what = str(stars) if isinstance(stars, (str, Path)) else "train's input"
    path = Path(stars) if isinstance(stars, (str, Path)) and Path(stars).suffix == ".parquet" else None
    whole = Table() if path is not None else open_prepared(stars, what)
    names = (column_names(path) if path is not None else None) or whole.colnames
    prior = choose_distance_prior(prior, names)

    def chunks() -> Iterator[Table]:
        if path is None:
            yield from _slices(whole)
            return
        photometry_columns = {name for band in bands for name in (band.name, prepared_error_name(band))}
        wanted = [name for name in names if name.lower() in {*_COLUMNS, *photometry_columns}]
        for chunk in iter_parquet(path, wanted, n_rows=CHUNK_ROWS):
            yield clean_prepared(chunk, what, names)

    first = next(iter(chunks()))
    meta = first.meta.get(META_KEY, {})
    scale = _with_surveys(scale or table_scale(first, photometry), bands)
    limits = _magnitude_limits(meta, g_bright_mag, g_faint_mag, chunks)
    cut_mas = parallax_min_mas if parallax_min_mas is not None else _recorded_parallax_min(meta)
    writer = TabulatedStars(folder)
    source_id, ruwe = [], []
    for chunk in chunks():
        batch = to_stars(chunk, prior, selection, scale=scale, photometry=photometry, bands=bands)
        g_mag = np.asarray(batch.stars.magnitude_mag)[:, G]
        has_g = np.asarray(batch.stars.observed)[:, G]
        meant = batch.usable & has_g & (g_mag > limits[0]) & (g_mag < limits[1])
        if cut_mas is not None:
            meant &= np.asarray(batch.stars.has_parallax) & (np.asarray(batch.stars.parallax_mas) > cut_mas)
        rows = np.flatnonzero(meant)
        part = jax.tree.map(lambda a, rows=rows: np.asarray(a)[rows], batch.stars)
        writer.add(tabulate(part) if cut_mas is None else tabulate(part, cut_mas))
        source_id.append(np.asarray(chunk["source_id"])[rows])
        has_ruwe = "ruwe" in chunk.colnames
        ruwe.append(
            (as_floats(chunk, "ruwe")[rows] if has_ruwe else np.full(len(rows), np.nan)).astype(np.float32)
        )
    identifiers = np.concatenate(source_id)
    if len(np.unique(identifiers)) < len(identifiers):
        _LOG.warning(
            "%s: %d rows repeat a source_id; such stars count twice.",
            what,
            len(identifiers) - len(np.unique(identifiers)),
        )
    if "settings" not in meta and None in (g_bright_mag, g_faint_mag):
        _LOG.warning(
            "%s has lost what `prepare` did to it: limits in G of %.2f to %.2f mag are those of its stars, and no cut on "
            "parallax is known. State what was cut in --config (g_bright_mag, g_faint_mag, parallax_min_mas).",
            what,
            *limits,
        )
    return TrainingSample(
        data=writer.stars(),
        source_id=identifiers,
        ruwe=np.concatenate(ruwe),
        g_bright_mag=limits[0],
        g_faint_mag=limits[1],
        parallax_min_mas=cut_mas,
        meta=meta,
        scale=scale,
        prior=prior,
    )


def _with_surveys(scale: PhotometricScale, bands: BandSet) -> PhotometricScale:
    """Return a scale that states the release of every survey of some bands."""
    return scale.stating({name: scale.release(name).name for name in bands.surveys})


def _slices(table: Table) -> Iterator[Table]:
    for start in range(0, len(table), CHUNK_ROWS):
        yield table[start : start + CHUNK_ROWS]


def _recorded_parallax_min(meta: dict[str, Any]) -> float | None:
    """Return the cut on parallax that `prepare` recorded for the sample. [mas]"""
    recorded = meta.get("settings", {}).get("limits")
    if recorded is None or meta.get("purpose") != "training":
        return None
    # Versions that did not record it always cut at 0.
    value = recorded.get("parallax_min_mas", 0.0)
    return None if value is None else float(value)


def _magnitude_limits(
    meta: dict[str, Any], bright_mag: float | None, faint_mag: float | None, chunks: Any
) -> tuple[float, float]:
    """Return the sample's limits in G: those given, else from `prepare`'s settings, else from the stars."""
    recorded: dict[str, Any] = meta.get("settings", {}).get("limits", {})
    limits = []
    for key, given, extreme in (
        ("g_bright_mag", bright_mag, np.nanmin),
        ("g_faint_mag", faint_mag, np.nanmax),
    ):
        value = given if given is not None else recorded.get(key)
        if value is None or not np.isfinite(value):
            column = STANDARD[G].name
            g_mag = [as_floats(chunk, column) for chunk in chunks()]
            if not any(np.isfinite(part).any() for part in g_mag):
                raise InputError("train: no star of the table can be used; see the report of `prepare`.")
            value = float(extreme([extreme(part) for part in g_mag if np.isfinite(part).any()]))
        limits.append(float(value))
    return limits[0], limits[1]
