"""Importance draws of a star: distances, and true magnitudes."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.special import log_ndtr, ndtr, ndtri
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from redflower.constants import LOG_SQRT_2PI
from redflower.flow.conditional import PreparedFlow, leading_observed
from redflower.physics import (
    absolute_to_colour,
    colour_to_absolute,
    distance_modulus,
    flow_condition,
    log_distance_prior,
    log_parallax_likelihood,
    log_photometric_likelihood,
)
from redflower.train.loss.adapted import draw_adapted
from redflower.train.loss.estimator import Estimator
from redflower.train.loss.gaps import fill_gaps
from redflower.train.loss.training_star import POSTERIOR_SCORES, TrainingStar


def draw_from_posterior(
    data: TrainingStar, key: PRNGKeyArray, n_draws: int
) -> tuple[Float[Array, " imp"], Float[Array, " imp"]]:
    """Draw distances [pc] from p(d | parallax) by stratified inverse CDF; their log weights are all equal.

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
) -> tuple[Float[Array, " imp"], Float[Array, " imp"]]:
    """Draw distances [pc] from the Gaussian of appendix A, truncated to d > 0, with their log weights.

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


class LatentDraws(NamedTuple):
    """Importance draws of one star.

    Attributes
    ----------
    distance_pc : distances. [pc]
    x : colour-magnitude vectors. [mag]
    log_weight : ln of p(parallax | d) p(d) / q(d), and of what the proposals of missing bands leave.
    log_prior_weight : ln of p(d) / q(d) / q(magnitudes | d), for EA6.
    """

    distance_pc: Float[Array, " imp"]
    x: Float[Array, "imp band"]
    log_weight: Float[Array, " imp"]
    log_prior_weight: Float[Array, " imp"]


def draw_latents(
    flow: PreparedFlow,
    data: TrainingStar,
    key: PRNGKeyArray,
    estimator: Estimator,
    n_draws: int,
) -> LatentDraws:
    """Draw distances and true colour-magnitude vectors of one star. Equations: EA3, EA3b, EA3c (docs/explanation/model.md)."""
    star, n_bands = data.star, flow.n_bands
    distance_key, magnitude_key, gap_key = jax.random.split(key, 3)
    distance_pc, log_weight = PROPOSALS[estimator.proposal](data, distance_key, n_draws)
    limit_mag = estimator.prior_limit_mag
    if limit_mag is not None:
        log_weight = log_weight - jax.vmap(
            lambda d: flow.log_mass_below(
                limit_mag - distance_modulus(d), flow_condition(d, star.l_deg, star.b_deg)
            )
        )(distance_pc)  # E13b
    noise = jax.random.normal(magnitude_key, (n_draws, n_bands))
    error_mag = star.magnitude_error_mag[:n_bands]
    magnitude_mag = star.magnitude_mag[:n_bands] + noise * error_mag  # EA4
    x = jax.vmap(lambda m, d: absolute_to_colour(m - distance_modulus(d)))(magnitude_mag, distance_pc)
    log_parallax = jax.vmap(lambda d: log_parallax_likelihood(star.parallax_mas, star.parallax_error_mas, d))(
        distance_pc
    )
    log_proposal = -0.5 * noise**2 - LOG_SQRT_2PI - jnp.log(error_mag)
    used = star.observed[:n_bands] if estimator.integrate_gaps else leading_observed(star.observed[:n_bands])
    log_prior_weight = (
        log_weight
        - jnp.where(star.has_parallax, log_parallax, 0.0)
        - jnp.sum(jnp.where(used, log_proposal, 0.0), axis=1)
    )
    if estimator.magnitudes == "adapted" and not estimator.integrate_gaps:
        levels = jax.random.uniform(gap_key, (n_draws, n_bands))

        def adapt(g_mag: Array, d: Array, noise: Array, level: Array) -> tuple[Array, Array]:
            measured = absolute_to_colour(star.magnitude_mag[:n_bands].at[0].set(g_mag) - distance_modulus(d))
            condition = flow_condition(d, star.l_deg, star.b_deg)
            return draw_adapted(flow, measured, error_mag, used, condition, noise, level)

        x, log_ratio = jax.vmap(adapt)(magnitude_mag[:, 0], distance_pc, noise, levels)
        log_weight = log_weight + log_ratio
    if star.error_whitener is not None:
        log_weight = log_weight + jax.vmap(lambda x, d: log_correlated_share(data, used, x, d))(
            x, distance_pc
        )
    if estimator.integrate_gaps:
        levels = jax.random.uniform(gap_key, (n_draws, n_bands), minval=1e-6, maxval=1.0 - 1e-6)

        def fill(x: Float[Array, " band"], d: Array, level: Array) -> tuple[Array, Array]:
            condition = flow_condition(d, star.l_deg, star.b_deg)
            return fill_gaps(flow, x, star.observed[:n_bands], condition, level)

        x, log_mass = jax.vmap(fill)(x, distance_pc, levels)
        log_weight = log_weight + log_mass
    return LatentDraws(distance_pc=distance_pc, x=x, log_weight=log_weight, log_prior_weight=log_prior_weight)


def log_correlated_share(
    data: TrainingStar, used: Bool[Array, " band"], x: Float[Array, " band"], distance_pc: Float[Array, ""]
) -> Float[Array, ""]:
    """Return ln of a star's likelihood at true colours over that of independent errors, which the proposals draw from.

    Equation: E5b (docs/explanation/model.md).
    """
    star, n_bands = data.star, len(used)
    assert star.error_whitener is not None
    seen = colour_to_absolute(x) + distance_modulus(distance_pc)
    magnitude_mag, error_mag = star.magnitude_mag[:n_bands], star.magnitude_error_mag[:n_bands]
    whitener = star.error_whitener[:n_bands, :n_bands]
    correlated = log_photometric_likelihood(magnitude_mag, error_mag, used, seen, whitener)
    return correlated - log_photometric_likelihood(magnitude_mag, error_mag, used, seen)  # E5b
