"""`redflower fetch`: real stars from an archive."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from redflower.catalogue.archive.defaults import GAIA_DATA, GAIA_TAP, TILE_ROWS_MAX
from redflower.catalogue.releases import default_release
from redflower.cli.fetch_spectra import fetch_spectra
from redflower.cli.options import refuse_options
from redflower.cli.progress import counter, say
from redflower.cli.stops import told_when_stopped
from redflower.constants import TRAINING_EBV_MAX_MAG
from redflower.errors import InputError
from redflower.seeds import check_seed

if TYPE_CHECKING:
    from redflower.catalogue.archive import FetchResult, Patience, Source, Tile
    from redflower.catalogue.gaia_release import GaiaRelease

EXIT_SOME_FAILED = 1
#: A star's row as it travels, over all surveys. [byte]
BYTES_PER_STAR = 330


def fetch(
    out: Annotated[
        Path, typer.Argument(help="Table to write: .parquet .fits .ecsv .vot .csv; or `prior` (see below)")
    ],
    prior_out: Annotated[
        Path | None, typer.Argument(help="After `prior`: the CSV file to write", show_default=False)
    ] = None,
    region: Annotated[
        str | None,
        typer.Option(
            help="two-cloud, one-cloud, zero-extinction, cone:L,B,RADIUS (Galactic), icrs:RA,DEC,RADIUS, all in degrees, or "
            "name:OBJECT,RADIUS, such as name:M67,0.5"
        ),
    ] = None,
    surveys: Annotated[
        str | None,
        typer.Option(
            help="Of gaia, ps1, 2mass, distances, and dr3 (identifiers in DR3) with later releases, by default all of these; and "
            "allwise (W1 and W2), sdss, skymapper and gspc (synthetic photometry), those that are named"
        ),
    ] = None,
    release: Annotated[str, typer.Option(help="Release of Gaia")] = default_release().name,
    tap: Annotated[
        str, typer.Option(help="Base URL of a TAP service with the Gaia archive's tables")
    ] = GAIA_TAP,
    hats: Annotated[
        str | None,
        typer.Option(
            help="Read HATS catalogues instead: `public`, or gaia=PATH,ps1=PATH,2mass=PATH,distances=PATH"
        ),
    ] = None,
    spectra_of: Annotated[
        Path | None,
        typer.Option(
            help="In place of a region: a table of stars, whose coefficients of BP/RP spectra are fetched for `redflower spectra`"
        ),
    ] = None,
    data_server: Annotated[
        str, typer.Option(help="With --spectra-of: address of the Gaia archive's data server")
    ] = GAIA_DATA,
    ebv_map: Annotated[
        str | None,
        typer.Option(
            help="For zero-extinction: HEALPix FITS map of E(B-V), such as ebv_lhd.hpx.fits, or dustmaps:sfd"
        ),
    ] = None,
    ebv_max: Annotated[
        float, typer.Option(help="Upper limit of E(B-V) in that map [mag]")
    ] = TRAINING_EBV_MAX_MAG,
    ebv_map_scale: Annotated[
        float, typer.Option(help="Further factor from the map's values to E(B-V) in mag")
    ] = 1.0,
    ebv_map_checksum: Annotated[
        str | None, typer.Option(help="MD5 or SHA-256 of the map's file, as its publisher states it")
    ] = None,
    g_faint: Annotated[
        float | None, typer.Option(help="Ask only for stars brighter than this G [mag]")
    ] = None,
    max_stars: Annotated[
        int | None, typer.Option(help="Stop after this many stars, a fair sample of the region")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the order of tiles")] = 0,
    tile_rows: Annotated[int, typer.Option(help="Split tiles with more stars than this")] = TILE_ROWS_MAX,
    attempts: Annotated[int, typer.Option(help="Attempts at each query before a tile counts as failed")] = 6,
    sesame: Annotated[
        str | None,
        typer.Option(
            help="For name:OBJECT,RADIUS: URL of a Sesame server; by default the CDS and its mirror"
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Print the ADQL and an estimate; ask nothing but where a named object is"
        ),
    ] = False,
) -> None:
    """Fetch stars of a region, or spectra of stars. The same command resumes a stopped run. `fetch prior FILE` gets the prior.

    Tiles are kept in OUT.tiles with a manifest until you remove it. Credentials, if the service wants any, come from
    the environment alone: REDFLOWER_TAP_USER and REDFLOWER_TAP_PASSWORD, or REDFLOWER_TAP_AUTHORIZATION (the header).
    """
    from redflower.catalogue import check_writable, open_dust_map
    from redflower.catalogue.archive import (
        ZERO_EXTINCTION,
        Cone,
        Patience,
        cone_tiles,
        fetch_tiles,
        parse_region,
        parse_surveys,
        zero_extinction_tiles,
    )
    from redflower.catalogue.archive.regions import REGION_FORMS
    from redflower.catalogue.maps.dust_map import LENZ_HOW
    from redflower.catalogue.releases import release_named

    if str(out) == "prior":
        _fetch_prior(prior_out)
        return
    if prior_out is not None:
        raise InputError(f"fetch: one output is needed; got {out} and {prior_out}.")
    if spectra_of is not None:
        others = {
            "--region": region, "--surveys": surveys, "--hats": hats, "--ebv-map": ebv_map, "--g-faint": g_faint,
            "--max-stars": max_stars,
        }  # fmt: skip
        refuse_options("--spectra-of, which asks for the spectra of the table's stars", others)
        found = fetch_spectra(
            spectra_of, out, tap=tap, data_server=data_server, release=release_named(release, to_fetch=True),
            patience=Patience(attempts=attempts), seed=seed, tile_rows=tile_rows, dry_run=dry_run, kept=lambda: _kept(out),
        )  # fmt: skip
        if found is not None:
            _tell(found, out, "spectra")
        return
    if region is None:
        raise InputError(f"fetch: --region is needed: {REGION_FORMS}.")
    servers = tuple(sesame.split(",")) if sesame else None
    where = parse_region(region, sesame=servers)
    if region.startswith("name:") and isinstance(where, Cone):
        say(f"{region} is {where.name}, as Sesame has it")
        region = where.name  # so that a resumed fetch knows its region by its place
    of_gaia = release_named(release, to_fetch=True)
    if hats is not None and surveys is None:
        from redflower.catalogue.archive.hats import hats_surveys

        surveys = ",".join(hats_surveys(of_gaia))
    wanted = parse_surveys(surveys, of_gaia)
    check_writable(out)
    check_seed(seed)
    request: dict[str, Any] = {"region": region}
    if isinstance(where, Cone):
        tiles = cone_tiles(where)
    else:
        if ebv_map is None:
            raise InputError(f"--region {ZERO_EXTINCTION} needs --ebv-map FILE. {LENZ_HOW}")
        dust = open_dust_map(ebv_map, scale=ebv_map_scale, checksum=ebv_map_checksum)
        for note in dust.notes:
            say(f"note: {note}")
        tiles = zero_extinction_tiles(dust, ebv_max_mag=ebv_max)
        request |= {
            "ebv_map": dust.name,
            "ebv_map_sha256": dust.sha256,
            "ebv_max_mag": ebv_max,
            "ebv_map_scale": dust.scale,
        }
    if dry_run:
        _show(tiles, wanted, g_faint, tap, of_gaia)
        return
    source = _source(tap, hats, wanted, of_gaia, Patience(attempts=attempts), out)
    say(_estimate(tiles, max_stars))
    with told_when_stopped(lambda: _kept(out)), counter("tiles fetched", len(tiles)) as progress:
        result = fetch_tiles(
            out, tiles, source, surveys=wanted, request=request, g_faint_mag=g_faint, max_stars=max_stars,
            seed=seed, tile_rows_max=tile_rows, progress=progress,
        )  # fmt: skip
    _tell(result, out, "stars")


def _tell(result: "FetchResult", out: Path, what: str) -> None:
    """Say what a download came to, and end with the exit code of that."""
    for note in result.notes:
        say(f"note: {note}")
    if result.failed:
        for name, reason in result.failed.items():
            say(f"tile {name} failed: {reason}")
        say(
            f"{len(result.failed)} tiles failed and {result.tiles} ({result.rows:,} {what}) are kept; {out} is not written. "
            "Run the same command again to fetch what is missing."
        )
        raise typer.Exit(EXIT_SOME_FAILED)
    say(f"{result.rows:,} {what} of {result.tiles} tiles written to {out}")


def _source(
    tap: str,
    hats: str | None,
    surveys: tuple[str, ...],
    release: "GaiaRelease",
    patience: "Patience",
    out: Path,
) -> "Source":
    """Open the source of tiles; a service with a new release is asked first whether its names are as expected."""
    from redflower.catalogue.archive import TapService, TapSource, check_names

    if hats is not None:
        from redflower.catalogue.archive.hats import HatsSource, parse_catalogues

        return HatsSource(parse_catalogues(hats, release), surveys, release)
    service = TapService(tap, patience)
    if release.ask_first:
        check_names(service, release, surveys, out.with_name(f".{out.name}.{os.getpid()}.vot"))
        say(f"{service.url} has every table and column that redflower asks of {release.title}")
    return TapSource(service, release)


def _show(
    tiles: "tuple[Tile, ...]",
    surveys: tuple[str, ...],
    g_faint: float | None,
    tap: str,
    release: "GaiaRelease",
) -> None:
    """Print the query of the first tile and an estimate of the whole, without asking anyone."""
    from redflower.catalogue.archive import count_query, tile_query

    typer.echo(f"-- one of {len(tiles)} queries to {tap}, each preceded by its count:")
    typer.echo(count_query(tiles[0], g_faint, release))
    typer.echo(tile_query(tiles[0], surveys, g_faint, release))
    typer.echo(f"-- {_estimate(tiles, None)}")


def _estimate(tiles: "tuple[Tile, ...]", max_stars: int | None) -> str:
    """Say about how much will come; how long it takes is the service's to say."""
    from redflower.catalogue.archive import expected_stars

    stars = expected_stars(tiles)
    said = f"{len(tiles)} tiles, {sum(tile.area_deg2 for tile in tiles):,.2f} deg2, "
    if max_stars is not None and max_stars < stars:
        return f"{said}{max_stars:,} of about {_rough(stars)} stars and {_rough(max_stars * BYTES_PER_STAR / 1e6)} MB"
    return f"{said}about {_rough(stars)} stars and {_rough(stars * BYTES_PER_STAR / 1e6)} MB, right to a factor of about two"


def _kept(out: Path) -> str:
    """Say what a stopped download has kept, and how to go on."""
    from redflower.catalogue.archive.manifest import tiles_kept

    n_tiles, n_stars, folder = tiles_kept(out)
    if not n_tiles:
        return "no tile was finished yet, so that nothing is kept. Begin again with the same command."
    return f"{n_tiles:,} tiles with {n_stars:,} stars are kept in {folder}. Go on: the same command."


def _rough(value: float) -> str:
    """Format a number with two digits: the estimate is good for no more."""
    return f"{float(f'{value:.2g}'):,.0f}" if value >= 10 else f"{value:.1f}"


def _fetch_prior(out: Path | None) -> None:
    from redflower.catalogue.archive.prior import fetch_prior

    target = out or Path("bailerjones2021_prior.csv")
    prior = fetch_prior(target)
    say(f"{prior.name}: {len(prior.alpha):,} pixels, checked whole, written to {target}")
