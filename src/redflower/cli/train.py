"""`redflower train`."""

from pathlib import Path
from typing import Annotated

import typer

from redflower.api import train as train_model
from redflower.bands import SURVEY_ENDS
from redflower.catalogue import read_distance_prior, read_table
from redflower.cli.progress import say
from redflower.errors import InputError
from redflower.flow import load_model, save_model
from redflower.train import Epoch, read_config

BAND_CHOICES = {
    "gaia": SURVEY_ENDS["gaia"],
    "gaia+ps1": SURVEY_ENDS["ps1"],
    "gaia+ps1+2mass": SURVEY_ENDS["2mass"],
}


def train(
    stars: Annotated[Path, typer.Argument(help="Prepared table of dust-free stars (prepare --for training)")],
    model: Annotated[Path, typer.Argument(help="Model file to write (.safetensors)")],
    config: Annotated[
        Path | None, typer.Option(help="TOML configuration, such as configs/laptop.toml; else the defaults")
    ] = None,
    bands: Annotated[str, typer.Option(help="gaia, gaia+ps1 or gaia+ps1+2mass")] = "gaia+ps1+2mass",
    distance_prior: Annotated[
        Path | None, typer.Option(help="CSV of Bailer-Jones et al. 2021; else the mock Galaxy's")
    ] = None,
    start_from: Annotated[
        str | None, typer.Option(help="Model to go on from: a shipped name or a file")
    ] = None,
    max_minutes: Annotated[float | None, typer.Option(help="Stop after this time, keeping the best")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the checkpoint of a killed run")
    ] = False,
    description: Annotated[str, typer.Option(help="One sentence on what the model is")] = "",
) -> None:
    """Train the flow on stars believed free of dust."""
    if bands not in BAND_CHOICES:
        raise InputError(f"--bands {bands!r}: one of {', '.join(BAND_CHOICES)} is needed.")
    settings = read_config(config)
    prior = read_distance_prior(distance_prior) if distance_prior else None
    start = load_model(start_from) if start_from else None

    def show(epoch: Epoch) -> None:
        say(
            f"stage {epoch.stage + 1} of {len(settings.stages)}, epoch {epoch.epoch + 1}: ln evidence per star "
            f"{epoch.validation_log_evidence:.4f} held out, {epoch.train_log_evidence:.4f} training; "
            f"{epoch.stars_per_s:,.0f} stars/s"
        )

    trained, result = train_model(
        read_table(stars),
        name=model.stem,
        description=description,
        config=settings,
        n_bands=BAND_CHOICES[bands],
        distance_prior=prior,
        start_from=start,
        max_minutes=max_minutes,
        checkpoint=model.with_name(f"{model.stem}.checkpoint"),
        resume=resume,
        progress=show,
    )
    path = save_model(trained, model)
    say(
        f"{trained.model_id} written to {path}: ln evidence per held-out star "
        f"{result.validation_log_evidence:.4f}; {result.stopped_because}"
    )
