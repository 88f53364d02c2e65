"""A square piece of the sky, laid flat without changing areas; it may lie anywhere, on a pole too."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from redflower.errors import InputError

#: Wider than this, a flat square is no likeness of the sky: at its corners angles are off by 10 %.
SIZE_MAX_DEG = 60.0


@dataclass(frozen=True)
class SkyPatch:
    """A square about a centre, in Lambert's azimuthal equal-area projection.

    Attributes
    ----------
    l_deg, b_deg : Galactic coordinates of the centre. [deg]
    size_deg : length of a side. [deg]
    """

    l_deg: float
    b_deg: float
    size_deg: float

    def __post_init__(self) -> None:
        if not (np.isfinite(self.l_deg) and -90.0 <= self.b_deg <= 90.0):
            raise InputError(
                f"SkyPatch needs a finite l_deg and -90 <= b_deg <= 90; got {self.l_deg} and {self.b_deg}."
            )
        if not 0.0 < self.size_deg <= SIZE_MAX_DEG:
            raise InputError(
                f"SkyPatch needs 0 < size_deg <= {SIZE_MAX_DEG:.0f}; got {self.size_deg}. Divide a larger sky into patches."
            )

    def to_plane(
        self, l_deg: Float[np.ndarray, " n"], b_deg: Float[np.ndarray, " n"]
    ) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
        """Return the places of directions in the plane, towards rising l and b of the centre. [deg]"""
        v = unit_vectors(l_deg, b_deg)
        centre, east, north = self._axes()
        stretch = np.sqrt(2.0 / np.maximum(1.0 + v @ centre, 1e-12))
        return np.degrees(stretch * (v @ east)), np.degrees(stretch * (v @ north))

    def to_sky(
        self, x_deg: Float[np.ndarray, " n"], y_deg: Float[np.ndarray, " n"]
    ) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
        """Return Galactic longitude and latitude of places in the plane. [deg]"""
        x, y = np.radians(x_deg), np.radians(y_deg)
        square = x**2 + y**2
        centre, east, north = self._axes()
        side = np.sqrt(np.maximum(1.0 - square / 4.0, 0.0))
        v = (1.0 - square / 2.0)[..., None] * centre
        v = v + (side * x)[..., None] * east + (side * y)[..., None] * north
        return np.degrees(np.arctan2(v[..., 1], v[..., 0])) % 360.0, np.degrees(
            np.arcsin(np.clip(v[..., 2], -1.0, 1.0))
        )

    def holds(self, l_deg: Float[np.ndarray, " n"], b_deg: Float[np.ndarray, " n"]) -> np.ndarray:
        """Tell which directions lie within the square."""
        x, y = self.to_plane(l_deg, b_deg)
        return (np.abs(x) <= self.size_deg / 2) & (np.abs(y) <= self.size_deg / 2)

    def draw(self, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Draw directions uniform in solid angle: l and b. [deg]"""
        x, y = self.size_deg * (rng.random((2, n)) - 0.5)
        return self.to_sky(x, y)

    def _axes(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return unit vectors to the centre, and there to rising l and to rising b."""
        l_rad, b_rad = np.radians(self.l_deg), np.radians(self.b_deg)
        cos_l, sin_l, cos_b, sin_b = np.cos(l_rad), np.sin(l_rad), np.cos(b_rad), np.sin(b_rad)
        centre = np.array([cos_b * cos_l, cos_b * sin_l, sin_b])
        east = np.array([-sin_l, cos_l, 0.0])
        return centre, east, np.array([-sin_b * cos_l, -sin_b * sin_l, cos_b])


def unit_vectors(
    l_deg: Float[np.ndarray, " n"], b_deg: Float[np.ndarray, " n"]
) -> Float[np.ndarray, "n xyz"]:
    """Return unit vectors towards longitudes and latitudes, Galactic or others."""
    l_rad, b_rad = np.radians(l_deg), np.radians(b_deg)
    return np.stack([np.cos(b_rad) * np.cos(l_rad), np.cos(b_rad) * np.sin(l_rad), np.sin(b_rad)], axis=-1)


def angle_of_chord(chord: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """Return the angle between unit vectors so far apart: the arc cosine knows no angle below a second of arc. [deg]"""
    return np.degrees(2.0 * np.arcsin(np.minimum(chord / 2.0, 1.0)))


def patch_around(l_deg: Float[np.ndarray, " n"], b_deg: Float[np.ndarray, " n"]) -> SkyPatch:
    """Return the smallest square about the mean direction that holds all given directions.

    Raises
    ------
    InputError
        If they lie so far apart that they have no mean direction, or fill more than `SIZE_MAX_DEG`.
    """
    mean = unit_vectors(l_deg, b_deg).mean(axis=0)
    if not np.linalg.norm(mean) > 0.1:
        raise InputError(
            "stars all around the sky fit on no flat patch; choose a region of up to 60 degrees."
        )
    b_centre = float(np.degrees(np.arctan2(mean[2], np.hypot(mean[0], mean[1]))))
    l_centre = float(np.degrees(np.arctan2(mean[1], mean[0])) % 360.0)
    x, y = SkyPatch(l_centre, b_centre, 1.0).to_plane(l_deg, b_deg)
    # About the middle of what is there, not about its mean.
    l_mid, b_mid = SkyPatch(l_centre, b_centre, 1.0).to_sky(
        np.array([(x.min() + x.max()) / 2]), np.array([(y.min() + y.max()) / 2])
    )
    x, y = SkyPatch(float(l_mid[0]), float(b_mid[0]), 1.0).to_plane(l_deg, b_deg)
    size = 2.0 * float(max(np.abs(x).max(), np.abs(y).max())) * (1.0 + 1e-9)
    return SkyPatch(float(l_mid[0]), float(b_mid[0]), max(size, 1e-3))
