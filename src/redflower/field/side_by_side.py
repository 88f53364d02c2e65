"""Chains of one machine side by side: a thread for each, which the compiled program lets run at the same time."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import Empty, SimpleQueue
from threading import Event
from typing import Any, Final

from redflower.platforms import cores

#: How often it is looked whether there is something to tell. [s]
_LOOK_EVERY_S: Final = 0.1


class Stopped(Exception):
    """Others are not wanted any more: one has failed, or somebody has stopped the run."""


def side_by_side(
    work: Callable[[Any, Callable[[int], None]], None], chains: Sequence[Any], tell: Callable[[int], None]
) -> None:
    """Do work for every chain, all at once where there are cores for them.

    What an interruption leaves running ends at its next word.

    Parameters
    ----------
    work : called with a chain, and with what it is to call with the number of draws since its last word; 0 if there is none.
    chains : of one field; what becomes of each does not depend on the others.
    tell : called with numbers of draws, in this thread.
    """
    n_threads = min(len(chains), cores())
    if n_threads < 2:
        for chain in chains:
            work(chain, tell)
        return
    words: SimpleQueue[int] = SimpleQueue()
    stop = Event()

    def say(n: int) -> None:
        if stop.is_set():
            raise Stopped
        if n:
            words.put(n)

    with ThreadPoolExecutor(n_threads) as pool:
        futures = [pool.submit(work, chain, say) for chain in chains]
        try:
            while not all(future.done() for future in futures) or not words.empty():
                if any(future.done() and future.exception() is not None for future in futures):
                    break
                try:
                    tell(words.get(timeout=_LOOK_EVERY_S))
                except Empty:
                    continue
        finally:
            stop.set()
    for future in futures:
        error = future.exception()
        if error is not None and not isinstance(error, Stopped):
            raise error
