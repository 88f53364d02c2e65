"""Bands that a star lacks though it has later ones: drawn from the flow's own conditional density.

The map of the flow is triangular, so that a missing coordinate k is drawn by solving u_k(x_k) = u for a normal u, with
the coordinates before it as given. Its proposal is then the flow itself at the present weights, and the weight that is
left to it, p_theta(x_k | x_<k) / p_theta0(x_k | x_<k) at theta = theta0, is one: only its gradient is not nothing.
"""

import jax
import jax.numpy as jnp
from jax.scipy.special import ndtr, ndtri
from jaxtyping import Array, Bool, Float

from redflower.flow.bnaf import MIN_SLOPE
from redflower.flow.conditional import PreparedFlow

#: The draws lie within this many standard units of the standardised coordinate, and are normalised as such.
REACH = 50.0
#: Halvings of that range: the last interval is 6e-6 standard units.
N_HALVINGS = 24


def needed_bands(observed: Bool[Array, "band"]) -> Bool[Array, "band"]:
    """Bands up to the last observed one: those whose flow factors do not integrate to one."""
    return jnp.cumsum(observed[::-1])[::-1] > 0


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
    n_bands, n_layers = flow.n_bands, len(weights.matrices)
    shift = weights.condition @ standard.condition(condition)
    hidden: list[list[Array]] = [[] for _ in range(n_layers)]
    centred: list[Array] = []
    log_mass = jnp.zeros(())
    for k in range(n_bands):
        own, fixed = [], []
        for layer, (matrix, bias) in enumerate(zip(weights.matrices, weights.biases, strict=True)):
            n_out, n_in = matrix.shape[0] // n_bands, matrix.shape[1] // n_bands
            rows = slice(k * n_out, (k + 1) * n_out)
            own.append(matrix[rows, k * n_in : (k + 1) * n_in])
            part = bias[rows] + (shift[rows] if layer == 0 else 0.0)
            if k:
                part = part + matrix[rows, : k * n_in] @ jnp.concatenate(hidden[layer])
            fixed.append(part)

        def image(
            y: Float[Array, ""], own: list[Array] = own, fixed: list[Array] = fixed
        ) -> tuple[Float[Array, ""], list[Array]]:
            """u_k and the inputs of every layer, with the coordinates before k fixed."""
            value, inputs = y[None], []
            for layer in range(n_layers):
                inputs.append(value)
                value = own[layer] @ value + fixed[layer]
                if layer < n_layers - 1:
                    value = jnp.tanh(value) + MIN_SLOPE * value
            return value[0], inputs

        before = sum((standard.x_inverse_cholesky[k, j] * centred[j] for j in range(k)), jnp.zeros(()))
        scale = standard.x_inverse_cholesky[k, k]
        y_k = before + scale * (x[k] - standard.x_mean[k])
        if k:  # G is always there
            low_level, high_level = ndtr(image(jnp.float32(-REACH))[0]), ndtr(image(jnp.float32(REACH))[0])
            target = ndtri(low_level + (high_level - low_level) * levels[k])

            def halve(
                _: int, bracket: tuple[Array, Array], image=image, target=target
            ) -> tuple[Array, Array]:
                low, high = bracket
                middle = 0.5 * (low + high)
                below = image(middle)[0] < target
                return jnp.where(below, middle, low), jnp.where(below, high, middle)

            low, high = jax.lax.fori_loop(0, N_HALVINGS, halve, (jnp.float32(-REACH), jnp.float32(REACH)))
            y_k = jnp.where(observed[k], y_k, 0.5 * (low + high))
            log_mass = log_mass + jnp.where(observed[k], 0.0, jnp.log(high_level - low_level))
        centred.append((y_k - before) / scale)
        for layer, value in enumerate(image(y_k)[1]):
            hidden[layer].append(value)
    filled = jnp.stack(centred) + standard.x_mean
    return jnp.where(observed, x, jax.lax.stop_gradient(filled)), jax.lax.stop_gradient(log_mass)  # EA3b
