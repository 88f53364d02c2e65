"""HEALPix maps of reddening: reading, checking, and looking up stars."""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import astropy.units as u
import numpy as np
from astropy.io import fits
from astropy.utils.exceptions import AstropyUserWarning
from astropy_healpix import HEALPix
from jaxtyping import Float

from redflower.catalogue.io.fits_files import open_fits
from redflower.catalogue.maps.map_column import (
    factor_to_mag,
    is_ebv,
    pixel_column,
    split_column,
    value_column,
)
from redflower.catalogue.maps.map_scales import describe_scale, scale_of_file
from redflower.entries import why_of
from redflower.errors import InputError
from redflower.files import file_checksum, file_sha256, verify_file

SkyFrame = Literal["galactic", "icrs"]

_FRAMES: Final[dict[str, SkyFrame]] = {
    "g": "galactic", "galactic": "galactic",
    "c": "icrs", "celestial": "icrs", "celestial2000": "icrs", "equatorial": "icrs", "icrs": "icrs",
}  # fmt: skip

#: Where the map of the paper is, and how to have it.
_LENZ_FILE: Final = "ebv_lhd.hpx.fits"
_LENZ_PAGE: Final = "https://doi.org/10.7910/DVN/AFJNWJ"
LENZ_HOW: Final = (
    f"The map of Lenz, Hensley & Dore (2017, ApJ 846, 38) is the file {_LENZ_FILE} of {_LENZ_PAGE}; "
    "its server refuses scripts, so fetch it with a browser and give the file, and as --ebv-map-checksum the MD5 "
    "that the page shows beside it."
)
#: Resolution of published maps, by file name: a file of the name with another is not the published one.
_PUBLISHED_NSIDE: Final = {_LENZ_FILE: 1024}
#: Pixels coarser than this average over the structure of high-latitude dust, and the user is told. [arcmin]
_COARSE_ARCMIN: Final = 10.0

# HEALPix writes -1.6375e30 for "never observed".
_UNSEEN_BELOW: Final = -1e30
# No reddening map has a median of more than this over the sky; a column density has.
_MEDIAN_MAX_MAG: Final = 10.0


@dataclass(frozen=True)
class DustMap:
    """A full-sky map of E(B-V).

    Attributes
    ----------
    ebv_mag : one value per pixel, NaN where the map has none. [mag]
    nside : HEALPix resolution.
    order : ``ring`` or ``nested``.
    frame : the coordinates of the pixels.
    name, sha256 : the file's name and checksum.
    notes : what was assumed in reading it.
    scale : the factor by which the file's values were brought to `ebv_mag`.
    """

    ebv_mag: Float[np.ndarray, " pixel"]
    nside: int
    order: Literal["ring", "nested"]
    frame: SkyFrame
    name: str
    sha256: str
    notes: tuple[str, ...]
    scale: float = 1.0

    def lookup(
        self,
        ra_deg: Float[np.ndarray, " star"],
        dec_deg: Float[np.ndarray, " star"],
        l_deg: Float[np.ndarray, " star"],
        b_deg: Float[np.ndarray, " star"],
    ) -> Float[np.ndarray, " star"]:
        """Look up E(B-V) in the pixel of each star, NaN where the map or the position has none. [mag]"""
        lon, lat = (l_deg, b_deg) if self.frame == "galactic" else (ra_deg, dec_deg)
        found = np.full(len(lon), np.nan)
        finite = np.isfinite(lon) & np.isfinite(lat)
        pixels = HEALPix(self.nside, order=self.order).lonlat_to_healpix(
            lon[finite] * u.deg, lat[finite] * u.deg
        )
        found[finite] = self.ebv_mag[pixels]
        return found


def read_dust_map(path: "str | Path", *, scale: float = 1.0, checksum: str | None = None) -> DustMap:
    """Read a reddening map from a HEALPix FITS file; order and coordinates come from its header.

    Parameters
    ----------
    path : a FITS file with a HEALPix table. Of several columns the one called E(B-V) is the map, or the one named behind the
        file, as ``map.fits[EBV]``.
    scale : factor from the map's values to E(B-V) on the scale of Schlegel et al. (1998), such as 1 / 7.78e21 for a column
        density of hydrogen; on top of that of a map known by its published name
        (`redflower.catalogue.maps.map_scales`).
    checksum : MD5 or SHA-256 of the file as its publisher states it, in hexadecimal digits.

    Raises
    ------
    InputError
        If the file is not that of the checksum, cannot be read, is no HEALPix map, contradicts itself, or holds no
        reddening.
    """
    path, asked = split_column(path)
    if not path.is_file():
        raise InputError(f"dust map {path} does not exist or is no file. {LENZ_HOW}")
    if not (np.isfinite(scale) and scale > 0):
        raise InputError(f"the scale of a dust map must be a positive number; got {scale!r}.")
    notes: list[str] = []
    if checksum is not None:
        notes.append(f"{path.name} has the stated {verify_file(path, checksum)}")
    elif path.name == _LENZ_FILE:
        notes.append(
            f"no checksum is stated for {path.name}; its MD5 is {file_checksum(path, 'md5')}: compare it with that shown "
            f"at {_LENZ_PAGE}, or give that one (ebv_map_checksum) and it is compared here"
        )
    try:
        with warnings.catch_warnings():
            # astropy only warns of a file that is shorter than its header says.
            warnings.filterwarnings("error", message=".*truncated.*", category=AstropyUserWarning)
            header, index, listed, note = _map_table(path, asked, scale)
    except InputError:
        raise
    except Exception as problem:
        raise InputError(
            f"dust map {path} cannot be read as FITS: {why_of(problem)}. Fetch it again."
        ) from problem
    try:
        order = _order(path, header)
        frame = _frame(path, header, notes)
        values, nside = _pixels(path, header, index, listed)
    except fits.VerifyError as problem:  # a card is read when it is asked for
        raise InputError(
            f"dust map {path} cannot be read as FITS: {problem!s:.300}. Fetch it again."
        ) from problem
    notes.append(note)
    known = scale_of_file(path.name)
    factor = known.factor * scale
    notes.append(describe_scale(path.name, known, scale))
    values = np.where(np.isfinite(values) & (values > _UNSEEN_BELOW), values, np.nan) * factor
    if not np.isfinite(values).any():
        raise InputError(f"dust map {path} has no finite value.")
    median = float(np.nanmedian(values))
    if not 0.0 <= median <= _MEDIAN_MAX_MAG:
        raise InputError(
            f"dust map {path} must hold E(B-V) in mag; its median is {median:.3g}. For a column density give "
            "the factor to E(B-V): ebv_map_scale (1.285e-22 for hydrogen atoms per cm^2)."
        )
    published = _PUBLISHED_NSIDE.get(path.name)
    if published is not None and nside != published:
        raise InputError(
            f"dust map {path}: the published {path.name} has NSIDE = {published}; this file has {nside}. It is another "
            f"map, or a degraded one; rename it if you mean it. {LENZ_HOW}"
        )
    pixel_arcmin = 60.0 * np.degrees(np.sqrt(4 * np.pi / (12 * nside**2)))
    if pixel_arcmin > _COARSE_ARCMIN:
        notes.append(
            f"{path.name} averages the dust over pixels of {pixel_arcmin:.0f} arcmin (NSIDE = {nside})"
        )
    seen = float(np.isfinite(values).mean())
    if seen < 1.0:
        notes.append(
            f"{path.name} covers {100 * seen:.0f} % of the sky; stars elsewhere have no E(B-V) from it"
        )
    return DustMap(
        ebv_mag=values,
        nside=nside,
        order=order,
        frame=frame,
        name=path.name,
        sha256=file_sha256(path),
        notes=tuple(notes),
        scale=factor,
    )


def _map_table(
    path: Path, asked: str | None, scale: float
) -> tuple[fits.Header, np.ndarray | None, np.ndarray, str]:
    """Read the table that holds the map: header, pixel numbers if listed, values, and the name of their column."""
    with open_fits(path) as file:
        tables = [part for part in file if isinstance(part, fits.BinTableHDU)]
        if not tables:
            raise InputError(
                f"dust map {path} holds no HEALPix table. If it should hold one, it was cut short in its header: fetch "
                "it again."
            )
        # The first, unless only another has a column that is called E(B-V), or as asked.
        hdu = next(
            (part for part in tables if any(n == asked if asked else is_ebv(n) for n in part.data.names)),
            tables[0],
        )
        header, names = hdu.header.copy(), list(hdu.data.names)
        index = None
        if str(header.get("INDXSCHM", "IMPLICIT")).strip().upper() == "EXPLICIT":
            if header.get("NSIDE") is None or len(names) < 2:
                raise InputError(f"dust map {path} lists its pixels but lacks NSIDE or a column of values.")
            listed = pixel_column(names)
            names.remove(listed)
            index = np.asarray(hdu.data[listed]).ravel().astype(np.int64)
        name, note = value_column(path, names, asked, scale)
        factor = factor_to_mag(path, name, hdu.columns[name].unit, scale)
        return header, index, np.asarray(hdu.data[name]).ravel().astype(float) * factor, note


def _order(path: Path, header: fits.Header) -> Literal["ring", "nested"]:
    text = str(header.get("ORDERING", "")).strip().lower()
    if text.startswith("ring"):
        return "ring"
    if text.startswith("nest"):
        return "nested"
    raise InputError(f"dust map {path}: the header must say ORDERING = RING or NESTED; it says {text!r}.")


def _frame(path: Path, header: fits.Header, notes: list[str]) -> SkyFrame:
    text = str(header.get("COORDSYS", "")).strip().lower()
    if not text:
        notes.append(f"{path.name} does not state its coordinates (COORDSYS); Galactic ones are assumed")
        return "galactic"
    if text not in _FRAMES:
        raise InputError(
            f"dust map {path}: COORDSYS is {text!r}; only Galactic (G) and equatorial (C) are supported."
        )
    return _FRAMES[text]


def _pixels(
    path: Path, header: fits.Header, index: np.ndarray | None, listed: np.ndarray
) -> tuple[np.ndarray, int]:
    """Return all pixels of the sky in the map's order, and nside, checked against the header."""
    stated = header.get("NSIDE")
    if index is not None:
        nside = int(stated)
        if index.size and (index.min() < 0 or index.max() >= 12 * nside**2):
            raise InputError(f"dust map {path}: pixel numbers must lie below 12 NSIDE^2 = {12 * nside**2}.")
        values = np.full(12 * nside**2, np.nan)
        values[index] = listed
        return values, nside
    values = listed
    nside = round((values.size / 12) ** 0.5)
    if 12 * nside**2 != values.size or nside & (nside - 1):
        raise InputError(
            f"dust map {path} must hold 12 NSIDE^2 pixels, NSIDE a power of two; it holds {values.size}."
        )
    if stated is not None and int(stated) != nside:
        raise InputError(
            f"dust map {path}: the header says NSIDE = {stated}, its {values.size} pixels say {nside}."
        )
    return values, nside
