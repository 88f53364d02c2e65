"""Workers of Dask on this machine, which Ctrl-C does not reach: the run ends them."""

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from typing import Any

from redflower.platforms import cores, worker_environment


@contextmanager
def local_client(n_workers: int) -> Iterator[Any]:
    """Give a client of processes of this machine, which end with the block.

    A terminal sends Ctrl-C to all processes of a run. A worker would end by it, with a traceback, and Dask would start another.
    So workers hold it back, and the run alone is stopped by it. It waits while workers start and end: Dask, interrupted in
    either, leaves some behind until the process ends, and then shows tracebacks.

    Parameters
    ----------
    n_workers : processes, with the cores divided among them.
    """
    import dask
    from distributed import Client, LocalCluster

    environment = worker_environment(max(1, cores() // n_workers))
    environment.pop("PYTHONPATH", None)
    opened: list[Any] = []
    try:
        # Workers would look at their own stacks a hundred times a second, for a page that is not served.
        with (
            _ctrl_c_waits(),
            _ctrl_c_held_back(),
            dask.config.set({"distributed.worker.profile.enabled": False}),
        ):
            opened.append(
                LocalCluster(
                    n_workers=n_workers, threads_per_worker=1, processes=True, dashboard_address=None,
                    silence_logs=logging.CRITICAL, env=environment,
                )
            )  # fmt: skip
            opened.append(Client(opened[0], set_as_default=False))
        yield opened[-1]
    finally:
        with _ctrl_c_waits():
            for one in reversed(opened):
                one.close()


@contextmanager
def _ctrl_c_held_back() -> Iterator[None]:
    """Start threads that Ctrl-C does not reach: that of Dask's event loop, and by it every worker, which inherits the mask."""
    if not hasattr(signal, "pthread_sigmask"):  # on Windows
        yield
        return
    resource_tracker.ensure_running()  # where Python starts it later, it lets Ctrl-C through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _ctrl_c_waits() -> Iterator[None]:
    """Have Ctrl-C do what it does after the block, where this is the thread that it interrupts."""
    handler = signal.getsignal(signal.SIGINT)
    if handler is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _: came.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        if came:
            signal.raise_signal(signal.SIGINT)
