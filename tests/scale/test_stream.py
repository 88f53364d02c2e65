"""Inference of a file in parts: the same rows as in one piece, after a stop, and with a part that fails."""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from astropy.io.votable import parse_single_table

import redflower
from redflower.api import inference as api
from redflower.bands import BANDS
from redflower.catalogue import QualityLimits
from redflower.errors import InputError
from redflower.posterior import FastSettings, InferenceSettings
from redflower.scale import infer_file

#: Nothing that leaves its first step.
SETTINGS = InferenceSettings(fast=FastSettings.first_step_only())


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Path:
    """25 prepared stars in a Parquet file."""
    sky = redflower.simulate(25, seed=3, preset="two-cloud", g_faint_mag=18.5)
    table = redflower.prepare(sky, purpose="inference", limits=QualityLimits(13.5, 18.5)).table
    return redflower.write_table(table, tmp_path_factory.mktemp("stream") / "stars.parquet")


@pytest.fixture(scope="module")
def kept(tmp_path_factory) -> Path:
    """25 prepared stars with a column of the user's and one that redflower knows, both told to be kept."""
    sky = redflower.simulate(25, seed=3, preset="two-cloud", g_faint_mag=18.5)
    sky["membership"] = np.linspace(0, 1, 25)
    limits = QualityLimits(13.5, 18.5)
    table = redflower.prepare(
        sky, purpose="inference", limits=limits, keep=("membership", "phot_g_n_obs")
    ).table
    return redflower.write_table(table, tmp_path_factory.mktemp("kept") / "stars.parquet")


def run(stars: Path, out: Path, **options):
    return infer_file(stars, out, "mock-sky", settings=SETTINGS, part_rows=10, **options)


def test_parts_give_the_rows_of_the_whole(prepared: Path, tmp_path: Path) -> None:
    seen = []
    report = run(prepared, tmp_path / "out.parquet", progress=lambda done, total: seen.append((done, total)))
    assert report.n_stars == 25
    assert not report.failed_parts
    assert seen[-1] == (25, 25)
    parts = redflower.read_table(tmp_path / "out.parquet")
    whole = redflower.infer(redflower.read_table(prepared), "mock-sky", settings=SETTINGS)
    assert list(parts["source_id"]) == list(whole["source_id"])
    for name in ("ebv_mean", "distance_std", "log_evidence"):
        np.testing.assert_array_equal(np.asarray(parts[name]), np.asarray(whole[name]))
    assert parts["ebv_mean"].unit == "mag"
    assert parts.meta["redflower"]["stage"] == "posteriors"
    assert not (tmp_path / "out.parquet.parts").exists()
    run(prepared, tmp_path / "out.fits")
    assert len(redflower.read_table(tmp_path / "out.fits")) == 25


def test_a_stopped_run_goes_on_where_it_was(prepared: Path, tmp_path: Path, monkeypatch) -> None:
    """Stopped in its second part: nothing at the output's place, the first part kept and not done again."""
    original, calls = api.posterior_table, []

    def stop_at_second(*arguments, **options):
        calls.append(len(arguments[0]))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return original(*arguments, **options)

    monkeypatch.setattr(api, "posterior_table", stop_at_second)
    out = tmp_path / "out.parquet"
    with pytest.raises(KeyboardInterrupt):
        run(prepared, out)
    assert not out.exists()
    assert [p.name for p in (tmp_path / "out.parquet.parts").glob("part*")] == ["part-000000.parquet"]
    monkeypatch.setattr(api, "posterior_table", original)
    with pytest.raises(InputError, match="--resume"):
        run(prepared, out)
    with pytest.raises(InputError, match="another input, model or setting"):
        infer_file(prepared, out, "mock-sky", settings=SETTINGS, part_rows=5, resume=True)
    resumed = []

    def count(*arguments, **options):
        resumed.append(len(arguments[0]))
        return original(*arguments, **options)

    monkeypatch.setattr(api, "posterior_table", count)
    run(prepared, out, resume=True)
    assert resumed == [10, 5]
    run(prepared, tmp_path / "straight.parquet")
    a, b = (redflower.read_table(p) for p in (out, tmp_path / "straight.parquet"))
    np.testing.assert_array_equal(np.asarray(a["ebv_mean"]), np.asarray(b["ebv_mean"]))


@pytest.mark.parametrize("ending", ["parquet", "vot"])
def test_positions_and_kept_columns_come_through(tmp_path: Path, kept: Path, ending: str) -> None:
    out, stars = tmp_path / f"out.{ending}", redflower.read_table(kept)
    run(kept, out, keep=("gaia_g",))
    found = redflower.read_table(out)
    for name in ("source_id", "ra", "dec", "l", "b", "gaia_g", "membership", "phot_g_n_obs"):
        np.testing.assert_array_equal(np.asarray(found[name]), np.asarray(stars[name]))
    assert found["ebv_mean"].info.format == ".4f"
    # Shown with few digits, written with all.
    straight = redflower.infer(stars, "mock-sky", settings=SETTINGS)
    np.testing.assert_array_equal(np.asarray(found["ebv_mean"]), np.asarray(straight["ebv_mean"]))
    if ending == "vot":
        fields = {field.name: field.ucd for field in parse_single_table(out).fields}
        assert fields["ebv_mean"] == "phot.color.excess;stat.mean"
        assert fields["ra"] == "pos.eq.ra;meta.main"


def test_a_column_to_keep_that_is_not_there_is_one_message(kept: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="keep names 'nothing', which the prepared table lacks"):
        run(kept, tmp_path / "out.parquet", keep=("nothing",))
    assert not (tmp_path / "out.parquet.parts").exists()


def test_parts_of_before_the_verdict_are_refused_before_any_work(
    prepared: Path, tmp_path, monkeypatch
) -> None:
    """What an earlier version left: a part without the sums that the verdict is of."""
    original, calls = api.posterior_table, []

    def as_before(*arguments, **options):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        table = original(*arguments, **options)
        for name in ("fit", "verdict"):
            del table.meta["redflower"][name]
        return table

    monkeypatch.setattr(api, "posterior_table", as_before)
    with pytest.raises(KeyboardInterrupt):
        run(prepared, tmp_path / "out.parquet")
    with pytest.raises(InputError, match="an earlier version that did not keep how well the stars fit"):
        run(prepared, tmp_path / "out.parquet", resume=True)
    assert len(calls) == 2


def test_a_part_that_fails_is_named_and_the_rest_is_done(prepared: Path, tmp_path: Path, monkeypatch) -> None:
    original, calls = api.posterior_table, []

    def fail_once(*arguments, **options):
        calls.append(1)
        if len(calls) == 2:
            raise MemoryError("no room")
        return original(*arguments, **options)

    monkeypatch.setattr(api, "posterior_table", fail_once)
    report = run(prepared, tmp_path / "out.parquet")
    assert report.failed_parts == ((1, "MemoryError: no room"),)
    table = redflower.read_table(tmp_path / "out.parquet")
    status = np.asarray(table["status"]).astype(str)
    assert (status[10:20] == "failed").all()
    assert np.isnan(np.asarray(table["ebv_mean"], dtype=float)[10:20]).all()
    assert np.isfinite(np.asarray(table["ebv_mean"], dtype=float)[:10]).all()
    assert (
        np.asarray(table["source_id"])[10:20]
        == np.asarray(redflower.read_table(prepared)["source_id"])[10:20]
    ).all()


def test_a_table_without_the_bands_leaves_nothing_behind(prepared: Path, tmp_path: Path) -> None:
    table = redflower.read_table(prepared)
    for band in BANDS[2:]:
        table[band.name] = np.nan
    redflower.write_table(table, tmp_path / "bare.parquet")
    with pytest.raises(InputError, match="needs at least 3 of gaia_g"):
        run(tmp_path / "bare.parquet", tmp_path / "out.parquet")
    assert [p.name for p in tmp_path.iterdir()] == ["bare.parquet"]


@pytest.mark.slow
def test_a_killed_command_goes_on_where_it_was(prepared: Path, tmp_path: Path) -> None:
    """SIGKILL after the first part; then the same command with --resume gives what an undisturbed one gives."""

    def command(out: Path, *more: str) -> list[str]:
        return [
            sys.executable, "-c", "from redflower.cli.app import main; main()", "infer", str(prepared), str(out),
            "--model", "mock-sky", "--part-rows", "5", "--no-hand-on", *more,
        ]  # fmt: skip

    out = tmp_path / "out.parquet"
    process = subprocess.Popen(command(out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    first = tmp_path / "out.parquet.parts" / "part-000000.parquet"
    for _ in range(6000):
        if first.exists() or process.poll() is not None:
            break
        time.sleep(0.05)
    process.kill()
    process.wait()
    assert first.exists()
    assert not out.exists()
    written = first.stat().st_mtime_ns
    # Whatever the kill left half-written has another name than a part's.
    subprocess.run(command(out, "--resume"), check=True, capture_output=True)
    straight = tmp_path / "straight.parquet"
    subprocess.run(command(straight), check=True, capture_output=True)
    assert written < out.stat().st_mtime_ns
    assert not first.exists()
    a, b = (redflower.read_table(path) for path in (out, straight))
    assert len(a) == 25
    for name in ("source_id", "ebv_mean", "distance_q50", "log_evidence"):
        np.testing.assert_array_equal(np.asarray(a[name]), np.asarray(b[name]))
