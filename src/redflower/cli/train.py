"""`redflower train`."""

from pathlib import Path
from typing import Annotated

import typer

from redflower.cli.progress import say
from redflower.cli.stops import NOTHING_KEPT, told_when_stopped
from redflower.cli.surveys import surveys_of
from redflower.cli.training_lines import TrainingLines
from redflower.errors import InputError
from redflower.files import check_outputs, is_there

EXIT_SOME_STARS = 1


def train(
    stars: Annotated[Path, typer.Argument(help="Prepared table of dust-free stars (prepare --for training)")],
    model: Annotated[Path, typer.Argument(help="Model file to write (.safetensors)")],
    config: Annotated[
        Path | None, typer.Option(help="TOML configuration, such as configs/laptop.toml; else --preset")
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(
            help="quick, standard, best or paper: stages for this sample and machine. Default: standard, or quick under 8 minutes"
        ),
    ] = None,
    bands: Annotated[
        str,
        typer.Option(
            help="Surveys in the order of the model's bands: gaia, gaia+ps1, gaia+ps1+2mass, gaia+ps1+2mass+allwise, ... "
            "(redflower surveys)"
        ),
    ] = "gaia+ps1+2mass",
    survey: Annotated[
        list[str] | None,
        typer.Option("--survey", help="File that describes a survey of --bands; again for more"),
    ] = None,
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
            help="Extinction law: zhang23-corrected (the default), zhang23 (as printed), or a .toml or .json file of R; "
            "with --start-from, that model's"
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
    max_minutes: Annotated[
        float | None,
        typer.Option(help="Time for flow and emulator: both are shortened to it, after timing some steps"),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Resume from the checkpoint of a killed run")
    ] = False,
    description: Annotated[str, typer.Option(help="One sentence on what the model is")] = "",
) -> None:
    """Train the flow on stars believed free of dust.

    A Parquet table may be larger than memory. Beside MODEL stands a folder MODEL.report with curves, figures and one
    page. A checkpoint is written after every epoch; the same command with --resume continues from it, to the same model.
    """
    from redflower.api.training import train as train_model
    from redflower.api.training_plan import chosen_preset
    from redflower.bands import STANDARD, band_set
    from redflower.catalogue.law_file import named_law
    from redflower.catalogue.maps.distance_prior import named_distance_prior
    from redflower.catalogue.maps.selection_file import read_selection
    from redflower.flow import load_model, save_model
    from redflower.products.training import write_training_report
    from redflower.train import read_config

    chosen = surveys_of(bands, survey)
    of_model = band_set(chosen)
    model = with_suffix(model)
    report, checkpoint = (model.with_name(f"{model.stem}.{ending}") for ending in ("report", "checkpoint"))
    if not resume:
        inputs = {
            "STARS": stars,
            "--config": config,
            "--selection": selection,
            "--distance-prior": distance_prior,
        }
        _check_new(model, report, checkpoint, inputs)
    settings = read_config(config) if config is not None else None
    chosen_preset(settings, preset, max_minutes)  # before the stars are read
    lines = TrainingLines(max_minutes)
    with told_when_stopped(lambda: _kept(checkpoint, lines)):
        prior = named_distance_prior(distance_prior) if distance_prior else None
        selected = read_selection(selection) if selection else None
        start = load_model(start_from) if start_from else None
        chosen_law = named_law(law, None if of_model.begins(STANDARD) else of_model) if law else None
        if not resume:
            say("timing some steps of every stage and of the emulator on this machine")
        trained, result = train_model(
            stars, name=model.stem, description=description, config=settings, preset=preset, surveys=chosen,
            photometry=photometry, keep_coverage=keep_coverage, max_minutes=max_minutes, checkpoint=checkpoint, resume=resume,
            estimate=lines.plan, progress=lines.epoch, step_progress=lines.step, emulator_progress=lines.emulator,
            distance_prior=prior, selection=selected, start_from=start, law=chosen_law,
        )  # fmt: skip
    path = save_model(trained, model)
    write_training_report(report, trained, result)
    say(
        f"{trained.model_id} written to {path}: ln evidence per held-out star "
        f"{result.validation_log_evidence:.4f}; {result.stopped_because}. Curves and figures: {report}"
    )
    if len(result.bad_rows):
        raise typer.Exit(EXIT_SOME_STARS)


def _kept(checkpoint: Path, lines: TrainingLines) -> str:
    """Say what a stopped run has kept, and how to go on."""
    if not checkpoint.is_file():
        return f"no epoch was finished, and {NOTHING_KEPT}"
    what = (
        "all epochs of the flow, and nothing of the emulator," if lines.emulator_began else "finished epochs"
    )
    return f"{what} are kept in {checkpoint}. Go on: the same command with --resume."


def _check_new(model: Path, report: Path, checkpoint: Path, inputs: dict[str, Path | None]) -> None:
    """Refuse a model that exists, and the report or the checkpoint of an earlier one."""
    check_outputs({"MODEL": model}, inputs)
    if is_there(report):
        raise InputError(
            f"{report}, the model's report, exists already; choose another name, or remove it first."
        )
    if is_there(checkpoint):
        raise InputError(
            f"{checkpoint} is the checkpoint of a run that was stopped. Go on with it by --resume, or remove the file."
        )


def with_suffix(model: Path) -> Path:
    """Return the file that will be written."""
    from redflower.flow.model_file import SUFFIX

    return model if model.suffix == SUFFIX else model.with_name(model.name + SUFFIX)
