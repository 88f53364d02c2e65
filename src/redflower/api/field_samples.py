"""Samples of stars that read redder or bluer than the rest of a field's stars do: each would need a zero point of its own."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from astropy.table import Table
from jaxtyping import Bool, Float

from redflower.api.field_stars import MIN_STARS
from redflower.api.posteriors import open_posteriors
from redflower.api.sightlines import sightline_rows
from redflower.catalogue.io.sources import TableSource
from redflower.posterior.columns import OUTPUT_COLUMNS
from redflower.posterior.density import joint_density
from redflower.products.field_map import FieldMap

#: A column with more values than this tells no samples apart.
_SAMPLES_MAX: Final = 8
#: Offsets that are told: so many of their errors, and so many mag at least.
_SURE: Final = 5.0
_OFFSET_MIN_MAG: Final = 0.005


@dataclass(frozen=True)
class SampleApart:
    """A sample of stars whose reddenings differ from those of the others at the same places.

    Attributes
    ----------
    column, value : that tell the sample.
    n_stars : of it.
    offset_mag, error_mag : how much redder it reads than the others do, and the error of that. [mag]
    """

    column: str
    value: str
    n_stars: int
    offset_mag: float
    error_mag: float


def samples_apart(posteriors: TableSource, field: FieldMap) -> list[SampleApart]:
    """Find samples of a field's stars that do not share the zero point of the others.

    Every further column with a few different words, whole numbers or truths is looked at, for instance the survey that each star
    is of.

    Parameters
    ----------
    posteriors : of the stars that the map is made of.
    field : the map, with one zero point for all of them.

    Returns
    -------
    Samples that are off by five errors and 0.005 mag or more, the farthest first; of two samples that make up a column, one.
    """
    table = open_posteriors(posteriors, "the field's input")
    rows = np.flatnonzero(sightline_rows(table, joint_density(table)))
    l_deg, b_deg, distance, ebv = (
        np.asarray(table[name], float)[rows] for name in ("l", "b", "distance_mean", "ebv_mean")
    )
    whole = np.isfinite([l_deg, b_deg, distance, ebv]).all(axis=0) & (distance > 0)
    rows, l_deg, b_deg, distance, ebv = (a[whole] for a in (rows, l_deg, b_deg, distance, ebv))
    # Beyond the map's last distance what is missing is the same for all.
    distance = np.minimum(distance, field.distance_pc[np.isfinite(field.ebv_mag).any(axis=0)].max())
    at = SkyCoord(l_deg * u.deg, b_deg * u.deg, distance=distance * u.pc, frame="galactic")
    off = ebv - field.query(at)
    known = np.isfinite(off)
    found = [
        apart
        for name, words in _columns(table, rows[known])
        for apart in _apart(name, words, off[known])
        if abs(apart.offset_mag) > max(_SURE * apart.error_mag, _OFFSET_MIN_MAG)
    ]
    return sorted(found, key=lambda one: -abs(one.offset_mag))


def _columns(table: Table, rows: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Yield columns that may tell samples apart, as words."""
    for name in table.colnames:
        values = np.asarray(table[name])
        if name in OUTPUT_COLUMNS or values.ndim != 1 or values.dtype.kind not in "USObiu":
            continue
        words = values[rows].astype(str)
        if 2 <= len(np.unique(words)) <= _SAMPLES_MAX:
            yield name, words


def _apart(name: str, words: np.ndarray, off_mag: Float[np.ndarray, " star"]) -> Iterator[SampleApart]:
    values = np.unique(words)
    # Of two, the one is as far from the other as the other from it.
    for value in values[1:] if len(values) == 2 else values:
        mine: Bool[np.ndarray, " star"] = words == value
        if min(mine.sum(), (~mine).sum()) < MIN_STARS:
            continue
        parts = [off_mag[mine], off_mag[~mine]]
        error = float(np.sqrt(sum(part.var() / len(part) for part in parts)))
        yield SampleApart(name, str(value), int(mine.sum()), float(parts[0].mean() - parts[1].mean()), error)
