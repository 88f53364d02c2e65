"""The marginal likelihood of one dust-free star, estimated by importance sampling.

For one star (docs/model.md, E23) the unknowns are its distance and its true magnitudes. Magnitudes are drawn
from their own likelihood, so that likelihood and proposal cancel exactly (EA4); distances come from one of two
proposals, and what is left of their weight is kept exactly (EA3). Bands that are missing before the last observed
one come from the flow itself (EA3b).
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import log_ndtr, logsumexp, ndtr, ndtri
from jaxtyping import Array, Float, PRNGKeyArray
from scipy import special

from redflower.bands import RP
from redflower.flow.conditional import LOG_SQRT_2PI, PreparedFlow, log_normal_mass
from redflower.physics import (
    SelectionFunction,
    absolute_to_colour,
    distance_modulus,
    flow_condition,
    log_distance_prior,
    log_mean_selection,
    log_parallax_likelihood,
    log_selection,
    log_within_limits,
)
from redflower.physics.likelihoods import PARALLAX_DISTANCE_MAS_PC
from redflower.star import Star
from redflower.train.loss.adapted import draw_adapted
from redflower.train.loss.gaps import fill_gaps, needed_bands
from redflower.train.loss.gaps import leading_observed as leading_observed

#: Quantiles of p(d | parallax) are tabulated where a normal distribution has them, out to 4.5 deviations: ln d as a function of
#: the normal score is nearly a straight line, in the tails too.
N_POSTERIOR_NODES = 66
# Plain arrays, for an import starts no device: JAX may have been asked for one that is not there.
POSTERIOR_SCORES = np.linspace(-4.5, 4.5, N_POSTERIOR_NODES, dtype=np.float32)
POSTERIOR_LEVELS = special.ndtr(POSTERIOR_SCORES.astype(float)).astype(np.float32)
#: Distances of the normaliser, and the levels of the prior p(d) between which they lie. Stars of M_G = 16 are seen to 40 pc,
#: nearer than all but 1e-5 of the prior.
N_PRIOR_NODES = 48
PRIOR_ENDS = np.array([1e-6, 1.0 - 1e-6], dtype=np.float32)
#: The lower limit of parallax that stands for none. [mas]
NO_PARALLAX_CUT_MAS = -1e6
#: Intervals of apparent G over which a selection function counts as constant in the normaliser. [mag]
SELECTION_STEP_MAG = 0.25


class TrainingStar(eqx.Module):
    """A star with what the estimator needs, computed once. A batch has a leading ``star`` axis.

    Attributes
    ----------
    star : the data.
    posterior_log_distance : ln of the quantiles of p(d | parallax) at `POSTERIOR_LEVELS`, d in pc.
    log_parallax_evidence : ln of the integral of p(parallax | d) p(d) over d.
    geometric_distance_pc, geometric_sigma_pc : centre and half of the central 68 % interval of p(d | parallax),
        for the Gaussian proposal of appendix A. [pc]
    prior_log_range : ln of the quantiles of the prior p(d) at `PRIOR_ENDS`, d in pc.
    parallax_min_mas : the parallax above which alone a star came into the sample; `NO_PARALLAX_CUT_MAS` without. [mas]
    """

    star: Star
    posterior_log_distance: Float[Array, "*star node"]
    log_parallax_evidence: Float[Array, "*star"]
    geometric_distance_pc: Float[Array, "*star"]
    geometric_sigma_pc: Float[Array, "*star"]
    prior_log_range: Float[Array, "*star 2"]
    parallax_min_mas: Float[Array, "*star"]


def draw_from_posterior(
    data: TrainingStar, key: PRNGKeyArray, n_draws: int
) -> tuple[Float[Array, "imp"], Float[Array, "imp"]]:
    """Distances [pc] from p(d | parallax) by stratified inverse CDF, and their log weights, all equal.

    Equation: EA3 with q(d) proportional to p(parallax | d) p(d); nothing is left to vary.
    """
    level = (jnp.arange(n_draws) + jax.random.uniform(key, (n_draws,))) / n_draws
    score = ndtri(jnp.clip(level, 1e-7, 1.0 - 1e-7))
    log_distance = jnp.interp(
        score, POSTERIOR_SCORES, data.posterior_log_distance, left="extrapolate", right="extrapolate"
    )
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


def prior_nodes(data: TrainingStar) -> tuple[Float[Array, "node"], Float[Array, "node"]]:
    """ln of the normaliser's distances, d in pc, uniform in ln d, and ln of their weights p(d) d, which add up to one.

    Each star's nodes are shifted by a share of their spacing of its own. At one star's, all stars fainter than the limit at
    a node and brighter than that at the next count alike; the flow learns from many stars, for which they fill the gaps.

    Equation: E24, D9 (docs/model.md).
    """
    star, (low, high) = data.star, data.prior_log_range
    log_distance = low + (jnp.arange(N_PRIOR_NODES) + _shift_of(star)) * (high - low) / N_PRIOR_NODES
    log_prior = jax.vmap(log_distance_prior, (0, None, None, None))(
        jnp.exp(log_distance), star.prior_log_length_pc, star.prior_alpha, star.prior_beta
    )
    return log_distance, jax.nn.log_softmax(log_prior + log_distance)  # D9


def _shift_of(star: Star) -> Float[Array, ""]:
    """A number from 0 to 1 by the digits of the star's position, so that it depends on nothing else."""
    l_bits, b_bits = (
        jax.lax.bitcast_convert_type(jnp.asarray(a, jnp.float32), jnp.uint32)
        for a in (star.l_deg, star.b_deg)
    )
    # Knuth's multiplicative hash, twice.
    mixed = (l_bits * jnp.uint32(2654435769)) ^ (b_bits >> 3)
    mixed = (mixed ^ (mixed >> 15)) * jnp.uint32(2246822519)
    return (mixed >> 8).astype(jnp.float32) / 2.0**24


def log_parallax_pass(data: TrainingStar, distance_pc: Float[Array, ""]) -> Float[Array, ""]:
    """ln of the probability that a star at this distance, measured with this star's error, passes the cut on parallax.

    Equation: E24b (docs/model.md).
    """
    margin_mas = PARALLAX_DISTANCE_MAS_PC / distance_pc - data.parallax_min_mas
    return log_ndtr(margin_mas / data.star.parallax_error_mas)  # E24b


def log_selected_fraction(
    flow: PreparedFlow,
    data: TrainingStar,
    g_bright_mag: float,
    g_faint_mag: float,
    selection: SelectionFunction | None = None,
) -> Float[Array, ""]:
    """ln of the share of all stars of this sightline that lie within the magnitude limits and are selected.

    Equation: E24 (docs/model.md), exact but for a quadrature over distance: the mass between the limits at each
    distance is a difference of two normal CDFs of the flow's first coordinate (E9b). With a selection function it is a
    sum of such masses over narrow intervals of apparent G, each times the selection at its middle (E12b). A cut on
    parallax, if the sample has one, is a factor of every distance (E24b).
    """
    first = flow.leading(1)
    if selection is None:
        edges_mag = jnp.array([g_bright_mag, g_faint_mag])
        log_selected = jnp.zeros(1)
    else:
        n = max(1, round((g_faint_mag - g_bright_mag) / SELECTION_STEP_MAG))
        edges_mag = jnp.linspace(g_bright_mag, g_faint_mag, n + 1)
        middles_mag = 0.5 * (edges_mag[1:] + edges_mag[:-1])
        log_selected = jax.vmap(lambda g: log_mean_selection(selection, data.star.selection_pixel, g))(
            middles_mag
        )

    def log_mass(log_distance: Float[Array, ""]) -> Float[Array, ""]:
        distance_pc = jnp.exp(log_distance)
        mu = distance_modulus(distance_pc)
        condition = flow_condition(distance_pc, data.star.l_deg, data.star.b_deg)
        u = jax.vmap(lambda g: first.forward((g - mu)[None], condition)[0][0])(edges_mag)
        return logsumexp(log_normal_mass(u[:-1], u[1:]) + log_selected) + log_parallax_pass(
            data, distance_pc
        )  # E9b

    log_distance, log_weight = prior_nodes(data)
    return logsumexp(jax.vmap(log_mass)(log_distance) + log_weight)  # E24, D9


class Draws(NamedTuple):
    """Importance draws of one star.

    Attributes
    ----------
    distance_pc : distances. [pc]
    x : colour-magnitude vectors. [mag]
    log_weight : ln of p(parallax | d) p(d) / q(d), and of what the proposals of missing bands leave.
    log_prior_weight : ln of p(d) / q(d) / q(magnitudes | d), for EA6.
    """

    distance_pc: Float[Array, "imp"]
    x: Float[Array, "imp band"]
    log_weight: Float[Array, "imp"]
    log_prior_weight: Float[Array, "imp"]


def draw_latents(
    flow: PreparedFlow,
    data: TrainingStar,
    key: PRNGKeyArray,
    *,
    n_draws: int,
    proposal: str,
    integrate_gaps: bool,
    magnitudes: str = "likelihood",
) -> Draws:
    """Distances and true colour-magnitude vectors of one star from their proposals. Equations: EA3, EA3b, EA3c."""
    star, n_bands = data.star, flow.n_bands
    distance_key, magnitude_key, gap_key = jax.random.split(key, 3)
    distance_pc, log_weight = PROPOSALS[proposal](data, distance_key, n_draws)
    noise = jax.random.normal(magnitude_key, (n_draws, n_bands))
    error_mag = star.magnitude_error_mag[:n_bands]
    magnitude_mag = star.magnitude_mag[:n_bands] + noise * error_mag  # EA4
    x = jax.vmap(lambda m, d: absolute_to_colour(m - distance_modulus(d)))(magnitude_mag, distance_pc)
    log_parallax = jax.vmap(lambda d: log_parallax_likelihood(star.parallax_mas, star.parallax_error_mas, d))(
        distance_pc
    )
    log_proposal = -0.5 * noise**2 - LOG_SQRT_2PI - jnp.log(error_mag)
    used = star.observed[:n_bands] if integrate_gaps else leading_observed(star.observed[:n_bands])
    log_prior_weight = (
        log_weight
        - jnp.where(star.has_parallax, log_parallax, 0.0)
        - jnp.sum(jnp.where(used, log_proposal, 0.0), axis=1)
    )
    if magnitudes == "adapted" and not integrate_gaps:
        levels = jax.random.uniform(gap_key, (n_draws, n_bands))

        def adapt(g_mag: Array, d: Array, noise: Array, level: Array) -> tuple[Array, Array]:
            measured = absolute_to_colour(star.magnitude_mag[:n_bands].at[0].set(g_mag) - distance_modulus(d))
            condition = flow_condition(d, star.l_deg, star.b_deg)
            return draw_adapted(flow, measured, error_mag, used, condition, noise, level)

        x, log_ratio = jax.vmap(adapt)(magnitude_mag[:, 0], distance_pc, noise, levels)
        log_weight = log_weight + log_ratio
    if integrate_gaps:
        levels = jax.random.uniform(gap_key, (n_draws, n_bands), minval=1e-6, maxval=1.0 - 1e-6)

        def fill(x: Float[Array, "band"], d: Array, level: Array) -> tuple[Array, Array]:
            condition = flow_condition(d, star.l_deg, star.b_deg)
            return fill_gaps(flow, x, star.observed[:n_bands], condition, level)

        x, log_mass = jax.vmap(fill)(x, distance_pc, levels)
        log_weight = log_weight + log_mass
    return Draws(distance_pc, x, log_weight, log_prior_weight)


def log_flow_density(
    flow: PreparedFlow, data: TrainingStar, draws: Draws, *, integrate_gaps: bool
) -> Float[Array, "imp"]:
    """ln p(x | R, Z) of every draw, over the coordinates that count; missing ones over their proposal.

    Equation: E8, EA3b (docs/model.md).
    """
    star, n_bands = data.star, flow.n_bands
    observed = star.observed[:n_bands]
    needed = needed_bands(observed) if integrate_gaps else leading_observed(observed)

    def one(x: Float[Array, "band"], distance_pc: Float[Array, ""]) -> Float[Array, ""]:
        terms = flow.log_prob_terms(x, flow_condition(distance_pc, star.l_deg, star.b_deg))
        # A missing coordinate was drawn from this very density: its ratio to it is 1, but has a gradient.
        terms = jnp.where(observed, terms, terms - jax.lax.stop_gradient(terms))
        return jnp.sum(jnp.where(needed, terms, 0.0))

    return jax.vmap(one)(draws.x, draws.distance_pc)  # E8, EA3b


def log_selected_by_draws(
    data: TrainingStar, log_density: Float[Array, "imp"], log_within: Float[Array, "imp"], draws: Draws
) -> Float[Array, ""]:
    """ln of the normaliser as the paper estimates it, from the draws of the numerator.

    Equation: EA6 (docs/model.md). For comparison: where the errors are small against the population, which they
    are, its draws miss nearly all of the integral.
    """
    log_pass = jax.vmap(lambda d: log_parallax_pass(data, d))(draws.distance_pc)
    log_terms = log_density + log_within + log_pass + draws.log_prior_weight
    return logsumexp(log_terms) - jnp.log(float(len(log_terms)))  # EA6


def log_evidence(
    flow: PreparedFlow,
    data: TrainingStar,
    key: PRNGKeyArray,
    *,
    n_draws: int,
    proposal: str,
    g_bright_mag: float,
    g_faint_mag: float,
    normaliser: str = "exact",
    selection: SelectionFunction | None = None,
    integrate_gaps: bool = True,
    magnitudes: str = "likelihood",
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
    selection : the sample's selection function (E12); 1 everywhere without it.
    normaliser : ``exact`` (E24), ``same_draws`` (EA6) or ``none``.
    integrate_gaps : whether bands that are missing before the last observed one are integrated over; otherwise
        everything from the first missing band on is left out. The same for a star without such gaps, but dearer.
    magnitudes : ``likelihood`` (the paper's) or ``adapted`` (EA3c), how true magnitudes are drawn; stars with gaps
        always take the first.

    Returns
    -------
    The log of an estimate that is unbiased before the logarithm; bands after the last one are left out exactly.
    """
    draws = draw_latents(
        flow,
        data,
        key,
        n_draws=n_draws,
        proposal=proposal,
        integrate_gaps=integrate_gaps,
        magnitudes=magnitudes,
    )
    log_density = log_flow_density(flow, data, draws, integrate_gaps=integrate_gaps)
    apparent_g_mag = draws.x[:, 0] + jax.vmap(distance_modulus)(draws.distance_pc)
    log_within = jax.vmap(lambda g: log_within_limits(g, g_bright_mag, g_faint_mag))(apparent_g_mag)
    if selection is not None:
        log_within = log_within + jax.vmap(
            lambda g, x: log_selection(selection, data.star.selection_pixel, g, -x[RP])
        )(apparent_g_mag, draws.x)  # E12
    log_terms = log_density + log_within + draws.log_weight
    log_integral = logsumexp(log_terms) - jnp.log(float(n_draws))  # E23, EA5
    if normaliser == "exact":
        return log_integral - log_selected_fraction(flow, data, g_bright_mag, g_faint_mag, selection)
    if normaliser == "same_draws":
        return log_integral - log_selected_by_draws(data, log_density, log_within, draws)
    return log_integral
