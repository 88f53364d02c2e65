"""Many draws from the flow at once, with M_G chosen or drawn within limits."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int
from scipy.special import ndtr, ndtri

from redflower.flow.bnaf import dense_forward
from redflower.flow.conditional import ConditionalFlow, PreparedFlow

N_HALVINGS = 20
#: Half width of the bracket in standardised coordinates.
HALF_WIDTH = 12.0
#: Draws of M_G further out than this in the flow's normal coordinate are replaced: the flow never saw such stars.
U_MAX = 4.5


def draw_given_first(
    flow: ConditionalFlow,
    condition: Float[np.ndarray, "star cond"],
    low_mag: Float[np.ndarray, " star"],
    high_mag: Float[np.ndarray, " star"],
    spread: Bool[np.ndarray, " star"],
    rng: np.random.Generator,
) -> Float[np.ndarray, "star band"]:
    """Draw x = (M_G, colours) with M_G between limits of its own for each star.

    Parameters
    ----------
    condition : (log10 R/pc, log10 Z/pc).
    low_mag, high_mag : limits of M_G. [mag]
    spread : where M_G is uniform between the limits; elsewhere it follows the flow. The other coordinates always
        follow the flow, given M_G.
    """
    prepared = flow.prepared()
    n = len(condition)
    at = jnp.asarray(condition)
    u_low, u_high = (
        np.asarray(_first(prepared, jnp.asarray(m, jnp.float32), at)) for m in (low_mag, high_mag)
    )
    level = ndtr(u_low) + rng.random(n) * (ndtr(u_high) - ndtr(u_low))
    u = rng.standard_normal((n, flow.n_bands))
    u[:, 0] = ndtri(np.clip(level, 1e-6, 1.0 - 1e-6))
    uniform_mag = low_mag + rng.random(n) * (high_mag - low_mag)
    u_spread = np.asarray(_first(prepared, jnp.asarray(uniform_mag, jnp.float32), at))
    u[:, 0] = np.where(spread & (np.abs(u_spread) < U_MAX), u_spread, u[:, 0])
    y = np.asarray(_invert(prepared, jnp.asarray(u, jnp.float32), at), dtype=np.float64)
    standard = flow.standardisation
    cholesky = np.linalg.inv(np.asarray(standard.x_inverse_cholesky, dtype=np.float64))
    return (np.asarray(standard.x_mean) + y @ cholesky.T).astype(np.float32)


@eqx.filter_jit
def _first(flow: PreparedFlow, m_g_mag: Array, condition: Array) -> Array:
    first = flow.leading(1)
    return jax.vmap(lambda m, c: first.forward(m[None], c)[0][0])(m_g_mag, condition)


@eqx.filter_jit
def _invert(
    flow: PreparedFlow, u: Float[Array, "star band"], condition: Float[Array, "star cond"]
) -> Float[Array, "star band"]:
    """Solve forward(y) = u for standardised y by bisection; each band uses the part of the network up to it."""
    standard = jax.vmap(flow.standardisation.condition)(condition)
    y = jnp.zeros_like(u)
    for k in range(flow.n_bands):
        part = flow.leading(k + 1)

        def value(y_k: Array, k: int = k, part: PreparedFlow = part, y: Array = y) -> Array:
            x = jnp.concatenate([y[:, :k], y_k[:, None]], axis=1)
            return jax.vmap(lambda a, b: dense_forward(part.weights, a, b)[0][k])(x, standard)

        def halve(
            _: Int[Array, ""] | int, bracket: tuple[Array, Array], k: int = k, value=value
        ) -> tuple[Array, Array]:
            low, high = bracket
            middle = 0.5 * (low + high)
            below = value(middle) < u[:, k]
            return jnp.where(below, middle, low), jnp.where(below, high, middle)

        ends = jnp.full(len(u), -HALF_WIDTH), jnp.full(len(u), HALF_WIDTH)
        low, high = jax.lax.fori_loop(0, N_HALVINGS, halve, ends)
        y = y.at[:, k].set(0.5 * (low + high))
    return y
