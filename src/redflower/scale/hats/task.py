"""What is sent to a worker, and the function that it runs there; it sets the environment before JAX is imported."""

import os
import pickle
import sys
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class PartitionTask:
    """A partition to do.

    Attributes
    ----------
    number, name : of the partition; the name is for messages.
    job, job_digest : the pickled job with the reader of the catalogue, and its digest, by which a worker keeps it.
    graph : what computes the rows.
    folder, path : of the run, and of the file to write.
    request_digest : of what the run was asked.
    what : the command, for messages.
    topic : under which the worker tells how far it is; None where nobody listens.
    version : of redflower.
    """

    number: int
    name: str
    job: bytes
    job_digest: str
    graph: bytes
    folder: str
    path: str
    request_digest: str
    what: str
    topic: str | None
    version: str


def run_task(packed: bytes) -> Any:
    """Do a partition, in a worker of Dask."""
    _share_cores()
    task = pickle.loads(packed)
    from redflower.scale.hats.work import do_task, tell_cluster

    return do_task(task, tell_cluster(task))


def _share_cores() -> None:
    """Let JAX take as many threads as the worker has, where it has not started and nobody has said how many."""
    if "jax" in sys.modules:
        return
    from distributed import get_worker

    os.environ.setdefault("PJRT_NPROC", str(get_worker().state.nthreads))
