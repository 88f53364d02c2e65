"""`redflower spectra`."""

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from redflower.cli.progress import counter, say
from redflower.errors import InputError
from redflower.files import check_outputs


def spectra(
    coefficients: Annotated[
        list[Path],
        typer.Argument(
            help="Files of BP/RP coefficients as the Gaia archive (XP_CONTINUOUS, RAW) or GaiaXPy deliver them: .csv .ecsv .vot "
            ".xml .fits .parquet .avro"
        ),
    ],
    out: Annotated[Path, typer.Argument(help="Table to write: .parquet .fits .ecsv .vot")],
    stars: Annotated[
        Path | None,
        typer.Option(
            help="Table of the stars in Gaia-archive columns: OUT is it, with the bands joined by source_id"
        ),
    ] = None,
    survey: Annotated[
        str, typer.Option(help="Survey whose bands to compute: a name, or a file with a section [spectra]")
    ] = "xp",
    errors: Annotated[
        Literal["montegriffo2023", "formal"],
        typer.Option(
            help="montegriffo2023: errors times its factors, which run with G; formal: those of the coefficients"
        ),
    ] = "montegriffo2023",
    least_snr: Annotated[
        float, typer.Option(help="Smallest signal-to-noise ratio of a flux that makes a magnitude")
    ] = 10.0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUT if it exists")] = False,
) -> None:
    """Compute magnitudes and their covariance from BP/RP spectra, as bands for prepare --survey xp."""
    from redflower.catalogue import check_writable, read_table, write_table
    from redflower.catalogue.spectra.bands import spectra_bands, with_bands_of

    check_writable(out, overwrite=overwrite)
    if out.suffix == ".csv":  # before the work, and not after it
        raise InputError(
            f"{out}: CSV cannot hold columns of arrays, as the covariance is; write .parquet, .fits, .ecsv or .vot."
        )
    inputs: dict[str, Path | None] = {f"COEFFICIENTS {path}": path for path in coefficients}
    check_outputs({"OUT": out}, {**inputs, "--stars": stars}, replaced=("OUT",) if overwrite else ())
    raw = None if stars is None else read_table(stars)
    with counter("spectra", None) as progress:
        table, report = spectra_bands(
            coefficients, survey, errors=errors, least_signal_to_noise=least_snr, progress=progress
        )
    Console(highlight=False, soft_wrap=True).print(report.text(), markup=False)
    write_table(table if raw is None else with_bands_of(raw, table), out, overwrite=overwrite)
    say(f"written to {out}")
