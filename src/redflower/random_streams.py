"""What random numbers are drawn for: a key of its own for every use of a seed.

``jax.random.split(key)[1]`` is ``jax.random.fold_in(key, 1)``, and so on for every number: a key that is both split and folded
into, or split twice, gives two uses the same numbers. So a seed's key is only ever folded into, first a `Stream`, then what
counts within it (a star, a step, a round); what comes out of that is split, or drawn from, once.
"""

from enum import IntEnum

import jax
from jaxtyping import Array, Key, PRNGKeyArray


class Stream(IntEnum):
    """The uses. Models and posteriors of a seed depend on these numbers."""

    FLOW_WEIGHTS = 0
    TRAINING_DRAWS = 1
    EMULATOR_WEIGHTS = 2
    EMULATOR_CHECK = 3
    EMULATOR_STEPS = 4
    CHECK_OF_STARS = 5
    ROUNDS_OF_WEIGHTS = 6
    CHAINS = 7
    EVIDENCE_OF_CHAINS = 8
    FIT_OF_STARS = 9
    SECOND_LOOK_AT_STARS = 10


def stream_key(seed: int, stream: Stream) -> PRNGKeyArray:
    """Make the random key for one use of a seed; either fold numbers into it or split it, never both."""
    return jax.random.fold_in(jax.random.key(seed), int(stream))


@jax.jit
def folded(keys: Key[Array, " key"], number: int | Array) -> Key[Array, " key"]:
    """Fold a number into every key of a batch."""
    return jax.vmap(lambda key: jax.random.fold_in(key, number))(keys)
