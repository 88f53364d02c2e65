"""Faults of a run, done to real processes: killed workers and parents, full disks, no memory, two runs at once."""

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table

import redflower
from redflower.catalogue import QualityLimits

pytestmark = pytest.mark.slow

#: The smallest parts: nine of them.
PART_ROWS = 5
N_STARS = 45
#: A shell has background jobs ignore Ctrl-C, which the tests do not want.
SCRIPT = """
import resource, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from redflower.cli.app import main
"""


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Path:
    sky = redflower.simulate(N_STARS, seed=3, preset="two-cloud", g_faint_mag=18.5)
    table = redflower.prepare(sky, purpose="inference", limits=QualityLimits(13.5, 18.5)).table
    return redflower.write_table(table, tmp_path_factory.mktemp("faults") / "stars.parquet")


@pytest.fixture(scope="module")
def straight(prepared: Path) -> Table:
    """What an undisturbed run of one process gives."""
    out = prepared.parent / "straight.parquet"
    finish(command(prepared, out, workers=1))
    return redflower.read_table(out)


def command(
    stars: Path,
    out: Path,
    *more: str,
    workers: int = 2,
    first: str = "",
    rows: int = PART_ROWS,
    env: dict[str, str] | None = None,
) -> "subprocess.Popen[str]":
    """Start `redflower infer`, in a process group of its own; do something else in it first."""
    arguments = ["--model", "mock-sky", "--part-rows", str(rows), "--workers", str(workers), *more]
    return subprocess.Popen(
        [sys.executable, "-c", f"{SCRIPT}{first}\nmain()", "infer", str(stars), str(out), *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=env,
    )


def finish(process: "subprocess.Popen[str]") -> None:
    """Wait for a run that is to write its table: exit code 1 says that a star of it cannot be inferred."""
    code = process.wait()
    assert code in (0, 1), process.stderr.read()


def wait_for_parts(folder: Path, n: int, process: "subprocess.Popen[str]") -> None:
    until = time.monotonic() + 300
    while len(list(folder.glob("done-*.json"))) < n:
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < until
        time.sleep(0.02)


def children(process_id: int) -> list[int]:
    """The processes that one has started."""
    return [int(n) for n in Path(f"/proc/{process_id}/task/{process_id}/children").read_text().split()]


def check_same(out: Path, straight: Table) -> None:
    """Every star once, in its order, with the same numbers to the last bit; and nothing left behind."""
    found = redflower.read_table(out)
    assert found.colnames == straight.colnames
    for name in straight.colnames:
        np.testing.assert_array_equal(np.asarray(found[name]), np.asarray(straight[name]))
    assert not out.with_name(f"{out.name}.parts").exists()


def test_rows_do_not_depend_on_the_number_of_workers(prepared: Path, straight: Table, tmp_path: Path) -> None:
    for workers in (2, 3):
        finish(command(prepared, tmp_path / f"{workers}.parquet", workers=workers))
        check_same(tmp_path / f"{workers}.parquet", straight)


def test_killing_a_worker_loses_nothing(prepared: Path, straight: Table, tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    process = command(prepared, out)
    wait_for_parts(tmp_path / "out.parquet.parts", 1, process)
    os.kill(children(process.pid)[0], signal.SIGKILL)
    finish(process)
    check_same(out, straight)


@pytest.mark.parametrize("workers", [1, 2])
def test_killing_the_parent_loses_what_was_not_finished_alone(
    prepared: Path, straight: Table, tmp_path: Path, workers: int
) -> None:
    out, folder = tmp_path / "out.parquet", tmp_path / "out.parquet.parts"
    process = command(prepared, out, workers=workers)
    wait_for_parts(folder, 2, process)
    started = children(process.pid)
    process.kill()
    process.wait()
    until = time.monotonic() + 20
    while any(Path(f"/proc/{one}").exists() for one in started) and time.monotonic() < until:
        time.sleep(0.05)
    assert not any(Path(f"/proc/{one}").exists() for one in started)
    assert not out.exists()
    finished = {path: path.stat().st_mtime_ns for path in folder.glob("done-*.json")}
    assert len(finished) >= 2
    process = command(prepared, out, "--resume", workers=workers)
    wait_for_parts(folder, len(finished) + 1, process)
    assert {path: path.stat().st_mtime_ns for path in finished} == finished, "a finished part was done again"
    finish(process)
    check_same(out, straight)


def test_ctrl_c_ends_all_and_says_how_to_go_on(prepared: Path, straight: Table, tmp_path: Path) -> None:
    out, folder = tmp_path / "out.parquet", tmp_path / "out.parquet.parts"
    process = command(prepared, out)
    wait_for_parts(folder, 1, process)
    started = children(process.pid)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    assert process.wait() == 130
    assert not any(Path(f"/proc/{one}").exists() for one in started)
    said = " ".join(process.stderr.read().split())
    assert re.search(r"stopped; \d+ stars are kept in .*the same command with --resume", said)
    assert "Traceback" not in said
    finish(command(prepared, out, "--resume"))
    check_same(out, straight)


def test_two_runs_at_once_are_refused_and_the_first_goes_on(
    prepared: Path, straight: Table, tmp_path: Path
) -> None:
    out = tmp_path / "out.parquet"
    first = command(prepared, out)
    wait_for_parts(tmp_path / "out.parquet.parts", 1, first)
    first.send_signal(signal.SIGSTOP)  # so that it is not done before the others have tried
    for more in ((), ("--resume",)):
        second = command(prepared, out, *more)
        assert second.wait() == 2
        assert f"another run is writing this now (process {first.pid}" in " ".join(
            second.stderr.read().split()
        )
    first.send_signal(signal.SIGCONT)
    finish(first)
    check_same(out, straight)


#: Before the run: no file may be larger than this, as with a quota. [byte]
LIMIT = "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))"


@pytest.mark.parametrize("workers", [1, 2])
def test_a_full_disk_is_one_message_and_a_larger_one_finishes(
    prepared: Path, straight: Table, small_disk: Path, workers: int
) -> None:
    out = small_disk / "out.parquet"
    filled = small_disk / "others"
    process = command(prepared, out, workers=workers)
    wait_for_parts(small_disk / "out.parquet.parts", 1, process)
    with suppress(OSError), filled.open("wb", buffering=0) as file:  # until there is no space left
        while file.write(b"\0" * 512):
            pass
    assert process.wait() == 2
    said = " ".join(process.stderr.read().split())
    assert "No space left on device" in said
    assert "make room, then go on with --resume" in said
    assert "Traceback" not in said
    assert not out.exists()
    filled.unlink()
    finish(command(prepared, out, "--resume", workers=workers))
    check_same(out, straight)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_limit_on_file_size_is_one_message_and_without_it_the_run_finishes(
    prepared: Path, straight: Table, tmp_path: Path, workers: int
) -> None:
    """What a quota does to a write, where no small file system can be mounted."""
    out = tmp_path / "out.parquet"
    process = command(prepared, out, workers=workers, first=LIMIT)
    assert process.wait() == 2
    said = " ".join(process.stderr.read().split())
    assert "cannot be kept" in said
    assert "Traceback" not in said
    assert not out.exists()
    finish(command(prepared, out, "--resume", workers=workers))
    check_same(out, straight)


@pytest.mark.parametrize(
    ("workers", "lost"), [(1, "part-000001.parquet"), (2, "done-000001.json"), (2, "out.parquet")]
)
def test_a_rename_that_the_file_system_loses_is_one_message_and_the_run_goes_on(
    prepared: Path, straight: Table, tmp_path: Path, losing, workers: int, lost: str
) -> None:
    out = tmp_path / "out.parquet"
    process = command(prepared, out, workers=workers, env=losing(lost))
    assert process.wait() == 2
    said = " ".join(process.stderr.read().split())
    assert "the file system has lost it" in said
    assert "go on with --resume" in said
    assert "Traceback" not in said
    assert not out.exists()
    finish(command(prepared, out, "--resume", workers=workers))
    check_same(out, straight)


#: Before the run: inference raises an error wherever one star, with its magnitudes, is in the table.
BREAKING = """
import numpy as np
from redflower.api import posterior_rows
original = posterior_rows.posterior_table
def breaking(stars, *arguments, **options):
    here = np.asarray(stars["source_id"]) == {source_id}
    if np.isfinite(np.asarray(stars["gaia_g"], dtype=float)[here]).any():
        raise FloatingPointError("the sampler broke")
    return original(stars, *arguments, **options)
posterior_rows.posterior_table = breaking
"""


def test_a_star_that_breaks_a_sampler_is_named_and_mended_by_resume(
    prepared: Path, straight: Table, tmp_path: Path
) -> None:
    out, broken = tmp_path / "out.parquet", int(straight["source_id"][12])
    process = command(prepared, out, workers=1, first=BREAKING.format(source_id=broken))
    said = " ".join(process.communicate()[1].split())
    assert process.returncode == 1, said
    assert str(broken) in said
    assert "FloatingPointError: the sampler broke" in said
    assert "Traceback" not in said
    found = redflower.read_table(out)
    failed = np.asarray(found["status"]).astype(str) == "failed"
    assert np.asarray(found["source_id"])[failed].tolist() == [broken]
    for name in straight.colnames:
        np.testing.assert_array_equal(np.asarray(found[name])[~failed], np.asarray(straight[name])[~failed])
    finish(command(prepared, out, "--resume", workers=1))
    check_same(out, straight)


def test_a_worker_without_memory_is_named_and_all_is_mended_with_it(
    prepared: Path, straight: Table, tmp_path: Path
) -> None:
    """Workers that may hold no more than they need to start: whatever they cannot do is named, and nothing is lost."""
    out = tmp_path / "out.parquet"
    first = "resource.setrlimit(resource.RLIMIT_AS, (2_200_000_000, resource.RLIM_INFINITY))"
    process = command(prepared, out, first=first, rows=25)  # a worker's start takes longer than its end
    code = process.wait()
    said = " ".join(process.stderr.read().split())
    assert code in (1, 2), said
    if code == 2:  # no worker could start at all, or the parent had no room
        assert "error: " in said
        assert not out.exists()
    else:
        found = redflower.read_table(out)
        assert list(found["source_id"]) == list(straight["source_id"])
        failed = np.asarray(found["status"]).astype(str) == "failed"
        assert failed.any()
        assert f"{failed.sum():,} failed" in said or "failed" in said
    finish(command(prepared, out, "--resume", rows=25))
    check_same(out, straight)
