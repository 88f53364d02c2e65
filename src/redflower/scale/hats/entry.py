"""The function that a worker runs; it sets the environment before JAX is imported."""

import os
import pickle
import sys
from typing import Any

from redflower.platforms import keep_freed_memory


def run_task(packed: bytes) -> Any:
    """Do a partition, in a worker of Dask."""
    _share_cores()
    keep_freed_memory()
    task = pickle.loads(packed)
    from redflower.scale.hats.work import do_task, tell_cluster

    return do_task(task, tell_cluster(task))


def _share_cores() -> None:
    """Let JAX take as many threads as the worker has, where it has not started and nobody has said how many."""
    if "jax" in sys.modules:
        return
    from distributed import get_worker

    os.environ.setdefault("PJRT_NPROC", str(get_worker().state.nthreads))
