"""`redflower simulate`."""

from pathlib import Path
from typing import Annotated

import typer

from redflower.cli.progress import say
from redflower.errors import InputError


def parse_clouds(text: str) -> list[tuple[float, float]]:
    """Return the clouds from ``distance:ebv,distance:ebv``; an empty text means no cloud."""
    clouds = []
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        try:
            distance_pc, ebv_mag = (float(value) for value in part.split(":"))
        except ValueError:
            raise InputError(
                f'--clouds {text!r}: {part!r} is not DISTANCE_PC:EBV_MAG. Write, for instance, "370:0.12,1500:0.08".'
            ) from None
        clouds.append((distance_pc, ebv_mag))
    return clouds


def simulate(
    out: Annotated[Path, typer.Argument(help="Table to write: .parquet .fits .ecsv .vot .csv")],
    preset: Annotated[
        str, typer.Option(help="high-latitude or southern (dust-free skies), two-cloud, one-cloud, or cone")
    ] = "two-cloud",
    population: Annotated[
        str,
        typer.Option(
            help="mock, that of the model mock-sky, or sky, that of published surveys on the archive's photometry"
        ),
    ] = "mock",
    stars: Annotated[int, typer.Option(help="Number of stars")] = 1000,
    seed: Annotated[int, typer.Option(help="Seed of the random numbers")] = 1,
    clouds: Annotated[
        str | None, typer.Option(help='Clouds as DISTANCE_PC:EBV_MAG, e.g. "370:0.12,1500:0.08"; "" for none')
    ] = None,
    cone: Annotated[
        str | None, typer.Option(help="For --preset cone: L,B,RADIUS in degrees, e.g. 104.1,22.3,0.16")
    ] = None,
    survey: Annotated[
        list[str] | None,
        typer.Option(
            "--survey",
            help="Further survey to simulate, beside Gaia, Pan-STARRS1 and 2MASS: allwise, sdss, skymapper, xp (BP/RP spectra)",
        ),
    ] = None,
    g_bright: Annotated[float, typer.Option(help="Bright limit in G [mag]")] = 13.5,
    g_faint: Annotated[float, typer.Option(help="Faint limit in G [mag]")] = 20.5,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUT if it exists")] = False,
) -> None:
    """Write a mock sky in Gaia-archive columns, with true_ebv [mag] and true_distance [pc]."""
    from redflower.catalogue import check_writable, write_table
    from redflower.simulate import simulate_stars

    check_writable(out, overwrite=overwrite)
    place: tuple[float | None, ...] = (None, None, None)
    if cone is not None:
        try:
            l_deg, b_deg, radius_deg = (float(value) for value in cone.split(","))
            place = (l_deg, b_deg, radius_deg)
        except ValueError:
            raise InputError(f"--cone {cone!r}: three numbers are needed, L,B,RADIUS in degrees.") from None
    table = simulate_stars(
        stars,
        seed=seed,
        preset=preset,
        population=population,
        clouds=None if clouds is None else parse_clouds(clouds),
        g_bright_mag=g_bright,
        g_faint_mag=g_faint,
        l_deg=place[0],
        b_deg=place[1],
        radius_deg=place[2],
        surveys=survey or (),
    )
    write_table(table, out, overwrite=overwrite)
    say(f"{len(table):,} stars written to {out}")
