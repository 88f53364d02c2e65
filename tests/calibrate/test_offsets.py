"""Offsets of a sample against a model: planted ones come back, with the errors that are stated."""

import json
from pathlib import Path

import equinox as eqx
import jax
import numpy as np
import pytest
from scipy.stats import kstest

from redflower.bands import BAND_INDEX, N_BANDS
from redflower.calibrate import CalibrationSettings, DustHold, choose_stars, fit_offsets
from redflower.calibrate.pulls import sample_pulls
from redflower.errors import InputError
from redflower.flow import load_model
from redflower.photometric_offsets import PhotometricOffsets, offsets_content, read_offsets
from redflower.posterior.fast.fit import tail_probability
from redflower.posterior.fast.steps import make_fast_target
from redflower.posterior.log_density import make_target
from tests.helpers.model_stars import draw_model_stars

N_STARS = 768  # three compiled batches


@pytest.fixture(scope="module")
def fast():
    model = load_model("mock-sky")
    return make_fast_target(model, make_target(model, ebv_min_mag=-0.05, ebv_max_mag=0.5))


@pytest.fixture(scope="module")
def sample():
    """Stars of the model behind little dust, which is known to 0.01 mag, as a dust map knows it."""
    stars, ebv_mag, _ = draw_model_stars(
        load_model("mock-sky"), N_STARS, 1, n_observed=N_BANDS, ebv_limits_mag=(0.0, 0.08)
    )
    known = ebv_mag + 0.01 * np.random.default_rng(2).standard_normal(N_STARS)
    return stars, known, np.full(N_STARS, 0.01)


def planted(stars, offsets_mag: dict[str, float]):
    magnitude = np.array(stars.magnitude_mag)
    for name, offset in offsets_mag.items():
        magnitude[:, BAND_INDEX[name]] += offset
    return eqx.tree_at(lambda s: s.magnitude_mag, stars, magnitude)


@pytest.mark.equation("EF7")
def test_the_models_own_stars_fit_uniformly_and_their_residuals_are_standard_normal(fast):
    # Drawn with E from its whole prior, as the residuals' exact law wants.
    stars, _, _ = draw_model_stars(load_model("mock-sky"), N_STARS, 3, n_observed=N_BANDS)
    found = sample_pulls(
        fast, stars, np.arange(N_STARS), np.zeros(N_BANDS), np.zeros(N_STARS), np.full(N_STARS, np.inf), 0
    )
    probability = tail_probability(np.asarray(found.fit.residual), np.asarray(stars.observed))
    # Of 768 uniform numbers the KS distance is above 0.070 once in a thousand times; the emulator is allowed 0.02.
    assert kstest(probability, "uniform").statistic < 0.09
    # 7.7 +- 2.8 expected.
    assert 0 < (probability < 0.01).sum() < 20
    residual = np.asarray(found.fit.residual)
    # The standard error of a mean is 0.036; the emulator is allowed 0.05, and 0.06 in spread.
    assert np.abs(residual.mean(axis=0)).max() < 0.036 * 3.3 + 0.05
    assert np.abs(residual.std(axis=0) - 1.0).max() < 0.025 * 3.3 + 0.06
    assert abs(np.asarray(found.fit.parallax_residual).mean()) < 0.036 * 3.3 + 0.02


@pytest.mark.equation("CA2")
def test_the_pull_is_the_derivative_of_the_evidence(fast, sample):
    stars, ebv_mag, error_mag = sample
    ids = np.arange(N_STARS)
    at = [
        sample_pulls(fast, stars, ids, shift * np.eye(N_BANDS)[BAND_INDEX["ps1_i"]], ebv_mag, error_mag, 0)
        for shift in (-0.001, 0.0, 0.001)
    ]
    by_difference = (np.asarray(at[2].log_evidence, float) - np.asarray(at[0].log_evidence, float)) / -0.002
    pull = np.asarray(at[1].pull, float)[:, BAND_INDEX["ps1_i"]]
    # Sixteen draws average the pull of a star; over the sample the scatter of that average shrinks by the root of 768.
    scale = np.sqrt(np.mean(pull**2))
    assert np.corrcoef(by_difference, pull)[0, 1] > 0.97
    assert abs(np.mean(by_difference - pull)) < 0.03 * scale


@pytest.mark.equation("CA3")
@pytest.mark.parametrize(
    "offsets_mag",
    [{}, {"ps1_i": 0.020}, {"gaia_bp": -0.015, "ps1_z": 0.010}],
    ids=["none", "one band", "two bands"],
)
def test_planted_offsets_come_back_within_their_errors(fast, sample, offsets_mag):
    stars, ebv_mag, error_mag = sample
    fit = fit_offsets(
        fast, planted(stars, offsets_mag), np.arange(N_STARS), ebv_mag, error_mag, CalibrationSettings()
    )
    assert fit.converged
    truth = np.zeros(N_BANDS)
    for name, value in offsets_mag.items():
        truth[BAND_INDEX[name]] = value
    wrong = fit.offset_mag - truth
    wrong -= np.median(wrong)
    # Four standard errors, and what the emulator may be off itself.
    assert (np.abs(wrong) < 4.0 * np.sqrt(np.diag(fit.covariance_mag2)) + 0.0015).all(), 1e3 * wrong


@pytest.mark.equation("CA1")
def test_stars_of_another_kind_do_not_move_the_offsets(fast, sample):
    stars, ebv_mag, error_mag = sample
    rng = np.random.default_rng(4)
    magnitude = np.array(stars.magnitude_mag)
    strange = rng.random(N_STARS) < 0.03
    magnitude[strange] += rng.normal(0.0, 0.3, (strange.sum(), N_BANDS))
    spoilt = eqx.tree_at(lambda s: s.magnitude_mag, stars, magnitude)
    settings = CalibrationSettings()
    clean = fit_offsets(fast, stars, np.arange(N_STARS), ebv_mag, error_mag, settings)
    with_them = fit_offsets(fast, spoilt, np.arange(N_STARS), ebv_mag, error_mag, settings)
    # Faint stars of the sample have errors as large as what was added, and may well be of the population.
    assert (~with_them.used[strange]).mean() > 0.8
    moved = np.abs(with_them.offset_mag - clean.offset_mag)
    assert (moved < 2.0 * np.sqrt(np.diag(clean.covariance_mag2)) + 5e-4).all()


def test_bands_that_no_star_has_are_not_fitted(fast, sample):
    stars, ebv_mag, error_mag = sample
    observed = np.array(stars.observed)
    observed[:, 8:] = False
    fit = fit_offsets(
        fast,
        eqx.tree_at(lambda s: s.observed, stars, observed),
        np.arange(N_STARS),
        ebv_mag,
        error_mag,
        CalibrationSettings(),
    )
    assert fit.fitted.tolist() == [True] * 8 + [False] * 3
    assert (fit.offset_mag[8:] == 0.0).all()
    assert np.abs(fit.offset_mag[:8]).max() < 0.01


def test_too_few_stars_behind_little_dust_are_refused_with_the_counts():
    hold = DustHold.by_map(np.where(np.arange(500) < 100, 0.02, 0.3), "a map")
    with pytest.raises(InputError, match="at least 200 stars.*of 500 stars 500 are within.*100 of these"):
        choose_stars(np.ones(500, dtype=bool), hold, max_stars=2000, seed=0)


def made_offsets(**changes) -> PhotometricOffsets:
    values = {
        "bands": ("gaia_g", "ps1_i"),
        "offset_mag": np.array([0.0, 0.02]),
        "covariance_mag2": np.diag([1e-6, 4e-6]),
        "model_id": "m-1",
        "provenance": {"dust": "a map"},
    }
    return PhotometricOffsets(**(values | changes))


def test_offsets_are_taken_off_with_their_errors_and_survive_a_file(tmp_path: Path):
    (tmp_path / "offsets.json").write_text(json.dumps(offsets_content(made_offsets())))
    offsets = read_offsets(tmp_path / "offsets.json")
    magnitude, error = np.full((3, N_BANDS), 18.0), np.full((3, N_BANDS), 0.01)
    observed = np.ones((3, N_BANDS), dtype=bool)
    observed[1] = False
    moved, errors = offsets.remove(magnitude, error, observed)
    i = BAND_INDEX["ps1_i"]
    np.testing.assert_allclose(moved[:, i], [17.98, 18.0, 17.98])
    np.testing.assert_allclose(errors[:, i], [np.hypot(0.01, 0.002), 0.01, np.hypot(0.01, 0.002)])
    np.testing.assert_array_equal(moved[:, BAND_INDEX["ps1_z"]], 18.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "other"}, "is no file of offsets"),
        ({"bands": ["gaia_g"]}, "is no file of offsets"),
        ({"bands": ["gaia_g", 7]}, "is no file of offsets"),
        ({"offset_mag": [0.0, float("nan")]}, "is no file of offsets"),
        ({"offset_mag": [0.0, 25.0]}, "no calibration is so far off"),
        ({"covariance_mag2": [[1.0]]}, "is no file of offsets"),
    ],
)
def test_a_file_that_is_no_offsets_is_refused(tmp_path: Path, change, message):
    path = tmp_path / "offsets.json"
    path.write_text(json.dumps(offsets_content(made_offsets()) | change))
    with pytest.raises(InputError, match=message):
        read_offsets(path)


def test_offsets_against_another_model_or_of_other_bands_are_refused():
    with pytest.raises(InputError, match="against model m-1, and the model is m-2"):
        made_offsets().check_model("m-2", ("gaia_g", "ps1_i"))
    with pytest.raises(InputError, match="the model has gaia_g"):
        made_offsets().check_model("m-1", ("gaia_g",))
    made_offsets().check_model("m-1", ("gaia_g", "gaia_bp", "ps1_i"))


def test_passes_leave_the_stars_as_they_are(fast, sample):
    stars, ebv_mag, error_mag = sample
    copy = jax.tree.map(np.array, stars)
    sample_pulls(fast, stars, np.arange(N_STARS), np.full(N_BANDS, 0.01), ebv_mag, error_mag, 0)
    jax.tree.map(np.testing.assert_array_equal, copy, stars)
