"""What the fast forms of the sightline's likelihood must equal, and what its intervals and limits must hold."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import gammaincinv, ndtr

from redflower.sightline import CloudModel, Dust, DustPrior, SightlineFit, make_grid, star_cells
from redflower.sightline.clouds import (
    PROFILE_SCALE_MAG,
    PROFILE_SHAPE,
    profile_at,
    profile_edges_mag,
    profile_problem,
)
from redflower.sightline.likelihood import StarSet, kernel_cells
from redflower.validate.mock_sightlines import mock_sightline

RANGE = (-0.05, 0.5)


def clouds(ebv_mag: np.ndarray) -> Dust:
    """Draws of clouds at 100 pc, 1 kpc, 10 kpc, ... with these reddenings."""
    ebv_mag = np.asarray(ebv_mag, dtype=float)
    n = len(ebv_mag)
    return Dust(
        foreground_mag=np.zeros(n),
        scatter_mag=np.full(n, 0.01),
        outlier_share=np.zeros(n),
        modulus_mag=np.broadcast_to(5.0 + 5.0 * np.arange(ebv_mag.shape[1]), ebv_mag.shape),
        ebv_mag=ebv_mag,
        patchiness=np.zeros(ebv_mag.shape),
        drift=np.zeros(n),
        drifts_between_mag=(4.0, 13.0),
    )


def fit_of(*models: tuple[float, np.ndarray]) -> SightlineFit:
    """A fit with these probabilities and draws of reddenings."""
    return SightlineFit(
        models=tuple(
            CloudModel(
                n_clouds=ebv.shape[1],
                log_evidence=np.log(probability),
                log_evidence_error=0.0,
                probability=probability,
                draws=clouds(ebv),
                log_likelihood_max=0.0,
            )
            for probability, ebv in models
        ),
        monotone=None,
        monotone_log_evidence=np.nan,
        n_stars=100,
        prior=DustPrior(),
    )


@pytest.mark.equation("ES2")
def test_the_kernel_is_a_normal_distribution() -> None:
    """Two distribution functions, each good to 3e-7 in float32, are subtracted and divided by the 0.95 within the limits."""
    dust = replace(clouds(np.array([[0.07]])), scatter_mag=np.array([0.03]))
    edges = make_grid(RANGE).ebv_edges_mag
    for level, found in zip((0.0, 0.07), kernel_cells(dust, make_grid(RANGE))[0], strict=True):
        below = ndtr((edges - level) / 0.03)
        np.testing.assert_allclose(found, np.diff(below) / (below[-1] - below[0]), atol=1e-6)


@pytest.mark.equation("ES1")
def test_steps_at_the_same_distances_in_all_sightlines_are_added_as_others() -> None:
    """One matrix product against sightline by sightline: float32 sums of 60 stars' logarithms."""
    mock = mock_sightline(60, [(300.0, 0.1), (1200.0, 0.05)], np.random.default_rng(0))
    grid = make_grid(RANGE)
    stars = StarSet(star_cells(mock.density, grid), grid)
    problem = profile_problem(stars, DustPrior())
    points = problem.start(5, np.random.default_rng(1))
    together = problem.log_likelihood(points)
    apart = [problem.log_likelihood(points[k : k + 1])[0] for k in range(5)]
    np.testing.assert_allclose(together, apart, atol=2e-3)


@pytest.mark.equation("ES8")
def test_steps_of_the_profile_have_quantiles_of_a_gamma_distribution() -> None:
    """They are interpolated to a relative 1e-4."""
    prior = DustPrior()
    n_dim = prior.n_shared + 1 + len(profile_edges_mag(prior))
    heights = np.random.default_rng(0).random((200, n_dim))
    found = profile_at(heights, prior, make_grid(RANGE)).ebv_mag
    exact = PROFILE_SCALE_MAG * gammaincinv(PROFILE_SHAPE, heights[:, prior.n_shared + 1 :])
    np.testing.assert_allclose(found, exact, rtol=1e-4, atol=1e-12)


def test_the_shortest_interval_holds_its_share_where_half_of_the_draws_are_nothing() -> None:
    """No cloud with 0.5, else E(B-V) uniform up to 0.1 mag: 68 % are between 0 and 0.036 mag, quantiles of 16 and 84 % hold 84 %.

    Of 1,000 draws neighbours are 1e-4 mag apart."""
    ebv = np.linspace(0.0, 0.1, 1001)[1:, None]
    band = fit_of((0.5, np.zeros((1000, 0))), (0.5, ebv)).profile(np.array([2000.0]))
    assert band["q16"][0] == 0.0
    assert band["q84"][0] == pytest.approx(0.068, abs=2e-4)
    assert band["low68"][0] == 0.0
    assert band["high68"][0] == pytest.approx(0.036, abs=2e-4)
    assert band["high90"][0] == pytest.approx(0.080, abs=2e-4)
    assert band["high95"][0] == pytest.approx(0.090, abs=2e-4)


def test_the_shortest_interval_follows_the_peak_of_a_skewed_distribution() -> None:
    """An exponential distribution is densest at its lower end: 90 % lie below -ln 0.1 scales."""
    ebv = -0.01 * np.log1p(-(np.arange(4000) + 0.5) / 4000)[:, None]
    band = fit_of((1.0, ebv)).profile(np.array([2000.0]))
    assert band["low90"][0] == pytest.approx(0.0, abs=1e-4)
    assert band["high90"][0] == pytest.approx(-0.01 * np.log(0.1), rel=0.02)


def test_the_limit_on_a_further_cloud_is_that_of_the_next_strongest() -> None:
    """One cloud with 0.6, two with 0.4, the weaker uniform up to 0.04 mag: below 0.035 mag with 0.6 + 0.4 * 0.875 = 0.95."""
    weak = np.linspace(0.0, 0.04, 1001)[1:]
    two = np.stack([weak, np.full(1000, 0.1)], axis=1)
    fit = fit_of((0.6, np.full((1000, 1), 0.1)), (0.4, two))
    assert fit.limit_on_further_mag(1) == pytest.approx(0.035, abs=2e-4)
    # Beyond no cloud at all the next is the strong one; beyond two there is none.
    assert fit.limit_on_further_mag(0) == pytest.approx(0.1)
    assert fit.limit_on_further_mag(2) == 0.0
