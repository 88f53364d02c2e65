"""The density of what is not of the population, and the share of a sample that is not."""

import equinox as eqx
import numpy as np
import pytest
from scipy import stats

from redflower.flow.outliers import (
    OUTLIER_FREEDOM,
    OUTLIER_PARALLAX_MAS,
    fit_outlier_share,
    log_outlier_density,
    outlier_probability,
)
from redflower.star import Star
from tests.helpers.flows import random_flow

LIMITS = {"n_bands": 4, "g_bright_mag": 14.0, "g_faint_mag": 19.0}
N_BANDS = 11


def some_stars(n: int = 6, seed: int = 0) -> Star:
    rng = np.random.default_rng(seed)
    return Star(
        magnitude_mag=rng.normal(16.0, 0.7, (n, N_BANDS)).astype(np.float32),
        magnitude_error_mag=rng.uniform(0.01, 0.1, (n, N_BANDS)).astype(np.float32),
        observed=np.ones((n, N_BANDS), bool),
        parallax_mas=rng.normal(1.0, 1.0, n).astype(np.float32),
        parallax_error_mas=rng.uniform(0.1, 1.0, n).astype(np.float32),
        has_parallax=np.ones(n, bool),
        l_deg=np.zeros(n, np.float32),
        b_deg=np.full(n, 50.0, np.float32),
        prior_log_length_pc=np.full(n, 6.0, np.float32),
        prior_alpha=np.ones(n, np.float32),
        prior_beta=np.ones(n, np.float32),
        selection_pixel=np.zeros(n, np.int32),
    )


def covariance_of(standardisation) -> np.ndarray:
    cholesky = np.linalg.inv(np.asarray(standardisation.x_inverse_cholesky, float)[:4, :4])
    return (cholesky @ cholesky.T)[1:, 1:]


def closed_form(star: Star, standardisation, bands: list[int]) -> np.ndarray:
    """Student's t by scipy, star by star, of the colours of some bands."""
    mean, covariance = np.asarray(standardisation.x_mean, float)[1:4], covariance_of(standardisation)
    pick = np.array(bands) - 1
    out = []
    for m, s, p, e in zip(
        np.asarray(star.magnitude_mag, float), np.asarray(star.magnitude_error_mag, float),
        np.asarray(star.parallax_mas, float), np.asarray(star.parallax_error_mas, float), strict=True,
    ):  # fmt: skip
        shape = (covariance + s[0] ** 2 + np.diag(s[1:4] ** 2))[np.ix_(pick, pick)]
        wider = shape + 0.5**2 * np.eye(len(pick))
        colours = np.log(
            np.mean(
                [
                    stats.multivariate_t(mean[pick], a, OUTLIER_FREEDOM).pdf((m - m[0])[bands])
                    for a in (shape, wider)
                ]
            )
        )
        parallax = stats.t(OUTLIER_FREEDOM, 0.0, np.hypot(e, OUTLIER_PARALLAX_MAS)).logpdf(p)
        out.append(colours + parallax - np.log(5.0))
    return np.array(out)


@pytest.mark.equation("E26")
def test_the_density_is_students_t_in_the_colours_that_were_observed() -> None:
    star, standardisation = some_stars(), random_flow(3).standardisation
    found = log_outlier_density(star, standardisation, **LIMITS)
    # Magnitudes are float32: 1e-6 mag of 16, over errors and spreads of 0.1 mag and more.
    np.testing.assert_allclose(found, closed_form(star, standardisation, [1, 2, 3]), atol=1e-4)
    gap = eqx.tree_at(
        lambda s: s.observed,
        star,
        np.delete(np.eye(4, N_BANDS, dtype=bool), 2, 0).any(0) & np.ones((6, 1), bool),
    )
    found = log_outlier_density(gap, standardisation, **LIMITS)
    np.testing.assert_allclose(found, closed_form(star, standardisation, [1, 3]), atol=1e-4)


@pytest.mark.equation("E26")
def test_a_star_without_g_or_parallax_is_served_or_said_not_to_be() -> None:
    star, standardisation = some_stars(), random_flow(3).standardisation
    no_g = np.ones((6, N_BANDS), bool)
    no_g[2, 0] = False
    found = log_outlier_density(eqx.tree_at(lambda s: s.observed, star, no_g), standardisation, **LIMITS)
    assert np.isnan(found[2])
    assert np.isfinite(np.delete(found, 2)).all()
    without = eqx.tree_at(lambda s: s.has_parallax, star, np.zeros(6, bool))
    elsewhere = eqx.tree_at(lambda s: s.parallax_mas, without, np.full(6, 77.0, np.float32))
    np.testing.assert_array_equal(
        log_outlier_density(without, standardisation, **LIMITS),
        log_outlier_density(elsewhere, standardisation, **LIMITS),
    )


@pytest.mark.equation("E28")
def test_the_probability_is_bayes_and_the_share_that_made_a_sample_comes_back() -> None:
    """Two normal densities of known places, 3 % of one: the share within three of its errors, 200 samples unbiased."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(200):
        other = rng.random(2000) < 0.03
        x = np.where(other, rng.normal(4.0, 3.0, 2000), rng.standard_normal(2000))
        of_population, of_others = stats.norm.logpdf(x), stats.norm.logpdf(x, 4.0, 3.0)
        found.append(fit_outlier_share(of_population, of_others))
        share = 0.03
        expected = (
            share * np.exp(of_others) / (share * np.exp(of_others) + (1 - share) * np.exp(of_population))
        )
        np.testing.assert_allclose(outlier_probability(of_population, of_others, share), expected, rtol=1e-9)
    # Half a star of prior on each side moves the mean by 0.0002; its error is that of 200 samples.
    assert abs(np.mean(found) - 0.03) < 0.0003 + 3.0 * np.std(found) / np.sqrt(200)
    assert np.std(found) < 0.01


def test_no_outliers_are_expected_where_the_share_is_none() -> None:
    np.testing.assert_array_equal(outlier_probability(np.array([-1e5]), np.array([0.0]), 0.0), [0.0])
