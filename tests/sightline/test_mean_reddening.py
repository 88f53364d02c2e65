"""The mean reddening of some stars: right where the mean of posterior means is not."""

import numpy as np
import pytest
from scipy import integrate, stats
from scipy.special import ndtr

import redflower
from redflower.posterior.density import N_EBV_NODES, N_MODULUS_NODES, JointDensity, quantise_log_density
from redflower.sightline import binned_profile, mean_reddening
from tests.helpers.sightlines import posterior_table

LIMITS = (-0.05, 0.5)


def densities(
    n: int, ebv_mag: float, scatter_mag: float, seed: int, *, sigma_mag: float = 0.04
) -> tuple[JointDensity, np.ndarray]:
    """Stars of a mean reddening and scatter, measured with normal errors: densities within the prior, posterior means."""
    rng = np.random.default_rng(seed)
    measured = ebv_mag + scatter_mag * rng.normal(size=n) + sigma_mag * rng.normal(size=n)
    low = np.maximum(measured - 5 * sigma_mag, LIMITS[0])
    high = np.clip(measured + 5 * sigma_mag, low + sigma_mag, LIMITS[1])
    step = (high - low) / (N_EBV_NODES - 1)
    nodes = low[:, None] + step[:, None] * np.arange(N_EBV_NODES)
    log_density = -0.5 * ((nodes - measured[:, None]) / sigma_mag) ** 2
    both = log_density[:, None, :] - 0.5 * (np.linspace(-3, 3, N_MODULUS_NODES) ** 2)[None, :, None]
    joint = JointDensity(
        ebv_start_mag=low,
        ebv_step_mag=step,
        modulus_start_mag=np.full(n, 9.0),
        modulus_step_mag=np.full(n, 0.1),
        steps_below_peak=quantise_log_density(both),
    )
    a, b = ((limit - measured) / sigma_mag for limit in LIMITS)
    return joint, stats.truncnorm.mean(a, b, loc=measured, scale=sigma_mag)


@pytest.mark.equation("ES9")
@pytest.mark.parametrize(("ebv_mag", "scatter_mag"), [(0.0, 0.005), (0.02, 0.01), (0.2, 0.05)])
def test_the_mean_and_its_error_are_right_over_many_samples(ebv_mag: float, scatter_mag: float) -> None:
    """40 samples of 200 stars: the pulls' mean is known to 0.16 and their deviation to 0.11. Storing densities in steps of
    0.1 nat and cells of 0.01 mag cost less."""
    found = [mean_reddening(densities(200, ebv_mag, scatter_mag, seed)[0], LIMITS) for seed in range(40)]
    pulls = [(one.ebv_mag - ebv_mag) / one.ebv_error_mag for one in found]
    assert abs(np.mean(pulls)) < 0.5
    assert np.std(pulls) == pytest.approx(1.0, abs=0.35)
    assert all(one.n_stars == 200 for one in found)


@pytest.mark.equation("ES9")
def test_the_mean_of_posterior_means_is_too_red_without_dust() -> None:
    joint, means = densities(4000, 0.0, 0.005, 1)
    assert means.mean() > 0.008
    assert abs(mean_reddening(joint, LIMITS).ebv_mag) < 0.003


@pytest.mark.equation("ES9")
def test_it_is_the_integral_over_mean_and_scatter() -> None:
    """Six stars, against scipy's quadrature of their likelihoods, without outliers; these cost under a tenth of the error."""
    sigma, measured = 0.03, np.array([0.15, 0.19, 0.21, 0.18, 0.22, 0.2])
    low = measured - 4.5 * sigma
    step = np.full(6, 9.0 * sigma / (N_EBV_NODES - 1))
    nodes = low[:, None] + step[:, None] * np.arange(N_EBV_NODES)
    log_density = np.repeat(
        (-0.5 * ((nodes - measured[:, None]) / sigma) ** 2)[:, None], N_MODULUS_NODES, axis=1
    )
    joint = JointDensity(
        ebv_start_mag=low,
        ebv_step_mag=step,
        modulus_start_mag=np.full(6, 9.0),
        modulus_step_mag=np.full(6, 0.1),
        steps_below_peak=quantise_log_density(log_density),
    )
    found = mean_reddening(joint, LIMITS)

    def posterior(mean: float, scatter: float) -> float:
        total = np.hypot(sigma, scatter)
        inside = ndtr((LIMITS[1] - mean) / scatter) - ndtr((LIMITS[0] - mean) / scatter)
        return float(np.prod(stats.norm.pdf(measured, mean, total) / inside)) / scatter

    def moment(power: int) -> float:
        return integrate.dblquad(
            lambda t, m: m**power * posterior(m, t), 0.05, 0.35, 0.003, 0.2, epsabs=1e-6
        )[0]

    norm, first, second = (moment(k) for k in range(3))
    mean = first / norm
    error = np.sqrt(second / norm - mean**2)
    assert found.ebv_mag == pytest.approx(mean, abs=0.1 * error)
    assert found.ebv_error_mag == pytest.approx(error, rel=0.15)


def test_bins_without_stars_and_stars_without_a_distance_are_no_numbers() -> None:
    joint, _ = densities(60, 0.1, 0.01, 3)
    distance = np.repeat([300.0, 900.0, np.nan], 20)
    profile = binned_profile(joint, LIMITS, distance, np.array([0.0, 500.0, 600.0, 1000.0]))
    np.testing.assert_array_equal(profile.n_stars, [20, 0, 20])
    assert np.isnan(profile.ebv_mag[1])
    assert np.isfinite(profile.ebv_mag[[0, 2]]).all()
    np.testing.assert_allclose(profile.ebv_mag[[0, 2]], 0.1, atol=5 * profile.ebv_error_mag[[0, 2]].max())


def test_a_table_of_posteriors_has_one() -> None:
    """300 stars behind one near cloud of 0.1 mag, whose stars scatter by a share of it."""
    found = redflower.mean_reddening(posterior_table(300, [(100.0, 0.1)]))
    assert found.ebv_mag == pytest.approx(0.1, abs=0.01)
    assert found.ebv_error_mag < 0.005


@pytest.mark.equation("ES9")
def test_stars_in_front_of_and_behind_a_cloud_have_the_mean_of_both() -> None:
    """A third without dust and two thirds behind 0.2 mag: no normal distribution, but one has this mean."""
    parts = [densities(n, ebv, 0.005, seed)[0] for n, ebv, seed in ((100, 0.0, 5), (200, 0.2, 6))]
    joint = JointDensity(
        **{name: np.concatenate([getattr(p, name) for p in parts]) for name in vars(parts[0])}
    )
    found = mean_reddening(joint, LIMITS)
    # Its error is 0.1 mag over the root of 300 stars; the cut of the kernel at the limit costs as much again.
    assert found.ebv_mag == pytest.approx(0.133, abs=0.02)
    assert 0.004 < found.ebv_error_mag < 0.01
