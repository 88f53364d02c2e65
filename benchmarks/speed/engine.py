"""Core-milliseconds per star of the engines, on the same stars in one run; scaling of the fast engine.

Usage: python -m benchmarks.speed.engine [--largest 1000000] [--fast-only] [--model MODEL]

The process keeps to one core, and times are its CPU time, without compilation; memory is its peak. Scaling goes from
1,000 stars to the largest number in steps of ten; ``--fast-only`` leaves the chains out. On a machine with a GPU
that JAX uses, wall time counts and all cores are used.
"""

import argparse
import os
import resource
import time

if hasattr(os, "sched_setaffinity") and not os.path.exists("/dev/nvidia0"):
    # Before JAX counts the cores: threads that wait for each other would count as work.
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})

import jax
import numpy as np
from benchmarks.results import recording, say, table

import redflower
from redflower.catalogue import QualityLimits, default_distance_prior, to_stars
from redflower.posterior import PAPER_SETTINGS, FastSettings, InferenceSettings, NutsSettings, infer_stars
from redflower.posterior.status import FAST, IMPORTANCE, NUTS

#: What others publish of themselves: the paper, section 2.11, on one core; brutus 1.2.0, bench/RESULTS.md, on four.
PAPER_MS, BRUTUS_MS = 20_000.0, 4 * 515.0
#: Stars on which the engines are compared.
N_FEW = 64


def sample(n: int, name: str = "mock-sky") -> tuple:
    """Stars of the mock sky behind two clouds, as arrays."""
    model = redflower.load_model(name)
    sky = redflower.simulate(n, seed=8, preset="two-cloud", radius_deg=3.0, g_faint_mag=model.g_faint_mag)
    limits = QualityLimits(model.g_bright_mag, model.g_faint_mag)
    table = redflower.prepare(sky, purpose="inference", limits=limits).table
    stars = jax.tree.map(np.asarray, to_stars(table, default_distance_prior()).stars)
    return model, stars, np.asarray(table["source_id"]).astype(np.int64)


class Bench:
    """A model and stars to infer, taken again and again where more are asked for."""

    def __init__(self, name: str) -> None:
        self.model, self._stars, self._ids = sample(10_000, name)
        self.on_gpu = jax.default_backend() == "gpu"

    def infer(self, n_stars: int, settings: InferenceSettings) -> dict:
        """Results of the first stars."""
        rows = np.resize(np.arange(len(self._ids)), n_stars)
        stars = jax.tree.map(lambda a: a[rows], self._stars)
        return infer_stars(self.model, stars, self._ids[rows], settings)

    def timed(self, n_stars: int, settings: InferenceSettings) -> tuple[float, dict]:
        """Milliseconds per star, of CPU time or of wall time where a GPU works; and the results."""
        clock = time.perf_counter if self.on_gpu else time.process_time
        started = clock()
        result = self.infer(n_stars, settings)
        return 1e3 * (clock() - started) / n_stars, result


def fast_rows(bench: Bench) -> list[tuple[str, float, dict]]:
    """The fast engine, its first step alone and then all of it: (name, ms per star, results)."""
    fast, first = InferenceSettings(), InferenceSettings(fast=FastSettings.first_step_only())
    n_stars = 4_000 if not bench.on_gpu else 40_000
    bench.infer(n_stars, fast)  # compiles all three steps
    bench.infer(64, first)
    fast_ms, result = bench.timed(n_stars, fast)
    first_ms, by_first = bench.timed(n_stars, first)
    return [
        ("fast, first step alone", first_ms, by_first),
        ("fast (hard stars handed on)", fast_ms, result),
    ]


def with_chains(bench: Bench) -> None:
    """The table of engines, their accuracy judged by long chains of the same stars."""
    short = InferenceSettings(engine="nuts")
    long = InferenceSettings(engine="nuts", nuts=NutsSettings(n_chains=4, n_warmup=300, n_draws=800))
    bench.infer(N_FEW, short)
    reference = bench.infer(N_FEW, long)
    nuts_ms, nuts = bench.timed(N_FEW, short)
    per_ess = nuts_ms * 400.0 / np.median(nuts["ess"])
    paper = InferenceSettings(engine="nuts", nuts=PAPER_SETTINGS, batch_size=8)
    bench.infer(8, paper)  # compiles
    paper_ms, by_paper = bench.timed(8, paper)
    rows = fast_rows(bench)

    def accuracy(columns: dict) -> tuple[float, float, float]:
        n = min(N_FEW, len(columns["ebv_mean"]))
        mean, std = (reference[name][:n] for name in ("ebv_mean", "ebv_std"))
        shift, ratio = np.abs(columns["ebv_mean"][:n] - mean) / std, columns["ebv_std"][:n] / std
        return np.median(shift), np.percentile(shift, 95), np.percentile(np.abs(ratio - 1), 90)

    rows += [
        (f"NUTS, default lengths, ess {np.median(nuts['ess']):.0f}", nuts_ms, nuts),
        (f"NUTS, the paper's lengths, ess {np.median(by_paper['ess']):.0f}", paper_ms, by_paper),
    ]
    lines = table(
        {
            "engine": "", "core-ms per star": ",.2f", "shift of E, median": ".3f", "95 %": ".3f", "sigma off by, 90 %": ".3f",
        }
    )  # fmt: skip
    for name, ms, columns in rows:
        lines.row(name, ms, *accuracy(columns))
    lines.row("NUTS, to an effective size of 400", per_ess, None, None, None)
    lines.row("the paper, as published", PAPER_MS, None, None, None)
    lines.row("brutus 1.2.0, as published (4 cores)", BRUTUS_MS, None, None, None)
    (_, first_ms, _), (_, fast_ms, result), *_ = rows
    say(
        f"Ratio to NUTS of an effective size of 400: {per_ess / fast_ms:.0f}; to the paper's lengths: "
        f"{paper_ms / fast_ms:.0f}, of the first step alone {paper_ms / first_ms:.0f}"
    )
    print_shares(result)


def print_shares(result: dict) -> None:
    """Which engine settled how many."""
    for engine in (FAST, IMPORTANCE, NUTS):
        say(f"  settled by `{engine}`: {(result['engine'] == engine).mean():.2%}")


def main() -> None:
    """Print the table and the scaling."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--largest", type=int, default=10_000)
    parser.add_argument("--fast-only", action="store_true")
    parser.add_argument("--model", default="mock-sky")
    arguments = parser.parse_args()
    name = "speed-engine"
    if jax.default_backend() == "gpu":
        name += "-gpu"
    with recording(name, seed=8):
        run(arguments)


def run(arguments: argparse.Namespace) -> None:
    """Time what was asked for."""
    bench = Bench(arguments.model)
    say(f"Device: {jax.devices()[0].device_kind}; model {bench.model.model_id}")
    if arguments.fast_only:
        rows = fast_rows(bench)
        for name, ms, _ in rows:
            say(f"  {name}: {ms:.3f} ms per star")
        print_shares(rows[1][2])
    else:
        with_chains(bench)
    rows = table(
        {"stars": ",", "core-ms a star": ".2f", "stars per second": ",.0f", "peak memory [GiB]": ".1f"}
    )
    for size in (1_000, 10_000, 100_000, 1_000_000):
        if size > arguments.largest:
            break
        started = time.perf_counter()
        ms, _ = bench.timed(size, InferenceSettings())
        wall = time.perf_counter() - started
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        rows.row(size, ms, size / wall, peak)


if __name__ == "__main__":
    main()
