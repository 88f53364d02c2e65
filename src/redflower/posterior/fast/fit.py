"""How well a star fits the model: pivotal residuals, and the pull of every band's zero point.

Both come from a few draws of the star's quadrature. If data are the model's own, a posterior draw of (E, distance) and the
data have the joint law of the true (E, distance) and the data. So what is exactly standard normal at the truth is so at one
posterior draw, although the draw has seen the data: the residual of each band given the bands before it, and that of the
parallax (Johnson 2007, Bayesian Analysis 2, 719). Their squares add up to chi-square, and ``p_fit`` is its tail.
"""

from typing import Final, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.scipy.special import log_ndtr, ndtri
from jaxtyping import Array, Float, PRNGKeyArray

from redflower.bands import G
from redflower.flow.emulator import Emulator, Noise, Seen, column_for
from redflower.physics import distance_pc_of_modulus, flow_condition
from redflower.posterior.fast.grid import FastTarget, Grid, noisy_y
from redflower.posterior.fast.grid_summaries import node_masses
from redflower.star import Star

#: Draws over which the pull is averaged. One of them, at random, gives the residuals.
FIT_DRAWS: Final = 16
#: A star fits poorly below this tail probability.
POOR_FIT: Final = 0.01
#: A residual in float32 cannot be told from infinity beyond this many sigmas.
RESIDUAL_MAX: Final = 5.0


class Fit(NamedTuple):
    """How one star fits the model.

    Attributes
    ----------
    residual : standard normal residual of each band after G given the bands before it; 0 where the band is missing.
    residual_mag : each band less what the bands before it predict; 0 where it is missing. [mag]
    parallax_residual : parallax less that of the drawn distance, in its errors; 0 without a parallax.
    pull : d ln evidence / d magnitude of every band, E and distance integrated out; 0 where the band is missing. [1 / mag]
    """

    residual: Float[Array, "*star colour"]
    residual_mag: Float[Array, "*star colour"]
    parallax_residual: Float[Array, "*star"]
    pull: Float[Array, "*star band"]


def band_residuals(
    emulator: Emulator, seen: Seen, noise: Noise
) -> tuple[Float[Array, "colour *node"], Float[Array, "colour *node"]]:
    """Return two residuals of each band given those before it: its normal score, and what it lies from its mean [mag].

    The normal score is Phi^-1 of the conditional distribution function. Equation: EF7 (docs/model.md).
    """
    mean_mag, variance, log_weight = emulator.mixtures(seen, noise, None)
    scaled = (seen.innovation_mag - mean_mag) * jax.lax.rsqrt(variance)
    total = jax.nn.logsumexp(log_weight, axis=0)
    below = jax.nn.logsumexp(log_weight + log_ndtr(scaled), axis=0) - total
    above = jax.nn.logsumexp(log_weight + log_ndtr(-scaled), axis=0) - total
    # From the smaller of the two tails, where float32 has its digits.
    smaller = jnp.exp(jnp.minimum(below, above))
    score = jnp.where(below < above, 1.0, -1.0) * ndtri(jnp.clip(smaller, 1e-7, 0.5))  # EF7
    score = jnp.clip(score, -RESIDUAL_MAX, RESIDUAL_MAX)
    predicted_mag = jnp.sum(jnp.exp(log_weight - total) * mean_mag, axis=0)
    observed = column_for(noise.observed[1:], score)
    return jnp.where(observed, score, 0.0), jnp.where(observed, seen.innovation_mag - predicted_mag, 0.0)


def fit_of(fast: FastTarget, star: Star, noise: Noise, grid: Grid, key: PRNGKeyArray) -> Fit:
    """Return how a star fits the model, from draws of its quadrature."""
    exact, emulator = fast.exact, fast.emulator
    level_key, pick_key = jax.random.split(key)
    mass = node_masses(grid)[0].ravel()
    cumulative = jnp.cumsum(mass)
    level = (jnp.arange(FIT_DRAWS) + jax.random.uniform(level_key)) / FIT_DRAWS * cumulative[-1]
    chosen = jnp.clip(jnp.searchsorted(cumulative, level, method="scan_unrolled"), 0, len(mass) - 1)
    modulus_mag = grid.modulus_mag[chosen // len(grid.ebv_mag)]
    ebv_mag = grid.ebv_mag[chosen % len(grid.ebv_mag)]
    extinction_mag = grid.g_extinction_mag[chosen % len(grid.ebv_mag)]
    distance_pc = distance_pc_of_modulus(modulus_mag)
    condition = flow_condition(distance_pc, star.l_deg, star.b_deg)
    first = exact.flow.leading(1)

    def seen_of(star: Star) -> Seen:
        return emulator.see(noisy_y(emulator, star, noise, ebv_mag, modulus_mag), ebv_mag, condition, noise)

    def mean_log_density(magnitude_mag: Float[Array, " band"]) -> Float[Array, ""]:
        moved = eqx.tree_at(lambda s: s.magnitude_mag, star, magnitude_mag)
        m_g = magnitude_mag[G] - extinction_mag - modulus_mag
        log_first = jax.vmap(lambda m, c: first.log_prob_terms(m[None], c)[0], in_axes=(0, 1))(m_g, condition)
        return jnp.mean(log_first + jnp.sum(emulator.log_factors(seen_of(moved), noise), axis=0))

    pull = jax.grad(mean_log_density)(star.magnitude_mag)[: emulator.n_bands]
    one = jax.random.randint(pick_key, (), 0, FIT_DRAWS)
    residual, residual_mag = band_residuals(emulator, seen_of(star), noise)
    parallax = (star.parallax_mas - 1e3 / distance_pc[one]) / star.parallax_error_mas
    return Fit(
        residual=residual[:, one],
        residual_mag=residual_mag[:, one],
        parallax_residual=jnp.where(star.has_parallax, parallax, 0.0),
        pull=jnp.where(noise.observed, pull, 0.0),
    )
