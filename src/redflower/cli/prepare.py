"""`redflower prepare`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from redflower.catalogue import (
    TRAINING_EBV_MAX_MAG,
    QualityLimits,
    check_writable,
    write_table,
)
from redflower.catalogue import prepare as prepare_table
from redflower.errors import InputError


def prepare(
    raw: Annotated[Path, typer.Argument(help="Table of stars in Gaia-archive columns")],
    out: Annotated[Path, typer.Argument(help="Prepared table to write: .parquet .fits .ecsv .vot .csv")],
    purpose: Annotated[str, typer.Option("--for", help="training or inference")],
    columns: Annotated[
        Path | None, typer.Option(help="TOML map of column names, where they differ from the Gaia archive's")
    ] = None,
    ebv_map: Annotated[
        Path | None, typer.Option(help="HEALPix FITS map of E(B-V), to choose dust-free stars for training")
    ] = None,
    ebv_max: Annotated[
        float, typer.Option(help="Largest E(B-V) of that map for training [mag]")
    ] = TRAINING_EBV_MAX_MAG,
    zero_point: Annotated[
        str, typer.Option(help="Parallax zero point: auto (Lindegren et al. 2021), none, or a number in mas")
    ] = "auto",
    g_bright: Annotated[float, typer.Option(help="Bright limit in G [mag]")] = 13.5,
    g_faint: Annotated[float, typer.Option(help="Faint limit in G [mag]")] = 20.5,
    keep_first: Annotated[
        bool, typer.Option("--keep-first", help="Keep the first of rows with one source_id; else an error")
    ] = False,
    report: Annotated[Path | None, typer.Option(help="JSON file for the counts after every cut")] = None,
) -> None:
    """Cut, correct and clean a table of stars for training or inference; a count after every cut."""
    check_writable(out)
    zero: str | float = zero_point
    if zero_point not in ("auto", "none"):
        try:
            zero = float(zero_point)
        except ValueError:
            raise InputError(
                f"--zero-point {zero_point!r}: give auto, none, or the zero point in mas, e.g. -0.029."
            ) from None
    prepared = prepare_table(
        raw,
        purpose=purpose,  # type: ignore[arg-type]  # checked inside
        columns=columns,
        limits=QualityLimits(g_bright_mag=g_bright, g_faint_mag=g_faint),
        zero_point=zero,  # type: ignore[arg-type]  # checked inside
        ebv_map=ebv_map,
        ebv_max_mag=ebv_max,
        duplicates="keep_first" if keep_first else "error",
    )
    write_table(prepared.table, out)
    if report is not None:
        prepared.report.write_json(report)
    Console(highlight=False, soft_wrap=True).print(prepared.report.text(), markup=False)
