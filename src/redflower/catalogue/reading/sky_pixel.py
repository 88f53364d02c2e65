"""Positions against the HEALPix pixel that Gaia writes into its identifiers.

A Gaia ``source_id``, divided by 2^35, is the pixel of the star's position in ICRS (level 12, nested, 0.9 arcmin wide). It
tells positions in hours or radians, Galactic ones under ``ra`` and ``dec``, and rows joined to other stars. Identifiers of
other kinds tell nothing; that they are such must show in themselves.
"""

from collections.abc import Callable, Iterator
from typing import Final

import astropy.units as u
import numpy as np
from astropy.coordinates import BarycentricMeanEcliptic, SkyCoord
from astropy_healpix import HEALPix
from jaxtyping import Bool, Float, Int

from redflower.errors import InputError

_PIXEL_UNIT: Final = 2**35
_NSIDE: Final = 2**12
_N_PIXELS: Final = 12 * _NSIDE**2
#: Gaia's identifiers are multiples of this.
_RUNNING_UNIT: Final = 128
#: A pixel's width, and the proper motion of any star in some decades, are far below this. [deg]
_AGREE_DEG: Final = 0.1
#: Of the stars of a table; a few rows may be odd, and are then most likely of another star.
_MOST: Final = 0.5
_FEW: Final = 0.01
_NEARLY_ALL: Final = 0.9
#: Fewer identifiers than this show no form; more stars than that need not be tried in other frames.
_LOOK_MIN: Final = 5
_N_TRIED: Final = 2000

Angles = tuple[Float[np.ndarray, " star"], Float[np.ndarray, " star"]]


def check_positions_in_pixels(
    source_id: Int[np.ndarray, " star"],
    lon_deg: Float[np.ndarray, " star"],
    lat_deg: Float[np.ndarray, " star"],
    names: tuple[str, ...] = ("ra", "dec"),
) -> str | None:
    """Refuse positions that contradict Gaia's identifiers; a sentence where the identifiers are not Gaia's.

    Parameters
    ----------
    source_id : identifiers of any kind.
    lon_deg, lat_deg : positions as they are taken to be, NaN where missing. [deg]
    names : ``ra`` and ``dec`` for ICRS, ``l`` and ``b`` for Galactic positions.

    Raises
    ------
    InputError
        If identifiers and positions agree once the positions are taken otherwise (hours, radians, another frame); if they
        agree but for a few rows; or if the identifiers look like Gaia's and agree with nothing.
    """
    pair, frame = " and ".join(names), "ICRS" if names[0] == "ra" else "Galactic"
    placed = np.isfinite(lon_deg) & np.isfinite(lat_deg)
    ids, lon, lat = source_id[placed], lon_deg[placed], lat_deg[placed]
    if not len(ids):
        return None
    possible = (ids >= 0) & (ids < _N_PIXELS * _PIXEL_UNIT)
    centre = np.full((len(ids), 3), np.nan)
    centre[possible] = _vectors(*_centres(ids[possible] // _PIXEL_UNIT))
    agrees = _near(_icrs(lon, lat, frame.lower()), centre)
    if agrees.mean() >= _MOST:
        off = ~agrees
        if off.mean() > _FEW:
            raise InputError(
                f"{pair} must be of the star that source_id names: for {off.sum()} of {off.size} stars, such "
                f"as source_id {ids[off][0]}, they are elsewhere on the sky than the pixel in the identifier. Rows of two "
                "tables may be joined wrongly; correct or remove them."
            )
        return None
    tried = np.flatnonzero(possible)[:: max(1, int(possible.sum()) // _N_TRIED)]
    for said, other in _other_readings(names):
        if (
            len(tried)
            and _near(other(lon[tried], lat[tried]), centre[tried]).mean() * possible.mean() >= _MOST
        ):
            raise InputError(
                f"{pair} must be {frame} positions in deg; by the sky pixels "
                f"in Gaia's source_id they are {said}. State the unit in the table or a column map (--columns MAP.toml), as "
                f'[units] {names[0]} = "hourangle" or "rad", or map the columns that are meant.'
            )
    if _look_like_gaias(ids, possible):
        raise InputError(
            f"{pair} must be of the star that source_id names: only {agrees.sum()} of {agrees.size} stars are in "
            "the sky pixel that Gaia's identifiers hold. The columns may be in another unit or frame, or rows joined "
            "wrongly. If the identifiers are not Gaia's, give others (numbers from 1 will do)."
        )
    return (
        f"source_id is not taken for Gaia's (its sky pixel fits {agrees.sum()} of {agrees.size} stars): positions are not "
        "checked against it"
    )


def _look_like_gaias(ids: Int[np.ndarray, " star"], possible: Bool[np.ndarray, " star"]) -> bool:
    """Tell whether identifiers have the form of Gaia's: multiples of 128 in several pixels of the sky."""
    formed = possible & (ids >= _PIXEL_UNIT) & (ids % _RUNNING_UNIT == 0)
    if len(ids) < _LOOK_MIN or formed.mean() < _NEARLY_ALL:
        return False
    return len(np.unique(ids // _PIXEL_UNIT)) >= min(10, len(ids) / 2)


def _other_readings(names: tuple[str, ...]) -> Iterator[tuple[str, Callable[..., np.ndarray]]]:
    """Say in words what the positions may be instead, with unit vectors in ICRS for each reading."""
    own, other = ("icrs", "galactic") if names[0] == "ra" else ("galactic", "icrs")
    theirs = "l and b" if own == "icrs" else "ra and dec"
    yield f"in hours ({names[0]}) and degrees ({names[1]})", lambda lon, lat: _icrs(15 * lon, lat, own)
    yield "in radians", lambda lon, lat: _icrs(np.degrees(lon), np.degrees(lat), own)
    yield (
        f"in hours ({names[0]}) and radians ({names[1]})",
        lambda lon, lat: _icrs(15 * lon, np.degrees(lat), own),
    )
    yield (
        f"in radians ({names[0]}) and degrees ({names[1]})",
        lambda lon, lat: _icrs(np.degrees(lon), lat, own),
    )
    yield (
        f"in degrees ({names[0]}) and radians ({names[1]})",
        lambda lon, lat: _icrs(lon, np.degrees(lat), own),
    )
    yield f"{theirs}", lambda lon, lat: _icrs(lon, lat, other)
    yield f"{theirs} in radians", lambda lon, lat: _icrs(np.degrees(lon), np.degrees(lat), other)
    yield f"swapped: {names[1]} and {names[0]}", lambda lon, lat: _icrs(lat, lon, own)
    yield "ecliptic", lambda lon, lat: _icrs(lon, lat, "ecliptic")
    yield "of the equinox B1950", lambda lon, lat: _icrs(lon, lat, "fk4")
    yield f"with {names[1]} from the pole (0 to 180 deg)", lambda lon, lat: _icrs(lon, 90 - lat, own)


def _icrs(lon: np.ndarray, lat: np.ndarray, frame: str) -> np.ndarray:
    """Return unit vectors in ICRS of positions in a frame; NaN where the latitude is impossible. [deg]"""
    lat = np.where(np.abs(lat) <= 90.0, lat, np.nan)
    if frame == "icrs":
        return _vectors(lon, lat)
    kind = BarycentricMeanEcliptic() if frame == "ecliptic" else frame
    there = SkyCoord(np.nan_to_num(lon), np.nan_to_num(lat), unit="deg", frame=kind).icrs
    return np.where(np.isnan(lat)[:, None], np.nan, _vectors(there.ra.deg, there.dec.deg))


def _centres(pixel: Int[np.ndarray, " star"]) -> Angles:
    lon, lat = HEALPix(_NSIDE, order="nested").healpix_to_lonlat(pixel)
    return lon.to_value(u.deg), lat.to_value(u.deg)


def _vectors(lon_deg: np.ndarray, lat_deg: np.ndarray) -> np.ndarray:
    lon, lat = np.radians(lon_deg), np.radians(lat_deg)
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=-1)


def _near(one: np.ndarray, other: np.ndarray) -> Bool[np.ndarray, " star"]:
    with np.errstate(invalid="ignore"):
        return np.asarray(np.linalg.norm(one - other, axis=-1) < np.radians(_AGREE_DEG))
