"""Draws of the true magnitudes that know both the measurement and the flow.

The errors of some bands (2MASS, BP of faint stars) are several times wider than the locus of stars. Draws from the
likelihood alone then nearly all miss the locus: the estimate of the evidence is low, and lower still for a sharp flow
than for a blurred one, so that training blurs it. Here band k is drawn from the product of its likelihood and a normal
approximation of the flow's conditional p(x_k | x_1..x_(k-1), R, Z), which the triangular map gives by a few Newton
steps in one variable; a part of every band's draws still comes from its likelihood alone, and every draw is weighted
by the density of the mixture, exactly.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from redflower.constants import LOG_SQRT_2PI
from redflower.flow.band_by_band import bandwise
from redflower.flow.conditional import PreparedFlow

N_NEWTON = 3
#: Longest step of the search for the conditional's middle, in standard units.
MAX_STEP = 2.0
#: The product is drawn this much wider than the normal approximation has it.
WIDENING = 1.1
#: Share of every band's draws that comes from its likelihood alone: no weight can then exceed the flow's density
#: over this share, whatever the normal approximation misses.
LIKELIHOOD_SHARE = 0.1


def draw_adapted(
    flow: PreparedFlow,
    x_observed: Float[Array, " band"],
    error_mag: Float[Array, " band"],
    observed: Bool[Array, " band"],
    condition: Float[Array, " cond"],
    noise: Float[Array, " band"],
    levels: Float[Array, " band"],
) -> tuple[Float[Array, " band"], Float[Array, ""]]:
    """Draw one colour-magnitude vector: its first coordinate is given, the others are drawn.

    Equation: EA3c (docs/explanation/model.md).

    Parameters
    ----------
    flow : the flow; no gradient passes through the draws.
    x_observed : M_G, drawn from its likelihood already, and the measured colours relative to that G. [mag]
    error_mag : errors of the bands. [mag]
    observed : which bands count; the others are not read.
    condition : (log10 R/pc, log10 Z/pc).
    noise : standard normal numbers.
    levels : uniform numbers in (0, 1); a band whose number is below `LIKELIHOOD_SHARE` is drawn from its likelihood.

    Returns
    -------
    The vector, and ln of likelihood over proposal, up to the factor of G, which is one.
    """
    flow = jax.lax.stop_gradient(flow)
    standard, n_bands = flow.standardisation, flow.n_bands
    places = jnp.arange(n_bands)
    bands = bandwise(flow, condition)
    inverse, centre = standard.x_inverse_cholesky, x_observed - standard.x_mean
    first = places == 0

    def draw(carry: tuple, k: Int[Array, ""]) -> tuple[tuple, None]:
        centred, inputs, log_ratio = carry
        fixed = bands.fixed(k, inputs)

        def newton(_: Int[Array, ""] | int, state: tuple[Array, Array]) -> tuple[Array, Array]:
            image = bands.image(k, fixed, state[0])
            return state[0] - jnp.clip(image.u / image.slope, -MAX_STEP, MAX_STEP), image.slope

        middle, slope = jax.lax.fori_loop(0, N_NEWTON, newton, (jnp.zeros(()), jnp.ones(())))
        before, scale = inverse[k] @ centred, inverse[k, k]
        measured, error = before + scale * centre[k], scale * error_mag[k]
        precision = slope**2 + 1.0 / error**2
        mean = (middle * slope**2 + measured / error**2) / precision
        spread = WIDENING / jnp.sqrt(precision)
        y_k = jnp.where(levels[k] < LIKELIHOOD_SHARE, measured + error * noise[k], mean + spread * noise[k])
        y_k = jnp.where(first[k] | ~observed[k], measured, y_k)
        counts = observed[k] & ~first[k]
        log_likelihood = _log_normal(y_k, measured, error)
        log_mixture = jnp.logaddexp(
            jnp.log1p(-LIKELIHOOD_SHARE) + _log_normal(y_k, mean, spread),
            jnp.log(LIKELIHOOD_SHARE) + log_likelihood,
        )
        log_ratio = log_ratio + jnp.where(counts, log_likelihood - log_mixture, 0.0)
        inputs = bands.push(k, inputs, bands.image(k, fixed, y_k))
        return (centred.at[k].set((y_k - before) / scale), inputs, log_ratio), None

    start = (jnp.zeros(n_bands), bands.empty(), jnp.zeros(()))
    (centred, _, log_ratio), _ = jax.lax.scan(draw, start, places)
    x = jnp.where(observed, centred + standard.x_mean, x_observed)
    return jax.lax.stop_gradient(x), jax.lax.stop_gradient(log_ratio)  # EA3c


def _log_normal(y: Array, mean: Array, spread: Array) -> Array:
    return -0.5 * ((y - mean) / spread) ** 2 - jnp.log(spread) - LOG_SQRT_2PI
