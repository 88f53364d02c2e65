"""The ADQL of one tile: Gaia joined to Pan-STARRS1, 2MASS and the geometric distances by Gaia's own cross-matches.

All joins are outer: a star without a counterpart keeps its row, so that one download holds the parent catalogue and
every subsample of it, which the selection function needs. The names are those of the release (``data/gaia_releases.toml``).
"""

from typing import Final

from redflower.catalogue.archive.regions import Tile
from redflower.catalogue.gaia_release import GAIA, GaiaRelease, name_of
from redflower.catalogue.releases import default_release
from redflower.errors import InputError

#: What can be asked for of the default release; ``gaia`` always comes.
SURVEYS: Final = default_release().surveys

#: Columns that only serve to choose among repeated rows and are dropped again: the name of a 2MASS entry and of Gaia's own match;
#: the distance of a counterpart in DR3.
TMASS_HELPERS: Final = ("tmass_designation", "tmass_matched_designation")
NEIGHBOUR_HELPER: Final = "dr3_angular_distance"


def parse_surveys(text: str | None, release: GaiaRelease | None = None) -> tuple[str, ...]:
    """Parse surveys from a comma-separated list into the release's order, with Gaia always; None means the usual ones.

    Raises
    ------
    InputError
        If one is unknown.
    """
    release = release or default_release()
    if text is None:
        return release.surveys
    asked = {part.strip().lower() for part in text.split(",") if part.strip()}
    unknown = asked - set(release.all_surveys)
    if unknown:
        raise InputError(
            f"--surveys {text!r}: unknown {', '.join(sorted(unknown))}; with {release.title} there are "
            f"{', '.join(release.all_surveys)}."
        )
    return tuple(name for name in release.all_surveys if name in asked | {GAIA})


def tile_query(
    tile: Tile,
    surveys: tuple[str, ...],
    g_faint_mag: float | None = None,
    release: GaiaRelease | None = None,
) -> str:
    """Write the query for the stars of a tile, one row each except for `TMASS_HELPERS` and `NEIGHBOUR_HELPER`."""
    release = release or default_release()
    joins = release.joins_for(surveys)
    columns = [f"g.{name}" for name in release.columns]
    columns += [f"{join.alias}.{column}" for join in joins for column in join.columns]
    lines = [f"LEFT OUTER JOIN {join.table} AS {join.alias} ON {join.on}" for join in joins]
    return "\n".join(
        [
            "SELECT",
            _wrapped(columns),
            f"FROM {release.table} AS g",
            *lines,
            _where(tile, g_faint_mag, release),
        ]
    )


def count_query(tile: Tile, g_faint_mag: float | None = None, release: GaiaRelease | None = None) -> str:
    """Write the query for the number of stars in a tile."""
    release = release or default_release()
    return f"SELECT COUNT(*) AS n FROM {release.table} AS g\n{_where(tile, g_faint_mag, release)}"


def asked_columns(release: GaiaRelease, surveys: tuple[str, ...]) -> dict[str, list[str]]:
    """Return every column that `tile_query` names, in lower case, by its table as the query spells it."""
    joins = release.joins_for(surveys)
    tables = {"g": str(release.table)} | {join.alias: join.table for join in joins}
    pairs = [("g", name) for name in release.columns]
    pairs += [("g", release.theirs(name)) for name in ("source_id", "ra", "dec", "phot_g_mean_mag")]
    for join in joins:
        pairs += [*join.key_columns(), *((join.alias, name_of(column)) for column in join.columns)]
    asked: dict[str, list[str]] = {}
    for alias, column in pairs:
        columns = asked.setdefault(tables[alias], [])
        if column.lower() not in columns:
            columns.append(column.lower())
    return asked


def _where(tile: Tile, g_faint_mag: float | None, release: GaiaRelease) -> str:
    source_id, ra, dec, g_mag = (
        f"g.{release.theirs(name)}" for name in ("source_id", "ra", "dec", "phot_g_mean_mag")
    )
    ranges = " OR ".join(f"{source_id} BETWEEN {first} AND {last}" for first, last in tile.ranges)
    conditions = [f"({ranges})" if len(tile.ranges) > 1 else ranges]
    if tile.cone is not None:
        ra_deg, dec_deg = tile.cone.centre
        conditions.append(
            f"1 = CONTAINS(POINT('ICRS', {ra}, {dec}), "
            f"CIRCLE('ICRS', {ra_deg:.8f}, {dec_deg:.8f}, {tile.cone.radius_deg:.8f}))"
        )
    if g_faint_mag is not None:
        conditions.append(f"{g_mag} < {g_faint_mag:g}")
    return "WHERE " + "\n  AND ".join(conditions)


def _wrapped(columns: list[str]) -> str:
    lines, line = [], " "
    for i, column in enumerate(columns):
        piece = f" {column}{',' if i < len(columns) - 1 else ''}"
        if len(line) + len(piece) > 100:
            lines.append(line)
            line = " "
        line += piece
    return "\n".join([*lines, line])
