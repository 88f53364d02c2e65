"""The middle and radius of the cone that holds some stars."""

import numpy as np
from astropy.table import Table


def cone_of(stars: Table) -> tuple[tuple[float | None, float | None], float]:
    """Mean l and b of the stars, and the radius of the circle about it that holds them all. [deg]"""
    l_deg, b_deg = mean_angle_deg(stars, "l"), mean_angle_deg(stars, "b")
    if l_deg is None or b_deg is None:
        return (None, None), 0.0
    l_rad, b_rad = (np.radians(np.asarray(stars[name], dtype=float)) for name in ("l", "b"))
    cosine = np.sin(b_rad) * np.sin(np.radians(b_deg))
    cosine += np.cos(b_rad) * np.cos(np.radians(b_deg)) * np.cos(l_rad - np.radians(l_deg))
    return (l_deg, b_deg), float(np.degrees(np.arccos(np.clip(np.nanmin(cosine), -1.0, 1.0))))


def mean_angle_deg(stars: Table, name: str) -> float | None:
    if name not in stars.colnames:
        return None
    angle = np.radians(np.asarray(stars[name], dtype=float))
    mean = np.degrees(np.arctan2(np.nanmean(np.sin(angle)), np.nanmean(np.cos(angle))))
    return float(mean % 360.0) if name == "l" else float(mean)
