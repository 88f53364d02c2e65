"""A field too large for one fit, in tiles that overlap: where they lie, and one map of all of theirs."""

from dataclasses import dataclass, replace

import astropy.units as u
import numpy as np
from astropy_healpix import HEALPix
from jaxtyping import Bool, Float, Int

from redflower.field.pixels import PixelField
from redflower.sky_patch import SkyPatch


@dataclass(frozen=True)
class Tile:
    """One tile of a patch.

    Attributes
    ----------
    whole : the patch.
    x_deg, y_deg : middle of the tile in the plane of the patch. [deg]
    side_deg : of the tile without what it shares with its neighbours. [deg]
    overlap_deg : by which it reaches beyond, on each side. [deg]
    """

    whole: SkyPatch
    x_deg: float
    y_deg: float
    side_deg: float
    overlap_deg: float

    def holds(self, l_deg: Float[np.ndarray, " n"], b_deg: Float[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
        """Tell which directions lie in the tile, or in what it shares with its neighbours."""
        x, y = self.whole.to_plane(l_deg, b_deg)
        reach = self.side_deg / 2.0 + self.overlap_deg
        return (np.abs(x - self.x_deg) <= reach) & (np.abs(y - self.y_deg) <= reach)

    def weight(
        self, l_deg: Float[np.ndarray, " n"], b_deg: Float[np.ndarray, " n"]
    ) -> Float[np.ndarray, " n"]:
        """Return the share of the tile in directions: 1 within it, falling evenly to 0 across what it shares.

        At the border of the whole there is no neighbour to share with.
        """
        found = np.ones(len(l_deg))
        edge = self.whole.size_deg / 2.0
        for at, middle in zip(self.whole.to_plane(l_deg, b_deg), (self.x_deg, self.y_deg), strict=True):
            for way in (-1.0, 1.0):
                border = middle + way * self.side_deg / 2.0
                if abs(border) < edge - 1e-6:
                    found *= np.clip(0.5 - way * (at - border) / (2.0 * self.overlap_deg), 0.0, 1.0)
        return found


def make_tiles(whole: SkyPatch, tile_deg: float, overlap_deg: float) -> list[Tile]:
    """Divide a patch evenly into tiles of at most a given side.

    Parameters
    ----------
    whole : the patch.
    tile_deg : the largest side of a tile. [deg]
    overlap_deg : by which tiles reach into their neighbours. [deg]
    """
    n = max(1, int(np.ceil(whole.size_deg / tile_deg)))
    side = whole.size_deg / n
    middle = side * (np.arange(n) - (n - 1) / 2.0)
    return [
        Tile(whole, float(x), float(y), side, min(overlap_deg, side / 2.0)) for y in middle for x in middle
    ]


@dataclass(frozen=True)
class Seams:
    """How well tiles agree where they overlap.

    Attributes
    ----------
    difference_mag : root mean square of the difference of two tiles' means, over pixels in which both count. [mag]
    in_errors : the same in units of the larger of their errors; they share stars there, so that it should be below 1.
    """

    difference_mag: float
    in_errors: float


def joined(
    parts: list[PixelField],
    tiles: list[Tile],
    nside: int,
    l_deg: Float[np.ndarray, " star"],
    b_deg: Float[np.ndarray, " star"],
) -> tuple[PixelField, Seams]:
    """Join the maps of tiles into one; return it with how well they agree.

    Means go over from one tile to the next across what they share; a sample's departure from the mean is that of the tile that
    counts most, for an average of two tiles' samples would be too narrow.

    Parameters
    ----------
    parts : maps of the tiles.
    tiles : in the same order.
    nside : of the maps.
    l_deg, b_deg : of all stars. [deg]
    """
    grid = HEALPix(nside=nside, order="nested")
    pixel = np.unique(np.concatenate([part.pixel for part in parts]))
    lon, lat = (a.to_value(u.deg) for a in grid.healpix_to_lonlat(pixel))
    n_draws, _, n_distances = parts[0].samples_mag.shape
    mean = np.zeros((len(pixel), n_distances))
    total, most = np.zeros(len(pixel)), np.zeros(len(pixel))
    out = PixelField(
        pixel,
        np.zeros((n_draws, len(pixel), n_distances), np.float32),
        _count(grid.lonlat_to_healpix(l_deg * u.deg, b_deg * u.deg), pixel),
        np.zeros(len(pixel)),
        np.zeros((len(pixel), n_distances)),
    )
    seam: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    for part, tile in zip(parts, tiles, strict=True):
        row = np.searchsorted(pixel, part.pixel)
        # A pixel that no other tile has is this one's, whatever its weight.
        share = np.maximum(tile.weight(lon[row], lat[row]), 1e-9)
        here, spread = part.samples_mag.mean(axis=0), part.samples_mag.std(axis=0)
        mean[row] += share[:, None] * here
        total[row] += share
        wins = share > most[row]
        mine = row[wins]
        out.samples_mag[:, mine] = (part.samples_mag - here)[:, wins]
        out.served[mine], out.resolution_deg[mine] = part.served[wins], part.resolution_deg[wins]
        most[mine] = share[wins]
        shared = (share > 0.25) & (share < 0.75)
        seam.append((row[shared], here[shared], spread[shared]))
    mean /= total[:, None]
    samples = np.maximum(out.samples_mag + mean.astype(np.float32), 0.0)
    return replace(out, samples_mag=samples), _seams(*map(np.concatenate, zip(*seam, strict=True)))


def _count(star: Int[np.ndarray, " star"], pixel: Int[np.ndarray, " pixel"]) -> Int[np.ndarray, " pixel"]:
    row = np.searchsorted(pixel, star)
    there = pixel[np.minimum(row, len(pixel) - 1)] == star
    return np.bincount(row[there], minlength=len(pixel))


def _seams(row: np.ndarray, mean: np.ndarray, error: np.ndarray) -> Seams:
    """Compare pixels that occur twice, each time with the mean and the error of one tile."""
    order = np.argsort(row, kind="stable")
    row, mean, error = row[order], mean[order], error[order]
    twice = np.flatnonzero(row[1:] == row[:-1])
    if not len(twice):
        return Seams(0.0, 0.0)
    off = mean[twice + 1] - mean[twice]
    pull = off / np.maximum(np.maximum(error[twice + 1], error[twice]), 1e-4)
    return Seams(*(float(np.sqrt(np.nanmean(values**2))) for values in (off, pull)))
