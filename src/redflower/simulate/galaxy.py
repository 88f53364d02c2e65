"""The mock Galaxy: three components, each exponential in (R, Z), and their density along a sightline."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from redflower.constants import R_SUN_PC
from redflower.physics.coordinates import galactocentric_radius_pc, height_pc


@dataclass(frozen=True)
class Component:
    """One component of the mock Galaxy.

    Attributes
    ----------
    name : what it stands for.
    local_fraction : its share of all stars at the Sun's radius in the plane.
    scale_height_pc, scale_length_pc : of the exponentials in Z and in R. [pc]
    feh_mean_dex, feh_std_dex : normal distribution of [Fe/H] at the Sun's radius and Z = 0.
    feh_height_gradient_dex_per_kpc, feh_radius_gradient_dex_per_kpc : change of the mean with Z and with R.
    age_range_gyr : ends of a uniform distribution of ages. [Gyr]
    """

    name: str
    local_fraction: float
    scale_height_pc: float
    scale_length_pc: float
    feh_mean_dex: float
    feh_std_dex: float
    feh_height_gradient_dex_per_kpc: float
    feh_radius_gradient_dex_per_kpc: float
    age_range_gyr: tuple[float, float]

    def density(self, radius_pc: np.ndarray, height_pc: np.ndarray) -> np.ndarray:
        """Return the number of stars per volume, in units of all components' density at the Sun's radius in the plane."""
        exponent = -(radius_pc - R_SUN_PC) / self.scale_length_pc - height_pc / self.scale_height_pc
        return self.local_fraction * np.exp(exponent)

    def draw_feh_dex(self, n: int, rng: np.random.Generator) -> Float[np.ndarray, " star"]:
        """Draw [Fe/H] of stars at the Sun's radius and Z = 0. [dex]"""
        return self.feh_mean_dex + self.feh_std_dex * rng.standard_normal(n)

    def feh_shift_dex(self, radius_pc: np.ndarray, height_pc: np.ndarray) -> np.ndarray:
        """Return the change of the mean [Fe/H] from the Sun's radius in the plane to (R, Z), constant from 2 kpc on. [dex]"""
        upward = np.clip(height_pc / 1e3, 0.0, 2.0) * self.feh_height_gradient_dex_per_kpc
        return (
            upward + np.clip((radius_pc - R_SUN_PC) / 1e3, -2.0, 2.0) * self.feh_radius_gradient_dex_per_kpc
        )


#: Scales of the discs after Juric et al. (2008, ApJ 673, 864). The halo, a power law there, is an exponential here,
#: as the premise of O'Callaghan et al. (2025, section 1.3) has it. Metallicities after Ivezic et al. (2008, ApJ 684,
#: 287), rounded.
COMPONENTS: Final[tuple[Component, ...]] = (
    Component("thin disc", 0.870, 300.0, 2600.0, -0.05, 0.20, -0.15, -0.05, (0.2, 10.0)),
    Component("thick disc", 0.125, 900.0, 3600.0, -0.50, 0.25, -0.05, 0.0, (9.0, 12.0)),
    Component("halo", 0.005, 3000.0, 4000.0, -1.40, 0.40, 0.0, 0.0, (11.0, 13.0)),
)


@cache
def _vectorised() -> Callable[[Any, Any, Any], Any]:
    radius, height = jnp.vectorize(galactocentric_radius_pc), jnp.vectorize(height_pc)
    return jax.jit(lambda distance, lon, lat: (radius(distance, lon, lat), height(distance, lat)))


def galactic_position(
    distance_pc: np.ndarray, l_deg: np.ndarray, b_deg: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return R and Z of points on sightlines as the model defines them (E1, E2), for arrays that broadcast. [pc]

    Parameters
    ----------
    distance_pc : distance, >= 0. [pc]
    l_deg, b_deg : Galactic longitude and latitude. [deg]
    """
    radius, height = _vectorised()(distance_pc, l_deg, b_deg)  # E1, E2
    return np.asarray(radius), np.asarray(height)


def log_number_density(
    distance_pc: Float[np.ndarray, " distance"],
    l_deg: float,
    b_deg: float,
    components: tuple[Component, ...] = COMPONENTS,
) -> Float[np.ndarray, " distance"]:
    """Return ln of the stars per distance and solid angle, d^2 rho(R, Z), up to one constant for the whole sky.

    Every star of the luminosity function counts, before any magnitude limit: this is the density for which the
    distance prior (E13) stands.

    Parameters
    ----------
    distance_pc : distances, > 0. [pc]
    l_deg, b_deg : Galactic longitude and latitude of the sightline. [deg]
    components : of the Galaxy; those of the mock by default.
    """
    distance_pc = np.asarray(distance_pc, float)
    radius, height = galactic_position(distance_pc, np.asarray(l_deg), np.asarray(b_deg))
    total = np.zeros(distance_pc.shape)
    for component in components:
        total = total + component.density(radius.astype(float), height.astype(float))
    # Exponents of less than -700 underflow; so far out nothing is left to weigh.
    return 2 * np.log(distance_pc) + np.log(np.maximum(total, 1e-300))
