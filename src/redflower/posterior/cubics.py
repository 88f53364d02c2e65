"""Catmull-Rom cubics between uniform nodes, as matrices: values in between are linear in those at the nodes."""

import functools

import numpy as np
from jaxtyping import Float


@functools.cache
def cubic_matrix(n_nodes: int, n_fine: int) -> Float[np.ndarray, "fine node"]:
    """Return the matrix that takes values at uniform nodes to ``n_fine`` places from the first to the last node.

    Exact for parabolas, and so for the logarithm of a normal density; outside the ends the values continue in a straight line.
    """
    place = np.linspace(0.0, n_nodes - 1.0, n_fine)
    cell = np.minimum(place.astype(int), n_nodes - 2)
    t = (place - cell)[:, None]
    # Rows of the identity, one more at each end: the matrix is what the cubics make of them.
    unit = np.eye(n_nodes)
    ends = np.concatenate([2 * unit[:1] - unit[1:2], unit, 2 * unit[-1:] - unit[-2:-1]])
    before, left, right, after = (ends[cell + i] for i in range(4))
    matrix = (
        (2 * t**3 - 3 * t**2 + 1) * left
        + (t**3 - 2 * t**2 + t) * 0.5 * (right - before)
        + (3 * t**2 - 2 * t**3) * right
        + (t**3 - t**2) * 0.5 * (after - left)
    )
    return matrix.astype(np.float32)
