"""Progress of long work: a bar on a terminal, plain lines elsewhere, nothing where it is not wanted."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeAlias

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

_QUIET: list[bool] = []
#: Seconds between plain lines.
LINE_EVERY_S: Final = 10.0

#: What functions take as ``progress``: whether to show it (None: where somebody looks), or what to call with the number done.
ShowProgress: TypeAlias = bool | Callable[..., None] | None


def say(text: str) -> None:
    """Print a line for the reader on stderr, so that stdout stays for results."""
    if _QUIET:
        return
    Console(stderr=True, highlight=False, soft_wrap=True).print(text, markup=False)


@contextmanager
def counter(what: str, total: int | None) -> Iterator[Callable[..., None]]:
    """Return a function to call with the number done so far, and the total where it is not known at the start."""
    if _QUIET:
        yield lambda *_: None
        return
    if sys.stderr.isatty():
        columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=Console(stderr=True)) as bar:
            task = bar.add_task(what, total=total)
            yield lambda done, known=total: bar.update(task, completed=done, total=known)
        return
    started = last = time.monotonic()

    def line(done: int, known: int | None = total) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last > LINE_EVERY_S or (known is not None and done >= known):
            of = "" if known is None else f" of {known:,}"
            say(f"{what}: {done:,}{of} in {now - started:.0f} s")
            last = now

    yield line


@contextmanager
def shown(progress: ShowProgress, what: str, total: int | None) -> Iterator[Callable[..., None] | None]:
    """Return what a function's ``progress`` asks for: a function to call with the number done, or None.

    Parameters
    ----------
    progress : a function to call, True or False, or None for True on a terminal and in a notebook.
    what : what is counted.
    total : how many there are; None where that is not known yet.
    """
    if callable(progress):
        yield progress
    elif progress or (progress is None and somebody_looks()):
        with counter(what, total) as call:
            yield call
    else:
        yield None


def be_quiet() -> None:
    """Let `say` and `counter` say nothing from now on."""
    _QUIET.append(True)


def somebody_looks() -> bool:
    """Return whether the output goes to a terminal or a notebook."""
    return sys.stderr.isatty() or "ipykernel" in sys.modules
