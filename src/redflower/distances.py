"""Distances and places in the Galaxy of plain numpy arrays; `redflower.physics.coordinates` has them for compiled functions."""

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from redflower.constants import DISTANCE_MODULUS_ZERO_PC, R_SUN_PC, Z_SUN_PC


def modulus_from_distance(distance_pc: ArrayLike) -> Float[np.ndarray, "*shape"]:
    """Return the distance modulus of distances [pc], in the precision of the input. Equation: EP1. [mag]"""
    return 5.0 * np.log10(np.asarray(distance_pc) / DISTANCE_MODULUS_ZERO_PC)  # EP1


def distance_from_modulus(modulus_mag: ArrayLike) -> Float[np.ndarray, "*shape"]:
    """Return the distance of distance moduli [mag], in the precision of the input. Equation: EP1. [pc]"""
    return 10.0 ** (1.0 + np.asarray(modulus_mag) / 5.0)  # EP1


def galactic_place_pc(
    distance_pc: ArrayLike, l_deg: ArrayLike, b_deg: ArrayLike
) -> tuple[Float[np.ndarray, "*shape"], Float[np.ndarray, "*shape"]]:
    """Return the radius R and the height Z of positions as the model defines them. Equations: E1, E2. [pc]

    Parameters
    ----------
    distance_pc : heliocentric distance, >= 0. [pc]
    l_deg, b_deg : Galactic longitude and latitude. [deg]
    """
    distance, lon, lat = np.asarray(distance_pc), np.deg2rad(l_deg), np.deg2rad(b_deg)
    in_plane = distance * np.cos(lat)
    radius = np.hypot(in_plane - R_SUN_PC, 2.0 * np.sqrt(R_SUN_PC * in_plane) * np.sin(0.5 * lon))  # E2
    return radius, distance * np.abs(np.sin(lat)) + Z_SUN_PC  # E1
