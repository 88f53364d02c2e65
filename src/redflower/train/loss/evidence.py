"""The marginal likelihood of one dust-free star, estimated by importance sampling.

For one star (docs/explanation/model.md, E23) the unknowns are its distance and its true magnitudes. Magnitudes are drawn
from their own likelihood, so that likelihood and proposal cancel exactly (EA4); distances come from one of two
proposals, and what is left of their weight is kept exactly (EA3). Bands that are missing before the last observed
one come from the flow itself (EA3b).
"""

import jax
import jax.numpy as jnp
from jax.scipy.special import logsumexp
from jaxtyping import Array, Float, PRNGKeyArray

from redflower.bands import RP
from redflower.flow.conditional import PreparedFlow, leading_observed, needed_bands
from redflower.physics import (
    distance_modulus,
    flow_condition,
    log_selection,
    log_within_limits,
)
from redflower.train.loss.estimator import Estimator
from redflower.train.loss.normaliser import log_selected_by_draws, log_selected_fraction
from redflower.train.loss.proposals import LatentDraws, draw_latents
from redflower.train.loss.training_star import TrainingStar


def log_flow_density(
    flow: PreparedFlow, data: TrainingStar, draws: LatentDraws, *, integrate_gaps: bool
) -> Float[Array, " imp"]:
    """Evaluate ln p(x | R, Z) of every draw, over the coordinates that count; missing ones over their proposal.

    Equation: E8, EA3b (docs/explanation/model.md).
    """
    star, n_bands = data.star, flow.n_bands
    observed = star.observed[:n_bands]
    needed = needed_bands(observed) if integrate_gaps else leading_observed(observed)

    def one(x: Float[Array, " band"], distance_pc: Float[Array, ""]) -> Float[Array, ""]:
        terms = flow.log_prob_terms(x, flow_condition(distance_pc, star.l_deg, star.b_deg))
        # A missing coordinate was drawn from this very density: its ratio to it is 1, but has a gradient.
        terms = jnp.where(observed, terms, terms - jax.lax.stop_gradient(terms))
        return jnp.sum(jnp.where(needed, terms, 0.0))

    return jax.vmap(one)(draws.x, draws.distance_pc)  # E8, EA3b


def log_evidence(
    flow: PreparedFlow, data: TrainingStar, key: PRNGKeyArray, estimator: Estimator, n_draws: int
) -> Float[Array, ""]:
    """Estimate ln p(magnitudes, parallax | position, flow, in the sample) of one dust-free star, with noise.

    Equation: E23 by EA3 (docs/explanation/model.md). Source: O'Callaghan et al. (2025), eqs 23-25 and appendix A.

    Parameters
    ----------
    flow : the flow, weights materialised.
    data : one star.
    key : random key of the draws.
    estimator : how it is estimated.
    n_draws : K, the number of importance draws.

    Returns
    -------
    The log of an estimate that is unbiased before the logarithm; bands after the last one are left out exactly.
    """
    limits = estimator.g_bright_mag, estimator.g_faint_mag
    draws = draw_latents(flow, data, key, estimator, n_draws)
    log_density = log_flow_density(flow, data, draws, integrate_gaps=estimator.integrate_gaps)
    apparent_g_mag = draws.x[:, 0] + jax.vmap(distance_modulus)(draws.distance_pc)
    log_within = jax.vmap(lambda g: log_within_limits(g, *limits))(apparent_g_mag)
    selection = estimator.selection
    if selection is not None:
        log_within = log_within + jax.vmap(
            lambda g, x: log_selection(selection, data.star.selection_pixel, g, -x[RP])
        )(apparent_g_mag, draws.x)  # E12
    log_terms = log_density + log_within + draws.log_weight
    log_integral = logsumexp(log_terms) - jnp.log(float(n_draws))  # E23, EA5
    if estimator.normaliser == "exact":
        return log_integral - log_selected_fraction(
            flow, data, *limits, selection, prior_limit_mag=estimator.prior_limit_mag
        )
    if estimator.normaliser == "same_draws":
        return log_integral - log_selected_by_draws(data, log_density, log_within, draws)
    return log_integral
