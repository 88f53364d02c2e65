"""The proposal of noise-free magnitudes that is fitted to every star."""

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from redflower.flow import load_model
from redflower.posterior.fast import check
from redflower.posterior.fast.check import Check, WeightedDraws, make_check, weighted_draws
from redflower.posterior.fast.grid import Grid, posterior_grid
from redflower.posterior.fast.grid_summaries import moment_frame
from redflower.posterior.fast.proposal import (
    REACH,
    WIDE_SHARE,
    Drawn,
    draw_from_both,
    fit_proposal,
    mirrored_normal,
    own_proposal,
)
from redflower.posterior.fast.steps import make_fast_target, noise_inputs
from redflower.posterior.fast.weights import effective_number, log_node_weights
from redflower.posterior.log_density import LOG_NONE, make_target
from tests.helpers.gaussian_model import EBV_LIMITS_MAG, gaussian_model, gaussian_stars
from tests.helpers.model_stars import draw_model_stars

N_NODES, N_PER_NODE = 64, 8
GAUSSIAN = gaussian_model()
#: Bands 1 and 3 of six are missing.
GAPPY = np.array([True, False, True, False, True, True])


def spoilt(emulator):
    """The emulator of the normal model, whose denoiser is wrong in its centres, widths and correlations."""
    n = emulator.n_bands
    rng = np.random.default_rng(3)
    bias = np.concatenate(
        [
            0.3 * rng.standard_normal(n),
            0.25 * rng.standard_normal(n),
            0.2 * rng.standard_normal(n * (n - 1) // 2),
        ]
    )
    return eqx.tree_at(lambda e: e.denoiser.biases[-1], emulator, jnp.asarray(bias, jnp.float32))


def draw_from_fitted(proposal, grid, normal, modulus_mag, ebv_mag, *, needed, wider=False) -> Drawn:
    """Draw from the fitted proposal alone."""
    doubled = jnp.concatenate([normal, normal], axis=1)
    both = draw_from_both(proposal, grid, doubled, modulus_mag, ebv_mag, needed=needed)
    number = both.normal[:, : normal.shape[1]]
    log_precision = jnp.sum(jnp.log(jnp.diagonal(proposal.root_of_precision)))
    log_ratio = 0.5 * jnp.sum(number**2 - normal**2, axis=0) + log_precision
    return Drawn(normal=number, log_ratio=log_ratio)


def drawing(fast, n_nodes: int):
    """Return the program that makes weighted draws of a star from its grid. It has the proposal of when it is first called."""

    @jax.jit
    def draw(star, noise, key) -> tuple[Grid, WeightedDraws]:
        grid = posterior_grid(fast, star, noise)
        return grid, weighted_draws(fast, star, noise, grid, key, n_nodes=n_nodes, n_per_node=N_PER_NODE)

    return draw


def first_of(stars):
    return jax.tree.map(lambda a: jnp.asarray(a[0]), stars)


@pytest.fixture(scope="module")
def normal_star():
    """A star of the normal model with two gaps, and the model's target with a spoilt denoiser."""
    low, high = EBV_LIMITS_MAG
    fast = make_fast_target(GAUSSIAN.model, make_target(GAUSSIAN.model, ebv_min_mag=low, ebv_max_mag=high))
    fast = eqx.tree_at(lambda f: f.emulator, fast, spoilt(fast.emulator))
    rng = np.random.default_rng(5)
    error_mag = np.array([0.01, 0.02, 0.015, 0.02, 0.02, 0.03])
    noise_mag = error_mag * rng.standard_normal((1, 6))
    stars = gaussian_stars(GAUSSIAN, np.array([0.3]), error_mag, noise_mag, rng, observed=GAPPY[None])
    return fast, first_of(stars), first_of(noise_inputs(fast.emulator, stars))


@pytest.mark.equation("EF9")
def test_of_a_normal_population_the_fitted_proposal_is_exact(
    normal_star, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The density there is quadratic, so that one step of Newton's is all: a node's weights are equal, whatever the denoiser."""

    fast, star, noise = normal_star

    def scatter() -> np.ndarray:
        """Of the logarithms of each node's weights, where the centre is not at the end of its reach."""
        grid, draws = drawing(fast, N_NODES)(star, noise, jax.random.key(1))
        frame = moment_frame(grid)
        far = jnp.maximum(
            jnp.abs(draws.ebv_mag - frame.ebv_mean_mag) / frame.ebv_std_mag,
            jnp.abs(draws.modulus_mag - frame.modulus_mean_mag) / frame.modulus_std_mag,
        )
        near = np.asarray(far)[::N_PER_NODE] < REACH
        return np.asarray(draws.log_weight).reshape(N_NODES, N_PER_NODE)[near].std(axis=1)

    monkeypatch.setattr(check, "draw_from_both", draw_from_fitted)
    # Single precision: terms of some tens add up to an error of 1e-5 of them.
    assert scatter().max() < 0.01
    monkeypatch.setattr(check, "fit_proposal", lambda fast, *_: own_proposal(fast.emulator.n_bands))
    assert np.median(scatter()) > 0.3


@pytest.mark.equation("EF9")
def test_both_proposals_have_the_same_evidence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of real gaps: weights against either density have the same mean, and those against the fitted one scatter less."""
    model = load_model("mock-sky")
    fast = make_fast_target(model, make_target(model, ebv_min_mag=-0.05, ebv_max_mag=0.5))
    stars = draw_model_stars(model, 6, 1, n_observed=11)[0]
    observed = np.array(stars.observed)
    observed[:, 4] = False
    stars = replace(stars, observed=observed)
    noises = noise_inputs(fast.emulator, stars)
    n_nodes = 512

    def checks() -> list[Check]:
        draw = jax.jit(jax.vmap(drawing(fast, n_nodes)))
        _, draws = draw(*jax.tree.map(jnp.asarray, (stars, noises)), jax.random.split(jax.random.key(2), 6))
        return [make_check(jax.tree.map(lambda a, i=i: a[i], draws)) for i in range(6)]

    fitted = checks()
    monkeypatch.setattr(check, "fit_proposal", lambda fast, *_: own_proposal(fast.emulator.n_bands))
    own = checks()
    for one, other in zip(fitted, own, strict=True):
        # Errors of ln of a mean weight, by the effective numbers; the draws of a node count as one, at worst.
        error = np.sqrt(sum(N_PER_NODE / float(c.ess) for c in (one, other)))
        assert abs(float(one.log_mean_weight - other.log_mean_weight)) < 4.0 * error
    assert np.median([float(c.ess) for c in fitted]) > 1.2 * np.median([float(c.ess) for c in own])


def test_where_slopes_are_not_finite_the_denoisers_proposal_stays(normal_star) -> None:
    fast, star, noise = normal_star
    lost = replace(star, magnitude_mag=star.magnitude_mag.at[0].set(jnp.nan))
    grid = posterior_grid(fast, star, noise)
    kept = jax.jit(lambda *of: fit_proposal(fast, *of, grid))(lost, noise)
    for found, own in zip(kept, own_proposal(6), strict=True):
        np.testing.assert_array_equal(found, own)


def test_bands_that_do_not_count_keep_their_standard_normal_numbers(normal_star) -> None:
    """Of a star that ends before the last bands: nothing is known of them, and nothing is fitted to them."""
    fast, star, _ = normal_star
    short = replace(star, observed=jnp.arange(len(star.observed)) < 4)
    noise = first_of(noise_inputs(fast.emulator, jax.tree.map(lambda a: a[None], short)))
    found = jax.jit(lambda *of: fit_proposal(fast, *of, posterior_grid(fast, *of)))(short, noise)
    for moved in (found.centre, found.per_ebv, found.per_modulus):
        np.testing.assert_allclose(moved[4:], 0.0, atol=1e-6)
    for root in (found.root, found.root_of_precision):
        np.testing.assert_allclose(root[:, 4:], np.eye(6)[:, 4:], atol=1e-6)
        np.testing.assert_allclose(root[4:], np.eye(6)[4:], atol=1e-6)
    assert np.abs(found.centre[:4]).max() > 0.05


@pytest.mark.equation("EF9")
@pytest.mark.parametrize("wider", [False, True])
def test_draws_from_both_have_the_density_that_is_stated(wider: bool) -> None:
    """Weights that make of it the denoiser's own density add up to one, and so do those that make the fitted one.

    None of the latter exceeds two, whatever the fitted proposal is: here one that is far off, and narrow.
    """
    n, n_nodes, n_per_node = 3, 4000, 4
    rng = np.random.default_rng(8)
    lower = np.tril(0.3 * rng.standard_normal((n, n)), -1) + np.diag([0.7, 1.6, 2.5])
    proposal = own_proposal(n)._replace(
        centre=jnp.array([0.9, -0.7, 0.4]),
        per_ebv=jnp.array([0.3, 0.0, -0.2]),
        root=jnp.asarray(np.linalg.inv(lower).T, jnp.float32),
        root_of_precision=jnp.asarray(lower.T, jnp.float32),
    )
    axis = jnp.linspace(-4.0, 4.0, 21)
    log_density = -0.5 * (axis[:, None] ** 2 + axis**2)
    grid = Grid(
        modulus_mag=10.0 + axis,
        ebv_mag=0.2 + 0.02 * axis,
        log_density=log_density,
        g_extinction_mag=axis,
        bp_rp_mag=axis,
    )
    frame = moment_frame(grid)
    at = rng.standard_normal(n_nodes).astype(np.float32)
    normal = mirrored_normal(*jax.random.split(jax.random.key(6)), (n, n_per_node, n_nodes), wider=wider)
    needed = jnp.ones(n, bool)
    drawn = draw_from_both(
        proposal, grid, normal, jnp.full(n_nodes, 10.0),
        frame.ebv_mean_mag + frame.ebv_std_mag * jnp.asarray(at), needed=needed, wider=wider,
    )  # fmt: skip
    log_own_weight = -np.asarray(drawn.log_ratio)
    centre = np.array([0.9, -0.7, 0.4])[:, None] + np.array([0.3, 0.0, -0.2])[:, None] * np.clip(at, -2, 2)
    number = np.asarray(drawn.normal)
    fitted = np.einsum("ij,jdk->idk", lower.T, number - centre[:, None])
    log_fitted_weight = (
        log_own_weight + 0.5 * np.sum(number**2 - fitted**2, axis=0) + np.log(np.diagonal(lower)).sum()
    )
    for log_weight in (log_own_weight, log_fitted_weight):
        by_node = np.exp(log_weight).mean(axis=0)
        assert abs(by_node.mean() - 1.0) < 4.0 * by_node.std() / np.sqrt(n_nodes)
        # With a wider part, the density of either proposal is at least 1 - WIDE_SHARE of its narrow one's.
        assert np.exp(log_weight).max() < 2.001 / (1.0 - WIDE_SHARE if wider else 1.0)


def test_a_star_none_of_whose_draws_has_a_weight_is_not_settled() -> None:
    """All weights are then equal, which looked like a perfect agreement: their effective number is none."""
    lost = jnp.full(256, LOG_NONE)
    nothing = jnp.zeros(256)
    draws = WeightedDraws(
        ebv_mag=nothing, modulus_mag=nothing, log_weight=lost, flow_chi2=nothing, unreddened_g_mag=nothing
    )
    assert float(make_check(draws).ess) == 0.0
    by_node = log_node_weights(np.asarray(lost)[None], 4)
    np.testing.assert_array_equal(effective_number(by_node), 0.0)
    np.testing.assert_allclose(effective_number(np.zeros((1, 64))), 64.0)


def test_draws_of_a_grid_without_density_have_no_weight(normal_star) -> None:
    """Over a density that is none, any exact density would be the same infinite weight."""
    fast, star, noise = normal_star
    grid = posterior_grid(fast, star, noise)

    @jax.jit
    def weighed(grid: Grid) -> Check:
        return make_check(
            weighted_draws(fast, star, noise, grid, jax.random.key(0), n_nodes=32, n_per_node=4)
        )

    assert float(weighed(grid).ess) > 1.0
    assert float(weighed(grid._replace(log_density=jnp.full_like(grid.log_density, LOG_NONE))).ess) == 0.0
