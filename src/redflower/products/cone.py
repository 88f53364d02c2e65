"""The middle and radius of the cone that holds some stars."""

import numpy as np
from astropy.table import Table

from redflower.catalogue.io.columns import as_floats


def sky_cone(stars: Table) -> tuple[tuple[float | None, float | None], float]:
    """Return l and b of the stars' mean direction, and the radius of the circle about it that holds them all. [deg]

    The mean is that of the directions, not of the angles, so that it holds near a pole and across l = 0. Stars without a
    position are left out. Where no star has one, or the directions cancel out, there is no mean.
    """
    if not {"l", "b"} <= set(stars.colnames):
        return (None, None), 0.0
    l_rad, b_rad = (np.radians(as_floats(stars, name)) for name in ("l", "b"))
    directions = np.stack(
        [np.cos(b_rad) * np.cos(l_rad), np.cos(b_rad) * np.sin(l_rad), np.sin(b_rad)], axis=-1
    )
    directions = directions[np.isfinite(directions).all(axis=1)]
    mean = directions.mean(axis=0) if len(directions) else np.zeros(3)
    length = float(np.linalg.norm(mean))
    if length < 1e-9:
        return (None, None), 0.0
    l_deg = float(np.degrees(np.arctan2(mean[1], mean[0])) % 360.0)
    b_deg = float(np.degrees(np.arctan2(mean[2], np.hypot(mean[0], mean[1]))))
    # By the chord: the arc cosine knows no angle below a second of arc.
    chord = np.linalg.norm(directions - mean / length, axis=1).max()
    return (l_deg, b_deg), float(2.0 * np.degrees(np.arcsin(min(1.0, chord / 2.0))))
