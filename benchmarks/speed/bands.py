"""What further bands cost the fast engine: core-milliseconds per star with 11 and 13 bands, and with gaps, in one run.

    python -m benchmarks.speed.bands [--model archive-sky-wise] [--beside archive-sky] [--stars 1000]

The same simulated stars are inferred in turn by a model of 11 bands and one of 13, and by the second with bands in the middle
left out. The process keeps to one core, and times are its CPU time without compilation; the least of three counts.
Writes docs/results/speed-bands.json and .md.
"""

import argparse
import os
import time

if hasattr(os, "sched_setaffinity"):
    # Before JAX counts the cores: threads that wait for each other would count as work.
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})

import jax
import numpy as np
from benchmarks.results import recording, say, table

import redflower
from redflower.catalogue import QualityLimits, choose_distance_prior, to_stars
from redflower.posterior import InferenceSettings, infer_stars
from redflower.posterior.status import FAST

SEED, REPEATS = 43, 3
#: What is left out of the stars in the rows on gaps: a survey in the middle, single bands, and a band of each survey with 2MASS.
GAPS = (("J", "H", "Ks"), ("y",), ("BP",), ("g",), ("r",), ("BP", "r", "z", "J", "H", "Ks"))


def main() -> None:
    """Run and record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="archive-sky-wise")
    parser.add_argument("--beside", default="archive-sky")
    parser.add_argument("--stars", type=int, default=1000)
    arguments = parser.parse_args()
    few, more = (redflower.load_model(name) for name in (arguments.beside, arguments.model))
    raw = redflower.simulate(
        arguments.stars, seed=SEED, preset="cone", population="sky", l_deg=90.0, b_deg=45.0, radius_deg=4.0,
        clouds=[(120.0, 0.15)], surveys=("allwise",), g_faint_mag=19.0,
    )  # fmt: skip
    prepared = redflower.prepare(raw, purpose="inference", limits=QualityLimits(g_faint_mag=19.0)).table
    prior = choose_distance_prior(None, prepared.colnames, sha256=more.distance_prior["sha256"])
    ids = np.asarray(prepared["source_id"]).astype(np.int64)
    cases = {
        f"{few.name}, {few.n_bands} bands": (few, ()),
        f"{more.name}, {more.n_bands} bands": (more, ()),
        **{f"{more.name}, without {' '.join(gap)}": (more, gap) for gap in GAPS},
    }
    runs = {}
    for name, (model, without) in cases.items():
        batch = to_stars(prepared, prior, scale=model.scale(), without=without, bands=model.star_bands)
        stars = batch.stars
        runs[name] = (model, jax.tree.map(np.asarray, stars), [])
    settings = InferenceSettings()
    settled: dict[str, float] = {}
    for repeat in range(REPEATS + 1):  # the first one compiles
        for name, (model, stars, times) in runs.items():
            began = time.process_time()
            found = infer_stars(model, stars, ids, settings)
            if repeat:
                times.append(1e3 * (time.process_time() - began) / len(ids))
            settled[name] = float(np.mean(found["engine"] == FAST))
    with recording("speed-bands", seed=SEED):
        lines = table(
            {
                "model": "",
                "core-ms per star": ",.2f",
                "of the first": ".2f",
                "of the second": ".2f",
                "settled by step 1": ".3f",
            }
        )
        first_ms, second_ms = (min(times) for _, _, times in list(runs.values())[:2])
        for name, (_, _, times) in runs.items():
            lines.row(name, min(times), min(times) / first_ms, min(times) / second_ms, settled[name])
        say(
            "{stars:,} simulated stars, every number the least of three. With 13 bands a star costs **{ratio:.2f}** times what "
            "it costs with 11. Of stars with gaps between their bands more take a second look, or rounds of weights.",
            stars=len(ids), ratio=second_ms / first_ms,
        )  # fmt: skip


if __name__ == "__main__":
    main()
