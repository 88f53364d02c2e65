"""What is believed of the dust of a field beforehand: positive, and alike at neighbouring places of a shell."""

from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from redflower.errors import InputError

#: Numbers of the field that every shell has of its own: mean, scatter, length, place of the dust in it and its thickness.
_PER_SHELL: Final = 5
#: Those that all shells share: scatter, length, slope, drift, the stars' scatter and the share of outliers.
N_SHARED: Final = 6
#: Mean E(B-V) of a shell that the stars of a field can measure. [mag]
_MEASURED_MAG: Final = 0.003
#: Natural logarithm of the variance of the mode of wave number 0.
_LOG_NONE: Final = -30.0


@dataclass(frozen=True)
class FieldPrior:
    """Beliefs about a field of dust before any star is seen (ES12).

    Attributes
    ----------
    ebv_per_mag, log_mean_std : the mean density of every shell, E(B-V) per unit of distance modulus: median [mag per mag], and
        standard deviation of its natural logarithm.
    log_scatter, length_deg, slope : median and standard deviation (of the logarithm, but for the slope) of the scatter of the log
        density over the sky, of the angular scale of its spectrum [deg], and of its slope at small scales.
    place, thickness : of a shell's dust, in units of the shell's width: mean and standard deviation of its place beyond the near
        edge; median of its thickness, and standard deviation of its logarithm. Dust may lie beyond the edges of its shell: a
        sheet near an edge is a sheet as any other, whichever of the two shells holds it.
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
    place: tuple[float, float] = (0.5, 0.4)
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
    place, thickness : where every shell's dust lies beyond its near edge, and over how much, both in units of the shell's width.
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
    zero_point_mag: Any
    drift: Any
    scatter_mag: Any
    outlier_share: Any


def n_numbers(n_shells: int, n_groups: int) -> int:
    """Return how many standard normal numbers make `Numbers`."""
    return _PER_SHELL * n_shells + N_SHARED + n_groups


def shell_rows(n_shells: int) -> Int[np.ndarray, "kind shell"]:
    """Return where the numbers of every shell are: mean, scatter, length, place and thickness."""
    return np.arange(_PER_SHELL * n_shells).reshape(_PER_SHELL, n_shells)


def mean_of_shells(y: Float[Array, " shell"]) -> Float[Array, " shell"]:
    """Return the mean E(B-V) of every shell from the number that stands for it. Equation: ES14. [mag]

    Even steps are even steps in E(B-V) where there is dust enough to be measured, and in its logarithm where there is not.
    """
    return _MEASURED_MAG * jax.nn.softplus(y)  # ES14


def numbers_of(
    z: Float[Array, " number"], prior: FieldPrior, behind: Float[Array, " shell"], shell_mag: float
) -> Numbers:
    """Return the numbers of a field from those that are sampled. Equations: ES12, ES14.

    All of them are standard normal beforehand but two kinds: the first, one for each shell, stand for its mean; the last, one for
    each group of stars, for what its stars measure best, the zero point and the mean dust in front of them together.

    Parameters
    ----------
    z : the numbers that are sampled.
    prior : beliefs beforehand.
    behind : share of the stars that lie behind each shell.
    shell_mag : width of the shells. [mag]
    """
    n_shells = len(behind)
    own = z[: _PER_SHELL * n_shells].reshape(_PER_SHELL, n_shells)
    scatter, length, slope, drift, about, outlier = z[_PER_SHELL * n_shells :][:N_SHARED]

    def of_log(median_width: tuple[float, float], x: Any) -> Any:
        return median_width[0] * jnp.exp(median_width[1] * x)

    odds = prior.outlier_share[0] / (1.0 - prior.outlier_share[0]) * jnp.exp(prior.outlier_share[1] * outlier)
    mean_mag = mean_of_shells(own[0])
    log_mean = jnp.log(mean_mag / shell_mag)
    in_front = (behind * mean_mag).sum()
    return Numbers(
        log_mean=log_mean,
        log_scatter=of_log(prior.log_scatter, scatter) * jnp.exp(prior.shell_std * own[1]),
        length_deg=of_log(prior.length_deg, length) * jnp.exp(prior.shell_std * own[2]),
        slope=prior.slope[0] + prior.slope[1] * slope,
        place=prior.place[0] + prior.place[1] * own[3],
        thickness=of_log(prior.thickness, own[4]),
        zero_point_mag=prior.zero_point_std_mag * z[_PER_SHELL * n_shells + N_SHARED :] - in_front,  # ES14
        drift=prior.drift_std * drift,
        scatter_mag=of_log(prior.scatter_mag, about),
        outlier_share=odds / (1.0 + odds),
    )


def log_prior_of_numbers(z: Float[Array, " number"], numbers: Numbers, prior: FieldPrior) -> Float[Array, ""]:
    """Evaluate the log prior density of the numbers that are sampled. Equations: ES12, ES14."""
    n_shells, n_groups = len(numbers.log_mean), len(numbers.zero_point_mag)
    y = z[:n_shells]
    mean = (numbers.log_mean - jnp.log(prior.ebv_per_mag)) / prior.log_mean_std
    # How the logarithm of a mean changes with the number that stands for it.
    factor = jax.nn.log_sigmoid(y) - jnp.log(jax.nn.softplus(y))  # ES14
    zero = numbers.zero_point_mag / prior.zero_point_std_mag
    squares = (mean**2).sum() + (z[n_shells:-n_groups] ** 2).sum() + (zero**2).sum()
    return factor.sum() - 0.5 * squares  # ES12


def start_of_means(prior: FieldPrior, shell_mag: float) -> float:
    """Return the number that stands for the median of the prior of a shell's mean."""
    return float(np.log(np.expm1(prior.ebv_per_mag * shell_mag / _MEASURED_MAG)))


def log_spectrum(
    numbers: Numbers, wave_number: Float[Array, "row column"]
) -> Float[Array, "shell row column"]:
    """Return the natural logarithm of the variance of every mode of the log density of every shell. Equation: ES12.

    The mean over the modes is the square of the shell's scatter. The mode of wave number 0 belongs to the shell's mean and has
    next to no variance.
    """
    power = log_spectrum_at(numbers, wave_number.reshape(-1), wave_number)
    return jnp.where(wave_number > 0, power.reshape(-1, *wave_number.shape), _LOG_NONE)


def log_spectrum_at(
    numbers: Numbers, at: Float[Array, " at"], wave_number: Float[Array, "row column"]
) -> Float[Array, "shell at"]:
    """Return the natural logarithm of the spectrum of every shell at wave numbers above 0. Equation: ES12. [rad/deg]"""
    level = jnp.exp(_log_shape(numbers, wave_number.reshape(-1))).reshape(-1, *wave_number.shape)
    # Two sums, one after another: a single one over all modes loses digits in single precision.
    mean = jnp.where(wave_number > 0, level, 0.0).mean(axis=2).mean(axis=1)
    return _log_shape(numbers, at) + (2.0 * jnp.log(numbers.log_scatter) - jnp.log(mean))[:, None]  # ES12


def _log_shape(numbers: Numbers, at: Float[Array, " at"]) -> Float[Array, "shell at"]:
    return -0.5 * numbers.slope * jnp.log1p((at * numbers.length_deg[:, None]) ** 2)


def hartley(values: Float[Array, "shell row column"]) -> Float[Array, "shell row column"]:
    """Return the Hartley transform over the last two axes: real, orthonormal and its own inverse."""
    f = jnp.fft.fft2(values)
    return (f.real - f.imag) / np.float32(values.shape[-1])


def share_in_front(
    modulus_mag: Float[Array, "*shape"],
    numbers: Numbers,
) -> Float[Array, "*shape shell"]:
    """Return the share of every shell's dust that lies in front of distance moduli. Equation: ES11.

    Parameters
    ----------
    modulus_mag : distance moduli, in units of a shell's width beyond the near edge of the first.
    numbers : of the field.
    """
    shell = jnp.arange(numbers.place.shape[-1])
    return jax.nn.sigmoid((modulus_mag[..., None] - shell - numbers.place) / numbers.thickness)  # ES11


def share_in_front_of(
    modulus_mag: Float[Array, "*shape"], numbers: Numbers, shell: int
) -> Float[Array, "*shape"]:
    """Return the share of one shell's dust that lies in front of distance moduli, as `share_in_front` has it. Equation: ES11."""
    rate = 1.0 / numbers.thickness[shell]
    return jax.nn.sigmoid(modulus_mag * rate - (shell + numbers.place[shell]) * rate)  # ES11
