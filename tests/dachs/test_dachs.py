"""Fetching from DaCHS, the software that runs many of the Virtual Observatory's TAP services, over PostgreSQL."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table

from redflower.catalogue import read_table
from redflower.catalogue.archive import (
    SURVEYS,
    Patience,
    TapService,
    TapSource,
    cone_tiles,
    count_query,
    fetch_tiles,
    parse_region,
    tile_query,
    zero_extinction_tiles,
)
from redflower.catalogue.archive.patience import RefusedError
from redflower.catalogue.maps.dust_map import DustMap
from redflower.errors import FetchError, RowLimitError

from ..helpers.made_archive import MadeArchive, made_archive
from .resources import write_resources

pytestmark = pytest.mark.dachs

INPUTS = Path("/var/gavo/inputs")
CONE = "cone:104.08,22.31,0.2"
PATIENCE = Patience(attempts=3, backoff_s=0.2, poll_s=0.2, job_s=60.0)


def as_dachsroot(*arguments: str, **options: object) -> subprocess.Popen:
    """DaCHS as its own user, in a process group of its own."""
    environment = {"HOME": "/home/dachsroot", "PATH": os.environ["PATH"], **options.pop("environment", {})}
    return subprocess.Popen(
        ["dachs", *arguments],
        user="dachsroot",
        group="gavo",
        cwd="/",
        start_new_session=True,
        env=environment,
        **options,
    )


class Server:
    """DaCHS on a free port; can be killed and started again."""

    def __init__(self, settings: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        settings.write_text(
            f"[web]\nbindAddress: 127.0.0.1\nserverPort: {port}\nserverURL: http://127.0.0.1:{port}\n"
        )
        settings.chmod(0o644)
        self._environment = {"GAVOSETTINGS": str(settings)}
        self.url = f"http://127.0.0.1:{port}/tap"
        self.start()

    def start(self) -> None:
        self._process = as_dachsroot(
            "serve",
            "debug",
            environment=self._environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 90
        while True:
            try:
                urllib.request.urlopen(f"{self.url}/availability", timeout=5).read()
                return
            except OSError:
                assert time.monotonic() < deadline, "DaCHS does not come up"
                assert self._process.poll() is None, "DaCHS ended at once"
                time.sleep(0.5)

    def kill(self) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


@pytest.fixture(scope="module")
def archive() -> MadeArchive:
    return made_archive()


@pytest.fixture(scope="module")
def server(archive: MadeArchive) -> Iterator[Server]:
    if os.geteuid() != 0 or shutil.which("dachs") is None:
        pytest.skip("DaCHS is not installed, or this is not root: run `make test-dachs`")
    names = write_resources(archive.tables, INPUTS)
    for name in names:
        shutil.chown(INPUTS / name.split("/")[0], "dachsroot", "gavo")
        done = as_dachsroot("imp", name, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        output = done.communicate()[0].decode()
        assert done.returncode == 0, output
    settings = Path("/tmp") / f"redflower-dachs-{os.getpid()}.rc"
    running = Server(settings)
    try:
        yield running
    finally:
        running.kill()
        settings.unlink()
        for name in names:
            as_dachsroot(
                f"cd / && dachs drop {name}", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            ).wait()
            shutil.rmtree(INPUTS / name.split("/")[0])


def expected_rows(archive: MadeArchive) -> Table:
    cone = parse_region(CONE)
    l_deg, b_deg = (np.radians(np.asarray(archive.expected[name])) for name in ("l", "b"))
    l0, b0 = np.radians(cone.l_deg), np.radians(cone.b_deg)
    cosine = np.sin(b_deg) * np.sin(b0) + np.cos(b_deg) * np.cos(b0) * np.cos(l_deg - l0)
    return archive.expected[cosine > np.cos(np.radians(cone.radius_deg))]


def same(found: Table, expected: Table) -> None:
    found = found[np.argsort(np.asarray(found["source_id"]))]
    assert np.array_equal(found["source_id"], expected["source_id"])
    for name in expected.colnames:
        wanted, got = (np.ma.asarray(table[name]) for table in (expected, found))
        if wanted.dtype.kind == "f":
            wanted, got = np.ma.masked_invalid(wanted), np.ma.masked_invalid(got)
        gap = np.ma.getmaskarray(wanted)
        if wanted.dtype.kind != "U":
            assert np.array_equal(np.ma.getmaskarray(got), gap), name
        assert np.array_equal(np.asarray(got)[~gap], np.asarray(wanted)[~gap]), name


def test_the_join_comes_whole(server, archive, tmp_path):
    result = fetch_tiles(
        tmp_path / "stars.parquet", cone_tiles(parse_region(CONE)), TapSource(TapService(server.url, PATIENCE)),
        surveys=SURVEYS, request={},
    )  # fmt: skip
    assert not result.failed
    found = read_table(result.path)
    same(found, expected_rows(archive))
    assert found["parallax"].unit == "mas"
    assert any("further 2MASS entries" in note for note in result.notes)


def test_its_own_overflow_is_noticed_and_splits_the_tile(server, archive, tmp_path):
    service = TapService(server.url, PATIENCE)
    tile = max(cone_tiles(parse_region(CONE)), key=lambda t: service.count(count_query(t)))
    with pytest.raises(RowLimitError, match="limit on rows"):
        service.table(tile_query(tile, ("gaia",)), max_rows=20, scratch=tmp_path / "s.vot")
    result = fetch_tiles(
        tmp_path / "stars.parquet", cone_tiles(parse_region(CONE)), TapSource(service), surveys=SURVEYS, request={},
        tile_rows_max=40,
    )  # fmt: skip
    same(read_table(result.path), expected_rows(archive))


def test_ranges_of_a_dust_limit_are_understood(server, archive, tmp_path):
    """Many ranges in one query: the sky of a checkerboard of dust."""
    dust = DustMap(
        ebv_mag=np.where(np.arange(12 * 128**2) % 2, 0.01, 0.05),
        nside=128,
        order="nested",
        frame="icrs",
        name="board",
        sha256="",
        notes=(),
    )
    first, last = (f(archive.expected["source_id"]) for f in (np.min, np.max))
    tiles = [
        t
        for t in zero_extinction_tiles(dust, ebv_max_mag=0.018)
        if t.ranges[0][0] <= last and t.ranges[-1][1] >= first
    ]
    assert max(len(t.ranges) for t in tiles) > 5
    result = fetch_tiles(
        tmp_path / "s.parquet", tiles, TapSource(TapService(server.url, PATIENCE)), surveys=("gaia",), request={},
        g_faint_mag=19.0,
    )  # fmt: skip
    gaia = archive.expected[np.asarray(archive.expected["phot_g_mean_mag"]) < 19.0]
    ids = np.asarray(gaia["source_id"])
    meant = sum(((ids >= a) & (ids <= b)).astype(int) for t in tiles for a, b in t.ranges)
    assert 0 < meant.sum() < len(ids)
    assert np.array_equal(np.sort(read_table(result.path)["source_id"]), ids[meant > 0])


@pytest.mark.parametrize(
    "adql", ["SELECT FROM nothing", "SELECT nosuch FROM gaiadr3.gaia_source", "SELECT ra FROM gaiadr3.nosuch"]
)
def test_a_query_it_refuses_is_not_repeated(server, tmp_path, adql):
    service = TapService(server.url, Patience(attempts=2, backoff_s=0.1, poll_s=0.2))
    with pytest.raises(RefusedError):
        service.table(adql, max_rows=10, scratch=tmp_path / "s.vot")
    with pytest.raises(RefusedError):
        service.count(adql)


def test_a_server_that_dies_costs_nothing_but_time(server, archive, tmp_path):
    out = tmp_path / "stars.parquet"
    tiles = cone_tiles(parse_region(CONE))
    source = TapSource(TapService(server.url, Patience(attempts=2, backoff_s=0.1, request_s=5.0, poll_s=0.2)))
    killed = []

    def kill_after_two(done: int) -> None:
        if done == 2 and not killed:
            server.kill()
            killed.append(done)

    first = fetch_tiles(out, tiles, source, surveys=SURVEYS, request={}, progress=kill_after_two)
    assert first.path is None
    assert len(first.failed) == len(tiles) - 2
    server.start()
    second = fetch_tiles(out, tiles, source, surveys=SURVEYS, request={})
    same(read_table(second.path), expected_rows(archive))


def test_the_command_line(server, archive, tmp_path):
    out = tmp_path / "stars.fits"
    code = (
        f"import sys; sys.argv = ['redflower', 'fetch', {str(out)!r}, '--region', {CONE!r}, '--tap', {server.url!r}]; "
        "from redflower.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"{len(expected_rows(archive)):,} stars" in done.stderr
    assert len(read_table(out)) == len(expected_rows(archive))


def test_nobody_there_is_an_error_of_the_service(tmp_path):
    with pytest.raises(FetchError):
        TapService("http://127.0.0.1:9/tap", Patience(attempts=1)).count("SELECT 1 FROM tap_schema.tables")
