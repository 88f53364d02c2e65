"""The evidence of a training star whose errors are correlated between bands, against the closed form."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import multivariate_normal

from redflower.physics.correlated_errors import error_whitener
from redflower.train.loss.estimator import Estimator
from tests.helpers.gaussian_model import MODULUS_MAG, gaussian_model, gaussian_stars
from tests.helpers.training import log_evidence, make_training_star

N_BANDS = 4
ERROR_MAG = np.array([0.02, 0.05, 0.05, 0.05])


@pytest.mark.equation("E5b")
@pytest.mark.parametrize(("magnitudes", "missing"), [("adapted", ()), ("likelihood", (1,))])
def test_the_evidence_of_correlated_errors_is_the_closed_form(magnitudes, missing) -> None:
    """Of two stars with one distance the ratio: parallax and prior of the distance drop out."""
    gaussian = gaussian_model(N_BANDS)
    correlation = np.eye(N_BANDS)
    correlation[1:, 1:] = 0.7 + 0.3 * np.eye(N_BANDS - 1)
    observed = ~np.isin(np.arange(N_BANDS), missing)[None].repeat(2, axis=0)
    whitener = error_whitener(correlation[None].repeat(2, axis=0), observed)
    rng = np.random.default_rng(1)
    # The second has noise that the correlation makes likely.
    noise = np.array([[0.0, 0.08, -0.08, 0.08], [0.0, 0.08, 0.08, 0.08]])
    stars = gaussian_stars(gaussian, np.zeros(2), ERROR_MAG, noise, rng, whitener, observed)
    stars = dataclasses.replace(stars, magnitude_mag=np.where(stars.observed, stars.magnitude_mag, 0.0))
    estimator = Estimator(
        proposal="posterior",
        g_bright_mag=-50.0,
        g_faint_mag=80.0,
        integrate_gaps=bool(missing),
        magnitudes=magnitudes,
        normaliser="none",
    )
    flow = gaussian.model.flow.prepared()
    found, expected, wrong = [], [], []
    seen = observed[0]
    total = gaussian.covariance_mag2 + correlation * np.outer(ERROR_MAG, ERROR_MAG)
    diagonal = gaussian.covariance_mag2 + np.diag(ERROR_MAG**2)
    for i in range(2):
        one = jax.tree.map(lambda a, i=i: jnp.asarray(a[i]), stars)
        value = log_evidence(flow, make_training_star(one), jax.random.key(2), estimator, 16_384)
        found.append(float(value))
        residual = (np.asarray(one.magnitude_mag)[:N_BANDS] - MODULUS_MAG - gaussian.mean_mag)[seen]
        for matrix, into in ((total, expected), (diagonal, wrong)):
            into.append(
                multivariate_normal(np.zeros(seen.sum()), matrix[np.ix_(seen, seen)]).logpdf(residual)
            )
    # With a few hundred effective draws of 16,384 (likelihoods are far wider than the population) each logarithm has an
    # error of 0.03.
    assert found[1] - found[0] == pytest.approx(expected[1] - expected[0], abs=0.1)
    assert abs((wrong[1] - wrong[0]) - (expected[1] - expected[0])) > 0.3
