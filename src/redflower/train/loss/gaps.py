"""Bands that a star lacks though it has later ones: drawn from the flow's own conditional density.

The map of the flow is triangular, so that a missing coordinate k is drawn by solving u_k(x_k) = u for a normal u, with
the coordinates before it as given. Its proposal is then the flow itself at the present weights, and the weight that is
left to it, p_theta(x_k | x_<k) / p_theta0(x_k | x_<k) at theta = theta0, is one: only its gradient is not nothing.
"""

import jax
import jax.numpy as jnp
from jax.scipy.special import ndtr, ndtri
from jaxtyping import Array, Bool, Float, Int

from redflower.flow.bnaf import MIN_SLOPE
from redflower.flow.conditional import PreparedFlow, needed_bands

#: The draws lie within this many standard units of the standardised coordinate, and are normalised as such.
REACH = 50.0
#: Halvings of that range: the last interval is 6e-6 standard units.
N_HALVINGS = 24


def leading_observed(observed: Bool[Array, "band"]) -> Bool[Array, "band"]:
    """Which bands come before the first one that is missing: those whose marginal density is exact."""
    return jnp.cumprod(observed) > 0


def fill_gaps(
    flow: PreparedFlow,
    x: Float[Array, "band"],
    observed: Bool[Array, "band"],
    condition: Float[Array, "cond"],
    levels: Float[Array, "band"],
) -> tuple[Float[Array, "band"], Float[Array, ""]]:
    """The colour-magnitude vector with every missing coordinate drawn from p(x_k | x_1..x_(k-1), R, Z).

    Equation: EA3b (docs/model.md).

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
    weights, standard = flow.weights, flow.standardisation
    n_bands, last = flow.n_bands, len(weights.matrices) - 1
    places, needed = jnp.arange(n_bands), needed_bands(observed)
    # Rows of every band's block, and the blocks on the diagonal alone: (band, out, in of all) and (band, out, in).
    rows = [m.reshape(n_bands, -1, m.shape[1]) for m in weights.matrices]
    own = [r.reshape(*r.shape[:2], n_bands, -1)[places, :, places] for r in rows]
    biases = [bias.reshape(n_bands, -1) for bias in weights.biases]
    biases[0] = biases[0] + (weights.condition @ standard.condition(condition)).reshape(n_bands, -1)
    inverse, centre = standard.x_inverse_cholesky, x - standard.x_mean

    def solve(carry: tuple, k: Int[Array, ""]) -> tuple[tuple, None]:
        centred, inputs, log_mass = carry
        # What the coordinates before k put into its units; those from k on are still zero.
        fixed = [r[k] @ value + bias[k] for r, value, bias in zip(rows, inputs, biases, strict=True)]

        def image(y: Float[Array, ""]) -> tuple[Float[Array, ""], list[Array]]:
            """u_k, and what enters the layers, with the coordinates before k as they are."""
            value, entering = y[None], []
            for layer, constant in enumerate(fixed):
                entering.append(value)
                value = own[layer][k] @ value + constant
                if layer < last:
                    value = jnp.tanh(value) + MIN_SLOPE * value
            return value[0], entering

        reach = jnp.float32(REACH)
        low_level, high_level = ndtr(image(-reach)[0]), ndtr(image(reach)[0])
        target = ndtri(low_level + (high_level - low_level) * levels[k])

        def halve(_: int, bracket: tuple[Array, Array]) -> tuple[Array, Array]:
            low, high = bracket
            middle = 0.5 * (low + high)
            below = image(middle)[0] < target
            return jnp.where(below, middle, low), jnp.where(below, high, middle)

        low, high = jax.lax.fori_loop(0, N_HALVINGS, halve, (-reach, reach))
        before = inverse[k] @ centred
        y_k = jnp.where(observed[k], before + inverse[k, k] * centre[k], 0.5 * (low + high))
        log_mass = log_mass + jnp.where(observed[k] | ~needed[k], 0.0, jnp.log(high_level - low_level))
        inputs = [
            jax.lax.dynamic_update_slice(value, new, (k * len(new),))
            for value, new in zip(inputs, image(y_k)[1], strict=True)
        ]
        return (centred.at[k].set((y_k - before) / inverse[k, k]), inputs, log_mass), None

    empty = [jnp.zeros(m.shape[1]) for m in weights.matrices]
    (centred, _, log_mass), _ = jax.lax.scan(solve, (jnp.zeros(n_bands), empty, jnp.zeros(())), places)
    filled = jnp.where(observed, x, jax.lax.stop_gradient(centred + standard.x_mean))
    return filled, jax.lax.stop_gradient(log_mass)  # EA3b
