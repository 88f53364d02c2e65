"""What a command says when it is stopped by Ctrl-C."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import typer

from redflower.progress import say

if TYPE_CHECKING:
    from redflower.api.kept import KeptPieces

#: 128 + SIGINT, as shells have it.
EXIT_STOPPED: Final = 130
#: Where a command keeps nothing of what it has not finished.
NOTHING_KEPT: Final = "nothing is written. Begin again with the same command."
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


def kept_pieces(kept: "KeptPieces", what: str) -> str:
    """Say how many pieces of a stopped run are kept, and how to go on."""
    if not kept.n_kept:
        return f"no {what} were finished, and nothing is kept. Begin again with the same command."
    return f"{kept.n_kept:,} {what} are kept in {kept.folder}. Go on: the same command with --resume."


def kept_stars(out: Path, *, partitions: bool, prepared: bool = False) -> str:
    """Say how many stars a stopped run into a table or a catalogue has kept, and how to go on.

    Parameters
    ----------
    out : the output.
    partitions : whether it is a HATS catalogue, which is kept partition by partition.
    prepared : whether the stars are prepared, and not inferred.
    """
    from redflower.scale import rows_kept

    rows, folder = rows_kept(out)
    if rows:
        return f"{rows:,} {'prepared ' if prepared else ''}stars are kept in {folder}. Go on: the same command with --resume."
    if partitions:
        return "no partition was finished yet, so that nothing is kept. Begin again with the same command."
    return (
        "no part was finished yet, so that nothing is kept. Smaller parts are kept sooner: --part-rows 2000."
    )


def stop_was_told() -> bool:
    """Return whether a command has said already what is kept."""
    return bool(_TOLD)
