"""Ctrl-C, sent to real processes: each command says what is kept and how to go on, and goes on from it."""

import re
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from astropy.table import vstack

import redflower
from redflower.api.kept import KeptPieces
from redflower.errors import InputError
from redflower.products.skymap import read_sky_map

from ..helpers.made_archive import made_archive
from ..helpers.sightlines import posterior_table
from ..helpers.tap_server import TapServer

slow = pytest.mark.slow
#: A shell has background jobs ignore Ctrl-C, and lines of progress come every ten seconds: the tests want neither.
SCRIPT = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
import redflower.progress
redflower.progress.LINE_EVERY_S = 0.0
from redflower.cli.app import main
main()
"""
EXIT_STOPPED = 130


def start(folder: Path, *arguments: object) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, *map(str, arguments)],
        cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip


def stopped_at(folder: Path, pattern: str, *arguments: object) -> str:
    """Start a command, send Ctrl-C when it says what fits a pattern, and return all that it says after."""
    process = start(folder, *arguments)
    watch = threading.Timer(300, process.kill)
    watch.start()
    try:
        before = []
        for line in process.stderr:
            before.append(line)
            if re.search(pattern, line):
                break
        else:
            pytest.fail(f"never said {pattern!r}: {''.join(before)[-2000:]}")
        process.send_signal(2)
        after = process.stderr.read()
        assert process.wait() == EXIT_STOPPED, after
    finally:
        watch.cancel()
    assert "Traceback" not in after
    assert after.count("stopped;") == 1
    return after


def finished(folder: Path, *arguments: object) -> str:
    process = start(folder, *arguments)
    said = process.stderr.read()
    assert process.wait() == 0, said
    return said


@pytest.fixture(scope="module")
def three_pixels():
    """Posteriors of stars in three places."""
    parts = [posterior_table(40, [(350.0, 0.2)], seed=n) for n in range(3)]
    for n, part in enumerate(parts):
        part["l"] += 20.0 * n
    table = vstack(parts, metadata_conflicts="silent")
    table["source_id"] = np.arange(len(table)) + 10**15
    table.meta = dict(parts[0].meta)
    return table


@pytest.fixture(scope="module")
def dust_free(tmp_path_factory):
    sky = redflower.simulate(700, seed=3, preset="high-latitude", g_faint_mag=18.0)
    table = redflower.prepare(sky, purpose="training").table
    return redflower.write_table(table, tmp_path_factory.mktemp("stops") / "dust-free.parquet")


MAP = ("post.parquet", "map.fits", "--nside", 8, "--distances", "300,1000", "--max-clouds", 1, "--workers", 1)


@slow
def test_a_stopped_map_keeps_its_pixels_and_goes_on_to_the_same_map(three_pixels, tmp_path) -> None:
    redflower.write_table(three_pixels, tmp_path / "post.parquet")
    said = stopped_at(tmp_path, r"pixels: 1 of 3", "map", *MAP)
    assert re.search(
        r"stopped; [12] pixels are kept in map.fits.parts. Go on: the same command with --resume", said
    )
    assert not (tmp_path / "map.fits").exists()
    said = start(tmp_path, "map", *MAP).stderr.read()
    assert "holds the finished work of a stopped run" in said
    said = finished(tmp_path, "map", *MAP, "--resume")
    assert re.search(r"(one|2) pixels? to fit", said)
    assert "pixels: 3 of 3" in said
    assert not (tmp_path / "map.fits.parts").exists()
    finished(tmp_path, "map", MAP[0], "straight.fits", *MAP[2:])
    for name in ("pixel", "ebv_mag", "ebv_std_mag", "n_stars"):
        one, other = (getattr(read_sky_map(tmp_path / f), name) for f in ("map.fits", "straight.fits"))
        np.testing.assert_array_equal(one, other)


@slow
def test_a_stopped_validation_keeps_its_posteriors(dust_free, tmp_path) -> None:
    arguments = (
        "validate",
        dust_free,
        "out",
        "--model",
        "mock-sky",
        "--stars",
        60,
        "--simulations",
        1100,
        "--workers",
        1,
    )
    said = stopped_at(tmp_path, r"simulated stars: \d+ of 1,100", *arguments)
    assert re.search(r"stopped; [1-9]\d* pieces of a thousand stars are kept in out.parts", said)
    said = finished(tmp_path, *arguments, "--resume")
    assert "posteriors: 37" not in said.replace("posteriors: 370 of 370", ""), "they are not inferred again"
    assert (tmp_path / "out" / "report.html").is_file()
    assert not (tmp_path / "out.parts").exists()


@slow
def test_a_stopped_training_keeps_its_epochs(dust_free, tmp_path) -> None:
    config = tmp_path / "config.toml"
    config.write_text(
        "[flow]\ndepth = 1\nblock_dim = 2\n[[stages]]\nn_draws = 2\nbatch_size = 128\nmax_epochs = 400\n[emulator]\nn_steps = 0\n"
    )
    arguments = ("train", dust_free, "small", "--config", config, "--bands", "gaia")
    said = stopped_at(tmp_path, r"epoch 3:", *arguments)
    assert "finished epochs are kept in small.checkpoint. Go on: the same command with --resume." in said
    process = start(tmp_path, *arguments, "--resume")
    for line in process.stderr:
        if "epoch" in line:
            break
    process.kill()
    assert int(re.search(r"epoch (\d+)", line)[1]) > 3, "it goes on where it was stopped"


@slow
def test_a_stopped_training_without_an_epoch_blocks_no_other(dust_free, tmp_path) -> None:
    said = stopped_at(tmp_path, "timing some steps", "train", dust_free, "small", "--preset", "quick")
    assert "no epoch was finished, and nothing is written. Begin again with the same command." in said
    assert not list(tmp_path.glob("small*"))


@slow
def test_a_stopped_download_keeps_its_tiles(tmp_path) -> None:
    with TapServer(made_archive().tables) as server:
        arguments = ("fetch", "out.parquet", "--region", "cone:104.08,22.31,0.2", "--tap", server.url)
        said = stopped_at(tmp_path, r"tiles fetched: 1 of", *arguments)
        assert re.search(
            r"stopped; [1-9]\d* tiles with [\d,]+ stars are kept in out.parquet.tiles. Go on: the same command",
            said,
        )
        finished(tmp_path, *arguments)
    assert (tmp_path / "out.parquet").is_file()


@slow
@pytest.mark.parametrize(
    ("verb", "pattern", "more"),
    [("sightline", "models fitted: 1 of", ()), ("field", "draws: ", ("--draws", 50))],
)
def test_a_stopped_fit_leaves_nothing_behind(three_pixels, tmp_path, verb, pattern, more) -> None:
    redflower.write_table(three_pixels[:40], tmp_path / "post.parquet")
    out = "out.fits" if verb == "field" else "out"
    said = stopped_at(tmp_path, pattern, verb, "post.parquet", out, *more)
    assert "stopped; nothing is written. Begin again with the same command." in said
    assert [path.name for path in tmp_path.iterdir()] == ["post.parquet"]


@slow
def test_a_stopped_run_goes_on_with_its_map(three_pixels, tmp_path) -> None:
    redflower.write_table(
        redflower.simulate(300, seed=5, preset="two-cloud", g_faint_mag=18.0), tmp_path / "sky.parquet"
    )
    said = stopped_at(tmp_path, r"redflower map", "run", "sky.parquet", "out", "--map")
    assert "the posteriors of all stars are kept in out. Go on: the same command with --resume." in said
    finished(tmp_path, "run", "sky.parquet", "out", "--map", "--resume")
    assert (tmp_path / "out" / "sky.fits").is_file()


@slow
def test_what_keeps_nothing_says_so(tmp_path) -> None:
    redflower.write_table(
        redflower.simulate(3000, seed=5, preset="two-cloud", g_faint_mag=18.0), tmp_path / "sky.parquet"
    )
    process = start(tmp_path, "--verbose", "prepare", "sky.parquet", "stars.parquet", "--for", "inference")
    process.stderr.readline()
    process.send_signal(2)
    said = process.stderr.read()
    if process.wait() != 0:  # else it was through already
        assert "stopped; nothing is written. Begin again with the same command." in said


def interrupted(folder: Path, request: dict, piece: dict | None) -> KeptPieces:
    """Keep a piece, if there is one, of work that Ctrl-C then stops."""
    kept = KeptPieces(folder, "map", resume=False)
    with suppress(KeyboardInterrupt), kept:
        kept.begin("map", request)
        if piece is not None:
            kept.put("map", 3, piece)
        raise KeyboardInterrupt
    return kept


def test_pieces_of_another_request_are_refused_and_damaged_ones_done_again(tmp_path, capsys) -> None:
    folder = tmp_path / "map.fits.parts"
    piece = {"mean": np.arange(3.0), "word": np.array("ok")}
    kept = interrupted(folder, {"nside": 8}, piece)
    assert kept.n_kept == 1
    with pytest.raises(InputError, match="Go on with it by --resume"):
        KeptPieces(folder, "map", resume=False)
    again = KeptPieces(folder, "map", resume=True)
    with pytest.raises(InputError, match="differs from what is asked now in nside"):
        again.begin("map", {"nside": 16})
    again.begin("map", {"nside": 8})
    np.testing.assert_array_equal(again.get("map", 3, piece)["mean"], np.arange(3.0))
    assert str(again.get("map", 3, piece)["word"]) == "ok"
    assert again.get("map", 4, piece) is None
    assert again.get("map", 3, {"mean": np.arange(4.0), "word": np.array("ok")}) is None
    assert "piece 3, is damaged; it is done again" in " ".join(capsys.readouterr().err.split())
    (block,) = folder.glob("block-*.npz")
    block.write_bytes(block.read_bytes()[:-40])
    assert KeptPieces(folder, "map", resume=True).get("map", 3, piece) is None
    assert "is damaged; what it held is done again" in " ".join(capsys.readouterr().err.split())
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "precious.txt").write_text("")
    with pytest.raises(InputError, match="holds other files"):
        KeptPieces(tmp_path / "mine", "map", resume=True)


def test_nothing_is_left_of_work_that_was_stopped_before_its_first_piece(tmp_path) -> None:
    interrupted(tmp_path / "parts", {}, None)
    assert list(tmp_path.iterdir()) == []
