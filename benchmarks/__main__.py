"""Make results again: `python -m benchmarks [--only NAME] [--data FOLDER] [--list]`, which is what `make results` runs.

`RUNS` names every result, the command that writes it, how many minutes that takes on two idle cores, and the page that shows it.
"""

import argparse
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.results import RESULTS

ROOT = Path(__file__).parents[1]
#: Stands for the folder of public survey files in a command.
DATA = "DATA"


@dataclass(frozen=True)
class Run:
    """One result: the module and arguments that write docs/results/NAME.json, and what it costs."""

    name: str
    command: str
    minutes: int
    page: str

    @property
    def module(self) -> str:
        """The module that is run."""
        return self.command.split()[0]

    def state(self) -> str:
        """Return when the result was written, or that it was copied from a page by hand, or that there is none."""
        path = RESULTS / f"{self.name}.json"
        if not path.exists():
            return "not yet there"
        content = json.loads(path.read_text("utf-8"))
        return (
            "transcribed"
            if content.get("origin", "run") != "run"
            else f"of {content.get('date', 'an unknown day')}"
        )

    def argv(self, data: Path) -> list[str]:
        """Return the command to run, with the data folder in place."""
        words = [
            word.replace(DATA, str(data)) if word.startswith(DATA) else word for word in self.command.split()
        ]
        return [sys.executable, "-m", *words]


_SIGHTLINES = "benchmarks.clouds.sightline_calibration"
_REAL = "benchmarks.real_stars.real_sightlines"
RUNS = (
    Run("agreement", "benchmarks.engine.agreement --draws 1200", 45, "measured/inference.md"),
    Run("resolution", "benchmarks.engine.resolution", 6, "measured/inference.md"),
    Run("engine-steps", "benchmarks.engine.steps", 5, "measured/inference.md"),
    Run("speed-engine", "benchmarks.speed.engine --largest 100000", 60, "measured/inference.md"),
    Run("many-stars", "benchmarks.speed.many_stars", 60, "measured/inference.md"),
    Run("demo", "benchmarks.validation.demo", 3, "measured/sightlines.md"),
    Run("first-figure", f"benchmarks.speed.first_figure {DATA}/m67_gaiadr2_ps1_2mass.fits", 4, "howto/first-figure.md"),
    Run("verdict-alarms", "benchmarks.engine.verdict_alarms", 20, "measured/calibration.md"),
    Run("contaminants", "benchmarks.engine.contaminants --stars 1000 --seed 1", 5, "howto/calibrate.md"),
    Run("calibration-skies", "benchmarks.engine.calibration_skies", 50, "howto/calibrate.md"),
    Run("validation", "benchmarks.validation.mock_sky", 5, "measured/calibration.md"),
    Run("simulated-stars", "benchmarks.validation.simulated_stars", 3, "measured/calibration.md"),
    Run("simulated-stars-cells", "benchmarks.validation.simulated_stars --simulations 8000 --record simulated-stars-cells", 3,
        "measured/calibration.md"),
    Run("precision", "benchmarks.engine.precision", 1, "measured/inference.md"),
    Run("faint-limit", "benchmarks.engine.faint_limit", 2, "measured/calibration.md"),
    Run("sightlines-ranks", "benchmarks.clouds.sightline_ranks", 20, "measured/sightlines.md"),
    Run("sightlines-smallest", "benchmarks.clouds.smallest_cloud", 4, "measured/sightlines.md"),
    Run("sightlines-second", f"{_SIGHTLINES} second --count 120 --seed 14", 15, "measured/sightlines.md"),
    Run("sightlines-paper", f"{_SIGHTLINES} paper --count 120 --seed 16", 15, "measured/sightlines.md"),
    Run("sightlines-fooled", f"{_SIGHTLINES} fooled --count 120 --seed 15", 15, "measured/sightlines.md"),
    Run("sightlines-drift", f"{_SIGHTLINES} paper --count 120 --seed 16 --drift 0.01", 40, "measured/sightlines.md"),
    Run("mock-sightline", "benchmarks.clouds.mock_sightline", 3, "measured/sightlines.md"),
    Run("sightline-neighbours", "benchmarks.clouds.sightline_neighbours", 15, "measured/sightlines.md"),
    Run("polarised-clouds", "benchmarks.clouds.polarised_clouds", 8, "measured/sightlines.md"),
    Run("dust-field", "benchmarks.clouds.dust_field", 25, "measured/fields.md"),
    Run("field-skies", "benchmarks.clouds.field_skies", 20, "measured/fields.md"),
    Run("field-density", "benchmarks.clouds.field_density --skies 5", 35, "measured/fields.md"),
    Run("field-cost", "benchmarks.speed.field --stars 1000 3000 10000", 11, "measured/fields.md"),
    Run("cloud-samplers", "benchmarks.clouds.cloud_samplers", 15, "decisions/0009-clouds-by-evidence.md"),
    Run("cloud-evidence", "benchmarks.clouds.cloud_evidence", 20, "measured/sightlines.md"),
    Run("orion-archive-sky", f"{_REAL} orion {DATA} --model archive-sky", 30, "measured/real-sightlines.md"),
    Run("m67-sightline", f"{_REAL} m67 {DATA}", 40, "measured/real-sightlines.md"),
    Run("ngc188", f"{_REAL} ngc188 {DATA}", 20, "measured/real-sightlines.md"),
    Run("mock-cloud", f"{_REAL} mock {DATA}", 30, "measured/real-sightlines.md"),
    Run("m67-sightline-archive-sky", f"{_REAL} m67 {DATA} --model archive-sky", 20, "measured/archive-sky.md"),
    Run("ngc188-archive-sky", f"{_REAL} ngc188 {DATA} --model archive-sky", 20, "measured/archive-sky.md"),
    Run("stripe82-archive-sky", f"benchmarks.real_stars.stripe82 {DATA} --model archive-sky --g-faint 19 --clouds", 4,
        "measured/archive-sky.md"),
    Run("green-archive-sky", f"benchmarks.real_stars.green {DATA}", 4, "measured/archive-sky.md"),
    Run("green-archive-sky-b25", f"benchmarks.real_stars.green {DATA} --latitude 25", 4, "measured/archive-sky.md"),
    Run("green-archive-sky-zhang23", f"benchmarks.real_stars.green {DATA} --law zhang23", 4, "measured/archive-sky.md"),
    Run("band-sets", f"benchmarks.real_stars.band_sets {DATA}", 15, "measured/bands.md"),
    Run("simulated-stars-wise", "benchmarks.validation.simulated_stars --model archive-sky-wise --record simulated-stars-wise", 5,
        "measured/bands.md"),
    Run("spectra-noise", f"benchmarks.real_stars.spectra_noise {DATA}", 1, "measured/bands.md"),
    Run("southern-demonstration", "benchmarks.flow.further_surveys southern", 15, "measured/bands.md"),
    Run("sdss-u-demonstration", "benchmarks.flow.further_surveys sdss-u", 12, "measured/bands.md"),
    Run("spectra-bounds", "benchmarks.flow.spectra_bounds", 2, "measured/bands.md"),
    Run("wise-bounds", "benchmarks.flow.wise_bounds", 1, "measured/bands.md"),
    Run("mock-spectra", "benchmarks.flow.mock_spectra", 15, "measured/bands.md"),
    Run("speed-bands", "benchmarks.speed.bands", 5, "measured/bands.md"),
    Run("m67", f"benchmarks.real_stars.m67 {DATA}/m67_gaiadr2_ps1_2mass.fits", 15, "measured/m67.md"),
    Run("sky-population", f"benchmarks.real_stars.sky_population {DATA}", 8, "measured/population.md"),
    Run("cool-dwarfs", f"benchmarks.real_stars.cool_dwarfs {DATA}", 1, "measured/population.md"),
    Run("population-posterior", f"benchmarks.real_stars.population_posterior {DATA} --stars 1600", 4, "measured/population.md"),
    Run("population-posterior-m67", f"benchmarks.real_stars.population_posterior {DATA} --field m67 --stars 700", 2,
        "measured/population.md"),
    Run("prior-meaning", f"benchmarks.real_stars.prior_meaning {DATA}", 3, "measured/population.md"),
    Run("evidence-draws", "benchmarks.flow.evidence_draws", 25, "measured/training.md"),
    Run("mock-truth", "benchmarks.flow.mock_truth", 15, "measured/training.md"),
    Run("truth-flow", "benchmarks.flow.truth_flow", 60, "measured/training.md"),
    Run("one-flow", "benchmarks.flow.one_flow", 40, "measured/training.md"),
    Run("contrastive", "benchmarks.flow.contrastive", 60, "measured/training.md"),
    Run("presets", "benchmarks.flow.presets --stars 100000 --minutes 2 --recipes standard paper", 8,
        "measured/training.md"),
    Run("prior-reading", f"benchmarks.flow.prior_reading {DATA}/bailerjones2021_prior_summary.csv", 40, "measured/training.md"),
    Run("speed-flow", "benchmarks.speed.flow", 2, "measured/training.md"),
    Run("speed-train", "benchmarks.speed.train", 12, "measured/training.md"),
    Run("start", "benchmarks.speed.start", 4, "measured/inference.md"),
    Run("workers", "benchmarks.speed.workers", 5, "howto/many-stars.md"),
    Run("hats", "benchmarks.speed.hats", 12, "howto/many-stars.md"),
    Run("strangers", "benchmarks.validation.strangers --inputs 300", 15, "howto/many-stars.md"),
    Run("fuzz", "benchmarks.validation.fuzz", 10, "howto/many-stars.md"),
    Run("speed-memory", "benchmarks.speed.memory", 6, "measured/training.md"),
    Run("whole-runs", "benchmarks.flow.whole_runs", 25, "measured/training.md"),
    Run("shipped-models", "benchmarks.flow.shipped_models", 4, "measured/training.md"),
)  # fmt: skip


def main() -> None:
    """Run what was asked for, one after another; go on after a failure, and exit with 1 then."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="make these results alone")
    parser.add_argument(
        "--data", type=Path, default=ROOT.parent / "shared" / "data", help="folder of public survey files"
    )
    parser.add_argument(
        "--list", action="store_true", help="print the names, minutes and commands, and run nothing"
    )
    arguments = parser.parse_args()
    names = {run.name for run in RUNS}
    if unknown := sorted(set(arguments.only) - names):
        raise SystemExit(
            f"make results: no result is called {', '.join(unknown)}; there are {', '.join(sorted(names))}"
        )
    chosen = [run for run in RUNS if not arguments.only or run.name in arguments.only]
    failed = []
    for run in chosen:
        print(
            f"== {run.name} ({run.state()}): about {run.minutes} minutes; python -m {run.command}", flush=True
        )
        if not arguments.list and subprocess.run(run.argv(arguments.data), cwd=ROOT).returncode != 0:
            failed.append(run.name)
    if failed:
        raise SystemExit(f"make results: these failed, and their files are as they were: {', '.join(failed)}")


if __name__ == "__main__":
    main()
