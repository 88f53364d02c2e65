"""The cone of some stars: right at a pole, across l = 0, and without some of the positions."""

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.table import Table

from redflower.products.cone import sky_cone


def ring(l_deg: float, b_deg: float, radius_deg: float, n: int = 12) -> Table:
    """Stars evenly on a circle about a place."""
    centre = SkyCoord(l_deg, b_deg, unit="deg", frame="galactic")
    at = centre.directional_offset_by(np.linspace(0, 360, n, endpoint=False) * u.deg, radius_deg * u.deg)
    return Table({"l": at.l.deg, "b": at.b.deg})


@pytest.mark.parametrize(
    ("l_deg", "b_deg"), [(0.0, 30.0), (359.9, -45.0), (120.0, 90.0), (40.0, 89.9), (200.0, -90.0)]
)
def test_the_middle_and_the_radius_are_those_of_a_circle(l_deg, b_deg):
    (l_mean, b_mean), radius = sky_cone(ring(l_deg, b_deg, 0.5))
    off = SkyCoord(l_mean, b_mean, unit="deg", frame="galactic").separation(
        SkyCoord(l_deg, b_deg, unit="deg", frame="galactic")
    )
    # Sums of twelve unit vectors, each right to 1e-16.
    assert off.deg < 1e-9
    assert radius == pytest.approx(0.5, abs=1e-9)


def test_stars_without_a_position_are_left_out_and_none_have_no_cone():
    stars = ring(10.0, 50.0, 0.2)
    stars["b"][0] = np.nan
    (_, b_mean), radius = sky_cone(stars)
    assert b_mean == pytest.approx(50.0, abs=0.05)
    assert radius < 0.25
    assert sky_cone(Table({"l": [np.nan], "b": [1.0]})) == ((None, None), 0.0)
    assert sky_cone(Table({"b": [1.0]})) == ((None, None), 0.0)


def test_one_star_is_a_cone_of_no_radius():
    (l_mean, b_mean), radius = sky_cone(Table({"l": [33.0], "b": [44.0]}))
    assert (l_mean, b_mean) == (pytest.approx(33.0), pytest.approx(44.0))
    assert radius < 1e-9
