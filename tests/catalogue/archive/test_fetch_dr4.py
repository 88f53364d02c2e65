"""Fetching Gaia DR4 under the names of its drafts: the service's TAP_SCHEMA is asked first, over the real protocol."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from redflower.catalogue import QualityLimits, prepare, read_table
from redflower.catalogue.archive import (
    SURVEYS,
    Patience,
    TapService,
    TapSource,
    check_names,
    cone_tiles,
    fetch_tiles,
    parse_region,
    parse_surveys,
    tile_query,
)
from redflower.catalogue.archive.patience import RefusedError
from redflower.catalogue.releases import releases
from redflower.catalogue.releases_file import data_file
from redflower.cli.app import main
from redflower.errors import FetchError, InputError
from tests.helpers.dr4_draft import RENUMBERED, dr4_archive, with_tap_schema
from tests.helpers.made_archive import MadeArchive, made_archive
from tests.helpers.tap_server import Fault, TapServer

#: Lies within one tile.
SMALL = "cone:103.9,22.141,0.12"
QUICK = Patience(attempts=3, backoff_s=0.01, backoff_max_s=0.02, poll_s=0.02)
DR4 = releases()["dr4"]


@pytest.fixture(scope="module")
def archive() -> MadeArchive:
    return made_archive()


@pytest.fixture(scope="module")
def running(archive: MadeArchive) -> Iterator[TapServer]:
    """A service with both releases, as the archive will be."""
    tables = {**archive.tables, **dr4_archive(archive.tables)}
    tables = with_tap_schema({name: t for name, t in tables.items() if not name.startswith("TAP_SCHEMA")})
    with TapServer(tables) as server:
        # Parsing takes seconds in pure Python, once for each shape of query; not within a request of a test.
        tile = cone_tiles(parse_region(SMALL))[0]
        server.query(tile_query(tile, DR4.surveys, release=DR4), 1)
        server.query(tile_query(tile, SURVEYS), 1)
        yield server


@pytest.fixture
def server(running: TapServer) -> TapServer:
    running.reset()
    return running


@pytest.fixture(scope="module")
def day_one(archive: MadeArchive) -> Iterator[TapServer]:
    """A service whose DR4 is not what the drafts say: a column renamed, one gone, a table under another schema."""
    tables = dr4_archive(archive.tables)
    gaia = tables["gaiadr4.gaia_source"]
    gaia.rename_column("tentative_parallax_bias", "parallax_bias_correction")
    gaia.remove_column("phot_g_n_obs")
    tables = {
        name.replace("gaiadr4.panstarrs1", "gaia_dr4_xm.panstarrs1"): table
        for name, table in tables.items()
        if not name.startswith("TAP_SCHEMA")
    }
    tables = with_tap_schema(tables)
    with TapServer(tables) as server:
        yield server


def run(capsys, monkeypatch, *arguments: str) -> tuple[int, str, str]:
    monkeypatch.setattr("sys.argv", ["redflower", *map(str, arguments)])
    with pytest.raises(SystemExit) as stopped:
        main()
    captured = capsys.readouterr()
    return int(stopped.value.code or 0), captured.out, " ".join(captured.err.split())


def fetch(server: TapServer, out: Path, release=DR4):
    tiles = cone_tiles(parse_region(SMALL))
    source = TapSource(TapService(server.url, QUICK), release)
    surveys = release.surveys
    return fetch_tiles(out, tiles, source, surveys=surveys, request={"region": SMALL})


def test_the_command_asks_tap_schema_first_and_then_fetches_the_same_stars(
    server, archive, tmp_path, capsys, monkeypatch
):
    out = tmp_path / "stars.parquet"
    code, _, err = run(
        capsys, monkeypatch, "fetch", out, "--region", SMALL, "--tap", server.url, "--release", "dr4"
    )
    assert code == 0, err
    assert "has every table and column that redflower asks of Gaia DR4" in err
    assert "TAP_SCHEMA.columns" in server.log.jobs[0]
    assert not any("TAP_SCHEMA" in adql for adql in server.log.jobs[1:])
    new = read_table(out)
    meta = new.meta["redflower"]
    assert (meta["gaia_release"], meta["photometry"]["gaia"], meta["request"]["release"]) == (
        "dr4",
        "dr4",
        "dr4",
    )
    old = read_table(fetch(server, tmp_path / "old.parquet", releases()["dr3"]).path)
    assert len(new) == len(old) > 20
    assert {"astrometric_params", "tentative_parallax_bias", "dr3_source_id"} <= set(new.colnames)
    assert "dr3_angular_distance" not in new.colnames
    new, old = (table[np.argsort(np.asarray(table["source_id"]))] for table in (new, old))
    assert np.array_equal(new["source_id"], np.asarray(old["source_id"]) + RENUMBERED)
    # The nearest neighbour in DR3 is the star itself; the made archive lists a farther one first for every tenth.
    assert np.array_equal(new["dr3_source_id"], old["source_id"])
    assert "farther neighbours of a star in DR3 left out" in err
    for name in (
        *(f"{b}_mean_psf_mag" for b in "grizy"),
        "ks_m",
        "r_med_geo",
        "ps1_number_of_mates",
        "parallax",
    ):
        assert np.array_equal(np.ma.filled(new[name], -1), np.ma.filled(old[name], -1)), name


def test_what_is_fetched_of_both_releases_is_prepared_to_the_same_rows(server, tmp_path):
    limits = QualityLimits(g_bright_mag=13.0, ruwe_max=None)
    new, old = (
        prepare(
            fetch(server, tmp_path / f"{name}.parquet", releases()[name]).path,
            purpose="inference",
            limits=limits,
        )
        for name in ("dr4", "dr3")
    )
    assert len(new.table) == len(old.table) > 15
    for name in set(old.table.colnames) - {
        "source_id",
        "zero_point_status",
        "astrometric_params_solved",
        "quality_flags",
    }:
        np.testing.assert_allclose(
            np.asarray(new.table[name], float),
            np.asarray(old.table[name], float),
            rtol=1e-6,
            atol=2e-6,
            err_msg=name,
        )
    assert np.array_equal(new.table["dr3_source_id"], old.table["source_id"])
    assert new.table.meta["redflower"]["photometry"]["gaia"] == "dr4"
    assert "the bias that Gaia DR4 gives" in new.report.zero_point


def test_names_that_are_not_there_are_listed_and_nothing_is_fetched(day_one, tmp_path, capsys, monkeypatch):
    day_one.reset()
    out = tmp_path / "stars.parquet"
    code, _, err = run(
        capsys, monkeypatch, "fetch", out, "--region", SMALL, "--tap", day_one.url, "--release", "dr4"
    )
    assert code != 0
    assert "gaiadr4.gaia_source: no column" in err
    assert "tentative_parallax_bias" in err
    assert "phot_g_n_obs" in err
    assert (
        "gaiadr4.panstarrs1_best_neighbour: no such table (there is gaia_dr4_xm.panstarrs1_best_neighbour"
        in err
    )
    assert "assumed: the schema is called gaiadr4" in err
    assert data_file().name in err
    assert "tmass_psc_xsc_join" not in err, "what is there is not listed"
    assert all("TAP_SCHEMA" in adql for adql in day_one.log.jobs)
    assert not day_one.log.counts
    assert not list(tmp_path.iterdir()), "no table, no folder of tiles, no scratch file"


def test_a_corrected_release_fetches_on_the_day(day_one, tmp_path):
    """The corrections that the message asks for, made as the data file would have them, are all that is needed."""
    day_one.reset()
    columns = ["parallax_bias_correction" if c == "tentative_parallax_bias" else c for c in DR4.columns]
    joins = [
        dataclasses.replace(join, table=join.table.replace("gaiadr4.pan", "gaia_dr4_xm.pan"))
        for join in DR4.joins
    ]
    corrected = dataclasses.replace(
        DR4,
        columns=tuple(c for c in columns if c != "phot_g_n_obs"),
        joins=tuple(joins),
        renamed={**DR4.renamed, "parallax_bias": "parallax_bias_correction"},
    )
    service = TapService(day_one.url, QUICK)
    check_names(service, corrected, corrected.surveys, tmp_path / "scratch.vot")
    table = read_table(fetch(day_one, tmp_path / "stars.parquet", corrected).path)
    assert np.isfinite(np.ma.filled(table["parallax_bias_correction"], np.nan)).sum() > 15


def test_a_survey_left_out_is_not_asked_about(day_one, server, tmp_path):
    day_one.reset()
    with pytest.raises(RefusedError) as error:
        check_names(TapService(day_one.url, QUICK), DR4, ("gaia", "2mass"), tmp_path / "s.vot")
    assert "panstarrs1" not in str(error.value).split("Not confirmed")[0]
    check_names(TapService(server.url, QUICK), DR4, DR4.surveys, tmp_path / "s.vot")


def test_a_service_without_the_release_at_all_says_what_it_has(archive, tmp_path):
    with TapServer(with_tap_schema(archive.tables)) as old, pytest.raises(RefusedError) as error:
        check_names(TapService(old.url, QUICK), DR4, ("gaia",), tmp_path / "s.vot")
    assert "gaiadr4.gaia_source: no such table (there is gaiadr3.gaia_source)" in str(error.value)


def test_a_service_may_list_a_table_with_its_quotes(archive, tmp_path):
    tables = dr4_archive(archive.tables)
    for name in ("TAP_SCHEMA.columns", "TAP_SCHEMA.tables"):
        column = np.asarray(tables[name]["table_name"]).astype("U80")
        tables[name]["table_name"] = np.char.replace(column, "external.", '"external".')
    with TapServer(tables) as server:
        check_names(TapService(server.url, QUICK), DR4, DR4.surveys, tmp_path / "s.vot")


def test_the_schema_is_asked_again_when_the_service_stumbles(server, tmp_path):
    server.faults.append(Fault.HTTP_500)
    check_names(TapService(server.url, QUICK), DR4, DR4.surveys, tmp_path / "s.vot")
    assert len(server.log.jobs) == 2
    server.faults.extend([Fault.HTML] * QUICK.attempts)
    with pytest.raises(FetchError, match="3 attempts"):
        check_names(TapService(server.url, QUICK), DR4, DR4.surveys, tmp_path / "s.vot")


def test_a_started_download_of_one_release_does_not_go_on_with_another(server, tmp_path):
    fetch(server, tmp_path / "stars.parquet", releases()["dr3"])
    (tmp_path / "stars.parquet").unlink()
    with pytest.raises(InputError, match="another request .*release"):
        fetch(server, tmp_path / "stars.parquet", DR4)


def test_surveys_are_those_of_the_release():
    assert parse_surveys(None, DR4) == ("gaia", "dr3", "ps1", "2mass", "distances")
    assert parse_surveys("2mass, dr3", DR4) == ("gaia", "dr3", "2mass")
    with pytest.raises(InputError, match="unknown dr3; with Gaia DR3 there are gaia, ps1, 2mass, distances"):
        parse_surveys("dr3")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--release", "dr2"), "'dr2': redflower knows the tables of dr3, dr4"),
        (("--release", "dr4", "--hats", "public"), "no public HATS catalogue of Gaia DR4"),
        (("--release", "dr4", "--hats", "gaia=/x", "--surveys", "dr3"), "dr3"),
    ],
)
def test_what_a_release_does_not_have_is_said(tmp_path, capsys, monkeypatch, arguments, message):
    code, _, err = run(capsys, monkeypatch, "fetch", tmp_path / "s.parquet", "--region", SMALL, *arguments)
    assert code != 0
    assert message in err


def test_the_dry_run_shows_the_names_of_the_release(tmp_path, capsys, monkeypatch):
    code, out, _ = run(
        capsys,
        monkeypatch,
        "fetch",
        tmp_path / "s.parquet",
        "--region",
        SMALL,
        "--release",
        "dr4",
        "--dry-run",
    )
    assert code == 0
    assert "FROM gaiadr4.gaia_source AS g" in out
    assert "ON d.source_id = dn.dr3_source_id" in out
