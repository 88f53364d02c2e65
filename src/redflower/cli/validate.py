"""`redflower validate`."""

import time
from pathlib import Path
from typing import Annotated

import typer

from redflower.cli.options import LAW_HELP, RESUME_HELP, WITHOUT_HELP, WORKERS_HELP, listed
from redflower.cli.progress import counter, say, warn_of_verdict
from redflower.cli.stops import kept_pieces, told_when_stopped
from redflower.files import check_new_folder
from redflower.posterior.settings import NutsSettings


def validate(
    stars: Annotated[
        Path, typer.Argument(help="Prepared table of stars free of dust, none used in training")
    ],
    out: Annotated[
        Path, typer.Argument(help="Folder to write: summary.json, stars.parquet, figures, report.html")
    ],
    model: Annotated[str, typer.Option(help="Name of a shipped model (redflower models) or a file")],
    n_stars: Annotated[
        int | None, typer.Option("--stars", help="Number of stars to take, at random; by default all")
    ] = None,
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
    law: Annotated[str | None, typer.Option(help=LAW_HELP)] = None,
    without: Annotated[str | None, typer.Option(help=WITHOUT_HELP)] = None,
    resample: Annotated[
        bool,
        typer.Option("--resample", help="Draw noise again, as the paper does; stars then carry it twice"),
    ] = False,
    simulations: Annotated[
        int,
        typer.Option(
            min=0,
            help="Stars to draw from the model's own prior, whose posteriors must be calibrated; 0 for none",
        ),
    ] = 2000,
    engine: Annotated[str, typer.Option(help="fast or nuts, as for infer")] = "fast",
    warmup: Annotated[int, typer.Option(help="NUTS: warm-up steps per chain")] = NutsSettings().n_warmup,
    draws: Annotated[int, typer.Option(help="NUTS: draws per chain")] = NutsSettings().n_draws,
    workers: Annotated[int | None, typer.Option(help=WORKERS_HELP, min=1)] = None,
    seed: Annotated[int, typer.Option(help="Chooses the stars, the random reddenings and the draws")] = 0,
    resume: Annotated[bool, typer.Option("--resume", help=RESUME_HELP)] = False,
) -> None:
    """Redden stars by 0 to 0.4 mag, infer them with the bands up to each survey, and score the posteriors (section 5.1)."""
    from redflower.api.kept import KeptPieces
    from redflower.api.simulations import check_by_simulations
    from redflower.api.validation import validate as run_validation
    from redflower.calibrate.verdict import verdict_of
    from redflower.catalogue.law_file import named_law
    from redflower.catalogue.maps.distance_prior import named_distance_prior
    from redflower.catalogue.reading.prepared_stars import open_prepared
    from redflower.flow import load_model
    from redflower.posterior import InferenceSettings, NutsSettings
    from redflower.products.page_validation import validation_sentence
    from redflower.products.validation import TABLE, write_validation
    from redflower.scale.run_record import command_content, write_record

    began_s = time.monotonic()
    check_new_folder(out)
    settings = InferenceSettings(
        engine=engine,
        nuts=NutsSettings(n_warmup=warmup, n_draws=draws),
        seed=seed,
    )
    chosen = load_model(model) if law is None else load_model(model).with_law(named_law(law))
    prior = named_distance_prior(distance_prior) if distance_prior else None
    table = open_prepared(stars, str(stars))
    kept = KeptPieces(out.with_name(f"{out.name}.parts"), "validate", resume=resume)
    with told_when_stopped(lambda: kept_pieces(kept, "pieces of a thousand stars")), kept:
        with counter("posteriors", None) as progress:
            rows, numbers = run_validation(
                table, chosen, n_stars=n_stars, resample=resample, settings=settings, distance_prior=prior,
                photometry=photometry, without=listed(without), workers=workers, kept=kept, progress=progress,
            )  # fmt: skip
        if simulations:
            with counter("simulated stars", simulations) as progress:
                numbers["simulations"] = check_by_simulations(
                    table, chosen, n_simulations=simulations, settings=settings, distance_prior=prior,
                    photometry=photometry, without=listed(without), workers=workers, kept=kept, progress=progress,
                )  # fmt: skip
        write_validation(rows, numbers, out)
        asked = {"model": chosen.model_id, "engine": engine, "simulations": simulations, "seed": seed}
        content = command_content(
            "validate", stars, asked, {"posteriors": len(rows)}, seconds=time.monotonic() - began_s
        )
        write_record(out / TABLE, content)
        kept.remove()
    warn_of_verdict(verdict_of(numbers["provenance"]))
    typer.echo(validation_sentence(numbers))
    say(f"tables, figures and report.html are in {out}")
