"""The cloud fit: each equation against a direct computation, and what must not silence or bend a sightline."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import ndtr
from scipy.stats import kstest

from redflower.errors import InputError
from redflower.posterior.bridge import bridge
from redflower.posterior.columns import EMPTY
from redflower.posterior.density import N_EBV_NODES, N_MODULUS_NODES, JointDensity, quantise_log_density
from redflower.posterior.density_nodes import on_finer_nodes, usable_densities
from redflower.sightline import DustPrior, TemperingSettings, fit_sightline, make_grid, star_cells
from redflower.sightline.cells import flat_distance_log_weight
from redflower.sightline.clouds import (
    cloud_problem,
    clouds_at,
    log_evidence_of_one_more,
    profile_at,
    profile_edges_mag,
)
from redflower.sightline.dust import Dust
from redflower.sightline.likelihood import StarSet, kernel_cells
from redflower.sightline.problem import Problem
from redflower.sightline.result import cloud_summary
from redflower.sightline.tempering import log_evidence_by_bridge, sample
from redflower.validate.mock_densities import SightlineStars
from redflower.validate.mock_sightlines import mock_sightline

RANGE = (-0.05, 0.5)
QUICK = TemperingSettings(n_particles=120, n_moves=4, n_final=16)


def normal_stars(ebv, modulus, sigma_ebv, sigma_mu) -> JointDensity:
    """Stars with independent normal densities, cut at the limits of the reddening prior."""
    ebv, modulus = np.atleast_1d(ebv).astype(float), np.atleast_1d(modulus).astype(float)
    low = np.clip(ebv - 5 * sigma_ebv, *RANGE)
    high = np.clip(ebv + 5 * sigma_ebv, *RANGE)
    density = JointDensity(
        ebv_start_mag=low,
        ebv_step_mag=(high - low) / (N_EBV_NODES - 1),
        modulus_start_mag=modulus - 5 * sigma_mu,
        modulus_step_mag=np.full(len(ebv), 10 * sigma_mu / (N_MODULUS_NODES - 1)),
        steps_below_peak=np.zeros((len(ebv), N_MODULUS_NODES, N_EBV_NODES), np.uint8),
    )
    a = (density.ebv_nodes_mag() - ebv[:, None])[:, None, :] / sigma_ebv
    b = (density.modulus_nodes_mag() - modulus[:, None])[:, :, None] / sigma_mu
    return replace(density, steps_below_peak=quantise_log_density(-0.5 * (a**2 + b**2)))


@pytest.mark.equation("E28")
def test_a_star_that_may_be_no_star_says_that_much_less() -> None:
    """Its likelihood under any kernel is (1 - p) times what it would be, plus p; at p = 1 it says nothing."""
    grid = make_grid(RANGE)
    density = normal_stars([0.1, 0.1, 0.1], [8.0, 8.0, 8.0], 0.03, 0.2)
    kernel = np.diff(np.linspace(0.0, 1.0, len(grid.ebv_edges_mag)) ** 2)
    plain, mixed = (
        (star_cells(density, grid, p_outlier=p) @ kernel).sum(axis=1)
        for p in (None, np.array([0.0, 0.3, 1.0]))
    )
    # Cells are float32.
    np.testing.assert_allclose(mixed, [plain[0], 0.7 * plain[1] + 0.3, 1.0], rtol=1e-5)


def refined_marginals(density: JointDensity) -> list[tuple[np.ndarray, np.ndarray]]:
    """Nodes and marginal density of E(B-V) and of distance modulus, on four times the nodes, as the cells have them."""
    value = np.exp(on_finer_nodes(np.maximum(density.log_density(), -40.0)))
    out = []
    for nodes, marginal in (
        (density.ebv_nodes_mag(), value.sum(1)),
        (density.modulus_nodes_mag(), value.sum(2)),
    ):
        out.append((nodes[:, :1] + np.diff(nodes)[:, :1] * np.arange(marginal.shape[1]) / 4.0, marginal))
    return out


def test_mock_stars_have_the_densities_that_they_say_they_have() -> None:
    """Reddenings drawn from the prior of the densities: the truth's place in every star's marginals is uniform, for near
    stars of two solutions too. Kolmogorov-Smirnov, eight tests: a false alarm in one of 1,000 runs."""
    mock = mock_sightline(12_000, [], np.random.default_rng(4), outlier_share=1.0)
    truth = (mock.true_ebv_mag, 5.0 * np.log10(mock.true_distance_pc / 10.0))
    marginals = refined_marginals(mock.density)
    nodes, marginal = marginals[1]
    distance_pc = 10.0 ** (1.0 + (nodes * marginal).sum(axis=1) / marginal.sum(axis=1) / 5.0)
    for (nodes, marginal), true in zip(marginals, truth, strict=True):
        below = np.cumsum(0.5 * (marginal[:, 1:] + marginal[:, :-1]), axis=1)
        below = np.concatenate([np.zeros((len(below), 1)), below], axis=1) / below[:, -1:]
        place = np.array([np.interp(*row) for row in zip(true, nodes, below, strict=True)])
        for near, far in ((0, 400), (400, 800), (800, 1600), (1600, np.inf)):
            here = (distance_pc >= near) & (distance_pc < far)
            assert here.sum() > 500
            assert kstest(place[here], "uniform").pvalue > 1e-3 / 8, (near, far)


def one_cloud(
    modulus=8.0, ebv=0.1, foreground=0.01, scatter=0.01, patchiness=0.2, outliers=0.05, drift=0.0
) -> Dust:
    one, row = np.ones(1), np.ones((1, 1))
    return Dust(
        foreground_mag=foreground * one,
        scatter_mag=scatter * one,
        outlier_share=outliers * one,
        modulus_mag=modulus * row,
        ebv_mag=ebv * row,
        patchiness=patchiness * row,
        drift=drift * one,
        drifts_between_mag=(6.0, 11.0),
    )


@pytest.mark.equation("ES1")
def test_cells_hold_the_density_and_nothing_else() -> None:
    """Masses in cells against the normal distribution. Steps of 0.1 nat round each node by 2.9 % rms; a cell's marginal
    averages about 10 nodes, so 3 % is three times its error."""
    grid = make_grid(RANGE)
    cells = star_cells(normal_stars(0.2, 9.0, 0.04, 0.3), grid)[0]
    mass = cells * np.diff(grid.ebv_edges_mag) / (RANGE[1] - RANGE[0])
    assert mass.sum() == pytest.approx(1.0, abs=1e-5)
    on_ebv = np.diff(ndtr((grid.ebv_edges_mag - 0.2) / 0.04))
    on_mu = np.diff(ndtr((grid.modulus_edges_mag - 9.0) / 0.3))
    np.testing.assert_allclose(mass.sum(axis=0), on_ebv, atol=0.03 * on_ebv.max())
    np.testing.assert_allclose(mass.sum(axis=1), on_mu, atol=0.03 * on_mu.max())


@pytest.mark.equation("ES2")
@pytest.mark.parametrize("ebv", [0.0, 0.1, 0.45])
def test_the_kernel_is_normalised_between_the_limits(ebv: float) -> None:
    """At E = 0 with a scatter of 0.03 mag 5 % of the normal lie below the limit of -0.05 mag."""
    dust = one_cloud(ebv=ebv, foreground=0.0, scatter=0.03, patchiness=0.5)
    np.testing.assert_allclose(kernel_cells(dust, make_grid(RANGE)).sum(axis=2), 1.0, atol=1e-5)


@pytest.mark.equation("ES3")
def test_levels_and_scatters_add_up_with_the_clouds() -> None:
    dust = replace(
        one_cloud(foreground=0.01, scatter=0.004),
        modulus_mag=np.array([[7.0, 11.0]]),
        ebv_mag=np.array([[0.1, 0.05]]),
        patchiness=np.array([[0.3, 0.2]]),
    )
    np.testing.assert_allclose(dust.levels_mag(), [[0.01, 0.11, 0.16]])
    expected = [0.004, np.hypot(0.004, 0.03), np.sqrt(0.004**2 + 0.03**2 + 0.01**2)]
    np.testing.assert_allclose(dust.scatters_mag()[0], expected)
    np.testing.assert_allclose(dust.profile_mag(np.array([6.0, 8.0, 12.0])), [[0.0, 0.1, 0.15]])


@pytest.mark.equation("ES4")
def test_the_likelihood_against_a_sum_over_every_cell() -> None:
    """The fast form, differences of running sums at the clouds, against the plain double sum."""
    rng = np.random.default_rng(0)
    mock = mock_sightline(40, [(300.0, 0.1), (1200.0, 0.05)], rng)
    grid = make_grid(RANGE)
    cells = star_cells(mock.density, grid)
    stars = StarSet(cells, grid)
    prior = DustPrior()
    dust = clouds_at(cloud_problem(stars, prior, 2).start(6, rng), prior, grid, 2)
    kernel = kernel_cells(dust, grid)
    edges = grid.modulus_edges_mag
    for k in range(6):
        behind = np.clip((edges[1:] - dust.modulus_mag[k][:, None]) / np.diff(edges), 0, 1)
        share = np.array([1 - behind[0], behind[0] - behind[1], behind[1]])
        weight = np.einsum("sm,se->me", share, kernel[k])
        inlier = (cells * weight).sum(axis=(1, 2))
        direct = np.log((1 - dust.outlier_share[k]) * inlier + dust.outlier_share[k]).sum()
        assert stars.log_likelihood(dust)[k] == pytest.approx(direct, abs=2e-3)


@pytest.mark.equation("ES3")
@pytest.mark.equation("ES4")
def test_the_likelihood_of_a_drift_against_a_sum_over_every_cell() -> None:
    """Bins of 0.5 mag against a mean that changes from cell to cell of 0.1 mag between 6 and 11 mag: they differ by up to
    0.005 mag in a star, for errors of 0.02 mag and more, with either sign. Two clouds in one bin, one before the drift."""
    mock = mock_sightline(60, [(300.0, 0.1)], np.random.default_rng(0))
    grid = make_grid(RANGE)
    cells = star_cells(mock.density, grid)
    stars = StarSet(cells, grid)
    middle = 0.5 * (grid.modulus_edges_mag[1:] + grid.modulus_edges_mag[:-1])
    places = np.array([[5.5, 8.1, 8.3]])
    plain = replace(
        one_cloud(foreground=0.01, scatter=0.01, outliers=0.05),
        modulus_mag=places,
        ebv_mag=np.array([[0.02, 0.06, 0.04]]),
        patchiness=np.full((1, 3), 0.2),
    )
    for drift in (-0.01, 0.01, 0.02):
        dust = replace(plain, drift=np.array([drift]))
        weight = []
        for mu in middle:
            zero = dust.foreground_mag + drift * (np.clip(mu, 6.0, 11.0) - 6.0)
            weight.append(kernel_cells(replace(plain, foreground_mag=zero), grid)[0, (places < mu).sum()])
        inlier = (cells * np.stack(weight)).sum(axis=(1, 2))
        direct = np.log(0.95 * inlier + 0.05).sum()
        without = stars.log_likelihood(plain)[0]
        assert abs(direct - without) > 1.0
        assert stars.log_likelihood(dust)[0] == pytest.approx(direct, abs=0.05 * abs(direct - without)), drift


def test_no_drift_is_the_limit_of_a_small_one() -> None:
    """The two ways of adding a star up agree."""
    rng = np.random.default_rng(1)
    mock = mock_sightline(40, [(300.0, 0.1)], rng)
    grid = make_grid(RANGE)
    stars, prior = StarSet(star_cells(mock.density, grid), grid), DustPrior()
    for n_clouds in (0, 1, 3):
        dust = clouds_at(cloud_problem(stars, prior, n_clouds).start(200, rng), prior, grid, n_clouds)
        small = replace(dust, drift=np.full(200, 1e-9))
        np.testing.assert_allclose(stars.log_likelihood(small), stars.log_likelihood(dust), atol=2e-3)


def test_only_outliers_give_one_for_every_star() -> None:
    grid = make_grid(RANGE)
    stars = StarSet(star_cells(normal_stars([0.1, 0.2], [8.0, 9.0], 0.03, 0.2), grid), grid)
    assert stars.log_likelihood(one_cloud(outliers=1.0))[0] == pytest.approx(0.0, abs=1e-5)


def test_one_nan_star_does_not_silence_the_others() -> None:
    grid = make_grid(RANGE)
    density = normal_stars([0.1, 0.2, 0.12], [8.0, 9.0, 10.0], 0.03, 0.2)
    alone = StarSet(star_cells(density, grid), grid)
    start, empty = density.ebv_start_mag.copy(), density.steps_below_peak.copy()
    start[1] = np.nan
    broken = replace(density, ebv_start_mag=start)
    assert usable_densities(broken).tolist() == [True, False, True]
    empty[1] = EMPTY
    nothing = replace(density, steps_below_peak=empty)
    rest = density.rows(np.array([0, 2]))
    for damaged in (broken, nothing):
        stars = StarSet(star_cells(damaged, grid), grid)
        assert stars.n_stars == 2
        expected = StarSet(star_cells(rest, grid), grid).log_likelihood(one_cloud())
        np.testing.assert_allclose(stars.log_likelihood(one_cloud()), expected, rtol=1e-6)
        assert stars.log_likelihood(one_cloud())[0] != pytest.approx(
            alone.log_likelihood(one_cloud())[0], abs=0.01
        )


@pytest.mark.equation("ES1")
def test_dividing_the_distance_prior_out_leaves_the_likelihood() -> None:
    """A star with a weak parallax: its density over the prior is the normal likelihood in the modulus again."""
    density = normal_stars(0.1, 9.5, 0.03, 0.6)
    log_length, alpha, beta = (np.array([v]) for v in (np.log(500.0), 0.9, 1.6))
    weight = flat_distance_log_weight(density, log_length, alpha, beta)
    ratio = 10.0 ** (1 + density.modulus_nodes_mag() / 5) / 500.0
    log_prior = (1.6 + 1.0) * np.log(ratio) - ratio**0.9
    np.testing.assert_allclose(weight + log_prior, (weight + log_prior)[0, 0], atol=2e-3)
    with_prior = quantise_log_density(density.log_density() + log_prior[:, :, None])
    held = replace(density, steps_below_peak=with_prior)
    grid = make_grid(RANGE)
    back = star_cells(held, grid, weight)[0].sum(axis=1)
    plain = star_cells(density, grid)[0].sum(axis=1)
    # Steps of 0.1 nat, taken twice.
    np.testing.assert_allclose(back, plain, atol=0.05 * plain.max())
    assert abs(star_cells(held, grid)[0].sum(axis=1) - plain).max() > 0.2 * plain.max()


@pytest.mark.equation("ES5")
def test_clouds_on_the_cube_have_their_prior() -> None:
    """Quantiles of 20,000 draws; the standard error of a share is 0.004."""
    rng = np.random.default_rng(0)
    prior, grid = DustPrior(), make_grid(RANGE)
    dust = clouds_at(rng.random((20_000, 6)), prior, grid, 1)
    near, far = prior.modulus_mag
    assert np.mean(dust.modulus_mag < near + 0.25 * (far - near)) == pytest.approx(0.25, abs=0.015)
    weight = [1 / (e + 0.05) for e in (0.005, 0.1, 0.5)]
    assert np.mean(dust.ebv_mag < 0.1) == pytest.approx(
        (weight[0] - weight[1]) / (weight[0] - weight[2]), abs=0.015
    )
    assert dust.ebv_mag.min() >= 0.005 - 1e-9
    assert np.mean(dust.patchiness > 0.2) == pytest.approx(
        (np.exp(-1) - np.exp(-5)) / (1 - np.exp(-5)), abs=0.015
    )
    assert dust.foreground_mag.min() >= -0.05
    assert dust.foreground_mag.std() == pytest.approx(0.02, rel=0.05)
    assert dust.outlier_share.mean() == pytest.approx(0.05, rel=0.05)


@pytest.mark.equation("ES5")
def test_a_drift_has_its_prior_and_moves_nothing_else() -> None:
    """Deviation of 20,000 draws within 2 %: four standard errors. The other numbers of the cube mean what they meant."""
    rng, grid = np.random.default_rng(0), make_grid(RANGE)
    points = rng.random((20_000, 7))
    drifting = clouds_at(points, DustPrior(drift_std=0.01), grid, 1)
    assert drifting.drift.std() == pytest.approx(0.01, rel=0.02)
    assert abs(drifting.drift.mean()) < 3e-4
    still = clouds_at(np.delete(points, 3, axis=1), DustPrior(), grid, 1)
    for name in ("foreground_mag", "scatter_mag", "outlier_share", "modulus_mag", "ebv_mag", "patchiness"):
        np.testing.assert_array_equal(getattr(drifting, name), getattr(still, name))
    assert not still.drift.any()
    with pytest.raises(InputError, match="drift_std"):
        DustPrior(drift_std=-0.01)
    with pytest.raises(InputError, match="scatter_mag"):
        DustPrior(scatter_mag=(0.002, 0.001))


@pytest.mark.equation("ES8")
def test_the_profile_without_clouds_never_falls() -> None:
    prior = DustPrior()
    points = np.random.default_rng(0).random((200, 4 + len(profile_edges_mag(prior))))
    dust = profile_at(points, prior, make_grid(RANGE))
    assert (np.diff(dust.levels_mag(), axis=1) >= 0).all()
    # Mean of a gamma variable: shape times scale.
    assert dust.ebv_mag.mean() == pytest.approx(0.015, rel=0.15)


@pytest.mark.equation("ES7")
def test_bridge_gives_the_ratio_of_two_known_integrals() -> None:
    """exp(-x^2/2) and exp(2 - (x - 1)^2): ln of the ratio is 2 + ln(sqrt(pi) / sqrt(2 pi))."""
    rng = np.random.default_rng(0)
    target, proposal = 1.0 + np.sqrt(0.5) * rng.normal(size=4000), rng.normal(size=4000)

    def log_ratio(x: np.ndarray) -> np.ndarray:
        return 2.0 - (x - 1.0) ** 2 + 0.5 * x**2

    value, error, overlap = bridge(log_ratio(target), log_ratio(proposal))
    assert value == pytest.approx(2.0 - 0.5 * np.log(2.0), abs=5 * error)
    assert error < 0.05
    assert 0.3 < overlap < 1.0


@pytest.mark.equation("ES6")
def test_the_sampler_finds_a_known_evidence_and_both_modes() -> None:
    """Two normal peaks of 1 and 3 parts in the unit cube of 4 dimensions; the evidence is 1."""
    centre, width = np.array([[0.3] * 4, [0.7] * 4]), 0.04

    def log_likelihood(points: np.ndarray) -> np.ndarray:
        square = ((points[:, None] - centre) ** 2).sum(axis=2) / width**2
        return (
            np.logaddexp(*(np.log([0.25, 0.75]) - 0.5 * square).T) - 2 * np.log(2 * np.pi) - 4 * np.log(width)
        )

    problem = Problem(
        n_dim=4,
        log_likelihood=log_likelihood,
        start=lambda n, rng: rng.random((n, 4)),
        valid=lambda p: np.ones(len(p), dtype=bool),
    )
    found = sample(
        problem, np.random.default_rng(1), TemperingSettings(n_particles=300, n_moves=9, n_final=32)
    )
    log_evidence, _, _ = log_evidence_by_bridge(problem, found, np.random.default_rng(2))
    assert log_evidence == pytest.approx(0.0, abs=0.05)
    assert np.mean(found.points[:, 0] > 0.5) == pytest.approx(0.75, abs=0.1)


@pytest.mark.equation("ES7")
def test_the_evidence_of_a_bent_density_in_twelve_dimensions() -> None:
    """A sheared normal of as many dimensions as three clouds have; the evidence is 1.

    What the mixture was fitted to must not judge it: the later draws of the same particles give -0.20 nat, other particles
    -0.07, and the mean of six runs is known to 0.01.
    """
    n_dim, width = 12, 0.05
    covariance = width**2 * (0.5 * np.eye(n_dim) + 0.5)
    inverse = np.linalg.inv(covariance)
    constant = -0.5 * (np.linalg.slogdet(covariance)[1] + n_dim * np.log(2.0 * np.pi))

    def log_likelihood(points: np.ndarray) -> np.ndarray:
        off = points - 0.5
        off = off + (off[:, :1] ** 2 - width**2) / width * np.arange(n_dim) / n_dim
        return constant - 0.5 * np.einsum("ni,ij,nj->n", off, inverse, off)

    problem = Problem(
        n_dim=n_dim,
        log_likelihood=log_likelihood,
        start=lambda n, rng: rng.random((n, n_dim)),
        valid=lambda p: np.ones(len(p), dtype=bool),
    )
    settings = TemperingSettings(n_particles=300)
    found = []
    for k in range(6):
        rng = np.random.default_rng(k)
        found.append(log_evidence_by_bridge(problem, sample(problem, rng, settings), rng)[0])
    assert np.mean(found) == pytest.approx(0.0, abs=0.12)


def test_one_cloud_in_the_place_of_two_is_put_at_the_better() -> None:
    """Two clouds, 150 stars: one cloud fits either, one place 28 nat better than the other. Every run must find it."""
    mock = mock_sightline(150, [(370.0, 0.1), (1500.0, 0.15)], np.random.default_rng(1))
    found = [
        fit_sightline(
            mock.density, (-0.1, 1.1), np.random.default_rng(k), max_clouds=1, monotone=False
        ).models[1]
        for k in range(4)
    ]
    evidences = np.array([model.log_evidence for model in found])
    assert np.ptp(evidences) < 0.3


@pytest.fixture(scope="module")
def free_of_dust() -> tuple[StarSet, DustPrior]:
    mock = mock_sightline(80, [], np.random.default_rng(3), scatter_mag=0.003)
    grid = make_grid(RANGE)
    return StarSet(star_cells(mock.density, grid), grid), DustPrior(distance_pc=(200.0, 3000.0))


@pytest.mark.equation("ES7")
def test_two_ways_to_the_evidence_of_one_more_cloud_agree(free_of_dust) -> None:
    """The ratio by adding and removing a cloud against the evidences themselves; each scatters by 0.05 nat."""
    stars, prior = free_of_dust
    rng = np.random.default_rng(0)
    settings = TemperingSettings(n_particles=200, n_moves=9, n_final=32)
    problems = [cloud_problem(stars, prior, n) for n in (0, 1)]
    none, one = (sample(problem, rng, settings) for problem in problems)
    ratio, _, overlap = log_evidence_of_one_more(stars, prior, none, one, rng)
    of_none, of_one = (
        log_evidence_by_bridge(problem, found, rng)[0]
        for problem, found in zip(problems, (none, one), strict=True)
    )
    assert overlap > 0.1
    assert ratio == pytest.approx(of_one - of_none, abs=0.3)
    assert ratio < 0.0


def test_a_plain_cloud_is_found_with_its_distance_and_reddening() -> None:
    mock = mock_sightline(150, [(400.0, 0.2)], np.random.default_rng(5))
    fit = fit_sightline(mock.density, RANGE, np.random.default_rng(0), max_clouds=2, settings=QUICK)
    assert sum(model.probability for model in fit.models) == pytest.approx(1.0)
    assert fit.models[0].probability < 1e-6
    cloud = cloud_summary(fit.models[1])[0]
    assert cloud["distance_pc_q05"] < 400.0 < cloud["distance_pc_q95"]
    assert cloud["ebv_mag_q05"] < 0.2 < cloud["ebv_mag_q95"]
    profile = fit.profile(np.array([250.0, 1000.0]))
    assert profile["q95"][0] < 0.1 < profile["q05"][1]
    smooth = fit.monotone_profile(np.array([250.0, 1000.0, 2000.0]))
    assert (np.diff(smooth["mean"]) >= 0).all()
    assert smooth["mean"][2] == pytest.approx(0.2, abs=0.04)


def test_stars_free_of_dust_show_none() -> None:
    """Wide densities pile up at the lower limit of the prior; a kernel that lost mass there would see dust."""
    wide = SightlineStars(ebv_error_mag=(0.05, 0.1), ambiguous_share=0.0)
    mock = mock_sightline(300, [], np.random.default_rng(7), stars=wide, scatter_mag=0.003, outlier_share=0.0)
    fit = fit_sightline(
        mock.density, RANGE, np.random.default_rng(0), max_clouds=1, settings=QUICK, monotone=False
    )
    assert fit.best.n_clouds == 0
    draws = fit.models[0].draws.foreground_mag
    assert abs(draws.mean()) < 3 * draws.std() < 0.03


@pytest.mark.parametrize(
    ("change", "message"), [({"max_clouds": 9}, "0 to 8"), ({"rows": 3}, "at least 5 stars")]
)
def test_bad_requests_are_refused(change, message) -> None:
    mock = mock_sightline(change.get("rows", 20), [], np.random.default_rng(0))
    with pytest.raises(InputError, match=message):
        fit_sightline(mock.density, RANGE, np.random.default_rng(0), max_clouds=change.get("max_clouds", 1))
