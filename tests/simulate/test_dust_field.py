"""Mock dust over a field: of the spectrum that was asked for, and in front of the stars that are behind it."""

import numpy as np
import pytest

import redflower
from redflower.errors import InputError
from redflower.simulate import DustSheet, draw_dust_field
from redflower.simulate.dust_field import field_spectrum
from redflower.sky_patch import SkyPatch, patch_around

PATCH = SkyPatch(120.0, 50.0, 8.0)


@pytest.mark.parametrize(("l_deg", "b_deg"), [(120.0, 50.0), (0.0, 90.0), (359.0, -40.0)])
def test_a_patch_keeps_areas_and_comes_back_wherever_it_lies(l_deg: float, b_deg: float) -> None:
    patch = SkyPatch(l_deg, b_deg, 10.0)
    lon, lat = patch.draw(20_000, np.random.default_rng(1))
    x, y = patch.to_plane(lon, lat)
    back_l, back_b = patch.to_sky(x, y)
    np.testing.assert_allclose(back_b, lat, atol=1e-6)
    np.testing.assert_allclose((back_l - lon + 180.0) % 360.0 - 180.0, 0.0, atol=1e-5)
    # A cap of 4 deg about the centre holds its share of the sphere: 50.2 of 100 square degrees, known to 1.1 from 20,000.
    v = np.hypot(x, y) < np.degrees(2.0 * np.sin(np.radians(2.0)))
    area = 2.0 * np.pi * (1.0 - np.cos(np.radians(4.0))) * np.degrees(1.0) ** 2
    assert v.mean() * 100.0 == pytest.approx(area, abs=1.5)
    around = patch_around(lon, lat)
    assert around.holds(lon, lat).all()
    # About a pole no direction is north: there the square may stand on a corner.
    assert 9.9 < around.size_deg < (10.1 if abs(b_deg) < 80 else 14.2)


def test_stars_all_around_the_sky_fit_on_no_patch() -> None:
    with pytest.raises(InputError, match="fit on no flat patch"):
        patch_around(np.arange(0.0, 360.0, 10.0), np.zeros(36))
    with pytest.raises(InputError, match="size_deg <= 60"):
        patch_around(np.array([0.0, 100.0]), np.array([0.0, 0.0]))


def test_sheets_have_the_mean_and_the_scatter_and_the_spectrum_that_were_asked_for() -> None:
    """Means over 12 draws: of 8 deg with a scale of 0.5 deg, each holds about 60 independent pieces."""
    sheet = DustSheet(distance_pc=300.0, ebv_mag=0.05, log_scatter=0.7, length_deg=0.5)
    maps = np.stack([draw_dust_field(PATCH, [sheet], seed=k).maps_mag[0] for k in range(12)])
    logs = np.log(maps)
    assert maps.mean() == pytest.approx(0.05, rel=0.15)
    assert logs.std() == pytest.approx(0.7, rel=0.15)
    n = maps.shape[-1]
    window = np.hanning(n)[:, None] * np.hanning(n)
    power = (np.abs(np.fft.fft2((logs - logs.mean(axis=(1, 2), keepdims=True)) * window)) ** 2).mean(axis=0)
    q = 2.0 * np.pi * np.fft.fftfreq(n, PATCH.size_deg / n)
    q = np.hypot(q[:, None], q)
    low, high = ((q > a) & (q < b) for a, b in ((2.0, 3.0), (10.0, 14.0)))
    wanted = field_spectrum(q, 0.5, 3.0)
    ratio = (power[low].mean() / power[high].mean()) / (wanted[low].mean() / wanted[high].mean())
    # Some hundred modes in the lower band, and the window moves power by a few per cent.
    assert ratio == pytest.approx(1.0, abs=0.25)


def test_stars_have_the_dust_that_is_in_front_of_them() -> None:
    field = draw_dust_field(
        PATCH,
        [
            DustSheet(distance_pc=300.0, ebv_mag=0.05, log_scatter=0.7, length_deg=0.5),
            DustSheet(distance_pc=900.0, ebv_mag=0.06, log_scatter=0.3, length_deg=1.5),
        ],
        seed=3,
    )
    stars = redflower.simulate(600, seed=1, dust=field, g_faint_mag=18.0)
    lon, lat, distance = (stars[name].value for name in ("l", "b", "true_distance"))
    assert PATCH.holds(lon, lat).all()
    np.testing.assert_allclose(stars["true_ebv"].value, field.ebv_mag(lon, lat, distance))
    assert (stars["true_ebv"].value[distance < 300.0] == 0).all()
    far = field.ebv_mag(lon, lat, 2000.0)
    np.testing.assert_allclose(stars["true_ebv"].value[distance > 900.0], far[distance > 900.0])
    between = (distance > 300.0) & (distance < 900.0)
    assert (stars["true_ebv"].value[between] < far[between]).all()
    with pytest.raises(InputError, match="brings its place"):
        redflower.simulate(10, seed=1, dust=field, preset="one-cloud")
