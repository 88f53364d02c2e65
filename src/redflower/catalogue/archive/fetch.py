"""The download of a region: tile after tile in random order, resumable, and combined into one table."""

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from astropy.table import Table, vstack

from redflower.catalogue.archive.defaults import TILE_ROWS_MAX
from redflower.catalogue.archive.manifest import Manifest
from redflower.catalogue.archive.patience import RefusedError
from redflower.catalogue.archive.regions import FINEST_ORDER, Tile
from redflower.catalogue.gaia_release import GaiaRelease
from redflower.catalogue.io.parquet import read_parquet, with_meta
from redflower.catalogue.io.tables import check_writable, write_table
from redflower.errors import FetchError, InputError, RowLimitError
from redflower.files import written_whole
from redflower.provenance import GAIA_RELEASE_KEY, META_KEY, PHOTOMETRY_KEY, VERSION
from redflower.seeds import check_seed

_LOG: Final = logging.getLogger(__name__)

#: When this many tiles fail in a row, the service is down and the run stops.
FAILURES_IN_A_ROW_MAX: Final = 5
#: ``meta["redflower"]["stage"]`` of a fetched table.
STAGE_FETCHED: Final = "fetched"


class Source(Protocol):
    """Where tiles come from.

    Attributes
    ----------
    url : what it is, for the manifest.
    release : of Gaia.
    """

    url: str
    release: GaiaRelease

    def tile(
        self, tile: Tile, surveys: tuple[str, ...], g_faint_mag: float | None, rows_max: int, scratch: Path
    ) -> tuple[Table, list[str]]:
        """Fetch all stars of a tile, one row each, in archive columns, with notes.

        Raises `RowLimitError` if they are more than ``rows_max`` or were cut, `RefusedError` if asking again is
        no use, and another `FetchError` if it may be.
        """
        ...


@dataclass(frozen=True)
class FetchResult:
    """What a download came to.

    Attributes
    ----------
    path : the table, None where tiles failed.
    rows : of the table, or of the finished tiles.
    tiles : finished tiles that hold stars.
    failed : name of each failed tile -> why.
    notes : what a user should know.
    """

    path: Path | None
    rows: int
    tiles: int
    failed: dict[str, str]
    notes: tuple[str, ...]


def fetch_tiles(
    out: Path,
    tiles: Sequence[Tile],
    source: Source,
    *,
    surveys: tuple[str, ...],
    request: dict[str, Any],
    g_faint_mag: float | None = None,
    max_stars: int | None = None,
    seed: int = 0,
    tile_rows_max: int = TILE_ROWS_MAX,
    stage: str = STAGE_FETCHED,
    none_there: str = "the region holds no star in this catalogue",
    progress: Callable[[int], None] | None = None,
) -> FetchResult:
    """Fetch tiles into one table, and resume a run that was stopped.

    The tiles come in an order drawn from ``seed``, so whatever has come so far is a fair sample of the region. Each is
    counted first and must come with that many stars; the folder ``OUT.tiles`` keeps them, with a manifest, until it
    is removed by hand.

    Parameters
    ----------
    out : table to write, only once every tile is there.
    tiles : of the region.
    source : to ask, such as `redflower.catalogue.archive.TapSource`.
    surveys, g_faint_mag : see `redflower.catalogue.archive.adql.tile_query`.
    request : what the user asked, for the manifest.
    max_stars : stop after this many stars; the last tile is thinned at random.
    seed : of the order of tiles.
    tile_rows_max : a tile with more stars is split.
    stage : what the table is, for its provenance.
    none_there : what to say where there is no row.
    progress : called with the number of tiles done.

    Raises
    ------
    InputError
        If ``out`` cannot be written, its folder of tiles belongs to another request, or there is no star.
    RefusedError
        If the service will not answer such queries.
    """
    check_writable(out)
    check_seed(seed)  # before the folder of tiles is made, which would wait for this very seed
    if max_stars is not None and max_stars < 1:
        raise InputError(f"--max-stars must be at least 1; got {max_stars}.")
    manifest = Manifest(
        out.with_name(f"{out.name}.tiles"),
        {**request, "tap": source.url, "release": source.release.name, "surveys": list(surveys),
         "g_faint_mag": g_faint_mag, "seed": seed,
         "tile_rows_max": tile_rows_max, "tiles": len(tiles)},
    )  # fmt: skip
    order = np.random.default_rng(seed).permutation(len(tiles))
    rows: dict[str, int] = {}
    failed: dict[str, str] = {}
    in_a_row = 0
    last: list[str] = []
    done = n_before = sum(manifest.is_finished(tile.name) for tile in tiles)
    if progress is not None and n_before:
        progress(n_before)  # so that they do not count as speed
    for k in order:
        is_new = not manifest.is_finished(tiles[k].name)
        n_failed = len(failed)
        last.clear()
        for name, n in _fetched(tiles[k], source, manifest, surveys, g_faint_mag, tile_rows_max, failed):
            rows[name] = n
            last.append(name)
        done += is_new
        if progress is not None and is_new:
            progress(done)
        in_a_row = in_a_row + 1 if len(failed) > n_failed else 0
        if in_a_row >= FAILURES_IN_A_ROW_MAX:
            failed["all further tiles"] = f"not asked for: {in_a_row} tiles failed one after the other."
            break
        if max_stars is not None and sum(rows.values()) >= max_stars:
            break
    total, n_filled = sum(rows.values()), sum(n > 0 for n in rows.values())
    if failed:
        return FetchResult(
            path=None, rows=total, tiles=n_filled, failed=failed, notes=tuple(manifest.notes())
        )
    if total == 0:
        raise InputError(f"{none_there}; nothing is written.")
    wanted = total if max_stars is None else min(total, max_stars)
    meta = {
        "stage": stage,
        "redflower": VERSION,
        PHOTOMETRY_KEY: source.release.scale().as_dict(),
        GAIA_RELEASE_KEY: source.release.name,
        "request": manifest.request,
        "tiles_fetched": n_filled,
        "tiles_of_region": len(tiles),
        "sha256_of_tiles": manifest.checksums() if n_filled <= 50 else f"see {manifest.path.name}",
    }
    thinned = _thinned({name: rows[name] for name in last}, total - wanted, seed)
    files = {manifest.file(name): thinned.get(name) for name, n in rows.items() if n}
    _combine(files, out, meta)
    return FetchResult(path=out, rows=wanted, tiles=n_filled, failed={}, notes=tuple(manifest.notes()))


def _fetched(
    tile: Tile,
    source: Source,
    manifest: Manifest,
    surveys: tuple[str, ...],
    g_faint_mag: float | None,
    tile_rows_max: int,
    failed: dict[str, str],
) -> Iterator[tuple[str, int]]:
    """Yield name and rows of a tile, or of the parts in which it had to be fetched."""
    known = manifest.rows(tile.name)
    if known is not None:
        yield tile.name, known
        return
    split = manifest.is_split(tile.name)
    if not split:
        try:
            yield tile.name, _fetch_one(tile, source, manifest, surveys, g_faint_mag, tile_rows_max)
            return
        except RowLimitError as problem:
            if tile.order >= FINEST_ORDER:
                failed[tile.name] = f"{problem} The tile cannot be split further."
                manifest.fail(tile.name, failed[tile.name])
                return
            _LOG.warning("tile %s is split in four: %s", tile.name, problem)
            manifest.split(tile.name)
        except RefusedError:
            raise
        except FetchError as problem:
            failed[tile.name] = str(problem)
            manifest.fail(tile.name, failed[tile.name])
            return
    for part in tile.split():
        yield from _fetched(part, source, manifest, surveys, g_faint_mag, tile_rows_max, failed)


def _fetch_one(
    tile: Tile,
    source: Source,
    manifest: Manifest,
    surveys: tuple[str, ...],
    g_faint_mag: float | None,
    tile_rows_max: int,
) -> int:
    path = manifest.file(tile.name)
    scratch = path.with_suffix(f".{os.getpid()}.vot")
    table, notes = source.tile(tile, surveys, g_faint_mag, tile_rows_max, scratch)
    if len(table) == 0:
        manifest.empty(tile.name)
        return 0
    path.unlink(missing_ok=True)
    write_table(table, path)
    manifest.finish(tile.name, len(table), notes)
    _LOG.info("tile %s: %d stars", tile.name, len(table))
    return len(table)


def _combine(files: dict[Path, np.ndarray | None], out: Path, meta: dict[str, Any]) -> None:
    """Combine the tiles, or the named rows of them, in one table; Parquet is written tile by tile, in bounded memory."""
    if out.suffix != ".parquet":
        parts = [
            read_parquet(path) if rows is None else read_parquet(path)[rows] for path, rows in files.items()
        ]
        table = vstack(parts, metadata_conflicts="silent")
        table.meta = {META_KEY: meta}
        write_table(table, out)
        return
    schema = with_meta(pq.read_schema(next(iter(files))), {META_KEY: meta})
    try:
        with (
            written_whole(out) as part,
            pq.ParquetWriter(part, schema, compression="zstd") as writer,
        ):
            for path, rows in files.items():
                arrow = pq.read_table(path, partitioning=None)
                arrow = arrow if rows is None else arrow.take(pa.array(rows))
                writer.write_table(arrow.cast(schema))
    except (pa.ArrowException, OSError) as problem:
        raise FetchError(f"{out} cannot be written from its tiles: {problem}.") from None


def _thinned(rows: dict[str, int], surplus: int, seed: int) -> dict[str, np.ndarray]:
    """Choose which rows of each part of a tile stay when ``surplus`` of all of them go at random; none where none go."""
    if surplus <= 0:
        return {}
    names = np.repeat(list(rows), list(rows.values()))
    places = np.concatenate([np.arange(n) for n in rows.values()])
    stay = np.sort(np.random.default_rng([seed, len(names)]).permutation(len(names))[surplus:])
    return {name: places[stay][names[stay] == name] for name in rows}
