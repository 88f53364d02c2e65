"""`redflower infer`."""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from redflower.api import describe_statuses, status_counts
from redflower.api import infer as infer_table
from redflower.catalogue import check_writable, read_distance_prior, read_table, write_table
from redflower.cli.progress import counter, say
from redflower.constants import EBV_MAX_MAG, EBV_MIN_MAG
from redflower.posterior import PAPER_SETTINGS, InferenceSettings, NutsSettings

EXIT_SOME_FAILED = 1


def infer(
    stars: Annotated[Path, typer.Argument(help="Prepared table (prepare --for inference)")],
    out: Annotated[
        Path, typer.Argument(help="Table to write, a row per star: .parquet .fits .ecsv .vot .csv")
    ],
    model: Annotated[str, typer.Option(help="Name of a shipped model (redflower models) or a file")],
    ebv_min: Annotated[float, typer.Option(help="Lower end of the reddening prior [mag]")] = EBV_MIN_MAG,
    ebv_max: Annotated[float, typer.Option(help="Upper end of the reddening prior [mag]")] = EBV_MAX_MAG,
    distance_prior: Annotated[
        Path | None,
        typer.Option(help="CSV of the prior that the model was trained with; else the mock Galaxy's"),
    ] = None,
    chains: Annotated[int, typer.Option(help="Chains per star")] = NutsSettings().n_chains,
    warmup: Annotated[int, typer.Option(help="Warm-up steps per chain")] = NutsSettings().n_warmup,
    draws: Annotated[int, typer.Option(help="Draws per chain")] = NutsSettings().n_draws,
    paper: Annotated[
        bool,
        typer.Option("--paper-settings", help="One chain of 4,000 + 10,000 steps, as in the paper (slow)"),
    ] = False,
    seed: Annotated[int, typer.Option(help="Added to each star's own seed, its source_id")] = 0,
) -> None:
    """Infer E(B-V) and distance of every star: means, deviations, quantiles, evidence, status, flags."""
    check_writable(out)
    nuts = PAPER_SETTINGS if paper else NutsSettings(n_chains=chains, n_warmup=warmup, n_draws=draws)
    settings = InferenceSettings(ebv_min_mag=ebv_min, ebv_max_mag=ebv_max, nuts=nuts, seed=seed)
    prior = read_distance_prior(distance_prior) if distance_prior else None
    table = read_table(stars)
    with counter("stars", len(table)) as progress:
        posteriors = infer_table(table, model, settings=settings, distance_prior=prior, progress=progress)
    write_table(posteriors, out)
    say(f"{len(posteriors):,} stars written to {out}")
    for line in describe_statuses(status_counts(posteriors)):
        say(line)
    if not np.isfinite(posteriors["ebv_mean"]).all():
        raise typer.Exit(EXIT_SOME_FAILED)
