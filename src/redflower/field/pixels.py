"""From a field's cells to the pixels of a map: means over pixels, stars in them, and the resolution that the stars allow."""

from dataclasses import dataclass
from typing import Final

import astropy.units as u
import numpy as np
from astropy_healpix import HEALPix
from jaxtyping import Float, Int
from scipy.ndimage import binary_fill_holes
from scipy.spatial import cKDTree

from redflower.field.result import FieldFit
from redflower.sky_patch import SkyPatch, unit_vectors

#: A pixel's mean is over so many places along a side.
_ALONG: Final = 4
#: A place is served by a star that is nearer than so many sides of a cell.
_NEAR_CELLS: Final = 3.0
#: Resolutions that a map may state, as nside of HEALPix.
LADDER: Final = (512, 256, 128, 64, 32, 16, 8)


@dataclass(frozen=True)
class PixelField:
    """A field in pixels.

    Attributes
    ----------
    pixel : nested, rising.
    samples_mag : mean E(B-V) over each pixel, in each draw. [mag]
    n_star : stars in each.
    served : share of each that has stars nearby.
    resolution_deg : side of the smallest area over which the stars tell more than the prior. [deg]
    """

    pixel: Int[np.ndarray, " pixel"]
    samples_mag: Float[np.ndarray, "draw pixel distance"]
    n_star: Int[np.ndarray, " pixel"]
    served: Float[np.ndarray, " pixel"]
    resolution_deg: Float[np.ndarray, "pixel distance"]


def side_deg(nside: int) -> float:
    """Return the side of a pixel. [deg]"""
    return float(np.degrees(np.sqrt(4.0 * np.pi / 12.0))) / nside


def fitting_nside(cell_deg: float) -> int:
    """Return the finest nside of the ladder whose pixels are twice a cell wide, so that a mean over one is of several cells."""
    return next((n for n in LADDER if side_deg(n) >= 2.0 * cell_deg), LADDER[-1])


def pixel_field(
    fit: FieldFit,
    nside: int,
    distance_pc: Float[np.ndarray, " distance"],
    l_deg: Float[np.ndarray, " star"],
    b_deg: Float[np.ndarray, " star"],
    star_distance_pc: Float[np.ndarray, " star"],
    star_error_mag: Float[np.ndarray, " star"],
) -> PixelField:
    """Average a fitted field over HEALPix pixels.

    Parameters
    ----------
    fit : the field.
    nside : of the pixels.
    distance_pc : out to which E(B-V) is given. [pc]
    l_deg, b_deg : of the stars that were fitted. [deg]
    star_distance_pc, star_error_mag : posterior mean distance and standard deviation of E(B-V) of each. [pc, mag]
    """
    grid = HEALPix(nside=nside, order="nested")
    of_star = grid.lonlat_to_healpix(l_deg * u.deg, b_deg * u.deg)
    pixel, child = _pixels_and_places(fit, nside, of_star)
    fine = HEALPix(nside=nside * _ALONG, order="nested")
    lon, lat = (a.to_value(u.deg) for a in fine.healpix_to_lonlat(child))
    nearest = cKDTree(unit_vectors(l_deg, b_deg)).query(unit_vectors(lon, lat))[0]
    near = np.degrees(nearest) < _NEAR_CELLS * fit.grid.cell_deg
    inside = fit.grid.patch.holds(lon, lat)
    served = (near & inside).reshape(len(pixel), -1).mean(axis=1)
    kept = (served > 0) & inside.reshape(len(pixel), -1).any(axis=1)
    pixel, served, inside = pixel[kept], served[kept], inside.reshape(len(kept), -1)[kept]
    lon, lat = (a.reshape(len(kept), -1)[kept] for a in (lon, lat))
    places = fit.ebv_mag(lon[inside], lat[inside], distance_pc)
    row = np.nonzero(inside)[0]
    count = np.bincount(row, minlength=len(pixel))
    samples = np.empty((len(places), len(pixel), len(distance_pc)), np.float32)
    for k, draw in enumerate(places):
        for j in range(len(distance_pc)):
            samples[k, :, j] = np.bincount(row, draw[:, j], minlength=len(pixel)) / count
    n_star = np.bincount(np.searchsorted(pixel, of_star), minlength=len(pixel))
    resolution = effective_resolution(
        samples, pixel, nside, distance_pc, l_deg, b_deg, star_distance_pc, star_error_mag
    )
    return PixelField(pixel, samples, n_star, served, resolution)


def _pixels_and_places(fit: FieldFit, nside: int, of_star: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the pixels that touch the patch, those of all stars with them, and the finer pixels in each, one after another."""
    patch = fit.grid.patch
    step = side_deg(nside * _ALONG) / 2.0
    along = np.arange(-patch.size_deg / 2.0, patch.size_deg / 2.0 + step, step).clip(max=patch.size_deg / 2.0)
    x, y = (a.ravel() for a in np.meshgrid(along, along))
    lon, lat = patch.to_sky(x, y)
    pixel = HEALPix(nside=nside, order="nested").lonlat_to_healpix(lon * u.deg, lat * u.deg)
    pixel = np.unique(np.concatenate([pixel, of_star]))
    child = pixel[:, None] * _ALONG**2 + np.arange(_ALONG**2)
    return pixel, child.ravel()


def hole_deg2(pixel: Int[np.ndarray, " pixel"], nside: int, patch: SkyPatch) -> float:
    """Return the area that no pixel of a map covers though there are some on all sides of it. [deg^2]

    Parameters
    ----------
    pixel : nested, rising.
    nside : of the pixels.
    patch : that holds them.
    """
    step = side_deg(nside) / 2.0
    along = np.arange(-patch.size_deg / 2.0, patch.size_deg / 2.0 + step, step)
    x, y = np.meshgrid(along, along)
    lon, lat = patch.to_sky(x.ravel(), y.ravel())
    here = HEALPix(nside=nside, order="nested").lonlat_to_healpix(lon * u.deg, lat * u.deg)
    covered = np.isin(here, pixel).reshape(x.shape)
    return float((binary_fill_holes(covered) & ~covered).sum() * step**2)


def effective_resolution(
    samples_mag: Float[np.ndarray, "draw pixel distance"],
    pixel: Int[np.ndarray, " pixel"],
    nside: int,
    distance_pc: Float[np.ndarray, " distance"],
    l_deg: Float[np.ndarray, " star"],
    b_deg: Float[np.ndarray, " star"],
    star_distance_pc: Float[np.ndarray, " star"],
    star_error_mag: Float[np.ndarray, " star"],
) -> Float[np.ndarray, "pixel distance"]:
    """Return the side of the smallest area around each pixel over which the stars tell more than the prior. [deg]

    Equation: ES15 (docs/explanation/model.md): over an area of this side the variance of its mean about that of the area four
    times as large, in the draws, is more than that of a mean over its stars behind the distance.
    """
    out = np.full((len(pixel), len(distance_pc)), side_deg(LADDER[-1]))
    finest = HEALPix(nside=nside, order="nested").lonlat_to_healpix(l_deg * u.deg, b_deg * u.deg)
    known = 1.0 / star_error_mag**2
    levels = [n for n in LADDER if n <= nside]
    for side in levels[::-1]:
        shift = (nside // side) ** 2
        area, member = np.unique(pixel // shift, return_inverse=True)
        parent, of_parent = np.unique(area // 4, return_inverse=True)
        star = np.searchsorted(area, finest // shift)
        star_in = (star < len(area)) & (area[np.minimum(star, len(area) - 1)] == finest // shift)
        size = np.bincount(member)
        for j, distance in enumerate(distance_pc):
            values = samples_mag[:, :, j]
            if not np.isfinite(values).all():
                out[:, j] = np.nan
                continue
            mean = np.stack([np.bincount(member, v) for v in values]) / size
            above = np.stack([np.bincount(of_parent, m) for m in mean]) / np.bincount(of_parent)
            signal = ((mean - above[:, of_parent]) ** 2).mean()
            behind = star_in & (star_distance_pc > distance)
            told = np.bincount(star[behind], known[behind], minlength=len(area))
            fine = told * signal > 1.0  # ES15
            out[:, j] = np.where(fine[member], side_deg(side), out[:, j])
    return out
