"""Clouds of a map of a field, on maps whose clouds are known."""

import numpy as np
import pytest
from astropy_healpix import HEALPix

import redflower
from redflower.errors import InputError
from redflower.products.field_map import FieldMap
from redflower.sky_patch import unit_vectors

NSIDE = 64
DISTANCE = np.geomspace(100.0, 2000.0, 14)
#: A square of 32 x 32 pixels.
PIXEL = np.arange(1024) + 1024 * 3
L_DEG, B_DEG = (a.deg for a in HEALPix(NSIDE, order="nested").healpix_to_lonlat(PIXEL))


def away_deg(row: int) -> np.ndarray:
    """Angles of all pixels from one of them. [deg]"""
    at = unit_vectors(L_DEG, B_DEG)
    return np.degrees(np.arccos(np.clip(at @ at[row], -1.0, 1.0)))


def map_of(clouds, n: int = 200, noise_mag: float = 0.004) -> FieldMap:
    """Samples of a map: round clouds (row of the middle, radius [deg], E(B-V), distance and its error [pc]) and noise."""
    rng = np.random.default_rng(2)
    total = np.zeros((n, len(PIXEL), len(DISTANCE)))
    for row, radius, ebv, distance, error in clouds:
        inside = away_deg(row) < radius
        at = distance + error * rng.standard_normal(n)
        total += ebv * inside[:, None] * (at[:, None] < DISTANCE)[:, None, :]
    total = total + np.abs(noise_mag * rng.standard_normal((n, len(PIXEL), 1)))
    return FieldMap(
        nside=NSIDE,
        pixel=PIXEL,
        distance_pc=DISTANCE,
        samples_mag=total,
        zero_point_mag=np.zeros((n, 1)),
        groups=("ALL",),
        n_star=np.full(len(PIXEL), 2),
        served=np.ones(len(PIXEL)),
        resolution_deg=np.ones((len(PIXEL), len(DISTANCE))),
        numbers={"ess": (98.0, 0.0)},
        r_hat=np.ones(len(PIXEL)),
    )


#: Five degrees and more from the border, and ten from each other.
MIDDLE, ASIDE = 200, 300
TWO = ((MIDDLE, 3.0, 0.10, 300.0, 30.0), (ASIDE, 2.0, 0.05, 900.0, 90.0))


def test_two_clouds_come_back_with_place_extent_distance_and_reddening() -> None:
    """Distances are known to the map's steps of 26 %: mean and scatter to a third of one, 25 pc at 300 and 75 at 900."""
    found = redflower.field_clouds(map_of(TWO))
    assert len(found) == 2
    for cloud, (row, radius, ebv, distance, error), tolerance in zip(found, TWO, (30.0, 80.0), strict=True):
        assert cloud["ebv_mag"] == pytest.approx(ebv, abs=0.005)
        assert cloud["distance_pc"] == pytest.approx(distance, abs=tolerance)
        assert 0.2 < cloud["distance_step_pc"] / cloud["distance_pc"] < 0.3
        assert cloud["distance_pc_std"] == pytest.approx(error, abs=0.3 * cloud["distance_step_pc"])
        assert cloud["distance_pc_q16"] <= cloud["distance_pc_q84"]
        assert cloud["n_pixel"] == (away_deg(row) < radius).sum()
        assert cloud["n_star"] == 2 * cloud["n_pixel"]
        assert (
            np.degrees(np.arccos(unit_vectors(cloud["l"], cloud["b"]) @ unit_vectors(L_DEG[row], B_DEG[row])))
            < 0.7
        )
        # 98 independent samples, all of them beyond the threshold.
        assert cloud["probability"] == pytest.approx(0.99)
        assert cloud["odds"] == pytest.approx(99.0)
    assert found["area"].unit == "deg2"
    assert found.meta["map_status"] == "ok"


def test_clouds_one_behind_the_other_are_two() -> None:
    found = redflower.field_clouds(
        map_of([(MIDDLE, 3.0, 0.10, 300.0, 5.0), (MIDDLE, 3.0, 0.05, 1500.0, 5.0)])
    )
    np.testing.assert_allclose(found["ebv_mag"], [0.10, 0.05], atol=0.005)
    assert found["distance_pc"][0] < 400.0 < 1100.0 < found["distance_pc"][1]


def test_a_map_without_dust_has_no_cloud_and_one_of_less_than_the_threshold_none_either() -> None:
    """Noise of 0.008 mag exceeds 0.02 in 1 % of the samples; a cloud of 0.015 mag never adds more than 0.02."""
    assert len(redflower.field_clouds(map_of([], noise_mag=0.008))) == 0
    weak = redflower.field_clouds(map_of([(MIDDLE, 3.0, 0.015, 300.0, 5.0)], noise_mag=0.001))
    assert len(weak) == 0
    assert "distance_pc" in weak.colnames


def test_a_cloud_that_goes_on_beyond_the_map_says_so() -> None:
    row = int(np.flatnonzero(away_deg(MIDDLE) == away_deg(MIDDLE).max())[0])
    found = redflower.field_clouds(map_of([(MIDDLE, 2.0, 0.1, 300.0, 5.0), (row, 3.0, 0.1, 300.0, 5.0)]))
    assert len(found) == 2
    assert sorted(found["at_border"]) == [False, True]


def test_what_no_cloud_can_be_is_refused() -> None:
    with pytest.raises(InputError, match="positive threshold"):
        redflower.field_clouds(map_of([]), threshold_mag=0.0)
    lone = map_of([(MIDDLE, 0.6, 0.1, 300.0, 5.0)])
    assert len(redflower.field_clouds(lone, min_pixels=1)) == 1
    assert len(redflower.field_clouds(lone, min_pixels=10)) == 0
