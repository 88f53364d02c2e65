"""`redflower prepare`."""

from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console

from redflower.cli.options import RESUME_HELP, SCHEDULER_HELP, WORKERS_HELP, listed, refuse_options
from redflower.cli.progress import counter, say
from redflower.cli.stops import kept_stars, told_when_stopped
from redflower.constants import LATITUDE_MIN_DEG, TRAINING_EBV_MAX_MAG
from redflower.errors import InputError
from redflower.files import check_new_file, check_new_files, check_outputs
from redflower.provenance import META_KEY

EXIT_SOME_FAILED = 1


def prepare(
    raw: Annotated[
        str,
        typer.Argument(
            help="Table of stars in Gaia-archive columns, or a HATS catalogue: folder or hats:// address"
        ),
    ],
    out: Annotated[
        Path,
        typer.Argument(
            help="Prepared table to write: .parquet .fits .ecsv .vot .csv; for HATS the folder of a catalogue"
        ),
    ],
    purpose: Annotated[
        Literal["training", "inference"], typer.Option("--for", help="What the stars are for")
    ],
    columns: Annotated[
        Path | None, typer.Option(help="TOML map of column names, where they differ from the Gaia archive's")
    ] = None,
    write_columns: Annotated[
        Path | None,
        typer.Option(
            help="TOML file to write: a column map of RAW to fill in, with what was found and what was not"
        ),
    ] = None,
    photometry: Annotated[
        str | None,
        typer.Option(
            help="Release of each survey's magnitudes, such as ps1=pre-release,gaia=dr2; by default what RAW or the column "
            "map states, else the archives' current releases"
        ),
    ] = None,
    ebv_map: Annotated[
        str | None,
        typer.Option(
            help="HEALPix FITS map of E(B-V), or dustmaps:sfd and the like, to choose dust-free stars"
        ),
    ] = None,
    ebv_map_scale: Annotated[
        float,
        typer.Option(
            help="Further factor from the map's values to E(B-V) in mag (1.285e-22 for N_HI per cm^2)"
        ),
    ] = 1.0,
    ebv_map_checksum: Annotated[
        str | None, typer.Option(help="MD5 or SHA-256 of the map's file, as its publisher states it")
    ] = None,
    ebv_max: Annotated[
        float, typer.Option(help="Largest E(B-V) of that map for training [mag]")
    ] = TRAINING_EBV_MAX_MAG,
    zero_point: Annotated[
        str,
        typer.Option(
            help="Parallax zero point: auto (Gaia DR3: Lindegren et al. 2021; DR4: its own bias), none, or a number in mas"
        ),
    ] = "auto",
    g_bright: Annotated[float, typer.Option(help="Bright limit in G [mag]")] = 13.5,
    g_faint: Annotated[float, typer.Option(help="Faint limit in G [mag]")] = 20.5,
    latitude: Annotated[
        float,
        typer.Option(
            help="Smallest |b| [deg]; the method is meant for 20 and above; stars below are flagged"
        ),
    ] = LATITUDE_MIN_DEG,
    parallax_min: Annotated[
        float | None,
        typer.Option(
            help="Keep only training stars with a parallax above this [mas]; 0 is the paper's cut, none the default"
        ),
    ] = None,
    complete: Annotated[
        str | None, typer.Option(help="Keep only stars with every band: ps1 (8 bands) or 2mass (11 bands)")
    ] = None,
    ps1_rank: Annotated[
        int,
        typer.Option(
            help="Worst rank of Pan-STARRS1 measurements: 0 photometric, unsaturated, no bad pixels"
        ),
    ] = 0,
    with_cut: Annotated[
        list[str] | None,
        typer.Option(
            "--with-cut",
            help="Further cut by name, with its number if it takes one; again for more: excess-factor[=3], bp-signal[=10], "
            "qso-candidates, galaxy-candidates",
        ),
    ] = None,
    survey: Annotated[
        list[str] | None,
        typer.Option(
            "--survey",
            help="Further survey whose bands to read: a name (redflower surveys) or a file that describes one; again for more",
        ),
    ] = None,
    keep_first: Annotated[
        bool, typer.Option("--keep-first", help="Keep the first of rows with one source_id; else an error")
    ] = False,
    keep: Annotated[
        str | None,
        typer.Option(
            help="Further columns of RAW to carry through this and infer, with commas: name,membership"
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUT if it exists")] = False,
    report: Annotated[
        Path | None, typer.Option(help="JSON file for the counts after every cut and the median errors")
    ] = None,
    left_out: Annotated[
        Path | None,
        typer.Option(
            help="Table of the stars that are cut, each with the first cut that it fails: .parquet .fits .ecsv .vot .csv"
        ),
    ] = None,
    selection: Annotated[
        Path | None,
        typer.Option(
            help=".safetensors file for the selection function; RAW must hold every Gaia star of its region"
        ),
    ] = None,
    figures: Annotated[
        Path | None,
        typer.Option(help="Folder for figures of the sample: colours, coverage, RUWE, limits, sky"),
    ] = None,
    workers: Annotated[int | None, typer.Option(help=f"HATS only: {WORKERS_HELP}", min=1)] = None,
    scheduler: Annotated[str | None, typer.Option(help=SCHEDULER_HELP)] = None,
    resume: Annotated[bool, typer.Option("--resume", help=f"HATS only: {RESUME_HELP}")] = False,
) -> None:
    """Cut, correct and clean a table of stars for training or inference; a count after every cut."""
    from redflower.catalogue import QualityLimits, write_table
    from redflower.catalogue import prepare as prepare_table
    from redflower.catalogue.io.hats import is_hats
    from redflower.catalogue.quality.named_cuts import with_cuts

    limits = QualityLimits(
        g_bright_mag=g_bright,
        g_faint_mag=g_faint,
        latitude_min_deg=latitude,
        parallax_min_mas=parallax_min,
        ps1_rank_max=ps1_rank,
        complete_to=complete,  # type: ignore[arg-type]  # checked inside
    )
    limits = with_cuts(limits, with_cut or ())
    asked: dict[str, Any] = {
        "purpose": purpose, "columns": columns, "photometry": photometry, "limits": limits,
        "zero_point": _zero_point(zero_point), "ebv_map": ebv_map, "ebv_map_scale": ebv_map_scale,
        "ebv_map_checksum": ebv_map_checksum, "ebv_max_mag": ebv_max,
        "duplicates": "keep_first" if keep_first else "error", "keep": listed(keep), "surveys": survey or (),
    }  # fmt: skip
    if is_hats(raw):
        unused = {
            "--left-out": left_out,
            "--selection": selection,
            "--figures": figures,
            "--write-columns": write_columns,
        }
        refuse_options("a HATS catalogue, which is never held as a whole", unused)
        _prepare_hats(
            raw, out, asked, report, resume=resume, overwrite=overwrite, workers=workers, scheduler=scheduler
        )
        return
    refuse_options(
        "a table; it takes a HATS catalogue",
        {"--workers": workers, "--scheduler": scheduler, "--resume": resume},
    )
    files = {
        "OUT": out,
        "--report": report,
        "--left-out": left_out,
        "--selection": selection,
        "--write-columns": write_columns,
    }
    outputs = {said: path for said, path in files.items() if path is not None}
    _check_outputs(outputs, raw=raw, columns=columns, ebv_map=ebv_map, figures=figures, overwrite=overwrite)
    if write_columns is not None:
        from redflower.catalogue.reading.reader import write_columns as write_map

        write_map(raw, write_columns, columns)
        say(f"a column map to fill in is in {write_columns}")
    prepared = prepare_table(raw, **asked, count_selection=selection is not None)
    write_table(prepared.table, out, overwrite=overwrite)
    if left_out is not None and prepared.left_out is not None:
        write_table(prepared.left_out, left_out)
    if report is not None:
        prepared.report.write_json(report)
    console = Console(highlight=False, soft_wrap=True)
    console.print(prepared.report.text(), markup=False)
    cells = None
    if selection is not None and prepared.counts is not None:
        from redflower.catalogue.maps.selection import check_selection, selection_cells
        from redflower.catalogue.maps.selection_file import write_selection

        cells = selection_cells(prepared.counts)
        write_selection(cells, selection, prepared.table.meta[META_KEY])
        console.print(check_selection(cells, prepared.counts).text(), markup=False)
    if figures is not None:
        from redflower.products.survey import write_figures

        write_figures(figures, prepared, limits, ebv_max, None if cells is None else cells.function())


def _prepare_hats(
    raw: str, out: Path, asked: dict[str, Any], report: Path | None, *, resume: bool, overwrite: bool, workers: int | None,
    scheduler: str | None,
) -> None:  # fmt: skip
    """Prepare a HATS catalogue, and say what became of it."""
    from redflower.catalogue.prepare_request import PrepareRequest
    from redflower.scale import prepare_hats
    from redflower.surveys import survey_named

    if report is not None:
        check_new_file(report, "--report")

    request = PrepareRequest(**{**asked, "surveys": tuple(survey_named(one) for one in asked["surveys"])})

    stopped = partial(kept_stars, out, partitions=True, prepared=True)
    with told_when_stopped(stopped), counter("stars", None) as progress:
        done = prepare_hats(
            raw, out, request, resume=resume, overwrite=overwrite, workers=workers, scheduler=scheduler,
            progress=progress,
        )  # fmt: skip
    if report is not None:
        done.report.write_json(report)
    Console(highlight=False, soft_wrap=True).print(done.report.text(), markup=False)
    say(f"{done.report.n_after:,} stars written to {out}")
    for failure in done.failures:
        say(f"failed: {failure.message}")
    if done.failures:
        say(
            f"try them again: the same command with --resume; the others are in {out}, and their records in {out}.parts"
        )
        raise typer.Exit(EXIT_SOME_FAILED)


def _check_outputs(
    outputs: dict[str, Path],
    *,
    raw: str,
    columns: Path | None,
    ebv_map: str | None,
    figures: Path | None,
    overwrite: bool,
) -> None:
    """Refuse, before any work, files that cannot be written or that are an input."""
    from redflower.catalogue import check_writable
    from redflower.catalogue.maps.dustmaps_map import PREFIX
    from redflower.catalogue.maps.map_column import split_column

    check_writable(outputs["OUT"], overwrite=overwrite)
    if "--left-out" in outputs:
        check_writable(outputs["--left-out"])
    selection = outputs.get("--selection")
    if selection is not None and selection.suffix != ".safetensors":
        raise InputError(f"--selection {selection}: the file must end in .safetensors.")
    dust_file = split_column(ebv_map)[0] if ebv_map is not None and not ebv_map.startswith(PREFIX) else None
    check_outputs(
        outputs,
        {"RAW": Path(raw), "--columns": columns, "--ebv-map": dust_file},
        replaced=("OUT",) if overwrite else (),
    )
    if figures is not None:
        from redflower.products.survey import figure_files

        check_new_files("--figures", figures, figure_files(), list(outputs.values()))


def _zero_point(text: str) -> str | float:
    """Return the zero point that was asked for: a rule's name, or a number. [mas]"""
    if text in ("auto", "none"):
        return text
    try:
        return float(text)
    except ValueError:
        raise InputError(
            f"--zero-point {text!r}: give auto, none, or the zero point in mas, e.g. -0.029."
        ) from None
