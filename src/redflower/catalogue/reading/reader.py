"""From a file or a table of any survey to a table in redflower's names and units, with NaN for missing."""

import logging
from collections import Counter
from pathlib import Path
from typing import Any, Final, Literal

import astropy.units as u
import numpy as np
from astropy.table import Column, Table

from redflower.bands import BANDS
from redflower.catalogue.io.sources import TableSource, as_table
from redflower.catalogue.io.tables import column_names, read_table
from redflower.catalogue.io.units import AnyUnit
from redflower.catalogue.prepared import ALREADY_PREPARED, PREPARED_NAMES, is_prepared
from redflower.catalogue.reading.bands_found import bands_line, map_to_fill_in, write_map
from redflower.catalogue.reading.checks import (
    check_coordinates_agree,
    check_ecliptic_latitude,
    check_magnitudes_match_fluxes,
    check_parallaxes_match_errors,
    check_required,
    notes_on_absent_columns,
)
from redflower.catalogue.reading.cleaning import clean_identifiers, clean_numbers, clean_text
from redflower.catalogue.reading.column_map import (
    ColumnChoice,
    ColumnMap,
    check_lookalikes,
    choose_columns,
    read_column_map,
)
from redflower.catalogue.reading.coordinates import fill_coordinates
from redflower.catalogue.reading.release import check_scale_of_release, designation_columns, known_release
from redflower.catalogue.reading.schema import INPUT_COLUMNS
from redflower.catalogue.reading.sky_pixel import check_positions_in_pixels
from redflower.catalogue.releases import releases
from redflower.errors import InputError, TableError
from redflower.files import file_sha256
from redflower.photometric_scales import archive_scale, make_scale
from redflower.provenance import GAIA_RELEASE_KEY, META_KEY, PHOTOMETRY_KEY

_LOG: Final = logging.getLogger(__name__)

Duplicates = Literal["error", "keep_first"]

#: ``meta["redflower"]["stage"]`` of a table that `read_stars` returned.
STAGE_STARS: Final = "stars"


def read_stars(
    source: TableSource,
    columns: "str | Path | ColumnMap | None" = None,
    *,
    duplicates: Duplicates = "error",
) -> Table:
    """Read stars into redflower's column names and units.

    Parameters
    ----------
    source : a table file, an astropy table, a pandas data frame, or whatever else `as_table` reads.
    columns : a column map or the TOML file of one, where the table's names are not those of the Gaia archive.
    duplicates : what to do with rows that share a ``source_id``.

    Returns
    -------
    A table with the columns of `redflower.catalogue.reading.schema.INPUT_COLUMNS` that the source has, in their
    units, floats NaN where missing; ``ra dec l b`` always; ``true_*`` and the map's ``[extra]`` columns as
    they were. ``meta["redflower"]`` holds the source's checksum and, under ``notes``, all that was assumed.

    Raises
    ------
    TableError
        If the file cannot be read, or a column that every use needs is absent.
    InputError
        If a unit is wrong, values are impossible, identifiers repeat, or nothing is left to work with.

    Examples
    --------
    >>> import redflower
    >>> stars = redflower.read_stars("raw.parquet")
    >>> stars["parallax"].unit, stars["phot_g_mean_mag"].unit
    (Unit("mas"), Unit("mag"))
    """
    column_map = columns if isinstance(columns, ColumnMap) else ColumnMap()
    if isinstance(columns, (str, Path)):
        column_map = read_column_map(columns)
    if isinstance(source, Table) and _stage(source) == STAGE_STARS and columns is None:
        return source
    table, names, choice, origin = _opened(source, column_map)
    if _stage(table) == STAGE_STARS and columns is None:
        return table
    if is_prepared(table, names):
        raise InputError(f"{origin['file']} {ALREADY_PREPARED}")
    if len(table) == 0:
        raise InputError(f"{origin['file']} has no rows; there is no star to work on.")
    known = known_release(table, names, origin["file"])
    base = releases()[known.name].scale() if known is not None else archive_scale()
    scale = make_scale(column_map.photometry, default=base)
    shown = known.as_dict() if known is not None else None
    release = check_scale_of_release(scale, shown, "the column map")
    unused = sorted(set(names) - set(choice.source.values()) - set(choice.extra.values()))
    check_required(choice.source, column_map.constants, origin["file"], unused)
    perhaps = check_lookalikes(names, choice, column_map, origin["file"])
    if perhaps is not None:
        _LOG.warning("%s: %s.", origin["file"], perhaps)

    n_rows = len(table)
    bands, loud = bands_line({*choice.source, *column_map.constants}, unused)
    if loud:
        _LOG.warning("%s: %s.", origin["file"], bands)
    notes = [*([bands] if bands else []), *choice.notes, *([perhaps] if perhaps else [])]
    uses = Counter([*choice.source.values(), *choice.extra.values()])
    table.keep_columns([name for name in table.colnames if name in uses])

    def take(theirs: str) -> Column:
        """Take a column of the source and free it with its last use: millions of stars should not be held twice."""
        column = table[theirs]
        uses[theirs] -= 1
        if not uses[theirs]:
            table.remove_column(theirs)
        return column

    stars = Table()
    unitless: list[str] = []
    with_unit: list[str] = []
    units: dict[str, AnyUnit | None] = {}
    for name, spec in INPUT_COLUMNS.items():
        if name in choice.source:
            column = take(choice.source[name])
        elif name in column_map.constants:
            column = Column(np.full(n_rows, column_map.constants[name]), name=name)
        else:
            continue
        if column.ndim > 1:
            raise TableError(f"column {name!r} must hold one value per star; it has shape {column.shape}.")
        if name == "source_id":
            stars.add_column(clean_identifiers(column, notes), name=name, copy=False)
        elif spec.kind == "text":
            stars.add_column(clean_text(column), name=name, copy=False)
        else:
            cleaned = clean_numbers(column, spec, column_map.units.get(name))
            stars.add_column(cleaned.column, name=name, copy=False)
            units[name] = cleaned.unit
            notes += cleaned.notes
            if spec.unit is not None and not spec.any_unit and name not in column_map.constants:
                (unitless if cleaned.unit is None else with_unit).append(f"{name} [{spec.unit}]")
        stars[name].description = spec.description
    if unitless:
        which = ", ".join(unitless) if with_unit else "all columns (deg, mas, mag)"
        notes.append(f"no unit is stated, so redflower's are assumed, for {which}")
    _match_flux_units(stars, units)
    for name, theirs in choice.extra.items():
        if name in PREPARED_NAMES:
            raise InputError(f"column map: [extra] {name} is a name that redflower writes; choose another.")
        stars.add_column(take(theirs).copy(), name=name, copy=False)

    if "source_id" not in stars.colnames:
        stars.add_column(np.arange(len(stars), dtype=np.int64), name="source_id", index=0)
        notes.append("no source_id: rows are numbered from 0")
    fill_coordinates(stars, notes)
    check_coordinates_agree(stars)
    check_parallaxes_match_errors(stars)
    for band in BANDS:
        check_magnitudes_match_fluxes(stars, band)
    g_name = BANDS[0].magnitude_column
    if g_name in stars.colnames and not np.isfinite(stars[g_name]).any():
        raise InputError(
            f"column {g_name!r} has no usable value in {len(stars)} rows; give a table with G, or one without the column."
        )
    for band in BANDS[1:]:
        if band.magnitude_column in stars.colnames and np.isnan(stars[band.magnitude_column]).all():
            notes.append(
                f"{band.magnitude_column} has no usable value: band {band.label} is missing for every star"
            )
    stars, rows_dropped = _without_duplicates(stars, duplicates)
    if rows_dropped:
        notes.append(f"{rows_dropped} rows repeat a source_id; the first of each was kept")
    if "source_id" in choice.source:
        frame = ("ra", "dec") if "ra" in choice.source else ("l", "b")
        lon_deg, lat_deg = (np.asarray(stars[name]) for name in frame)
        odd = check_positions_in_pixels(np.asarray(stars["source_id"]), lon_deg, lat_deg, frame)
        notes += [odd] if odd else []
    check_ecliptic_latitude(stars)
    notes += notes_on_absent_columns(stars.colnames, release.zero_point.rule)
    stars.meta[META_KEY] = {
        "stage": STAGE_STARS,
        "input": origin,
        "columns": {name: theirs for name, theirs in choice.source.items() if name != theirs},
        "constants": dict(column_map.constants),
        "units": dict(column_map.units),
        **({PHOTOMETRY_KEY: scale.as_dict()} if column_map.photometry else {}),
        **({GAIA_RELEASE_KEY: shown} if shown is not None else {}),
        "notes": notes,
    }
    if META_KEY in table.meta:
        stars.meta[META_KEY]["source"] = table.meta[META_KEY]
    return stars


def write_columns(
    source: TableSource, path: "str | Path", columns: "str | Path | ColumnMap | None" = None
) -> ColumnChoice:
    """Write a column map of a table to fill in: what redflower found of its columns, and what it did not.

    Parameters
    ----------
    source, columns : as of `read_stars`.
    path : TOML file to write.

    Returns
    -------
    What was found.

    Raises
    ------
    TableError
        If the table cannot be read, or the file exists.
    """
    column_map = columns if isinstance(columns, ColumnMap) else ColumnMap()
    if isinstance(columns, (str, Path)):
        column_map = read_column_map(columns)
    names, choice = known_columns(source, column_map)
    where = Path(source).name if isinstance(source, (str, Path)) else "a table in memory"
    write_map(path, map_to_fill_in(names, choice, column_map.units, where))
    return choice


def known_columns(source: TableSource, column_map: ColumnMap | None = None) -> tuple[list[str], ColumnChoice]:
    """Return the names of a table's columns, and which of them are known."""
    of_file = isinstance(source, (str, Path))
    names = (column_names(Path(source)) if of_file else None) or as_table(source).colnames
    where = Path(source).name if of_file else "a table in memory"
    return list(names), choose_columns(names, column_map or ColumnMap(), where)


def _stage(table: Table) -> str | None:
    return table.meta.get(META_KEY, {}).get("stage")


def _opened(source: Any, column_map: ColumnMap) -> tuple[Table, list[str], ColumnChoice, dict[str, Any]]:
    """Open the source as a plain table of at least the wanted columns, with all its names, the choice and the origin."""
    if isinstance(source, (str, Path)):
        path = Path(source)
        names = column_names(path)
        if names is None:
            table = read_table(path)
            names = list(table.colnames)
            choice = choose_columns(names, column_map, path.name)
        else:
            choice = choose_columns(names, column_map, path.name)
            wanted = dict.fromkeys(
                [*choice.source.values(), *choice.extra.values(), *designation_columns(names)]
            )
            table = read_table(path, [name for name in names if name in wanted] or names)
        return table, names, choice, {"file": path.name, "sha256": file_sha256(path), "rows": len(table)}
    table = as_table(source)
    origin = {"file": "a table in memory", "sha256": None, "rows": len(table)}
    names = list(table.colnames)
    return table, names, choose_columns(names, column_map), origin


def _match_flux_units(stars: Table, units: dict[str, AnyUnit | None]) -> None:
    """Bring each flux error into the unit of its flux; only their ratio is used."""
    for band in BANDS:
        flux, error = band.flux_column, band.flux_error_column
        if flux is None or error is None or units.get(flux) is None or units.get(error) is None:
            continue
        try:
            factor = float(units[error].to(units[flux]))  # type: ignore[union-attr]
        except (u.UnitConversionError, AttributeError):
            raise InputError(
                f"columns {flux!r} and {error!r} must be in one unit; "
                f"they are in {units[flux]} and {units[error]}."
            ) from None
        stars[error] = Column(
            np.asarray(stars[error]) * factor, name=error, description=stars[error].description
        )


def _without_duplicates(stars: Table, duplicates: Duplicates) -> tuple[Table, int]:
    ids = np.asarray(stars["source_id"])
    _, first = np.unique(ids, return_index=True)
    repeated = len(ids) - len(first)
    if repeated == 0:
        return stars, 0
    if duplicates == "error":
        again = np.setdiff1d(np.arange(len(ids)), first)
        shown = ", ".join(str(value) for value in np.unique(ids[again])[:3])
        raise InputError(
            f"source_id must be unique; {repeated} of {len(ids)} rows repeat an earlier one (such as "
            f"{shown}). A cross-match with several neighbours of a star does this: keep the nearest of each, "
            "or ask to keep the first row of each (--keep-first)."
        )
    return stars[np.sort(first)], repeated
