"""Distance modulus and the Galactic cylindrical coordinates that the flow is conditioned on."""

import math
from typing import Final

import jax.numpy as jnp
from jaxtyping import Array, Float

from redflower.constants import DISTANCE_MODULUS_ZERO_PC, R_SUN_PC, Z_SUN_PC
from redflower.physics._types import AnyShape, ScalarLike

#: Distances below this act as this one wherever a logarithm or a reciprocal is taken (docs/explanation/model.md, D5). It
#: is a thousandth of the distance of the nearest star, so no star feels it; a sampler that strays to 0 stays
#: finite. [pc]
DISTANCE_FLOOR_PC: Final = 1e-3

#: Length added in quadrature to R before its logarithm, which has no value on the Galactic axis
#: (docs/explanation/model.md, D4). [pc]
RADIUS_SOFTENING_PC: Final = 1.0


def distance_modulus(
    distance_pc: AnyShape,
) -> Float[Array, "*shape"]:
    r"""Return the distance modulus of a distance.

    .. math:: \mu = 5 \log_{10}(d / 10\,\mathrm{pc})

    Equation: EP1 (docs/explanation/model.md). Source: O'Callaghan et al. (2025), section 2.1.1.

    Parameters
    ----------
    distance_pc : heliocentric distance, >= 0; below `DISTANCE_FLOOR_PC` it acts as that. [pc]

    Returns
    -------
    Distance modulus. [mag]
    """
    distance_pc = jnp.maximum(distance_pc, DISTANCE_FLOOR_PC)  # D5
    return 5.0 * jnp.log10(distance_pc / DISTANCE_MODULUS_ZERO_PC)  # EP1


def distance_pc_of_modulus(
    distance_modulus_mag: AnyShape,
) -> Float[Array, "*shape"]:
    r"""Return the distance of a distance modulus, :math:`d = 10\,\mathrm{pc} \times 10^{\mu/5}`.

    Equation: EP1 (docs/explanation/model.md).

    Parameters
    ----------
    distance_modulus_mag : distance moduli of any shape, from -20 (the distance floor) to 150 (float32). [mag]

    Returns
    -------
    Heliocentric distance, > 0. [pc]
    """
    return DISTANCE_MODULUS_ZERO_PC * jnp.exp(math.log(10.0) / 5.0 * distance_modulus_mag)  # EP1


def height_pc(distance_pc: AnyShape, b_deg: ScalarLike) -> Float[Array, "*shape"]:
    r"""Return the height above the Galactic plane as the model defines it, alike for both hemispheres.

    .. math:: Z = d\,|\sin b| + Z_\odot

    Equation: E1 (docs/explanation/model.md). Source: O'Callaghan et al. (2025), eq. 1, kept as printed
    (docs/decisions/0001-both-hemispheres.md): south of the plane it is 2 Z_sun more than the true height.

    Parameters
    ----------
    distance_pc : heliocentric distance, >= 0. [pc]
    b_deg : Galactic latitude, -90 to 90. [deg]

    Returns
    -------
    Height, >= Z_SUN_PC. [pc]
    """
    return distance_pc * jnp.abs(jnp.sin(jnp.deg2rad(b_deg))) + Z_SUN_PC  # E1, D1


def _radius_squared_pc2(
    distance_pc: AnyShape, l_deg: ScalarLike, b_deg: ScalarLike
) -> Float[Array, "*shape"]:
    """Return the squared cylindrical Galactocentric radius as a sum of two terms that are never negative."""
    projected_pc = distance_pc * jnp.cos(jnp.deg2rad(b_deg))
    # The cosine rule as printed subtracts numbers of 1e8 pc^2 from each other near the Galactic centre, where
    # float32 would leave an error of 3 pc and sometimes a negative square. This is the same by
    # cos l = 1 - 2 sin^2(l/2).
    return (projected_pc - R_SUN_PC) ** 2 + 4.0 * R_SUN_PC * projected_pc * jnp.sin(  # E2
        jnp.deg2rad(l_deg) / 2.0
    ) ** 2


def galactocentric_radius_pc(
    distance_pc: AnyShape, l_deg: ScalarLike, b_deg: ScalarLike
) -> Float[Array, "*shape"]:
    r"""Return the cylindrical distance from the Galactic axis.

    .. math:: R = \sqrt{R_\odot^2 + d^2 \cos^2 b - 2 R_\odot d \cos b \cos l}

    Equation: E2 (docs/explanation/model.md). Source: O'Callaghan et al. (2025), eq. 2.

    Parameters
    ----------
    distance_pc : heliocentric distance, >= 0. [pc]
    l_deg : Galactic longitude, any turn. [deg]
    b_deg : Galactic latitude, -90 to 90. [deg]

    Returns
    -------
    Radius, >= 0; its gradient on the axis itself, where R has a cone's tip, is 0. [pc]
    """
    squared_pc2 = _radius_squared_pc2(distance_pc, l_deg, b_deg)
    off_axis = squared_pc2 > 0.0
    return jnp.where(off_axis, jnp.sqrt(jnp.where(off_axis, squared_pc2, 1.0)), 0.0)  # E2


def flow_condition(
    distance_pc: AnyShape, l_deg: ScalarLike, b_deg: ScalarLike
) -> Float[Array, "condition=2 *shape"]:
    r"""Return the flow's condition, before standardisation: the logarithms of R and Z.

    .. math:: \Phi = (\log_{10} R/\mathrm{pc},\ \log_{10} Z/\mathrm{pc})

    Equations: E1, E2 (docs/explanation/model.md), with R softened by `RADIUS_SOFTENING_PC` (D4).

    Parameters
    ----------
    distance_pc : heliocentric distance, >= 0. [pc]
    l_deg, b_deg : Galactic longitude and latitude. [deg]

    Returns
    -------
    log10 of R and of Z in pc.
    """
    squared_pc2 = _radius_squared_pc2(distance_pc, l_deg, b_deg) + RADIUS_SOFTENING_PC**2  # D4
    return jnp.stack([0.5 * jnp.log10(squared_pc2), jnp.log10(height_pc(distance_pc, b_deg))])
