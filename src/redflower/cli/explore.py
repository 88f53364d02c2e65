"""`redflower explore`: linked plots of posteriors in one page."""

from pathlib import Path
from typing import Annotated

import typer

from redflower.cli.progress import say
from redflower.errors import InputError


def explore(
    posteriors: Annotated[Path, typer.Argument(help="Table of posteriors that `infer` or `run` wrote")],
    out: Annotated[Path, typer.Argument(help="Page to write: .html, one file that needs no network")],
    stars: Annotated[
        Path | None,
        typer.Option(help="The prepared table that was inferred, for the colour-magnitude diagram"),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUT if it exists")] = False,
    seed: Annotated[int, typer.Option(help="Chooses the stars where there are more than 5,000")] = 0,
) -> None:
    """Make a page to explore stars by hand: click a star to see its posterior, its place and its diagram."""
    from redflower.catalogue import read_table
    from redflower.files import check_outputs
    from redflower.products.explore import write_explorer

    if out.suffix.lower() != ".html":
        raise InputError(f"{out}: the page is written as .html.")
    check_outputs(
        {"OUT": out}, {"POSTERIORS": posteriors, "--stars": stars}, replaced=("OUT",) if overwrite else ()
    )
    table = read_table(posteriors)
    if stars is not None:
        from redflower.catalogue.reading.prepared_stars import open_prepared
        from redflower.products.photometry import add_photometry

        add_photometry(table, open_prepared(stars, str(stars)))
    n_shown = write_explorer(table, out, title=f"Stars of {posteriors.name}", seed=seed)
    say(f"{n_shown:,} stars are in {out} ({out.stat().st_size / 1e6:.1f} MB); open it in a browser")
