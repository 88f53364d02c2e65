"""Progress: a bar on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

#: Seconds between plain lines.
LINE_EVERY_S = 10.0


def say(text: str) -> None:
    """A line for the reader, on stderr, so that stdout stays for results."""
    Console(stderr=True, highlight=False, soft_wrap=True).print(text, markup=False)


@contextmanager
def counter(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """A function to call with the number done so far."""
    if sys.stderr.isatty():
        columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=Console(stderr=True)) as bar:
            task = bar.add_task(what, total=total)
            yield lambda done: bar.update(task, completed=done)
        return
    started = last = time.monotonic()

    def line(done: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last > LINE_EVERY_S or done >= total:
            say(f"{what}: {done:,} of {total:,} in {now - started:.0f} s")
            last = now

    yield line
