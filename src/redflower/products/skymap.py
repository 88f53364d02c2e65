"""A map of the sky: mean E(B-V) out to chosen distances in HEALPix pixels, and its file."""

from dataclasses import dataclass
from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from astropy.io import fits
from jaxtyping import Float, Int

from redflower.calibrate.verdict import Verdict, verdict_of
from redflower.cards import card, line
from redflower.catalogue.io.fits_files import open_fits
from redflower.errors import InputError
from redflower.files import written_whole
from redflower.products.healpix import (
    healpix_table,
    keep_facts,
    kept_facts,
    pixel_centres_deg,
    reading_map,
    rows_towards,
)


@dataclass(frozen=True, repr=False)
class SkyMap:
    """Mean E(B-V) out to chosen distances, in the pixels that have enough stars.

    Attributes
    ----------
    nside : of the HEALPix grid, nested, Galactic.
    pixel : pixels of the map.
    distance_pc : the distances, rising. [pc]
    ebv_mag, ebv_std_mag : posterior mean and standard deviation, foreground and zero point included; NaN outside the
        distances that a pixel's stars reach. [mag]
    n_stars : stars of each pixel.
    verdict : whether the model was right for the stars; None where their table did not say.
    """

    nside: int
    pixel: Int[np.ndarray, " pixel"]
    distance_pc: Float[np.ndarray, " distance"]
    ebv_mag: Float[np.ndarray, "pixel distance"]
    ebv_std_mag: Float[np.ndarray, "pixel distance"]
    n_stars: Int[np.ndarray, " pixel"]
    verdict: Verdict | None = None

    def centres_deg(self) -> tuple[np.ndarray, np.ndarray]:
        """Return Galactic longitudes and latitudes of the pixels' centres. [deg]"""
        return pixel_centres_deg(self.nside, self.pixel)

    def __repr__(self) -> str:
        return line("sky map", self._facts())

    def _repr_html_(self) -> str:
        return card("Map of reddening", self._facts())

    def _facts(self) -> list[tuple[str, str]]:
        distances = ", ".join(f"{d:.0f}" for d in self.distance_pc)
        counts = f"{self.n_stars.min():,} to {self.n_stars.max():,}" if len(self.n_stars) else "none"
        facts = [
            ("nside", str(self.nside)),
            ("pixels", f"{len(self.pixel):,}"),
            ("stars a pixel", counts),
            ("out to", f"{distances} pc"),
        ]
        return facts + ([] if self.verdict is None else [("verdict", self.verdict.heading)])

    def query(self, coordinates: SkyCoord) -> np.ndarray:
        """Return E(B-V) towards (and out to) the given coordinates, with the calling convention of dustmaps. [mag]

        Parameters
        ----------
        coordinates : any frame. With distances, E(B-V) is interpolated between those of the map (NaN outside them);
            without, the result has a last axis over the map's distances.

        Returns
        -------
        NaN outside the map's pixels.
        """
        galactic = coordinates.galactic
        row, there = rows_towards(self.nside, self.pixel, galactic)
        values = np.where(there[:, None], self.ebv_mag[row], np.nan)
        if galactic.distance.unit == u.dimensionless_unscaled:
            return values.reshape(*coordinates.shape, -1)
        asked = np.atleast_1d(galactic.distance.to_value(u.pc)).ravel()
        found = [
            np.interp(d, self.distance_pc, row_values, left=np.nan, right=np.nan)
            for d, row_values in zip(asked, values, strict=True)
        ]
        return np.reshape(found, coordinates.shape)


def is_sky_map(path: Path) -> bool:
    """Return whether a FITS file holds a map that `write_sky_map` wrote."""
    try:
        with fits.open(path) as file:
            return "REDDENING" in file
    except OSError:
        return False


def write_sky_map(sky: SkyMap, path: Path) -> None:
    """Write a map as a FITS binary table of HEALPix pixels with explicit indices, units in every column."""
    if path.suffix != ".fits":
        raise InputError(f"{path}: a sky map is written as .fits.")
    columns = [fits.Column("PIXEL", "K", array=sky.pixel)]
    for k, distance in enumerate(sky.distance_pc):
        columns.append(fits.Column(f"EBV_{distance:.0f}PC", "E", unit="mag", array=sky.ebv_mag[:, k]))
        columns.append(fits.Column(f"EBV_STD_{distance:.0f}PC", "E", unit="mag", array=sky.ebv_std_mag[:, k]))
    columns.append(fits.Column("N_STARS", "J", array=sky.n_stars))
    table = healpix_table(columns, sky.nside)
    for k, distance in enumerate(sky.distance_pc):
        table.header[f"DIST{k}"] = (float(distance), "[pc]")
    keep_facts(table.header, sky.verdict)
    with written_whole(path) as part:
        fits.HDUList([fits.PrimaryHDU(), table]).writeto(part)


def read_sky_map(path: "str | Path") -> SkyMap:
    """Read a map that `redflower map` or `write_sky_map` wrote.

    Parameters
    ----------
    path : a FITS file.

    Returns
    -------
    The map, which can be asked for positions (`SkyMap.query`).

    Raises
    ------
    InputError
        If the file is not one.

    Examples
    --------
    >>> from pathlib import Path
    >>> import numpy as np
    >>> import redflower
    >>> from redflower.products.skymap import SkyMap, write_sky_map
    >>> one = np.array([[0.03, 0.05]])
    >>> write_sky_map(SkyMap(4, np.array([7]), np.array([300.0, 900.0]), one, 0.1 * one, np.array([40])), Path("a-map.fits"))
    >>> redflower.read_sky_map("a-map.fits").n_stars
    array([40])
    """
    with reading_map(path, "a sky map"), open_fits(path, memmap=True) as file:
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
        return SkyMap(
            nside=int(header["NSIDE"]),
            pixel=pixel,
            distance_pc=distance,
            ebv_mag=mean,
            ebv_std_mag=std,
            n_stars=count,
            verdict=verdict_of(kept_facts(header)),
        )
