"""The dust along a sightline: what is believed of it beforehand, and its steps."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from redflower.distances import modulus_from_distance
from redflower.errors import InputError
from redflower.sightline.polarisation import CloudPolarisation


@dataclass(frozen=True)
class DustPrior:
    """What is believed of the dust before any star is seen (ES5).

    Attributes
    ----------
    distance_pc : between these the clouds lie, uniform in log distance. [pc]
    ebv_scale_mag, ebv_min_mag : a cloud's E(B-V) has the density 1 / (E + scale)^2 above the minimum: half of the
        clouds are below about the scale. [mag]
    foreground_std_mag : standard deviation about 0 of the foreground's reddening plus the zero point of the stars'
        reddenings, which no star can tell apart. [mag]
    drift_std : standard deviation about 0 of the change of that zero point with distance modulus; 0: it does not
        change. [mag per mag]
    scatter_mag : the scatter that all stars share is log-uniform between these. [mag]
    patchiness_mean : mean of the exponential prior of a cloud's relative scatter, cut at 1.
    outlier_exponent : the outlier share has the density (1 - share)^(exponent - 1); its mean is 1 / (exponent + 1).
    p_per_ebv : the largest degree of polarisation that a magnitude of E(B-V) makes, where stars' polarisation is given. [1/mag]
    """

    distance_pc: tuple[float, float] = (50.0, 5000.0)
    ebv_scale_mag: float = 0.05
    ebv_min_mag: float = 0.005
    foreground_std_mag: float = 0.02
    drift_std: float = 0.0
    scatter_mag: tuple[float, float] = (0.002, 0.03)
    patchiness_mean: float = 0.2
    outlier_exponent: float = 19.0
    p_per_ebv: float = 0.13

    def __post_init__(self) -> None:
        if not 0 < self.distance_pc[0] < self.distance_pc[1]:
            raise InputError(f"DustPrior needs rising positive distance_pc; got {self.distance_pc}.")
        if not (self.ebv_scale_mag > 0 and self.ebv_min_mag > 0 and self.foreground_std_mag > 0):
            raise InputError("DustPrior needs positive ebv_scale_mag, ebv_min_mag and foreground_std_mag.")
        if not 0 < self.scatter_mag[0] < self.scatter_mag[1]:
            raise InputError(f"DustPrior needs rising positive scatter_mag; got {self.scatter_mag}.")
        if not 0 < self.p_per_ebv <= 1:
            raise InputError(f"DustPrior needs 0 < p_per_ebv <= 1 per mag; got {self.p_per_ebv}.")
        if not 0 <= self.drift_std < 1:
            raise InputError(
                f"DustPrior needs a drift_std from 0 to below 1 mag per mag; got {self.drift_std}."
            )

    @property
    def modulus_mag(self) -> tuple[float, float]:
        """Distance moduli between which the clouds lie. [mag]"""
        near, far = modulus_from_distance(self.distance_pc)
        return float(near), float(far)

    @property
    def n_shared(self) -> int:
        """Numbers that all stars share: foreground, scatter and outlier share, and the drift where there is one."""
        return 4 if self.drift_std > 0 else 3


@dataclass(frozen=True)
class Dust:
    """Parameters of a batch of sightlines: steps of the reddening, ordered in distance.

    Attributes
    ----------
    foreground_mag : reddening in front of the first step, zero point included. [mag]
    scatter_mag : scatter that all stars share. [mag]
    outlier_share : share of the stars whose reddening carries no information.
    modulus_mag : distance modulus of each step. [mag]
    ebv_mag : height of each step. [mag]
    patchiness : relative scatter of each step's height from star to star.
    drift : change of the zero point with distance modulus. [mag per mag]
    drifts_between_mag : distance moduli between which it changes; in front of them it is that of the foreground. [mag]
    polarisation : of each step; None where the stars' is not given.
    """

    foreground_mag: Float[np.ndarray, " sightline"]
    scatter_mag: Float[np.ndarray, " sightline"]
    outlier_share: Float[np.ndarray, " sightline"]
    modulus_mag: Float[np.ndarray, "sightline step"]
    ebv_mag: Float[np.ndarray, "sightline step"]
    patchiness: Float[np.ndarray, "sightline step"]
    drift: Float[np.ndarray, " sightline"]
    drifts_between_mag: tuple[float, float]
    polarisation: CloudPolarisation | None = None

    def levels_mag(self) -> Float[np.ndarray, "sightline segment"]:
        """Return the mean reddening in front of the first step and behind each. Equation: ES3. [mag]"""
        behind = np.cumsum(self.ebv_mag, axis=1)
        return self.foreground_mag[:, None] + np.concatenate(
            [np.zeros((len(behind), 1)), behind], axis=1
        )  # ES3

    def scatters_mag(self) -> Float[np.ndarray, "sightline segment"]:
        """Return the scatter of the stars' reddening in front of the first step and behind each. Equation: ES3. [mag]"""
        patches = np.cumsum((self.patchiness * self.ebv_mag) ** 2, axis=1)
        patches = np.concatenate([np.zeros((len(patches), 1)), patches], axis=1)
        return np.sqrt(self.scatter_mag[:, None] ** 2 + patches)  # ES3

    def profile_mag(self, modulus_mag: Float[np.ndarray, " node"]) -> Float[np.ndarray, "sightline node"]:
        """Return the mean reddening at given distance moduli, without the foreground: what the steps add up to. [mag]"""
        passed = self.modulus_mag[:, :, None] <= modulus_mag
        return np.sum(passed * self.ebv_mag[:, :, None], axis=1)
