"""How long a compiled function takes."""

import time
from collections.abc import Callable
from typing import Any, Final

import jax

#: A function is called until this time has passed, at least twice, at most so often.
TIMED_S: Final = 1.0
LEAST_CALLS, MOST_CALLS = 2, 20


def mean_seconds(function: Callable[[], Any]) -> float:
    """Return the mean time of a call; the first one, which compiles, is left out. [s]"""
    jax.block_until_ready(function())
    began = time.monotonic()
    for n_done in range(1, MOST_CALLS + 1):
        jax.block_until_ready(function())
        elapsed_s = time.monotonic() - began
        if n_done >= LEAST_CALLS and elapsed_s > TIMED_S:
            break
    return elapsed_s / n_done
