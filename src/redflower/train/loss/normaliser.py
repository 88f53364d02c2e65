"""The share of all stars of a sightline that is in the sample: what the evidence is divided by."""

import jax
import jax.numpy as jnp
from jax.scipy.special import log_ndtr, logsumexp
from jaxtyping import Array, Float

from redflower.flow.conditional import PreparedFlow, log_normal_mass
from redflower.physics import (
    SelectionFunction,
    distance_modulus,
    flow_condition,
    log_distance_prior,
    log_mean_selection,
)
from redflower.physics.likelihoods import PARALLAX_DISTANCE_MAS_PC
from redflower.star import Star
from redflower.train.loss.proposals import Draws
from redflower.train.loss.training_star import N_PRIOR_NODES, TrainingStar

#: Intervals of apparent G over which a selection function counts as constant in the normaliser. [mag]
SELECTION_STEP_MAG = 0.25


def prior_nodes(data: TrainingStar) -> tuple[Float[Array, " node"], Float[Array, " node"]]:
    """ln of the normaliser's distances, d in pc, uniform in ln d, and ln of their weights p(d) d, which add up to one.

    Each star's nodes are shifted by a share of their spacing of its own. At one star's, all stars fainter than the limit at
    a node and brighter than that at the next count alike; the flow learns from many stars, for which they fill the gaps.

    Equation: E24, D9 (docs/explanation/model.md).
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

    Equation: E24b (docs/explanation/model.md).
    """
    margin_mas = PARALLAX_DISTANCE_MAS_PC / distance_pc - data.parallax_min_mas
    return log_ndtr(margin_mas / data.star.parallax_error_mas)  # E24b


def log_selected_fraction(
    flow: PreparedFlow,
    data: TrainingStar,
    g_bright_mag: float,
    g_faint_mag: float,
    selection: SelectionFunction | None = None,
    prior_limit_mag: float | None = None,
) -> Float[Array, ""]:
    """ln of the share of all stars of this sightline that lie within the magnitude limits and are selected.

    Equation: E24 (docs/explanation/model.md), exact but for a quadrature over distance: the mass between the limits at each
    distance is a difference of two normal CDFs of the flow's first coordinate (E9b). With a selection function it is a
    sum of such masses over narrow intervals of apparent G, each times the selection at its middle (E12b). A cut on
    parallax, if the sample has one, is a factor of every distance (E24b). If the prior is that of the stars to a limit in
    G, the share is of those, and may be above 1 (E13b).
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
        log_share = logsumexp(log_normal_mass(u[:-1], u[1:]) + log_selected)  # E9b
        if prior_limit_mag is not None:
            log_share = log_share - first.log_mass_below(prior_limit_mag - mu, condition)  # E13b
        return log_share + log_parallax_pass(data, distance_pc)

    log_distance, log_weight = prior_nodes(data)
    return logsumexp(jax.vmap(log_mass)(log_distance) + log_weight)  # E24, D9


def log_selected_by_draws(
    data: TrainingStar, log_density: Float[Array, " imp"], log_within: Float[Array, " imp"], draws: Draws
) -> Float[Array, ""]:
    """ln of the normaliser as the paper estimates it, from the draws of the numerator.

    Equation: EA6 (docs/explanation/model.md). For comparison: where the errors are small against the population, which they
    are, its draws miss nearly all of the integral.
    """
    log_pass = jax.vmap(lambda d: log_parallax_pass(data, d))(draws.distance_pc)
    log_terms = log_density + log_within + log_pass + draws.log_prior_weight
    return logsumexp(log_terms) - jnp.log(float(len(log_terms)))  # EA6
