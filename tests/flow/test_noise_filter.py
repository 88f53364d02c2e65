"""The linear filter against the conditional moments of a normal distribution, formed directly."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from redflower.flow.noise_filter import (
    PopulationMoments,
    make_correlated_filter,
    make_noise_filter,
    population_moments,
)
from redflower.physics.correlated_errors import error_whitener


def example(n_bands: int = 6) -> tuple[PopulationMoments, np.ndarray]:
    rng = np.random.default_rng(5)
    factor = 0.3 * np.tril(rng.normal(size=(n_bands - 1, n_bands - 1)))
    moments = PopulationMoments(
        rng.normal(size=n_bands - 1),
        0.3 * rng.normal(size=n_bands - 1),
        factor @ factor.T + 1e-3 * np.eye(n_bands - 1),
    )
    return moments, np.exp(rng.uniform(np.log(0.003), np.log(0.1), n_bands))


@pytest.mark.equation("EF2")
@pytest.mark.parametrize("missing", [(), (2,), (1, 3), (4, 5)])
def test_filter_gives_the_conditional_moments_of_a_normal_distribution(missing: tuple[int, ...]) -> None:
    moments, error = example()
    n = len(error)
    observed = np.array([k not in missing for k in range(n)])
    result = make_noise_filter(moments, error[None], observed[None])
    # Joint normal of the state s = (noise of G, magnitudes less observed G) given y_0, formed directly:
    # colours c = a + b (y_0 - n_1) + e, w = c - n_1.
    b = np.asarray(moments.slope)
    lever = np.concatenate([[1.0], -(1.0 + b)])
    prior = error[0] ** 2 * np.outer(lever, lever)
    prior[1:, 1:] += moments.covariance
    seen = np.flatnonzero(observed[1:]) + 1
    noisy = prior[np.ix_(seen, seen)] + np.diag(error[seen] ** 2)
    gain = prior[:, seen] @ np.linalg.inv(noisy)
    posterior = prior - gain @ prior[seen]
    z = np.random.default_rng(1).normal(size=n - 1) * 0.1
    shift = result.smoother[0].astype(float) @ (result.innovation[0].astype(float) @ z)
    np.testing.assert_allclose(shift, gain @ z[seen - 1], atol=2e-5)
    factor = result.factor_mag[0].astype(float)
    np.testing.assert_allclose(factor @ factor.T, posterior, atol=1e-6 * np.trace(prior))
    np.testing.assert_allclose(factor @ result.factor_inverse[0], np.eye(n), atol=1e-3)
    for k in range(1, n):  # prediction of band k from the seen bands before it
        before = seen[seen < k]
        variance = prior[k, k]
        if len(before):
            inner = prior[np.ix_(before, before)] + np.diag(error[before] ** 2)
            variance -= prior[k, before] @ np.linalg.solve(inner, prior[before, k])
        assert result.prediction_std_mag[0, k - 1] ** 2 == pytest.approx(variance, rel=1e-4)


def test_moments_are_those_of_the_sample() -> None:
    rng = np.random.default_rng(0)
    m_g = rng.normal(5.0, 2.0, 100_000)
    colour = 0.3 + 0.1 * m_g + 0.05 * rng.normal(size=m_g.size)
    moments = population_moments(np.stack([m_g, colour], axis=1))
    # Five standard errors of a slope and of a variance.
    assert moments.slope[0] == pytest.approx(0.1, abs=5 * 0.05 / 2.0 / np.sqrt(m_g.size))
    assert moments.covariance[0, 0] == pytest.approx(0.05**2, rel=5 * np.sqrt(2 / m_g.size))


@pytest.mark.equation("EF8")
def test_the_filter_of_correlated_errors_is_the_normal_distribution_and_without_correlation_the_other_filter() -> (
    None
):
    rng = np.random.default_rng(8)
    n = 5
    root = rng.normal(size=(n - 1, n - 1))
    moments = PopulationMoments(
        rng.normal(size=n - 1), rng.normal(size=n - 1), root @ root.T + 0.1 * np.eye(n - 1)
    )
    error = rng.uniform(0.05, 0.3, size=(1, n))
    for observed in (np.ones((1, n), bool), np.array([[True, True, False, True, True]])):
        plain = make_noise_filter(moments, error, observed)
        unit = make_correlated_filter(moments, error, observed, np.eye(n)[None])
        np.testing.assert_allclose(unit.error_mag, error)
        seen = observed[0, 1:]
        for name in ("innovation", "smoother", "factor_mag"):
            ours, theirs = (getattr(made, name)[0] for made in (unit.filter, plain))
            rows = (
                seen if name == "innovation" else slice(None)
            )  # nothing reads the innovation of a missing band
            np.testing.assert_allclose(ours[rows], theirs[rows], atol=2e-6, err_msg=name)
        np.testing.assert_allclose(
            unit.filter.prediction_std_mag[0, seen], plain.prediction_std_mag[0, seen], rtol=1e-5
        )
    correlation = np.eye(n)
    correlation[1:, 1:] = 0.5 + 0.5 * np.eye(n - 1)
    correlation[0, 2] = correlation[2, 0] = 0.3  # with G as well
    observed = np.array([[True, True, False, True, True]])
    made = make_correlated_filter(moments, error, observed, error_whitener(correlation[None], observed))
    noise = correlation * np.outer(error, error)
    lever = -(1.0 + moments.slope)
    # z = residual colour + lever * noise of G + own noise; the state's first is the noise of G.
    mixing = np.concatenate([lever[:, None], np.eye(n - 1)], axis=1)
    data = moments.covariance + mixing @ noise @ mixing.T
    seen = observed[0, 1:]
    z = rng.normal(size=n - 1)
    of_g = (noise[0] @ mixing.T)[seen] @ np.linalg.solve(data[np.ix_(seen, seen)], z[seen])
    innovation = np.where(seen, made.filter.innovation[0] @ np.where(seen, z, 0.0), 0.0)
    assert (made.filter.smoother[0] @ innovation)[0] == pytest.approx(of_g, rel=1e-4)
    variance = made.filter.prediction_std_mag[0] ** 2 + made.error_mag[0, 1:] ** 2
    log_density = -0.5 * (innovation**2 / variance + np.log(2 * np.pi * variance))[seen].sum()
    expected = multivariate_normal(np.zeros(seen.sum()), data[np.ix_(seen, seen)]).logpdf(z[seen])
    assert log_density == pytest.approx(float(expected), rel=1e-4)
