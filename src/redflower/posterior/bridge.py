"""The evidence of one star from its draws, by bridge sampling."""

import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular
from jax.scipy.special import logsumexp
from jaxtyping import Array, Float, PRNGKeyArray

N_ITERATIONS = 30


def log_evidence_by_bridge(
    log_density_fn, theta: Float[Array, "draw theta"], key: PRNGKeyArray
) -> Float[Array, ""]:
    """ln of the integral of a density, given draws from it.

    Equation: E16c (docs/model.md). Source: Meng & Wong (1996), Statistica Sinica 6, 831, eq. 4.1: the optimal
    bridge to a normal distribution fitted to every other draw, iterated to its fixed point.

    Parameters
    ----------
    log_density_fn : ln density of one theta, not normalised.
    theta : draws from that density.
    key : random key of the draws from the normal distribution.
    """
    fitted, kept = theta[0::2], theta[1::2]
    n, dim = kept.shape
    mean = fitted.mean(axis=0)
    centred = fitted - mean
    covariance = centred.T @ centred / (len(fitted) - 1) + 1e-6 * jnp.eye(dim)
    cholesky = jnp.linalg.cholesky(covariance)
    log_det = jnp.sum(jnp.log(jnp.diagonal(cholesky))) + 0.5 * dim * jnp.log(2.0 * jnp.pi)

    def log_normal(points: Float[Array, "draw theta"]) -> Float[Array, "draw"]:
        scaled = solve_triangular(cholesky, (points - mean).T, lower=True)
        return -0.5 * jnp.sum(scaled**2, axis=0) - log_det

    proposed = mean + jax.random.normal(key, (n, dim)) @ cholesky.T
    density = jax.vmap(log_density_fn)
    ratio_kept = density(kept) - log_normal(kept)
    ratio_proposed = density(proposed) - log_normal(proposed)
    ratio_proposed = jnp.where(jnp.isfinite(ratio_proposed), ratio_proposed, -1e30)

    def iterate(_: int, log_z: Float[Array, ""]) -> Float[Array, ""]:
        # Equal numbers of draws from both, so that s1 = s2 = 1/2 and drops out.
        numerator = logsumexp(ratio_proposed - jnp.logaddexp(ratio_proposed, log_z))
        denominator = logsumexp(-jnp.logaddexp(ratio_kept, log_z))
        return numerator - denominator  # E16c

    return jax.lax.fori_loop(0, N_ITERATIONS, iterate, jnp.median(ratio_kept))
