"""Faults of runs over HATS catalogues, done to real processes: killed workers, schedulers and parents, two runs at once."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from astropy.table import Table

import redflower
from redflower.catalogue import QualityLimits
from redflower.catalogue.prepare_request import PrepareRequest
from redflower.scale import prepare_hats
from tests.helpers.hats import all_rows, check_same_rows, partition_files, write_hats

pytest.importorskip("lsdb", reason="the extra `scale` is not installed")
pytestmark = pytest.mark.slow

N_STARS = 45
PARTITION_ROWS = 6
#: Workers import it too, by another name.
SCRIPT = """
import resource, signal
{first}
signal.signal(signal.SIGINT, signal.default_int_handler)
from redflower.cli.app import main
if __name__ == "__main__":
    main()
"""
#: A client gives up a scheduler that is gone after this. [s]
PATIENCE = {"DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "3s"}
#: Before the run: no file may be larger than this, as with a quota. [byte]
LIMIT = "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))"

#: In workers: they may hold no more than they need to start, and not what inference takes. [byte]
LITTLE_MEMORY = """
if __name__ != "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (1_500_000_000, resource.RLIM_INFINITY))
"""


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Path:
    sky = redflower.simulate(N_STARS, seed=3, preset="two-cloud", g_faint_mag=18.5)
    folder = tmp_path_factory.mktemp("hats-faults")
    raw = write_hats(sky, folder / "raw", PARTITION_ROWS, order=12, margin_arcsec=20.0)
    prepare_hats(
        raw, folder / "stars", PrepareRequest("inference", limits=QualityLimits(13.5, 18.5)), workers=1
    )
    assert len(partition_files(folder / "stars")) >= 8
    return folder / "stars"


@pytest.fixture(scope="module")
def straight(prepared: Path) -> Table:
    """What an undisturbed run of one process gives."""
    out = prepared.parent / "straight"
    finish(command(prepared, out, "--workers", "1"))
    return all_rows(out)


def command(
    stars: Path, out: Path, *more: str, first: str = "", env: dict[str, str] | None = None
) -> "subprocess.Popen[str]":
    """Start `redflower infer`, in a process group of its own, as an installed script does; do something in it first."""
    script = out.parent / "redflower-command.py"
    script.write_text(SCRIPT.format(first=first))
    return subprocess.Popen(
        [sys.executable, str(script), "infer", str(stars), str(out), "--model", "mock-sky", *more],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True,
        env=environment() | (env or {}),
    )  # fmt: skip


def environment() -> dict[str, str]:
    return {**os.environ, **PATIENCE, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


def finish(process: "subprocess.Popen[str]", codes: tuple[int, ...] = (0, 1)) -> str:
    """Wait for a run; return what it said."""
    said = " ".join(process.communicate()[1].split())
    assert process.returncode in codes, said
    assert "Traceback" not in said, said
    return said


def wait_for_parts(folder: Path, n: int, process: "subprocess.Popen[str]") -> None:
    until = time.monotonic() + 600
    while len(list(folder.glob("done-*.json"))) < n:
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < until
        time.sleep(0.02)


def descendants(process_id: int) -> dict[int, str]:
    """The processes under one, with their command lines."""
    found: dict[int, str] = {}
    waiting = [process_id]
    while waiting:
        one = waiting.pop()
        try:
            below = [
                int(n)
                for task in Path(f"/proc/{one}/task").iterdir()
                for n in (task / "children").read_text().split()
            ]
            found |= {n: Path(f"/proc/{n}/cmdline").read_text().replace("\0", " ") for n in below}
        except OSError:
            continue
        waiting += below
    return found


def workers_of(process_id: int) -> list[int]:
    """Dask's workers: processes that were spawned, and are not the one that counts shared memory."""
    return [one for one, line in descendants(process_id).items() if "spawn_main" in line]


def check_same(out: Path, straight: Table) -> None:
    check_same_rows(all_rows(out), straight)
    assert not out.with_name(f"{out.name}.parts").exists()


def test_rows_do_not_depend_on_the_number_of_workers(prepared: Path, straight: Table, tmp_path: Path) -> None:
    finish(command(prepared, tmp_path / "out", "--workers", "2"))
    check_same(tmp_path / "out", straight)


def test_killing_a_worker_loses_nothing(prepared: Path, straight: Table, tmp_path: Path) -> None:
    process = command(prepared, tmp_path / "out", "--workers", "2")
    wait_for_parts(tmp_path / "out.parts", 1, process)
    os.kill(workers_of(process.pid)[0], signal.SIGKILL)
    finish(process)
    check_same(tmp_path / "out", straight)


def test_killing_the_run_loses_what_was_not_finished_alone(
    prepared: Path, straight: Table, tmp_path: Path
) -> None:
    """The scheduler of a local cluster is in the process of the run: this kills both."""
    out, folder = tmp_path / "out", tmp_path / "out.parts"
    process = command(prepared, out, "--workers", "2")
    wait_for_parts(folder, 2, process)
    started = list(descendants(process.pid))
    process.kill()
    process.communicate()
    check_ended(started)
    assert not out.exists()
    finished = {path: path.stat().st_mtime_ns for path in folder.glob("done-*.json")}
    assert len(finished) >= 2
    process = command(prepared, out, "--resume", "--workers", "2")
    wait_for_parts(folder, len(finished) + 1, process)
    assert {path: path.stat().st_mtime_ns for path in finished} == finished, (
        "a finished partition was done again"
    )
    finish(process)
    check_same(out, straight)


class Cluster:
    """A scheduler and a worker as a user starts them, each a process of its own."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            self.address = f"tcp://127.0.0.1:{one.getsockname()[1]}"
        self.folder = folder
        self.start()

    def start(self) -> None:
        dask = [sys.executable, "-m", "dask"]
        port = self.address.rpartition(":")[2]
        self.scheduler = self._run(
            [*dask, "scheduler", "--host", "127.0.0.1", "--port", port, "--no-dashboard"]
        )
        self.worker = self._run(
            [*dask, "worker", self.address, "--nthreads", "1", "--no-dashboard", "--death-timeout", "60",
             "--local-directory", str(self.folder)]
        )  # fmt: skip

    def _run(self, arguments: list[str]) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            arguments,
            cwd=self.folder,
            env=environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def stop(self) -> None:
        for process in (self.worker, self.scheduler):
            process.terminate()
        for process in (self.worker, self.scheduler):
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@pytest.fixture
def cluster(tmp_path: Path):
    made = Cluster(tmp_path)
    yield made
    made.stop()


def test_killing_the_scheduler_is_one_message_and_a_new_one_finishes(
    prepared: Path, straight: Table, tmp_path: Path, cluster: Cluster
) -> None:
    out, folder = tmp_path / "out", tmp_path / "out.parts"
    process = command(prepared, out, "--scheduler", cluster.address)
    wait_for_parts(folder, 2, process)
    cluster.scheduler.kill()
    said = finish(process, codes=(2,))
    assert "the Dask scheduler has gone" in said
    assert "go on with --resume" in said
    assert not out.exists()
    finished = {path: path.stat().st_mtime_ns for path in folder.glob("done-*.json")}
    cluster.stop()
    cluster.start()
    finish(command(prepared, out, "--resume", "--scheduler", cluster.address))
    assert len(finished) >= 2
    check_same(out, straight)


def test_two_runs_at_once_are_refused_and_the_first_goes_on(
    prepared: Path, straight: Table, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    first = command(prepared, out, "--workers", "2")
    wait_for_parts(tmp_path / "out.parts", 1, first)
    first.send_signal(signal.SIGSTOP)  # so that it is not done before the others have tried
    for more in ((), ("--resume",)):
        said = finish(command(prepared, out, "--workers", "2", *more), codes=(2,))
        assert f"another run is writing this now (process {first.pid}" in said
    first.send_signal(signal.SIGCONT)
    finish(first)
    check_same(out, straight)


def interrupt(process: "subprocess.Popen[str]", reaches: str) -> list[int]:
    """Press Ctrl-C: a terminal sends it to all processes of a run, and `kill -INT` to one. Return those that were there."""
    started = list(descendants(process.pid))
    (os.killpg if reaches == "all" else os.kill)(process.pid, signal.SIGINT)
    return started


def check_ended(started: list[int]) -> None:
    until = time.monotonic() + 30
    while any(Path(f"/proc/{one}").exists() for one in started) and time.monotonic() < until:
        time.sleep(0.05)
    assert not any(Path(f"/proc/{one}").exists() for one in started), "a worker outlives its run"


@pytest.mark.parametrize("reaches", ["all", "the run alone"])
def test_ctrl_c_ends_all_keeps_what_is_finished_and_says_how_to_go_on(
    prepared: Path, straight: Table, tmp_path: Path, reaches: str
) -> None:
    out, folder = tmp_path / "out", tmp_path / "out.parts"
    process = command(prepared, out, "--workers", "2")
    wait_for_parts(folder, 2, process)
    started = interrupt(process, reaches)
    said = finish(process, codes=(130,))
    check_ended(started)
    finished = {path: path.stat().st_mtime_ns for path in folder.glob("done-*.json")}
    n_stars = sum(json.loads(path.read_text())["n_rows"] for path in finished)
    assert f"stopped; {n_stars} stars are kept in {folder}. Go on: the same command with --resume." in said
    assert len(finished) >= 2
    assert not out.exists()
    process = command(prepared, out, "--resume", "--workers", "2")
    wait_for_parts(folder, len(finished) + 1, process)
    assert {path: path.stat().st_mtime_ns for path in finished} == finished, (
        "a finished partition was done again"
    )
    finish(process)
    check_same(out, straight)


def test_ctrl_c_while_workers_start_leaves_nothing_behind(prepared: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    process = command(prepared, out, "--workers", "2")
    until = time.monotonic() + 300
    while not workers_of(process.pid):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < until
        time.sleep(0.02)
    started = interrupt(process, "all")
    said = finish(process, codes=(130,))
    check_ended(started)
    assert "stopped; no partition was finished yet, so that nothing is kept" in said
    assert "--part-rows" not in said  # which a catalogue does not take
    assert not out.exists()


def test_a_damaged_partition_is_named_and_done_when_it_is_mended(
    prepared: Path, straight: Table, tmp_path: Path
) -> None:
    stars, out = tmp_path / "stars", tmp_path / "out"
    subprocess.run(["cp", "-r", str(prepared), str(stars)], check=True)
    damaged = partition_files(stars)[2]
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:-200])
    said = finish(command(stars, out, "--workers", "2"), codes=(1,))
    assert f"{damaged.stem}" in said
    assert "cannot be read" in said
    assert len(all_rows(out)) < len(straight)
    damaged.write_bytes(whole)
    finish(command(stars, out, "--workers", "2", "--resume"))
    check_same(out, straight)


def test_a_full_disk_is_one_message_and_a_larger_one_finishes(
    prepared: Path, straight: Table, small_disk: Path
) -> None:
    out, filled = small_disk / "out", small_disk / "others"
    process = command(prepared, out, "--workers", "2")
    wait_for_parts(small_disk / "out.parts", 1, process)
    with suppress(OSError), filled.open("wb", buffering=0) as file:  # until there is no space left
        while file.write(b"\0" * 512):
            pass
    said = finish(process, codes=(2,))
    assert "No space left on device" in said
    assert "make room, then go on with --resume" in said
    assert not out.exists()
    filled.unlink()
    finish(command(prepared, out, "--resume", "--workers", "2"))
    check_same(out, straight)


def test_a_limit_on_file_size_is_one_message_and_without_it_the_run_finishes(
    prepared: Path, straight: Table, tmp_path: Path
) -> None:
    """What a quota does to a write, where no small file system can be mounted."""
    out = tmp_path / "out"
    said = finish(command(prepared, out, "--workers", "2", first=LIMIT), codes=(2,))
    assert "cannot be kept" in said
    assert not out.exists()
    finish(command(prepared, out, "--workers", "2"))
    check_same(out, straight)


@pytest.mark.parametrize("lost", ["a partition", "the catalogue"])
def test_a_rename_that_the_file_system_loses_is_one_message_and_the_run_goes_on(
    prepared: Path, straight: Table, tmp_path: Path, losing, lost: str
) -> None:
    out = tmp_path / "out"
    env = losing(partition_files(prepared)[2].name if lost == "a partition" else out.name)
    said = finish(command(prepared, out, "--workers", "2", env={"PYTHONPATH": searched(env)}), codes=(2,))
    assert "the file system has lost it" in said
    assert "go on with --resume" in said
    assert not out.exists()
    finish(command(prepared, out, "--resume", "--workers", "2"))
    check_same(out, straight)


def searched(env: dict[str, str]) -> str:
    """Where Python looks: in the folder of a fixture, then where this process does."""
    return os.pathsep.join([env["PYTHONPATH"].split(os.pathsep)[0], environment()["PYTHONPATH"]])


def test_workers_without_memory_are_one_message_or_named_and_with_it_all_is_mended(
    prepared: Path, straight: Table, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    process = command(prepared, out, "--workers", "2", first=LITTLE_MEMORY)
    said = " ".join(process.communicate()[1].split())  # with the last words of workers, which are theirs
    assert process.returncode in (1, 2), said
    assert ("error: " if process.returncode == 2 else "failed: partition") in said
    assert out.exists() is (process.returncode == 1)
    assert (
        "Traceback" not in said[said.rindex("error: " if process.returncode == 2 else "failed: partition") :]
    )
    kept = out.with_name("out.parts").exists()
    finish(command(prepared, out, "--workers", "2", *(["--resume"] if kept else [])))
    check_same(out, straight)
