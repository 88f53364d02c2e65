"""Fetching BP/RP coefficients over HTTP from a server that speaks the data server's protocol, counted by a TAP server."""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table

from redflower.catalogue import read_table, write_table
from redflower.catalogue.archive import Patience, SpectraSource, TapService, fetch_tiles, star_tiles
from redflower.catalogue.archive.fetch import FetchResult
from redflower.catalogue.archive.spectra_source import count_spectra_query
from redflower.catalogue.releases import releases
from redflower.catalogue.spectra.coefficients import spectrum_of
from redflower.catalogue.spectra.files import read_rows
from redflower.cli.app import main
from redflower.errors import InputError
from tests.helpers.data_server import DataFault, DataServer
from tests.helpers.tap_server import TapServer

QUICK = Patience(attempts=3, backoff_s=0.01, backoff_max_s=0.02, poll_s=0.02)
#: Five stars in one tile of level 5, three in another; the third of each has no spectrum.
STARS = [(4000 << 49) + 11 + (k << 40) for k in range(5)] + [(9000 << 49) + 7 + (k << 40) for k in range(3)]
WITH_SPECTRA = [star for k, star in enumerate(STARS) if k not in (2, 7)]
N_BASES = 4


def made_row(star: int, *, without_bp: bool = False) -> dict[str, object]:
    """A star's row as the archive writes it, with a positive correlation matrix and the archive's own columns."""
    rng = np.random.default_rng(star % 2**32)
    row: dict[str, object] = {"source_id": star, "solution_id": 4545469030156206080}
    for name, basis in (("bp", 56), ("rp", 57)):
        root = rng.normal(size=(N_BASES, 2 * N_BASES))
        covariance = root @ root.T
        errors = np.sqrt(np.diag(covariance))
        correlation = (covariance / np.outer(errors, errors)).astype(np.float32)
        there = not (without_bp and name == "bp")
        row |= {
            f"{name}_basis_function_id": basis if there else "",
            f"{name}_n_parameters": N_BASES if there else "",
            f"{name}_standard_deviation": np.float32(1.0479343) if there else "",
            f"{name}_coefficients": as_text(rng.normal(100.0, 30.0, N_BASES)) if there else "",
            f"{name}_coefficient_errors": as_text(errors.astype(np.float32)) if there else "",
            f"{name}_coefficient_correlations": as_text(correlation[np.tril_indices(N_BASES, -1)])
            if there
            else "",
        }
    return row


def as_text(values: np.ndarray) -> str:
    return f"({', '.join(str(value) for value in values)})"


def as_lines(rows: list[dict[str, object]]) -> tuple[str, dict[int, str]]:
    """The header and the line of each star, as the archive's CSV has them."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, rows[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    header, *lines = buffer.getvalue().splitlines()
    return header, {int(str(row["source_id"])): line for row, line in zip(rows, lines, strict=True)}


@pytest.fixture(scope="module")
def counting() -> Iterator[TapServer]:
    """The TAP server, which has a row for each spectrum."""
    with TapServer({"gaiadr3.xp_summary": Table({"source_id": np.array(WITH_SPECTRA, np.int64)})}) as server:
        yield server


@pytest.fixture
def servers(counting: TapServer) -> Iterator[tuple[TapServer, DataServer]]:
    counting.reset()
    rows = [made_row(star, without_bp=star == WITH_SPECTRA[1]) for star in WITH_SPECTRA]
    with DataServer(*as_lines(rows)) as data:
        yield counting, data


def fetch(
    servers: tuple[TapServer, DataServer], out: Path, stars: list[int] = STARS, **options: object
) -> FetchResult:
    tap, data = servers
    source = SpectraSource(TapService(tap.url, QUICK), stars, data.url)
    return fetch_tiles(
        out, star_tiles(stars), source, surveys=("gaia",), request=source.request, **{"tile_rows_max": 2000, **options}
    )  # fmt: skip


def same_spectra(path: Path, stars: list[int]) -> None:
    """Each star's coefficients and covariance are those of its row, as `redflower spectra` reads them."""
    found = {int(row["source_id"]): row for row in read_rows(path)}
    assert sorted(found) == sorted(stars)
    for star in stars:
        wanted = made_row(star, without_bp=star == WITH_SPECTRA[1])
        for photometer in ("bp", "rp"):
            got, right = (spectrum_of(row, photometer, "here") for row in (found[star], wanted))
            assert (got is None) == (right is None)
            if got is None or right is None:
                continue
            assert got.basis == right.basis
            assert np.array_equal(got.coefficients, right.coefficients)
            # Errors and correlations are the archive's single precision, 6e-8 each; three of them make a covariance.
            np.testing.assert_allclose(got.covariance, right.covariance, rtol=3e-7, atol=0)


def test_the_spectra_of_a_tables_stars_come_whole(servers, tmp_path) -> None:
    result = fetch(servers, tmp_path / "spectra.parquet")
    assert (result.rows, result.tiles, result.failed) == (len(WITH_SPECTRA), 2, {})
    same_spectra(tmp_path / "spectra.parquet", WITH_SPECTRA)
    assert {form["RELEASE"] for form in servers[1].asked} == {"Gaia DR3"}
    assert sorted(p.name for p in tmp_path.rglob("*")) == sorted(
        ["spectra.parquet", "spectra.parquet.tiles", "manifest.json", "tile-5-4000.parquet", "tile-5-9000.parquet"]
    )  # fmt: skip


@pytest.mark.parametrize("ending", ["fits", "ecsv", "vot"])
def test_other_formats_hold_the_same_spectra(servers, tmp_path, ending) -> None:
    fetch(servers, tmp_path / f"spectra.{ending}")
    same_spectra(tmp_path / f"spectra.{ending}", WITH_SPECTRA)


def test_a_tile_whose_stars_all_lack_bp_joins_the_others(servers, tmp_path) -> None:
    """The length of its BP arrays is that of RP."""
    stars = [WITH_SPECTRA[1], *STARS[5:7]]
    fetch(servers, tmp_path / "spectra.parquet", stars)
    same_spectra(tmp_path / "spectra.parquet", stars)


PASSING = [fault for fault in DataFault if fault is not DataFault.ONE_LESS]


@pytest.mark.parametrize("fault", PASSING, ids=lambda fault: fault.name)
def test_what_is_no_whole_answer_is_asked_for_again(servers, tmp_path, fault) -> None:
    servers[1].faults.append(fault)
    fetch(servers, tmp_path / "spectra.parquet", STARS[5:])
    same_spectra(tmp_path / "spectra.parquet", STARS[5:7])
    assert len(servers[1].asked) == 2


def test_spectra_left_out_without_a_word_split_the_tile_until_all_are_there(servers, tmp_path) -> None:
    servers[1].faults.append(DataFault.ONE_LESS)
    fetch(servers, tmp_path / "spectra.parquet", STARS[5:])
    same_spectra(tmp_path / "spectra.parquet", STARS[5:7])
    states = json.loads((tmp_path / "spectra.parquet.tiles" / "manifest.json").read_text())["tiles"]
    assert states["5-9000"]["state"] == "split"


def test_a_tile_that_fails_is_named_and_asked_for_alone_the_next_time(servers, tmp_path) -> None:
    servers[1].faults.extend([DataFault.HTTP_500] * QUICK.attempts)
    first = fetch(servers, tmp_path / "spectra.parquet")
    assert len(first.failed) == 1
    assert not (tmp_path / "spectra.parquet").exists()
    asked = len(servers[1].asked)
    fetch(servers, tmp_path / "spectra.parquet")
    assert len(servers[1].asked) == asked + 1
    same_spectra(tmp_path / "spectra.parquet", WITH_SPECTRA)
    (tmp_path / "spectra.parquet").unlink()
    with pytest.raises(InputError, match="another request .*sha256_of_stars"):
        fetch(servers, tmp_path / "spectra.parquet", STARS[:-1])


def test_stars_without_a_spectrum_are_said_and_identifiers_of_nothing_refused(servers, tmp_path) -> None:
    with pytest.raises(InputError, match="nobody; nothing is written"):
        fetch(servers, tmp_path / "spectra.parquet", [STARS[2]], none_there="nobody")
    assert not servers[1].asked, "what is counted as none is not asked for"
    for wrong in ([-3], [2**62 * 2 - 1], []):
        with pytest.raises(InputError, match="must be identifiers of Gaia"):
            star_tiles(wrong)
    with pytest.raises(InputError, match="Gaia DR4 serves its spectra is not known"):
        SpectraSource(TapService(servers[0].url, QUICK), STARS, servers[1].url, releases()["dr4"])


def test_the_server_of_these_tests_is_one_that_astroquery_understands(servers) -> None:
    """The protocol is held to a client that others wrote for the archive itself."""
    gaia = pytest.importorskip("astroquery.gaia", reason="astroquery is not installed (extra archive)")
    client = gaia.GaiaClass(
        gaia_tap_server=f"{servers[1].base}/",
        gaia_data_server=f"{servers[1].base}/",
        show_server_messages=False,
    )
    found = client.load_data(
        ids=STARS, data_release="Gaia DR3", data_structure="RAW", retrieval_type="XP_CONTINUOUS", format="csv"
    )
    assert list(found) == ["XP_CONTINUOUS_RAW.csv"]
    assert sorted(found["XP_CONTINUOUS_RAW.csv"][0]["source_id"]) == sorted(WITH_SPECTRA)
    theirs = dict(servers[1].asked[-1])
    ours = SpectraSource(TapService(servers[0].url, QUICK), STARS, servers[1].url).asked(np.array(STARS))
    assert theirs == ours


def run(capsys, monkeypatch, *arguments: object) -> tuple[int, str, str]:
    monkeypatch.setattr("sys.argv", ["redflower", *map(str, arguments)])
    with pytest.raises(SystemExit) as stopped:
        main()
    captured = capsys.readouterr()
    return int(stopped.value.code or 0), captured.out, " ".join(captured.err.split())


def test_the_command_fetches_real_spectra_and_spectra_makes_the_same_bands(
    shared_data, tmp_path, capsys, monkeypatch
) -> None:
    pytest.importorskip("gaiaxpy", reason="GaiaXPy is not installed (extra spectra)")
    path = shared_data / "xp" / "XP_CONTINUOUS_RAW_with_missing_BP.csv"
    if not path.is_file():
        pytest.skip("the shared data have no folder xp")
    header, *lines = path.read_text().splitlines()
    rows = {int(line.split(",")[0]): line for line in lines}
    stars = Table({"source_id": np.array([*rows, 1 << 40], np.int64)})
    write_table(stars, tmp_path / "stars.parquet")
    summary = Table({"source_id": np.array(list(rows), np.int64)})
    with TapServer({"gaiadr3.xp_summary": summary}) as tap, DataServer(header, rows) as data:
        to = ("--tap", tap.url, "--data-server", data.url, "--attempts", 2)
        asking = ("fetch", tmp_path / "spectra.parquet", "--spectra-of", tmp_path / "stars.parquet", *to)
        code, out, err = run(capsys, monkeypatch, *asking, "--dry-run")
        assert code == 0, err
        assert "FROM gaiadr3.xp_summary AS x" in out
        assert "RETRIEVAL_TYPE=XP_CONTINUOUS" in out
        assert not data.asked
        code, _, err = run(capsys, monkeypatch, *asking)
        assert code == 0, err
        assert f"{len(rows)} spectra of" in err
        code, _, err = run(
            capsys, monkeypatch, *asking[:1], tmp_path / "again.parquet", *asking[2:], "--g-faint", 15
        )
        assert code == 2
        assert "--g-faint is not for --spectra-of" in err
    meta = read_table(tmp_path / "spectra.parquet").meta["redflower"]
    assert (meta["stage"], meta["gaia_release"]) == ("fetched-spectra", "dr3")
    bands = []
    for source in (path, tmp_path / "spectra.parquet"):
        out_path = tmp_path / f"{source.stem}-bands.parquet"
        code, _, err = run(capsys, monkeypatch, "spectra", source, out_path)
        assert code == 0, err
        table = read_table(out_path)
        bands.append(table[np.argsort(np.asarray(table["source_id"]))])
    theirs, ours = bands
    assert np.array_equal(ours["source_id"], theirs["source_id"])
    for name in theirs.colnames[1:]:
        # Coefficients are kept in double precision; errors and correlations in its single precision, and 3,000 of them sum up.
        np.testing.assert_allclose(
            np.ma.filled(ours[name], np.nan), np.ma.filled(theirs[name], np.nan), rtol=1e-5, atol=1e-9, err_msg=name
        )  # fmt: skip


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (Table({"star": [1]}), "needs whole numbers in the column source_id"),
        (Table({"source_id": [1.0]}), "needs whole numbers in the column source_id"),
        (Table({"source_id": [1]}, meta={"redflower": {"gaia_release": "dr4"}}), "those of the release dr4"),
    ],
)
def test_a_table_without_identifiers_of_the_release_is_refused(
    tmp_path, capsys, monkeypatch, table, message
) -> None:
    write_table(table, tmp_path / "stars.parquet")
    code, _, err = run(
        capsys, monkeypatch, "fetch", tmp_path / "spectra.parquet", "--spectra-of", tmp_path / "stars.parquet",
        "--tap", "http://127.0.0.1:9/tap",
    )  # fmt: skip
    assert code == 2
    assert message in err
    code, _, err = run(
        capsys, monkeypatch, "fetch", tmp_path / "spectra.csv", "--spectra-of", tmp_path / "stars.parquet"
    )
    assert code == 2
    assert "CSV cannot hold columns of arrays" in err


def test_the_count_names_every_star_once() -> None:
    query = count_spectra_query([12, 7], releases()["dr3"])
    assert query == "SELECT COUNT(*) AS n FROM gaiadr3.xp_summary AS x\nWHERE x.source_id IN (12, 7)"
