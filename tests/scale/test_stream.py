"""Inference of a file in parts: the same rows as in one piece, after a stop, and with a part that fails."""

import os
from pathlib import Path

import numpy as np
import pytest
from astropy.io.votable import parse_single_table

import redflower
from redflower.api import posterior_rows as api
from redflower.api.parts import rows_per_part
from redflower.api.processes import FAST_MS, NUTS_MS, WORKER_BYTES, worker_count
from redflower.bands import BANDS
from redflower.catalogue import QualityLimits
from redflower.errors import InputError, WorkerError
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
    assert not report.failures
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


def test_parts_of_an_earlier_version_are_refused_before_any_work(
    prepared: Path, tmp_path, monkeypatch
) -> None:
    """What an earlier version left: parts without checksums, and a manifest that is the request alone."""
    monkeypatch.setattr(api, "posterior_table", lambda *_, **__: pytest.fail("a part was inferred"))
    folder = tmp_path / "out.parquet.parts"
    folder.mkdir()
    (folder / "manifest.json").write_text('{"input": "stars.parquet", "model": "mock-sky"}')
    (folder / "part-000000.parquet").write_bytes(b"x")
    with pytest.raises(InputError, match="an earlier version of redflower, which kept no checksums"):
        run(prepared, tmp_path / "out.parquet", resume=True)
    with pytest.raises(InputError, match="holds the parts of an unfinished run"):
        run(prepared, tmp_path / "out.parquet")


def breaking(monkeypatch, bad, error=FloatingPointError("the sampler broke")) -> list[int]:
    """Let inference raise an error wherever one of some stars is in the table; return the sizes of what was inferred."""
    original, sizes = api.posterior_table, []

    def table(stars, *arguments, **options):
        hidden = all(np.isnan(np.asarray(stars[band.name], dtype=float)).all() for band in BANDS)
        if not hidden:
            sizes.append(len(stars))
            if set(np.asarray(stars["source_id"]).tolist()) & set(bad):
                raise error
        return original(stars, *arguments, **options)

    monkeypatch.setattr(api, "posterior_table", table)
    return sizes


def test_a_star_that_breaks_a_sampler_is_named_and_all_others_are_done(
    prepared: Path, tmp_path: Path, monkeypatch
) -> None:
    ids = np.asarray(redflower.read_table(prepared)["source_id"]).tolist()
    with monkeypatch.context() as broken:
        sizes = breaking(broken, [ids[13]])
        report = run(prepared, tmp_path / "out.parquet")
        # The part of ten, its halves, and the halves of what breaks down to the one star.
        assert sizes == [10, 10, 5, 2, 3, 1, 2, 1, 1, 5, 5]
    (failure,) = report.failures
    assert failure.part == 1
    assert failure.source_id == (ids[13],)
    assert failure.message == "FloatingPointError: the sampler broke"
    table = redflower.read_table(tmp_path / "out.parquet")
    assert list(table["source_id"]) == ids
    failed = np.asarray(table["status"]).astype(str) == "failed"
    assert np.flatnonzero(failed).tolist() == [13]
    assert np.isnan(np.asarray(table["ebv_mean"], dtype=float)).tolist() == failed.tolist()
    with pytest.raises(InputError, match="exists already"):
        run(prepared, tmp_path / "out.parquet")
    # Its part, and none that is finished, is done again.
    sizes = breaking(monkeypatch, [])
    assert not run(prepared, tmp_path / "out.parquet", resume=True).failures
    assert sizes == [10]
    assert not (tmp_path / "out.parquet.parts").exists()
    run(prepared, tmp_path / "straight.parquet")
    mended, straight = (redflower.read_table(tmp_path / f"{name}.parquet") for name in ("out", "straight"))
    for name in straight.colnames:
        np.testing.assert_array_equal(np.asarray(mended[name]), np.asarray(straight[name]))


def test_where_every_star_fails_the_cause_is_said_and_not_sought_star_by_star(
    prepared: Path, tmp_path: Path, monkeypatch
) -> None:
    ids = np.asarray(redflower.read_table(prepared)["source_id"]).tolist()
    sizes = breaking(monkeypatch, ids[10:20], MemoryError("no room"))
    report = run(prepared, tmp_path / "out.parquet")
    assert {failure.message for failure in report.failures} == {"MemoryError: no room"}
    assert sorted(one for failure in report.failures for one in failure.source_id) == sorted(ids[10:20])
    assert len(sizes) < 15
    assert report.statuses["failed"] == 10


def test_a_part_that_is_damaged_on_the_disk_is_done_again(
    prepared: Path, tmp_path: Path, monkeypatch
) -> None:
    """A byte of one part and all of another are lost while the run is stopped."""
    original, calls = api.posterior_table, []

    def stop_at_third(*arguments, **options):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return original(*arguments, **options)

    out, folder = tmp_path / "out.parquet", tmp_path / "out.parquet.parts"
    with monkeypatch.context() as stopped:
        stopped.setattr(api, "posterior_table", stop_at_third)
        with pytest.raises(KeyboardInterrupt):
            run(prepared, out)
    content = bytearray((folder / "part-000000.parquet").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "part-000000.parquet").write_bytes(bytes(content))
    (folder / ".part-000002.1.part.parquet").write_bytes(b"half")
    (folder / "done-000001.json").write_text('{"number": 1}')
    sizes = breaking(monkeypatch, [])
    run(prepared, out, resume=True)
    assert sizes == [10, 10, 5]
    assert list(redflower.read_table(out)["source_id"]) == list(redflower.read_table(prepared)["source_id"])


def test_two_runs_cannot_write_one_output(prepared: Path, tmp_path: Path, monkeypatch) -> None:
    original, seen = api.posterior_table, []

    def second_run(*arguments, **options):
        monkeypatch.setattr(api, "posterior_table", original)
        for resume in (False, True):
            with pytest.raises(InputError, match="another run is writing this now .process"):
                run(prepared, tmp_path / "out.parquet", resume=resume)
            seen.append(resume)
        return original(*arguments, **options)

    monkeypatch.setattr(api, "posterior_table", second_run)
    assert run(prepared, tmp_path / "out.parquet").n_stars == 25
    assert seen == [False, True]


def test_parts_that_the_file_system_loses_after_all_are_done_again(
    prepared: Path, tmp_path: Path, monkeypatch
) -> None:
    """The first part is there when it is written, and gone at the end."""
    original, sizes = api.posterior_table, []

    def lose_first(stars, *arguments, **options):
        sizes.append(len(stars))
        if len(sizes) == 3:
            (tmp_path / "out.parquet.parts" / "part-000000.parquet").unlink()
        return original(stars, *arguments, **options)

    monkeypatch.setattr(api, "posterior_table", lose_first)
    assert run(prepared, tmp_path / "out.parquet").n_stars == 25
    assert sizes == [10, 10, 5, 10]
    assert len(redflower.read_table(tmp_path / "out.parquet")) == 25


def test_a_rename_that_does_not_appear_is_one_error_and_takes_nothing_for_whole(
    prepared: Path, tmp_path: Path, monkeypatch
) -> None:
    real = os.replace
    with monkeypatch.context() as lossy:
        lossy.setattr(
            "redflower.files.os.replace",
            lambda a, b: os.unlink(a) if "part-000001" in str(b) else real(a, b),
        )
        with pytest.raises(WorkerError, match="part 1 cannot be kept.*the file system has lost it"):
            run(prepared, tmp_path / "out.parquet")
    assert not (tmp_path / "out.parquet").exists()
    sizes = breaking(monkeypatch, [])
    assert run(prepared, tmp_path / "out.parquet", resume=True).n_stars == 25
    assert sizes == [10, 5]


def test_the_division_depends_on_the_stars_alone() -> None:
    """Parts fill batches, are not too many to end together, and not too large for memory."""
    assert [rows_per_part(n) for n in (10, 60_000, 70_000, 10**6, 10**9, None)] == [
        1024, 1024, 1152, 15_744, 20_480, 20_480,
    ]  # fmt: skip


def test_workers_are_started_where_they_pay(monkeypatch) -> None:
    monkeypatch.setattr("redflower.api.processes.cores", lambda: 4)
    monkeypatch.setattr("redflower.api.processes.available_bytes", lambda: 10 * WORKER_BYTES)
    assert [worker_count(None, n, FAST_MS) for n in (20, 4_000, 8_000, 12_000, 10**6)] == [1, 1, 2, 3, 4]
    assert worker_count(None, 160, NUTS_MS) == 2
    assert worker_count(3, 20, FAST_MS) == 3
    monkeypatch.setattr("redflower.api.processes.available_bytes", lambda: 2.5 * WORKER_BYTES)
    assert worker_count(None, 10**6, FAST_MS) == 2
    for wrong in (0, -1, 1.5, True):
        with pytest.raises(InputError, match="at least 1"):
            worker_count(wrong, 20, FAST_MS)
    monkeypatch.setattr("redflower.api.processes.compute_platform", lambda: "gpu")
    assert worker_count(None, 10**6, FAST_MS) == 1
    with pytest.raises(InputError, match="JAX computes on a GPU"):
        worker_count(2, 10**6, FAST_MS)


def test_a_table_without_the_bands_leaves_nothing_behind(prepared: Path, tmp_path: Path) -> None:
    table = redflower.read_table(prepared)
    for band in BANDS[2:]:
        table[band.name] = np.nan
    redflower.write_table(table, tmp_path / "bare.parquet")
    with pytest.raises(InputError, match="needs at least 3 of gaia_g"):
        run(tmp_path / "bare.parquet", tmp_path / "out.parquet")
    assert [p.name for p in tmp_path.iterdir()] == ["bare.parquet"]
