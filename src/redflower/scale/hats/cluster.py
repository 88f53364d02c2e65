"""Partitions handed to the workers of a Dask cluster: this machine's, or one whose scheduler is elsewhere."""

import logging
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from redflower.api.processes import worker_count
from redflower.errors import InputError, WorkerError
from redflower.scale.hats.entry import run_task
from redflower.scale.hats.local_cluster import local_client
from redflower.scale.hats.source import reason_of

#: Partitions that wait at the scheduler for every thread: so many that no worker is idle, and so few that none holds much.
_AHEAD: Final = 2
#: Seconds in which a scheduler must answer, and in which it must have a worker.
_ANSWER_S, _WORKER_S = 15, 60
#: Seconds between two looks at how many threads the workers have.
_LOOK_EVERY_S: Final = 5.0
#: Seconds between two looks at whether a partition has ended.
_WAIT_S: Final = 0.05
_SILENT: Final = (
    "distributed", "distributed.nanny", "distributed.worker", "distributed.scheduler", "distributed.client",
    "distributed.core", "distributed.comm", "tornado.application",
)  # fmt: skip


@dataclass(frozen=True)
class Ended:
    """How a partition ended whose worker did not say: its process ended, again and again.

    Attributes
    ----------
    problem : in a sentence.
    """

    problem: str


def hats_workers(workers: int | None, scheduler: str | None, n_stars: int | None, core_ms: float) -> int:
    """Return how many processes of this machine are to work; see `redflower.api.processes.worker_count`.

    Raises
    ------
    InputError : a number is asked for, and a scheduler, whose workers are its own.
    """
    if scheduler is None:
        return worker_count(workers, n_stars, core_ms)
    if workers is not None:
        raise InputError(
            f"workers: the scheduler at {scheduler} has workers of its own; give one of the two."
        )
    return 1


@contextmanager
def dask_client(n_workers: int, scheduler: str | None, what: str) -> Iterator[Any]:
    """Give a client of a cluster: of processes of this machine, which end with the block, or of the scheduler at an address.

    Parameters
    ----------
    n_workers : processes of this machine, with the cores divided among them.
    scheduler : address; then the workers are its own.
    what : the command, for messages.

    Raises
    ------
    InputError : no scheduler answers, or it has no worker.
    """
    from distributed import Client

    levels = {name: logging.getLogger(name).level for name in _SILENT}
    for name in _SILENT:  # what matters is said once, by this program
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        if scheduler is None:
            with local_client(n_workers) as client:
                yield client
            return
        try:
            client = Client(scheduler, timeout=_ANSWER_S, set_as_default=False)
        except (OSError, ValueError) as problem:
            raise InputError(
                f"{what}: no Dask scheduler answers at {scheduler}: {reason_of(problem)}. Start one (dask scheduler), or leave "
                "--scheduler out."
            ) from None
        with client:
            try:
                client.wait_for_workers(1, timeout=_WORKER_S)
            except TimeoutError:
                raise InputError(
                    f"{what}: the scheduler at {scheduler} has no worker after {_WORKER_S} s. Start some: dask worker "
                    f"{scheduler} --nthreads 1."
                ) from None
            yield client
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


def on_cluster(
    client: Any, tasks: Iterator[tuple[int, bytes]], what: str, look: Callable[[], None]
) -> Iterator[tuple[int, Any]]:
    """Do tasks on a cluster, and yield the number of each with what its work returned, or `Ended`, as they end.

    Few are under way at a time, so that neither scheduler nor workers hold much, and workers that join later get theirs.

    Parameters
    ----------
    client : of `dask_client`.
    tasks : numbers, and what `redflower.scale.hats.entry.run_task` takes; taken as workers become free.
    what : the command, for messages.
    look : called again and again while nothing has ended, in this thread.

    Raises
    ------
    WorkerError : the scheduler has gone, or workers cannot run redflower.
    """
    from distributed import KilledWorker, as_completed

    run = uuid.uuid4().hex[:12]
    numbers: dict[Any, int] = {}
    ended = as_completed(loop=client.loop, raise_errors=False)
    threads = [0, -_LOOK_EVERY_S]  # seen, and when

    def send() -> None:
        if time.monotonic() - threads[1] > _LOOK_EVERY_S:
            threads[:] = [sum(client.nthreads().values()), time.monotonic()]
        while len(numbers) < _AHEAD * max(1, threads[0]) and (one := next(tasks, None)) is not None:
            number, packed = one
            future = client.submit(run_task, packed, key=f"redflower-{run}-{number}", pure=False)
            numbers[future.key] = number
            ended.add(future)

    send()
    while numbers:
        while not ended.has_ready():
            if ended.is_empty():  # tasks are under way of which nothing is known any more
                raise _scheduler_gone(what)
            look()
            time.sleep(_WAIT_S)
        future = next(ended)
        number = numbers.pop(future.key)
        if future.status == "finished":
            yield number, _result(future, what)
        elif future.status == "error":
            error = future.exception()
            if not isinstance(error, KilledWorker):
                raise WorkerError(
                    f"{what}: a worker cannot do a partition: {reason_of(error)}. Workers need the redflower, LSDB and Dask of "
                    "this process."
                )
            yield (
                number,
                Ended(
                    "its worker was ended each time that it was tried, as the system does where memory is short"
                ),
            )
        else:
            raise _scheduler_gone(what)
        del future
        try:
            send()
        except (OSError, RuntimeError) as problem:
            raise _scheduler_gone(what) from problem


def _result(future: Any, what: str) -> Any:
    try:
        return future.result(timeout=_WORKER_S)
    except Exception as problem:
        raise _scheduler_gone(what) from problem


def _scheduler_gone(what: str) -> WorkerError:
    return WorkerError(
        f"{what}: the Dask scheduler has gone, and with it what was under way. Finished partitions are kept: start it again, "
        "then go on with --resume."
    )
