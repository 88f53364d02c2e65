"""The joint density of reddening and distance modulus of many stars, compact enough to keep for millions.

Each star has a box in (E(B-V), distance modulus) that holds its posterior, with a uniform grid of one size for all
stars. The log density on it, less its highest value, is stored in steps of 0.1 nat as one byte: 800 bytes a star
before compression.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float, UInt8

#: Nodes of every star's grid.
N_MODULUS_NODES: Final = 20
N_EBV_NODES: Final = 40
#: Size of a step of the stored log density, and the step that stands for "nothing here". [nat]
STEP_NAT: Final = 0.1
EMPTY: Final = 255


@dataclass(frozen=True)
class JointDensity:
    """Posterior densities in (E, distance modulus), a uniform grid per star.

    The density is that of equation E16 with the intrinsic magnitudes integrated out: it holds the parallax, the
    uniform reddening prior and the star's own distance prior p(mu) = p(d) d ln(10)/5, which a fit that brings its own
    distances must divide out. It is not normalised; its highest value on the grid is 1.

    Attributes
    ----------
    ebv_start_mag, ebv_step_mag : first node and spacing of E(B-V). [mag]
    modulus_start_mag, modulus_step_mag : first node and spacing of the distance modulus. [mag]
    steps_below_peak : log density below its peak in units of `STEP_NAT`; `EMPTY` where it is lower still.
    """

    ebv_start_mag: Float[np.ndarray, " star"]
    ebv_step_mag: Float[np.ndarray, " star"]
    modulus_start_mag: Float[np.ndarray, " star"]
    modulus_step_mag: Float[np.ndarray, " star"]
    steps_below_peak: UInt8[np.ndarray, "star modulus ebv"]

    def log_density(self) -> Float[np.ndarray, "star modulus ebv"]:
        """Natural log of the density relative to its peak on the grid; -inf where nothing is stored."""
        steps = self.steps_below_peak
        return np.where(steps == EMPTY, -np.inf, -STEP_NAT * steps.astype(np.float32))

    def ebv_nodes_mag(self) -> Float[np.ndarray, "star ebv"]:
        """Nodes of E(B-V) of every star. [mag]"""
        return self.ebv_start_mag[:, None] + self.ebv_step_mag[:, None] * np.arange(N_EBV_NODES)

    def modulus_nodes_mag(self) -> Float[np.ndarray, "star modulus"]:
        """Nodes of the distance modulus of every star. [mag]"""
        return self.modulus_start_mag[:, None] + self.modulus_step_mag[:, None] * np.arange(N_MODULUS_NODES)


def quantise_log_density(
    log_density: Float[np.ndarray, "star modulus ebv"],
) -> UInt8[np.ndarray, "star modulus ebv"]:
    """Steps of `STEP_NAT` below each star's peak; `EMPTY` beyond 25 nat, or where a value is not finite."""
    finite = np.where(np.isfinite(log_density), log_density, -np.inf)
    peak = finite.max(axis=(1, 2), keepdims=True)
    with np.errstate(invalid="ignore"):
        steps = np.rint((peak - finite) / STEP_NAT)
    return np.where(np.isfinite(steps), np.minimum(steps, EMPTY), EMPTY).astype(np.uint8)
