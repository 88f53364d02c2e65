"""Distances and places of numpy arrays are those of the compiled functions."""

import numpy as np
import pytest

from redflower.distances import distance_from_modulus, galactic_place_pc, modulus_from_distance
from redflower.physics import distance_modulus, distance_pc_of_modulus, galactocentric_radius_pc, height_pc


@pytest.mark.equation("EP1")
@pytest.mark.equation("E1")
@pytest.mark.equation("E2")
def test_numpy_and_the_compiled_functions_agree() -> None:
    """To float32: 1e-6 of the value, and for R a few 1e-7 of the 8 kpc to the Galactic centre."""
    distance_pc = np.array([1.0, 10.0, 370.0, 8000.0, 30000.0])
    l_deg, b_deg = np.array([0.0, 104.08, 180.0, 359.9, 45.0]), np.array([-90.0, 22.31, 0.0, 1.0, -30.0])
    modulus_mag = modulus_from_distance(distance_pc)
    assert modulus_mag == pytest.approx(np.asarray(distance_modulus(distance_pc)), abs=2e-6)
    assert distance_from_modulus(modulus_mag) == pytest.approx(distance_pc, rel=1e-14)
    assert np.asarray(distance_pc_of_modulus(modulus_mag)) == pytest.approx(distance_pc, rel=3e-6)
    radius_pc, z_pc = galactic_place_pc(distance_pc, l_deg, b_deg)
    for i, (d, lon, lat) in enumerate(zip(distance_pc, l_deg, b_deg, strict=True)):
        assert float(galactocentric_radius_pc(d, lon, lat)) == pytest.approx(radius_pc[i], abs=0.01)
        assert float(height_pc(d, lat)) == pytest.approx(z_pc[i], rel=1e-6)
