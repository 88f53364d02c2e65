"""Ranks of truths among posteriors: uniform where these are calibrated, and said not to be where they are not."""

import numpy as np
import pytest
from scipy import stats

from redflower.posterior.density import N_EBV_NODES, N_MODULUS_NODES, JointDensity, quantise_log_density
from redflower.validate.ranks import MIN_IN_CELL, coverage_by_cell, data_averaged, ranks_of, uniformity

N = 2000


def correlated_posteriors(rng: np.random.Generator, *, width: float = 1.0, shift: float = 0.0):
    """Normal posteriors of (E, modulus) with a correlation of -0.7, and truths that are draws of them.

    ``width`` and ``shift`` are the errors of posteriors that are not calibrated, in units of their deviations.
    """
    sigma = np.array([0.03, 0.2])
    matrix = np.array([[1.0, -0.7], [-0.7, 1.0]])
    centre = np.column_stack([rng.uniform(0.1, 0.3, N), rng.uniform(8.0, 11.0, N)])
    truth = centre + sigma * rng.multivariate_normal([0.0, 0.0], matrix, N)
    centre = centre + shift * sigma
    scale = width * sigma
    low = centre - 5.0 * scale
    density = JointDensity(
        ebv_start_mag=low[:, 0],
        ebv_step_mag=np.full(N, 10.0 * scale[0] / (N_EBV_NODES - 1)),
        modulus_start_mag=low[:, 1],
        modulus_step_mag=np.full(N, 10.0 * scale[1] / (N_MODULUS_NODES - 1)),
        steps_below_peak=np.zeros((N, N_MODULUS_NODES, N_EBV_NODES), np.uint8),
    )
    a = (density.ebv_nodes_mag() - centre[:, :1])[:, None, :] / scale[0]
    b = (density.modulus_nodes_mag() - centre[:, 1:])[:, :, None] / scale[1]
    log_density = -0.5 * (a**2 + b**2 + 2 * 0.7 * a * b) / (1.0 - 0.7**2)
    values = vars(density) | {"steps_below_peak": quantise_log_density(log_density)}
    return JointDensity(**values), truth


def judged(seed: int, **errors: float) -> dict[str, dict]:
    rng = np.random.default_rng(seed)
    density, truth = correlated_posteriors(rng, **errors)
    ranks = ranks_of(density, truth[:, 0], truth[:, 1], rng)
    return {name: uniformity(getattr(ranks, name)) for name in ("ebv", "modulus", "log_density", "region")}


def test_ranks_of_calibrated_posteriors_are_uniform() -> None:
    """Each band holds 95 of 100: of four quantities of five sets, more than four outside has a chance of 0.3 %."""
    outside = sum(not one["inside"] for seed in range(5) for one in judged(seed).values())
    assert outside <= 4


@pytest.mark.parametrize(
    ("errors", "seen_by"),
    [
        ({"width": 1.25}, {"log_density", "region"}),
        ({"width": 0.8}, {"log_density", "region"}),
        ({"shift": 0.15}, {"ebv", "modulus"}),
    ],
    ids=["too wide", "too narrow", "biased"],
)
def test_ranks_of_posteriors_that_are_off_say_so(errors, seen_by) -> None:
    found = judged(7, **errors)
    assert seen_by <= {name for name, one in found.items() if not one["inside"]}


def test_the_log_likelihood_is_the_density_without_its_distance_prior() -> None:
    """Where all of the density is the prior, the likelihood is the same everywhere: no draw has less, but for rounding by half a
    step of the stored density. Where the prior is uniform, the ranks are those of the density."""
    rng = np.random.default_rng(2)
    density, truth = correlated_posteriors(rng)
    uniform = ranks_of(density, truth[:, 0], truth[:, 1], np.random.default_rng(3))
    np.testing.assert_array_equal(uniform.log_likelihood, uniform.log_density)
    slope = ranks_of(
        density, truth[:, 0], truth[:, 1], np.random.default_rng(3), lambda rows, modulus: 5.0 * modulus
    )
    # A prior that rises by 5 nat per mag makes the far draws, of which a deviation of 0.2 mag is 1 nat, less likely.
    far = truth[:, 1] > density.modulus_nodes_mag().mean(axis=1)
    assert np.mean(slope.log_likelihood[far]) < np.mean(uniform.log_likelihood[far]) - 0.05
    assert np.mean(slope.log_likelihood[~far]) > np.mean(uniform.log_likelihood[~far]) + 0.05
    np.testing.assert_array_equal(slope.log_density, uniform.log_density)


def test_the_mean_of_right_posteriors_is_the_prior_and_of_biased_ones_is_not() -> None:
    """Of seven cells the furthest is beyond 3.5 errors once in 300 times."""
    edges = np.linspace(0.05, 0.35, 8)
    found = {}
    for shift in (0.0, 0.5):
        density, truth = correlated_posteriors(np.random.default_rng(5), shift=shift)
        found[shift] = data_averaged(density, truth[:, 0], edges)
    assert found[0.0]["worst"] < 3.5
    assert found[0.5]["worst"] > 5.0
    assert sum(found[0.0]["prior"]) == pytest.approx(sum(found[0.0]["posterior"]), abs=0.02)


def test_the_band_is_kolmogorovs_and_holds_uniform_ranks_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    inside = [uniformity(rng.random(300))["inside"] for _ in range(2000)]
    # 95 % of 2,000: a scatter of 0.5 %.
    assert np.mean(inside) == pytest.approx(0.95, abs=0.02)
    one = uniformity(rng.random(300))
    assert one["band"] == pytest.approx(stats.kstwo.ppf(0.95, 300))


def test_cells_name_what_is_biased_and_leave_few_stars_alone() -> None:
    rng = np.random.default_rng(1)
    rank, place = rng.random(1000), np.repeat([0.5, 1.5, 2.5], [600, 350, 50])
    rank[place == 1.5] = 0.5 * rank[place == 1.5]
    residual = np.where(place == 1.5, 0.02, 0.0) + 0.01 * rng.standard_normal(1000)
    cells = coverage_by_cell(rank, residual, {"colour": (place, (0.0, 1.0, 2.0, 3.0))})
    assert [c["n"] for c in cells] == [600, 350]
    assert MIN_IN_CELL == 100
    assert cells[0]["inside_68"] == pytest.approx(0.68, abs=3 * cells[0]["error"])
    # Ranks from 0 to 0.5: those from 0.16 on are inside, 0.68 of them.
    assert cells[1]["residual_mean"] == pytest.approx(0.02, abs=3 * cells[1]["residual_error"])
