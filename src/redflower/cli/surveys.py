"""`redflower surveys`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from redflower.errors import InputError

if TYPE_CHECKING:
    from redflower.survey import Survey


def surveys(
    name: Annotated[
        str | None,
        typer.Argument(help="A survey, or a file that describes one: check it and describe it in full"),
    ] = None,
    show: Annotated[
        bool,
        typer.Option("--show", help="Print the file of a shipped survey, to start a file of your own from"),
    ] = False,
) -> None:
    """List the surveys whose bands can be used, or describe one; --survey FILE of prepare and train adds another."""
    from redflower.surveys import shipped_surveys, survey_named, survey_text

    if name is None:
        if show:
            raise InputError("--show prints the file of one survey: redflower surveys allwise --show.")
        for survey in shipped_surveys().values():
            labels = " ".join(band.label for band in survey.bands)
            marks = [] if survey.by_default else ["with --survey"]
            marks += ["draft"] if survey.draft else []
            typer.echo(f"{survey.name}: {labels} ({survey.title}{''.join('; ' + mark for mark in marks)})")
        return
    if show:
        if name not in shipped_surveys():
            raise InputError(
                f"--show: {name!r} is no shipped survey; there are {', '.join(shipped_surveys())}."
            )
        typer.echo(survey_text(name), nl=False)
        return
    _describe(survey_named(name))


def _describe(survey: "Survey") -> None:
    """Print what is known of a survey."""
    typer.echo(f"{survey.name}: {survey.title}")
    typer.echo(f"  source: {survey.source}")
    typer.echo(f"  photometric scale: {survey.survey}={survey.release}")
    typer.echo(f"  read: {'from every table' if survey.by_default else f'with --survey {survey.name}'}")
    if survey.draft:
        typer.echo(f"  draft: {survey.draft}")
    if survey.note:
        typer.echo(f"  note: {survey.note}")
    for band in survey.bands:
        error = band.error_column or f"{band.flux_error_column} over {band.flux_column}"
        law = "no extinction coefficient" if band.extinction is None else f"R = {band.extinction.single:g}"
        typer.echo(
            f"  {band.label} ({band.name}): {band.passband}, {band.system}; {band.magnitude_column}, {error}; floor "
            f"{band.error_floor_mag:g} mag; {law}"
        )
    for cut in survey.cuts:
        typer.echo(f"  cut {cut.name}: {cut.condition} ({cut.column})")


def surveys_of(bands: str, files: "list[Path] | list[str] | None") -> "list[Survey]":
    """Return the surveys of ``--bands``, of which ``--survey`` describes some.

    Parameters
    ----------
    bands : names of surveys in the order of the model, with plus signs.
    files : what ``--survey`` names.

    Raises
    ------
    InputError
        If one is not known.
    """
    from redflower.surveys import shipped_surveys, survey_named

    named = {survey.name: survey for survey in map(survey_named, files or ())}
    known = {**shipped_surveys(), **named}
    wanted = [part.strip() for part in bands.split("+")]
    unknown = [part for part in wanted if part not in known]
    if unknown:
        raise InputError(
            f"--bands {bands!r}: {unknown[0]!r} is no survey that is known: {', '.join(known)}. Another is described in a file, "
            "--survey FILE, and called by the file's name."
        )
    return [known[part] for part in wanted]
