"""Progress: a bar on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

#: Seconds between plain lines.
LINE_EVERY_S = 10.0


def say(text: str) -> None:
    """A line for the reader, on stderr, so that stdout stays for results."""
    Console(stderr=True, highlight=False, soft_wrap=True).print(text, markup=False)


@contextmanager
def counter(what: str, total: int | None) -> Iterator[Callable[..., None]]:
    """A function to call with the number done so far, and the total where it is not known at the start."""
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


def show_verdict(*, good: bool, lines: Sequence[tuple[bool, str]]) -> None:
    """Say whether the stars are of the model's sky: what is right in green, what is wrong in red where colours are shown."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    heading = "the model is right for these stars" if good else "THE MODEL IS NOT RIGHT FOR THESE STARS"
    console.print(f"verdict: {heading}", style="bold green" if good else "bold red", markup=False)
    for fine, text in lines:
        console.print(f"  {'ok ' if fine else 'BAD'} {text}", style="green" if fine else "red", markup=False)
