"""Small random flows and models with known properties."""

import jax
import jax.numpy as jnp
import numpy as np

from redflower.flow import (
    BlockAutoregressiveNetwork,
    ConditionalFlow,
    Model,
    Standardisation,
    fit_coverage,
)
from redflower.physics import Zhang23Law


def random_flow(seed: int = 0, dim: int = 11, block_dim: int = 4) -> ConditionalFlow:
    """A flow with random weights and a random lower-triangular standardisation."""
    key = jax.random.key(seed)
    network = BlockAutoregressiveNetwork(key, dim=dim, cond_dim=2, depth=3, block_dim=block_dim)
    rng = np.random.default_rng(seed)
    inverse = np.tril(0.3 * rng.normal(size=(dim, dim)), -1) + np.diag(rng.uniform(0.5, 3.0, dim))
    standardisation = Standardisation(
        x_mean=jnp.asarray(rng.normal(size=dim), jnp.float32),
        x_inverse_cholesky=jnp.asarray(inverse, jnp.float32),
        condition_mean=jnp.array([3.9, 2.7], jnp.float32),
        condition_std=jnp.array([0.1, 0.3], jnp.float32),
    )
    return ConditionalFlow(network, standardisation)


def random_model(seed: int = 0, dim: int = 11) -> Model:
    """A model around `random_flow`."""
    rng = np.random.default_rng(seed)
    return Model(
        name="test",
        description="random weights",
        flow=random_flow(seed, dim),
        law=Zhang23Law(),
        g_bright_mag=13.5,
        g_faint_mag=20.5,
        coverage=fit_coverage(rng.normal(size=(1000, 2)) * 0.1 + np.array([3.9, 2.7])),
        provenance={"n_stars": 1},
    )
