"""`redflower calibrate`."""

from pathlib import Path
from typing import Annotated

import typer

from redflower.calibrate.settings import MAX_STARS, CalibrationSettings
from redflower.cli.progress import counter, say
from redflower.files import check_new_folder
from redflower.provenance import META_KEY


def calibrate(
    stars: Annotated[Path, typer.Argument(help="Prepared table (prepare --for inference)")],
    out: Annotated[Path, typer.Argument(help="Folder to write: offsets.json, tables, figures, report.html")],
    model: Annotated[str, typer.Option(help="Name of a shipped model (redflower models) or a file")],
    ebv_map: Annotated[
        str | None,
        typer.Option(
            help="HEALPix FITS map of E(B-V), or dustmaps:sfd and the like, which holds the direction of dust; by default the "
            "map that the table was prepared with"
        ),
    ] = None,
    ebv_map_scale: Annotated[float, typer.Option(help="Factor from the map's values to E(B-V) in mag")] = 1.0,
    max_stars: Annotated[int, typer.Option(help="Most stars to use, at random", min=1)] = MAX_STARS,
    prior: Annotated[
        float, typer.Option(help="How far a band may be off beforehand, one sigma [mag]", min=1e-4)
    ] = CalibrationSettings().prior_mag,
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
    seed: Annotated[int, typer.Option(help="Chooses the stars and the draws")] = 0,
) -> None:
    """Fit how far each band of a sample is off a model's photometric scale, with reddening and distance integrated out."""
    from redflower.api.calibration import calibrate as fit
    from redflower.catalogue.io.columns import as_floats
    from redflower.catalogue.maps.distance_prior import named_distance_prior
    from redflower.catalogue.maps.dustmaps_map import open_dust_map
    from redflower.catalogue.reading.prepared_stars import open_prepared
    from redflower.products.calibration import write_calibration
    from redflower.products.page_calibration import calibration_sentence

    check_new_folder(out)
    chosen_prior = named_distance_prior(distance_prior) if distance_prior else None
    dust = open_dust_map(ebv_map, scale=ebv_map_scale) if ebv_map else None
    table = open_prepared(stars, str(stars))
    if dust is not None:
        table["ebv_map"] = dust.lookup(*(as_floats(table, name) for name in ("ra", "dec", "l", "b")))
        meta = table.meta.setdefault(META_KEY, {})
        meta["settings"] = {**meta.get("settings", {}), "ebv_map": {"file": dust.name, "sha256": dust.sha256}}
    with counter("passes over the stars", None) as progress:
        found = fit(
            table,
            model,
            max_stars=max_stars,
            settings=CalibrationSettings(prior_mag=prior, seed=seed),
            distance_prior=chosen_prior,
            photometry=photometry,
            progress=progress,
        )
    write_calibration(found.stars, found.numbers, out)
    typer.echo(calibration_sentence(found.numbers))
    say(
        f"tables, figures and report.html are in {out}; use them with: redflower infer --offsets {out / 'offsets.json'}"
    )
