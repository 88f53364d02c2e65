"""Joint densities of stars of given reddening and distance, from stated likelihoods: for tests and calibration.

A star's data are a pair of numbers, its reddening and its distance modulus with correlated normal errors, and in some
stars one of two solutions, as giants and dwarfs or two metallicities give. Their exact likelihood is a mixture of
normal distributions, so that a correct fit must cover the truth at its stated rate.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from redflower.constants import EBV_MAX_MAG, EBV_MIN_MAG
from redflower.distances import distance_from_modulus, modulus_from_distance
from redflower.posterior.density import N_EBV_NODES, N_MODULUS_NODES, JointDensity, quantise_log_density

#: Density below the peak at which a star's grid ends. [nat]
_DROP_NAT = 14.0
#: Scatter of ln of the stars' relative distance errors about their run with distance: a factor of 1.5.
_ERROR_SCATTER = float(np.log(1.5))
#: Two solutions of a star are at most this many of its distance errors apart.
_AMBIGUOUS_SIGMAS = 4.0


@dataclass(frozen=True)
class SightlineStars:
    """Errors and population of the stars of an invented sightline.

    Attributes
    ----------
    ebv_error_mag : reddening errors are log-uniform between these. [mag]
    distance_error : relative distance errors at 500 pc and at 3000 pc; between them a power law, with a scatter of a
        factor of 1.5.
    correlation : of the two errors, uniform between these.
    ambiguous_share : share of stars with two solutions.
    ambiguous_weight, ambiguous_ebv_mag, ambiguous_modulus_mag : weight of the second solution and where it lies, in distance
        at most 4 of the star's errors away.
    length_pc, alpha, beta : of the distance prior E13, from which distances are drawn.
    """

    ebv_error_mag: tuple[float, float] = (0.02, 0.08)
    distance_error: tuple[float, float] = (0.03, 0.25)
    correlation: tuple[float, float] = (-0.6, 0.3)
    ambiguous_share: float = 0.3
    ambiguous_weight: float = 0.25
    ambiguous_ebv_mag: float = 0.1
    ambiguous_modulus_mag: float = -0.4
    length_pc: float = 500.0
    alpha: float = 0.9
    beta: float = 1.6

    def typical_error(self, distance_pc: np.ndarray) -> np.ndarray:
        """Return the typical relative distance error at distances."""
        near, far = self.distance_error
        return near * (distance_pc / 500.0) ** (np.log(far / near) / np.log(6.0))


def mock_densities(
    ebv_mag: Float[np.ndarray, " star"],
    distance_pc: Float[np.ndarray, " star"],
    rng: np.random.Generator,
    *,
    stars: SightlineStars | None = None,
    zero_point_mag: float = 0.0,
    zero_point_per_modulus: float = 0.0,
    error_factor: float = 1.0,
) -> JointDensity:
    """Observe stars of given reddening and distance, and return the joint density of each.

    Parameters
    ----------
    ebv_mag, distance_pc : the truth; the distances must be draws of the prior of `stars`. [mag, pc]
    rng : random numbers.
    stars : errors and population.
    zero_point_mag, zero_point_per_modulus, error_factor : as in `mock_sightline`.
    """
    kind = stars or SightlineStars()
    modulus_mag = modulus_from_distance(distance_pc)
    n_stars = len(ebv_mag)
    low, high = np.log(kind.ebv_error_mag)
    sigma_ebv = np.exp(rng.uniform(low, high, n_stars))
    relative = kind.typical_error(distance_pc) * np.exp(_ERROR_SCATTER * rng.standard_normal(n_stars))
    sigma_mu = 5.0 / np.log(10.0) * np.clip(relative, 0.01, 0.4)
    correlation = rng.uniform(*kind.correlation, n_stars)
    second = np.where(rng.random(n_stars) < kind.ambiguous_share, kind.ambiguous_weight, 0.0)
    shifted = rng.random(n_stars) < second
    # A parallax that tells the distance to 2 % leaves no room for a second solution 20 % away.
    other_mu = np.sign(kind.ambiguous_modulus_mag) * np.minimum(
        abs(kind.ambiguous_modulus_mag), _AMBIGUOUS_SIGMAS * sigma_mu
    )
    z_mu, z_free = rng.standard_normal((2, n_stars))
    z_ebv = correlation * z_mu + np.sqrt(1.0 - correlation**2) * z_free
    seen_ebv = ebv_mag + error_factor * sigma_ebv * z_ebv + shifted * kind.ambiguous_ebv_mag
    zero_mag = zero_point_mag + zero_point_per_modulus * np.maximum(modulus_mag - 10.0, 0.0)
    data = _Data(
        kind=kind,
        ebv_mag=seen_ebv + zero_mag,
        modulus_mag=modulus_mag + sigma_mu * z_mu + shifted * other_mu,
        ebv_error_mag=sigma_ebv,
        modulus_error_mag=sigma_mu,
        distance_error=relative,
        correlation=correlation,
        second_weight=second,
        second_modulus_mag=other_mu,
    )
    return data.joint_density()


@dataclass(frozen=True)
class _Data:
    """What is measured of each star, with what its likelihood knows of the errors and of the second solution.

    Attributes
    ----------
    kind : errors and population.
    ebv_mag, modulus_mag : the pair of numbers measured. [mag]
    ebv_error_mag, modulus_error_mag, correlation : of them. [mag]
    distance_error : relative, before it is limited to 1 to 40 %.
    second_weight, second_modulus_mag : of the second solution; weight 0 where there is one alone. [mag]
    """

    kind: SightlineStars
    ebv_mag: Float[np.ndarray, " star"]
    modulus_mag: Float[np.ndarray, " star"]
    ebv_error_mag: Float[np.ndarray, " star"]
    modulus_error_mag: Float[np.ndarray, " star"]
    distance_error: Float[np.ndarray, " star"]
    correlation: Float[np.ndarray, " star"]
    second_weight: Float[np.ndarray, " star"]
    second_modulus_mag: Float[np.ndarray, " star"]

    def log_posterior(
        self, ebv_mag: Float[np.ndarray, "star ebv"], modulus_mag: Float[np.ndarray, "star modulus"]
    ) -> Float[np.ndarray, "star modulus ebv"]:
        """Evaluate the natural log of likelihood times distance prior on a grid of each star."""
        parts = []
        for weight, shift_ebv, shift_mu in (
            (1.0 - self.second_weight, 0.0, np.zeros(len(self.ebv_mag))),
            (self.second_weight, self.kind.ambiguous_ebv_mag, self.second_modulus_mag),
        ):
            a = (self.ebv_mag[:, None] - shift_ebv - ebv_mag)[:, None, :] / self.ebv_error_mag[:, None, None]
            b = (self.modulus_mag - shift_mu)[:, None] - modulus_mag
            b = b[:, :, None] / self.modulus_error_mag[:, None, None]
            r = self.correlation[:, None, None]
            with np.errstate(divide="ignore"):
                log_weight = np.log(weight)[:, None, None]
            parts.append(log_weight - 0.5 * (a**2 - 2.0 * r * a * b + b**2) / (1.0 - r**2))
        distance_pc = distance_from_modulus(modulus_mag)
        ratio = distance_pc / self.kind.length_pc
        prior = (self.kind.beta + 1.0) * np.log(ratio) - ratio**self.kind.alpha
        # How large a star's error is says how far it is: without this the densities would not be what they say.
        typical = np.log(self.kind.typical_error(distance_pc))
        prior = prior - 0.5 * ((np.log(self.distance_error)[:, None] - typical) / _ERROR_SCATTER) ** 2
        return np.logaddexp(*parts) + prior[:, :, None]

    def joint_density(self) -> JointDensity:
        """Take a coarse look over everything, then store the density in each star's own box."""
        n_stars = len(self.ebv_mag)
        ebv_all = np.broadcast_to(np.linspace(EBV_MIN_MAG, EBV_MAX_MAG, 45), (n_stars, 45))
        # Each solution in its own window; where there is one solution, it is looked at twice.
        window = 6.0 * self.modulus_error_mag[:, None] * np.linspace(-1.0, 1.0, 31)
        other = self.modulus_mag - np.where(self.second_weight > 0.0, self.second_modulus_mag, 0.0)
        modulus_all = np.concatenate([self.modulus_mag[:, None] + window, other[:, None] + window], axis=1)
        modulus_all = np.sort(modulus_all, axis=1)
        look = self.log_posterior(ebv_all, modulus_all)
        high = look > look.max(axis=(1, 2), keepdims=True) - _DROP_NAT
        ebv_start, ebv_step = _box(ebv_all, high.any(axis=1), N_EBV_NODES, (EBV_MIN_MAG, EBV_MAX_MAG))
        modulus_start, modulus_step = _box(modulus_all, high.any(axis=2), N_MODULUS_NODES, (-np.inf, np.inf))
        fine = self.log_posterior(
            ebv_start[:, None] + ebv_step[:, None] * np.arange(N_EBV_NODES),
            modulus_start[:, None] + modulus_step[:, None] * np.arange(N_MODULUS_NODES),
        )
        return JointDensity(
            ebv_start_mag=ebv_start,
            ebv_step_mag=ebv_step,
            modulus_start_mag=modulus_start,
            modulus_step_mag=modulus_step,
            steps_below_peak=quantise_log_density(fine),
        )


def _box(
    nodes: np.ndarray, high: np.ndarray, n_nodes: int, limits: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """Return first node and spacing of a grid over the nodes where the density is high, plus one node at either end."""
    last = nodes.shape[1] - 1
    first = np.maximum(high.argmax(axis=1) - 1, 0)
    final = np.minimum(last - high[:, ::-1].argmax(axis=1) + 1, last)
    row = np.arange(len(nodes))
    low = np.clip(nodes[row, first], *limits)
    high_end = np.clip(nodes[row, final], *limits)
    return low, (high_end - low) / (n_nodes - 1)
