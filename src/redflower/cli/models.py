"""`redflower models` and `redflower cite`."""

from typing import Annotated

import typer

from redflower.provenance import VERSION

BIBTEX = f"""@article{{OCallaghan2025,
  author  = {{O'Callaghan, Matthew and Mandel, Kaisey S. and Gilmore, Gerry}},
  title   = {{Data-driven dust inference at mid-to-high Galactic latitudes using probabilistic machine learning}},
  year    = {{2025}},
}}
@article{{ZhangYuan2023,
  author  = {{Zhang, Ruoyi and Yuan, Haibo}},
  title   = {{Empirical temperature- and extinction-dependent extinction coefficients}},
  journal = {{ApJS}}, volume = {{264}}, pages = {{14}}, year = {{2023}},
}}
@article{{Lindegren2021,
  author  = {{Lindegren, L. and others}},
  title   = {{Gaia Early Data Release 3. Parallax bias versus magnitude, colour, and position}},
  journal = {{A&A}}, volume = {{649}}, pages = {{A4}}, year = {{2021}},
}}
@article{{BailerJones2021,
  author  = {{Bailer-Jones, C. A. L. and others}},
  title   = {{Estimating Distances from Parallaxes. V}},
  journal = {{AJ}}, volume = {{161}}, pages = {{147}}, year = {{2021}},
}}
@software{{redflower,
  author  = {{{{The redflower developers}}}},
  title   = {{redflower}}, version = {{{VERSION}}},
}}"""


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
    """Print the BibTeX of what a usual run uses."""
    typer.echo(BIBTEX)
