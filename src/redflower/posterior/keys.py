"""Random keys of stars."""

import jax
import numpy as np


def star_keys(source_id: np.ndarray, seed: int) -> jax.Array:
    """One random key per star, from its source_id alone, so that order and partitioning do not matter."""
    ids = np.asarray(source_id).astype(np.int64).view(np.uint64)
    high, low = (ids >> np.uint64(32)).astype(np.uint32), (ids & np.uint64(0xFFFFFFFF)).astype(np.uint32)
    return _folded(jax.random.key(seed), high, low)


@jax.jit
def _folded(base: jax.Array, high: jax.Array, low: jax.Array) -> jax.Array:
    return jax.vmap(lambda h, w: jax.random.fold_in(jax.random.fold_in(base, h), w))(high, low)
