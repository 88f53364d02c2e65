"""The platform on which JAX computes, and whether it can in this process."""

import os
import sys
from typing import Any, Final

from redflower.compile_cache import WORTH_KEEPING_S, cache_folder
from redflower.errors import InputError

#: Of glibc's malloc: names of its parameters, and the largest size that it takes for the first by itself. [byte]
_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
_MMAP_BYTES: Final = 32 * 2**20


class _Process:
    """What this process knows of JAX: whether it ran, here or in the process that this one was forked from."""

    was_asked = False
    forked_while_running = False

    @classmethod
    def before_fork(cls) -> None:
        """Note whether JAX has threads, which a forked child would lack and wait for."""
        bridge: Any = sys.modules.get("jax._src.xla_bridge")
        is_running = getattr(bridge, "backends_are_initialized", None)
        cls.runs_at_fork = cls.was_asked if is_running is None else bool(is_running())

    @classmethod
    def after_fork(cls) -> None:
        """Pass that note on to the child."""
        cls.forked_while_running |= cls.runs_at_fork

    runs_at_fork = False


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_Process.before_fork, after_in_child=_Process.after_fork)


def compute_platform() -> str:
    """Return the platform on which JAX computes: cpu, gpu or tpu.

    Raises
    ------
    InputError
        If the one that it is asked for (``JAX_PLATFORMS``) is not there, or this process was forked from one in which JAX ran:
        it would wait for ever.
    """
    if _Process.forked_while_running:
        raise InputError(
            "redflower computes with JAX, which cannot run in a process that was forked from one where it ran: it would wait for "
            "threads that only the parent has. Start worker processes afresh: multiprocessing.get_context('spawn'), "
            "ProcessPoolExecutor(mp_context=...) with it, or 'forkserver'."
        )
    import jax

    _Process.was_asked = True
    try:
        return str(jax.default_backend())
    except (RuntimeError, AssertionError) as problem:  # the latter where no plugin of that name is installed
        asked = os.environ.get("JAX_PLATFORMS") or getattr(jax.config, "jax_platforms", None) or "by default"
        why = f" ({str(problem).splitlines()[0]})" if str(problem) else ""
        raise InputError(
            f"JAX has no platform {asked!r} on this machine{why}. Leave JAX_PLATFORMS unset or set it to cpu, or install JAX for "
            "that device."
        ) from None


def worker_environment(n_threads: int) -> dict[str, str]:
    """Return the environment of a worker process that computes as this one does, with so many threads."""
    environment = dict(os.environ)
    # XLA sizes its pools by PJRT_NPROC. Its flags say as much, but programs that were compiled under others are not shared.
    for name in ("PJRT_NPROC", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        environment[name] = str(n_threads)
    environment.setdefault("JAX_COMPILATION_CACHE_DIR", str(cache_folder()))
    environment.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", WORTH_KEEPING_S)
    jax: Any = sys.modules.get("jax")
    if jax is not None:
        environment["JAX_ENABLE_X64"] = str(bool(jax.config.jax_enable_x64))
        if (kept := jax.config.values.get("jax_compilation_cache_dir")) is not None:
            environment["JAX_COMPILATION_CACHE_DIR"] = str(kept)
        if (precision := jax.config.jax_default_matmul_precision) is not None:
            environment["JAX_DEFAULT_MATMUL_PRECISION"] = str(precision)
    return environment


def keep_freed_memory() -> None:
    """Let malloc keep what is freed for what comes next, where the environment has it give everything back.

    Dask starts its workers so, and every array of a batch is then memory that the system hands out anew, page by page. Without
    that setting malloc finds these two sizes by itself. Nothing is done where it is not glibc's.
    """
    if "MALLOC_TRIM_THRESHOLD_" not in os.environ:
        return
    import ctypes

    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return
    mallopt(_M_MMAP_THRESHOLD, _MMAP_BYTES)
    mallopt(_M_TRIM_THRESHOLD, 2 * _MMAP_BYTES)


def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def available_bytes() -> int:
    """Return how much memory the system would give now; very much where it does not tell. [byte]"""
    there = _kilobytes("/proc/meminfo", "MemAvailable")
    try:
        import resource
    except ImportError:  # not on Windows
        return there
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit == resource.RLIM_INFINITY:
        return there
    return min(there, max(0, limit - _kilobytes("/proc/self/status", "VmSize")))


def _kilobytes(path: str, name: str) -> int:
    """Return an entry of a file of the system; very much where it is not there. [byte]"""
    try:
        with open(path, encoding="ascii") as file:
            return next(1024 * int(line.split()[1]) for line in file if line.startswith(name))
    except (OSError, StopIteration):
        return 2**60
