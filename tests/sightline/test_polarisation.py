"""Starlight polarisation in the fit of clouds: prior, likelihood, what it finds, and what is refused."""

import numpy as np
import pytest
from astropy.table import Table
from scipy.stats import multivariate_normal

from redflower.api.polarisation import polarisation_of
from redflower.errors import InputError
from redflower.sightline import (
    DustPrior,
    TemperingSettings,
    cloud_summary,
    fit_sightline,
    make_grid,
    star_cells,
)
from redflower.sightline.clouds import cloud_problem, clouds_at
from redflower.sightline.likelihood import StarSet
from redflower.sightline.polarisation import (
    SCATTER_MEAN,
    WIDE,
    CloudPolarisation,
    StarPolarisation,
    polarisation_at,
    relative_density,
)
from redflower.validate.mock_densities import SightlineStars
from redflower.validate.mock_sightlines import mock_sightline
from tests.helpers.polarised_stars import PolarisingCloud, mock_polarisation

#: A layer of the mock samples of Pelgrims et al. (2023).
CLOUD = PolarisingCloud(distance_pc=400.0, p_max=0.02, inclination_deg=5.0, angle_deg=-15.0)
GRID = make_grid((-0.05, 0.5))


def stars_behind(n_stars: int, seed: int):
    rng = np.random.default_rng(seed)
    mock = mock_sightline(n_stars, [(400.0, 0.15)], rng, stars=SightlineStars(ambiguous_share=0.0))
    return mock, mock_polarisation(mock.true_distance_pc, [CLOUD], rng)


@pytest.mark.equation("ES16")
def test_the_prior_fills_the_disc_that_the_reddening_allows() -> None:
    """20,000 draws: shares are known to 0.0035, a mean of the scatter to 0.6 %."""
    points = np.random.default_rng(1).random((20_000, 1, 4))
    found = polarisation_at(points, np.full((20_000, 1), 0.1), 0.13)
    radius, angle = np.hypot(found.q, found.u) / 0.013, np.arctan2(found.u, found.q)
    assert radius.max() <= 1.0 + 1e-12
    for share in (0.2, 0.5, 0.8):
        assert np.mean(radius < np.sqrt(share)) == pytest.approx(share, abs=0.014)
    assert np.histogram(angle, 8, (-np.pi, np.pi))[0] / 20_000 == pytest.approx(np.full(8, 1 / 8), abs=0.01)
    # Along and across the mean, and nothing between them.
    cos, sin = found.q / np.hypot(found.q, found.u), found.u / np.hypot(found.q, found.u)
    along = found.qq * cos**2 + 2 * found.qu * cos * sin + found.uu * sin**2
    mixed = (found.uu - found.qq) * cos * sin + found.qu * (cos**2 - sin**2)
    np.testing.assert_allclose(mixed, 0.0, atol=1e-9)
    mean = SCATTER_MEAN - 1.0 / np.expm1(1.0 / SCATTER_MEAN)
    assert np.sqrt(along).mean() / 0.013 == pytest.approx(mean, rel=0.025)


@pytest.mark.equation("ES17")
def test_a_star_behind_two_clouds_has_the_sum_of_both() -> None:
    """Against scipy's normal densities; single precision."""
    stars = StarPolarisation(
        q=np.array([0.011, np.nan]),
        u=np.array([-0.004, 0.0]),
        q_error=np.array([0.002, 0.1]),
        u_error=np.array([0.003, 0.1]),
    )
    clouds = CloudPolarisation(
        q=np.array([[0.01, 0.005]]),
        u=np.array([[-0.002, 0.001]]),
        qq=np.array([[4e-6, 1e-6]]),
        uu=np.array([[2e-6, 1e-6]]),
        qu=np.array([[1e-6, 0.0]]),
    )
    found = relative_density(stars, clouds)
    noise = np.diag([0.002**2, 0.003**2])
    seen = [0.011, -0.004]
    wide = multivariate_normal([0, 0], noise + WIDE**2 * np.eye(2)).pdf(seen)
    first, both = np.array([[4e-6, 1e-6], [1e-6, 2e-6]]), np.array([[5e-6, 1e-6], [1e-6, 3e-6]])
    for k, (mean, scatter) in enumerate(
        (([0, 0], 0 * first), ([0.01, -0.002], first), ([0.015, -0.001], both))
    ):
        expected = multivariate_normal(mean, noise + scatter).pdf(seen) / wide
        assert found[0, k, 0] == pytest.approx(expected, rel=1e-4)
    np.testing.assert_array_equal(found[0, :, 1], 1.0)


def test_stars_without_polarisation_count_by_their_reddening_alone() -> None:
    """It is ES1 where nothing is measured, to the single precision of both."""
    mock, _ = stars_behind(40, 1)
    cells = star_cells(mock.density, GRID)
    none = np.full(40, np.nan)
    nothing = StarPolarisation(q=none, u=none, q_error=none, u_error=none)
    with_it, without = StarSet(cells, GRID, nothing), StarSet(cells, GRID)
    prior, rng = DustPrior(), np.random.default_rng(2)
    for n_clouds in (0, 2):
        points = cloud_problem(with_it, prior, n_clouds).start(20, rng)
        assert points.shape[1] == 3 + 7 * n_clouds
        dust = clouds_at(points, prior, GRID, n_clouds)
        plain = (
            points[:, :3],
            points[:, 3:].reshape(20, n_clouds, 7 if n_clouds else 3)[:, :, :3].reshape(20, -1),
        )
        np.testing.assert_allclose(
            with_it.log_likelihood(dust),
            without.log_likelihood(clouds_at(np.concatenate(plain, axis=1), prior, GRID, n_clouds)),
            atol=2e-3,
        )


def test_a_cloud_is_found_by_both_at_its_distance() -> None:
    """100 stars: the cloud's q and u are known to 0.0006, by the scatter of 0.005 of 90 stars behind it."""
    mock, polarisation = stars_behind(100, 3)
    quick = TemperingSettings(n_particles=100, n_moves=3, n_final=8)
    spread = {}
    for stars in (None, polarisation):
        fit = fit_sightline(
            mock.density, (-0.05, 0.5), np.random.default_rng(1), max_clouds=1, settings=quick, polarisation=stars, monotone=False
        )  # fmt: skip
        (cloud,) = cloud_summary(fit.models[1])
        spread[stars is None] = cloud["distance_pc_std"]
    assert fit.models[1].probability > 0.99
    q, u = CLOUD.mean()
    assert [cloud["q"], cloud["u"]] == pytest.approx([q, u], abs=0.0025)
    assert cloud["angle_deg"] == pytest.approx(-15.0, abs=5.0)
    assert cloud["distance_pc"] == pytest.approx(400.0, abs=4 * cloud["distance_pc_std"])
    assert cloud["p"] < 0.13 * cloud["ebv_mag"] + 3e-4
    # What more data tell is not worth less, but for the draws' own error.
    assert spread[False] < 1.1 * spread[True]


def test_polarisation_is_joined_by_source() -> None:
    table = Table({"source_id": [5, 3, 9, 1, 4, 2], "q": np.arange(6) / 100, "u": np.zeros(6)})
    table["q_error"] = table["u_error"] = 0.001
    found = polarisation_of(table, np.array([1, 2, 3, 4, 5, 6]))
    np.testing.assert_array_equal(found.q, [0.03, 0.05, 0.01, 0.04, 0.0, np.nan])
    assert found.measured.tolist() == [True] * 5 + [False]


def test_polarisation_that_cannot_be_is_refused() -> None:
    table = Table(
        {"source_id": np.arange(6), "q": np.full(6, 2.0), "u": np.zeros(6), "q_error": np.full(6, 0.1)}
    )
    source = np.arange(6)
    with pytest.raises(InputError, match="u_error are missing"):
        polarisation_of(table, source)
    table["u_error"] = 0.1
    with pytest.raises(InputError, match="per cent"):
        polarisation_of(table, source)
    table["q"] = 0.01
    with pytest.raises(InputError, match="0 of the 6 stars"):
        polarisation_of(table, source + 100)
    table["q_error"] = 0.0
    with pytest.raises(InputError, match="must be positive"):
        polarisation_of(table, source)
    table["source_id"] = 1
    with pytest.raises(InputError, match="more than once"):
        polarisation_of(table, source)
    mock, polarisation = stars_behind(10, 1)
    with pytest.raises(InputError, match="does not drift"):
        fit_sightline(
            mock.density, (-0.05, 0.5), np.random.default_rng(1), prior=DustPrior(drift_std=0.01), polarisation=polarisation
        )  # fmt: skip
