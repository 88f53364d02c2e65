"""`redflower sightline`."""

from pathlib import Path
from typing import Annotated

import typer

from redflower.cli.progress import say, warn_of_verdict
from redflower.cli.stops import NOTHING_KEPT, told_when_stopped
from redflower.files import check_new_folder
from redflower.sightline.dust import DustPrior

#: A fit is of all stars at once, so that there is nothing to keep of one that is not finished.
STOPPED = f"{NOTHING_KEPT} Fewer --max-clouds are quicker."


def sightline(
    posteriors: Annotated[
        Path, typer.Argument(help="Posteriors of the stars of one cone, from infer --density")
    ],
    out: Annotated[Path, typer.Argument(help="Folder to write: clouds.json, tables, figures, report.html")],
    max_clouds: Annotated[int, typer.Option(help="Largest number of clouds to compare", min=0, max=8)] = 4,
    near: Annotated[float, typer.Option(help="Nearest distance of a cloud [pc]")] = DustPrior().distance_pc[
        0
    ],
    far: Annotated[
        float, typer.Option(help="Farthest distance of a cloud [pc]; drawn in to where there are stars")
    ] = DustPrior().distance_pc[1],
    ebv_scale: Annotated[
        float, typer.Option(help="Scale of the prior of a cloud's E(B-V); half of the clouds are below [mag]")
    ] = DustPrior().ebv_scale_mag,
    zero_point: Annotated[
        float,
        typer.Option(help="How far foreground and zero point of the stars may be from 0, one sigma [mag]"),
    ] = DustPrior().foreground_std_mag,
    drift: Annotated[
        float,
        typer.Option(
            help="How much that zero point may change per magnitude of distance modulus, one sigma [mag per mag]; about 0.01 "
            "where the flow may be of another population, 0 for not at all",
            min=0.0,
        ),
    ] = DustPrior().drift_std,
    scatter: Annotated[
        float,
        typer.Option(
            help="Largest scatter of the stars' reddening beyond their errors [mag]; more where the flow may be of another "
            "population",
            min=DustPrior().scatter_mag[0],
        ),
    ] = DustPrior().scatter_mag[1],
    flat_distances: Annotated[
        bool, typer.Option("--flat-distances", help="Divide each star's own distance prior out")
    ] = False,
    stars: Annotated[
        Path | None,
        typer.Option(help="The prepared table that was inferred, for the colour-magnitude diagram"),
    ] = None,
    compare: Annotated[
        list[str] | None,
        typer.Option(
            help="Reddening from elsewhere, NAME=SOURCE*SCALE: dustmaps:bayestar and other maps of dustmaps; a table with "
            "distance [pc] and ebv [mag], with l and b if it is of stars; a HEALPix map. May be repeated"
        ),
    ] = None,
    polarisation: Annotated[
        Path | None,
        typer.Option(
            help="Table of starlight polarisation as further data: source_id, q, u, q_error, u_error, shares of a star's light; "
            "it need not have all stars"
        ),
    ] = None,
    p_per_ebv: Annotated[
        float, typer.Option(help="Largest degree of polarisation that a magnitude of E(B-V) makes [1/mag]")
    ] = DustPrior().p_per_ebv,
    seed: Annotated[int, typer.Option(help="Seed of the random numbers")] = 0,
) -> None:
    """Find the dust clouds along a line of sight: their number with odds, distance [pc] and E(B-V) [mag] of each."""
    from redflower.api import sightline as fit
    from redflower.api.posteriors import open_posteriors
    from redflower.calibrate.verdict import verdict_of
    from redflower.catalogue.reading.prepared_stars import open_prepared
    from redflower.products import write_sightline
    from redflower.products.compare import read_comparison
    from redflower.products.cone import sky_cone
    from redflower.products.words_clouds import clouds_sentence
    from redflower.sightline import DustPrior

    check_new_folder(out)
    table = open_posteriors(posteriors, str(posteriors))
    prior = DustPrior(
        distance_pc=(near, far),
        ebv_scale_mag=ebv_scale,
        foreground_std_mag=zero_point,
        drift_std=drift,
        scatter_mag=(DustPrior().scatter_mag[0], scatter),
        p_per_ebv=p_per_ebv,
    )
    prepared = open_prepared(stars, str(stars)) if stars else None
    place, radius_deg = sky_cone(table)
    others = [read_comparison(text, *place, radius_deg) for text in compare or ()]
    with told_when_stopped(lambda: STOPPED):
        result = fit(
            table,
            max_clouds=max_clouds,
            prior=prior,
            flat_distances=flat_distances,
            seed=seed,
            comparisons=others,
            prepared=prepared,
            polarisation=polarisation,
            progress=True,
        )
    write_sightline(result, out)
    warn_of_verdict(verdict_of(result.summary["provenance"]))
    typer.echo(clouds_sentence(result.summary))
    say(f"tables, figures and report.html are in {out}")
