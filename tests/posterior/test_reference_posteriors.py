"""Every engine against frozen posteriors of 100 stars: long chains, made by scripts/make_reference_posteriors.py."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import redflower
from redflower.bands import BANDS
from redflower.files import file_sha256
from redflower.posterior import InferenceSettings, NutsSettings, infer_stars
from redflower.star import Star

FILE = Path(__file__).parents[1] / "data" / "reference_posteriors.parquet"
#: Chains that are shorter or disagree are not to be trusted.
MIN_ESS, MAX_R_HAT = 400.0, 1.02


@pytest.fixture(scope="module")
def reference():
    return redflower.read_table(FILE)


@pytest.fixture(scope="module")
def record():
    return json.loads(FILE.with_suffix(".json").read_text())


def stars_of(table) -> Star:
    """Return the stars as the engines take them."""

    def column(name: str, filler: float) -> np.ndarray:
        return np.nan_to_num(np.asarray(table[name], np.float32), nan=filler)

    magnitude = np.stack([column(band.name, 0.0) for band in BANDS], axis=1)
    error = np.stack([column(f"{band.name}_error", 1.0) for band in BANDS], axis=1)
    observed = np.stack([np.isfinite(np.asarray(table[band.name], float)) for band in BANDS], axis=1)
    has_parallax = np.isfinite(np.asarray(table["parallax_mas"], float))
    stars = Star(
        magnitude_mag=magnitude, magnitude_error_mag=error, observed=observed, has_parallax=has_parallax,
        parallax_mas=column("parallax_mas", 0.0), parallax_error_mas=column("parallax_error_mas", 1.0),
        selection_pixel=np.zeros(len(table), np.int32),
        **{
            name: np.asarray(table[name], np.float32)
            for name in ("l_deg", "b_deg", "prior_log_length_pc", "prior_alpha", "prior_beta")
        },
    )  # fmt: skip
    return jax.tree.map(jnp.asarray, stars)


def shifts(found: dict, table, rows: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return by how many of the reference's half-widths each median is off, and ln of the ratio of the half-widths.

    Quantiles and not moments: of a star without a parallax one draw in a hundred may be a giant, many kiloparsecs behind the
    dwarf that it probably is. The deviation of its distance is made of these, and chains do not always find them.
    """
    pairs = {}
    for name in ("ebv", "distance"):
        own = {q: np.asarray(table[f"{name}_{q}"])[rows] for q in ("q16", "q50", "q84")}
        half, half_found = (one["q84"] - one["q16"] for one in (own, {q: found[f"{name}_{q}"] for q in own}))
        pairs[name] = 2 * (found[f"{name}_q50"] - own["q50"]) / half, np.log(half_found / half)
    return pairs


def test_the_reference_is_whole_of_the_shipped_model_and_long_enough(reference, record) -> None:
    assert file_sha256(FILE) == record["sha256"], "the file is not the one that was made"
    assert redflower.load_model("mock-sky").model_id == record["model"], (
        "the shipped mock-sky has changed: python -m scripts.make_reference_posteriors tests/data/reference_posteriors.parquet"
    )
    assert len(reference) == record["n_stars"] == 100
    assert len(set(reference["kind"])) == 8
    assert np.ptp(reference["true_ebv"]) > 0.25
    assert FILE.stat().st_size < 200_000
    long = (np.asarray(reference["ess"]) > MIN_ESS) & (np.asarray(reference["r_hat"]) < MAX_R_HAT)
    assert long.sum() >= 95


def test_the_truth_is_where_the_reference_says(reference) -> None:
    """Of calibrated posteriors z has mean 0 and variance 1: over 100 stars to 0.1 and 0.14, three of them each."""
    z = (np.asarray(reference["ebv_mean"]) - np.asarray(reference["true_ebv"])) / np.asarray(
        reference["ebv_std"]
    )
    assert abs(z.mean()) < 0.3 + 0.1  # the flow of mock-sky itself is good to about a tenth of a deviation
    assert 0.6 < z.std() < 1.45


def test_the_fast_engine_agrees_with_the_reference(reference, record) -> None:
    model = redflower.load_model("mock-sky")
    low, high = record["ebv_prior_mag"]
    # Stars without G go to chains by themselves; the other test has chains.
    rows = np.flatnonzero(
        (np.asarray(reference["kind"]) != "no Gaia photometry") & (np.asarray(reference["ess"]) > MIN_ESS)
    )
    settings = InferenceSettings(ebv_min_mag=low, ebv_max_mag=high, hand_on=False)
    found = infer_stars(model, stars_of(reference[rows]), np.asarray(reference["source_id"])[rows], settings)
    settled = np.isin(found["status"], ("ok", "edge_of_prior", "bright_limit", "outside_coverage"))
    assert settled.mean() > 0.85
    noise = np.sqrt(1 / np.asarray(reference["ess"])[rows] + 1 / found["ess"])[settled]
    for name, (shift, width) in shifts(found, reference, rows).items():
        # Of n draws of a normal, a median is good to 1.25 / sqrt(n) deviations and ln of a half-width to 1.1 / sqrt(n): four of
        # these over some 180 numbers leave none but one in a hundred. A grid adds a twentieth.
        assert (np.abs(shift[settled]) < 4 * 1.25 * noise + 0.05).all(), (name, np.abs(shift[settled]).max())
        assert (np.abs(width[settled]) < 4 * 1.1 * noise + 0.05).all(), (name, np.abs(width[settled]).max())
        assert np.median(np.abs(shift[settled])) < 0.05, name
        assert abs(np.median(width[settled])) < 0.03, name


def test_chains_agree_with_the_reference(reference, record) -> None:
    """Four stars, one of them without Gaia's photometry, by chains of the default length."""
    model = redflower.load_model("mock-sky")
    low, high = record["ebv_prior_mag"]
    kinds = np.asarray(reference["kind"])
    rows = np.array(
        [
            np.flatnonzero(kinds == kind)[1]
            for kind in ("all bands", "Gaia + PS1", "Gaia alone", "no Gaia photometry")
        ]
    )
    settings = InferenceSettings(
        ebv_min_mag=low, ebv_max_mag=high, engine="nuts", nuts=NutsSettings(), seed=99
    )
    found = infer_stars(model, stars_of(reference[rows]), np.asarray(reference["source_id"])[rows], settings)
    noise = np.sqrt(1 / np.asarray(reference["ess"])[rows] + 1 / found["ess"])
    for name, (shift, width) in shifts(found, reference, rows).items():
        assert (np.abs(shift) < 4 * 1.25 * noise).all(), (name, shift, found["ess"])
        assert (np.abs(width) < 4 * 1.1 * noise).all(), (name, width, found["ess"])
