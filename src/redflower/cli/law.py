"""`redflower law`."""

from pathlib import Path
from typing import Annotated

import typer

from redflower.cli.progress import say
from redflower.cli.surveys import surveys_of
from redflower.errors import InputError
from redflower.files import check_new_file, written_whole


def law(
    out: Annotated[Path, typer.Argument(help="File to write, for --law FILE: .toml")],
    bands: Annotated[
        str, typer.Option(help="Surveys whose bands, in the order of the model, with plus signs")
    ] = "gaia+ps1+2mass",
    survey: Annotated[
        list[str] | None,
        typer.Option("--survey", help="File that describes a further survey of --bands; again for more"),
    ] = None,
    curve: Annotated[
        str, typer.Option(help="Curve of dust_extinction: F99, CCM89, O94, F04, F19 or G23")
    ] = "F99",
    rv: Annotated[float, typer.Option(help="R_V = A(V) / E(B-V) of the dust")] = 3.1,
    temperature: Annotated[
        float, typer.Option(help="Temperature of the black body that stands for the star [K]")
    ] = 6000.0,
    spectrum: Annotated[
        Path | None, typer.Option(help="CSV of a star's wavelength_nm and flux per wavelength, in its place")
    ] = None,
) -> None:
    """Compute extinction coefficients by integrating a curve over passbands, as a file for --law."""
    from redflower.bands import band_set
    from redflower.catalogue.passband_law import EBV_MAG, integrated_law, law_text

    if out.suffix != ".toml":
        raise InputError(f"{out}: the file of a law must end in .toml.")
    check_new_file(out, "OUT")
    chosen = surveys_of(bands, survey)
    tables = {name: path for one in chosen for name, path in one.passband_tables}
    made = integrated_law(
        band_set(chosen), curve=curve, r_v=rv, temperature_k=temperature, spectrum=spectrum, tables=tables
    )
    star = f"black body of {temperature:g} K" if spectrum is None else str(spectrum.name)
    said = {"curve": f"{curve}, R_V = {rv:g}", "spectrum": star, "E(B-V)": f"{EBV_MAG:g} mag"}
    with written_whole(out) as part:
        part.write_text(law_text(made, said), "utf-8")
    for band, label, value in zip(made.bands, made.bands.labels, made.values, strict=True):
        measured = "" if band.extinction is None else f" (stated: {band.extinction.single:.3f})"
        typer.echo(f"{label}: R = {value:.3f}{measured}")
    say(f"written to {out}")
