"""`redflower plot`."""

from pathlib import Path
from typing import Annotated

import typer

from redflower.cli.progress import say


def plot(
    folder: Annotated[
        Path, typer.Argument(help="Folder that `run`, `sightline`, `validate` or `calibrate` wrote")
    ],
) -> None:
    """Draw every figure and the page of a folder again, from its saved tables: PNG, PDF and SVG."""
    from redflower.products import redraw

    written = redraw(folder)
    say(f"{len(written)} files written in {folder}")
