"""A field's map beside other maps: a line that is known comes back, at the other map's resolution and on its scale."""

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from astropy_healpix import HEALPix

from redflower.errors import InputError
from redflower.products.field_compare import compare_and_write, compare_with_map, maps_to_compare
from redflower.products.field_map import FieldMap

NSIDE = 128


def whole_sky(path: Path, values: np.ndarray) -> Path:
    """Write a HEALPix map of nside 64, nested, Galactic."""
    table = fits.BinTableHDU.from_columns([fits.Column("EBV", "E", array=values)])
    table.header.update({"PIXTYPE": "HEALPIX", "ORDERING": "NESTED", "NSIDE": 64, "COORDSYS": "G"})
    table.writeto(path)
    return path


def field_of(values_mag: np.ndarray, pixel: np.ndarray, noise_mag: float = 0.0) -> FieldMap:
    """A field whose 50 samples lie about given values, all of a sample together."""
    shift = noise_mag * np.random.default_rng(1).standard_normal(50)
    shift -= shift.mean()
    samples = (values_mag + shift[:, None])[:, :, None] * np.array([0.5, 1.0])
    return FieldMap(
        nside=NSIDE,
        pixel=pixel,
        distance_pc=np.array([300.0, 2000.0]),
        samples_mag=samples,
        zero_point_mag=np.zeros((50, 1)),
        groups=("ALL",),
        n_star=np.full(len(pixel), 5),
        served=np.ones(len(pixel)),
        resolution_deg=np.full((len(pixel), 2), 0.5),
        numbers={},
        r_hat=np.ones(len(pixel)),
    )


@pytest.fixture(scope="module")
def pixel():
    """All pixels of nside 128 in two of nside 4."""
    return np.arange(2048) + 40 * 1024


def test_a_known_line_comes_back(pixel, tmp_path) -> None:
    other = 0.02 + 0.1 * np.random.default_rng(2).random(12 * 64**2)
    path = whole_sky(tmp_path / "other.fits", other)
    field = field_of(0.03 + 0.8 * other[pixel // 4], pixel, noise_mag=0.004)
    found = compare_with_map(field, path)
    assert found.distance_pc == 2000.0
    assert len(found.pixel) == len(pixel) // 4
    assert found.slope[0] == pytest.approx(0.8, abs=1e-4)
    assert found.offset_mag == pytest.approx((0.03, 0.004), rel=0.2)
    assert found.scatter_mag < 1e-5
    np.testing.assert_allclose(found.ebv_std_mag, 0.004, rtol=0.2)
    doubled = compare_with_map(field, path, scale=2.0)
    assert doubled.slope[0] == pytest.approx(0.4, abs=1e-4)
    near = compare_with_map(field, path, distance_pc=300.0)
    assert near.slope[0] == pytest.approx(0.4, abs=1e-4)


def test_a_pixel_that_is_off_is_in_the_residuals(pixel, tmp_path) -> None:
    other = 0.02 + 0.1 * np.random.default_rng(2).random(12 * 64**2)
    values = other[pixel // 4].copy()
    values[:4] += 0.05
    path = whole_sky(tmp_path / "other.fits", other)
    maps = maps_to_compare([f"{path}*1.0", str(tmp_path / "none.fits")], tmp_path / "field.fits")
    said = compare_and_write(field_of(values, pixel), maps)
    assert "slope 1.0" in said[0]
    assert said[1].startswith("no comparison")
    table = Table.read(tmp_path / "field.other.ecsv")
    assert table["residual"].unit == "mag"
    assert np.argmax(table["residual"]) == 0
    assert table["residual"][0] == pytest.approx(0.05, abs=0.002)


def test_what_cannot_be_compared_is_refused(pixel, tmp_path) -> None:
    path = whole_sky(tmp_path / "other.fits", np.full(12 * 64**2, 0.05))
    field = field_of(np.full(len(pixel), 0.05), pixel)
    with pytest.raises(InputError, match="power of 2 up to 128"):
        compare_with_map(field, path, nside=256)
    with pytest.raises(InputError, match="no distance 500 pc; it has 300, 2000"):
        compare_with_map(field, path, distance_pc=500.0)
    with pytest.raises(InputError, match="3 areas"):
        compare_with_map(field_of(np.full(12, 0.05), pixel[:12]), path)


@pytest.mark.parametrize(
    ("file", "factor"),
    # Hydrogen in atoms per cm2: E(B-V) of 1 mag for 8.8e21 (Lenz et al. 2017).
    [("dust_ebv_SFD_healpix_lowres.fits", 1.0), ("h1_nh_HI4PI_healpix_lowres.fits", 1.0 / 8.8e21)],
)
def test_real_maps_agree_with_planck_on_one_scale(file, factor, pixel, shared_data: Path) -> None:
    """A field made of Planck's map at b = 20 to 54 deg: the maps trace the same dust, to a third of it and to 0.02 mag."""
    planck = shared_data / "dust_ebv_Planck13_healpix_lowres.fits"
    from redflower.catalogue import open_dust_map

    lon, lat = HEALPix(NSIDE, order="nested").healpix_to_lonlat(pixel)
    from astropy.coordinates import SkyCoord

    icrs = SkyCoord(lon, lat, frame="galactic").icrs
    values = open_dust_map(planck).lookup(icrs.ra.deg, icrs.dec.deg, lon.deg, lat.deg)
    found = compare_with_map(field_of(values, pixel), shared_data / file, scale=factor)
    assert found.correlation > 0.8
    assert 0.67 < found.slope[0] < 1.5
    assert abs(found.offset_mag[0]) < 0.02
