"""The share of all stars of a sightline that is in the training sample: what the evidence is divided by."""

import jax
import jax.numpy as jnp
from jax.scipy.special import log_ndtr, logsumexp
from jaxtyping import Array, Float

from redflower.flow.conditional import PreparedFlow
from redflower.flow.sample_share import log_sample_share
from redflower.physics import SelectionFunction
from redflower.physics.likelihoods import PARALLAX_DISTANCE_MAS_PC
from redflower.train.loss.proposals import LatentDraws
from redflower.train.loss.training_star import TrainingStar


def log_parallax_pass(data: TrainingStar, distance_pc: Float[Array, ""]) -> Float[Array, ""]:
    """Return ln of the probability that a star at this distance, measured with this star's error, passes the parallax cut.

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
    """Compute ln of the share of this sightline's stars that lie within the magnitude limits and are selected.

    Equation: E24, E24b (docs/explanation/model.md). See `redflower.flow.sample_share.log_sample_share`.
    """
    return log_sample_share(
        flow, data.star, data.prior_log_range, g_bright_mag, g_faint_mag, selection, prior_limit_mag,
        log_pass=lambda distance_pc: log_parallax_pass(data, distance_pc),
    )  # fmt: skip


def log_selected_by_draws(
    data: TrainingStar,
    log_density: Float[Array, " imp"],
    log_within: Float[Array, " imp"],
    draws: LatentDraws,
) -> Float[Array, ""]:
    """Estimate ln of the normaliser as in the paper, from the draws of the numerator.

    Equation: EA6 (docs/explanation/model.md). For comparison: where the errors are small against the population, which they
    are, its draws miss nearly all of the integral.
    """
    log_pass = jax.vmap(lambda d: log_parallax_pass(data, d))(draws.distance_pc)
    log_terms = log_density + log_within + log_pass + draws.log_prior_weight
    return logsumexp(log_terms) - jnp.log(float(len(log_terms)))  # EA6
