"""Where the mock stars are: positions on the sky, and distances along each sightline."""

from dataclasses import dataclass
from typing import Final

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from scipy.interpolate import RegularGridInterpolator

from redflower.constants import LATITUDE_MIN_DEG
from redflower.distances import distance_from_modulus
from redflower.simulate.galaxy import Component, galactic_position
from redflower.simulate.survey import PS1_DECLINATION_MIN_DEG

#: Nodes of the line-of-sight integrals in distance modulus: 2.5 pc to 100 kpc. [mag]
MU_STEP_MAG: Final = 0.2
MU_NODES_MAG: Final = np.arange(-3.0, 20.0 + MU_STEP_MAG / 2, MU_STEP_MAG)


@dataclass(frozen=True)
class Cone:
    """A circle on the sky, in Galactic coordinates."""

    l_deg: float
    b_deg: float
    radius_deg: float

    def draw(self, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Draw positions uniform in solid angle: l and b. [deg]"""
        centre = SkyCoord(self.l_deg * u.deg, self.b_deg * u.deg, frame="galactic")
        cos_offset = 1.0 - rng.random(n) * (1.0 - np.cos(np.radians(self.radius_deg)))
        angle = rng.uniform(0.0, 360.0, n)
        offset = np.degrees(np.arccos(cos_offset))
        at = centre.directional_offset_by(angle * u.deg, offset * u.deg)
        return at.l.deg, at.b.deg


class HighLatitudeSky:
    """The sky at |b| > 20 deg within some declinations, each sightline as often as it has stars in the catalogue.

    Parameters
    ----------
    components : of the Galaxy.
    window : share of each component's stars inside the magnitude limits, at every node of the distance modulus.
    declination_deg : its ends. Defaults to what Pan-STARRS1 sees. [deg]
    """

    def __init__(
        self,
        components: tuple[Component, ...],
        window: np.ndarray,
        declination_deg: tuple[float, float] = (PS1_DECLINATION_MIN_DEG, 90.0),
    ) -> None:
        self._declination_deg = declination_deg
        # R and Z do not change under b -> -b and l -> -l, so one octant's worth of a smooth function is enough.
        b_deg, l_deg = np.linspace(LATITUDE_MIN_DEG, 90.0, 36), np.linspace(0.0, 180.0, 46)
        grid_b, grid_l = np.meshgrid(b_deg, l_deg, indexing="ij")
        stars = star_density(grid_l.ravel(), grid_b.ravel(), components, window).sum(axis=1)
        self._peak = stars.max()
        self._stars = RegularGridInterpolator((b_deg, l_deg), stars.reshape(grid_b.shape))

    def draw(self, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Draw positions: l and b. [deg]"""
        found: list[np.ndarray] = []
        missing = n
        while missing > 0:
            size = 4 * missing + 1000
            l_deg = rng.uniform(0.0, 360.0, size)
            sin_b = rng.uniform(np.sin(np.radians(LATITUDE_MIN_DEG)), 1.0, size)
            b_deg = np.degrees(np.arcsin(sin_b)) * rng.choice([-1.0, 1.0], size)
            at = np.stack([np.abs(b_deg), np.minimum(l_deg, 360.0 - l_deg)], axis=1)
            at[:, 0] = np.clip(at[:, 0], LATITUDE_MIN_DEG, 90.0)
            keep = rng.random(size) * self._peak < self._stars(at)
            l_deg, b_deg = l_deg[keep], b_deg[keep]
            dec = SkyCoord(l_deg * u.deg, b_deg * u.deg, frame="galactic").icrs.dec.deg
            seen = (dec > self._declination_deg[0]) & (dec < self._declination_deg[1])
            found.append(np.stack([l_deg[seen], b_deg[seen]])[:, :missing])
            missing -= found[-1].shape[1]
        l_deg, b_deg = np.concatenate(found, axis=1)
        return l_deg, b_deg


def star_density(
    l_deg: np.ndarray, b_deg: np.ndarray, components: tuple[Component, ...], window: np.ndarray
) -> np.ndarray:
    """Return the stars that pass the limits, per unit of distance modulus on each sightline: (sightline, distance node)."""
    distance_pc = distance_from_modulus(MU_NODES_MAG)
    radius, height = galactic_position(distance_pc[None, :], l_deg[:, None], b_deg[:, None])
    total = np.zeros(radius.shape)
    for component, share in zip(components, window, strict=True):
        total += component.density(radius, height) * share
    # d^2 per solid angle, and dd = d dmu ln(10)/5.
    return total * distance_pc**3


def draw_distances(
    l_deg: np.ndarray,
    b_deg: np.ndarray,
    components: tuple[Component, ...],
    window: np.ndarray,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Draw a distance modulus and a component for a star on each of the sightlines.

    The density in the modulus is linear between its nodes, and drawn from exactly.

    Parameters
    ----------
    l_deg, b_deg : sightlines. [deg]
    components : of the Galaxy.
    window : share of each component's stars inside the magnitude limits, at every node.

    Returns
    -------
    Distance moduli [mag] and indices into the components.
    """
    density = star_density(l_deg, b_deg, components, window)
    cumulative = np.cumsum(density[:, 1:] + density[:, :-1], axis=1)
    target = rng.random(len(l_deg)) * cumulative[:, -1]
    step = np.minimum((cumulative < target[:, None]).sum(axis=1), len(MU_NODES_MAG) - 2)
    row = np.arange(len(l_deg))
    low, high = density[row, step], density[row, step + 1]
    tilt = (high - low) / np.maximum(high + low, 1e-300)
    inside = rng.random(len(l_deg))
    # Root of x (1 - tilt) + tilt x^2 = inside, written so that tilt = 0 is no exception.
    root = np.sqrt(np.maximum((1.0 - tilt) ** 2 + 4.0 * tilt * inside, 0.0))
    fraction = 2.0 * inside / np.maximum(1.0 - tilt + root, 1e-12)
    mu = MU_NODES_MAG[step] + MU_STEP_MAG * np.clip(fraction, 0.0, 1.0)
    radius, height = galactic_position(distance_from_modulus(mu), l_deg, b_deg)
    parts = [
        component.density(radius, height) * np.interp(mu, MU_NODES_MAG, share)
        for component, share in zip(components, window, strict=True)
    ]
    running = np.cumsum(np.stack(parts), axis=0)
    component = (rng.random(len(l_deg)) * running[-1] > running).sum(axis=0)
    return mu, np.minimum(component, len(components) - 1)
