"""What BP/RP spectra buy on the simulated sky, by a trained model, and what a wrong covariance costs.

    python -m benchmarks.flow.mock_spectra [--folder FOLDER]

Simulates a dust-free sky with spectra, prepares it and grows ``archive-sky`` by ``configs/spectra.toml``: each a command of its
own. Stars of a field behind one cloud are then inferred with the spectra in place of BP and RP, with the 11 standard bands, and
with spectra whose covariance is wrong: without what is off its diagonal, or with all errors twice or half what they are.
What bounds sigma is in `benchmarks.flow.spectra_bounds`. Writes docs/results/mock-spectra.json and .md. With FOLDER what is there
is not made again.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
from astropy.table import Table
from benchmarks.commands import commands_of
from benchmarks.flow.spectra_bounds import FAINT_MAG, GOAL_RESIDUAL_MAG, GOAL_SIGMA_MAG, SEED, field
from benchmarks.results import ROOT, recording, say, table

import redflower
from redflower.catalogue import QualityLimits
from redflower.posterior import InferenceSettings
from redflower.surveys import survey_named
from redflower.validate.scores import score


def trained(folder: Path, n_stars: int) -> None:
    """Run the commands whose files are not there."""
    faint = ("--g-faint", f"{FAINT_MAG:g}")
    commands = {
        "sky.parquet": ("simulate", "sky.parquet", "--preset", "high-latitude", "--population", "sky", "--stars", str(n_stars),
                        "--seed", str(SEED), *faint, "--survey", "xp"),
        "stars.parquet": ("prepare", "sky.parquet", "stars.parquet", "--for", "training", "--survey", "xp", *faint),
        "model.safetensors": ("train", "stars.parquet", "model.safetensors", "--config", str(ROOT / "configs" / "spectra.toml"),
                              "--start-from", "archive-sky", "--bands", "gaia+ps1+2mass+xp", "--distance-prior", "sky"),
    }  # fmt: skip
    minutes = commands_of(folder, commands)
    say(
        f"{n_stars:,} stars, {minutes['train']:.0f} minutes of a processor for the training by `configs/spectra.toml`."
    )


def with_covariance(raw: Table, *, factor: float = 1.0, diagonal: bool = False) -> Table:
    """Return the stars with a wrong covariance of their spectra: errors times a factor, or the diagonal alone."""
    out = raw.copy()
    rows, columns = np.tril_indices(10)
    matrix = np.asarray(raw["xp_covariance"]) * factor**2
    if diagonal:
        matrix[:, rows != columns] = 0.0
    out["xp_covariance"] = matrix * raw["xp_covariance"].unit
    for band in survey_named("xp").bands:
        out[str(band.error_column)] = raw[str(band.error_column)] * factor
    return out


def compared(model: str, raw: Table) -> None:
    """Infer the stars in every way, and record sigma, bias and coverage."""
    limits = QualityLimits(g_faint_mag=FAINT_MAG)

    def inferred(stars: Table, of: str, surveys: list[str]) -> Table:
        prepared = redflower.prepare(stars, purpose="inference", limits=limits, surveys=surveys).table
        assert (np.asarray(prepared["source_id"]) == np.asarray(raw["source_id"])).all()
        return redflower.infer(prepared, of, settings=InferenceSettings(hand_on=False))

    ways = {
        "11 bands, `archive-sky`": inferred(raw, "archive-sky", []),
        "spectra for BP and RP": inferred(raw, model, ["xp"]),
        "- errors taken as independent": inferred(with_covariance(raw, diagonal=True), model, ["xp"]),
        "- errors stated twice too large": inferred(with_covariance(raw, factor=2.0), model, ["xp"]),
        "- errors stated half as large": inferred(with_covariance(raw, factor=0.5), model, ["xp"]),
    }
    truth = np.asarray(raw["true_ebv"], float)
    g_mag = np.asarray(raw["phot_g_mean_mag"], float)
    seen = np.isfinite(np.asarray(raw["xp_f438w_mag"], float)) & np.isfinite(
        np.asarray(raw["i_mean_psf_mag"], float)
    )
    usable = np.all([redflower.usable_rows(post) for post in ways.values()], axis=0) & seen & (truth > 0)
    there = seen & (truth > 0)
    say(
        f"The fast engine alone: {int((there & ~usable).sum())} of {int(there.sum())} stars behind the cloud, which it does not "
        "settle in every way, are left out."
    )
    lines = table(
        {
            "stars of": "", "number": ",", "bands": "", "sigma [mag]": ".4f", "residual, median [mag]": "+.4f",
            "residual, mean [mag]": "+.4f", "residual, scatter [mag]": ".4f", "scatter of z": ".2f", "68 % holds": ".3f",
            "error of that": ".3f",
        }
    )  # fmt: skip
    for kind, chosen in {"G < 16": g_mag < 16.0, "G of 16 to 17": g_mag >= 16.0}.items():
        scored = {}
        for words, post in ways.items():
            columns = {key: np.asarray(post[key]) for key in post.colnames if key.startswith("ebv_")}
            found = scored[words] = score(columns, truth, usable & chosen)
            lines.row(
                kind, found.n_used, words, found.sigma_mean, found.residual_median, found.residual_mean, found.residual_rms,
                found.z_std, found.inside_68, np.sqrt(0.68 * 0.32 / found.n_used),
            )  # fmt: skip
        if kind == "G < 16":
            eleven, spectra = list(scored.values())[:2]
            reached = spectra.sigma_mean <= GOAL_SIGMA_MAG
            say(
                "At G < 16 spectra make sigma **{less:.0f} %** smaller than the 11 bands: {sigma:.4f} mag. "
                "The goal, {goal:.3f}, is "
                + ("reached" if reached else "not reached")
                + "; the residual's median is {residual:+.4f} mag, good to {good:.4f}, where the goal was {most:.3f}.",
                less=100 * (1 - spectra.sigma_mean / eleven.sigma_mean), sigma=spectra.sigma_mean, goal=GOAL_SIGMA_MAG,
                residual=spectra.residual_median, most=GOAL_RESIDUAL_MAG,
                good=1.25 * spectra.residual_rms / np.sqrt(spectra.n_used),
            )  # fmt: skip


def main() -> None:
    """Make what is not there, and record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--train", type=int, default=40_000)
    parser.add_argument("--stars", type=int, default=400)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as own:
        folder = (arguments.folder or Path(own)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        with recording("mock-spectra", seed=SEED):
            trained(folder, arguments.train)
            raw = field(arguments.stars)
            compared(str(folder / "model.safetensors"), raw)


if __name__ == "__main__":
    main()
