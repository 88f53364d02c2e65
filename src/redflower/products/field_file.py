"""The files of maps of a field: one FITS file with the map and its samples, in pixels of one size or of several."""

from pathlib import Path
from typing import Any, Final

import numpy as np
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy_healpix import HEALPix

from redflower.calibrate.verdict import verdict_of
from redflower.catalogue.io.fits_files import open_fits
from redflower.errors import InputError
from redflower.files import written_whole
from redflower.products.adaptive_map import AdaptiveMap
from redflower.products.field_map import FieldMap
from redflower.products.healpix import (
    healpix_table,
    keep_facts,
    kept_facts,
    pixel_centres_deg,
    reading_map,
    rows_towards,
)
from redflower.provenance import VERSION

_FORMAT: Final = "redflower-field-2"
_ADAPTIVE_FORMAT: Final = "redflower-field-adaptive-1"
#: Orders by which the cells of a coverage map are below the pixels of its map.
_FINER: Final = 2


def write_field_map(field: FieldMap, path: Path) -> None:
    """Write a map of a field as FITS.

    Extensions: ``REDDENING``, a HEALPix table with explicit indices and a row for each pixel: at every distance E(B-V), its error
    and the part of that which goes with the zero points [mag], effective resolution [deg]; N_STAR, SERVED, R_HAT and FLAGS;
    ``SAMPLES``, an image (distance, pixel, sample), fastest axis first [mag]; ``ZERO_POINT``, those of every sample [mag];
    ``DISTANCE`` [pc]; ``MOC``, where the map is, as a multi-order coverage map of the IVOA (ICRS). ``STATUS`` in the header of
    the first says whether the chains agree.
    """
    pixel = fits.Column("PIXEL", "K", array=field.pixel)
    table = healpix_table([pixel, *_columns(field)], field.nside)
    table.header["REDFLOW"] = _FORMAT
    _write(field, table, [coverage_table(field)], path)


def write_adaptive_map(field: AdaptiveMap, path: Path) -> None:
    """Write a map in pixels of several sizes as FITS, a multi-order map of HEALPix.

    As `write_field_map`, with the column ``UNIQ`` in place of ``PIXEL``, four times the number of pixels at its level and
    its number there added (NUNIQ), and without ``MOC``, which is in the map that it was made of.
    """
    uniq = fits.Column("UNIQ", "K", array=field.uniq)
    table = fits.BinTableHDU.from_columns([uniq, *_columns(field)], name="REDDENING")
    table.header.update(
        {
            "PIXTYPE": "HEALPIX", "ORDERING": "NUNIQ", "COORDSYS": "G", "INDXSCHM": "EXPLICIT",
            "MOCORDER": int(field.level.max()), "CREATOR": f"redflower {VERSION}", "REDFLOW": _ADAPTIVE_FORMAT,
        }
    )  # fmt: skip
    _write(field, table, [], path)


def _columns(field: FieldMap | AdaptiveMap) -> list[fits.Column]:
    """Return the columns of a map but for those that say which pixel it is."""
    mean, std, zero_std = field.ebv_mag, field.ebv_std_mag, field.ebv_zero_std_mag
    columns = []
    for k, distance in enumerate(field.distance_pc):
        columns += [
            fits.Column(f"EBV_{distance:.0f}PC", "E", unit="mag", array=mean[:, k]),
            fits.Column(f"EBV_STD_{distance:.0f}PC", "E", unit="mag", array=std[:, k]),
            fits.Column(f"EBV_ZERO_STD_{distance:.0f}PC", "E", unit="mag", array=zero_std[:, k]),
            fits.Column(f"RESOLUTION_{distance:.0f}PC", "E", unit="deg", array=field.resolution_deg[:, k]),
        ]
    return columns + [
        fits.Column("N_STAR", "J", array=field.n_star),
        fits.Column("SERVED", "E", array=field.served),
        fits.Column("R_HAT", "E", array=field.r_hat),
        fits.Column("FLAGS", "J", array=field.flags),
    ]


def _write(
    field: FieldMap | AdaptiveMap, table: fits.BinTableHDU, more: list[fits.BinTableHDU], path: Path
) -> None:
    """Write a map's table with its samples, zero points and distances."""
    if path.suffix != ".fits":
        raise InputError(f"{path}: a map of a field is written as .fits.")
    table.header["STATUS"] = (field.status, "whether the chains agree")
    keep_facts(table.header, field.verdict, numbers=field.numbers)
    samples = fits.ImageHDU(field.samples_mag.astype(np.float32), name="SAMPLES")
    samples.header["BUNIT"] = "mag"
    zero = [
        fits.Column(name, "E", unit="mag", array=field.zero_point_mag[:, k])
        for k, name in enumerate(field.groups)
    ]
    distance = fits.Column("DISTANCE", "D", unit="pc", array=field.distance_pc)
    parts = [
        fits.PrimaryHDU(), table, samples,
        fits.BinTableHDU.from_columns(zero, name="ZERO_POINT"),
        fits.BinTableHDU.from_columns([distance], name="DISTANCE"),
        *more,
    ]  # fmt: skip
    with written_whole(path) as part:
        fits.HDUList(parts).writeto(part)


def coverage_table(field: FieldMap) -> fits.BinTableHDU:
    """Return where the map is as a multi-order coverage map (MOC 1.1, NUNIQ).

    The IVOA has these in ICRS alone, whose cells cut across the map's Galactic pixels: those a quarter as wide are taken whose
    centres lie in the map.
    """
    cells, found, order = _icrs_cells(field), [], int(np.log2(field.nside)) + _FINER
    finest = order
    while len(cells):
        parent, count = np.unique(cells // 4, return_counts=True)
        whole = parent[count == 4] if order > 0 else parent[:0]
        alone = cells[~np.isin(cells // 4, whole)]
        found.append(alone + 4 * 4**order)
        cells, order = whole, order - 1
    numbers = np.sort(np.concatenate(found)) if found else np.empty(0, np.int64)
    table = fits.BinTableHDU.from_columns([fits.Column("UNIQ", "K", array=numbers)], name="MOC")
    table.header.update(
        {
            "PIXTYPE": "HEALPIX", "ORDERING": "NUNIQ", "COORDSYS": "C", "MOCORDER": finest, "MOCTOOL": f"redflower {VERSION}",
        }
    )  # fmt: skip
    return table


def _icrs_cells(field: FieldMap) -> np.ndarray:
    """Return the nested ICRS cells, `_FINER` orders below the map's, whose centres lie in the map."""
    # Of each pixel, places twice as dense as the cells: no cell with its centre in the map is without one.
    dense, below = field.nside * 2 ** (_FINER + 1), 4 ** (_FINER + 1)
    children = (field.pixel[:, None] * below + np.arange(below)).ravel()
    places = SkyCoord(*pixel_centres_deg(dense, children), unit="deg", frame="galactic").icrs
    grid = HEALPix(nside=field.nside * 2**_FINER, order="nested")
    cells = np.unique(grid.lonlat_to_healpix(places.ra, places.dec))
    centres = SkyCoord(*grid.healpix_to_lonlat(cells), frame="icrs").galactic
    return cells[rows_towards(field.nside, field.pixel, centres)[1]]


def read_field_map(path: "str | Path") -> FieldMap:
    """Read a map that `redflower field` or `write_field_map` wrote.

    Parameters
    ----------
    path : a FITS file.

    Returns
    -------
    The map, which can be asked for positions and distances (`FieldMap.query`).

    Raises
    ------
    InputError
        If the file is not one.

    Examples
    --------
    >>> import redflower
    >>> from pathlib import Path
    >>> from redflower.products.field_file import write_field_map
    >>> from redflower.products.field_map import FieldMap
    >>> import numpy as np
    >>> one = np.full((3, 1, 2), 0.05)
    >>> field = FieldMap(nside=64, pixel=np.array([7]), distance_pc=np.array([300.0, 900.0]), samples_mag=one,
    ...     zero_point_mag=np.zeros((3, 1)), groups=("ALL",), n_star=np.array([40]), served=np.ones(1),
    ...     resolution_deg=np.full((1, 2), 0.5), numbers={}, r_hat=np.ones(1))
    >>> write_field_map(field, Path("a-field.fits"))
    >>> redflower.read_field_map("a-field.fits").samples_mag.shape
    (3, 1, 2)
    """
    with reading_map(path, "a map of a field"), open_fits(path) as file:
        table = file["REDDENING"]
        return FieldMap(
            nside=int(table.header["NSIDE"]),
            pixel=np.asarray(table.data["PIXEL"]).astype(np.int64),
            **_parts(file),
        )


def read_adaptive_map(path: "str | Path") -> AdaptiveMap:
    """Read a map in pixels of several sizes that `redflower field --adaptive` or `write_adaptive_map` wrote.

    Parameters
    ----------
    path : a FITS file.

    Returns
    -------
    The map, which can be asked for positions and distances (`AdaptiveMap.query`).

    Raises
    ------
    InputError
        If the file is not one.

    Examples
    --------
    >>> import redflower
    >>> from pathlib import Path
    >>> from redflower.products.adaptive_map import AdaptiveMap
    >>> from redflower.products.field_file import write_adaptive_map
    >>> import numpy as np
    >>> one = np.full((3, 2, 1), 0.05)
    >>> field = AdaptiveMap(level=np.array([6, 7]), pixel=np.array([7, 50]), distance_pc=np.array([300.0]), samples_mag=one,
    ...     zero_point_mag=np.zeros((3, 1)), groups=("ALL",), n_star=np.array([40, 20]), served=np.ones(2),
    ...     resolution_deg=np.full((2, 1), 0.9), numbers={}, r_hat=np.ones(2))
    >>> write_adaptive_map(field, Path("adaptive.fits"))
    >>> redflower.read_adaptive_map("adaptive.fits").level
    array([6, 7])
    """
    with reading_map(path, "an adaptive map of a field"), open_fits(path) as file:
        uniq = np.asarray(file["REDDENING"].data["UNIQ"]).astype(np.int64)
        # Exact: whole numbers below 2^53 are floats.
        level = (np.frexp(uniq.astype(float))[1] - 3) // 2
        return AdaptiveMap(level=level.astype(np.int64), pixel=uniq - 4 * 4**level, **_parts(file))


def _parts(file: fits.HDUList) -> dict[str, Any]:
    """Return everything of a map's file but which pixels it has."""
    table, zero = file["REDDENING"], file["ZERO_POINT"]
    data, header = table.data, table.header
    distance = np.asarray(file["DISTANCE"].data["DISTANCE"], dtype=float)
    facts = kept_facts(header)
    resolution = np.stack([data[f"RESOLUTION_{d:.0f}PC"] for d in distance], axis=1)
    return {
        "distance_pc": distance,
        "samples_mag": np.asarray(file["SAMPLES"].data, dtype=np.float32),
        "zero_point_mag": np.stack([zero.data[n] for n in zero.data.names], axis=1).astype(float),
        "groups": tuple(zero.data.names),
        "n_star": np.asarray(data["N_STAR"]).astype(np.int64),
        "served": np.asarray(data["SERVED"]).astype(float),
        "resolution_deg": resolution.astype(float),
        "r_hat": np.asarray(data["R_HAT"]).astype(float),
        "status": str(header["STATUS"]),
        "numbers": {name: (a, b) for name, (a, b) in facts["numbers"].items()},
        "verdict": verdict_of(facts),
    }
