"""`redflower field`."""

from pathlib import Path
from typing import Annotated

import typer

from redflower.cli.maps import check_map_output, distances_of, draw_beside
from redflower.cli.progress import say, warn_of_verdict
from redflower.cli.stops import NOTHING_KEPT, told_when_stopped

#: Chains are of the whole field, so that there is nothing to keep of one that is not finished.
STOPPED = f"{NOTHING_KEPT} Fewer --draws are quicker."


def field(
    posteriors: Annotated[
        Path, typer.Argument(help="Posteriors of the stars of one region, from infer --density")
    ],
    out: Annotated[Path, typer.Argument(help="Map to write: .fits, HEALPix, nested, Galactic, with samples")],
    distances: Annotated[
        str | None,
        typer.Option(
            help="Distances out to which E(B-V) is given [pc]; by default as the inference's shells lie"
        ),
    ] = None,
    nside: Annotated[
        int | None,
        typer.Option(help="HEALPix resolution, a power of 2 up to 512; by default as the stars allow"),
    ] = None,
    cell: Annotated[
        float | None,
        typer.Option(help="Side of a cell of the inference [deg]; by default for 1.5 stars in each"),
    ] = None,
    tile: Annotated[
        float | None,
        typer.Option(
            help="Largest side of overlapping tiles, fitted one by one [deg]; by default the region is fitted whole"
        ),
    ] = None,
    zero_point_of: Annotated[
        str | None,
        typer.Option(
            help="Column that tells samples apart whose zero points may differ; by default all share one"
        ),
    ] = None,
    drift: Annotated[
        float,
        typer.Option(
            help="Allow the zero point to change with distance by about so much [mag per mag]", min=0.0
        ),
    ] = 0.0,
    compare: Annotated[
        list[str] | None,
        typer.Option(
            help="Map of the whole column to compare with, a HEALPix file or dustmaps:NAME, times a factor as in FILE*0.86; "
            "may be given again"
        ),
    ] = None,
    clouds: Annotated[
        float | None,
        typer.Option(
            help="Find clouds that add more than so much E(B-V) [mag], e.g. 0.02, and write them beside the map (.clouds.ecsv)"
        ),
    ] = None,
    adaptive: Annotated[
        bool,
        typer.Option(
            "--adaptive",
            help="Write the map too in pixels as fine as the stars allow, place by place (.adaptive.fits, multi-order)",
        ),
    ] = False,
    draws: Annotated[int, typer.Option(help="Samples kept of each chain", min=4)] = 150,
    chains: Annotated[int, typer.Option(help="Independent chains", min=1)] = 2,
    longer: Annotated[
        int,
        typer.Option(
            help="Chains that do not agree go on, up to so many times the samples that are kept", min=1
        ),
    ] = 8,
    seed: Annotated[int, typer.Option(help="Seed of the random numbers")] = 0,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace OUT and its picture if they exist")
    ] = False,
) -> None:
    """Infer the dust of a region, E(B-V) [mag] out to distances with samples, from all its stars at once."""
    import numpy as np

    from redflower.api.field_maps import make_field_map
    from redflower.api.field_samples import samples_apart
    from redflower.api.field_stars import MIN_STARS
    from redflower.catalogue import write_table
    from redflower.errors import InputError
    from redflower.field.agreement import R_HAT_MAX
    from redflower.field.prior import FieldPrior
    from redflower.field.sampler import FieldSettings
    from redflower.files import check_outputs
    from redflower.products.adaptive_map import adaptive_map
    from redflower.products.field_clouds import field_clouds
    from redflower.products.field_compare import compare_and_write, maps_to_compare
    from redflower.products.field_file import write_adaptive_map, write_field_map
    from redflower.products.field_page import write_field_page
    from redflower.products.sampled_map import OK

    check_map_output(out, posteriors, "a map of a field", overwrite=overwrite)
    page = out.with_suffix(".html")
    beside = {"the page": page}
    if clouds is not None:
        if not clouds > 0:
            raise InputError(f"--clouds {clouds:g}: it must be a positive E(B-V) in mag.")
        beside["the clouds"] = out.with_suffix(".clouds.ecsv")
    if adaptive:
        beside["the adaptive map"] = out.with_suffix(".adaptive.fits")
    check_outputs(beside, {"POSTERIORS": posteriors}, replaced=tuple(beside) if overwrite else ())
    maps = maps_to_compare(compare or [], out)
    distance_pc = None if distances is None else distances_of(distances)
    with told_when_stopped(lambda: STOPPED):
        found = make_field_map(
            posteriors,
            distance_pc=distance_pc,
            nside=nside,
            cell_deg=cell,
            tile_deg=tile,
            zero_point_of=zero_point_of,
            prior=FieldPrior(drift_std=drift),
            settings=FieldSettings(n_draws=draws, n_chains=chains, n_longer=longer),
            seed=seed,
            progress=True,
        )
    write_field_map(found, out)
    others = compare_and_write(found, maps, overwrite=overwrite)
    picture = draw_beside(found, out)
    write_field_page(found, page, title=f"Dust of {out.stem}")
    warn_of_verdict(found.verdict)
    flagged = int((found.flags != 0).sum())
    say(
        f"{len(found.pixel)} pixels of nside {found.nside} from {found.n_star.sum():,} stars written to {out}"
    )
    if flagged:
        say(
            f"{flagged} of them are flagged: no star of their own, less than half of them near stars, or chains that do not "
            "agree (column FLAGS)"
        )
    if left_out := int(found.numbers["stars_left_out"][0]):
        say(
            f"{left_out:,} further rows of {posteriors} are not in the fit: they have no density, no position, or a status other "
            "than ok and edge_of_prior"
        )
    if hole := found.numbers["hole_deg2"][0]:
        say(
            f"{hole:.2g} square degrees in the midst of the map have no star nearby: the map says nothing there (it has no "
            "pixels, and query returns NaN)"
        )
    if found.status != OK:
        numbers = {name: found.numbers[name][0] for name in ("r_hat", "ess")}
        apart = float((found.r_hat > R_HAT_MAX).mean())
        say(
            f"NOT CONVERGED: the chains do not agree (R-hat of the field's means {numbers['r_hat']:.2f}, {numbers['ess']:.0f} "
            f"independent draws, {apart:.0%} of the pixels above {R_HAT_MAX}). The errors of this map are not to be trusted; "
            "the file says so too (STATUS). Take more --draws, or let the chains go on --longer."
        )
    if tile is not None:
        numbers = {name: value for name, (value, _) in found.numbers.items()}
        say(
            f"{numbers['tiles']:.0f} tiles; where they overlap they differ by {numbers['seam_mag']:.4f} mag, "
            f"{numbers['seam_in_errors']:.2f} of their error. {numbers['tiles_empty']:.0f} further tiles have fewer than "
            f"{MIN_STARS} stars and are not in the map."
        )
    for name, zero in zip(found.groups, found.zero_point_mag.T, strict=True):
        say(
            f"zero point of the reddenings of {name}: {zero.mean():+.4f} +- {zero.std():.4f} mag, not in the map"
        )
    for sample in samples_apart(posteriors, found) if zero_point_of is None else ():
        say(
            f"THE ZERO POINT IS NOT ONE: the {sample.n_stars:,} stars with {sample.column} = {sample.value} read "
            f"{sample.offset_mag:+.4f} +- {sample.error_mag:.4f} mag in E(B-V) against the others at the same places. "
            f"Fit them with zero points of their own: --zero-point-of {sample.column}."
        )
    if clouds is not None:
        catalogue = field_clouds(found, threshold_mag=clouds)
        write_table(catalogue, beside["the clouds"], overwrite=overwrite)
        say(f"{len(catalogue)} clouds of more than {clouds:g} mag written to {beside['the clouds']}")
    if adaptive:
        fine = adaptive_map(found)
        write_adaptive_map(fine, beside["the adaptive map"])
        sizes = ", ".join(f"{n} of nside {2**k}" for k, n in enumerate(np.bincount(fine.level)) if n)
        say(f"as fine as the stars allow: {sizes} written to {beside['the adaptive map']}")
    for sentence in others:
        say(sentence)
    say(f"their picture is in {picture}, slices through distance are in {page}")
