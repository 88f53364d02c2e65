"""Arguments that both kinds of maps check alike."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from redflower.errors import InputError


def checked_distances(distance_pc: Sequence[float], what: str) -> Float[np.ndarray, " distance"]:
    """Return the distances of a map, or refuse those that are not positive and rising. [pc]"""
    distance = np.asarray(distance_pc, dtype=float)
    if (
        distance.ndim != 1
        or not len(distance)
        or not np.isfinite(distance).all()
        or distance[0] <= 0
        or (np.diff(distance) <= 0).any()
    ):
        raise InputError(f"{what} needs rising positive distances; got {list(distance_pc)}.")
    return distance
