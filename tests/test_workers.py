"""Worker processes: what becomes of a task when it raises, when its process is killed, and when the parent is."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from redflower.errors import InputError, WorkerError
from redflower.platforms import worker_environment
from redflower.workers import Outcome, Workers
from tests.helpers import worker_tasks


def outcomes(tasks, folder: Path, n_workers: int = 2, told=None) -> list[Outcome]:
    with Workers(worker_tasks.start, (10, str(folder)), n_workers) as workers:
        done = list(workers.run(((task[0], task) for task in tasks), told))
    return sorted(done, key=lambda one: one.key)


def test_every_task_is_done_once_and_tells_how_far_it_is(tmp_path: Path) -> None:
    told = []
    done = outcomes(
        [(n, "", 0) for n in range(20)], tmp_path, told=lambda key, word: told.append((key, word))
    )
    assert done == [Outcome(n, 10 * n) for n in range(20)]
    assert sorted(told) == [(n, n) for n in range(20)]


@pytest.mark.parametrize("fault", ["kill", "memory"])
def test_a_task_is_tried_once_more_and_then_named_with_its_cause(tmp_path: Path, fault: str) -> None:
    """Task 1 fails once, task 2 always; the others are not touched."""
    done = outcomes([(0, "", 0), (1, fault, 1), (2, fault, 9), (3, "", 0)], tmp_path)
    assert [one.value for one in done] == [0, 10, None, 30]
    says = "its process was ended: by SIGKILL" if fault == "kill" else "MemoryError: no room"
    assert done[2].problem.startswith(says)
    assert len(list(tmp_path.glob("2-*"))) == 2


def test_a_refusal_ends_all_with_the_same_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the request is wrong"):
        outcomes([(0, "", 0), (1, "refuse", 1), (2, "sleep", 1)], tmp_path)


def test_workers_that_cannot_start_are_one_error() -> None:
    with Workers(worker_tasks.start_badly, (), 2) as workers, pytest.raises(WorkerError, match="exit code 3"):
        list(workers.run([(0, None)]))


def test_no_process_is_left_behind(tmp_path: Path) -> None:
    ids = []

    def stopped_in_its_middle() -> None:
        with Workers(worker_tasks.start, (1, str(tmp_path)), 2) as workers:
            ids.extend(workers.process_ids)
            for _ in workers.run([(0, (0, "", 0)), (1, (1, "sleep", 1))]):
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped_in_its_middle()
    assert not any(is_running(one) for one in ids)


def is_running(process_id: int) -> bool:
    try:
        return Path(f"/proc/{process_id}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_workers_end_with_their_parent_however_it_ends(tmp_path: Path, how: signal.Signals) -> None:
    """Its workers sleep for a minute in a task, and are gone within seconds."""
    script = f"""
        import signal
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell has background jobs ignore it
        from redflower.workers import Workers
        from tests.helpers import worker_tasks
        with Workers(worker_tasks.start, (1, {str(tmp_path)!r}), 2) as workers:
            print(*workers.process_ids, flush=True)
            list(workers.run((n, (n, "sleep", 1)) for n in range(2)))
    """
    parent = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    ids = [int(word) for word in parent.stdout.readline().split()]
    until = time.monotonic() + 20
    while len(list(tmp_path.iterdir())) < 2 and time.monotonic() < until:
        time.sleep(0.02)
    assert all(is_running(one) for one in ids)
    parent.send_signal(how)
    parent.wait(20)
    until = time.monotonic() + 20
    while any(is_running(one) for one in ids) and time.monotonic() < until:
        time.sleep(0.02)
    assert not any(is_running(one) for one in ids)


def test_a_worker_imports_little_and_computes_with_its_share_of_the_threads() -> None:
    """Neither the user's program nor JAX is imported before the work wants it; its threads are limited before that."""
    environment = worker_environment(1)
    names = ["PJRT_NPROC", "OMP_NUM_THREADS"]
    with Workers(worker_tasks.start_what_imports, (), 1, environment=environment) as workers:
        (outcome,) = workers.run([(0, names)])
    modules, limits = outcome.value
    assert not {"jax", "numpy", "pytest"} & set(modules)
    assert limits == dict.fromkeys(names, "1")
    assert workers.peak_bytes > 1_000_000 or not Path("/proc/self/status").exists()
