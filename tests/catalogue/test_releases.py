"""The table of Gaia's releases: what it says, that one edit of it is enough, and how it refuses what makes no sense."""

from pathlib import Path

import pytest

from redflower.catalogue import INPUT_COLUMNS
from redflower.catalogue.archive import cone_tiles, parse_region, tile_query
from redflower.catalogue.releases import (
    default_release,
    other_names,
    release_named,
    release_of_photometry,
    releases,
    solution_bits,
)
from redflower.catalogue.releases_file import data_file, read_releases
from redflower.errors import InputError

SOURCES = Path(data_file()).parents[1]


def edited(tmp_path: Path, *changes: tuple[str, str]) -> Path:
    """A copy of the data file in which texts are replaced."""
    text = data_file().read_text("utf-8")
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    path = tmp_path / "gaia_releases.toml"
    path.write_text(text, "utf-8")
    return path


def test_epochs_and_rules_are_those_of_the_releases():
    """Epochs: Lindegren et al. 2018 and 2021, and ESA's announcement of DR4."""
    assert {name: r.epoch_yr for name, r in releases().items()} == {
        "dr2": 2015.5,
        "dr3": 2016.0,
        "dr4": 2017.5,
    }
    rules = {name: r.zero_point.rule for name, r in releases().items()}
    assert rules == {"dr2": "none", "dr3": "lindegren2021", "dr4": "column"}
    assert default_release().name == "dr3"
    assert solution_bits() == (4, 64)
    assert [release_of_photometry(s).name for s in ("dr2-no-drift", "dr3", "dr4")] == ["dr2", "dr3", "dr4"]
    assert [releases()[name].scale().gaia for name in releases()] == ["dr2", "dr3", "dr4"]


def test_no_other_source_names_a_table_of_a_release_or_its_epoch():
    """What a person corrects on the day of a release stands in one file."""
    literals = (
        "gaiadr3.",
        "gaiadr4",
        "panstarrs1_best_neighbour",
        "tentative_parallax_bias",
        "2017.5",
    )
    for path in SOURCES.rglob("*.py"):
        text = path.read_text("utf-8")
        assert not [word for word in literals if word in text], path


def test_nothing_but_a_cut_by_name_needs_the_columns_that_dr4_no_longer_has():
    for path in SOURCES.rglob("*.py"):
        text = path.read_text("utf-8")
        if path.name not in ("schema.py", "other_names.py", "excess_factor.py"):
            assert "phot_bp_rp_excess_factor" not in text, path
        assert "astrometric_excess_noise_sig" not in text, path


def test_the_excess_factor_is_fetched_and_corrected_of_dr3_alone():
    for name, release in releases().items():
        assert (release.excess_factor is not None) == (name == "dr3")
        assert ("phot_bp_rp_excess_factor" in release.columns) == (name == "dr3")
        assert ("in_qso_candidates" in release.columns) == (name == "dr3")


def test_what_only_drafts_say_is_marked_and_only_there():
    marked = [name for name, release in releases().items() if release.unconfirmed]
    assert marked == ["dr4"]
    assert releases()["dr4"].ask_first


def test_joins_bring_those_that_they_lean_on():
    dr4 = releases()["dr4"]
    assert [join.alias for join in dr4.joins_for(("gaia", "distances"))] == ["dn", "d"]
    assert [join.alias for join in dr4.joins_for(("gaia", "2mass"))] == ["tx", "tj", "t"]
    assert dr4.joins_for(("gaia",)) == ()
    assert dr4.surveys == ("gaia", "dr3", "ps1", "2mass", "distances")


def test_one_edit_changes_the_query_and_the_reading(tmp_path):
    path = edited(
        tmp_path,
        ('schema = "gaiadr4"', 'schema = "gaia_dr4"'),
        ('parallax_bias = "tentative_parallax_bias"', 'parallax_bias = "parallax_bias_correction"'),
        ('"tentative_parallax_bias", "ruwe"', '"parallax_bias_correction", "ruwe"'),
        ("epoch_yr = 2017.5\n", "epoch_yr = 2017.0\n"),
    )
    dr4 = read_releases(path).releases["dr4"]
    query = tile_query(cone_tiles(parse_region("two-cloud"))[0], dr4.surveys, 20.0, dr4)
    assert "FROM gaia_dr4.gaia_source AS g" in query
    assert "JOIN gaia_dr4.dr3_neighbourhood AS dn" in query
    assert "g.parallax_bias_correction" in query
    assert "gaiadr4" not in query
    assert dr4.epoch_yr == 2017.0
    assert dr4.ours("parallax_bias_correction") == "parallax_bias"


def test_the_names_of_releases_are_aliases_of_the_schema():
    for ours, theirs in other_names().items():
        assert set(theirs) <= set(INPUT_COLUMNS[ours].aliases)
    assert other_names()["astrometric_params_solved"] == ("astrometric_params",)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (('default = "dr3"', 'default = "dr2"'), "must be a release with a table"),
        (('default = "dr3"', 'default = '), "not valid TOML"),
        (("parallax = 4", 'parallax = "4"'), "parallax must be of type int"),
        (("epoch_yr = 2017.5\n", ""), "releases.dr4.*'epoch_yr' is needed"),
        (("epoch_yr = 2017.5\n", 'epoch_yr = "J2017.5"\n'), "epoch_yr must be of type float"),
        (('schema = "gaiadr4"\n', ""), "table 'dr3_neighbourhood' names no schema"),
        (("ask_first = true", "ask_frist = true"), "unknown entry 'ask_frist'"),
        (('photometry = ["dr4"]', 'photometry = ["dr5"]'), "photometry 'dr5' is not among dr3, dr2"),
        (('photometry = ["dr2", "dr2-no-drift"]', 'photometry = ["dr2"]'), "no release has the photometry dr2-no-drift"),
        (('rule = "column"', 'rule = "colum"'), "rule must be one of lindegren2021, column, none"),
        (("median_range_mas = [-0.2, 0.01]", "median_range_mas = [0.2]"), "must be two numbers that rise"),
        (('on = "dn.source_id = g.source_id"', 'on = "dn.source_id"'), "on must read ALIAS.COLUMN = ALIAS.COLUMN"),
        (('on = "d.source_id = dn.dr3_source_id"', 'on = "d.source_id = x.dr3_source_id"'), "to a table that stands before it"),
        (('"angular_distance AS', '"angular distance AS'), "must read NAME or NAME AS NAME"),
        (('"visibility_periods_used", "astrometric_params",', '"visibility periods",'), "is no column's name"),
    ],
)  # fmt: skip
def test_an_edit_that_makes_no_sense_is_refused_by_its_place(tmp_path, change, message):
    path = edited(tmp_path, change)
    with pytest.raises(InputError, match=message) as error:
        read_releases(path)
    assert str(path) in str(error.value)


def test_a_release_without_tables_cannot_be_fetched():
    with pytest.raises(InputError, match="'dr2': redflower knows the tables of dr3, dr4"):
        release_named("dr2", to_fetch=True)
    with pytest.raises(InputError, match="knows dr2, dr3, dr4"):
        release_named("dr9")
