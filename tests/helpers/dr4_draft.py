"""Made-up stars under the names that drafts give Gaia DR4, as a user's table and as an archive with its TAP_SCHEMA."""

import numpy as np
from astropy.table import Column, Table

from redflower.catalogue.quality.lindegren import lindegren21_zero_point_mas

#: DR4's identifiers are made from DR3's by this, so that one taken for the other is noticed; the sky pixel stays.
RENUMBERED = 7_000
#: Codes of the drafts: two, five and six parameters, each alone and with accelerations or an orbit on top.
DR4_CODES = {3: (3, 27), 31: (31, 63, 2079), 95: (95, 479, 2015)}


def lindegren_bias_mas(stars: Table) -> np.ndarray:
    """The zero points of Lindegren et al. 2021, which serve as the bias that the made DR4 gives; NaN without a parallax."""
    solved = np.asarray(stars["astrometric_params_solved"])
    fitted = np.isin(solved, (31, 95))
    bias_mas = np.full(len(stars), np.nan)
    bias_mas[fitted], _ = lindegren21_zero_point_mas(
        *(
            np.asarray(stars[name], dtype=float)[fitted]
            for name in ("phot_g_mean_mag", "nu_eff_used_in_astrometry", "pseudocolour", "ecl_lat")
        ),
        solved[fitted],
    )
    return bias_mas


def as_dr4(stars: Table, *, renumber: bool = False) -> Table:
    """The same stars under DR4's names, codes and bias, without the columns that DR4 no longer has."""
    out = stars.copy()
    out["tentative_parallax_bias"] = Column(lindegren_bias_mas(stars), unit="mas")
    solved = np.asarray(stars["astrometric_params_solved"])
    codes = [DR4_CODES[int(code)][k % len(DR4_CODES[int(code)])] for k, code in enumerate(solved)]
    out["astrometric_params"] = np.array(codes, np.int16)
    gone = ("astrometric_params_solved", "phot_bp_rp_excess_factor", "astrometric_excess_noise_sig")
    out.remove_columns([name for name in gone if name in out.colnames])
    if renumber:
        out["source_id"] = np.asarray(out["source_id"]) + RENUMBERED
    return out


def dr4_archive(dr3: dict[str, Table]) -> dict[str, Table]:
    """The tables of a made archive (`tests.helpers.made_archive`) as drafts have them in DR4, with its TAP_SCHEMA."""
    gaia = as_dr4(dr3["gaiadr3.gaia_source"], renumber=True)
    gaia["ref_epoch"][:] = 2017.5
    ids = np.asarray(dr3["gaiadr3.gaia_source"]["source_id"])
    # A farther neighbour of every tenth star is its successor in the table, and comes first.
    tenth = np.arange(len(ids))[:-1:10]
    neighbours = Table(
        {
            "source_id": np.append(ids[tenth], ids) + RENUMBERED,
            "dr3_source_id": np.append(ids[tenth + 1], ids),
            "angular_distance": np.append(np.full(len(tenth), 800.0), np.full(len(ids), 0.5)),
        }
    )
    tables = {"gaiadr4.gaia_source": gaia, "gaiadr4.dr3_neighbourhood": neighbours}
    for name, table in dr3.items():
        schema, bare = name.split(".")
        if schema != "gaiadr3":
            tables[name] = table
        elif bare != "gaia_source":
            moved = table.copy()
            if "source_id" in moved.colnames:
                moved["source_id"] = np.asarray(moved["source_id"]) + RENUMBERED
            tables[f"gaiadr4.{bare}"] = moved
    return with_tap_schema(tables)


def with_tap_schema(tables: dict[str, Table]) -> dict[str, Table]:
    """Tables and the TAP_SCHEMA that describes them."""
    pairs = [(name, column) for name, table in tables.items() for column in table.colnames]
    schema = {
        "TAP_SCHEMA.columns": Table(rows=pairs, names=("table_name", "column_name")),
        "TAP_SCHEMA.tables": Table({"table_name": list(tables)}),
    }
    return {**tables, **schema}
