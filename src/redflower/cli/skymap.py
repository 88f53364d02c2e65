"""`redflower map`."""

import time
from pathlib import Path
from typing import Annotated

import typer

from redflower.cli.maps import check_map_output, distances_of, draw_beside
from redflower.cli.options import RESUME_HELP, WORKERS_HELP
from redflower.cli.progress import counter, say, warn_of_verdict
from redflower.cli.stops import kept_pieces, told_when_stopped


def sky_map(
    posteriors: Annotated[
        Path, typer.Argument(help="Posteriors of stars all over the field, from infer --density")
    ],
    out: Annotated[Path, typer.Argument(help="HEALPix map to write: .fits, nested, Galactic")],
    nside: Annotated[int, typer.Option(help="HEALPix resolution, a power of 2; 64 is 0.9 deg")] = 64,
    distances: Annotated[
        str, typer.Option(help="Distances out to which E(B-V) is given [pc]")
    ] = "200,400,700,1000,1500,2000,3000",
    max_clouds: Annotated[int, typer.Option(help="Largest number of clouds of a pixel", min=0, max=4)] = 2,
    workers: Annotated[int | None, typer.Option(help=WORKERS_HELP, min=1)] = None,
    seed: Annotated[int, typer.Option(help="Seed of the random numbers")] = 0,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace OUT and its picture if they exist")
    ] = False,
    resume: Annotated[bool, typer.Option("--resume", help=RESUME_HELP)] = False,
) -> None:
    """Map mean E(B-V) [mag] out to chosen distances over the sky: every pixel is fitted as a sightline of its own."""
    from redflower.api.kept import KeptPieces
    from redflower.api.sky_maps import make_sky_map
    from redflower.products.skymap import write_sky_map
    from redflower.scale.run_record import check_record, map_content, write_record

    began_s = time.monotonic()
    check_map_output(out, posteriors, "a sky map", overwrite=overwrite)
    check_record(out, "map")
    distance_pc = distances_of(distances)
    kept = KeptPieces(out.with_name(f"{out.name}.parts"), "map", resume=resume)
    with told_when_stopped(lambda: kept_pieces(kept, "pixels")), kept:
        with counter("pixels", None) as progress:
            sky = make_sky_map(
                posteriors, nside=nside, distance_pc=distance_pc, max_clouds=max_clouds, seed=seed, workers=workers,
                kept=kept, estimate=say, progress=progress,
            )  # fmt: skip
        write_sky_map(sky, out)
        seconds = time.monotonic() - began_s
        write_record(out, map_content(posteriors, sky, max_clouds=max_clouds, seed=seed, seconds=seconds))
        kept.remove()
    picture = draw_beside(sky, out)
    warn_of_verdict(sky.verdict)
    pixels = "one pixel" if len(sky.pixel) == 1 else f"{len(sky.pixel):,} pixels"
    say(f"{pixels} with {sky.n_stars.min():,} to {sky.n_stars.max():,} stars written to {out}")
    say(f"their picture is in {picture}")
