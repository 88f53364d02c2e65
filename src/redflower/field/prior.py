"""What is believed of the dust of a field beforehand: positive, and alike at neighbouring places and distances."""

from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtr
from jaxtyping import Array, Float

from redflower.errors import InputError

#: Numbers of the field that every shell has of its own: mean, scatter, length, place of the dust in it and its thickness.
_PER_SHELL: Final = 5


@dataclass(frozen=True)
class FieldPrior:
    """Beliefs about a field of dust before any star is seen (ES12).

    Attributes
    ----------
    ebv_per_mag, log_mean_std : the mean density of every shell, E(B-V) per unit of distance modulus: median [mag per mag], and
        standard deviation of its natural logarithm.
    log_scatter, length_deg, slope, reach_mag : median and standard deviation (of the logarithm, but for the slope) of the scatter
        of the log density over the sky, of the angular scale of its spectrum [deg], of its slope at small scales, and of the
        distance modulus over which shells are alike [mag].
    thickness : median of the thickness of a shell's dust as a share of the shell, and standard deviation of its logarithm; its
        place within the shell is uniform.
    shell_std : standard deviation of the logarithms of scatter and length from shell to shell.
    zero_point_std_mag : of the zero point of the stars' reddenings, one for each group of stars. [mag]
    drift_std : of its change with distance modulus, common to all groups; 0: it does not change. [mag per mag]
    scatter_mag : median and standard deviation of the logarithm of the stars' scatter about the field. [mag]
    outlier_share : median and standard deviation of the logit of the share of stars whose reddening says nothing.
    """

    ebv_per_mag: float = 0.001
    log_mean_std: float = 2.5
    log_scatter: tuple[float, float] = (0.6, 0.4)
    length_deg: tuple[float, float] = (1.0, 0.7)
    slope: tuple[float, float] = (3.0, 0.4)
    reach_mag: tuple[float, float] = (0.4, 0.5)
    thickness: tuple[float, float] = (0.2, 1.0)
    shell_std: float = 0.5
    zero_point_std_mag: float = 0.02
    drift_std: float = 0.0
    scatter_mag: tuple[float, float] = (0.008, 0.5)
    outlier_share: tuple[float, float] = (0.02, 1.0)

    def __post_init__(self) -> None:
        if not (self.ebv_per_mag > 0 and self.log_mean_std > 0 and self.zero_point_std_mag > 0):
            raise InputError("FieldPrior needs positive ebv_per_mag, log_mean_std and zero_point_std_mag.")
        if not 0 <= self.drift_std < 1:
            raise InputError(
                f"FieldPrior needs a drift_std from 0 to below 1 mag per mag; got {self.drift_std}."
            )


class Numbers(NamedTuple):
    """The numbers of a field that are no map, each in its unit.

    Attributes
    ----------
    log_mean : natural logarithm of the mean density of every shell, in mag per mag.
    log_scatter : scatter of the log density of every shell.
    length_deg : angular scale of every shell. [deg]
    slope : of the spectrum.
    place, thickness : where in every shell its dust lies, and over how much of it, both as shares of the shell.
    alike : correlation of the log densities of neighbouring shells.
    zero_point_mag : of every group. [mag]
    drift : of the zero points. [mag per mag]
    scatter_mag : of stars about the field. [mag]
    outlier_share : of the stars.
    """

    log_mean: Any
    log_scatter: Any
    length_deg: Any
    slope: Any
    place: Any
    thickness: Any
    alike: Any
    zero_point_mag: Any
    drift: Any
    scatter_mag: Any
    outlier_share: Any


def n_numbers(n_shells: int, n_groups: int) -> int:
    """Return how many standard normal numbers make `Numbers`."""
    return _PER_SHELL * n_shells + 4 + n_groups + 3


def numbers_of(
    z: Float[Array, " number"], prior: FieldPrior, behind: Float[Array, " shell"], shell_mag: float
) -> Numbers:
    """Return the numbers of a field from those that are sampled. Equations: ES12, ES14.

    All of them are standard normal beforehand but the last, one for each group of stars: what its stars measure best, the zero
    point and the mean dust in front of them together.

    Parameters
    ----------
    z : the numbers that are sampled.
    prior : beliefs beforehand.
    behind : share of the stars that lie behind each shell.
    shell_mag : width of the shells. [mag]
    """
    n_shells = len(behind)
    own = z[: _PER_SHELL * n_shells].reshape(_PER_SHELL, n_shells)
    scatter, length, slope, reach, drift, about, outlier = z[_PER_SHELL * n_shells :][:7]

    def of_log(median_width: tuple[float, float], x: Any) -> Any:
        return median_width[0] * jnp.exp(median_width[1] * x)

    odds = prior.outlier_share[0] / (1.0 - prior.outlier_share[0]) * jnp.exp(prior.outlier_share[1] * outlier)
    log_mean = jnp.log(prior.ebv_per_mag) + prior.log_mean_std * own[0]  # ES12
    in_front = shell_mag * (behind * jnp.exp(jnp.minimum(log_mean, 3.0))).sum()
    return Numbers(
        log_mean=log_mean,
        log_scatter=of_log(prior.log_scatter, scatter) * jnp.exp(prior.shell_std * own[1]),
        length_deg=of_log(prior.length_deg, length) * jnp.exp(prior.shell_std * own[2]),
        slope=prior.slope[0] + prior.slope[1] * slope,
        place=ndtr(own[3]),
        thickness=of_log(prior.thickness, own[4]),
        alike=jnp.exp(-shell_mag / of_log(prior.reach_mag, reach)),
        zero_point_mag=prior.zero_point_std_mag * z[_PER_SHELL * n_shells + 7 :] - in_front,  # ES14
        drift=prior.drift_std * drift,
        scatter_mag=of_log(prior.scatter_mag, about),
        outlier_share=odds / (1.0 + odds),
    )


def log_prior_of_numbers(z: Float[Array, " number"], numbers: Numbers, prior: FieldPrior) -> Float[Array, ""]:
    """Evaluate the log prior density of the numbers that are sampled. Equation: ES12."""
    n_groups = len(numbers.zero_point_mag)
    zero = numbers.zero_point_mag / prior.zero_point_std_mag
    return -0.5 * ((z[:-n_groups] ** 2).sum() + (zero**2).sum())  # ES12


def log_spectrum(
    numbers: Numbers, wave_number: Float[Array, "row column"]
) -> Float[Array, "shell row column"]:
    """Return the natural logarithm of the variance of every mode of the log density of every shell. Equation: ES12.

    The mean over the modes is the square of the shell's scatter. The mode of wave number 0 belongs to the shell's mean and has
    next to no variance.
    """
    there = wave_number > 0
    scaled = (wave_number * numbers.length_deg[:, None, None]) ** 2
    shape = jnp.where(there, -0.5 * numbers.slope * jnp.log1p(scaled), -30.0)
    # Two sums, one after another: a single one over all modes loses digits in single precision.
    mean = jnp.exp(shape).mean(axis=2).mean(axis=1)
    return shape + (2.0 * jnp.log(numbers.log_scatter) - jnp.log(mean))[:, None, None]  # ES12


def hartley(values: Float[Array, "shell row column"]) -> Float[Array, "shell row column"]:
    """Return the Hartley transform over the last two axes: real, orthonormal and its own inverse."""
    f = jnp.fft.fft2(values)
    return (f.real - f.imag) / np.float32(values.shape[-1])


def share_in_front(
    part: Float[Array, "#star #node"],
    place: Float[Array, "#star #node"],
    thickness: Float[Array, "#star #node"],
) -> Float[Array, "star node"]:
    """Return the share of a shell's dust in front of a place in it: 0 at its near and 1 at its far edge. Equation: ES11."""
    near, at, far = (jax.nn.sigmoid((x - place) / thickness) for x in (0.0, part, 1.0))
    return (at - near) / (far - near)  # ES11
