"""Reddening from elsewhere along the same line of sight: other maps, other stars."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from astropy.table import Column, Table, vstack

from redflower.catalogue import open_dust_map, read_table
from redflower.catalogue.io.columns import as_floats
from redflower.catalogue.maps.dustmaps_map import PREFIX, map_names
from redflower.catalogue.maps.dustmaps_profile import places_in_circle, profile_names, read_dust_profile
from redflower.catalogue.maps.map_column import split_column
from redflower.errors import InputError

PROFILE, STARS, MAP = "profile", "stars", "map"
#: A table with these columns is of stars, not a profile.
_SKY: Final = ("l", "b")


def read_comparison(text: str, l_deg: float | None, b_deg: float | None, radius_deg: float) -> Table:
    """Read one source of reddening to draw beside a sightline.

    Parameters
    ----------
    text : ``SOURCE``, ``SOURCE*SCALE`` or ``NAME=SOURCE*SCALE``. The source is a map of the package dustmaps, as
        ``dustmaps:bayestar`` (a profile) or ``dustmaps:sfd`` (a level), or a file. A table (`redflower.read_table`)
        with the columns ``distance`` and ``ebv``, perhaps ``ebv_error``, is a profile; with ``l`` and ``b`` it
        holds other stars, and those within the circle are taken. A FITS file without such columns is a HEALPix map of the
        whole column of dust, a level. Of maps the mean over the circle is taken. Values times SCALE are E(B-V) in
        mag; those of dustmaps' profiles are converted before.
    l_deg, b_deg, radius_deg : the circle. [deg]

    Returns
    -------
    Columns ``name kind distance ebv ebv_error conversion`` with units; a map has one row and no distance.

    Raises
    ------
    InputError
        If the source is not there, is no such table or map, or has nothing in the circle.
    """
    name, _, rest = text.rpartition("=")
    file, factor = source_and_factor(rest, text, "NAME=SOURCE*SCALE")
    scale = 1.0 if factor is None else factor
    name = name or short_name(file)
    if file.startswith(PREFIX):
        if file not in map_names() + profile_names():
            raise InputError(
                f"dust map {file!r}: of dustmaps there are {', '.join(map_names())}. With distances, to compare with: "
                f"{', '.join(profile_names())}."
            )
    else:
        table = _table(Path(file)) if split_column(file)[1] is None else None
        if table is not None:
            return _from_table(table, name, scale, l_deg, b_deg, radius_deg, Path(file))
    if l_deg is None or b_deg is None:
        raise InputError(f"--compare {text!r}: the posteriors have no l and b, so a map cannot be looked up.")
    if file in profile_names():
        found = read_dust_profile(file, l_deg, b_deg, radius_deg)
        conversion = found.conversion + ("" if factor is None else f", times {scale:g}")
        return _rows(
            name, PROFILE, found.distance_pc, scale * found.ebv_mag, scale * found.ebv_std_mag, conversion
        )
    dust = open_dust_map(file, scale=scale)
    l_at, b_at = places_in_circle(l_deg, b_deg, radius_deg)
    places = SkyCoord(l_at * u.deg, b_at * u.deg, frame="galactic").icrs
    values = dust.lookup(np.asarray(places.ra.deg), np.asarray(places.dec.deg), l_at, b_at)
    if not np.isfinite(values).any():
        raise InputError(
            f"--compare {text!r}: the map has nothing within {radius_deg:.2g} deg; leave it out."
        )
    which = "".join(f"; {note}" for note in dust.notes if "column" in note or "multiplied by" in note)
    mean, spread = np.array([np.nanmean(values)]), np.array([np.nanstd(values)])
    return _rows(name, MAP, np.array([np.nan]), mean, spread, f"times {dust.scale:.4g}{which}")


def source_and_factor(source: str, text: str, form: str) -> tuple[str, float | None]:
    """Return the file, or the map's name, and the factor of ``SOURCE*SCALE``; None where no factor is given.

    Parameters
    ----------
    source : to be taken apart.
    text, form : what the user gave, and how it should be written, for the message.

    Raises
    ------
    InputError : the factor is not a number.
    """
    file, _, factor = source.partition("*")
    try:
        return file, float(factor) if factor else None
    except ValueError:
        raise InputError(f"--compare {text!r}: {factor!r} is not a number; write {form}.") from None


def short_name(file: str) -> str:
    """Return what a source is called if the user gives no name: its file's, without endings."""
    return file.removeprefix(PREFIX).rpartition("/")[2].split(".")[0]


def join(parts: Sequence[Table]) -> Table:
    """Join all comparisons in one table; empty columns where there are none."""
    return vstack(list(parts)) if parts else _rows("", PROFILE, np.zeros(0), np.zeros(0), np.zeros(0), "")


def _table(path: Path) -> Table | None:
    """Read the file as a table with the columns that are needed, or return None if it is a map."""
    if not path.exists():
        raise InputError(f"--compare: {path} does not exist.")
    if path.suffix not in (".fits", ".gz", ".hpx"):
        return read_table(path)
    try:
        table = read_table(path)
    except InputError:
        return None
    return table if {"distance", "ebv"} <= set(table.colnames) else None


def _from_table(
    table: Table,
    name: str,
    scale: float,
    l_deg: float | None,
    b_deg: float | None,
    radius_deg: float,
    path: Path,
) -> Table:
    missing = [column for column in ("distance", "ebv") if column not in table.colnames]
    if missing:
        raise InputError(
            f"--compare: {path} lacks the column {', '.join(missing)}; a table to compare with needs distance [pc] and "
            f"ebv [mag]. It has {', '.join(table.colnames)}."
        )
    kind = PROFILE
    if set(_SKY) <= set(table.colnames) and l_deg is not None and b_deg is not None:
        kind = STARS
        l_rad, b_rad = (np.radians(as_floats(table, c)) for c in _SKY)
        cosine = np.sin(b_rad) * np.sin(np.radians(b_deg))
        cosine += np.cos(b_rad) * np.cos(np.radians(b_deg)) * np.cos(l_rad - np.radians(l_deg))
        table = table[cosine >= np.cos(np.radians(radius_deg))]
    distance, ebv = (_in_unit(table[c], unit) for c, unit in (("distance", u.pc), ("ebv", u.mag)))
    error = (
        _in_unit(table["ebv_error"], u.mag) if "ebv_error" in table.colnames else np.full(len(table), np.nan)
    )
    if not len(table):
        raise InputError(f"--compare: {path} has no star within {radius_deg:.2g} deg; leave it out.")
    return _rows(name, kind, distance, scale * ebv, scale * error, f"times {scale:g}")


def _in_unit(column: Column, unit: u.UnitBase) -> np.ndarray:
    """Convert a column's values to a unit; a column without a unit is taken to be in it."""
    values = as_floats(Table([column], copy=False), str(column.name))
    if column.unit is None:
        return values
    try:
        return (values * u.Unit(column.unit)).to_value(unit)
    except u.UnitConversionError:
        raise InputError(
            f"--compare: column {column.name!r} is in {column.unit}; {unit} is needed."
        ) from None


def _rows(
    name: str, kind: str, distance: np.ndarray, ebv: np.ndarray, error: np.ndarray, conversion: str
) -> Table:
    table = Table()
    table["name"] = Column(np.full(len(ebv), name, dtype="<U40"), description="source")
    table["kind"] = Column(
        np.full(len(ebv), kind, dtype="<U8"), description="profile, stars, or map of the whole column"
    )
    table["distance"] = Column(distance, unit="pc", description="distance; NaN for the whole column")
    table["ebv"] = Column(
        ebv, unit="mag", description="E(B-V) from there, in the units that --compare's SCALE makes"
    )
    table["ebv_error"] = Column(
        error, unit="mag", description="its error where given; of a map its scatter over the circle"
    )
    table["conversion"] = Column(
        np.full(len(ebv), conversion, dtype="<U160"), description="how the source's values became E(B-V)"
    )
    return table
