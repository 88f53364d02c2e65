"""The correction of the grid by exact weights, and the shape of the weights' tail."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from redflower.posterior.fast.check import WeightedDraws
from redflower.posterior.fast.grid import Grid
from redflower.posterior.fast.grid_summaries import summarise_grid
from redflower.posterior.fast.tilt import fit_tilt, solve_spd, tilted
from redflower.posterior.fast.weights import pareto_k
from redflower.posterior.settings import FastSettings

E, MU = jnp.linspace(-0.05, 0.45, 22), jnp.linspace(8.0, 12.0, 16)
CENTRE, SIGMA = (0.2, 10.0), (0.05, 0.4)


def grid(shift: float = 0.0, stretch: float = 1.0) -> Grid:
    """A normal posterior; its mean of E shifted in deviations, its deviation stretched."""
    e = (E - CENTRE[0] - shift * SIGMA[0]) / (SIGMA[0] * stretch)
    m = (MU - CENTRE[1]) / SIGMA[1]
    return Grid(
        modulus_mag=MU,
        ebv_mag=E,
        log_density=-0.5 * (e[None, :] ** 2 + m[:, None] ** 2),
        g_extinction_mag=jnp.zeros(22),
        bp_rp_mag=jnp.zeros(22),
    )


def draws(
    rng: np.random.Generator, n_nodes: int, shift: float, stretch: float, noise_nat: float
) -> WeightedDraws:
    """Weights of `grid(shift, stretch)` over `grid()` at nodes of the latter, four a node, with scatter."""
    e = CENTRE[0] + SIGMA[0] * rng.standard_normal(n_nodes)
    m = CENTRE[1] + SIGMA[1] * rng.standard_normal(n_nodes)
    z = (e - CENTRE[0]) / SIGMA[0]
    log_ratio = 0.5 * z**2 - 0.5 * ((z - shift) / stretch) ** 2
    scatter = noise_nat * rng.standard_normal((n_nodes, 4))
    f = jnp.float32
    return WeightedDraws(
        ebv_mag=jnp.asarray(np.repeat(e, 4), f),
        modulus_mag=jnp.asarray(np.repeat(m, 4), f),
        log_weight=jnp.asarray((log_ratio[:, None] + scatter).ravel(), f),
        flow_chi2=jnp.zeros(4 * n_nodes),
        unreddened_g_mag=jnp.zeros(4 * n_nodes),
    )


@pytest.mark.equation("EF6")
@pytest.mark.parametrize(("shift", "stretch"), [(0.0, 1.0), (0.3, 1.0), (-0.25, 1.08), (0.1, 0.93)])
def test_correction_recovers_mean_and_width(shift: float, stretch: float) -> None:
    """Without scatter, to what the prior of the coefficients and the shape of the polynomial leave."""
    fitted = fit_tilt(grid(), draws(np.random.default_rng(0), 400, shift, stretch, 0.0), 4)
    corrected = summarise_grid(tilted(grid(), fitted))
    assert float(corrected.ebv_mean_mag) == pytest.approx(CENTRE[0] + shift * SIGMA[0], abs=0.02 * SIGMA[0])
    assert float(corrected.ebv_std_mag) == pytest.approx(SIGMA[0] * stretch, rel=0.02)
    # A parabola is fitted to two deviations. Where it goes on, a twentieth of the nodes miss it by up to 0.5 of a weight that may
    # be twice the mean: sqrt(0.05 * 0.5^2 * 2).
    assert float(fitted.scatter) < 0.16


@pytest.mark.slow
def test_noise_alone_moves_little() -> None:
    """32 nodes of four draws with a scatter of 0.6 nat: 0.3/sqrt(32) = 0.053 of a deviation."""
    rng = np.random.default_rng(1)
    shifts = []
    for _ in range(100):
        fitted = fit_tilt(grid(), draws(rng, 32, 0.0, 1.0, 0.6), 4)
        shifts.append((float(summarise_grid(tilted(grid(), fitted)).ebv_mean_mag) - CENTRE[0]) / SIGMA[0])
    # chi-squared of 100 values: the standard deviation is within 30 % at a false alarm of 1e-4.
    assert np.std(shifts) < 1.3 * 0.053


@pytest.mark.equation("EF6")
def test_weights_that_scatter_more_on_one_side_move_nothing() -> None:
    """Weights of mean one, one a node, that scatter by 0.1 nat on one side and by 1.1 on the other: the mean stays.

    A regression of their logarithms has half the variance for a slope, 0.15 nat a deviation, and moves the mean by as much. 128
    nodes leave 0.7 / sqrt(128) = 0.06 in each run, 200 runs 0.0045 in their mean.
    """
    rng = np.random.default_rng(3)
    n_runs, n_nodes = 200, 128
    z = rng.standard_normal((n_runs, n_nodes))
    spread = 0.1 + 1.0 / (1.0 + np.exp(-2.0 * z))
    log_weight = spread * rng.standard_normal(z.shape) - 0.5 * spread**2

    @jax.jit
    @jax.vmap
    def shift(ebv_mag: jax.Array, modulus_mag: jax.Array, log_weight: jax.Array) -> jax.Array:
        nothing = jnp.zeros_like(log_weight)
        weighted = WeightedDraws(
            ebv_mag=ebv_mag,
            modulus_mag=modulus_mag,
            log_weight=log_weight,
            flow_chi2=nothing,
            unreddened_g_mag=nothing,
        )
        after = summarise_grid(tilted(grid(), fit_tilt(grid(), weighted, 1)))
        return (after.ebv_mean_mag - CENTRE[0]) / SIGMA[0]

    shifts = np.asarray(
        shift(
            jnp.asarray(CENTRE[0] + SIGMA[0] * z, jnp.float32),
            jnp.asarray(CENTRE[1] + SIGMA[1] * rng.standard_normal(z.shape), jnp.float32),
            jnp.asarray(log_weight, jnp.float32),
        )
    )
    assert (
        abs(shifts.mean()) < 4 * 0.0045 + 0.02
    )  # beyond two deviations the correction is constant, which is not its law
    assert shifts.std() < 0.1


def test_noise_does_not_multiply_a_tail() -> None:
    """A peak with an eighth of its mass in a plateau up to the end of the prior; the grid is right, the weights scatter.

    With a correction that went on as a parabola to four deviations, the mean moved by up to half a deviation and the deviation by
    40 %; the step that judges the correction lets 15 % pass.
    """
    e = np.linspace(-0.05, 0.5, 18)
    density = 0.875 * np.exp(-0.5 * ((e - 0.15) / 0.035) ** 2) / (0.035 * np.sqrt(2 * np.pi))
    density = density + np.where(e > 0.15, 0.125 / 0.35, 1e-4)
    m = np.asarray(MU[::2])
    log_density = np.log(density)[None, :] - 0.5 * ((m[:, None] - CENTRE[1]) / SIGMA[1]) ** 2
    tailed = Grid(
        modulus_mag=jnp.asarray(m),
        ebv_mag=jnp.asarray(e),
        log_density=jnp.asarray(log_density),
        g_extinction_mag=jnp.zeros(18),
        bp_rp_mag=jnp.zeros(18),
    )
    before = summarise_grid(tailed)
    mass = np.exp(log_density).ravel() / np.exp(log_density).sum()
    rng = np.random.default_rng(5)
    n_runs, n_nodes = 200, 32
    node = np.stack([rng.choice(mass.size, n_nodes, p=mass) for _ in range(n_runs)])
    scatter = 0.6 * rng.standard_normal((n_runs, 4 * n_nodes))

    @jax.jit
    @jax.vmap
    def run(ebv_mag: jax.Array, modulus_mag: jax.Array, log_weight: jax.Array) -> tuple[jax.Array, jax.Array]:
        nothing = jnp.zeros_like(log_weight)
        weighted = WeightedDraws(
            ebv_mag=ebv_mag,
            modulus_mag=modulus_mag,
            log_weight=log_weight,
            flow_chi2=nothing,
            unreddened_g_mag=nothing,
        )
        after = summarise_grid(tilted(tailed, fit_tilt(tailed, weighted, 4)))
        shift = (after.ebv_mean_mag - before.ebv_mean_mag) / before.ebv_std_mag
        return shift, jnp.log(after.ebv_std_mag / before.ebv_std_mag)

    shift, widening = run(
        jnp.asarray(np.repeat(e[node % 18], 4, axis=1), jnp.float32),
        jnp.asarray(np.repeat(m[node // 18], 4, axis=1), jnp.float32),
        jnp.asarray(scatter, jnp.float32),
    )
    # The noise of 32 nodes is 0.05; what passes the judgement stays near it.
    passed = np.abs(widening) < FastSettings().max_widening
    assert passed.mean() > 0.9
    assert np.abs(shift)[passed].max() < 0.25
    assert np.std(shift) < 2 * 0.053


def test_small_systems_are_solved() -> None:
    a = np.random.default_rng(3).normal(size=(6, 9))
    matrix, vector = a @ a.T, np.arange(6.0)
    solution = solve_spd(jnp.asarray(matrix, jnp.float32), jnp.asarray(vector, jnp.float32))
    np.testing.assert_allclose(solution, np.linalg.solve(matrix, vector), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("k", [0.1, 0.5, 0.9])
def test_pareto_k_of_known_tails(k: float) -> None:
    """Weights that are themselves generalised Pareto; the estimator's deviation is about (1 + k)/sqrt(tail) = 0.1."""
    rng = np.random.default_rng(4)
    weight = (rng.random((40, 4000)) ** -k - 1.0) / k
    estimate = pareto_k(np.log(weight))
    assert np.mean(estimate) == pytest.approx(k, abs=0.08)


def test_pareto_k_of_equal_and_of_broken_weights() -> None:
    log_weight = np.zeros((3, 128))
    log_weight[1, 0] = 30.0
    log_weight[2, 5] = np.nan
    k = pareto_k(log_weight)
    assert k[0] < 0.5
    assert k[1] > 0.7
    assert np.isnan(k[2])
