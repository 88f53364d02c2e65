"""Which release a table is of is read off the table, and one that contradicts itself or its user is refused."""

import numpy as np
import pytest
from astropy.table import Table, vstack

import redflower
from redflower.catalogue import ColumnMap, prepare, read_stars, write_table
from redflower.catalogue.reading.release import known_release
from redflower.errors import InputError, ModelError, TableError
from redflower.photometric_scales import make_scale
from redflower.provenance import META_KEY
from tests.helpers.dr4_draft import as_dr4
from tests.helpers.raw_stars import raw_stars


def named(release: str, n: int = 50, column: str = "designation") -> Table:
    """Raw stars with Gaia's names, and nothing else that tells their release."""
    table = raw_stars(n)
    table.remove_columns(["astrometric_params_solved"])
    table[column] = np.array([f"{release} {i}" for i in table["source_id"]])
    return table


def gaia_scale(table: Table) -> str:
    return table.meta[META_KEY]["photometry"]["gaia"]


@pytest.mark.parametrize(
    ("name", "release"),
    [
        ("Gaia DR2", "dr2"),
        ("Gaia DR3", "dr3"),
        ("Gaia EDR3", "dr3"),
        ("Gaia DR4", "dr4"),
        ("gaia dr4", "dr4"),
    ],
)
def test_designations_name_the_release_and_with_it_the_photometric_scale(name, release):
    prepared = prepare(named(name), purpose="inference")
    assert prepared.table.meta[META_KEY]["gaia_release"] == release
    assert gaia_scale(prepared.table) == release
    assert any(f"photometric scale gaia={release}" in n and "designation" in n for n in prepared.report.notes)


@pytest.mark.parametrize("ending", ["parquet", "fits", "ecsv", "vot", "csv"])
def test_the_release_is_read_off_files_too(tmp_path, ending):
    path = tmp_path / f"stars.{ending}"
    table = named("Gaia DR4")
    table["designation"][:25] = ""  # what a cross-match leaves of the others
    write_table(table, path)
    stars = read_stars(path)
    assert stars.meta[META_KEY]["gaia_release"]["release"] == "dr4"
    assert "designation" not in stars.colnames


def test_a_column_of_another_table_or_with_other_values_is_told_apart():
    table = named("Gaia DR2", column="gaia_dr2_source.designation")
    table["tmass.designation"] = np.full(len(table), "19000000+7214000")
    assert known_release(table, table.colnames, "t").name == "dr2"
    table = raw_stars()
    table["designation"] = np.full(len(table), "19000000+7214000")
    assert "only it has" in known_release(table, table.colnames, "t").evidence
    # Names in two releases under two decorated columns say nothing of the magnitudes.
    table = named("Gaia DR2", column="designation_1")
    table["designation_2"] = np.char.replace(np.asarray(table["designation_1"]), "DR2", "DR3")
    assert known_release(table, table.colnames, "t") is None


@pytest.mark.parametrize(
    ("columns", "release"),
    [
        (("astrometric_pseudo_colour",), "dr2"),
        (("astrometric_params_solved", "nu_eff_used_in_astrometry"), "dr3"),
        (("astrometric_params",), "dr4"),
        (("tentative_parallax_bias", "nu_eff_used_in_astrometry"), "dr4"),
        (("nu_eff_used_in_astrometry",), None),
        (("astrometric_params_solved",), None),
    ],
)
def test_columns_that_only_one_release_has_tell_it(columns, release):
    table = raw_stars()
    table.remove_columns(["astrometric_params_solved", "nu_eff_used_in_astrometry", "pseudocolour"])
    for name in columns:
        table[name] = np.full(len(table), -0.03 if "bias" in name else 31)
    found = known_release(table, table.colnames, "t")
    assert (found.name if found else None) == release


def test_simulated_stars_are_of_no_release():
    table = raw_stars()
    table["true_distance"] = np.full(len(table), 500.0)
    assert known_release(table, table.colnames, "t") is None
    prepared = prepare(table, purpose="inference", photometry="gaia=dr2-no-drift")
    assert gaia_scale(prepared.table) == "dr2-no-drift"
    assert "Lindegren et al. 2021 removed from 50" in prepared.report.zero_point


def test_releases_mixed_in_one_table_are_refused(tmp_path):
    mixed = vstack([named("Gaia DR3", 30), named("Gaia DR4", 20)], metadata_conflicts="silent")
    mixed["source_id"] = np.arange(len(mixed))
    with pytest.raises(
        TableError, match="mixes releases.*30 of Gaia DR3 and 20 of Gaia DR4.*make a table of each"
    ):
        read_stars(mixed)
    both = raw_stars()
    both["tentative_parallax_bias"] = -0.03
    with pytest.raises(
        TableError, match=r"columns that only Gaia DR3 \(.*\) and Gaia DR4 \(tentative_parallax_bias\) has"
    ):
        read_stars(both)
    both["designation"] = np.array([f"Gaia DR4 {i}" for i in both["source_id"]])
    assert read_stars(both).meta[META_KEY]["gaia_release"]["release"] == "dr4", "the name decides"


def test_a_release_that_is_not_known_is_refused():
    with pytest.raises(
        TableError, match="says 'Gaia DR1'; redflower knows Gaia DR2, Gaia DR3, Gaia EDR3, Gaia DR4"
    ):
        read_stars(named("Gaia DR1"))


def test_a_statement_that_the_table_contradicts_is_refused():
    with pytest.raises(
        InputError,
        match="--photometry says gaia=dr3, but the table is of Gaia DR2 by its column 'designation'",
    ):
        prepare(named("Gaia DR2"), purpose="inference", photometry="gaia=dr3")
    with pytest.raises(
        InputError, match="the column map says gaia=dr2, but the table is of Gaia DR4.*State gaia=dr4"
    ):
        read_stars(named("Gaia DR4"), ColumnMap(photometry={"gaia": "dr2"}))
    with pytest.raises(
        InputError, match="says gaia=dr4, but the table is of Gaia DR3 by its columns that only it has"
    ):
        prepare(raw_stars(), purpose="inference", photometry="gaia=dr4")
    # What does not concern Gaia, and the other form of the same release, is no contradiction.
    prepared = prepare(named("Gaia DR4"), purpose="inference", photometry="ps1=pre-release")
    assert prepared.table.meta[META_KEY]["photometry"] == make_scale("gaia=dr4,ps1=pre-release").as_dict()
    by_map = prepare(
        named("Gaia DR4"), purpose="inference", columns=ColumnMap(photometry={"ps1": "pre-release"})
    )
    assert gaia_scale(by_map.table) == "dr4"
    assert (
        gaia_scale(prepare(named("Gaia DR2"), purpose="inference", photometry="gaia=dr2-no-drift").table)
        == "dr2-no-drift"
    )


def test_the_same_stars_under_both_names_give_the_same_rows():
    raw = raw_stars(60)
    raw["astrometric_params_solved"][:8] = [3, 3, 95, 95, 95, 31, 31, 31]
    raw["pseudocolour"][2:5], raw["nu_eff_used_in_astrometry"][2:5] = 1.5, np.nan
    # Columns that DR4 no longer has.
    raw["phot_bp_rp_excess_factor"], raw["astrometric_excess_noise_sig"] = 1.2, 0.5
    for purpose in ("training", "inference"):
        old, new = (prepare(table, purpose=purpose) for table in (raw, as_dr4(raw)))
        assert len(old.table) == len(new.table) == 55, (
            "two-parameter and six-parameter solutions are cut under both"
        )
        assert [(c.name, c.before, c.after) for c in old.report.cuts] == [
            (c.name, c.before, c.after) for c in new.report.cuts
        ]
        assert {*new.table.colnames, "quality_flags"} == set(old.table.colnames)
        for name in set(old.table.colnames) - {
            "zero_point_status", "astrometric_params_solved", "quality_flags",
        }:  # fmt: skip
            # The bias is the same function of the same stars; what differs is the package's rounding to 1e-6 mas at most.
            np.testing.assert_allclose(
                np.asarray(new.table[name]), np.asarray(old.table[name]), rtol=1e-6, atol=1e-9, err_msg=name
            )
        assert (
            np.asarray(new.table["zero_point_status"]) == redflower.catalogue.ZeroPointStatus.OWN_BIAS
        ).all()
        assert gaia_scale(new.table) == "dr4"
        assert any("not confirmed" in note for note in new.report.notes)
        assert not any("nu_eff" in note or "pseudocolour" in note for note in new.report.notes), (
            "no loss for DR4"
        )


def test_a_model_of_another_release_says_so():
    prepared = prepare(as_dr4(raw_stars()), purpose="inference")
    with pytest.raises(
        ModelError, match="the table is on gaia=dr4 and the model on gaia=dr2-no-drift, and no relation"
    ):
        redflower.infer(prepared.table, "mock-sky")


def test_identifiers_in_dr3_are_carried_with_their_gaps():
    raw = as_dr4(raw_stars())
    ids = np.ma.masked_array(np.asarray(raw["source_id"]) + 1, mask=np.arange(len(raw)) == 3)
    raw["dr3_source_id"] = ids
    raw["dr2_source_id"] = np.arange(len(raw))  # near in spelling, and nobody's business
    table = prepare(raw, purpose="inference").table
    assert np.ma.getmaskarray(table["dr3_source_id"]).tolist() == (np.arange(len(raw)) == 3).tolist()
    kept = ~np.ma.getmaskarray(table["dr3_source_id"])
    assert np.array_equal(np.asarray(table["dr3_source_id"])[kept], np.asarray(raw["source_id"])[kept] + 1)


def test_the_real_tables_tell_their_releases(shared_data):
    path = shared_data / "m67_gaiadr2_ps1_2mass.fits"
    table = redflower.read_table(path)
    assert known_release(table, table.colnames, path.name).name == "dr2"
