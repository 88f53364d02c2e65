"""A flow that has grown by further bands: its density of the first ones, and the standardisation of the others."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import redflower
from redflower.flow.grow import grown_flow
from redflower.flow.standardise import Standardisation, fit_standardisation


@pytest.fixture(scope="module")
def grown():
    """The shipped flow of eleven bands, with two more."""
    flow = redflower.load_model("mock-sky").flow
    rng = np.random.default_rng(1)
    x = np.asarray(flow.standardisation.x_mean) + 0.3 * rng.standard_normal((400, 11))
    x = np.concatenate([x, x[:, [10]] + 0.1 + 0.02 * rng.standard_normal((400, 2))], axis=1)
    condition = np.asarray(flow.standardisation.condition_mean) + 0.1 * rng.standard_normal((400, 2))
    fitted = fit_standardisation(x, np.ones(x.shape, bool), condition)
    return flow, fitted, grown_flow(flow, fitted, jax.random.key(0)), x, condition


@pytest.mark.equation("E8")
def test_the_density_of_the_first_bands_is_what_it_was(grown) -> None:
    flow, _, more, x, condition = grown
    assert more.n_bands == 13
    some = jnp.asarray(x[:50], jnp.float32), jnp.asarray(condition[:50], jnp.float32)
    before = jax.vmap(flow.prepared().log_prob_terms)(some[0][:, :11], some[1])
    after = jax.vmap(more.prepared().log_prob_terms)(*some)
    # Sums over longer rows, whose further entries are zero, in float32: rounding alone.
    np.testing.assert_allclose(np.asarray(after)[:, :11], np.asarray(before), rtol=2e-5, atol=2e-5)
    assert np.isfinite(np.asarray(after)).all()


def test_the_rows_of_the_first_bands_are_the_same_numbers(grown) -> None:
    flow, _, more, _, _ = grown
    for new, old in zip(more.network.weights, flow.network.weights, strict=True):
        np.testing.assert_array_equal(new[tuple(slice(n) for n in old.shape)], old)
    k = flow.n_bands
    np.testing.assert_array_equal(
        more.standardisation.x_inverse_cholesky[:k, :k], flow.standardisation.x_inverse_cholesky
    )
    assert not np.asarray(more.standardisation.x_inverse_cholesky)[:k, k:].any()


def test_the_standardisation_of_further_bands_is_the_fitted_one(grown) -> None:
    """About other means of the first bands, but the same map."""
    _, fitted, more, x, _ = grown
    mine, theirs = (
        np.asarray(jax.vmap(lambda one, s=s: Standardisation.x(s, one))(jnp.asarray(x, jnp.float32)))
        for s in (more.standardisation, fitted)
    )
    np.testing.assert_allclose(mine[:, 11:], theirs[:, 11:], atol=2e-3)  # float32 of terms of some 100
    assert 0.5 < mine[:, 11:].std() < 2.0
