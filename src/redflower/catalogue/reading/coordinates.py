"""Both pairs of coordinates from one."""

import numpy as np
from astropy.coordinates import SkyCoord
from astropy.table import Column, Table

from redflower.catalogue.reading.schema import INPUT_COLUMNS


def fill_coordinates(stars: Table, notes: list[str]) -> None:
    """Add the pair of coordinates that is absent, and single values missing in one pair but not the other."""
    pairs = (("ra", "dec", "icrs"), ("l", "b", "galactic"))
    for (lon, lat, frame), (other_lon, other_lat, other_frame) in (pairs, pairs[::-1]):
        known = lon in stars.colnames and lat in stars.colnames
        values = (
            [np.array(stars[lon], float), np.array(stars[lat], float)]
            if known
            else [np.full(len(stars), np.nan), np.full(len(stars), np.nan)]
        )
        gap = ~(np.isfinite(values[0]) & np.isfinite(values[1]))
        if gap.any() and other_lon in stars.colnames and other_lat in stars.colnames:
            there = SkyCoord(
                np.asarray(stars[other_lon])[gap],
                np.asarray(stars[other_lat])[gap],
                unit="deg",
                frame=other_frame,
            ).transform_to(frame)
            values[0][gap] = there.spherical.lon.deg
            values[1][gap] = there.spherical.lat.deg
            if not known:
                notes.append(f"{lon} and {lat} are computed from {other_lon} and {other_lat}")
        for name, filled in zip((lon, lat), values, strict=True):
            stars[name] = Column(filled, unit="deg", description=INPUT_COLUMNS[name].description)
