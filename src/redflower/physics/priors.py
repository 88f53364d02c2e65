"""Priors of distance and reddening, and what parallax and distance prior alone say of a star."""

from typing import Final, NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.special import gammainc, gammaln
from jaxtyping import Array, ArrayLike, Bool, Float

from redflower.constants import EBV_MAX_MAG, EBV_MIN_MAG, LOG_SQRT_2PI
from redflower.physics._types import ScalarLike
from redflower.physics.coordinates import DISTANCE_FLOOR_PC
from redflower.physics.likelihoods import PARALLAX_DISTANCE_MAS_PC

#: Distances that `distance_posterior_quantiles` looks at. The prior holds less than 1e-5 of its mass beyond
#: 71 kpc anywhere on the sky, and no star but the Sun is within 1 pc. [pc]
DISTANCE_GRID_PC: Final = (1.0, 1e5)

#: Nodes of each of its grids, and how many grids it lays, each over the part of the last that holds the mass.
#: The first resolves 4.5 % in distance, the second reaches 0.05 %, the third a parallax good to 1e-4.
N_GRID_NODES: Final = 256
N_GRIDS: Final = 3

#: A grid is cut where the density per log distance is below the highest by more than this. [nat]
GRID_DROP: Final = 20.0


class DistancePosterior(NamedTuple):
    """What parallax and prior say of the distance of one star."""

    quantiles_pc: Float[Array, " level"]
    log_evidence: Float[Array, ""]


def log_distance_prior(
    distance_pc: ScalarLike, log_length_pc: ScalarLike, alpha: ScalarLike, beta: ScalarLike
) -> Float[Array, ""]:
    r"""Evaluate the log density of the generalised gamma distance prior, per pc.

    .. math:: \ln p(d) = \ln\alpha - \ln\Gamma\!\left(\tfrac{\beta+1}{\alpha}\right)
       - \ln L + \beta\,(\ln d - \ln L) - e^{\alpha(\ln d - \ln L)}

    Equation: E13 (docs/explanation/model.md). Source: O'Callaghan et al. (2025), eq. 13 (the density of Bailer-Jones et
    al. 2021, AJ 161, 147). All in logs: over the sky L runs from 3e-7 to 1e4 pc, with alpha down to 0.17.

    Parameters
    ----------
    distance_pc : heliocentric distance, >= 0; below `DISTANCE_FLOOR_PC` it acts as that (D5). [pc]
    log_length_pc : natural log of the length scale L/pc.
    alpha, beta : the two exponents, > 0 and > -1.

    Returns
    -------
    Natural log of the density in 1/pc.
    """
    log_distance_pc = jnp.log(jnp.maximum(distance_pc, DISTANCE_FLOOR_PC))  # D5
    log_ratio = log_distance_pc - log_length_pc
    log_normaliser = jnp.log(alpha) - gammaln((beta + 1.0) / alpha) - log_length_pc
    return log_normaliser + beta * log_ratio - jnp.exp(alpha * log_ratio)  # E13


def distance_prior_cdf(
    distance_pc: ScalarLike, log_length_pc: ScalarLike, alpha: ScalarLike, beta: ScalarLike
) -> Float[Array, ""]:
    r"""Return the probability that the distance prior gives to distances below a given one.

    .. math:: P(d' < d) = \gamma\!\left(\tfrac{\beta+1}{\alpha}, (d/L)^\alpha\right)
       / \Gamma\!\left(\tfrac{\beta+1}{\alpha}\right)

    Equation: E13 (docs/explanation/model.md), integrated. In float32 good to 2e-5.

    Parameters
    ----------
    distance_pc : heliocentric distance, >= 0; below `DISTANCE_FLOOR_PC` it acts as that (D5). [pc]
    log_length_pc, alpha, beta : as in `log_distance_prior`.

    Returns
    -------
    A probability.
    """
    log_distance_pc = jnp.log(jnp.maximum(distance_pc, DISTANCE_FLOOR_PC))
    shape = (beta + 1.0) / alpha
    return gammainc(shape, jnp.exp(alpha * (log_distance_pc - log_length_pc)))  # E13


def distance_prior_quantile(
    level: ScalarLike, log_length_pc: ScalarLike, alpha: ScalarLike, beta: ScalarLike
) -> Float[Array, ""]:
    """Return the distance below which the distance prior holds the probability ``level``.

    Equation: E13 (docs/explanation/model.md), integrated and inverted on the grid of `distance_posterior_quantiles`.

    Parameters
    ----------
    level : probability, 0 < level < 1.
    log_length_pc, alpha, beta : as in `log_distance_prior`.

    Returns
    -------
    Distance within `DISTANCE_GRID_PC`. [pc]
    """
    levels = jnp.reshape(jnp.asarray(level), (1,))
    prior_alone = distance_posterior_quantiles(
        levels, 0.0, 1.0, has_parallax=False, log_length_pc=log_length_pc, alpha=alpha, beta=beta
    )
    return prior_alone.quantiles_pc[0]


def log_reddening_prior(
    ebv_mag: ScalarLike, ebv_min_mag: ScalarLike = EBV_MIN_MAG, ebv_max_mag: ScalarLike = EBV_MAX_MAG
) -> Float[Array, ""]:
    r"""Evaluate the log density of the reddening prior, uniform between two limits.

    .. math:: p(E) = \frac{1}{E_\max - E_\min}\ \text{if}\ E_\min \le E \le E_\max,\ 0\ \text{otherwise}

    Equation: E14 (docs/explanation/model.md). Source: O'Callaghan et al. (2025), eq. 14, here with both limits inside
    (D8).

    Parameters
    ----------
    ebv_mag : reddening E(B-V). [mag]
    ebv_min_mag, ebv_max_mag : the limits, the first below the second. [mag]

    Returns
    -------
    Natural log of the density in 1/mag, -inf outside the limits. Its gradient is 0 inside and outside.
    """
    inside = (ebv_mag >= jnp.asarray(ebv_min_mag)) & (ebv_mag <= jnp.asarray(ebv_max_mag))  # D8
    return jnp.where(inside, -jnp.log(jnp.subtract(ebv_max_mag, ebv_min_mag)), -jnp.inf)  # E14


def distance_posterior_quantiles(
    levels: Float[Array, " level"],
    parallax_mas: ScalarLike,
    parallax_error_mas: ScalarLike,
    has_parallax: Bool[ArrayLike, ""],
    log_length_pc: ScalarLike,
    alpha: ScalarLike,
    beta: ScalarLike,
) -> DistancePosterior:
    r"""Compute quantiles of the distance given parallax and distance prior, and the evidence of the parallax.

    .. math:: p(d \mid \varpi) = \frac{p(\varpi \mid d)\,p(d)}{Z},\qquad
       Z = \int p(\varpi \mid d)\,p(d)\,\mathrm{d}d

    Equation: EP7 (docs/explanation/model.md). At the levels 0.16, 0.5 and 0.84 these are the geometric distances
    ``r_lo_geo r_med_geo r_hi_geo`` of Bailer-Jones et al. (2021).

    The density is laid on a grid uniform in log distance; the next grid covers only what holds the mass, and
    so on (`N_GRIDS` grids).
    A parallax of any quality, negative ones too, is thus resolved at a fixed cost.

    Parameters
    ----------
    levels : probabilities, 0 < level < 1.
    parallax_mas : parallax, zero point removed; may be negative. [mas]
    parallax_error_mas : its standard error, > 0. [mas]
    has_parallax : whether there is a parallax; if not, its value and error are not read.
    log_length_pc, alpha, beta : as in `log_distance_prior`.

    Returns
    -------
    Distances [pc] at the levels, and ln Z, the natural log of a density in 1/mas (0 without a parallax).
    """
    parallax_mas = jnp.where(has_parallax, parallax_mas, 0.0)
    error_mas = jnp.where(has_parallax, parallax_error_mas, 1.0)
    negative = parallax_mas < 0.0

    def log_density(log_distance_pc: Float[Array, " node"]) -> Float[Array, " node"]:
        """Evaluate the posterior density per log distance, without the factors that hold no distance."""
        distance_pc = jnp.exp(log_distance_pc)
        model_mas = PARALLAX_DISTANCE_MAS_PC / distance_pc
        prior = jax.vmap(log_distance_prior, (0, None, None, None))(distance_pc, log_length_pc, alpha, beta)
        # -z^2/2, minus its value at infinite distance where the parallax is negative: that value may be 1e5
        # and would leave no digits of the rest in float32.
        nearest = -0.5 * ((parallax_mas - model_mas) / error_mas) ** 2
        farthest = model_mas * (parallax_mas - 0.5 * model_mas) / error_mas**2
        parallax_term = jnp.where(has_parallax, jnp.where(negative, farthest, nearest), 0.0)
        return prior + log_distance_pc + parallax_term

    lower, upper = jnp.log(jnp.asarray(DISTANCE_GRID_PC))
    fraction = jnp.linspace(0.0, 1.0, N_GRID_NODES)
    for _ in range(N_GRIDS - 1):
        nodes = lower + (upper - lower) * fraction
        density = log_density(nodes)
        massive = density > jnp.max(density) - GRID_DROP
        first = jnp.argmax(massive)
        last = N_GRID_NODES - 1 - jnp.argmax(massive[::-1])
        # One node more at either end: the peak may lie between a node and its neighbour.
        lower = jax.lax.stop_gradient(nodes[jnp.maximum(first - 1, 0)])
        upper = jax.lax.stop_gradient(nodes[jnp.minimum(last + 1, N_GRID_NODES - 1)])

    step = (upper - lower) / (N_GRID_NODES - 1)
    density = log_density(lower + (upper - lower) * fraction)
    peak = jax.lax.stop_gradient(jnp.max(density))
    height = jnp.exp(density - peak)
    # The trapezium with its end correction from the slopes: fourth order in the step.
    slope = jnp.asarray(jnp.gradient(height))
    cell_mass = jnp.maximum(0.5 * (height[1:] + height[:-1]) - (slope[1:] - slope[:-1]) / 12.0, 0.0)
    mass = jnp.concatenate([jnp.zeros(1, height.dtype), jnp.cumsum(cell_mass)])
    cells = jax.vmap(_inverse_cdf, (0, None, None))(levels, height, mass)
    quantiles_pc = jnp.exp(lower + step * cells)

    constant = (
        -LOG_SQRT_2PI - jnp.log(error_mas) - jnp.where(negative, 0.5 * (parallax_mas / error_mas) ** 2, 0.0)
    )
    log_evidence = jnp.where(has_parallax, constant + peak + jnp.log(step * mass[-1]), 0.0)
    return DistancePosterior(quantiles_pc, log_evidence)  # EP7


def log_parallax_evidence(
    parallax_mas: ScalarLike,
    parallax_error_mas: ScalarLike,
    has_parallax: Bool[ArrayLike, ""],
    log_length_pc: ScalarLike,
    alpha: ScalarLike,
    beta: ScalarLike,
) -> Float[Array, ""]:
    r"""Compute the log evidence of the parallax, :math:`\ln \int p(\varpi \mid d)\,p(d)\,\mathrm{d}d`.

    Equation: EP7 (docs/explanation/model.md). Parameters as in `distance_posterior_quantiles`.

    Returns
    -------
    Natural log of a density in 1/mas; 0 without a parallax.
    """
    half = jnp.full(1, 0.5)
    return distance_posterior_quantiles(
        half, parallax_mas, parallax_error_mas, has_parallax, log_length_pc, alpha, beta
    ).log_evidence


def _inverse_cdf(
    level: Float[Array, ""], height: Float[Array, " node"], mass: Float[Array, " node"]
) -> Float[Array, ""]:
    """Return the place, in cells from the first node, where the area under a piecewise linear density reaches a level.

    ``mass`` is the area up to each node, in units of the cell's width.
    """
    target = level * mass[-1]
    cell = jnp.clip(jnp.searchsorted(mass, target, side="right", method="compare_all") - 1, 0, len(mass) - 2)
    left, right = height[cell], height[cell + 1]
    tiny = jnp.finfo(height.dtype).tiny
    fraction = (target - mass[cell]) / jnp.maximum(mass[cell + 1] - mass[cell], tiny)
    missing = jnp.clip(fraction, 0.0, 1.0) * 0.5 * (left + right)
    # Root of left x + (right - left) x^2 / 2 = missing, in the form that does not cancel.
    root = jnp.sqrt(jnp.maximum(left**2 + 2.0 * (right - left) * missing, tiny))
    return cell + jnp.clip(2.0 * missing / jnp.maximum(left + root, tiny), 0.0, 1.0)
