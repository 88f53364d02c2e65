"""Does the verdict of `infer` call, and only where it should?

    python -m benchmarks.engine.verdict_alarms [--samples 100]

Samples of 512 stars of the mock sky itself must raise no alarm. One of 2,048 stars must: with any band off by 20 mmag, with Gaia
DR3 taken for DR2, and of its metal-poor stars alone. By step 1 of the fast engine, so that the shares of engines say nothing.
Two minutes.
"""

import argparse
from collections.abc import Callable

import equinox as eqx
import jax
import numpy as np
from benchmarks.results import recording, say, table

import redflower
from redflower.bands import BANDS
from redflower.calibrate.sample_fit import sample_fit
from redflower.calibrate.verdict import Verdict, judge
from redflower.catalogue import default_distance_prior, to_stars
from redflower.flow import load_model
from redflower.posterior import InferenceSettings, infer_stars
from redflower.posterior.fast.fit import FitRecord
from redflower.posterior.settings import FastSettings
from redflower.star import Star

MODEL = load_model("mock-sky")
SETTINGS = InferenceSettings(fast=FastSettings.first_step_only())
DR3_LESS_DR2_MAG = (0.003, -0.003, -0.0075)
METAL_POOR_DEX = -1.0


def verdict_of(stars: Star, source_id: np.ndarray) -> Verdict:
    """Infer some stars and judge them."""
    records: list[FitRecord] = []
    columns = infer_stars(MODEL, stars, source_id, SETTINGS, judged=records.append)
    return judge(sample_fit(MODEL, records[0], columns))


def sky(n_stars: int, seed: int, preset: str) -> tuple[Star, np.ndarray, np.ndarray]:
    """Return stars of the mock sky, their identifiers and metallicities."""
    raw = redflower.simulate(n_stars + 52, seed=seed, preset=preset, g_faint_mag=19.0, include_truth=True)
    table = redflower.prepare(raw, purpose="inference").table[:n_stars]
    stars = to_stars(table, default_distance_prior(), scale=MODEL.scale()).stars
    return stars, np.asarray(table["source_id"]), np.asarray(table["true_feh"])


def shifted(stars: Star, change: Callable[[np.ndarray], None]) -> Star:
    """Return the stars with other magnitudes."""
    magnitude = np.array(stars.magnitude_mag)
    change(magnitude)
    return eqx.tree_at(lambda s: s.magnitude_mag, stars, magnitude)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=100)
    n_samples = parser.parse_args().samples
    alarms = 0
    for seed in range(n_samples):
        stars, source_id, _ = sky(512, 1000 + seed, "high-latitude" if seed % 2 else "two-cloud")
        alarms += not verdict_of(stars, source_id).good
    say(
        "{alarms} alarms for {samples} samples of 512 stars of the mock sky itself, half of them behind two clouds. Then one "
        "sample of 2,048 stars with one change each:",
        alarms=int(alarms), samples=n_samples,
    )  # fmt: skip
    stars, source_id, feh_dex = sky(2048, 77, "high-latitude")

    def off_by(i: int, shift_mag: float) -> Callable[[np.ndarray], None]:
        def change(magnitude: np.ndarray) -> None:
            magnitude[:, i] += shift_mag

        return change

    def as_dr3(magnitude: np.ndarray) -> None:
        magnitude[:, :3] += np.array(DR3_LESS_DR2_MAG, dtype=magnitude.dtype)

    poor = np.flatnonzero(feh_dex < METAL_POOR_DEX)
    cases = {"as it is": (stars, source_id), "Gaia DR3 for DR2": (shifted(stars, as_dr3), source_id)}
    cases |= {
        f"{b.label} +20 mmag": (shifted(stars, off_by(i, 0.02)), source_id) for i, b in enumerate(BANDS)
    }
    cases["metal-poor stars"] = (jax.tree.map(lambda a: np.asarray(a)[poor], stars), source_id[poor])
    rows = table({"change": "", "verdict": "", "what it says": ""})
    for name, (sample, ids) in cases.items():
        verdict = verdict_of(sample, ids)
        rows.row(
            name,
            "good" if verdict.good else "alarm",
            "; ".join(text.split(":")[0] for good, text in verdict.lines if not good),
        )


if __name__ == "__main__":
    with recording("verdict-alarms", seed=1000):
        main()
