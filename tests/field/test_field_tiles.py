"""Tiles of a large field: they share it between them, and their maps are joined without a seam."""

import numpy as np
import pytest
from astropy_healpix import HEALPix

from redflower.errors import InputError
from redflower.field.pixels import PixelField
from redflower.field.tiles import joined, make_tiles
from redflower.sky_patch import SkyPatch

WHOLE = SkyPatch(40.0, 86.0, 9.0)
TILES = make_tiles(WHOLE, 3.5, 0.4)
NSIDE = 64
RNG = np.random.default_rng(1)
L_DEG, B_DEG = WHOLE.draw(3000, RNG)


def part_of(tile, value_mag: float) -> PixelField:
    """A map of a tile: one value with an error of 0.01 mag."""
    rows = tile.holds(L_DEG, B_DEG)
    pixel = np.unique(HEALPix(NSIDE, order="nested").lonlat_to_healpix(*degrees(rows)))
    spread = 0.01 * np.random.default_rng(int(1e4 * value_mag)).standard_normal((200, 1, 1))
    samples = np.broadcast_to(value_mag + spread - spread.mean(), (200, len(pixel), 2)).astype(np.float32)
    return PixelField(
        pixel=pixel,
        samples_mag=samples,
        n_star=np.zeros(len(pixel), int),
        served=np.ones(len(pixel)),
        resolution_deg=np.ones((len(pixel), 2)),
    )


def degrees(rows):
    import astropy.units as u

    return L_DEG[rows] * u.deg, B_DEG[rows] * u.deg


def test_tiles_share_a_patch_between_them() -> None:
    assert len(TILES) == 9
    weights = np.array([tile.weight(L_DEG, B_DEG) for tile in TILES])
    np.testing.assert_allclose(weights.sum(axis=0), 1.0, atol=1e-9)
    for tile, weight in zip(TILES, weights, strict=True):
        assert tile.holds(L_DEG, B_DEG)[weight > 1e-6].all()
    assert np.count_nonzero(weights > 0.99, axis=0).mean() > 0.5


def test_tiles_that_agree_make_one_map_with_their_error_and_no_seam() -> None:
    found, seams = joined([part_of(tile, 0.08) for tile in TILES], TILES, NSIDE, L_DEG, B_DEG)
    np.testing.assert_allclose(found.samples_mag.mean(axis=0), 0.08, atol=1e-5)
    np.testing.assert_allclose(found.samples_mag.std(axis=0), 0.01, rtol=0.2)
    assert found.n_star.sum() == len(L_DEG)
    assert (np.diff(found.pixel) > 0).all()
    assert seams.difference_mag < 1e-5


def test_tiles_that_differ_go_over_into_each_other_and_are_told() -> None:
    """Columns of tiles at 0.08, 0.10 and 0.12 mag: the map lies between, and neighbouring pixels differ by a part of a step."""
    values = [0.08 + 0.02 * (k % 3) for k in range(9)]
    parts = [part_of(tile, v) for tile, v in zip(TILES, values, strict=True)]
    found, seams = joined(parts, TILES, NSIDE, L_DEG, B_DEG)
    mean = found.samples_mag.mean(axis=0)[:, 0]
    assert mean.min() == pytest.approx(0.08, abs=1e-4)
    assert mean.max() == pytest.approx(0.12, abs=1e-4)
    between = (mean > 0.085) & (mean < 0.095)
    assert between.any()
    # Half of the pairs are of one column and do not differ; those that do are 0.02 mag apart, two errors.
    assert 0.01 < seams.difference_mag < 0.02
    assert seams.in_errors == pytest.approx(seams.difference_mag / 0.01, rel=0.2)


def test_a_tile_that_is_mostly_overlap_is_refused() -> None:
    import redflower
    from redflower.simulate import DustSheet, draw_dust_field
    from tests.helpers.fields import field_table

    sheet = DustSheet(distance_pc=300.0, ebv_mag=0.05, log_scatter=0.5, length_deg=0.5)
    dust = draw_dust_field(SkyPatch(40.0, 60.0, 4.0), [sheet], seed=1)
    with pytest.raises(InputError, match="tile_deg of at least"):
        redflower.field_map(field_table(60, dust), tile_deg=0.5)
