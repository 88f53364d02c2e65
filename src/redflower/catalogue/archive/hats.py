"""Tiles from public HATS catalogues, through LSDB: Gaia matched by position with Pan-STARRS1 and 2MASS.

A Gaia position holds at the epoch of its release (2016.0 in DR3), a Pan-STARRS1 one at about 2012 and a 2MASS one at about
1999, so each Gaia star is moved back by its proper motion to the epoch of each candidate. The catalogues that are matched must
come with margins: the strips of their neighbours' stars along the borders of their partitions, without which stars there
lose counterparts.
"""

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from astropy.table import Column, MaskedColumn, Table

from redflower.catalogue.archive.epoch_match import (
    DISTANCES_OF,
    MATCHED,
    MOTION,
    EpochCrossmatch,
    float_column,
)
from redflower.catalogue.archive.patience import RefusedError
from redflower.catalogue.archive.regions import Tile
from redflower.catalogue.gaia_release import GAIA, GaiaRelease
from redflower.catalogue.io.hats import lsdb_module, open_hats
from redflower.catalogue.reading.schema import INPUT_COLUMNS
from redflower.catalogue.releases import default_release
from redflower.errors import FetchError, InputError, RowLimitError

if TYPE_CHECKING:
    import pandas as pd

_LOG: Final = logging.getLogger(__name__)

#: Public catalogues beside Gaia's own, which its release names. Pan-STARRS1 and Gaia: anonymous S3.
PUBLIC: Final[dict[str, str]] = {
    "ps1": "s3://stpubdata/panstarrs/ps1/public/hats/otmo",
    "2mass": "https://data.lsdb.io/hats/two_mass",
    "distances": "https://data.lsdb.io/hats/gaia_edr3_distances",
}


def hats_surveys(release: GaiaRelease) -> tuple[str, ...]:
    """Return the surveys that HATS catalogues can give with a release."""
    return tuple(name for name in release.surveys if name == GAIA or name in MATCHED)


def parse_catalogues(text: str, release: GaiaRelease | None = None) -> dict[str, str]:
    """Parse catalogues from ``public`` or from ``gaia=PATH,ps1=PATH,...``.

    Raises
    ------
    InputError
        If a name is unknown, or Gaia is not among them.
    """
    release = release or default_release()
    if text == "public":
        if release.hats is None:
            raise InputError(
                f"--hats public: redflower knows no public HATS catalogue of {release.title}. Name each: gaia=PATH,ps1=PATH,..."
            )
        return {GAIA: release.hats, **PUBLIC}
    found = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        name, _, path = part.partition("=")
        if name not in hats_surveys(release) or not path:
            raise InputError(
                f"--hats {text!r}: {part!r} is not NAME=PATH with a name of {', '.join(hats_surveys(release))}. Or write: public."
            )
        found[name] = path
    if "gaia" not in found:
        raise InputError(f"--hats {text!r}: the Gaia catalogue is needed, gaia=PATH.")
    return found


class HatsSource:
    """HATS catalogues as a source of tiles.

    Parameters
    ----------
    catalogues : survey -> path or address.
    surveys : those that are wanted.
    release : of Gaia. Defaults to `redflower.catalogue.releases.default_release`.

    Raises
    ------
    InputError
        If LSDB is not installed, a catalogue cannot be opened or lacks a column, or has no margin to match with.
    """

    def __init__(
        self, catalogues: Mapping[str, str], surveys: Iterable[str], release: GaiaRelease | None = None
    ) -> None:
        self._lsdb = lsdb_module()
        self.release = release or default_release()
        asked = {GAIA, *surveys}
        unknown = asked - set(hats_surveys(self.release))
        if unknown:
            raise InputError(
                f"--surveys asks for {', '.join(sorted(unknown))}; HATS catalogues give {', '.join(hats_surveys(self.release))}."
            )
        wanted = [name for name in hats_surveys(self.release) if name in asked]
        absent = [name for name in wanted if name not in catalogues]
        if absent:
            raise InputError(f"--surveys asks for {', '.join(absent)}, and --hats names no such catalogue.")
        self._paths: dict[str, str] = {str(name): catalogues[name] for name in wanted}
        self.url = "hats " + " ".join(f"{name}={path}" for name, path in self._paths.items())
        for name in wanted:
            catalogue = self._open(name, None)
            if name != "gaia" and catalogue.margin is None:
                raise InputError(
                    f"the {name} catalogue {self._paths[name]} has no margin, so stars at the borders of its partitions "
                    "would lose their counterparts. Give the collection that holds both."
                )

    def tile(
        self, tile: Tile, surveys: tuple[str, ...], g_faint_mag: float | None, rows_max: int, scratch: Path
    ) -> tuple[Table, list[str]]:
        """See `redflower.catalogue.archive.fetch.Source`."""
        try:
            frame = self._matched(tile, surveys, g_faint_mag)
        except FetchError:
            raise
        except (OSError, ValueError, KeyError, RuntimeError) as problem:
            raise FetchError(f"{self.url}: tile {tile.name}: {str(problem).splitlines()[0][:300]}.") from None
        if frame is None or len(frame) == 0:
            return Table(), []
        if len(frame) > rows_max:
            raise RowLimitError(f"it holds {len(frame):,} stars, more than {rows_max:,}.")
        ids = frame[self.release.theirs("source_id")].to_numpy()
        if len(np.unique(ids)) != len(ids):
            raise FetchError(
                f"{self.url}: tile {tile.name} has {len(ids) - len(np.unique(ids))} stars twice."
            )
        return _archive_table(frame, surveys, self.release), []

    def _open(self, name: str, tile: Tile | None) -> Any:
        columns = _wanted_columns(name, self.release)
        search = None if tile is None else self._lsdb.PixelSearch([(tile.order, tile.pixel)])
        try:
            return open_hats(self._paths[name], columns, called=f"the {name} catalogue", search=search)
        except InputError as problem:
            raise RefusedError(str(problem)) from None

    def _matched(
        self, tile: Tile, surveys: tuple[str, ...], g_faint_mag: float | None
    ) -> "pd.DataFrame | None":
        gaia = self._open("gaia", tile)
        if len(gaia.get_healpix_pixels()) == 0:
            return None
        gaia.margin = None  # its stars belong to the neighbours and would come twice
        matched = gaia.map_partitions(_stars_of_tile, tile, g_faint_mag, self.release)
        for name in surveys:
            if name == "gaia":
                continue
            other = self._open(name, None)
            matched = matched.crossmatch(
                other, algorithm=EpochCrossmatch(name, self.release), how="left", suffixes=("", f"_{_tag(name)}"),
                suffix_method="all_columns",
            )  # fmt: skip
        return matched.compute(progress_bar=False)


def _tag(name: str) -> str:
    return {"2mass": "tmass"}.get(name, name)


def _wanted_columns(name: str, release: GaiaRelease) -> list[str]:
    if name == GAIA:
        return [*release.columns, *(release.theirs(motion) for motion in MOTION)]
    survey = MATCHED[name]
    position = {"ps1": ["raMean", "decMean"], "2mass": ["ra", "decl"], "distances": ["ra", "dec"]}[name]
    return [*position, survey.identifier, *([survey.epoch] if survey.epoch else []), *survey.columns]


def _stars_of_tile(
    frame: "pd.DataFrame", tile: Tile, g_faint_mag: float | None, release: GaiaRelease
) -> "pd.DataFrame":
    """Select the rows of a partition that belong to a tile."""
    ids = frame[release.theirs("source_id")].to_numpy(dtype=np.int64)
    wanted = np.zeros(len(frame), dtype=bool)
    for first, last in tile.ranges:
        wanted |= (ids >= first) & (ids <= last)
    if tile.cone is not None:
        ra0, dec0 = np.radians(tile.cone.centre)
        ra, dec = (np.radians(float_column(frame, release.theirs(c))) for c in ("ra", "dec"))
        half = np.sin((dec - dec0) / 2) ** 2 + np.cos(dec) * np.cos(dec0) * np.sin((ra - ra0) / 2) ** 2
        wanted &= 2 * np.arcsin(np.sqrt(half)) <= np.radians(tile.cone.radius_deg)
    if g_faint_mag is not None:
        wanted &= float_column(frame, release.theirs("phot_g_mean_mag")) < g_faint_mag
    return frame[wanted]


def _archive_table(frame: "pd.DataFrame", surveys: tuple[str, ...], release: GaiaRelease) -> Table:
    """Return the matched stars in the archive's column names and redflower's units."""
    table = Table()
    for name in release.columns:
        table[name] = _column(frame[name], release.ours(name))
    for survey in surveys:
        if survey == "gaia":
            continue
        spec, tag = MATCHED[survey], _tag(survey)
        # The distances are of Gaia's own stars: where identifiers are the same release's, only the row of the very star will do.
        same = None
        if survey == "distances" and release.name == DISTANCES_OF:
            same = frame[release.theirs("source_id")] == frame[f"source_id_{tag}"]
        for theirs, ours in spec.columns.items():
            values = frame[f"{theirs}_{tag}"]
            table[ours] = _column(values if same is None else values.where(same.fillna(value=False)), ours)
        if spec.mates is not None:
            table[spec.mates] = _mates(frame[f"{spec.identifier}_{tag}"])
    return table


def _mates(identifier: "pd.Series") -> Column:
    """Count the other stars of the tile with the same counterpart; missing where there is no counterpart."""
    there = identifier.notna().to_numpy()
    keys = identifier.astype(str).to_numpy()
    _, inverse, counts = np.unique(keys[there], return_inverse=True, return_counts=True)
    mates = np.zeros(len(keys), dtype=np.int16)
    mates[there] = counts[inverse] - 1
    return MaskedColumn(mates, mask=~there)


def _column(series: "pd.Series", name: str) -> Column:
    spec = INPUT_COLUMNS[name]
    missing = series.isna().to_numpy()
    if spec.kind == "text":
        values: np.ndarray = np.array(
            ["" if gap else str(v) for v, gap in zip(series, missing, strict=True)], dtype=str
        )
    elif spec.kind in ("integer", "flag"):
        values = series.fillna(0).to_numpy(dtype=np.int64)
    else:
        values = series.to_numpy(dtype=np.float64, na_value=np.nan)
        missing = np.isnan(values)
    kept = {"unit": spec.unit, "description": spec.description}
    return MaskedColumn(values, mask=missing, **kept) if missing.any() else Column(values, **kept)
