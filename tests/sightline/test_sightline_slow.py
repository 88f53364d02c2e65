"""The cloud fit against nested sampling, and its coverage over simulated sightlines."""

import numpy as np
import pytest

from redflower.sightline import DustPrior, TemperingSettings, fit_sightline, make_grid, star_cells
from redflower.sightline.clouds import cloud_problem, clouds_at
from redflower.sightline.likelihood import StarSet
from redflower.sightline.tempering import log_evidence_by_bridge, sample
from redflower.validate.mock_sightlines import mock_sightline

RANGE = (-0.05, 0.5)


@pytest.mark.slow
@pytest.mark.equation("ES6")
@pytest.mark.parametrize("n_clouds", [1, 2])
def test_evidence_is_that_of_nested_sampling(n_clouds: int) -> None:
    """dynesty states its own error, about 0.25 nat; the bridge's scatter from run to run is 0.05."""
    dynesty = pytest.importorskip("dynesty")
    mock = mock_sightline(150, [(370.0, 0.12), (1500.0, 0.06)], np.random.default_rng(0))
    grid, prior = make_grid(RANGE), DustPrior()
    stars = StarSet(star_cells(mock.density, grid), grid)

    def log_likelihood(point: np.ndarray) -> float:
        clouds = point[3:].reshape(n_clouds, 3)
        ordered = np.concatenate([point[:3], clouds[np.argsort(clouds[:, 0])].ravel()])
        return float(stars.log_likelihood(clouds_at(ordered[None], prior, grid, n_clouds))[0])

    sampler = dynesty.NestedSampler(
        log_likelihood, lambda cube: cube, 3 + 3 * n_clouds, nlive=300, sample="rwalk", walks=40,
        rstate=np.random.default_rng(1),
    )  # fmt: skip
    sampler.run_nested(dlogz=0.1, print_progress=False)
    nested, error = sampler.results.logz[-1], sampler.results.logzerr[-1]
    settings = TemperingSettings(n_moves=6 * n_clouds, n_final=32)
    problem, rng = cloud_problem(stars, prior, n_clouds), np.random.default_rng(2)
    log_evidence, _, _ = log_evidence_by_bridge(problem, sample(problem, rng, settings), rng)
    assert log_evidence == pytest.approx(nested, abs=3 * error + 0.15)


@pytest.mark.slow
@pytest.mark.equation("ES6")
def test_intervals_cover_and_odds_are_kept_over_simulated_sightlines() -> None:
    """24 sightlines of 0 to 2 clouds, 200 stars. Of about 24 clouds 90 % lie inside their 90 % intervals; fewer than
    two thirds would happen once in a thousand times. The mean probability of the true number is at least chance."""
    inside, right, said = [], [], []
    for k in range(24):
        rng = np.random.default_rng(100 + k)
        clouds = [(400.0, 0.1), (1300.0, 0.08)][: k % 3]
        mock = mock_sightline(200, clouds, rng)
        fit = fit_sightline(mock.density, RANGE, rng, max_clouds=2, monotone=False)
        draws = fit.models[len(clouds)].draws
        for c, (distance_pc, ebv_mag) in enumerate(clouds):
            for values, truth in (
                (10 ** (1 + draws.modulus_mag[:, c] / 5), distance_pc),
                (draws.ebv_mag[:, c], ebv_mag),
            ):
                low, high = np.quantile(values, [0.05, 0.95])
                inside.append(low < truth < high)
        right.append(fit.best.n_clouds == len(clouds))
        said.append(fit.models[len(clouds)].probability)
    assert np.mean(inside) > 0.67
    assert np.mean(right) > 0.6
    assert np.mean(said) > 0.5


@pytest.mark.slow
@pytest.mark.equation("ES3")
def test_a_drifting_zero_point_makes_clouds_unless_it_may_drift() -> None:
    """One cloud, and a zero point that drifts as the fit may have it: with a steady one it is read as more clouds with odds
    beyond 9 to 1; with a drifting one the odds for more than one cloud are those of a sightline without a drift, and the
    drift is found."""
    steady, drifting = (DustPrior(distance_pc=(250.0, 3000.0), drift_std=s) for s in (0.0, 0.01))
    certain, odds, found = [], [], []
    for seed in range(6):
        mock = mock_sightline(
            500,
            [(370.0, 0.12)],
            np.random.default_rng(seed),
            drift=0.012,
            drifts_between_mag=steady.modulus_mag,
        )
        fits = [
            fit_sightline(
                mock.density, RANGE, np.random.default_rng(seed), max_clouds=2, prior=prior, monotone=False
            )
            for prior in (steady, drifting)
        ]
        certain.append(fits[0].models[2].probability > 0.9)
        odds.append(fits[1].models[2].probability)
        found.append(fits[1].models[1].draws.drift.mean())
    assert sum(certain) >= 5
    assert np.mean(odds) < 0.5
    # Six sightlines, each to about 0.002 mag per mag; the prior's weight is small beside them.
    assert np.mean(found) == pytest.approx(0.012, abs=0.003)
