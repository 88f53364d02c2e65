"""The verdict: alarms for samples that are not the model's, none for the model's own."""

import json

import equinox as eqx
import jax
import numpy as np
import pytest

import redflower
from redflower.bands import BAND_INDEX, N_BANDS
from redflower.calibrate.offsets import scoring_step
from redflower.calibrate.sample_fit import sample_fit
from redflower.calibrate.verdict import SampleFit, judge, verdict_of
from redflower.flow import load_model
from redflower.posterior import InferenceSettings, infer_stars
from redflower.posterior.fast.fit import FitRecord
from redflower.posterior.settings import FastSettings
from redflower.provenance import META_KEY
from tests.helpers.model_stars import draw_model_stars

N_STARS = 384
#: Step 1 alone: the verdict is from its draws, and chains take minutes.
SETTINGS = InferenceSettings(fast=FastSettings.first_step_only())


@pytest.fixture(scope="module")
def model():
    return load_model("mock-sky")


@pytest.fixture(scope="module")
def sample(model):
    """Stars of the model without dust, which is where a flat reddening prior is most wrong."""
    return draw_model_stars(model, N_STARS, 5, n_observed=N_BANDS, ebv_limits_mag=(0.0, 1e-6))[0]


def star_fit(model, stars) -> SampleFit:
    records: list[FitRecord] = []
    columns = infer_stars(model, stars, np.arange(len(stars.l_deg)), SETTINGS, judged=records.append)
    return sample_fit(model, records[0], columns)


def changed(stars, change):
    magnitude = np.array(stars.magnitude_mag)
    change(magnitude)
    return eqx.tree_at(lambda s: s.magnitude_mag, stars, magnitude)


def off_by(name: str, shift_mag: float):
    def change(magnitude: np.ndarray) -> None:
        magnitude[:, BAND_INDEX[name]] += shift_mag

    return change


def released(magnitude: np.ndarray) -> None:
    """Released Pan-STARRS1 taken for that of before the release."""
    for name, shift in {
        "ps1_g": 0.020,
        "ps1_r": 0.033,
        "ps1_i": 0.024,
        "ps1_z": 0.028,
        "ps1_y": 0.011,
    }.items():
        magnitude[:, BAND_INDEX[name]] += shift


def swapped(magnitude: np.ndarray) -> None:
    r, i = BAND_INDEX["ps1_r"], BAND_INDEX["ps1_i"]
    magnitude[:, [r, i]] = magnitude[:, [i, r]]


def test_the_models_own_stars_raise_no_alarm(model, sample):
    verdict = judge(star_fit(model, sample))
    assert verdict.good, verdict.lines


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (off_by("ps1_i", 0.02), "i is"),
        (off_by("ps1_y", -0.02), "y is"),
        (released, "not on this model's photometric scale"),
        (swapped, "stars fit worse"),
    ],
    ids=["i", "y", "released Pan-STARRS1", "r and i swapped"],
)
def test_a_sample_that_is_off_raises_its_alarm(model, sample, change, words):
    verdict = judge(star_fit(model, changed(sample, change)))
    bad = [text for good, text in verdict.lines if not good]
    assert not verdict.good
    assert any(words in text for text in bad), bad


def test_sums_of_parts_are_the_sums_of_the_whole(model, sample):

    whole = star_fit(model, sample)
    half = N_STARS // 2
    records: list[FitRecord] = []
    parts = []
    for rows in (slice(0, half), slice(half, None)):
        part = jax.tree.map(lambda a, rows=rows: np.asarray(a)[rows], sample)
        ids = np.arange(N_STARS)[rows]
        columns = infer_stars(model, part, ids, SETTINGS, judged=records.append)
        parts.append(sample_fit(model, records[-1], columns))
    added = parts[0] + parts[1]
    assert added.n_stars == whole.n_stars
    assert added.n_poor == whole.n_poor
    # Batches of another composition round otherwise in float32.
    np.testing.assert_allclose(added.residual, whole.residual, atol=1.0)
    json.dumps(judge(added).as_dict(), allow_nan=False)
    assert SampleFit(**json.loads(json.dumps(added.as_dict()))).n_bands == whole.n_bands


def test_too_few_stars_are_not_judged(model):
    few = SampleFit(labels=["BP"], n_stars=10)
    verdict = judge(few)
    assert verdict.good
    assert "too few" in verdict.lines[0][1]
    assert verdict.heading == "too few stars for a verdict on the model"


def test_a_verdict_comes_back_from_the_provenance_of_its_table_and_of_what_is_made_of_it():
    sums = SampleFit(
        labels=["BP"], n_stars=400, n_poor=40, n_bands=[400], residual=[200.0], residual_mag=[8.0],
        squares_mag2=[1.0], parallax=[0.0, 0.0, 0.0],
    )  # fmt: skip
    verdict = judge(sums)
    assert not verdict.good
    kept = json.loads(json.dumps({"stage": "posteriors", "verdict": verdict.as_dict()}))
    assert verdict_of(kept).bad_lines == verdict.bad_lines
    assert (
        verdict_of({"stage": "sightline", "input": kept}).heading == "THE MODEL IS NOT RIGHT FOR THESE STARS"
    )
    assert verdict_of({"stage": "sightline", "input": {}}) is None


def test_what_dust_and_distance_can_explain_is_never_an_offset():
    # Two directions are free; pulls along them must not move the offsets, and another must.
    rng = np.random.default_rng(1)
    pulls = rng.standard_normal((400, 8))
    information = pulls.T @ pulls
    dust = np.array([2.5, 3.1, 1.8, 3.5, 2.5, 1.8, 1.4, 1.2])
    for direction in (np.ones(8), dust):
        step, _ = scoring_step(information @ direction * 0.01, information, np.zeros(8), 0.05, dust)
        np.testing.assert_allclose(step, 0.0, atol=1e-6)
    other = np.eye(8)[5]
    step, _ = scoring_step(information @ other * -0.01, information, np.zeros(8), 0.05, dust)
    # What is left of one band of eight without its parts along the two.
    assert step[5] - np.median(step) > 0.004


def test_infer_leaves_the_verdict_in_provenance_and_p_fit_in_the_table():
    sky = redflower.simulate(60, seed=3, preset="one-cloud", g_faint_mag=18.0)
    post = redflower.infer(redflower.prepare(sky, purpose="inference").table, "mock-sky", settings=SETTINGS)
    assert set(post.meta[META_KEY]["verdict"]) >= {"good", "lines"}
    probability = np.asarray(post["p_fit"], dtype=float)
    assert ((probability >= 0) & (probability <= 1)).all()
