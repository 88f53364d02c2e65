"""`redflower train`."""

import time
from pathlib import Path
from typing import Annotated

import typer

from redflower.bands import SURVEY_ENDS
from redflower.cli.progress import say
from redflower.errors import InputError
from redflower.files import check_outputs

STEP_LINE_EVERY_S = 30.0
EXIT_SOME_STARS = 1

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
        Path | None,
        typer.Option(
            help="CSV of Bailer-Jones et al. 2021, or sky: that of simulate --population sky; else the mock Galaxy's"
        ),
    ] = None,
    photometry: Annotated[
        str | None,
        typer.Option(help="Photometric scale of a table that states none, such as ps1=archive,gaia=dr3"),
    ] = None,
    selection: Annotated[
        Path | None, typer.Option(help="Selection function that `prepare --selection` wrote for these stars")
    ] = None,
    law: Annotated[
        str | None,
        typer.Option(
            help="Extinction law: zhang23-corrected (the default) or zhang23 (as printed); with --start-from, that model's"
        ),
    ] = None,
    start_from: Annotated[
        str | None, typer.Option(help="Model to start from: a shipped name or a file")
    ] = None,
    keep_coverage: Annotated[
        bool,
        typer.Option(
            "--keep-coverage",
            help="Keep the (R, Z) coverage of --start-from, including regions without new stars, where the result is unchecked",
        ),
    ] = False,
    max_minutes: Annotated[float | None, typer.Option(help="Stop after this time, keeping the best")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the checkpoint of a killed run")
    ] = False,
    description: Annotated[str, typer.Option(help="One sentence on what the model is")] = "",
) -> None:
    """Train the flow on stars believed free of dust.

    A Parquet table may be larger than memory. Beside MODEL stands a folder MODEL.report with curves, figures and one
    page. A checkpoint is written after every epoch; the same command with --resume continues from it, to the same model.
    """
    from redflower.api.training import train as train_model
    from redflower.catalogue.maps.selection_file import read_selection
    from redflower.cli.prior import prior_for
    from redflower.flow import load_model, save_model
    from redflower.physics import law_of_name
    from redflower.products.training import write_training_report
    from redflower.train import DistilStep, Epoch, read_config

    if bands not in BAND_CHOICES:
        raise InputError(f"--bands {bands!r}: one of {', '.join(BAND_CHOICES)} is needed.")
    model = with_suffix(model)
    report = model.with_name(f"{model.stem}.report")
    if not resume:
        inputs = {
            "STARS": stars,
            "--config": config,
            "--selection": selection,
            "--distance-prior": distance_prior,
        }
        check_outputs({"MODEL": model}, inputs, make_folders=True)
        if report.exists():
            raise InputError(
                f"{report}, the model's report, exists already; choose another name, or remove it first."
            )
    settings = read_config(config)
    prior = prior_for(distance_prior, stars)
    selected = read_selection(selection) if selection else None
    start = load_model(start_from) if start_from else None
    chosen_law = law_of_name(law) if law else None

    lines = StepLines()

    def show(epoch: Epoch) -> None:
        contrast = ""
        if settings.contrast.strength > 0.0:
            contrast = f"reddened copies {epoch.validation_log_contrast:.2f} at lambda {epoch.contrast_strength:.3f}; "
        say(
            f"stage {epoch.stage + 1} of {len(settings.stages)}, epoch {epoch.epoch + 1}: ln evidence per star "
            f"{epoch.validation_log_evidence:.4f} held out, {epoch.train_log_evidence:.4f} training; {contrast}"
            f"{epoch.stars_per_s:,.0f} stars/s, at most {duration(epoch.seconds_left)} left"
        )

    def show_emulator(step: DistilStep) -> None:
        say(
            f"emulator of the fast engine, step {step.step:,} of {step.n_steps:,}: ln density {-step.density_loss:.4f}, "
            f"ln proposal {-step.denoiser_loss:.4f} per held-out star; "
            f"{duration(step.seconds / step.step * (step.n_steps - step.step))} left"
        )

    trained, result = train_model(
        stars,
        name=model.stem,
        description=description,
        config=settings,
        n_bands=BAND_CHOICES[bands],
        distance_prior=prior,
        photometry=photometry,
        selection=selected,
        law=chosen_law,
        start_from=start,
        keep_coverage=keep_coverage,
        max_minutes=max_minutes,
        checkpoint=model.with_name(f"{model.stem}.checkpoint"),
        resume=resume,
        progress=show,
        step_progress=lines,
        emulator_progress=show_emulator,
    )
    path = save_model(trained, model)
    write_training_report(report, trained, result)
    say(
        f"{trained.model_id} written to {path}: ln evidence per held-out star "
        f"{result.validation_log_evidence:.4f}; {result.stopped_because}. Curves and figures: {report}"
    )
    if len(result.bad_rows):
        raise typer.Exit(EXIT_SOME_STARS)


class StepLines:
    """Print a line every half minute during long epochs."""

    def __init__(self) -> None:
        self._started = self._last = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if done == 1:
            self._started = self._last = now
        elif now - self._last > STEP_LINE_EVERY_S:
            self._last = now
            left = (now - self._started) * (total - done) / (done - 1)
            say(f"  step {done:,} of {total:,}; {duration(left)} left of this epoch")


def duration(seconds: float) -> str:
    """Return a time span in the unit that suits it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def with_suffix(model: Path) -> Path:
    """Return the file that will be written."""
    from redflower.flow.model import SUFFIX

    return model if model.suffix == SUFFIX else model.with_name(model.name + SUFFIX)
