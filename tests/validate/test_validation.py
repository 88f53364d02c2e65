"""The synthetic-reddening experiment: what is put in, how it is scored, and what it leaves."""

import json
from pathlib import Path

import jax
import numpy as np
import pytest

import redflower
from redflower.api import star_pieces
from redflower.api.star_pieces import StarsJob
from redflower.bands import BAND_INDEX
from redflower.calibrate.verdict import verdict_of
from redflower.catalogue import default_distance_prior, to_stars
from redflower.flow import load_model
from redflower.physics import Zhang23Law, extinction_mag
from redflower.posterior import InferenceSettings
from redflower.posterior.fast.fit import FitRecord
from redflower.products.page_validation import biased_cells, validation_sentence
from redflower.products.validation import write_validation
from redflower.validate import redden, score, trials
from redflower.validate.scores import INTERVAL_SHARES
from tests.helpers.open_everywhere import check_folder_opens, check_opens


@pytest.fixture(scope="module")
def prepared():
    sky = redflower.simulate(
        240, seed=5, preset="high-latitude", clouds=(), g_faint_mag=18.0, include_truth=True
    )
    return redflower.prepare(sky, purpose="inference").table


@pytest.fixture(scope="module")
def stars(prepared):
    return jax.tree.map(np.asarray, to_stars(prepared, default_distance_prior()).stars)


@pytest.mark.equation("EP8")
def test_reddening_adds_the_extinction_and_nothing_else(stars) -> None:
    law = Zhang23Law()
    n = len(stars.magnitude_mag)
    reddened = redden(stars, law, np.full(n, 0.2), np.full(n, 0.9))
    added = np.asarray(reddened.magnitude_mag) - stars.magnitude_mag
    expected = np.asarray(extinction_mag(law, np.float32(0.2), np.float32(0.9)))
    for i in range(n):
        np.testing.assert_allclose(added[i], np.where(stars.observed[i], expected, 0.0), atol=3e-6)
    np.testing.assert_array_equal(reddened.parallax_mas, stars.parallax_mas)


def test_resampled_noise_has_the_stated_size(stars) -> None:
    """Every observed magnitude and parallax moves by one more error: chi-squared over its number is 1 +- 0.1."""
    n = len(stars.magnitude_mag)
    again = redden(stars, Zhang23Law(), np.zeros(n), np.full(n, 0.9), np.random.default_rng(0))
    z = ((np.asarray(again.magnitude_mag) - stars.magnitude_mag) / stars.magnitude_error_mag)[stars.observed]
    assert np.mean(z**2) == pytest.approx(1.0, abs=0.25)


def test_trials_keep_only_stars_with_every_band(stars) -> None:
    found = list(trials(stars, Zhang23Law(), np.full(len(stars.l_deg), 0.9), np.random.default_rng(0)))
    assert [(t.n_bands, t.name) for t in found] == [
        (n, name) for n in (8, 11) for name in ("0", "0.1", "0.2", "0.3", "0.4", "random")
    ]
    for trial in found:
        assert stars.observed[trial.rows, : trial.n_bands].all()
        assert not np.asarray(trial.stars.observed)[:, trial.n_bands :].any()
        assert len(trial.rows) == len(trial.true_ebv_mag) == len(trial.stars.l_deg)
    assert len(found[0].rows) >= len(found[-1].rows) > 0


def test_scores_of_exact_normal_posteriors() -> None:
    """40,000 stars: shares are good to 0.0025, means of z to 0.005."""
    rng = np.random.default_rng(0)
    truth, std = rng.uniform(0, 0.4, 40_000), rng.uniform(0.02, 0.08, 40_000)
    mean = truth + std * rng.normal(size=40_000)
    columns = {"ebv_mean": mean, "ebv_std": std}
    for label, z in (("q05", -1.6449), ("q16", -0.9945), ("q50", 0.0), ("q84", 0.9945), ("q95", 1.6449)):
        columns[f"ebv_{label}"] = mean + z * std
    columns["ebv_mean"][0] = np.nan
    scores = score(columns, truth, np.arange(40_000) < 39_000)
    assert scores.n_used == 38_999
    assert scores.z_mean == pytest.approx(0.0, abs=0.02)
    assert scores.z_std == pytest.approx(1.0, abs=0.02)
    assert scores.inside_68 == pytest.approx(0.68, abs=0.01)
    assert scores.inside_90 == pytest.approx(0.90, abs=0.01)
    np.testing.assert_allclose(scores.intervals, INTERVAL_SHARES, atol=0.01)


@pytest.fixture(scope="module")
def experiment(prepared):
    """The experiment with an engine that knows the truth to 0.03 mag, but is 0.1 mag high for red stars."""
    model = load_model("mock-sky")
    rng = np.random.default_rng(0)

    def engine(model, stars, source_id, settings, *, progress=None, judged=None):
        n = len(source_id)
        # Every star a unit normal in each of its colours, i off by one sigma of 0.02 mag.
        record = FitRecord(np.asarray(stars.observed))
        record.done[:] = True
        record.residual += rng.standard_normal(record.residual.shape) * record.observed[:, 1:]
        record.residual[:, BAND_INDEX["ps1_i"] - 1] += 1.0
        record.residual_mag += 0.02 * record.residual
        judged(record)
        colour = np.asarray(stars.magnitude_mag)[:, 1] - np.asarray(stars.magnitude_mag)[:, 2]
        truth = colour - bp_rp[source_id]
        columns = {"ebv_mean": truth + 0.03 * rng.normal(size=n) + 0.1 * (bp_rp[source_id] > 1.6)}
        columns["ebv_std"] = np.full(n, 0.03)
        for label, z in (("q05", -1.64), ("q16", -1), ("q50", 0), ("q84", 1), ("q95", 1.64)):
            columns[f"ebv_{label}"] = columns["ebv_mean"] + 0.03 * z
        columns |= {name: np.full(n, 800.0) for name in ("distance_mean", "distance_std")}
        columns |= {
            "status": np.full(n, "ok"),
            "engine": np.full(n, "fast"),
            "flags": np.zeros(n, dtype=int),
            "p_outlier": np.zeros(n),
        }
        if progress is not None:
            progress(n)
        return columns

    table = prepared.copy()
    table["source_id"] = np.arange(len(table))
    bp_rp = np.asarray(table["gaia_bp"]) - np.asarray(table["gaia_rp"])
    # A law that reddens BP - RP by E, so that the engine above reads E off the colour.
    coefficients = np.array([2.5, 3.0, 2.0, 3.3, 2.5, 1.8, 1.4, 1.2, 0.8, 0.5, 0.3], dtype=np.float32)
    from redflower.physics import ConstantLaw

    model = model.__class__(**{**vars(model), "law": ConstantLaw(coefficients)})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("redflower.api.star_pieces.infer_stars", engine)
        return redflower.validate(table, model)


def test_pieces_that_end_out_of_order_give_the_rows_of_those_that_end_in_order(stars, monkeypatch) -> None:
    """Workers end in any order; here the last piece ends first, and no process is started."""

    def engine(model, some, source_id, settings, *, progress=None, judged=None):
        record = FitRecord(np.asarray(some.observed))
        record.done[:] = True
        judged(record)
        n = len(source_id)
        words = {"status": np.full(n, "ok"), "engine": np.full(n, "fast"), "p_outlier": np.zeros(n)}
        return {"ebv_mean": np.asarray(source_id, dtype=float), **words}

    def last_first(start, arguments, tasks, n_workers, told, what):
        assert n_workers == 2
        work = start(*arguments)
        for key, payload in reversed(list(tasks)):
            yield key, work(payload, lambda word: None)

    monkeypatch.setattr(star_pieces, "infer_stars", engine)
    monkeypatch.setattr(star_pieces, "PIECE_ROWS", 50)
    ids = np.arange(len(stars.l_deg))
    job, batches = StarsJob(load_model("mock-sky"), InferenceSettings()), [(stars, ids), (stars, ids + 1000)]
    in_order = star_pieces.inferred_stars(job, batches, 1, None, "validate")
    monkeypatch.setattr(star_pieces, "shared_out", last_first)
    shared = star_pieces.inferred_stars(job, batches, 2, None, "validate")
    for (one, fit), (other, same), (_, asked) in zip(in_order, shared, batches, strict=True):
        np.testing.assert_array_equal(one["ebv_mean"], asked)
        np.testing.assert_array_equal(other["ebv_mean"], asked)
        assert fit == same


@pytest.mark.slow
def test_the_experiment_does_not_depend_on_the_number_of_processes(prepared) -> None:
    one, numbers = redflower.validate(prepared, "mock-sky", n_stars=20, n_bands=[8], workers=1)
    two, same = redflower.validate(prepared, "mock-sky", n_stars=20, n_bands=[8], workers=2)
    assert numbers == same
    assert one.colnames == two.colnames
    for name in one.colnames:
        np.testing.assert_array_equal(np.asarray(one[name]), np.asarray(two[name]))


def test_the_experiment_scores_what_the_engine_does(experiment) -> None:
    rows, numbers = experiment
    assert set(np.unique(rows["n_bands"])) == {8, 11}
    scores = numbers["bands"]["8"]["fixed steps together"]["all"]
    blue = np.asarray(rows["bp_rp_0"]) < 1.5
    assert scores["sigma_mean"] == pytest.approx(0.03)
    assert 0.0 < scores["residual_mean"] < 0.1
    part = rows[blue & (np.asarray(rows["trial"]) == "0.3") & (np.asarray(rows["n_bands"]) == 8)]
    assert np.mean(part["ebv_mean"]) == pytest.approx(0.3, abs=0.03)
    assert numbers["paper"]["11"]["sigma"] == 0.038
    cells = biased_cells(numbers["bands"]["8"])
    assert cells
    assert all(cell["bp_rp_mag"][1] > 1.6 for cell in cells)
    assert np.isfinite(np.asarray(rows["m_g_0"])).all()
    assert "the paper: residual 0.006 mag" in validation_sentence(numbers)


def test_the_folder_of_an_experiment(experiment, tmp_path: Path) -> None:
    rows, numbers = experiment
    out = tmp_path / "out"
    write_validation(rows, numbers, out)
    saved = json.loads((out / "summary.json").read_text())
    assert saved["provenance"]["model"]["id"].startswith("mock-sky")
    assert check_opens(out / "stars.parquet") == len(rows)
    assert check_folder_opens(out) == len(list(out.iterdir()))
    for name in ("posteriors-8", "residuals-11", "distance-8", "calibration"):
        assert (out / f"{name}.pdf").stat().st_size > 2000
    verdict = verdict_of(saved["provenance"])
    complete = (np.asarray(rows["n_bands"]) == 11) & (np.asarray(rows["trial"]) == "0")
    assert verdict.residuals_mag["i"] == pytest.approx(0.02, abs=5 * 0.02 / np.sqrt(complete.sum()))
    assert set(verdict.residuals_mag) == {"BP", "RP", "g", "r", "i", "z", "y", "J", "H", "Ks"}
    page = (out / "report.html").read_text()
    assert page.index("Verdict: THE MODEL IS NOT RIGHT") < page.index("i is +") < page.index("mean residual")
    assert page.count("data:image/png;base64") == 7
