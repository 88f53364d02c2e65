"""Stars behind the clouds of an invented sightline, and the joint density of each: for tests and calibration."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.special import gammainccinv, ndtr, ndtri

from redflower.constants import EBV_MAX_MAG, EBV_MIN_MAG
from redflower.distances import modulus_from_distance
from redflower.posterior.density import JointDensity
from redflower.validate.mock_densities import SightlineStars, mock_densities


@dataclass(frozen=True)
class MockSightline:
    """Densities and truth of an invented sightline."""

    density: JointDensity
    true_ebv_mag: Float[np.ndarray, " star"]
    true_distance_pc: Float[np.ndarray, " star"]
    prior_log_length_pc: Float[np.ndarray, " star"]
    prior_alpha: Float[np.ndarray, " star"]
    prior_beta: Float[np.ndarray, " star"]


def mock_sightline(
    n_stars: int,
    clouds: Sequence[tuple[float, float]],
    rng: np.random.Generator,
    *,
    stars: SightlineStars | None = None,
    foreground_mag: float = 0.0,
    scatter_mag: float = 0.005,
    patchiness: float | Sequence[float] = 0.1,
    lognormal_patches: bool = False,
    outlier_share: float = 0.02,
    zero_point_mag: float = 0.0,
    zero_point_per_modulus: float = 0.0,
    drift: float = 0.0,
    drifts_between_mag: tuple[float, float] = (0.0, np.inf),
    gradient: float = 0.0,
    error_factor: float = 1.0,
) -> MockSightline:
    """Simulate stars behind clouds, and the joint density of each.

    Parameters
    ----------
    n_stars : stars.
    clouds : (distance in pc, E(B-V) in mag) of each.
    rng : random numbers.
    stars : errors and population.
    foreground_mag : reddening in front of the clouds. [mag]
    scatter_mag : scatter of every star's reddening. [mag]
    patchiness : relative scatter of a cloud's reddening from star to star, of all clouds or of each.
    lognormal_patches : that scatter is lognormal, as the columns of real clouds are, and not normal, as the fit has it.
    outlier_share : share of stars whose reddening is uniform between the limits of the prior.
    zero_point_mag : added to the reddening that the data say, and unknown to the likelihood. [mag]
    zero_point_per_modulus : the same, growing with distance modulus from 10 mag on: what a flow trained on another
        population does. [mag per mag]
    drift, drifts_between_mag : the zero point as the fit has it: it changes by so much with distance modulus between these
        distances, and is 0 at the first. [mag per mag, mag]
    gradient : every cloud's reddening varies across the cone linearly by plus and minus this share.
    error_factor : the reddening errors that happen over those that the likelihood knows.
    """
    kind = stars or SightlineStars()
    distance_pc = _draw_distances(kind, n_stars, rng)
    modulus_mag = modulus_from_distance(distance_pc)
    near, far = drifts_between_mag
    patches = np.broadcast_to(np.asarray(patchiness, dtype=float), (len(clouds),))
    behind = [(*cloud, float(patch)) for cloud, patch in zip(clouds, patches, strict=True)]
    mean_mag, scatter_mag_each = _behind_clouds(
        foreground_mag + drift * (np.clip(modulus_mag, near, far) - near),
        np.full(n_stars, scatter_mag**2),
        distance_pc,
        behind,
        rng,
        gradient=gradient,
        lognormal=lognormal_patches,
    )
    ebv_mag = _draw_reddenings(mean_mag, scatter_mag_each, outlier_share, rng)
    density = mock_densities(
        ebv_mag,
        distance_pc,
        rng,
        stars=kind,
        zero_point_mag=zero_point_mag,
        zero_point_per_modulus=zero_point_per_modulus,
        error_factor=error_factor,
    )
    return MockSightline(
        density=density,
        true_ebv_mag=ebv_mag,
        true_distance_pc=distance_pc,
        prior_log_length_pc=np.full(n_stars, np.log(kind.length_pc)),
        prior_alpha=np.full(n_stars, kind.alpha),
        prior_beta=np.full(n_stars, kind.beta),
    )


def _draw_distances(
    kind: SightlineStars, n_stars: int, rng: np.random.Generator
) -> Float[np.ndarray, " star"]:
    """Draw distances from the prior E13. [pc]"""
    shape = (kind.beta + 1.0) / kind.alpha
    distance_pc = kind.length_pc * gammainccinv(shape, rng.random(n_stars)) ** (1.0 / kind.alpha)
    return np.maximum(distance_pc, 20.0)


def _behind_clouds(
    mean_mag: Float[np.ndarray, " star"],
    variance: Float[np.ndarray, " star"],
    distance_pc: Float[np.ndarray, " star"],
    clouds: Sequence[tuple[float, float, float]],
    rng: np.random.Generator,
    *,
    gradient: float,
    lognormal: bool,
) -> tuple[Float[np.ndarray, " star"], Float[np.ndarray, " star"]]:
    """Add clouds (distance in pc, E(B-V) in mag, patchiness) to the mean and scatter of every star's reddening. [mag]"""
    across = 1.0 + gradient * rng.uniform(-1.0, 1.0, len(distance_pc))
    for cloud_pc, cloud_mag, patch in clouds:
        behind_mag = np.where(distance_pc > cloud_pc, cloud_mag * across, 0.0)
        if lognormal:
            width = np.sqrt(np.log1p(patch**2))
            behind_mag = behind_mag * np.exp(width * rng.standard_normal(len(across)) - 0.5 * width**2)
        else:
            variance = variance + (patch * behind_mag) ** 2
        mean_mag = mean_mag + behind_mag
    return mean_mag, np.sqrt(variance)


def _draw_reddenings(
    mean_mag: Float[np.ndarray, " star"],
    scatter_mag: Float[np.ndarray, " star"],
    outlier_share: float,
    rng: np.random.Generator,
) -> Float[np.ndarray, " star"]:
    """Draw reddenings as the kernel ES2 has them, normal and cut at the limits of the stars' prior; of outliers, uniform."""
    below, above = (ndtr((limit - mean_mag) / scatter_mag) for limit in (EBV_MIN_MAG, EBV_MAX_MAG))
    ebv_mag = mean_mag + scatter_mag * ndtri(below + (above - below) * rng.random(len(mean_mag)))
    ebv_mag = np.clip(ebv_mag, EBV_MIN_MAG, EBV_MAX_MAG)  # against rounding far out
    outlier = rng.random(len(mean_mag)) < outlier_share
    return np.where(outlier, rng.uniform(EBV_MIN_MAG, EBV_MAX_MAG, len(mean_mag)), ebv_mag)
