"""`redflower plot`."""

from pathlib import Path
from typing import Annotated

import typer

from redflower.cli.progress import say
from redflower.errors import InputError


def plot(
    what: Annotated[
        Path,
        typer.Argument(
            help="Folder that `run`, `sightline`, `neighbours`, `validate` or `calibrate` wrote, a table of posteriors, or a map "
            "of `map`"
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="Of a table or map: folder for the figures; by default beside it, NAME.figures"),
    ] = None,
    star: Annotated[
        int | None,
        typer.Option(help="source_id of one star: draw its joint density, quantiles and magnitudes instead"),
    ] = None,
    stars: Annotated[
        Path | None,
        typer.Option(
            help="The prepared table that was inferred, for the diagram and the magnitudes of a star"
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="With --star and --stars: the model, where it is none that comes with redflower"),
    ] = None,
) -> None:
    """Draw the figures of a folder again, or those of a table of posteriors, of one star, or of a map: PNG and PDF."""
    if what.is_dir():
        if star is not None or out is not None:
            raise InputError(
                "plot: --star and --out are for a table of posteriors; a folder is drawn again where it is."
            )
        from redflower.products import redraw

        written = redraw(what)
        say(f"{len(written)} files written in {what}")
        return
    written = _of_table(what, out or what.with_name(f"{what.stem}.figures"), star, stars, model)
    for path in written:
        typer.echo(path)


def _of_table(what: Path, out: Path, star: int | None, stars: Path | None, model: str | None) -> list[Path]:
    """Draw a map, a star, or all stars."""
    from redflower.files import check_new_files
    from redflower.products.posterior_figures import ENDINGS, posterior_figures, write_posterior_figures

    if what.suffix == ".fits" and star is None:
        from redflower.products.skymap import is_sky_map, read_sky_map

        if is_sky_map(what):
            from redflower.plot.sky_map import sky_map_figure

            check_new_files("--out", out, [f"map.{ending}" for ending in ENDINGS])
            return write_posterior_figures({"map": sky_map_figure(read_sky_map(what))}, out)
    from redflower.catalogue import read_table

    if star is not None:
        from redflower.api.star_view import draw_star

        check_new_files("--out", out, [f"star-{star}.{ending}" for ending in ENDINGS])
        figure = draw_star(read_table(what), star, prepared=stars, model=model)
        return write_posterior_figures({f"star-{star}": figure}, out)
    table = read_table(what)
    if stars is not None:
        from redflower.catalogue.reading.prepared_stars import open_prepared
        from redflower.products.photometry import add_photometry

        add_photometry(table, open_prepared(stars, str(stars)))
    figures = posterior_figures(table)
    check_new_files("--out", out, [f"{name}.{ending}" for name in figures for ending in ENDINGS])
    return write_posterior_figures(figures, out)
