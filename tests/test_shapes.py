"""Annotations of shapes and types are checked while the tests run: jaxtyping with beartype, over the core."""

import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import TypeCheckError

from redflower.physics import log_within_limits
from redflower.posterior.fast.weights import effective_number
from redflower.sightline.cells import make_grid
from redflower.sightline.clouds import profile_at
from redflower.sightline.dust import DustPrior
from redflower.validate.ranks import uniformity


def test_an_array_of_a_wrong_shape_is_refused() -> None:
    """`addopts` of pyproject.toml switches the checks on: without them both calls return nonsense, and no word is said."""
    assert log_within_limits(15.0, 10.0, 20.0).shape == ()
    with pytest.raises(TypeCheckError, match="log_within_limits"):
        log_within_limits(jnp.full(3, 15.0), 10.0, 20.0)
    assert effective_number(np.zeros((2, 4))).shape == (2,)
    with pytest.raises(TypeCheckError, match="effective_number"):
        effective_number(np.zeros((2, 4, 3)))
    with pytest.raises(TypeCheckError, match="profile_at"):
        profile_at(np.zeros(8), DustPrior(), make_grid((-0.05, 0.5)))
    with pytest.raises(TypeCheckError, match="uniformity"):
        uniformity(np.zeros((2, 4)))
