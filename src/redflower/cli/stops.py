"""What a command says when it is stopped by Ctrl-C."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import typer

from redflower.progress import say

#: 128 + SIGINT, as shells have it.
EXIT_STOPPED: Final = 130
_TOLD: list[bool] = []


@contextmanager
def told_when_stopped(how: Callable[[], str]) -> Iterator[None]:
    """Say what is kept and how to go on if the block is interrupted, and end with the exit code of that.

    Parameters
    ----------
    how : returns the sentence, and is called only then.

    Raises
    ------
    typer.Exit
        If it was interrupted.
    """
    try:
        yield
    except KeyboardInterrupt:
        _TOLD.append(True)
        say(f"stopped; {how()}")
        raise typer.Exit(EXIT_STOPPED) from None


def stop_was_told() -> bool:
    """Return whether a command has said already what is kept."""
    return bool(_TOLD)
