"""From a file or a table of any survey to a table in redflower's names and units, with NaN for missing."""

import logging
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from astropy.table import Table

from redflower.bands import BandSet
from redflower.catalogue.io.sources import TableSource, as_table
from redflower.catalogue.io.tables import column_names, read_table
from redflower.catalogue.prepared import ALREADY_PREPARED, is_prepared
from redflower.catalogue.reading.bands_found import bands_line, map_to_fill_in, write_map
from redflower.catalogue.reading.checks import (
    check_bands_have_values,
    check_coordinates_agree,
    check_ecliptic_latitude,
    check_magnitudes_match_fluxes,
    check_parallaxes_match_errors,
    check_required,
    notes_on_absent_columns,
)
from redflower.catalogue.reading.clean_columns import clean_columns
from redflower.catalogue.reading.column_map import (
    ColumnChoice,
    ColumnMap,
    check_lookalikes,
    choose_columns,
    read_column_map,
)
from redflower.catalogue.reading.coordinates import fill_coordinates
from redflower.catalogue.reading.release import check_scale_of_release, designation_columns, known_release
from redflower.catalogue.reading.schema import bands_read
from redflower.catalogue.reading.sky_pixel import check_positions_in_pixels
from redflower.catalogue.releases import releases
from redflower.errors import InputError
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
    judged: bool = True,
) -> Table:
    """Read stars into redflower's column names and units.

    Parameters
    ----------
    source : a table file, an astropy table, a pandas data frame, or whatever else `as_table` reads.
    columns : a column map or the TOML file of one, where the table's names are not those of the Gaia archive.
    duplicates : what to do with rows that share a ``source_id``.
    judged : whether the table is looked at as a whole: whether medians and scatters are those of the stated units, and
        columns agree. A few rows of a larger table, which was judged before, tell nothing of that.

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
    column_map = _column_map(columns)
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
    bands = bands_read({*choice.source, *column_map.constants}, column_map.surveys)
    notes = _notes_on_columns(names, choice, column_map, origin["file"], bands)

    stars = clean_columns(table, choice, column_map, notes, judged=judged)
    if "source_id" not in stars.colnames:
        stars.add_column(np.arange(len(stars), dtype=np.int64), name="source_id", index=0)
        notes.append("no source_id: rows are numbered from 0")
    fill_coordinates(stars, notes)
    if judged:
        _judge(stars, notes, bands)
    stars, rows_dropped = _without_duplicates(stars, duplicates)
    if rows_dropped:
        notes.append(f"{rows_dropped} rows repeat a source_id; the first of each was kept")
    if judged and "source_id" in choice.source:
        frame = ("ra", "dec") if "ra" in choice.source else ("l", "b")
        lon_deg, lat_deg = (np.asarray(stars[name]) for name in frame)
        odd = check_positions_in_pixels(np.asarray(stars["source_id"]), lon_deg, lat_deg, frame)
        notes += [odd] if odd else []
    if judged:
        check_ecliptic_latitude(stars)
    notes += notes_on_absent_columns(stars.colnames, release.zero_point.rule, bands, column_map.schema)
    stars.meta[META_KEY] = {
        "stage": STAGE_STARS,
        "input": origin,
        "columns": {name: theirs for name, theirs in choice.source.items() if name != theirs},
        "constants": dict(column_map.constants),
        "units": dict(column_map.units),
        **({PHOTOMETRY_KEY: scale.as_dict()} if column_map.photometry else {}),
        **({GAIA_RELEASE_KEY: shown} if shown is not None else {}),
        **({"repeated_rows": rows_dropped} if rows_dropped else {}),
        "notes": notes,
    }
    if META_KEY in table.meta:
        stars.meta[META_KEY]["source"] = table.meta[META_KEY]
    return stars


def _judge(stars: Table, notes: list[str], bands: BandSet) -> None:
    """Refuse a table the columns of which contradict each other, or hold nothing."""
    check_coordinates_agree(stars)
    check_parallaxes_match_errors(stars)
    for band in bands:
        check_magnitudes_match_fluxes(stars, band)
    check_bands_have_values(stars, notes, bands)


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
    column_map = _column_map(columns)
    names, choice = known_columns(source, column_map)
    where = Path(source).name if isinstance(source, (str, Path)) else "a table in memory"
    write_map(path, map_to_fill_in(names, choice, column_map.units, where, column_map.schema))
    return choice


def known_columns(source: TableSource, column_map: ColumnMap | None = None) -> tuple[list[str], ColumnChoice]:
    """Return the names of a table's columns, and which of them are known."""
    of_file = isinstance(source, (str, Path))
    names = (column_names(Path(source)) if of_file else None) or as_table(source).colnames
    where = Path(source).name if of_file else "a table in memory"
    return list(names), choose_columns(names, column_map or ColumnMap(), where)


def _column_map(columns: "str | Path | ColumnMap | None") -> ColumnMap:
    """Return a column map as it is, or read it from its file; an empty one if there is none."""
    if isinstance(columns, (str, Path)):
        return read_column_map(columns)
    return columns or ColumnMap()


def _notes_on_columns(
    names: list[str], choice: ColumnChoice, column_map: ColumnMap, where: str, bands: BandSet
) -> list[str]:
    """Refuse a table without a column that every use needs; note, and warn of, what else its columns may lack."""
    unused = sorted(set(names) - set(choice.source.values()) - set(choice.extra.values()))
    check_required(choice.source, column_map.constants, where, unused, bands)
    perhaps = check_lookalikes(names, choice, column_map, where)
    if perhaps is not None:
        _LOG.warning("%s: %s.", where, perhaps)
    line, loud = bands_line({*choice.source, *column_map.constants}, unused, bands)
    if loud:
        _LOG.warning("%s: %s.", where, line)
    return [*([line] if line else []), *choice.notes, *([perhaps] if perhaps else [])]


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
