"""Random keys of stars."""

import jax
import numpy as np

from redflower.random_streams import Stream, stream_key


def star_keys(source_id: np.ndarray, seed: int, stream: Stream = Stream.CHAINS) -> jax.Array:
    """Make one random key per star for a use, from its source_id alone, so that order and partitioning do not matter."""
    ids = np.asarray(source_id).astype(np.int64).view(np.uint64)
    high, low = (ids >> np.uint64(32)).astype(np.uint32), (ids & np.uint64(0xFFFFFFFF)).astype(np.uint32)
    return _folded(stream_key(seed, stream), high, low)


@jax.jit
def _folded(base: jax.Array, high: jax.Array, low: jax.Array) -> jax.Array:
    return jax.vmap(lambda h, w: jax.random.fold_in(jax.random.fold_in(base, h), w))(high, low)
