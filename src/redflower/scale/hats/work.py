"""What a worker does with a partition: read it, do the job, write its file and the record of it."""

import hashlib
import json
import pickle
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from astropy.table import Table

from redflower.errors import RedflowerError, WorkerError
from redflower.files import read_json
from redflower.provenance import VERSION
from redflower.scale.hats.source import PartitionReader, computed, reason_of
from redflower.scale.hats.task import PartitionTask
from redflower.scale.part_record import Failure, PartRecord
from redflower.scale.parts import MANIFEST, keep_part
from redflower.workers import peak_memory_bytes

#: Seconds between two words of a worker on how far it is.
_TELL_EVERY_S: Final = 2.0
Tell = Callable[[int], None]


@dataclass(frozen=True)
class PartitionRows:
    """What a job makes of a partition.

    Attributes
    ----------
    table : its rows, with the spatial index.
    failures : stars that failed because of an error.
    told : what the partition tells the whole, as JSON has it.
    """

    table: Table
    failures: tuple[Failure, ...] = ()
    told: dict[str, Any] | None = None


class PartitionJob(Protocol):
    """What is done with the rows of a partition."""

    def rows(self, part: Table, number: int, name: str, tell: Tell | None) -> PartitionRows:
        """Return what comes out."""

    def is_told(self, told: dict[str, Any]) -> bool:
        """Return whether that is what a partition tells the whole: its record may be damaged, or a stranger's."""


@dataclass(frozen=True)
class TaskDone:
    """What became of a partition.

    Attributes
    ----------
    record : of its file.
    refused : what the user asked for is wrong, or the file cannot be kept; then there is no record.
    peak_bytes : the most memory that the worker has held.
    """

    record: PartRecord | None
    refused: RedflowerError | None = None
    peak_bytes: int = 0


_JOBS: dict[str, tuple[PartitionJob, PartitionReader]] = {}
_LOCK: Final = threading.Lock()


def do_task(task: PartitionTask, tell: Tell | None = None) -> TaskDone:
    """Do a partition, and keep it. What cannot be read, or fails as a whole, is kept as a failure that names it."""
    try:
        _check_place(task)
        job, reader = _job_of(task)
        try:
            part = reader.table(computed(task.graph))
        except Exception as error:  # whatever a file system, a server or a damaged file raises
            return _lost(task, f"{task.name} of {reader.where} cannot be read: {reason_of(error)}")
        if not len(part):
            return TaskDone(_keep(task, PartitionRows(part)), None, peak_memory_bytes())
        try:
            rows = job.rows(part, task.number, task.name, tell)
        except RedflowerError as error:
            return _lost(task, f"{task.name}: {error}")
        except Exception as error:
            return _lost(task, f"{task.name}: {reason_of(error)}")
        return TaskDone(_keep(task, rows), None, peak_memory_bytes())
    except RedflowerError as error:
        return TaskDone(None, error, peak_memory_bytes())


def tell_cluster(task: PartitionTask) -> Tell | None:
    """Return what tells the run, by the scheduler, how many stars of a partition are done."""
    if task.topic is None:
        return None
    from distributed import get_worker

    worker, last = get_worker(), [time.monotonic()]

    def tell(n_done: int) -> None:
        if time.monotonic() - last[0] > _TELL_EVERY_S:
            last[0] = time.monotonic()
            worker.log_event(task.topic, (task.number, n_done))

    return tell


def digest_of(request: Any) -> str:
    """Return the digest of what a run was asked."""
    return hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()


def _lost(task: PartitionTask, message: str) -> TaskDone:
    """Keep the record of a partition that failed as a whole."""
    failure = Failure(task.number, (), message)
    return TaskDone(_keep(task, PartitionRows(Table(), (failure,))), None, peak_memory_bytes())


def _keep(task: PartitionTask, rows: PartitionRows) -> PartRecord:
    return keep_part(
        Path(task.folder), task.number, rows.table, rows.failures, path=Path(task.path), told=rows.told, what=task.what
    )  # fmt: skip


def _job_of(task: PartitionTask) -> tuple[PartitionJob, PartitionReader]:
    """Return the job: one object in a process, so that its programs are compiled once."""
    with _LOCK:
        if task.job_digest not in _JOBS:
            _JOBS.clear()  # that of an earlier run
            _JOBS[task.job_digest] = pickle.loads(task.job)
        return _JOBS[task.job_digest]


def _check_place(task: PartitionTask) -> None:
    """Refuse to work for another version, or where the run's folder is not seen or is another run's by now."""
    host = socket.gethostname()
    if task.version != VERSION:
        raise WorkerError(
            f"{task.what}: the worker on {host} has redflower {VERSION}, and this is {task.version}. Install one version on all "
            "machines."
        )
    manifest = read_json(Path(task.folder) / MANIFEST)
    if not isinstance(manifest, dict):
        raise WorkerError(
            f"{task.what}: the worker on {host} does not see {task.folder}. Write to a file system that all machines share, by "
            "the same path."
        )
    if digest_of(manifest.get("request")) != task.request_digest:
        raise WorkerError(f"{task.what}: {task.folder} is another run's by now; this one ends.")
