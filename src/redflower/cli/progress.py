"""Progress: a bar on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from redflower.calibrate.verdict import Verdict

#: Seconds between plain lines.
LINE_EVERY_S = 10.0


def say(text: str) -> None:
    """Print a line for the reader on stderr, so that stdout stays for results."""
    Console(stderr=True, highlight=False, soft_wrap=True).print(text, markup=False)


@contextmanager
def counter(what: str, total: int | None) -> Iterator[Callable[..., None]]:
    """Show progress; give a function to call with the number done so far, and the total where it is not known at the start."""
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


def show_verdict(verdict: "Verdict") -> None:
    """Say whether the stars are of the model's sky: what is right in green, what is wrong in red where colours are shown."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    style = "bold green" if verdict.good else "bold red"
    console.print(f"verdict: {verdict.heading}", style=style, markup=False)
    for fine, text in verdict.lines:
        console.print(f"  {'ok ' if fine else 'BAD'} {text}", style="green" if fine else "red", markup=False)


def warn_of_verdict(verdict: "Verdict | None") -> None:
    """Say it again, of a result made from inferred stars, where the model was not right for them."""
    if verdict is not None and not verdict.good:
        show_verdict(verdict)
