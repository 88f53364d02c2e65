"""A map of the sky: mean E(B-V) out to chosen distances in HEALPix pixels, each fitted as a sightline of its own."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import Table
from astropy_healpix import HEALPix
from jaxtyping import Float, Int

from redflower.constants import EBV_MAX_MAG, EBV_MIN_MAG
from redflower.errors import InputError
from redflower.posterior.density import JointDensity
from redflower.products.sightline import joint_density, sightline_rows
from redflower.provenance import META_KEY, VERSION
from redflower.sightline import TemperingSettings, fit_sightline

#: Fewer stars than this leave a pixel empty.
MIN_STARS: Final = 20
_QUICK: Final = TemperingSettings(n_particles=200, n_moves=5, n_final=16)


@dataclass(frozen=True)
class SkyMap:
    """Mean E(B-V) out to chosen distances, in the pixels that have stars enough.

    Attributes
    ----------
    nside : of the HEALPix grid, nested, Galactic.
    pixel : pixels of the map.
    distance_pc : the distances, rising. [pc]
    ebv_mag, ebv_std_mag : posterior mean and standard deviation, foreground and zero point included; NaN beyond the
        distances that a pixel's stars reach. [mag]
    n_stars : stars of each pixel.
    """

    nside: int
    pixel: Int[np.ndarray, " pixel"]
    distance_pc: Float[np.ndarray, " distance"]
    ebv_mag: Float[np.ndarray, "pixel distance"]
    ebv_std_mag: Float[np.ndarray, "pixel distance"]
    n_stars: Int[np.ndarray, " pixel"]

    def query(self, coordinates: SkyCoord) -> np.ndarray:
        """E(B-V) towards and out to coordinates, as the maps of the package dustmaps are asked. [mag]

        Parameters
        ----------
        coordinates : any frame. With distances, E(B-V) is interpolated between those of the map (NaN outside them);
            without, the result has a last axis over the map's distances.

        Returns
        -------
        NaN outside the map's pixels.
        """
        galactic = coordinates.galactic
        grid = HEALPix(nside=self.nside, order="nested")
        wanted = np.atleast_1d(grid.lonlat_to_healpix(galactic.l, galactic.b))
        order = np.argsort(self.pixel)
        place = np.clip(np.searchsorted(self.pixel[order], wanted), 0, len(order) - 1)
        row = order[place]
        values = np.where((self.pixel[row] == wanted)[:, None], self.ebv_mag[row], np.nan)
        if galactic.distance.unit == u.dimensionless_unscaled:
            return values.reshape(*coordinates.shape, -1)
        asked = np.atleast_1d(galactic.distance.to_value(u.pc))
        found = [
            np.interp(d, self.distance_pc, row_values, left=np.nan, right=np.nan)
            for d, row_values in zip(asked, values, strict=True)
        ]
        return np.reshape(found, coordinates.shape)


def make_sky_map(
    posteriors: Table,
    *,
    nside: int,
    distance_pc: Sequence[float],
    max_clouds: int = 2,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> SkyMap:
    """Fit every pixel that has 20 stars or more.

    Parameters
    ----------
    posteriors : from `redflower.infer` with densities, with ``l`` and ``b``.
    nside : a power of 2.
    distance_pc : rising distances. [pc]
    max_clouds : largest number of clouds of a pixel; its profile is averaged over the numbers of clouds.
    seed : of the random numbers; each pixel has its own.
    progress : called with the number of pixels done.

    Raises
    ------
    InputError
        If no pixel has stars enough, or an argument is out of range.
    """
    distance = np.asarray(distance_pc, dtype=float)
    if nside < 1 or nside & (nside - 1):
        raise InputError(f"a sky map needs nside as a power of 2; got {nside}.")
    if len(distance) == 0 or not (np.diff(distance) > 0).all() or distance[0] <= 0:
        raise InputError(f"a sky map needs rising positive distances; got {list(distance_pc)}.")
    if not {"l", "b"} <= set(posteriors.colnames):
        raise InputError("a sky map needs the columns l and b.")
    density, rows = joint_density(posteriors), sightline_rows(posteriors)
    l_deg, b_deg = (np.asarray(posteriors[name], dtype=float) for name in ("l", "b"))
    pixel = HEALPix(nside=nside, order="nested").lonlat_to_healpix(l_deg * u.deg, b_deg * u.deg)
    wanted, counts = np.unique(pixel[rows], return_counts=True)
    wanted, counts = wanted[counts >= MIN_STARS], counts[counts >= MIN_STARS]
    if len(wanted) == 0:
        raise InputError(
            f"no pixel of nside {nside} has {MIN_STARS} stars with a density; take a smaller nside or more stars."
        )
    low, high = posteriors.meta.get(META_KEY, {}).get("ebv_prior_mag", (EBV_MIN_MAG, EBV_MAX_MAG))
    mean, std = (np.full((len(wanted), len(distance)), np.nan) for _ in range(2))
    for k, one in enumerate(wanted):
        here = rows & (pixel == one)
        part = JointDensity(*(getattr(density, name)[here] for name in density.__dataclass_fields__))
        rng = np.random.default_rng([seed, int(one)])
        fit = fit_sightline(
            part, (float(low), float(high)), rng, max_clouds=max_clouds, settings=_QUICK, monotone=False
        )
        band = fit.profile(distance, with_foreground=True)
        near, far = fit.prior.distance_pc
        inside = (distance >= near) & (distance <= far)
        mean[k], std[k] = (np.where(inside, band[name], np.nan) for name in ("mean", "std"))
        if progress is not None:
            progress(k + 1)
    return SkyMap(nside, wanted.astype(np.int64), distance, mean, std, counts.astype(np.int64))


def write_sky_map(sky: SkyMap, path: Path) -> None:
    """Write a map as a FITS binary table of HEALPix pixels with explicit indices, units in every column."""
    if path.suffix != ".fits":
        raise InputError(f"{path}: a sky map is written as .fits.")
    columns = [fits.Column("PIXEL", "K", array=sky.pixel)]
    for k, distance in enumerate(sky.distance_pc):
        columns.append(fits.Column(f"EBV_{distance:.0f}PC", "E", unit="mag", array=sky.ebv_mag[:, k]))
        columns.append(fits.Column(f"EBV_STD_{distance:.0f}PC", "E", unit="mag", array=sky.ebv_std_mag[:, k]))
    columns.append(fits.Column("N_STARS", "J", array=sky.n_stars))
    table = fits.BinTableHDU.from_columns(columns, name="REDDENING")
    table.header.update(
        {
            "PIXTYPE": "HEALPIX", "ORDERING": "NESTED", "COORDSYS": "G", "NSIDE": sky.nside,
            "INDXSCHM": "EXPLICIT", "OBJECT": "PARTIAL", "FIRSTPIX": 0, "LASTPIX": 12 * sky.nside**2 - 1,
            "GRAIN": 1, "CREATOR": f"redflower {VERSION}",
        }
    )  # fmt: skip
    for k, distance in enumerate(sky.distance_pc):
        table.header[f"DIST{k}"] = (float(distance), "[pc]")
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        fits.HDUList([fits.PrimaryHDU(), table]).writeto(part)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def read_sky_map(path: "str | Path") -> SkyMap:
    """Read a map that `write_sky_map` wrote.

    Raises
    ------
    InputError
        If the file is not one.
    """
    try:
        with fits.open(path) as file:
            table = file["REDDENING"]
            header, data = table.header, table.data
            distance = np.array(
                [header[f"DIST{k}"] for k in range(sum(n.startswith("EBV_STD") for n in data.names))]
            )
            mean, std = (
                np.stack([data[f"{name}_{d:.0f}PC"] for d in distance], axis=1).astype(float)
                for name in ("EBV", "EBV_STD")
            )
            pixel, count = (np.asarray(data[n]).astype(np.int64) for n in ("PIXEL", "N_STARS"))
            return SkyMap(int(header["NSIDE"]), pixel, distance, mean, std, count)
    except (OSError, KeyError) as problem:
        raise InputError(f"{path} is not a sky map of redflower: {problem}.") from problem
