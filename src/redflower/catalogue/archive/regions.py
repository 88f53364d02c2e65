"""Regions of the sky, and their cover by tiles of the HEALPix grid that Gaia's source_id counts in.

A Gaia ``source_id`` holds the nested HEALPix pixel of level 12 (ICRS) in its leading bits, so a pixel of any level up
to 12 is a range of identifiers, which every archive has an index on.
"""

import math
from dataclasses import dataclass
from typing import Final

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from astropy_healpix import HEALPix

from redflower.catalogue.archive.places import place_of
from redflower.catalogue.maps.dust_map import DustMap
from redflower.catalogue.maps.dustmaps_map import QueriedMap
from redflower.constants import LATITUDE_MIN_DEG
from redflower.errors import InputError

#: Level of the HEALPix pixel in a source_id, and the number of bits behind it.
SOURCE_ID_ORDER: Final = 12
_SOURCE_ID_BITS: Final = 35

#: Level of a tile unless asked otherwise: 3.4 square degrees.
TILE_ORDER: Final = 5
#: No tile is split further than this level (0.013 square degrees).
FINEST_ORDER: Final = 9
#: Cells by which a dust limit is drawn are not finer than this (7 arcmin).
_CELL_ORDER_MAX: Final = 9
#: A query with more ranges than this gets its smallest gaps filled.
_RANGES_MAX: Final = 64
_BATCH_POINTS: Final = 500_000
#: Gaia's pixel is that of the first position it knew of a star, which may lie a little beside the last.
_COVER_MARGIN_DEG: Final = 0.02

#: Southern limit of Pan-STARRS1 (Chambers et al. 2016). [deg]
PS1_DEC_MIN_DEG: Final = -30.0


@dataclass(frozen=True)
class Cone:
    """A circle on the sky, in Galactic coordinates. [deg]"""

    name: str
    l_deg: float
    b_deg: float
    radius_deg: float

    def __post_init__(self) -> None:
        finite = all(math.isfinite(value) for value in (self.l_deg, self.b_deg, self.radius_deg))
        if not (finite and -90.0 <= self.b_deg <= 90.0 and 0.0 < self.radius_deg <= 30.0):
            raise InputError(
                f"a cone needs l and b in degrees, b within 90, and a radius above 0 and up to 30 deg; got "
                f"l = {self.l_deg}, b = {self.b_deg}, radius = {self.radius_deg}."
            )

    @property
    def centre(self) -> tuple[float, float]:
        """Right ascension and declination of the centre, ICRS. [deg]"""
        icrs = SkyCoord(self.l_deg, self.b_deg, unit="deg", frame="galactic").icrs
        return float(icrs.ra.deg), float(icrs.dec.deg)

    @property
    def area_deg2(self) -> float:
        """Solid angle. [deg^2]"""
        return 2 * math.pi * (1 - math.cos(math.radians(self.radius_deg))) * math.degrees(1.0) ** 2


#: The regions of O'Callaghan et al. (2025), section 5.2 (Panopoulou et al. 2019).
NAMED_CONES: Final = {
    "two-cloud": Cone("two-cloud", 104.08, 22.31, 0.16),
    "one-cloud": Cone("one-cloud", 103.9, 21.97, 0.16),
}
ZERO_EXTINCTION: Final = "zero-extinction"


@dataclass(frozen=True)
class Tile:
    """What one query asks for: ranges of source_id within one HEALPix pixel, and a cone if there is one.

    Attributes
    ----------
    order, pixel : nested ICRS pixel that holds the tile.
    ranges : first and last source_id of each range, both included, in rising order.
    cone : stars outside it are not asked for.
    area_deg2 : solid angle of the ranges, or of the cone's share in them. [deg^2]
    """

    order: int
    pixel: int
    ranges: tuple[tuple[int, int], ...]
    cone: Cone | None
    area_deg2: float

    @property
    def name(self) -> str:
        """Level and pixel, unique among the tiles of a region."""
        return f"{self.order}-{self.pixel}"

    def split(self) -> "tuple[Tile, ...]":
        """Split a tile into up to four smaller tiles with the same stars."""
        children = []
        for pixel in range(4 * self.pixel, 4 * self.pixel + 4):
            low, high = id_range(self.order + 1, pixel)
            ranges = tuple(
                (max(low, first), min(high, last))
                for first, last in self.ranges
                if first <= high and last >= low
            )
            if ranges:
                children.append(Tile(self.order + 1, pixel, ranges, self.cone, self.area_deg2 / 4))
        return tuple(children)


def id_range(order: int, pixel: int) -> tuple[int, int]:
    """Return the first and last source_id of a nested pixel."""
    shift = _SOURCE_ID_BITS + 2 * (SOURCE_ID_ORDER - order)
    return pixel << shift, ((pixel + 1) << shift) - 1


#: What a region may be, in words.
REGION_FORMS: Final = ", ".join(
    [*NAMED_CONES, ZERO_EXTINCTION, "cone:L,B,RADIUS", "icrs:RA,DEC,RADIUS or name:OBJECT,RADIUS (degrees)"]
)
_CONE, _ICRS, _NAME = "cone:", "icrs:", "name:"


def parse_region(text: str, *, sesame: tuple[str, ...] | None = None) -> "Cone | str":
    """Parse a region from its name, or a circle round a position or a named object.

    Parameters
    ----------
    text : ``two-cloud`` and the like; ``cone:L,B,RADIUS`` Galactic, ``icrs:RA,DEC,RADIUS`` equatorial, all in degrees; or
        ``name:OBJECT,RADIUS``, for which Sesame is asked where the object is.
    sesame : URLs of Sesame servers. If None, those that astropy asks.

    Returns
    -------
    The circle, or the text where it is no circle.

    Raises
    ------
    InputError
        If the text is none of these.
    FetchError
        If no server knows the object.
    """
    if text in NAMED_CONES:
        return NAMED_CONES[text]
    if text == ZERO_EXTINCTION:
        return text
    if text.startswith(_CONE):
        l_deg, b_deg, radius_deg = _three(text, _CONE, "cone:L,B,RADIUS", "cone:104.08,22.31,0.16")
        return Cone(text, l_deg % 360.0, b_deg, radius_deg)
    if text.startswith(_ICRS):
        return _icrs_cone(text, *_three(text, _ICRS, "icrs:RA,DEC,RADIUS", "icrs:132.85,11.81,0.5"))
    if text.startswith(_NAME):
        name, _, radius = text.removeprefix(_NAME).rpartition(",")
        try:
            radius_deg = float(radius)
        except ValueError:
            radius_deg = math.nan
        if not (name.strip() and math.isfinite(radius_deg)):
            raise InputError(
                f"--region {text!r}: an object is written name:OBJECT,RADIUS, the radius in degrees, for instance name:M67,0.5."
            )
        ra_deg, dec_deg = place_of(name.strip(), urls=sesame)
        return _icrs_cone(f"icrs:{ra_deg:.5f},{dec_deg:.5f},{radius_deg:g}", ra_deg, dec_deg, radius_deg)
    raise InputError(f"--region {text!r} must be {REGION_FORMS}.")


def _three(text: str, prefix: str, form: str, example: str) -> tuple[float, float, float]:
    """Return the three numbers of a circle."""
    try:
        first, second, third = (float(part) for part in text.removeprefix(prefix).split(","))
    except ValueError:
        raise InputError(
            f"--region {text!r}: a circle is written {form} in degrees, for instance {example}."
        ) from None
    return first, second, third


def _icrs_cone(text: str, ra_deg: float, dec_deg: float, radius_deg: float) -> Cone:
    """Return a circle round an equatorial position."""
    if not (math.isfinite(ra_deg) and -90.0 <= dec_deg <= 90.0):
        raise InputError(
            f"--region {text!r}: right ascension and declination in degrees are needed, declination within 90; got {ra_deg} "
            f"and {dec_deg}."
        )
    centre = SkyCoord(ra_deg % 360.0, dec_deg, unit="deg", frame="icrs").galactic
    return Cone(text, float(centre.l.deg), float(centre.b.deg), radius_deg)


def cone_tiles(cone: Cone) -> tuple[Tile, ...]:
    """Cover a cone with tiles; with few where it is small."""
    pixel_deg = math.degrees(math.sqrt(4 * math.pi / 12))
    order = int(np.clip(math.floor(math.log2(pixel_deg / (2 * cone.radius_deg))), TILE_ORDER, 7))
    ra_deg, dec_deg = cone.centre
    grid = HEALPix(2**order, order="nested")
    radius = (cone.radius_deg + _COVER_MARGIN_DEG) * u.deg
    pixels = np.sort(grid.cone_search_lonlat(ra_deg * u.deg, dec_deg * u.deg, radius))
    share = cone.area_deg2 / len(pixels)
    return tuple(Tile(order, int(p), (id_range(order, int(p)),), cone, share) for p in pixels)


def zero_extinction_tiles(
    dust: DustMap | QueriedMap,
    *,
    ebv_max_mag: float,
    tile_order: int = TILE_ORDER,
    latitude_min_deg: float = LATITUDE_MIN_DEG,
    dec_min_deg: float = PS1_DEC_MIN_DEG,
) -> tuple[Tile, ...]:
    """Return the tiles of the sky where a dust map is below a limit.

    A tile lists the cells, down to 7 arcmin, that meet the limits in any part, so it holds somewhat more stars than
    do; `redflower.catalogue.prepare` cuts star by star.

    Parameters
    ----------
    dust : the map.
    ebv_max_mag : upper limit of E(B-V). [mag]
    tile_order : HEALPix level of a tile.
    latitude_min_deg, dec_min_deg : lower limits of |b| and of declination. [deg]

    Raises
    ------
    InputError
        If no part of the sky is left.
    """
    map_order = round(math.log2(dust.nside))
    # Finer than the map, so that few cells lie across a border; four points in each then see every map pixel.
    cell_order = max(min(map_order + 2, _CELL_ORDER_MAX), tile_order)
    deeper = 1
    fine = HEALPix(2 ** (cell_order + deeper), order="nested")
    cells_per_tile = 4 ** (cell_order - tile_order)
    points_per_cell = 4**deeper
    cell_area_deg2 = 41252.96 / (12 * 4**cell_order)
    n_tiles = 12 * 4**tile_order
    coarse = HEALPix(2**tile_order, order="nested")
    centre_lon, centre_lat = coarse.healpix_to_lonlat(np.arange(n_tiles))
    centre = SkyCoord(centre_lon, centre_lat)
    reach_deg = 1.1 * math.degrees(math.sqrt(4 * math.pi / n_tiles))
    near = (np.abs(centre.galactic.b.deg) > latitude_min_deg - reach_deg) & (
        centre.dec.deg > dec_min_deg - reach_deg
    )
    tiles = []
    chosen = np.flatnonzero(near)
    per_tile = cells_per_tile * points_per_cell
    for batch in np.array_split(chosen, max(1, len(chosen) * per_tile // _BATCH_POINTS)):
        lon, lat = fine.healpix_to_lonlat((batch[:, None] * per_tile + np.arange(per_tile)).ravel())
        galactic = SkyCoord(lon, lat).galactic
        ebv_mag = dust.lookup(lon.to_value(u.deg), lat.to_value(u.deg), galactic.l.deg, galactic.b.deg)
        with np.errstate(invalid="ignore"):
            meets = (ebv_mag < ebv_max_mag) & (np.abs(galactic.b.deg) > latitude_min_deg)
        meets &= lat.to_value(u.deg) > dec_min_deg
        for pixel, cell_meets in zip(
            batch, meets.reshape(len(batch), cells_per_tile, points_per_cell).any(axis=2), strict=True
        ):
            if not cell_meets.any():
                continue
            runs = _runs(np.flatnonzero(cell_meets) + pixel * cells_per_tile)
            n_cells = sum(last - first + 1 for first, last in runs)
            ranges = tuple((id_range(cell_order, a)[0], id_range(cell_order, b)[1]) for a, b in runs)
            tiles.append(Tile(tile_order, int(pixel), ranges, None, n_cells * cell_area_deg2))
    if not tiles:
        raise InputError(
            f"no part of the sky at |b| > {latitude_min_deg:g} deg and declination > {dec_min_deg:g} deg has "
            f"E(B-V) < {ebv_max_mag:g} mag in {dust.name}. Raise --ebv-max, or check the map's scale."
        )
    return tuple(tiles)


def _runs(cells: np.ndarray) -> list[tuple[int, int]]:
    """Find first and last of each run of neighbouring numbers; fill the smallest gaps where there are too many."""
    breaks = np.flatnonzero(np.diff(cells) > 1)
    if len(breaks) >= _RANGES_MAX:
        gaps = np.diff(cells)[breaks]
        breaks = np.sort(breaks[np.argsort(-gaps, kind="stable")[: _RANGES_MAX - 1]])
    firsts = cells[np.concatenate([[0], breaks + 1])]
    lasts = cells[np.concatenate([breaks, [len(cells) - 1]])]
    return [(int(a), int(b)) for a, b in zip(firsts, lasts, strict=True)]


def expected_stars(tiles: "tuple[Tile, ...]") -> float:
    """Estimate the number of Gaia stars (G < 21) in tiles, right to a factor of about two.

    2,300 per square degree at the Galactic poles and rising as (sin |b|)^-1.6, which follows the counts of Gaia DR3 at
    |b| > 20 deg away from the Magellanic Clouds. For planning only.
    """
    total = 0.0
    for tile in tiles:
        if tile.cone is not None:
            b_deg = tile.cone.b_deg
        else:
            lon, lat = HEALPix(2**tile.order, order="nested").healpix_to_lonlat(tile.pixel)
            b_deg = float(SkyCoord(lon, lat).galactic.b.deg)
        total += tile.area_deg2 * 2300.0 * max(abs(math.sin(math.radians(b_deg))), 0.17) ** -1.6
    return total
