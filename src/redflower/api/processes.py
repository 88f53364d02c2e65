"""By how many processes work is done, and the work shared out to them."""

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

from redflower.compile_cache import keep_compiled_programs, never_compiled
from redflower.errors import InputError, WorkerError
from redflower.platforms import available_bytes, compute_platform, cores, worker_environment
from redflower.posterior import InferenceSettings
from redflower.workers import Work, Workers

_LOG: Final = logging.getLogger(__name__)
#: What a star takes of a core, about, by the fast engine and by chains of the default lengths. [ms]
FAST_MS, NUTS_MS = 2.5, 130.0
#: A worker's start takes this of a core: imports, and tracing of programs. It must have as much work. [s]
START_S: Final = 10.0
#: A row of posteriors in Parquet, without its joint density and with it. [byte]
ROW_BYTES, DENSITY_ROW_BYTES = 200, 550
#: A worker holds this at most, beside its part's densities (docs/howto/many-stars.md). [byte]
WORKER_BYTES: Final = 1_600_000_000


def worker_count(workers: int | None, n_stars: int | None, core_ms: float) -> int:
    """Return how many processes are to work: as many as were asked for, else all cores where that pays.

    Parameters
    ----------
    workers : what the user asked for; None leaves it to this function.
    n_stars : how many stars there are; None for many.
    core_ms : what one takes of a core, about. [ms]

    Raises
    ------
    InputError : the number is none, or more than one is asked for on a GPU.
    """
    keep_compiled_programs()  # what is called from Python starts as fast the second time as a command does
    on_cpu = compute_platform() == "cpu"
    if workers is not None:
        if isinstance(workers, bool) or workers != int(workers) or workers < 1:
            raise InputError(f"workers must be a whole number of processes, at least 1; got {workers!r}.")
        if workers > 1 and not on_cpu:
            raise InputError(
                f"workers: {workers} processes were asked for, but JAX computes on a {compute_platform().upper()}, which one "
                "process fills. Leave workers out, or set JAX_PLATFORMS=cpu."
            )
        return int(workers)
    if not on_cpu:
        return 1
    worth = cores() if n_stars is None else int(n_stars * core_ms / 1e3 / START_S)
    return max(1, min(cores(), worth, int(available_bytes() // WORKER_BYTES)))


def inference_ms(settings: InferenceSettings) -> float:
    """Return what a star takes of a core, about. [ms]"""
    if settings.engine == "fast":
        return FAST_MS
    nuts = settings.nuts
    return NUTS_MS * nuts.n_chains * (nuts.n_warmup + nuts.n_draws) / 1400.0


def said_time(seconds: float) -> str:
    """Say about how long something will take, in words; the compiler of a first run is left out."""
    if seconds < 10:
        return "some seconds"
    if seconds < 90:
        return f"about {10 * round(seconds / 10):.0f} s"
    if seconds < 5400:
        return f"about {seconds / 60:.0f} min"
    return f"about {seconds / 3600:.0f} h"


def said_size(n_bytes: float) -> str:
    """Say about how large a file will be, in words."""
    if n_bytes < 1e6:
        return "less than 1 MB"
    if n_bytes < 1e9:
        return f"about {float(f'{n_bytes / 1e6:.2g}'):g} MB"
    return f"about {n_bytes / 1e9:.2g} GB"


def said_work(n_stars: int, n_left: int, settings: InferenceSettings, n_workers: int) -> str:
    """Say about how long an inference will take, and how large its table will be.

    Parameters
    ----------
    n_stars, n_left : all stars, and those that are still to be done.
    settings, n_workers : of the inference.
    """
    kept = "" if n_left == n_stars else f", {n_left:,} of them still to be done"
    time = said_time(n_left * inference_ms(settings) / 1e3 / n_workers)
    compiler = ", and a minute or two for the compiler, this first time" if never_compiled() else ""
    size = said_size(n_stars * (DENSITY_ROW_BYTES if settings.density else ROW_BYTES))
    return f"{n_stars:,} stars{kept}: {time}{compiler}; {size}"


@contextmanager
def started(start: Callable[..., Work], arguments: tuple[Any, ...], n_workers: int) -> Iterator[Workers]:
    """Give workers that share the cores."""
    threads = max(1, cores() // n_workers)
    level = logging.getLogger("redflower").level
    with Workers(
        start, arguments, n_workers, environment=worker_environment(threads), log_level=level
    ) as workers:
        yield workers


def shared_out(
    start: Callable[..., Work],
    arguments: tuple[Any, ...],
    tasks: Iterable[tuple[Any, Any]],
    n_workers: int,
    told: Callable[[Any, Any], None],
    what: Callable[[Any], str],
) -> Iterator[tuple[Any, Any]]:
    """Do tasks here or in workers, and yield the key of each with what its work returned, in the order in which they end.

    Parameters
    ----------
    start, arguments, tasks, told : as of `redflower.workers.Workers`.
    n_workers : processes; all is done in this one if it is 1.
    what : how the message calls a task, by its key.

    Raises
    ------
    WorkerError : a task failed twice in workers.
    """
    _LOG.info("the work is done by %s", "this process" if n_workers == 1 else f"{n_workers} processes")
    if n_workers == 1:
        work = start(*arguments)
        for key, payload in tasks:
            yield key, work(payload, partial(told, key))
            _LOG.info("%s: done", what(key))
        return
    with started(start, arguments, n_workers) as workers:
        for outcome in workers.run(tasks, told):
            if outcome.problem is not None:
                raise WorkerError(f"{what(outcome.key)} failed twice: {outcome.problem}.")
            _LOG.info("%s: done", what(outcome.key))
            yield outcome.key, outcome.value
