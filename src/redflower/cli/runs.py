"""`redflower runs`."""

from pathlib import Path
from typing import Annotated

import typer

EXIT_SOME_BAD = 1


def runs(
    folder: Annotated[
        Path, typer.Argument(help="Folder in which infer, prepare, map, validate or run have written")
    ] = Path(),
) -> None:
    """List the runs in a folder, finished or not, and compare each output with the checksum in its record."""
    from redflower.cli.progress import say
    from redflower.scale.run_states import read_runs

    found = read_runs(folder)
    for run in found:
        typer.echo(f"{run.out}: {run.state}")
        for fact in run.facts:
            typer.echo(f"  {fact}")
    if not found:
        say(f"no run has left a record in {folder}")
    if not all(run.good for run in found):
        raise typer.Exit(EXIT_SOME_BAD)
