"""Progress of long work: a bar on a terminal, plain lines elsewhere, nothing where it is not wanted."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import escape
from typing import Final, TypeAlias

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

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


class Steps:
    """What long work tells of itself beside the number done, where somebody wants an estimate of what is left.

    Work that is given an object of this class as its ``progress`` calls `step` too.
    """

    def __call__(self, n_done: int) -> None:
        """Take up the number done."""

    def step(self, engine: str, n_tried: int, n_settled: int) -> None:
        """Take up that an engine has tried some, and settled so many of them."""


class _NotebookBar:
    """A bar in the output of a notebook's cell; it goes when the work is done."""

    def __init__(self, what: str) -> None:
        from IPython.display import HTML, display

        self._html, self._what = HTML, what
        self._shown = display(HTML(self._text(0, None, "")), display_id=True)

    def update(self, done: int, total: int | None, more: str) -> None:
        """Show how many are done."""
        self._shown.update(self._html(self._text(done, total, more)))

    def stop(self) -> None:
        """Remove the bar."""
        self._shown.update(self._html(""))

    def _text(self, done: int, total: int | None, more: str) -> str:
        share = "" if total is None else f" value='{done}' max='{max(total, 1)}'"
        number = f"{done:,}" if total is None else f"{done:,} of {total:,}"
        return f"{escape(self._what)} <progress{share}></progress> {number} {escape(more)}"


class Counter:
    """Shows how far long work is: a bar on a terminal and in a notebook, plain lines elsewhere, nothing where it is not wanted.

    Call it with the number done so far, and the total where that is not known at the start.

    Parameters
    ----------
    what : what is counted.
    total : how many there are; None where that is not known yet.
    """

    def __init__(self, what: str, total: int | None) -> None:
        self._what, self._total = what, total
        self._started = self._last = time.monotonic()
        self._first: tuple[int, float] | None = None
        self._last_said = ""
        self._bar: Progress | None = None
        self._notebook: _NotebookBar | None = None

    def __enter__(self) -> "Counter":
        if not _QUIET and in_notebook():
            self._notebook = _NotebookBar(self._what)
        elif not _QUIET and sys.stderr.isatty():
            columns = (
                TextColumn(self._what),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[more]}"),
            )
            self._bar = Progress(*columns, console=Console(stderr=True))
            self._bar.start()
            self._task = self._bar.add_task(self._what, total=self._total, more="")
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()
        if self._notebook is not None:
            self._notebook.stop()

    def __call__(
        self, done: int, total: int | None = None, *, left_s: float | None = None, n_failed: int = 0
    ) -> None:
        """Show how many are done.

        Parameters
        ----------
        done, total : numbers; None for the total that was given at the start.
        left_s : time left, where the work knows better than the rate so far does. [s]
        n_failed : of those that are done.
        """
        if _QUIET:
            return
        now, total = time.monotonic(), self._total if total is None else total
        if self._first is None:  # what was done before, and what compiles programs, say nothing of the rate
            self._first = done, now
        first, since = self._first
        elapsed_s = now - self._started
        rate = (done - first) / (now - since) if now > since else 0.0
        if left_s is None and total is not None and rate > 0:
            left_s = (total - done) / rate
        is_last = total is not None and done >= total
        said = [f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.2g}/s"] if rate > 0 else []
        said += [f"{n_failed:,} failed"] if n_failed else []
        said += [f"{duration(left_s)} left"] if left_s is not None and not is_last else []
        if self._notebook is not None:
            self._notebook.update(done, total, ", ".join(said))
        elif self._bar is not None:
            self._bar.update(self._task, completed=done, total=total, more=", ".join(said))
        elif now - self._last > LINE_EVERY_S or is_last:
            number = f"{done:,}" if total is None else f"{done:,} of {total:,}"
            if is_last and number == self._last_said:  # work that tells of its end twice
                return
            say(f"{self._what}: {number} in {duration(elapsed_s)}" + "".join(f", {one}" for one in said))
            self._last, self._last_said = now, number


class TimeLeft:
    """The time left of work whose pieces are unequal: by what a unit of work has taken so far.

    Parameters
    ----------
    total : of the work that is still to be done, in any unit.
    compiles : whether the first piece compiles programs too: the clock then starts at its end.
    """

    def __init__(self, total: float, *, compiles: bool = False) -> None:
        self._left, self._timed, self._compiles = total, 0.0, compiles
        self._started = time.monotonic()

    def expect(self, left: float) -> None:
        """Take up that so much work is left, other than was thought."""
        self._left = left

    def after(self, work: float) -> float | None:
        """Take up that a piece is done, and return the time left; None where nothing was timed yet. [s]"""
        self._left -= work
        if self._compiles:
            self._compiles, self._started = False, time.monotonic()
            return None
        self._timed += work
        return (time.monotonic() - self._started) * max(self._left, 0.0) / self._timed


def counter(what: str, total: int | None) -> Counter:
    """Return what shows how many are done, for a ``with`` statement."""
    return Counter(what, total)


def duration(seconds: float) -> str:
    """Return a time as people say it: 40 s, 3 min, 2 h 10 min."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 100:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"


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
    return sys.stderr.isatty() or in_notebook()


def in_notebook() -> bool:
    """Return whether a notebook's kernel runs this."""
    return "ipykernel" in sys.modules
