"""What a preset reaches in a few minutes, beside the paper's recipe in the same time, by stars that none of them saw.

Usage: python -m benchmarks.flow.presets [--stars 100000 3000] [--minutes 2 1]

The flow alone, without the emulator. Compiling is not counted: every recipe has its minutes from its first step on.
`standard` and `quick` are shortened to them, as `redflower train --max-minutes` does. The paper's recipe
(`configs/paper.toml`), and the defaults of `TrainConfig`, which `redflower train` used before there were presets, are
stopped where they are. The processor time beside the minutes tells how busy the machine was.
"""

import argparse
import time
from collections.abc import Sequence

import jax
import numpy as np
from benchmarks.results import Table, recording, say, table

import redflower
from redflower.api.sample import training_sample
from redflower.catalogue import QualityLimits, default_distance_prior
from redflower.physics import default_law
from redflower.train import TrainConfig, train_flow
from redflower.train.batches import rows_with_gaps
from redflower.train.loss.objective import Objective
from redflower.train.measure import make_measure
from redflower.train.plan import plan_training
from redflower.train.presets import PAPER, preset_config
from redflower.train.steps import Measured, Planned

LIMITS = {"g_bright_mag": 13.5, "g_faint_mag": 19.0}
SEED = 41
#: Stars that judge the flows, and the draws with which they do.
TEST_STARS, TEST_DRAWS = 4096, 64
RECIPES = ("quick", "standard", "TrainConfig", "paper")


class Minutes:
    """Gives a run its minutes from now on, shortened to them or not."""

    def __init__(self, config: TrainConfig, minutes: float, *, shorten: bool) -> None:
        self._config, self._minutes, self._shorten = config, minutes, shorten

    def check(self) -> None:
        """Measure however long it takes."""

    def __call__(self, measured: Measured) -> Planned:
        """Return what to run."""
        config = self._config
        if self._shorten:
            config = plan_training(
                config, measured.n_training, measured.costs, None, elapsed_s=0.0, other_s=0.0, max_minutes=self._minutes
            ).config  # fmt: skip
        self.processor_began = time.process_time()
        return Planned(config, time.monotonic() + 60.0 * self._minutes)


def main() -> None:
    """Train by every recipe."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stars", type=int, nargs="+", default=[100_000, 3_000])
    parser.add_argument("--minutes", type=float, nargs="+", default=[2.0, 1.0])
    parser.add_argument("--recipes", nargs="+", choices=RECIPES, default=RECIPES)
    arguments = parser.parse_args()
    say(
        "The flow alone, compiled beforehand, for as many minutes as stand in the table; ln evidence by "
        f"{TEST_DRAWS} adapted draws of {TEST_STARS:,} other stars. The processor time tells how busy the machine was."
    )
    rows = table(
        {
            "stars": ",", "minutes": "g", "recipe": "", "ln evidence [nat a star]": ".3f", "error": ".3f", "epochs": ",",
            "schedule done": "", "processor s": ".0f",
        }
    )  # fmt: skip
    for n_stars, minutes in zip(arguments.stars, arguments.minutes, strict=True):
        compared(n_stars, minutes, arguments.recipes, rows)


def compared(n_stars: int, minutes: float, names: Sequence[str], table_rows: Table) -> None:
    """Train on so many stars for so long by every recipe."""
    # Enough that the cuts leave what is asked for and the stars that judge.
    sky = redflower.simulate(round(1.1 * n_stars) + 2 * TEST_STARS, seed=SEED, **LIMITS)
    stars = redflower.prepare(sky, purpose="training", limits=QualityLimits(**LIMITS)).table
    prior = default_distance_prior()
    sample = training_sample(stars, prior, **LIMITS).data
    rows = np.random.default_rng(SEED).permutation(len(sample.star.parallax_mas))
    judges, learnt = rows[:TEST_STARS], np.sort(rows[TEST_STARS : TEST_STARS + n_stars])
    gaps = rows_with_gaps(sample, 11)
    objective = Objective(
        config=TrainConfig(), law=default_law(), prior_limit_mag=prior.g_limit_mag, **LIMITS
    )
    measure = make_measure(objective, sample, gaps, TEST_DRAWS, "adapted")
    data = jax.tree.map(lambda a: np.asarray(a)[learnt], sample)
    recipes = {
        "standard": (preset_config("standard", n_stars), True),
        "quick": (preset_config("quick", n_stars), True),
        "TrainConfig": (TrainConfig(), False),
        "paper": (PAPER, False),
    }
    for name in names:
        config, shorten = recipes[name]
        plan = Minutes(config, minutes, shorten=shorten)
        result = train_flow(data, config, n_bands=11, plan=plan, prior_limit_mag=prior.g_limit_mag, **LIMITS)
        spent_s = time.process_time() - plan.processor_began
        evidence = measure(result.flow, judges, 1)[0]
        table_rows.row(
            len(learnt), minutes, name, evidence.mean(), evidence.std() / np.sqrt(len(evidence)), len(result.history),
            "yes" if result.complete else "no", spent_s,
        )  # fmt: skip


if __name__ == "__main__":
    with recording("presets", seed=SEED):
        main()
