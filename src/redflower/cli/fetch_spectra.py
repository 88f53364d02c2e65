"""`redflower fetch --spectra-of`: coefficients of BP/RP spectra for the stars of a table."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import typer

from redflower.cli.progress import counter, say
from redflower.cli.stops import told_when_stopped
from redflower.errors import InputError
from redflower.provenance import GAIA_RELEASE_KEY, META_KEY

if TYPE_CHECKING:
    from collections.abc import Callable

    from redflower.catalogue.archive import FetchResult, Patience
    from redflower.catalogue.gaia_release import GaiaRelease


def fetch_spectra(
    stars: Path,
    out: Path,
    *,
    tap: str,
    data_server: str,
    release: "GaiaRelease",
    patience: "Patience",
    seed: int,
    tile_rows: int,
    dry_run: bool,
    kept: "Callable[[], str]",
) -> "FetchResult | None":
    """Fetch the spectra of a table's stars into a table that `redflower spectra` reads; None for a dry run."""
    from redflower.catalogue import check_writable
    from redflower.catalogue.archive import SpectraSource, TapService, fetch_tiles, star_tiles
    from redflower.catalogue.archive.spectra_source import (
        BLOCK_STARS_MAX,
        BYTES_PER_SPECTRUM,
        count_spectra_query,
    )

    if out.suffix == ".csv":
        raise InputError(
            f"{out}: CSV cannot hold columns of arrays, as spectra are; write .parquet, .fits, .ecsv or .vot."
        )
    check_writable(out)
    ids = _identifiers(stars, release)
    tiles = star_tiles(ids)
    source = SpectraSource(TapService(tap, patience), ids, data_server, release)
    said = f"{len(tiles)} tiles, {len(ids):,} stars, at most {len(ids) * BYTES_PER_SPECTRUM / 1e6:,.1f} MB"
    if dry_run:
        first = source.stars_of(tiles[0])
        typer.echo(f"-- one of {len(tiles)} counts by {tap}:")
        typer.echo(count_spectra_query(first, release))
        typer.echo(f"-- and what is then asked of {data_server}:")
        typer.echo("&".join(f"{name}={value}" for name, value in source.asked(first).items()))
        typer.echo(f"-- {said}")
        return None
    say(said)
    with told_when_stopped(kept), counter("tiles fetched", len(tiles)) as progress:
        return fetch_tiles(
            out, tiles, source, surveys=("gaia",), request={"spectra_of": stars.name, **source.request}, seed=seed,
            tile_rows_max=min(tile_rows, BLOCK_STARS_MAX), stage="fetched-spectra",
            none_there=f"none of the {len(ids):,} stars has a spectrum in {release.title}", progress=progress,
        )  # fmt: skip


def _identifiers(stars: Path, release: "GaiaRelease") -> np.ndarray:
    """Return the identifiers of a table's stars, each once.

    Raises
    ------
    InputError
        If there are none, or they are of another release.
    """
    from redflower.catalogue import read_table

    table = read_table(stars)
    if "source_id" not in table.colnames or table["source_id"].dtype.kind not in "iu":
        raise InputError(
            f"--spectra-of {stars}: the table needs whole numbers in the column source_id, by which spectra are found."
        )
    of = table.meta.get(META_KEY, {}).get(GAIA_RELEASE_KEY)
    if of not in (None, release.name):
        raise InputError(
            f"--spectra-of {stars}: its identifiers are those of the release {of}, and the spectra are of {release.title}, in "
            "which another star may have one of them."
        )
    column = np.ma.asarray(table["source_id"])
    return np.unique(np.asarray(column.compressed(), dtype=np.int64))
