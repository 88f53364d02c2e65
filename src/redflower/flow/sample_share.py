"""The share of all stars of a line of sight that is in the sample: the normaliser of a star's evidence."""

from collections.abc import Callable
from typing import Final

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import logsumexp
from jaxtyping import Array, Float

from redflower.flow.conditional import PreparedFlow, log_normal_mass
from redflower.physics import (
    SelectionFunction,
    distance_modulus,
    flow_condition,
    log_distance_prior,
    log_mean_selection,
)
from redflower.star import Star

#: Distances of the normaliser, and the levels of the prior p(d) between which they lie. Stars of M_G = 16 are seen to 40 pc,
#: nearer than all but 1e-5 of the prior.
N_PRIOR_NODES: Final = 48
PRIOR_ENDS: Final = np.array([1e-6, 1.0 - 1e-6], dtype=np.float32)
#: Intervals of apparent G over which a selection function counts as constant in the normaliser. [mag]
SELECTION_STEP_MAG = 0.25


def prior_nodes(
    star: Star, prior_log_range: Float[Array, " 2"]
) -> tuple[Float[Array, " node"], Float[Array, " node"]]:
    """Return ln of the normaliser's distances, d in pc, uniform in ln d, and ln of their weights p(d) d, which add up to one.

    Each star's nodes are shifted by a share of their spacing of its own. At one star's, all stars fainter than the limit at
    a node and brighter than that at the next count alike; the flow learns from many stars, for which they fill the gaps.

    Equation: E24, D9 (docs/explanation/model.md).

    Parameters
    ----------
    star : with its distance prior.
    prior_log_range : ln of the quantiles of that prior at `PRIOR_ENDS`, d in pc.
    """
    low, high = prior_log_range
    log_distance = low + (jnp.arange(N_PRIOR_NODES) + _shift_of(star)) * (high - low) / N_PRIOR_NODES
    log_prior = jax.vmap(log_distance_prior, (0, None, None, None))(
        jnp.exp(log_distance), star.prior_log_length_pc, star.prior_alpha, star.prior_beta
    )
    return log_distance, jax.nn.log_softmax(log_prior + log_distance)  # D9


def _shift_of(star: Star) -> Float[Array, ""]:
    """Return a number from 0 to 1 from the digits of the star's position, so that it depends on nothing else."""
    l_bits, b_bits = (
        jax.lax.bitcast_convert_type(jnp.asarray(a, jnp.float32), jnp.uint32)
        for a in (star.l_deg, star.b_deg)
    )
    # Knuth's multiplicative hash, twice.
    mixed = (l_bits * jnp.uint32(2654435769)) ^ (b_bits >> 3)
    mixed = (mixed ^ (mixed >> 15)) * jnp.uint32(2246822519)
    return (mixed >> 8).astype(jnp.float32) / 2.0**24


def log_sample_share(
    flow: PreparedFlow,
    star: Star,
    prior_log_range: Float[Array, " 2"],
    g_bright_mag: float,
    g_faint_mag: float,
    selection: SelectionFunction | None = None,
    prior_limit_mag: float | None = None,
    *,
    log_pass: Callable[[Float[Array, ""]], Float[Array, ""]] | None = None,
) -> Float[Array, ""]:
    """Return ln of the share of all stars of a star's line of sight that lie within the magnitude limits and are selected.

    Equation: E24 (docs/explanation/model.md), exact but for a quadrature over distance: the mass between the limits at each
    distance is a difference of two normal CDFs of the flow's first coordinate (E9b). With a selection function it is a
    sum of such masses over narrow intervals of apparent G, each times the selection at its middle (E12b). If the prior is that of
    the stars to a limit in G, the share is of those, and may be above 1 (E13b).

    Parameters
    ----------
    flow : the flow, weights materialised.
    star : with its position and distance prior; its magnitudes are not looked at.
    prior_log_range : as for `prior_nodes`.
    g_bright_mag, g_faint_mag : limits of the sample in apparent G. [mag]
    selection : the sample's selection function. If None, 1 everywhere.
    prior_limit_mag : limit in G of the stars whose distances the prior gives. If None, it is of all stars. [mag]
    log_pass : ln of the share of the stars at a distance [pc] that a further cut lets pass (E24b). If None, all of them.
    """
    first = flow.leading(1)
    if selection is None:
        edges_mag = jnp.array([g_bright_mag, g_faint_mag])
        log_selected = jnp.zeros(1)
    else:
        n = max(1, round((g_faint_mag - g_bright_mag) / SELECTION_STEP_MAG))
        edges_mag = jnp.linspace(g_bright_mag, g_faint_mag, n + 1)
        middles_mag = 0.5 * (edges_mag[1:] + edges_mag[:-1])
        log_selected = jax.vmap(lambda g: log_mean_selection(selection, star.selection_pixel, g))(middles_mag)

    def log_mass(log_distance: Float[Array, ""]) -> Float[Array, ""]:
        distance_pc = jnp.exp(log_distance)
        mu = distance_modulus(distance_pc)
        condition = flow_condition(distance_pc, star.l_deg, star.b_deg)
        u = jax.vmap(lambda g: first.forward((g - mu)[None], condition)[0][0])(edges_mag)
        log_share = logsumexp(log_normal_mass(u[:-1], u[1:]) + log_selected)  # E9b
        if prior_limit_mag is not None:
            log_share = log_share - first.log_mass_below(prior_limit_mag - mu, condition)  # E13b
        return log_share if log_pass is None else log_share + log_pass(distance_pc)

    log_distance, log_weight = prior_nodes(star, prior_log_range)
    return logsumexp(jax.vmap(log_mass)(log_distance) + log_weight)  # E24, D9
