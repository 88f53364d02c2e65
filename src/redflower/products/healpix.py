"""What the maps of the sky and of a field share: pixels, the head of their FITS table, and facts kept in it."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy_healpix import HEALPix
from jaxtyping import Bool, Float, Int

from redflower.calibrate.verdict import Verdict
from redflower.entries import why_of
from redflower.errors import InputError
from redflower.provenance import VERSION

#: What the facts in a map's header begin with.
_FACTS: Final = "redflower:"


def pixel_centres_deg(
    nside: int, pixel: Int[np.ndarray, " pixel"]
) -> tuple[Float[np.ndarray, " pixel"], Float[np.ndarray, " pixel"]]:
    """Return Galactic longitudes and latitudes of nested pixels' centres. [deg]"""
    lon, lat = HEALPix(nside=nside, order="nested").healpix_to_lonlat(pixel)
    return lon.to_value(u.deg), lat.to_value(u.deg)


def rows_towards(
    nside: int, pixel: Int[np.ndarray, " pixel"], galactic: SkyCoord
) -> tuple[Int[np.ndarray, " n"], Bool[np.ndarray, " n"]]:
    """Return the row of a map's nested pixels towards each position, and whether the map has that pixel at all."""
    grid = HEALPix(nside=nside, order="nested")
    wanted = np.atleast_1d(grid.lonlat_to_healpix(galactic.l, galactic.b)).ravel()
    order = np.argsort(pixel)
    row = order[np.clip(np.searchsorted(pixel[order], wanted), 0, len(order) - 1)]
    return row, pixel[row] == wanted


def healpix_table(columns: list[fits.Column], nside: int) -> fits.BinTableHDU:
    """Return the table ``REDDENING`` of nested Galactic pixels with explicit indices, as HEALPix wants its header."""
    table = fits.BinTableHDU.from_columns(columns, name="REDDENING")
    table.header.update(
        {
            "PIXTYPE": "HEALPIX", "ORDERING": "NESTED", "COORDSYS": "G", "NSIDE": nside,
            "INDXSCHM": "EXPLICIT", "OBJECT": "PARTIAL", "FIRSTPIX": 0, "LASTPIX": 12 * nside**2 - 1,
            "GRAIN": 1, "CREATOR": f"redflower {VERSION}",
        }
    )  # fmt: skip
    return table


def keep_facts(header: fits.Header, verdict: Verdict | None, **facts: Any) -> None:
    """Write the verdict on a map's stars into its header, in words and whole, with further facts; nothing if there is none."""
    if verdict is not None:
        header["VERDICT"] = verdict.heading
        facts["verdict"] = verdict.as_dict()
    if facts:
        header.add_history(f"{_FACTS} {json.dumps(facts)}")


def kept_facts(header: fits.Header) -> dict[str, Any]:
    """Return the facts that `keep_facts` wrote; none if the header has none."""
    text = "".join(map(str, header.get("HISTORY", ())))
    return dict(json.loads(text.removeprefix(_FACTS))) if text.startswith(_FACTS) else {}


@contextmanager
def reading_map(path: "str | Path", what: str) -> Iterator[None]:
    """Turn whatever goes wrong in reading a map into one short message."""
    try:
        yield
    except Exception as problem:  # astropy raises what it likes on a damaged header
        raise InputError(f"{path} is not {what} of redflower: {why_of(problem)}.") from problem
