"""Memory of a training run from Parquet against the number of stars, and what 7.2 million would take.

Usage: python -m benchmarks.speed.memory [--stars 50000 400000]

Each size runs in a process of its own: read and tabulate the file in pieces, then one minute of training with batches of 8192
and 32 draws. Printed are the peak of the process's own memory (anonymous pages), and the size of the memory-mapped files, whose
pages the system takes back when it needs them.
"""

import argparse
import importlib
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from astropy.table import vstack
from benchmarks.results import recording, say, table

import redflower
from redflower.catalogue import QualityLimits

LIMITS = {"g_bright_mag": 13.5, "g_faint_mag": 19.0}
PAPER_STARS = 7_187_588


def own_memory_mb() -> float:
    """Anonymous resident pages of this process: what cannot be dropped."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) / 1000.0
    return float("nan")


def child(path: Path) -> None:
    """Tabulate and train; print the figures as JSON."""
    from redflower.api.sample import training_sample
    from redflower.catalogue import default_distance_prior
    from redflower.train import StageConfig, TrainConfig

    loop = importlib.import_module(
        "redflower.train.loop"
    )  # `redflower.train` itself is the function of that name
    peak, running = [0.0], [True]

    def watch() -> None:
        while running[0]:
            peak[0] = max(peak[0], own_memory_mb())
            time.sleep(0.02)

    threading.Thread(target=watch, daemon=True).start()
    with tempfile.TemporaryDirectory() as folder:
        began = time.process_time()
        sample = training_sample(path, default_distance_prior(), folder=Path(folder), **LIMITS)
        tabulated, tabulate_s = peak[0], time.process_time() - began
        size = sum(file.stat().st_size for file in Path(folder).iterdir())
        # The check of every star before the first epoch is not what is measured here.
        loop._check_finite = lambda *arguments: None
        config = TrainConfig(
            stages=(StageConfig(n_draws=32, magnitudes="likelihood", max_epochs=1),), validation_fraction=0.01,
            magnitudes="likelihood", integrate_gaps=False,
        )  # fmt: skip
        loop.train_flow(sample.data, config, n_bands=11, max_minutes=1.0, **LIMITS)
    running[0] = False
    print(
        json.dumps(
            {
                "stars": len(sample.source_id), "tabulated_mb": tabulated, "peak_mb": peak[0],
                "mapped_mb": size / 1e6, "tabulate_s": tabulate_s,
            }
        )
    )  # fmt: skip


def main() -> None:
    """Make the files, run the children, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stars", type=int, nargs="+", default=[50_000, 400_000])
    parser.add_argument("--child", type=Path)
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments.child)
        return
    with recording("speed-memory", seed=51):
        run(arguments.stars)


def run(sizes: list[int]) -> None:
    """Measure every size."""
    lines = table(
        {
            "stars": ",", "after tabulating [MB]": ",.0f", "peak in training [MB]": ",.0f", "mapped files [MB]": ",.0f",
            "tabulating, processor s": ".0f",
        }
    )  # fmt: skip
    sky = redflower.simulate(50_000, seed=51, **LIMITS)
    prepared = redflower.prepare(sky, purpose="training", limits=QualityLimits(**LIMITS)).table
    results = []
    with tempfile.TemporaryDirectory() as folder:
        for n in sizes:
            path = Path(folder) / f"{n}.parquet"
            copies = vstack([prepared] * max(1, n // 50_000), metadata_conflicts="silent")
            redflower.write_table(copies, path)
            done = subprocess.run(
                [sys.executable, "-m", "benchmarks.speed.memory", "--child", str(path)],
                stdout=subprocess.PIPE,
                text=True,
                check=True,
            )
            result = json.loads(done.stdout.splitlines()[-1])
            results.append(result)
            lines.row(
                *(result[key] for key in ("stars", "tabulated_mb", "peak_mb", "mapped_mb", "tabulate_s"))
            )
    if len(results) > 1:
        stars, peak = (np.array([r[key] for r in results]) for key in ("stars", "peak_mb"))
        slope = (peak[-1] - peak[0]) / (stars[-1] - stars[0])
        mapped = results[-1]["mapped_mb"] / results[-1]["stars"] * PAPER_STARS
        own = (peak[0] + slope * (PAPER_STARS - stars[0])) / 1000.0
        say(
            f"A star takes {slope * 1e6:.0f} bytes of own memory. The paper's {PAPER_STARS:,} stars would take {own:.1f} GB, by "
            f"extrapolation, and {mapped / 1000:.1f} GB of mapped files, whose pages the system takes back when it needs them."
        )


if __name__ == "__main__":
    main()
