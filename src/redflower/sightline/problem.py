"""A posterior on the unit cube, as the sampler wants it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

Points = Float[np.ndarray, "particle dim"]
Jump = Callable[[Points, np.random.Generator], tuple[Points, Float[np.ndarray, " particle"]]]


@dataclass(frozen=True)
class Problem:
    """A posterior on the unit cube.

    Attributes
    ----------
    n_dim : dimensions of the cube, on which the prior is uniform over the points that are ``valid``.
    log_likelihood : natural log, for a batch of points.
    start : draws of the prior.
    valid : whether each point of a batch belongs to the prior's support.
    make_jump : from the particles before a step's moves, a move that may go far: from points, the proposals and the log
        of the ratio of proposal densities, backward over forward; or None.
    log_prior_volume : minus the natural log of the share of the cube that is valid.
    """

    n_dim: int
    log_likelihood: Callable[[Points], Float[np.ndarray, " particle"]]
    start: Callable[[int, np.random.Generator], Points]
    valid: Callable[[Points], Bool[np.ndarray, " particle"]]
    make_jump: Callable[[Points], Jump] | None = None
    log_prior_volume: float = 0.0
