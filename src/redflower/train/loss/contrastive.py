"""The contrastive term: reddened copies of the training stars, to which the flow is to give a low density.

For one star and one reddening (docs/explanation/model.md, E21) the copy has A = R(E, C) E added to every band, with C the star's
own observed BP-RP, which is intrinsic here because training stars have no dust. Its marginal likelihood is that
of a star without dust, with the log density of the flow never counted below `ContrastConfig.floor`.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.scipy.special import logsumexp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from redflower.bands import BP, RP, G
from redflower.flow.conditional import PreparedFlow
from redflower.physics import ExtinctionLaw, extinction_mag
from redflower.star import Star
from redflower.train.config import ContrastConfig
from redflower.train.loss.estimator import Estimator
from redflower.train.loss.evidence import log_flow_density
from redflower.train.loss.proposals import draw_latents
from redflower.train.loss.training_star import TrainingStar


def redden_star(law: ExtinctionLaw, star: Star, ebv_mag: Float[Array, ""]) -> Star:
    """Put the star behind dust: add A(E, C) to every band, with C its own BP-RP. Equation: E21 (docs/explanation/model.md)."""
    bp_rp_mag = star.magnitude_mag[BP] - star.magnitude_mag[RP]
    shifted = star.magnitude_mag + extinction_mag(law, ebv_mag, bp_rp_mag)  # E21
    return eqx.tree_at(lambda s: s.magnitude_mag, star, shifted)


def log_contrast(
    flow: PreparedFlow,
    data: TrainingStar,
    key: PRNGKeyArray,
    estimator: Estimator,
    *,
    law: ExtinctionLaw,
    config: ContrastConfig,
    n_draws: int,
) -> tuple[Float[Array, ""], Bool[Array, ""]]:
    """Evaluate ln C_s without its normaliser, the mean over `config.negatives` reddened copies of one star.

    Equations: E20, E21 (docs/explanation/model.md). The normaliser of E21 is that of the star itself, which the caller has.

    Parameters
    ----------
    flow, data, key : as in `redflower.train.loss.evidence.log_evidence`.
    estimator : how the evidence of a copy is estimated. A copy that the dust dims out of the limits of the sample is not
        in it for any flow, and counts as a density at the floor.
    law : the extinction law.
    config : how many copies, the range of their reddening, the floor.
    n_draws : importance draws of each copy.

    Returns
    -------
    The mean log, and whether the star has the two bands that its colour needs; without them the mean is 0.
    """
    possible = data.star.observed[BP] & data.star.observed[RP]

    def one(key: PRNGKeyArray) -> Float[Array, ""]:
        ebv_key, draw_key = jax.random.split(key)
        ebv_mag = jax.random.uniform(ebv_key, (), minval=config.ebv_min_mag, maxval=config.ebv_max_mag)
        copy = eqx.tree_at(lambda d: d.star, data, redden_star(law, data.star, ebv_mag))
        draws = draw_latents(flow, copy, draw_key, estimator, n_draws)
        log_density = log_flow_density(flow, copy, draws, integrate_gaps=estimator.integrate_gaps)
        g_mag = copy.star.magnitude_mag[G]
        inside = (g_mag > estimator.g_bright_mag) & (g_mag < estimator.g_faint_mag)
        clipped = jnp.where(inside, jnp.maximum(log_density, config.floor), config.floor)  # E21
        return logsumexp(clipped + draws.log_weight) - jnp.log(float(n_draws))

    logs = jax.vmap(one)(jax.random.split(key, config.negatives))
    return jnp.where(possible, jnp.mean(logs), 0.0), possible  # E20, E21


def contrast_strength(config: ContrastConfig, steps_done: float) -> float:
    """Return lambda after a number of rising epochs: zero during the first `start_epochs`, then linear to its end.

    Equation: E22 (docs/explanation/model.md).
    """
    return config.strength * min(max(steps_done - config.start_epochs, 0.0) / config.ramp_epochs, 1.0)  # E22


def next_contrast_steps(config: ContrastConfig, steps: float, evidence: float, highest: float) -> float:
    """Return the steps of lambda's rise after an epoch: one more, or one back if the held-out evidence has worsened.

    Parameters
    ----------
    config : the schedule and what counts as worse.
    steps : the steps so far.
    evidence : held-out ln evidence per star after this epoch.
    highest : the highest before it.
    """
    if evidence < highest - config.tolerance:
        return max(steps - 1.0, 0.0)
    return min(steps + 1.0, float(config.start_epochs + config.ramp_epochs))  # E22
