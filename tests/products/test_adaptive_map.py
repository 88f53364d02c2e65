"""The map of a field in pixels of several sizes: what is merged, what it answers, and its file elsewhere."""

from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy_healpix import uniq_to_level_ipix

import redflower
from redflower.errors import InputError
from redflower.field.pixels import side_deg
from redflower.products.field_file import write_adaptive_map
from redflower.products.field_map import FieldMap
from tests.helpers.open_everywhere import check_opens

RNG = np.random.default_rng(1)


@pytest.fixture(scope="module")
def field() -> FieldMap:
    """Two pixels of nside 64 at nside 512, and a third of which a quarter is in the map.

    In the first the first 20 of 64 pixels are resolved at nside 512, at the second of two distances, and one more by itself; in
    the second none is finer than nside 128.
    """
    pixel = np.concatenate([np.arange(64), 6400 + np.arange(64), 64000 + np.arange(16)])
    resolution = np.full((len(pixel), 2), side_deg(128))
    resolution[[*range(20), 32], 1] = side_deg(512)
    return FieldMap(
        nside=512,
        pixel=pixel,
        distance_pc=np.array([300.0, 900.0]),
        samples_mag=RNG.gamma(2.0, 0.02, (30, len(pixel), 2)).cumsum(axis=2),
        zero_point_mag=0.01 * RNG.standard_normal((30, 1)),
        groups=("ALL",),
        n_star=RNG.integers(0, 4, len(pixel)),
        served=np.linspace(0.3, 1.0, len(pixel)),
        resolution_deg=resolution,
        numbers={"r_hat": (1.01, 0.0)},
        r_hat=np.linspace(1.0, 1.2, len(pixel)),
    )


def test_pixels_are_as_fine_as_their_stars_allow(field) -> None:
    found = redflower.adaptive_map(field)
    of_first = found.pixel >> 2 * (found.level - 6) == 0
    # The quarter with 16 of the 20 stays as it is, and the four in the next one; the one by itself is lost in the third.
    assert np.bincount(found.level[of_first]).tolist() == [0] * 7 + [2, 3, 20]
    # The second is resolved at nside 128; a part of the third too, the rest of which is not in the map.
    assert np.bincount(found.level[~of_first]).tolist() == [0] * 7 + [5]
    assert found.resolution_deg.min() >= side_deg(512)
    assert np.all(found.resolution_deg >= np.array([[side_deg(2**a)] for a in found.level.tolist()]) - 1e-9)


def test_nothing_of_the_map_is_lost_but_its_finest_grain(field) -> None:
    found = redflower.adaptive_map(field)
    assert found.n_star.sum() == field.n_star.sum()
    area = 4.0 ** -found.level.astype(float)
    np.testing.assert_allclose((found.served * area).sum(), field.served.sum() / 4.0**9, rtol=1e-12)
    # All pixels of the map but those of the third are whole, so that areas are weights.
    whole = found.pixel >> 2 * (found.level - 6) < 1000
    weight = area[whole] / area[whole].sum()
    mean = np.einsum("dpk,p->dk", found.samples_mag[:, whole], weight)
    np.testing.assert_allclose(mean, field.samples_mag[:, :128].mean(axis=1), rtol=1e-5)
    assert found.r_hat.max() == field.r_hat.max()


def test_it_answers_every_place_of_the_map_and_no_other(field) -> None:
    found = redflower.adaptive_map(field)
    answer = found.query(field.coordinates())
    assert np.isfinite(answer).all()
    fine = np.isin(field.pixel, found.pixel[found.level == 9])
    np.testing.assert_allclose(answer[fine], field.ebv_mag[fine], rtol=1e-5)
    l_deg, b_deg = found.centres_deg()
    np.testing.assert_allclose(
        found.query(SkyCoord(l_deg * u.deg, b_deg * u.deg, frame="galactic"), mode="samples")[:, 0, 3],
        found.samples_mag[3, :, 0],
    )
    assert np.isnan(found.query(SkyCoord(10 * u.deg, -80 * u.deg, frame="galactic"))).all()
    one = SkyCoord(l_deg[0] * u.deg, b_deg[0] * u.deg, distance=600 * u.pc, frame="galactic")
    assert found(one) == pytest.approx(found.ebv_mag[0].mean(), rel=1e-5)


def test_the_file_is_a_multi_order_map_and_comes_back(field, tmp_path: Path) -> None:
    found, path = redflower.adaptive_map(field), tmp_path / "field.adaptive.fits"
    write_adaptive_map(found, path)
    assert check_opens(path) == len(found.pixel)
    back = redflower.read_adaptive_map(path)
    for name in ("level", "pixel", "n_star", "distance_pc", "groups"):
        np.testing.assert_array_equal(getattr(back, name), getattr(found, name))
    np.testing.assert_allclose(back.samples_mag, found.samples_mag, rtol=1e-6)
    table = redflower.read_table(path)
    level, pixel = uniq_to_level_ipix(np.asarray(table["UNIQ"]))
    np.testing.assert_array_equal(level, found.level)
    np.testing.assert_array_equal(pixel, found.pixel)
    assert "nside 128 to 512" in repr(back)
    # Pixels that overlapped would cover less than the sum of their areas.
    mocpy = pytest.importorskip("mocpy", reason="mocpy is not installed")
    moc = mocpy.MOC.from_healpix_cells(pixel.astype(np.uint64), level.astype(np.uint8), 9)
    assert moc.sky_fraction == pytest.approx((4.0 ** -found.level.astype(float)).sum() / 12.0)


def test_a_coarse_map_stays_as_it_is(field) -> None:
    assert len(redflower.adaptive_map(field, nside_min=512).pixel) == len(field.pixel)
    with pytest.raises(InputError, match="power of 2"):
        redflower.adaptive_map(field, nside_min=100)
