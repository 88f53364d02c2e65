"""From a batch of stars to what the evidence estimator reads, computed once per star."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from redflower.physics import (
    absolute_to_colour,
    distance_modulus,
    distance_posterior_quantiles,
    flow_condition,
)
from redflower.star import Star
from redflower.train.evidence import POSTERIOR_LEVELS, PRIOR_LEVELS, TrainingStar, leading_observed

CHUNK = 16_384
GAUSSIAN_LEVELS = jnp.array([0.15865525, 0.5, 0.84134475])


def make_training_star(star: Star) -> TrainingStar:
    """Tabulate the distance posterior and prior of one star."""
    levels = jnp.concatenate([POSTERIOR_LEVELS, GAUSSIAN_LEVELS])
    prior = (star.prior_log_length_pc, star.prior_alpha, star.prior_beta)
    data = (star.parallax_mas, star.parallax_error_mas)
    posterior = distance_posterior_quantiles(levels, *data, star.has_parallax, *prior)
    nothing = jnp.zeros_like(star.has_parallax)
    prior_pc = distance_posterior_quantiles(PRIOR_LEVELS, *data, nothing, *prior).quantiles_pc
    quantiles_pc = posterior.quantiles_pc[: len(POSTERIOR_LEVELS)]
    low_pc, median_pc, high_pc = posterior.quantiles_pc[len(POSTERIOR_LEVELS) :]
    return TrainingStar(
        star=star,
        posterior_log_distance=jnp.log(quantiles_pc),
        log_parallax_evidence=posterior.log_evidence,
        geometric_distance_pc=median_pc,
        geometric_sigma_pc=jnp.maximum(0.5 * (high_pc - low_pc), 1e-4 * median_pc),
        prior_log_distance=jnp.log(prior_pc),
    )


def make_training_stars(stars: Star) -> TrainingStar:
    """`make_training_star` over a batch, in chunks of one size, kept in host memory."""
    n_stars = len(stars.parallax_mas)
    tabulate = jax.jit(jax.vmap(make_training_star))
    parts = []
    for start in range(0, n_stars, CHUNK):
        rows = np.minimum(np.arange(start, start + CHUNK), n_stars - 1)
        part = tabulate(jax.tree.map(lambda a, rows=rows: jnp.asarray(a)[rows], stars))
        kept = min(CHUNK, n_stars - start)
        parts.append(jax.tree.map(lambda a, kept=kept: np.asarray(a)[:kept], part))
    return jax.tree.map(lambda *a: np.concatenate(a), *parts)


def point_estimates(
    data: TrainingStar, n_bands: int
) -> tuple[Float[np.ndarray, "star band"], np.ndarray, Float[np.ndarray, "star cond"]]:
    """Noisy colour-magnitude vectors at the median distance, which coordinates exist, and (log10 R, log10 Z)."""
    star = data.star

    def one(star: Star, distance_pc: Array) -> tuple[Array, Array, Array]:
        x = absolute_to_colour(star.magnitude_mag[:n_bands] - distance_modulus(distance_pc))
        return (
            x,
            leading_observed(star.observed[:n_bands]),
            flow_condition(distance_pc, star.l_deg, star.b_deg),
        )

    x, observed, condition = jax.vmap(one)(star, jnp.asarray(data.geometric_distance_pc))
    return np.asarray(x), np.asarray(observed), np.asarray(condition)
