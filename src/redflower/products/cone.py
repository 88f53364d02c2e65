"""The middle and radius of the cone that holds some stars."""

import numpy as np
from astropy.table import Table

from redflower.catalogue.io.columns import as_floats
from redflower.sky_patch import angle_of_chord, unit_vectors


def sky_cone(stars: Table) -> tuple[tuple[float | None, float | None], float]:
    """Return l and b of the stars' mean direction, and the radius of the circle about it that holds them all. [deg]

    The mean is that of the directions, not of the angles, so that it holds near a pole and across l = 0. Stars without a
    position are left out. Where no star has one, or the directions cancel out, there is no mean.
    """
    if not {"l", "b"} <= set(stars.colnames):
        return (None, None), 0.0
    directions = unit_vectors(as_floats(stars, "l"), as_floats(stars, "b"))
    directions = directions[np.isfinite(directions).all(axis=1)]
    mean = directions.mean(axis=0) if len(directions) else np.zeros(3)
    length = float(np.linalg.norm(mean))
    if length < 1e-9:
        return (None, None), 0.0
    l_deg = float(np.degrees(np.arctan2(mean[1], mean[0])) % 360.0)
    b_deg = float(np.degrees(np.arctan2(mean[2], np.hypot(mean[0], mean[1]))))
    return (l_deg, b_deg), float(angle_of_chord(np.linalg.norm(directions - mean / length, axis=1).max()))
