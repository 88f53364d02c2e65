"""The marginal likelihood of one dust-free star, estimated by importance sampling.

For one star (docs/model.md, E23) the unknowns are its distance and its true magnitudes. Magnitudes are drawn
from their own likelihood, so that likelihood and proposal cancel exactly (EA4); distances come from one of two
proposals, and what is left of their weight is kept exactly (EA3).
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.scipy.special import log_ndtr, logsumexp, ndtr, ndtri
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from redflower.flow.conditional import LOG_SQRT_2PI, PreparedFlow
from redflower.physics import (
    absolute_to_colour,
    distance_modulus,
    flow_condition,
    log_distance_prior,
    log_parallax_likelihood,
    log_within_limits,
)
from redflower.star import Star

#: Levels of the tabulated quantiles of p(d | parallax), and of the prior p(d) for the normaliser.
N_POSTERIOR_NODES = 64
N_PRIOR_NODES = 32
TAIL_LEVEL = 1e-4
POSTERIOR_LEVELS = jnp.concatenate(
    [
        jnp.array([TAIL_LEVEL]),
        (jnp.arange(N_POSTERIOR_NODES) + 0.5) / N_POSTERIOR_NODES,
        jnp.array([1.0 - TAIL_LEVEL]),
    ]
)
PRIOR_LEVELS = (jnp.arange(N_PRIOR_NODES) + 0.5) / N_PRIOR_NODES


class TrainingStar(eqx.Module):
    """A star with what the estimator needs, computed once. A batch has a leading ``star`` axis.

    Attributes
    ----------
    star : the data.
    posterior_log_distance : ln of the quantiles of p(d | parallax) at `POSTERIOR_LEVELS`, d in pc.
    log_parallax_evidence : ln of the integral of p(parallax | d) p(d) over d.
    geometric_distance_pc, geometric_sigma_pc : centre and half of the central 68 % interval of p(d | parallax),
        for the Gaussian proposal of appendix A. [pc]
    prior_log_distance : ln of the quantiles of the prior p(d) at `PRIOR_LEVELS`, d in pc.
    """

    star: Star
    posterior_log_distance: Float[Array, "*star node"]
    log_parallax_evidence: Float[Array, "*star"]
    geometric_distance_pc: Float[Array, "*star"]
    geometric_sigma_pc: Float[Array, "*star"]
    prior_log_distance: Float[Array, "*star prior_node"]


def leading_observed(observed: Bool[Array, "band"]) -> Bool[Array, "band"]:
    """Which bands come before the first one that is missing: those whose marginal density is exact."""
    return jnp.cumprod(observed) > 0


def draw_from_posterior(
    data: TrainingStar, key: PRNGKeyArray, n_draws: int
) -> tuple[Float[Array, "imp"], Float[Array, "imp"]]:
    """Distances [pc] from p(d | parallax) by stratified inverse CDF, and their log weights, all equal.

    Equation: EA3 with q(d) proportional to p(parallax | d) p(d); nothing is left to vary.
    """
    level = (jnp.arange(n_draws) + jax.random.uniform(key, (n_draws,))) / n_draws
    log_distance = jnp.interp(level, POSTERIOR_LEVELS, data.posterior_log_distance)
    return jnp.exp(log_distance), jnp.full(n_draws, data.log_parallax_evidence)  # EA3, D10


def draw_from_gaussian(
    data: TrainingStar, key: PRNGKeyArray, n_draws: int
) -> tuple[Float[Array, "imp"], Float[Array, "imp"]]:
    """Distances [pc] from the Gaussian of appendix A, truncated to d > 0, and their log weights.

    Equation: EA3. Source: O'Callaghan et al. (2025), appendix A, which leaves out the weight (EA4, EA5).
    """
    star, centre, sigma = data.star, data.geometric_distance_pc, data.geometric_sigma_pc
    below = ndtr(-centre / sigma)
    level = below + (1.0 - below) * jax.random.uniform(key, (n_draws,), minval=1e-6, maxval=1.0 - 1e-6)
    score = ndtri(level)
    distance_pc = jnp.maximum(centre + sigma * score, 1e-3 * centre)
    log_proposal = -0.5 * score**2 - LOG_SQRT_2PI - jnp.log(sigma) - log_ndtr(centre / sigma)
    log_target = jax.vmap(
        lambda d: (
            jnp.where(
                star.has_parallax,
                log_parallax_likelihood(star.parallax_mas, star.parallax_error_mas, d),
                0.0,
            )
            + log_distance_prior(d, star.prior_log_length_pc, star.prior_alpha, star.prior_beta)
        )
    )(distance_pc)
    return distance_pc, log_target - log_proposal  # EA3, D10


PROPOSALS = {"posterior": draw_from_posterior, "gaussian": draw_from_gaussian}


def log_selected_fraction(
    flow: PreparedFlow, data: TrainingStar, g_bright_mag: float, g_faint_mag: float
) -> Float[Array, ""]:
    """ln of the share of all stars of this sightline that lie within the magnitude limits.

    Equation: E24 (docs/model.md), exact but for a quadrature over distance: the mass between the limits at each
    distance is a difference of two normal CDFs of the flow's first coordinate (E9b).
    """
    first = flow.leading(1)

    def log_mass(log_distance: Float[Array, ""]) -> Float[Array, ""]:
        distance_pc = jnp.exp(log_distance)
        mu = distance_modulus(distance_pc)
        condition = flow_condition(distance_pc, data.star.l_deg, data.star.b_deg)
        return first.log_mass_between(g_bright_mag - mu, g_faint_mag - mu, condition)

    log_masses = jax.vmap(log_mass)(data.prior_log_distance)
    return logsumexp(log_masses) - jnp.log(float(N_PRIOR_NODES))  # E24, D9


def log_evidence(
    flow: PreparedFlow,
    data: TrainingStar,
    key: PRNGKeyArray,
    *,
    n_draws: int,
    proposal: str,
    g_bright_mag: float,
    g_faint_mag: float,
) -> Float[Array, ""]:
    """Noisy estimate of ln p(magnitudes, parallax | position, flow, in the sample) of one dust-free star.

    Equation: E23 by EA3 (docs/model.md). Source: O'Callaghan et al. (2025), eqs 23-25 and appendix A.

    Parameters
    ----------
    flow : the flow, weights materialised.
    data : one star.
    key : random key of the draws.
    n_draws : K, the number of importance draws.
    proposal : ``posterior`` or ``gaussian``, a key of `PROPOSALS`.
    g_bright_mag, g_faint_mag : limits of the sample in apparent G. [mag]

    Returns
    -------
    The log of an unbiased estimate; the bands from the first missing one on are left out exactly.
    """
    star, n_bands = data.star, flow.n_bands
    distance_key, magnitude_key = jax.random.split(key)
    distances_pc, log_weights = PROPOSALS[proposal](data, distance_key, n_draws)
    noise = jax.random.normal(magnitude_key, (n_draws, n_bands))
    magnitudes_mag = star.magnitude_mag[:n_bands] + noise * star.magnitude_error_mag[:n_bands]  # EA4
    leading = leading_observed(star.observed[:n_bands])

    def log_term(distance_pc: Float[Array, ""], magnitude_mag: Float[Array, "band"]) -> Float[Array, ""]:
        x = absolute_to_colour(magnitude_mag - distance_modulus(distance_pc))
        terms = flow.log_prob_terms(x, flow_condition(distance_pc, star.l_deg, star.b_deg))
        within = log_within_limits(magnitude_mag[0], g_bright_mag, g_faint_mag)
        return jnp.sum(jnp.where(leading, terms, 0.0)) + within

    log_terms = jax.vmap(log_term)(distances_pc, magnitudes_mag) + log_weights
    log_integral = logsumexp(log_terms) - jnp.log(float(n_draws))  # E23, EA5
    return log_integral - log_selected_fraction(flow, data, g_bright_mag, g_faint_mag)
