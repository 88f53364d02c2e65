"""`redflower run`: from a table of stars to tables and one page, in one command."""

from pathlib import Path
from typing import Annotated

import typer

from redflower.cli.options import WORKERS_HELP, listed
from redflower.cli.progress import say, show_verdict
from redflower.cli.stops import NOTHING_KEPT, told_when_stopped


def run(
    table: Annotated[
        Path, typer.Argument(help="Table of stars, as an archive delivers it: .parquet .fits .ecsv .vot .csv")
    ],
    out: Annotated[Path, typer.Argument(help="Folder to write: index.html, tables, figures")],
    model: Annotated[
        str | None,
        typer.Option(
            help="Name of a shipped model (redflower models) or a file; by default archive-sky, for simulated mock stars mock-sky"
        ),
    ] = None,
    sightline: Annotated[
        bool, typer.Option("--sightline", help="Also find the clouds along the line of sight (minutes)")
    ] = False,
    sky_map: Annotated[bool, typer.Option("--map", help="Also map the reddening over the sky")] = False,
    columns: Annotated[
        Path | None, typer.Option(help="TOML map of column names, where they are none that redflower knows")
    ] = None,
    write_columns: Annotated[
        Path | None, typer.Option(help="TOML file to write before all else: a column map of TABLE to fill in")
    ] = None,
    photometry: Annotated[
        str | None,
        typer.Option(
            help="Release of each survey's magnitudes where it is not the archive's current one: ps1=pre-release,gaia=dr2"
        ),
    ] = None,
    zero_point: Annotated[
        str, typer.Option(help="Parallax zero point: auto, none, or a number in mas")
    ] = "auto",
    ebv_map: Annotated[
        str | None,
        typer.Option(
            help="HEALPix FITS map of E(B-V), or dustmaps:sfd and the like, to compare each star with"
        ),
    ] = None,
    distance_prior: Annotated[
        Path | None,
        typer.Option(
            help="CSV of the prior that the model was trained with; else the one that comes with it"
        ),
    ] = None,
    keep_first: Annotated[
        bool, typer.Option("--keep-first", help="Keep the first of rows with one source_id; else an error")
    ] = False,
    keep: Annotated[
        str | None,
        typer.Option(help="Further columns of TABLE to carry through, with commas: name,membership"),
    ] = None,
    nside: Annotated[
        int | None,
        typer.Option(
            help="With --map: HEALPix resolution, a power of 2; by default as fine as the stars allow"
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the random numbers")] = 0,
    workers: Annotated[int | None, typer.Option(help=WORKERS_HELP, min=1)] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on with the run in OUT; --sightline and --map may be new: what it finished is not done again",
        ),
    ] = False,
) -> None:
    """Prepare, infer, judge and draw the stars of a table: tables, and one page with the facts first."""
    from redflower.scale.run import run as run_all

    if write_columns is not None:
        from redflower.catalogue.reading.reader import write_columns as write_map

        write_map(table, write_columns, columns)
        say(f"a column map to fill in is in {write_columns}")
    with told_when_stopped(lambda: _kept(out)):
        result = run_all(
            table,
            out,
            model=model,
            sightline=sightline,
            sky_map=sky_map,
            columns=columns,
            photometry=photometry,
            zero_point=zero_point,
            ebv_map=ebv_map,
            distance_prior=distance_prior,
            duplicates="keep_first" if keep_first else "error",
            keep=listed(keep),
            nside=nside,
            seed=seed,
            workers=workers,
            resume=resume,
            progress=True,
        )
    if result.verdict is not None:
        show_verdict(result.verdict)
    from redflower.products.page_run import facts

    for fact in facts(result.numbers, result.verdict):
        typer.echo(f"{fact.question} {fact.value}. {fact.note}")
    say(f"look at {out / 'index.html'}")


def _kept(out: Path) -> str:
    """Say what a stopped run has kept, and how to go on."""
    from redflower.products.run import MAP, POSTERIORS
    from redflower.scale import rows_kept
    from redflower.scale.run_folder import REQUEST

    if not (out / REQUEST).is_file():
        return NOTHING_KEPT
    if (out / POSTERIORS).is_file():
        blocks = list((out / f"{MAP}.parts").glob("block-*"))
        what = "the posteriors of all stars" + (" and the finished pixels of the map" if blocks else "")
        kept = f"{what} are kept in {out}"
    else:
        rows, _ = rows_kept(out / POSTERIORS)
        kept = f"{rows:,} inferred stars are kept in {out}" if rows else f"no part was finished yet in {out}"
    return f"{kept}. Go on: the same command with --resume."
