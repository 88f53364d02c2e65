"""`redflower neighbours`."""

from pathlib import Path
from typing import Annotated

import typer

from redflower.cli.progress import say, warn_of_verdict
from redflower.cli.stops import NOTHING_KEPT, told_when_stopped
from redflower.files import check_new_folder


def neighbours(
    fits: Annotated[
        list[Path], typer.Argument(help="Folders that `redflower sightline` wrote, two or more of one region")
    ],
    out: Annotated[
        Path, typer.Argument(help="Folder to write: neighbours.json, tables, the figure, report.html")
    ],
    within: Annotated[
        float, typer.Option(help="No two sightlines may be farther from each other [deg]", min=0.0)
    ] = 10.0,
    steps: Annotated[
        int, typer.Option(help="Steps of each of the four chains that are averaged over", min=1)
    ] = 500,
    seed: Annotated[int, typer.Option(help="Seed of the random numbers")] = 0,
) -> None:
    """Let fitted sightlines of a region share the distances [pc] of their clouds: odds and clouds of each, before and after."""
    from redflower.api.neighbours import combine_sightlines
    from redflower.calibrate.verdict import verdict_of
    from redflower.products.neighbours import write_neighbours
    from redflower.products.words_neighbours import neighbours_sentence
    from redflower.sightline.shared_density import SharingSettings

    check_new_folder(out)
    with told_when_stopped(lambda: NOTHING_KEPT):
        result = combine_sightlines(
            fits, within_deg=within, settings=SharingSettings(n_kept=steps), seed=seed, progress=True
        )
    write_neighbours(result, out)
    for made in result.summary["provenance"]["inputs"].values():
        warn_of_verdict(verdict_of(made))
    typer.echo(neighbours_sentence(result.summary))
    say(f"tables, the figure and report.html are in {out}")
