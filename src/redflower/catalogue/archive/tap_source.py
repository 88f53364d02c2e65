"""Tiles from a TAP service that has the Gaia archive's tables."""

from pathlib import Path

import numpy as np
from astropy.table import Table

from redflower.catalogue.archive.adql import NEIGHBOUR_HELPER, TMASS_HELPERS, count_query, tile_query
from redflower.catalogue.archive.regions import Tile
from redflower.catalogue.archive.tap import TapService
from redflower.catalogue.gaia_release import GaiaRelease
from redflower.catalogue.reading.schema import INPUT_COLUMNS
from redflower.catalogue.releases import default_release
from redflower.errors import FetchError, RowLimitError


class TapSource:
    """A TAP service as a source of tiles; each is counted first and must come with that many stars.

    Parameters
    ----------
    service : to ask.
    release : of Gaia. Defaults to `redflower.catalogue.releases.default_release`.
    """

    def __init__(self, service: TapService, release: GaiaRelease | None = None) -> None:
        self._service = service
        self.release = release or default_release()
        self.url = service.url

    def tile(
        self, tile: Tile, surveys: tuple[str, ...], g_faint_mag: float | None, rows_max: int, scratch: Path
    ) -> tuple[Table, list[str]]:
        """See `redflower.catalogue.archive.fetch.Source`."""
        expected = self._service.count(count_query(tile, g_faint_mag, self.release))
        if expected == 0:
            return Table(), []
        if expected > rows_max:
            raise RowLimitError(f"it holds {expected:,} stars, more than {rows_max:,}.")
        query = tile_query(tile, surveys, g_faint_mag, self.release)
        # Repeated counterparts in 2MASS and neighbours in DR3 may add rows; room for them, so that a limit hit is a limit hit.
        limit = expected * (3 if NEIGHBOUR_HELPER in query else 1) + expected // 10 + 100
        table = self._service.table(query, max_rows=limit, scratch=scratch)
        needed = [self.release.theirs(name) for name in ("source_id", "ra", "dec", "phot_g_mean_mag")]
        lacking = [name for name in needed if name not in table.colnames]
        if lacking:
            raise FetchError(f"{self.url}: the result for tile {tile.name} lacks {', '.join(lacking)}.")
        notes: list[str] = []
        table = _one_row_each(table, self.release, notes)
        if len(table) < expected:
            raise RowLimitError(f"{self.url} sent {len(table):,} of {expected:,} stars without a word.")
        if len(table) > expected:
            raise FetchError(f"{self.url} sent {len(table):,} stars where it had counted {expected:,}.")
        return table, notes


def _one_row_each(table: Table, release: GaiaRelease, notes: list[str]) -> Table:
    """Keep one row per star: the 2MASS entry that is the archive's own match, the nearest neighbour in DR3."""
    ids = np.asarray(table[release.theirs("source_id")])
    unmatched, distance = np.zeros(len(table), dtype=bool), np.zeros(len(table))
    if set(TMASS_HELPERS) <= set(table.colnames):
        named = [np.ma.filled(np.ma.asarray(table[name]).astype(str), "") for name in TMASS_HELPERS]
        unmatched = named[0] != named[1]
        table.remove_columns(list(TMASS_HELPERS))
    if NEIGHBOUR_HELPER in table.colnames:
        distance = np.ma.filled(np.ma.asarray(table[NEIGHBOUR_HELPER]).astype(float), np.inf)
        distance = np.where(np.isnan(distance), np.inf, distance)
        table.remove_column(NEIGHBOUR_HELPER)
    order = np.lexsort((distance, unmatched, ids))
    _, first = np.unique(ids[order], return_index=True)
    gone = np.setdiff1d(np.arange(len(ids)), first)
    of_tmass = int(unmatched[order][gone].sum())
    if of_tmass:
        notes.append(f"{of_tmass} rows of further 2MASS entries of a star left out")
    if len(gone) > of_tmass:
        notes.append(f"{len(gone) - of_tmass} rows of farther neighbours of a star in DR3 left out")
    keep = np.sort(order[first])
    table = table[keep]
    for name in table.colnames:
        spec = INPUT_COLUMNS.get(release.ours(name))
        if spec is not None and not table[name].description:
            table[name].description = spec.description
    table.meta.clear()
    return table
