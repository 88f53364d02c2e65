"""The map with neighbours against the truth of a mock field: error, intervals, and a sky without dust."""

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy_healpix import HEALPix

import redflower
from redflower.field.sampler import FieldSettings
from redflower.simulate import DustSheet, draw_dust_field
from redflower.sky_patch import SkyPatch
from tests.helpers.fields import field_table

PATCH = SkyPatch(120.0, 45.0, 4.0)
SETTINGS = FieldSettings(n_bursts=3, n_burst=40, n_draws=100, n_chains=2, n_steps=25, n_longer=1)


def mean_over_areas(values: np.ndarray, l_deg: np.ndarray, b_deg: np.ndarray) -> np.ndarray:
    """Means of values at places over pixels of nside 128, those whole within the field."""
    area = HEALPix(128, order="nested").lonlat_to_healpix(l_deg * u.deg, b_deg * u.deg)
    _, row, count = np.unique(area, return_inverse=True, return_counts=True)
    return (np.bincount(row, values) / count)[count > 0.7 * np.median(count)]


@pytest.mark.slow
def test_a_field_is_better_than_binned_means_and_knows_its_error() -> None:
    """2,000 stars. Some 60 areas that are alike over a degree or two: shares are known to 0.1 or so."""
    near = DustSheet(distance_pc=300.0, ebv_mag=0.05, log_scatter=0.7, length_deg=0.5)
    far = DustSheet(distance_pc=900.0, ebv_mag=0.06, log_scatter=0.3, length_deg=1.5)
    dust = draw_dust_field(PATCH, [near, far], seed=1)
    table = field_table(2000, dust, seed=3)
    field = redflower.field_map(
        table, distance_pc=[600.0, 2000.0], nside=256, shell_mag=0.5, settings=SETTINGS
    )
    l_deg, b_deg = SkyPatch(120.0, 45.0, 3.8).draw(6000, np.random.default_rng(1))
    at = SkyCoord(l_deg * u.deg, b_deg * u.deg, frame="galactic")
    samples = field.query(at, mode="samples")
    grid = HEALPix(64, order="nested")
    behind = np.asarray(table["distance_mean"]) > 1000.0
    pixel = grid.lonlat_to_healpix(
        np.asarray(table["l"])[behind] * u.deg, np.asarray(table["b"])[behind] * u.deg
    )
    ebv = np.asarray(table["ebv_mean"])[behind]
    truth = dust.ebv_mag(l_deg, b_deg, 2000.0)
    mine = grid.lonlat_to_healpix(l_deg * u.deg, b_deg * u.deg)
    binned = np.array([ebv[pixel == p].mean() if (pixel == p).any() else ebv.mean() for p in mine])
    assert np.std(samples[:, 1].mean(axis=1) - truth) < 0.85 * np.std(binned - truth)
    for k, out_to in enumerate((600.0, 2000.0)):
        true = mean_over_areas(dust.ebv_mag(l_deg, b_deg, out_to), l_deg, b_deg)
        drawn = np.stack([mean_over_areas(s, l_deg, b_deg) for s in samples[:, k].T])
        inside = [np.mean(np.abs((drawn < true).mean(axis=0) - 0.5) < level / 2) for level in (0.68, 0.95)]
        assert 0.45 < inside[0] < 0.9
        assert inside[1] > 0.8


@pytest.mark.slow
def test_a_sky_without_dust_stays_flat_whatever_the_zero_point() -> None:
    """Flat to 0.003 mag over the field, the promise; its mean is as sure as the zero point, which few stars in front tell."""
    clear = draw_dust_field(PATCH, [], seed=1)
    field = redflower.field_map(
        field_table(2000, clear, seed=4, zero_point_mag=0.01),
        distance_pc=[600.0, 2000.0],
        nside=128,
        shell_mag=0.5,
        settings=SETTINGS,
    )
    assert field.ebv_mag[:, 1].std() < 0.003
    together = field.samples_mag[:, :, 1].mean(axis=1) + field.zero_point_mag[:, 0]
    assert together.mean() == pytest.approx(0.01, abs=4 * 0.045 / np.sqrt(2000))


@pytest.mark.slow
def test_a_field_in_tiles_is_as_right_as_one_fitted_whole() -> None:
    """Four tiles of 2.2 deg and their overlap; each has a quarter of the stars that tell the zero point, so offsets are apart."""
    near = DustSheet(distance_pc=300.0, ebv_mag=0.05, log_scatter=0.7, length_deg=0.5)
    dust = draw_dust_field(PATCH, [near], seed=1)
    table = field_table(2000, dust, seed=3)
    l_deg, b_deg = SkyPatch(120.0, 45.0, 3.8).draw(4000, np.random.default_rng(1))
    truth = dust.ebv_mag(l_deg, b_deg, 1500.0)
    error = {}
    for tile in (None, 2.2):
        field = redflower.field_map(
            table,
            distance_pc=[1500.0],
            nside=128,
            shell_mag=0.8,
            cell_deg=0.12,
            tile_deg=tile,
            settings=FieldSettings(n_bursts=3, n_burst=30, n_draws=60, n_chains=1, n_steps=15, n_longer=1),
        )
        found = field.query(SkyCoord(l_deg * u.deg, b_deg * u.deg, frame="galactic"))[:, 0]
        error[tile] = np.std(found - truth)
    assert field.groups == ("ALL_0", "ALL_1", "ALL_2", "ALL_3")
    assert np.isfinite(found).all()
    # Errors of the maps are 0.02 mag at places; what tiles differ by at their seams must not show beside that.
    assert error[2.2] < 1.15 * error[None]
    assert field.numbers["seam_in_errors"][0] < 1.0
