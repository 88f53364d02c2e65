"""Fetching from a TAP server that parses ADQL, runs jobs and, on demand, fails in every way that servers do."""

import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table

from redflower.catalogue import QualityLimits, prepare, read_stars, read_table
from redflower.catalogue.archive import (
    SURVEYS,
    FetchResult,
    Patience,
    TapService,
    TapSource,
    cone_tiles,
    fetch_tiles,
    parse_region,
    tile_query,
)
from redflower.catalogue.archive import fetch as fetch_module
from redflower.catalogue.archive.patience import RefusedError
from redflower.catalogue.quality.named_cuts import with_cuts
from redflower.errors import FetchError, InputError
from tests.helpers.made_archive import MadeArchive, made_archive
from tests.helpers.tap_server import Fault, TapServer

CONE = "cone:104.08,22.31,0.2"
#: Lies within one tile.
SMALL = "cone:103.9,22.141,0.12"
QUICK = Patience(attempts=4, backoff_s=0.01, backoff_max_s=0.02, poll_s=0.02)


@pytest.fixture(scope="module")
def archive() -> MadeArchive:
    return made_archive()


@pytest.fixture(scope="module")
def running(archive: MadeArchive) -> Iterator[TapServer]:
    with TapServer(archive.tables) as server:
        # Parsing takes seconds in pure Python, once for each shape of query; not within a request of a test.
        tile = cone_tiles(parse_region(SMALL))[0]
        server.query(tile_query(tile, SURVEYS), 1)
        yield server


@pytest.fixture
def server(running: TapServer, monkeypatch: pytest.MonkeyPatch) -> TapServer:
    for name in ("REDFLOWER_TAP_USER", "REDFLOWER_TAP_PASSWORD", "REDFLOWER_TAP_AUTHORIZATION"):
        monkeypatch.delenv(name, raising=False)
    running.reset()
    return running


def fetch(server: TapServer, out: Path, region: str = CONE, **options: object) -> FetchResult:
    tiles = cone_tiles(parse_region(region))
    patience = options.pop("patience", QUICK)
    return fetch_tiles(
        out,
        tiles,
        TapSource(TapService(server.url, patience)),
        **{"surveys": SURVEYS, "request": {"region": region}, **options},
    )


def within(archive: MadeArchive, region: str = CONE) -> Table:
    """The stars of the expected join that lie in a cone."""
    cone = parse_region(region)
    l_deg, b_deg = (np.radians(np.asarray(archive.expected[name])) for name in ("l", "b"))
    l0, b0 = np.radians(cone.l_deg), np.radians(cone.b_deg)
    cosine = np.sin(b_deg) * np.sin(b0) + np.cos(b_deg) * np.cos(b0) * np.cos(l_deg - l0)
    return archive.expected[cosine > np.cos(np.radians(cone.radius_deg))]


def same(found: Table, expected: Table) -> None:
    """Every column, value and gap of two tables of the same stars."""
    found = found[np.argsort(np.asarray(found["source_id"]))]
    assert set(found.colnames) == set(expected.colnames)
    assert np.array_equal(found["source_id"], expected["source_id"])
    for name in expected.colnames:
        wanted, gap = (
            np.ma.filled(np.ma.asarray(expected[name])),
            np.ma.getmaskarray(np.ma.asarray(expected[name])),
        )
        got = np.ma.filled(np.ma.asarray(found[name]))
        if wanted.dtype.kind == "f":
            gap = gap | np.isnan(wanted)
            assert np.array_equal(np.ma.getmaskarray(np.ma.asarray(found[name])) | np.isnan(got), gap), name
        assert np.array_equal(got[~gap], wanted[~gap]), name
        assert found[name].unit == expected[name].unit, name


def test_the_join_comes_whole_with_its_units(server, archive, tmp_path):
    result = fetch(server, tmp_path / "stars.parquet")
    expected = within(archive)
    assert 100 < result.rows == len(expected) < 400
    table = read_table(result.path)
    same(table, expected)
    request = table.meta["redflower"]["request"]
    assert (table.meta["redflower"]["stage"], request["region"], request["tap"]) == (
        "fetched",
        CONE,
        server.url,
    )
    assert server.log.deleted == len(server.log.jobs) <= result.tiles, "jobs are cleared away"
    assert any("further 2MASS entries" in note for note in result.notes), (
        "the doubled 2MASS entry is in the cone"
    )
    assert sorted(p.name for p in tmp_path.iterdir()) == ["stars.parquet", "stars.parquet.tiles"]
    assert not list((tmp_path / "stars.parquet.tiles").glob("*.vot"))


@pytest.mark.parametrize("ending", ["fits", "ecsv", "vot"])
def test_other_formats_hold_the_same(server, archive, tmp_path, ending):
    result = fetch(server, tmp_path / f"stars.{ending}", SMALL, surveys=("gaia", "ps1"))
    back = read_table(result.path)
    expected = within(archive, SMALL)
    assert np.array_equal(np.sort(back["source_id"]), expected["source_id"])
    assert back["parallax"].unit == "mas"
    assert "j_m" not in back.colnames
    assert back.meta["redflower"]["request"]["surveys"] == ["gaia", "ps1"]


def test_prepare_reads_what_fetch_writes(server, tmp_path):
    """The whole way: flags, mates and ph_qual are understood without a column map."""
    result = fetch(server, tmp_path / "stars.parquet", "cone:104.08,22.31,0.3")
    prepared = prepare(result.path, purpose="inference", limits=QualityLimits(g_bright_mag=13.0))
    notes = " ".join(prepared.report.notes)
    assert "no Pan-STARRS1 flags" not in notes, "the flags are there"
    assert {"ps1_r", "tmass_ks", "r_med_geo"} <= set(prepared.table.colnames)
    assert np.isfinite(prepared.table["tmass_ks"]).sum() > 100
    assert len(prepared.table) < result.rows
    flags = np.asarray(prepared.table["quality_flags"])
    assert (flags & 4).any()
    assert (flags & 8).any()
    cuts = ["excess-factor", "bp-signal", "qso-candidates", "galaxy-candidates"]
    limits = with_cuts(QualityLimits(g_bright_mag=13.0), cuts)
    cut = prepare(result.path, purpose="inference", limits=limits)
    assert not (np.asarray(cut.table["quality_flags"]) & (1 | 4 | 8)).any()
    assert len(cut.table) == (flags & (1 | 4 | 8) == 0).sum() > 10
    assert {"excess factor", "quasars", "galaxies"} <= {one.name for one in cut.report.cuts}


RETRIED = [
    Fault.HTTP_500, Fault.HTTP_503, Fault.HTML, Fault.JOB_ERROR, Fault.TRUNCATED, Fault.CUT_XML, Fault.BAD_CELL,
    Fault.OUTAGE_OF_ERROR_VOTABLE,
]  # fmt: skip


@pytest.mark.parametrize("fault", RETRIED, ids=lambda fault: fault.name)
def test_a_passing_failure_is_asked_again(server, archive, tmp_path, fault, caplog):
    server.faults.append(fault)
    with caplog.at_level(logging.WARNING):
        result = fetch(server, tmp_path / "stars.parquet", SMALL)
    assert result.rows == len(within(archive, SMALL))
    assert not result.failed
    assert len(server.log.jobs) == 2
    assert "Attempt 2 of 4" in caplog.text


@pytest.mark.parametrize("fault", [Fault.HTTP_500, Fault.HTML])
def test_a_failing_count_is_asked_again(server, archive, tmp_path, fault):
    server.sync_faults.append(fault)
    assert fetch(server, tmp_path / "stars.parquet", SMALL).rows == len(within(archive, SMALL))


@pytest.mark.parametrize("fault", [Fault.JOB_NEVER_ENDS, Fault.STALL])
def test_a_service_that_stalls_is_given_up_in_time(server, archive, tmp_path, fault):
    server.faults.append(fault)
    server.stall_s = 600.0
    short = Patience(attempts=4, backoff_s=0.01, request_s=3.0, job_s=6.0, poll_s=0.05)
    began = time.monotonic()
    result = fetch(server, tmp_path / "stars.parquet", SMALL, patience=short)
    assert result.rows == len(within(archive, SMALL))
    # One wait of 3 or 6 s; the rest is work on a busy machine. Left alone, the service would have kept silent longer.
    assert time.monotonic() - began < 120


def test_permanently_failing_tiles_are_reported_and_retried_on_the_next_run(server, archive, tmp_path):
    out = tmp_path / "stars.parquet"
    server.faults.extend([Fault.CUT_XML] * QUICK.attempts)
    first = fetch(server, out)
    assert (len(first.failed), first.path) == (1, None)
    (reason,) = first.failed.values()
    assert "no whole VOTable" in reason
    assert "4 attempts" in reason
    assert not out.exists(), "no short table is ever written"
    asked = len(server.log.jobs)
    second = fetch(server, out)
    assert second.rows == len(within(archive))
    assert len(server.log.jobs) == asked + 1, "only the missing tile is asked for"
    same(read_table(out), within(archive))


def test_a_service_that_is_down_ends_the_run(server, tmp_path, monkeypatch):
    monkeypatch.setattr(fetch_module, "FAILURES_IN_A_ROW_MAX", 2)
    server.sync_faults.extend([Fault.HTTP_500] * 100)
    result = fetch(server, tmp_path / "stars.parquet", patience=Patience(attempts=2, backoff_s=0.01))
    assert len(result.failed) == 3
    assert "2 tiles failed one after the other" in result.failed["all further tiles"]


def test_the_row_limit_of_a_service_splits_the_tile(server, archive, tmp_path):
    server.hard_limit = 60
    result = fetch(server, tmp_path / "stars.parquet")
    same(read_table(result.path), within(archive))
    assert result.tiles > len(cone_tiles(parse_region(CONE)))
    manifest = json.loads((tmp_path / "stars.parquet.tiles" / "manifest.json").read_text())
    states = [tile["state"] for tile in manifest["tiles"].values()]
    assert states.count("split") >= 1
    assert states.count("done") == result.tiles


@pytest.mark.parametrize("fault", [Fault.SILENT_LIMIT, Fault.OVERFLOW])
def test_a_short_result_is_noticed_whether_it_is_announced_or_not(server, archive, tmp_path, fault):
    server.faults.append(fault)
    result = fetch(server, tmp_path / "stars.parquet")
    same(read_table(result.path), within(archive))
    assert len(server.log.jobs) > result.tiles


def test_a_limit_that_no_split_can_satisfy_is_an_error(server, tmp_path, monkeypatch):
    monkeypatch.setattr(fetch_module, "FINEST_ORDER", 7)
    server.hard_limit = 5
    result = fetch(server, tmp_path / "stars.parquet", SMALL)
    assert result.path is None
    assert "cannot be split further" in next(iter(result.failed.values()))


def test_own_limit_on_rows_splits_before_anything_is_downloaded(server, archive, tmp_path):
    result = fetch(server, tmp_path / "stars.parquet", tile_rows_max=40)
    same(read_table(result.path), within(archive))
    assert len(server.log.jobs) == result.tiles
    assert len(server.log.counts) > result.tiles


def test_a_refused_query_is_not_repeated(server, tmp_path):
    service = TapService(server.url, QUICK)
    with pytest.raises(RefusedError, match=r"cannot parse|parse or run"):
        service.table("SELECT FROM nothing", max_rows=10, scratch=tmp_path / "s.vot")
    with pytest.raises(RefusedError, match="no such table"):
        service.count("SELECT COUNT(*) AS n FROM gaiadr3.no_such_table")
    assert (len(server.log.jobs), len(server.log.counts)) == (1, 1)


def test_max_stars_takes_a_fair_share_and_no_more(server, archive, tmp_path):
    result = fetch(server, tmp_path / "some.parquet", max_stars=50, tile_rows_max=40)
    table = read_table(result.path)
    assert result.rows == len(table) == 50
    assert np.isin(table["source_id"], within(archive)["source_id"]).all()
    assert table.meta["redflower"]["tiles_fetched"] == result.tiles
    fits_result = fetch(server, tmp_path / "some.fits", max_stars=50, tile_rows_max=40)
    assert np.array_equal(read_table(fits_result.path)["source_id"], table["source_id"])


def test_the_order_of_tiles_is_random_and_its_seed_kept(server, tmp_path):
    region = "cone:104.08,22.31,2"
    fetch(server, tmp_path / "a.parquet", region, seed=1)
    first = list(server.log.counts)
    fetch(server, tmp_path / "b.parquet", region, seed=2)
    second = server.log.counts[len(first) :]
    assert len(first) >= 5
    assert sorted(first) == sorted(second)
    assert first != second


def test_a_damaged_tile_is_fetched_again_and_another_request_is_refused(server, archive, tmp_path):
    out = tmp_path / "stars.parquet"
    fetch(server, out)
    out.unlink()
    asked = len(server.log.jobs)
    tile = max((tmp_path / "stars.parquet.tiles").glob("tile-*.parquet"), key=lambda p: p.stat().st_size)
    tile.write_bytes(tile.read_bytes()[:-100])
    fetch(server, out)
    assert len(server.log.jobs) == asked + 1
    same(read_table(out), within(archive))
    out.unlink()
    with pytest.raises(InputError, match=r"another request \(it differs in g_faint_mag\)"):
        fetch(server, out, g_faint_mag=18.0)
    (tmp_path / "stars.parquet.tiles" / "manifest.json").write_text("{")
    with pytest.raises(InputError, match="manifest.json is damaged"):
        fetch(server, out)


def test_a_killed_run_goes_on_where_it_was(server, archive, tmp_path):
    """SIGKILL in the middle: no table, whole tiles kept, and nothing fetched twice."""
    out = tmp_path / "stars.parquet"
    server.delay_s = 0.4
    code = (
        "from redflower.cli import main; import sys; "
        f"sys.argv = ['redflower', 'fetch', {str(out)!r}, '--region', {CONE!r}, '--tap', {server.url!r}, "
        "'--tile-rows', '40']; main()"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    tiles = tmp_path / "stars.parquet.tiles"
    try:
        deadline = time.monotonic() + 60
        while len(list(tiles.glob("tile-*.parquet"))) < 2:
            assert time.monotonic() < deadline, "the run has fetched nothing"
            assert process.poll() is None, "the run ended before it could be killed"
            time.sleep(0.02)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert not out.exists()
    server.delay_s = 0.0
    whole = [name for name, tile in json.loads((tiles / "manifest.json").read_text())["tiles"].items()
             if tile["state"] == "done"]  # fmt: skip
    assert len(whole) >= 1
    asked = len(server.log.jobs)
    result = fetch(server, out, tile_rows_max=40)
    assert len(server.log.jobs) - asked == result.tiles - len(whole)
    same(read_table(out), within(archive))


def test_credentials_come_from_the_environment_and_go_nowhere_else(server, tmp_path, monkeypatch):
    server.require_authorization = "Token secret-word"
    with pytest.raises(RefusedError, match="REDFLOWER_TAP_AUTHORIZATION"):
        fetch(server, tmp_path / "stars.parquet", SMALL)
    monkeypatch.setenv("REDFLOWER_TAP_AUTHORIZATION", "Token secret-word")
    result = fetch(server, tmp_path / "stars.parquet", SMALL)
    assert result.rows > 0
    for path in tmp_path.rglob("*"):
        if path.is_file():
            assert b"secret-word" not in path.read_bytes(), path
    server.require_authorization = "Basic dXNlcjpwYXNz"  # user:pass
    monkeypatch.delenv("REDFLOWER_TAP_AUTHORIZATION")
    monkeypatch.setenv("REDFLOWER_TAP_USER", "user")
    monkeypatch.setenv("REDFLOWER_TAP_PASSWORD", "pass")
    assert fetch(server, tmp_path / "again.parquet", SMALL).rows == result.rows


def test_an_empty_region_and_a_taken_name_are_said(server, tmp_path):
    with pytest.raises(InputError, match="holds no star"):
        fetch(server, tmp_path / "stars.parquet", "cone:200,-60,0.1")
    (tmp_path / "taken.parquet").write_bytes(b"x")
    with pytest.raises(InputError, match="exists already"):
        fetch(server, tmp_path / "taken.parquet")


def test_nobody_at_the_address_is_said(tmp_path):
    service = TapService("http://127.0.0.1:9/tap", Patience(attempts=2, backoff_s=0.01))
    with pytest.raises(FetchError, match="2 attempts"):
        service.count("SELECT COUNT(*) AS n FROM gaiadr3.gaia_source")
    with pytest.raises(InputError, match="must be the base URL"):
        TapService("gea.esac.esa.int")


def test_a_2mass_magnitude_called_k_m_is_read_as_ks_m_and_said(archive):
    renamed = archive.expected.copy()
    renamed.rename_columns(["ks_m", "ks_msigcom"], ["k_m", "k_msigcom"])
    stars = read_stars(renamed)
    assert np.isfinite(stars["ks_m"]).sum() > 0
    assert "column 'k_m' is read as 'ks_m'" in stars.meta["redflower"]["notes"]
