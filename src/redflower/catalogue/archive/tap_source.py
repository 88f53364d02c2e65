"""Tiles from a TAP service that has the Gaia archive's tables."""

from pathlib import Path

import numpy as np
from astropy.table import Table

from redflower.catalogue.archive.adql import HELPERS, count_query, tile_query
from redflower.catalogue.archive.regions import Tile
from redflower.catalogue.archive.tap import TapService
from redflower.catalogue.reading.schema import INPUT_COLUMNS
from redflower.errors import FetchError, RowLimitError


class TapSource:
    """A TAP service as a source of tiles; each is counted first and must come with that many stars.

    Parameters
    ----------
    service : to ask.
    """

    def __init__(self, service: TapService) -> None:
        self._service = service
        self.url = service.url

    def tile(
        self, tile: Tile, surveys: tuple[str, ...], g_faint_mag: float | None, rows_max: int, scratch: Path
    ) -> tuple[Table, list[str]]:
        """See `redflower.catalogue.archive.fetch.Source`."""
        expected = self._service.count(count_query(tile, g_faint_mag))
        if expected == 0:
            return Table(), []
        if expected > rows_max:
            raise RowLimitError(f"it holds {expected:,} stars, more than {rows_max:,}.")
        # Repeated counterparts in 2MASS may add rows; room for them, so that a limit hit is a limit hit.
        limit = expected + expected // 10 + 100
        table = self._service.table(tile_query(tile, surveys, g_faint_mag), max_rows=limit, scratch=scratch)
        lacking = [
            name for name in ("source_id", "ra", "dec", "phot_g_mean_mag") if name not in table.colnames
        ]
        if lacking:
            raise FetchError(f"{self.url}: the result for tile {tile.name} lacks {', '.join(lacking)}.")
        notes: list[str] = []
        table = _one_row_each(table, notes)
        if len(table) < expected:
            raise RowLimitError(f"{self.url} sent {len(table):,} of {expected:,} stars without a word.")
        if len(table) > expected:
            raise FetchError(f"{self.url} sent {len(table):,} stars where it had counted {expected:,}.")
        return table, notes


def _one_row_each(table: Table, notes: list[str]) -> Table:
    """One row per star: of several 2MASS entries that the archive takes for one, that of its own match."""
    ids = np.asarray(table["source_id"])
    unmatched = np.zeros(len(table), dtype=bool)
    if set(HELPERS) <= set(table.colnames):
        named = [np.ma.filled(np.ma.asarray(table[name]).astype(str), "") for name in HELPERS]
        unmatched = named[0] != named[1]
        table.remove_columns(list(HELPERS))
    order = np.lexsort((unmatched, ids))
    _, first = np.unique(ids[order], return_index=True)
    if len(first) < len(ids):
        notes.append(f"{len(ids) - len(first)} rows of further 2MASS entries of a star left out")
    keep = np.sort(order[first])
    table = table[keep]
    for name in table.colnames:
        spec = INPUT_COLUMNS.get(name)
        if spec is not None and not table[name].description:
            table[name].description = spec.description
    table.meta.clear()
    return table
