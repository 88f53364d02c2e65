"""What a preset reaches in a few minutes, beside the paper's recipe in the same time, by stars that none of them saw.

Usage: python -m benchmarks.flow.presets [--stars 100000] [--minutes 2] [--output docs/results/presets]

The flow alone, without the emulator. Compiling is not counted: every recipe has its minutes from its first step on.
`standard` and `quick` are shortened to them, as `redflower train --max-minutes` does. The paper's recipe
(`configs/paper.toml`), and the defaults of `TrainConfig`, which `redflower train` used before there were presets, are
stopped where they are. The processor time beside the minutes tells how busy the machine was.
"""

import argparse
import json
import os
import time
from pathlib import Path

import jax
import numpy as np

import redflower
from redflower.api.sample import training_sample
from redflower.catalogue import QualityLimits, default_distance_prior
from redflower.physics import Zhang23Law
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
    """Train by every recipe, and write what they reach."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stars", type=int, nargs="+", default=[100_000, 3_000])
    parser.add_argument("--minutes", type=float, nargs="+", default=[2.0, 1.0])
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    rows = []
    for n_stars, minutes in zip(arguments.stars, arguments.minutes, strict=True):
        rows += compared(n_stars, minutes)
    if arguments.output is not None:
        result = {
            "command": "python -m benchmarks.flow.presets",
            "device": jax.devices()[0].device_kind,
            "cores": len(os.sched_getaffinity(0)),
            "runs": rows,
        }
        arguments.output.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")
        arguments.output.with_suffix(".md").write_text(table(rows))


def compared(n_stars: int, minutes: float) -> list[dict]:
    """Train on so many stars for so long by every recipe."""
    # Enough that the cuts leave what is asked for and the stars that judge.
    sky = redflower.simulate(round(1.1 * n_stars) + 2 * TEST_STARS, seed=SEED, **LIMITS)
    stars = redflower.prepare(sky, purpose="training", limits=QualityLimits(**LIMITS)).table
    prior = default_distance_prior()
    sample = training_sample(stars, prior, **LIMITS).data
    rows = np.random.default_rng(SEED).permutation(len(sample.star.parallax_mas))
    judges, learnt = rows[:TEST_STARS], np.sort(rows[TEST_STARS : TEST_STARS + n_stars])
    gaps = rows_with_gaps(sample, 11)
    objective = Objective(TrainConfig(), Zhang23Law(), *LIMITS.values(), None, prior.g_limit_mag)
    measure = make_measure(objective, sample, gaps, TEST_DRAWS, "adapted")
    data = jax.tree.map(lambda a: np.asarray(a)[learnt], sample)
    no_contrast = PAPER.contrast.model_copy(update={"strength": 0.0})
    recipes = {
        "standard": (preset_config("standard", n_stars), True),
        "quick": (preset_config("quick", n_stars), True),
        "the defaults of `TrainConfig`": (TrainConfig(), False),
        "paper": (PAPER, False),
        "paper, without its contrastive term": (
            PAPER.model_copy(update={"contrast": no_contrast}),
            False,
        ),
    }
    out = []
    for name, (config, shorten) in recipes.items():
        plan = Minutes(config, minutes, shorten=shorten)
        began = time.monotonic()
        result = train_flow(data, config, n_bands=11, plan=plan, prior_limit_mag=prior.g_limit_mag, **LIMITS)
        evidence = measure(result.flow, judges, 1)[0]
        row = {
            "recipe": name,
            "stars": len(learnt),
            "minutes": minutes,
            "log_evidence": round(float(evidence.mean()), 3),
            "log_evidence_error": round(float(evidence.std() / np.sqrt(len(evidence))), 3),
            "seconds_in_epochs": round(sum(epoch.seconds for epoch in result.history), 1),
            "processor_seconds": round(time.process_time() - plan.processor_began, 1),
            "seconds_with_compiling": round(time.monotonic() - began, 1),
            "epochs": len(result.history),
            "complete": result.complete,
        }
        print(row, flush=True)
        out.append(row)
    return out


def table(rows: list[dict]) -> str:
    """Return the runs as a table of Markdown."""
    lines = [
        "| stars | minutes | recipe | ln evidence of other stars [nat a star] | epochs | schedule done | processor s |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row['stars']:,} | {row['minutes']:g} | {row['recipe']} | "
        f"{row['log_evidence']:.2f} +- {row['log_evidence_error']:.2f} | "
        f"{row['epochs']} | {'yes' if row['complete'] else 'no'} | {row['processor_seconds']:.0f} |"
        for row in rows
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
