"""Bands that a star lacks though it has later ones: drawn from the flow's own conditional density.

The map of the flow is triangular, so that a missing coordinate k is drawn by solving u_k(x_k) = u for a normal u, with
the coordinates before it as given. Its proposal is then the flow itself at the present weights, and the
remaining weight, p_theta(x_k | x_<k) / p_theta0(x_k | x_<k) at theta = theta0, equals one; only its gradient is non-zero.
"""

import jax
import jax.numpy as jnp
from jax.scipy.special import ndtr, ndtri
from jaxtyping import Array, Bool, Float, Int

from redflower.flow.band_by_band import bandwise
from redflower.flow.conditional import PreparedFlow, needed_bands

#: The draws lie within this many standard units of the standardised coordinate, and are normalised as such.
REACH = 50.0
#: Halvings of that range: the last interval is 6e-6 standard units.
N_HALVINGS = 24


def fill_gaps(
    flow: PreparedFlow,
    x: Float[Array, " band"],
    observed: Bool[Array, " band"],
    condition: Float[Array, " cond"],
    levels: Float[Array, " band"],
) -> tuple[Float[Array, " band"], Float[Array, ""]]:
    """Draw every missing coordinate of the colour-magnitude vector from p(x_k | x_1..x_(k-1), R, Z).

    Equation: EA3b (docs/explanation/model.md).

    Parameters
    ----------
    flow : the flow; no gradient passes through the draws.
    x : colour-magnitude vector; missing entries are not read. [mag]
    observed : which coordinates are given.
    condition : (log10 R/pc, log10 Z/pc).
    levels : a uniform number in (0, 1) for every coordinate.

    Returns
    -------
    The vector without gaps, and the log of the share of the proposal within `REACH`.
    """
    flow = jax.lax.stop_gradient(flow)
    standard, n_bands = flow.standardisation, flow.n_bands
    places, needed = jnp.arange(n_bands), needed_bands(observed)
    bands = bandwise(flow, condition)
    inverse, centre = standard.x_inverse_cholesky, x - standard.x_mean

    def draw(carry: tuple, k: Int[Array, ""]) -> tuple[tuple, None]:
        centred, inputs, log_mass = carry
        fixed = bands.fixed(k, inputs)
        reach = jnp.float32(REACH)
        low_level, high_level = (ndtr(bands.image(k, fixed, end).u) for end in (-reach, reach))
        target = ndtri(low_level + (high_level - low_level) * levels[k])
        solved = bands.solve(k, fixed, target, (-reach, reach), N_HALVINGS)
        before = inverse[k] @ centred
        y_k = jnp.where(observed[k], before + inverse[k, k] * centre[k], solved)
        log_mass = log_mass + jnp.where(observed[k] | ~needed[k], 0.0, jnp.log(high_level - low_level))
        inputs = bands.push(k, inputs, bands.image(k, fixed, y_k))
        return (centred.at[k].set((y_k - before) / inverse[k, k]), inputs, log_mass), None

    start = (jnp.zeros(n_bands), bands.empty(), jnp.zeros(()))
    (centred, _, log_mass), _ = jax.lax.scan(draw, start, places)
    filled = jnp.where(observed, x, jax.lax.stop_gradient(centred + standard.x_mean))
    return filled, jax.lax.stop_gradient(log_mass)  # EA3b
