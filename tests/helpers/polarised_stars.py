"""Polarisation of the stars of an invented sightline: clouds with a magnetic field that is turned about from star to star."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from redflower.sightline.polarisation import StarPolarisation


@dataclass(frozen=True)
class PolarisingCloud:
    """A thin cloud whose magnetic field polarises the stars behind it, as in the mock sightlines of Pelgrims et al. (2023).

    Attributes
    ----------
    distance_pc : of the cloud. [pc]
    p_max : degree of polarisation if the field lay in the plane of the sky.
    inclination_deg, angle_deg : of the mean field, to that plane and in it. [deg]
    turbulence : strength of a field of random direction over that of the mean field, drawn anew for every star.
    """

    distance_pc: float
    p_max: float
    inclination_deg: float
    angle_deg: float
    turbulence: float = 0.2

    def draw(
        self, n_stars: int, rng: np.random.Generator
    ) -> tuple[Float[np.ndarray, " star"], Float[np.ndarray, " star"]]:
        """Draw q and u that it gives to stars behind it."""
        inclination, angle = np.radians([self.inclination_deg, self.angle_deg])
        mean = np.array(
            [np.cos(inclination) * np.cos(angle), np.cos(inclination) * np.sin(angle), np.sin(inclination)]
        )
        field = mean + self.turbulence / np.sqrt(3.0) * rng.standard_normal((n_stars, 3))
        x, y, _ = field.T
        # The square of the cosine of the inclination, times the cosine and sine of twice the angle.
        square = (field**2).sum(axis=1)
        return self.p_max * (x**2 - y**2) / square, self.p_max * 2.0 * x * y / square

    def mean(self) -> tuple[float, float]:
        """Return the mean q and u over many stars."""
        q, u = self.draw(100_000, np.random.default_rng(0))
        return float(q.mean()), float(u.mean())


def mock_polarisation(
    distance_pc: Float[np.ndarray, " star"],
    clouds: Sequence[PolarisingCloud],
    rng: np.random.Generator,
    *,
    error: tuple[float, float] = (0.001, 0.006),
) -> StarPolarisation:
    """Observe the polarisation of stars behind clouds.

    Parameters
    ----------
    distance_pc : of the stars. [pc]
    clouds : in front of them or behind.
    rng : random numbers.
    error : of q and of u, log-uniform between these.
    """
    n_stars = len(distance_pc)
    q, u = np.zeros((2, n_stars))
    for cloud in clouds:
        more = cloud.draw(n_stars, rng)
        behind = distance_pc > cloud.distance_pc
        q, u = q + behind * more[0], u + behind * more[1]
    low, high = np.log(error)
    errors = np.exp(rng.uniform(low, high, n_stars))
    return StarPolarisation(
        q=q + errors * rng.standard_normal(n_stars),
        u=u + errors * rng.standard_normal(n_stars),
        q_error=errors,
        u_error=errors,
    )
