"""`redflower infer`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from redflower.cli.options import (
    LAW_HELP,
    RESUME_HELP,
    SCHEDULER_HELP,
    WITHOUT_HELP,
    WORKERS_HELP,
    listed,
    refuse_options,
)
from redflower.cli.progress import counter, say, show_verdict
from redflower.cli.stops import kept_stars, told_when_stopped
from redflower.constants import EBV_MAX_MAG, EBV_MIN_MAG, OUTLIER_SHARE
from redflower.posterior.settings import FastSettings, NutsSettings
from redflower.posterior.status import ENGINE_MESSAGES

if TYPE_CHECKING:
    from redflower.flow import Model
    from redflower.scale.part_record import Failure

EXIT_SOME_FAILED = 1
#: Of stars that failed together, so many are named.
NAMED = 5
#: Words of rows in which nothing was inferred.
NOTHING_INFERRED = ("nonfinite", "no_bands", "outside_limits", "failed")


def infer(
    stars: Annotated[
        str,
        typer.Argument(
            help="Prepared table (prepare --for inference), or a prepared HATS catalogue: folder or hats:// address"
        ),
    ],
    out: Annotated[
        Path,
        typer.Argument(
            help="Table to write, a row per star: .parquet .fits .ecsv .vot .csv; for HATS the folder of a catalogue"
        ),
    ],
    model: Annotated[str, typer.Option(help="Name of a shipped model (redflower models) or a file")],
    engine: Annotated[
        Literal["fast", "nuts"],
        typer.Option(
            help="fast (milliseconds per star; hard stars are passed to importance weights and NUTS) or nuts",
        ),
    ] = "fast",
    density: Annotated[
        bool,
        typer.Option(
            "--density", help="Add the joint density of E(B-V) and distance modulus, which sightline needs"
        ),
    ] = False,
    ebv_min: Annotated[float, typer.Option(help="Lower end of the reddening prior [mag]")] = EBV_MIN_MAG,
    ebv_max: Annotated[float, typer.Option(help="Upper end of the reddening prior [mag]")] = EBV_MAX_MAG,
    distance_prior: Annotated[
        Path | None,
        typer.Option(
            help="CSV of the prior that the model was trained with, or mock or sky; by default the model's if packaged"
        ),
    ] = None,
    photometry: Annotated[
        str | None,
        typer.Option(help="Photometric scale of a table that states none, such as ps1=archive,gaia=dr3"),
    ] = None,
    offsets: Annotated[
        Path | None,
        typer.Option(help="offsets.json of `redflower calibrate`, to take off the magnitudes"),
    ] = None,
    keep: Annotated[
        str | None,
        typer.Option(help="Further columns of STARS to pass on, with commas: gaia_g,gaia_bp,gaia_rp,ruwe"),
    ] = None,
    law: Annotated[str | None, typer.Option(help=LAW_HELP)] = None,
    without: Annotated[str | None, typer.Option(help=WITHOUT_HELP)] = None,
    max_shift: Annotated[
        float,
        typer.Option(
            help="Pass a star to slower engines when its exact weights shift a mean by more than this, in sigmas"
        ),
    ] = FastSettings().max_shift,
    hand_on: Annotated[
        bool,
        typer.Option(
            help="Pass stars that the fast engine cannot settle to NUTS; with --no-hand-on their status is low_ess"
        ),
    ] = True,
    outlier_share: Annotated[
        float,
        typer.Option(
            help="Share of the stars that are not of the model's population: quasars, galaxies, bad matches; 0 for none"
        ),
    ] = OUTLIER_SHARE,
    ebv_limit: Annotated[
        float | None,
        typer.Option(
            help="Total dust towards the stars [mag], to flag those that dust may have dimmed into the sample; by "
            "default that of the map given to prepare, else --ebv-max"
        ),
    ] = None,
    chains: Annotated[int, typer.Option(help="NUTS: chains per star")] = NutsSettings().n_chains,
    warmup: Annotated[int, typer.Option(help="NUTS: warm-up steps per chain")] = NutsSettings().n_warmup,
    draws: Annotated[int, typer.Option(help="NUTS: draws per chain")] = NutsSettings().n_draws,
    paper: Annotated[
        bool,
        typer.Option(
            "--paper-settings", help="NUTS: one chain of 4,000 + 10,000 steps, as in the paper (slow)"
        ),
    ] = False,
    seed: Annotated[int, typer.Option(help="Added to each star's own seed, its source_id")] = 0,
    workers: Annotated[int | None, typer.Option(help=WORKERS_HELP, min=1)] = None,
    scheduler: Annotated[str | None, typer.Option(help=SCHEDULER_HELP)] = None,
    part_rows: Annotated[
        int | None,
        typer.Option(
            help="Rows read, inferred and written at a time; by default a 64th of them, 1,024 to 20,480",
            min=1,
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUT if it exists")] = False,
    resume: Annotated[bool, typer.Option("--resume", help=RESUME_HELP)] = False,
) -> None:
    """Infer E(B-V) and distance of every star: means, deviations, quantiles, evidence, status, flags."""
    from redflower.api.statuses import describe_statuses
    from redflower.catalogue.io.hats import is_hats
    from redflower.catalogue.maps.distance_prior import named_distance_prior
    from redflower.flow import load_model
    from redflower.photometric_offsets import read_offsets
    from redflower.posterior import PAPER_SETTINGS, FastSettings, InferenceSettings, NutsSettings

    nuts = PAPER_SETTINGS if paper else NutsSettings(n_chains=chains, n_warmup=warmup, n_draws=draws)
    settings = InferenceSettings(
        ebv_min_mag=ebv_min,
        ebv_max_mag=ebv_max,
        engine=engine,
        nuts=nuts,
        fast=FastSettings(max_shift=max_shift),
        ebv_limit_mag=ebv_limit,
        hand_on=hand_on,
        outlier_share=outlier_share,
        density=density,
        seed=seed,
    )
    chosen = load_model(model) if law is None else _with_law(load_model(model), law)
    prior = named_distance_prior(distance_prior) if distance_prior else None
    with (
        told_when_stopped(lambda: kept_stars(out, partitions=is_hats(stars))),
        counter("stars", None) as progress,
    ):
        asked: dict[str, Any] = {
            "settings": settings, "distance_prior": prior, "photometry": photometry,
            "offsets": read_offsets(offsets) if offsets else None, "keep": listed(keep), "without": listed(without),
            "resume": resume, "overwrite": overwrite, "workers": workers, "progress": progress,
        }  # fmt: skip
        if is_hats(stars):
            from redflower.scale import infer_hats

            refuse_options("a HATS catalogue, which has partitions", {"--part-rows": part_rows})
            report = infer_hats(stars, out, chosen, scheduler=scheduler, **asked)
        else:
            from redflower.scale import infer_file

            refuse_options("a table; it takes a HATS catalogue", {"--scheduler": scheduler})
            report = infer_file(stars, out, chosen, part_rows=part_rows, estimate=say, **asked)
    say(f"{report.n_stars:,} stars written to {out}")
    for line in report.moved:
        say(f"photometry: {line}")
    for line in describe_statuses(report.statuses):
        say(line)
    for word, count in report.engines.items():
        say(f"{count:>7,}  settled by {word}: {ENGINE_MESSAGES[word]}")
    show_verdict(report.verdict)
    for failure in report.failures:
        say(_named(failure))
    if report.failures:
        say(
            f"try the stars that failed again: the same command with --resume; their parts are kept in {out}.parts"
        )
    # A partition that could not be read has no status: its stars are in no row.
    if report.failures or any(report.statuses.get(word) for word in NOTHING_INFERRED):
        raise typer.Exit(EXIT_SOME_FAILED)


def _with_law(model: "Model", law: str) -> "Model":
    """Return the model with the law of an option."""
    from redflower.bands import STANDARD
    from redflower.catalogue.law_file import named_law

    return model.with_law(named_law(law, None if model.star_bands == STANDARD else model.star_bands))


def _named(failure: "Failure") -> str:
    """Say which stars failed, and why."""
    ids = failure.source_id
    if not ids:
        return f"failed: {failure.message}"
    more = "" if len(ids) <= NAMED else f" and {len(ids) - NAMED:,} more"
    stars = f"star {ids[0]}" if len(ids) == 1 else f"{len(ids):,} stars"
    named = "" if len(ids) == 1 else f" ({', '.join(map(str, ids[:NAMED]))}{more})"
    return f"{stars} of part {failure.part} failed: {failure.message}{named}"
