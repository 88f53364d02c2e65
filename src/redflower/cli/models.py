"""`redflower models` and `redflower cite`."""

from typing import Annotated

import typer


def models(
    name: Annotated[str | None, typer.Argument(help="A shipped name or a file, to describe in full")] = None,
) -> None:
    """List the shipped models, or describe one."""
    from redflower.flow import load_model, shipped_models

    for entry in [name] if name else list(shipped_models()):
        model = load_model(entry)
        typer.echo(f"{entry}: {model.description}")
        if name:
            typer.echo(f"  id: {model.model_id}")
            typer.echo(f"  bands: {', '.join(model.band_names)}")
            typer.echo(f"  limits: {model.g_bright_mag:g} < G < {model.g_faint_mag:g} mag")
            typer.echo(
                f"  selection function: {'yes' if model.selection is not None else 'none (1 within the limits)'}"
            )
            typer.echo(f"  photometric scale: {model.photometry or 'not stated'}")
            typer.echo(f"  extinction law: {model.law.name}")
            typer.echo(f"  distance prior: {model.distance_prior.get('name', 'unknown')}")
            for key, value in model.provenance.items():
                typer.echo(f"  {key}: {value}")


def cite() -> None:
    """Print the BibTeX of what a usual run uses: the method, the data, the model's ingredients and the software."""
    from redflower.citations import bibtex

    typer.echo(bibtex())
