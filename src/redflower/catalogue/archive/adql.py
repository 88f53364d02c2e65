"""The ADQL of one tile: Gaia DR3 joined to Pan-STARRS1, 2MASS and the geometric distances by Gaia's own cross-matches.

All joins are outer: a star without a counterpart keeps its row, so that one download holds the parent catalogue and
every subsample of it, which the selection function needs.
"""

from typing import Final

from redflower.catalogue.archive.regions import Tile
from redflower.errors import InputError

#: What can be asked for; ``gaia`` always comes.
SURVEYS: Final = ("gaia", "ps1", "2mass", "distances")

_GAIA: Final = (
    "source_id", "ra", "dec", "l", "b", "parallax", "parallax_error", "ruwe", "visibility_periods_used",
    "astrometric_params_solved", "phot_g_n_obs", "nu_eff_used_in_astrometry", "pseudocolour", "ecl_lat",
    *(f"phot_{short}_mean_{what}" for short in ("g", "bp", "rp") for what in ("mag", "flux", "flux_error")),
)  # fmt: skip
_PS1: Final = tuple(
    f"p.{label}_mean_psf_mag{ending}" for label in "grizy" for ending in ("", "_error")
) + (
    *(f"p.{label}_flags AS ps1_{label}_flags" for label in "grizy"),
    "p.quality_flag AS ps1_quality_flag",
    "px.number_of_mates AS ps1_number_of_mates",
)  # fmt: skip
_TMASS: Final = (
    *(f"t.{name}" for band in ("j", "h", "ks") for name in (f"{band}_m", f"{band}_msigcom")),
    "t.ph_qual", "t.designation AS tmass_designation", "tx.original_ext_source_id AS tmass_matched_designation",
    "tx.number_of_mates AS tmass_number_of_mates",
)  # fmt: skip
_DISTANCES: Final = ("d.r_med_geo", "d.r_lo_geo", "d.r_hi_geo")

#: Columns that only serve to choose among repeated rows and are dropped again.
HELPERS: Final = ("tmass_designation", "tmass_matched_designation")

_JOINS: Final = {
    "ps1": (
        "LEFT OUTER JOIN gaiadr3.panstarrs1_best_neighbour AS px ON px.source_id = g.source_id",
        "LEFT OUTER JOIN gaiadr2.panstarrs1_original_valid AS p ON p.obj_id = px.original_ext_source_id",
    ),
    "2mass": (
        "LEFT OUTER JOIN gaiadr3.tmass_psc_xsc_best_neighbour AS tx ON tx.source_id = g.source_id",
        "LEFT OUTER JOIN gaiadr3.tmass_psc_xsc_join AS tj ON tj.clean_tmass_psc_xsc_oid = tx.clean_tmass_psc_xsc_oid",
        "LEFT OUTER JOIN gaiadr1.tmass_original_valid AS t ON t.designation = tj.original_psc_source_id",
    ),
    # In quotes: EXTERNAL is a reserved word of ADQL, and services with a strict parser refuse it bare.
    "distances": ('LEFT OUTER JOIN "external".gaiaedr3_distance AS d ON d.source_id = g.source_id',),
}


def parse_surveys(text: str) -> tuple[str, ...]:
    """Surveys from a list with commas, in the order of `SURVEYS`, Gaia always among them.

    Raises
    ------
    InputError
        If one is unknown.
    """
    asked = {part.strip().lower() for part in text.split(",") if part.strip()}
    unknown = asked - set(SURVEYS)
    if unknown:
        raise InputError(
            f"--surveys {text!r}: unknown {', '.join(sorted(unknown))}; there are {', '.join(SURVEYS)}."
        )
    return tuple(name for name in SURVEYS if name in asked | {"gaia"})


def tile_query(tile: Tile, surveys: tuple[str, ...], g_faint_mag: float | None = None) -> str:
    """The query for the stars of a tile, one row each."""
    columns = [f"g.{name}" for name in _GAIA]
    for survey, names in (("ps1", _PS1), ("2mass", _TMASS), ("distances", _DISTANCES)):
        columns += names if survey in surveys else ()
    joins = [line for survey in surveys for line in _JOINS.get(survey, ())]
    return "\n".join(
        ["SELECT", _wrapped(columns), "FROM gaiadr3.gaia_source AS g", *joins, _where(tile, g_faint_mag)]
    )


def count_query(tile: Tile, g_faint_mag: float | None = None) -> str:
    """The query for the number of stars in a tile."""
    return f"SELECT COUNT(*) AS n FROM gaiadr3.gaia_source AS g\n{_where(tile, g_faint_mag)}"


def _where(tile: Tile, g_faint_mag: float | None) -> str:
    ranges = " OR ".join(f"g.source_id BETWEEN {first} AND {last}" for first, last in tile.ranges)
    conditions = [f"({ranges})" if len(tile.ranges) > 1 else ranges]
    if tile.cone is not None:
        ra_deg, dec_deg = tile.cone.centre
        conditions.append(
            f"1 = CONTAINS(POINT('ICRS', g.ra, g.dec), "
            f"CIRCLE('ICRS', {ra_deg:.8f}, {dec_deg:.8f}, {tile.cone.radius_deg:.8f}))"
        )
    if g_faint_mag is not None:
        conditions.append(f"g.phot_g_mean_mag < {g_faint_mag:g}")
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
