"""The flow's map one band at a time against the whole map."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from redflower.flow.band_by_band import bandwise
from tests.helpers.flows import random_flow

CONDITION = jnp.array([3.95, 2.8], jnp.float32)
DIM = 6


def test_bands_one_after_another_are_the_map_and_its_slope() -> None:
    """Both sum the same float32 products in another order: 1e-5 of the largest value, a few units of rounding."""
    flow = random_flow(4, dim=DIM).prepared()
    standard = flow.standardisation
    x = flow.sample(jax.random.key(3), CONDITION)
    u, slope = flow.forward(x, CONDITION)
    y = standard.x_inverse_cholesky @ (x - standard.x_mean)
    bands = bandwise(flow, CONDITION)
    inputs = bands.empty()
    for k in range(DIM):
        image = bands.image(k, bands.fixed(k, inputs), y[k])
        assert float(image.u) == pytest.approx(float(u[k]), abs=1e-5 * float(jnp.abs(u).max()))
        assert float(image.slope * standard.x_inverse_cholesky[k, k]) == pytest.approx(
            float(slope[k]), rel=1e-4
        )
        inputs = bands.push(k, inputs, image)


def test_solving_band_by_band_inverts_the_map() -> None:
    """The bracket of 24 standard units is halved 30 times, to below float32's resolution; the map is steep where u is large."""
    flow = random_flow(5, dim=DIM).prepared()
    u = jax.random.normal(jax.random.key(1), (DIM,))
    bands, standard = bandwise(flow, CONDITION), flow.standardisation
    inputs, y = bands.empty(), []
    for k in range(DIM):
        fixed = bands.fixed(k, inputs)
        y.append(bands.solve(k, fixed, u[k], (jnp.float32(-12.0), jnp.float32(12.0)), 30))
        inputs = bands.push(k, inputs, bands.image(k, fixed, y[-1]))
    x = standard.x_mean + jax.scipy.linalg.solve_triangular(
        standard.x_inverse_cholesky, jnp.stack(y), lower=True
    )
    np.testing.assert_allclose(flow.forward(x, CONDITION)[0], u, atol=2e-3)
