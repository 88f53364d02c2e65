"""Core-milliseconds per star of the engines, on the same stars in one run; scaling of the fast engine.

Usage: python benchmarks/bench_engine.py [--largest 1000000]

The process keeps to one core, and times are its CPU time, without compilation; memory is its peak. Scaling goes from 1,000
stars to the largest number in steps of ten. On a machine with a GPU that JAX uses, wall time counts and all cores are used.
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

import redflower
from redflower.catalogue import QualityLimits, default_distance_prior, to_stars
from redflower.posterior import PAPER_SETTINGS, FastSettings, InferenceSettings, NutsSettings, infer_stars
from redflower.posterior.engine import FAST, IMPORTANCE, NUTS

#: What others publish of themselves: the paper, section 2.11, on one core; brutus 1.2.0, bench/RESULTS.md, on four.
PAPER_MS, BRUTUS_MS = 20_000.0, 4 * 515.0


def sample(n: int) -> tuple:
    """Stars of the mock sky behind two clouds, as arrays."""
    model = redflower.load_model("mock-sky")
    sky = redflower.simulate(n, seed=8, preset="two-cloud", radius_deg=3.0, g_faint_mag=model.g_faint_mag)
    limits = QualityLimits(model.g_bright_mag, model.g_faint_mag)
    table = redflower.prepare(sky, purpose="inference", limits=limits).table
    stars = jax.tree.map(np.asarray, to_stars(table, default_distance_prior()).stars)
    return model, stars, np.asarray(table["source_id"]).astype(np.int64)


def timed(model, stars, ids, settings) -> tuple[float, dict]:
    """Milliseconds per star: of CPU time, or of wall time where a GPU works."""
    clock = time.perf_counter if jax.default_backend() == "gpu" else time.process_time
    started = clock()
    result = infer_stars(model, stars, ids, settings)
    return 1e3 * (clock() - started) / len(ids), result


def main() -> None:
    """Print the table and the scaling."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--largest", type=int, default=10_000)
    largest = parser.parse_args().largest
    sizes = [n for n in (1_000, 10_000, 100_000, 1_000_000) if n <= largest]
    model, stars, ids = sample(10_000)
    few = np.arange(64)

    def rows(index: np.ndarray) -> tuple:
        return jax.tree.map(lambda a: a[index], stars), ids[index]

    # The reference: chains of an effective size of thousands on the same 64 stars.
    short = InferenceSettings(engine="nuts")
    long = InferenceSettings(engine="nuts", nuts=NutsSettings(n_chains=4, n_warmup=300, n_draws=800))
    fast = InferenceSettings()
    infer_stars(model, *rows(np.arange(2_000)), fast)  # compiles all three steps
    infer_stars(model, *rows(few), short)
    _, reference = timed(model, *rows(few), long)
    nuts_ms, nuts = timed(model, *rows(few), short)
    per_ess = nuts_ms * 400.0 / np.median(nuts["ess"])
    one = dict(zip(("stars", "ids"), rows(few[:8]), strict=True))
    paper = InferenceSettings(engine="nuts", nuts=PAPER_SETTINGS, batch_size=8)
    paper_ms, by_paper = timed(model, one["stars"], one["ids"], paper)  # compilation is a small part of it
    fast_ms, result = timed(model, *rows(np.arange(4_000)), fast)
    first = InferenceSettings(fast=FastSettings.first_step_only())
    infer_stars(model, *rows(few), first)
    first_ms, by_first = timed(model, *rows(np.arange(4_000)), first)

    def accuracy(columns: dict, index: np.ndarray) -> str:
        shift = np.abs(columns["ebv_mean"] - reference["ebv_mean"][index]) / reference["ebv_std"][index]
        ratio = columns["ebv_std"] / reference["ebv_std"][index]
        return f"{np.median(shift):.3f} | {np.percentile(shift, 95):.3f} | {np.percentile(np.abs(ratio - 1), 90):.3f}"

    at_few = {name: values[few] for name, values in result.items()}
    first_few = {name: values[few] for name, values in by_first.items()}
    print("| engine | core-ms per star | shift of E, median | 95 % | sigma off by, 90 % |")
    print("|---|---|---|---|---|")
    print(f"| fast, first step alone | {first_ms:.2f} | {accuracy(first_few, few)} |")
    print(f"| fast (hard stars handed on) | {fast_ms:.2f} | {accuracy(at_few, few)} |")
    print(
        f"| NUTS, default lengths, ess {np.median(nuts['ess']):.0f} | {nuts_ms:.0f} | {accuracy(nuts, few)} |"
    )
    print(f"| NUTS, to an effective size of 400 | {per_ess:.0f} | |")
    print(
        f"| NUTS, the paper's lengths, ess {np.median(by_paper['ess']):.0f} | {paper_ms:.0f} | {accuracy(by_paper, few[:8])} |"
    )
    print(
        f"| the paper says | {PAPER_MS:.0f} | | | |\n| brutus 1.2.0 says (4 cores) | {BRUTUS_MS:.0f} | | | |"
    )
    print(
        f"ratio to NUTS of an effective size of 400: {per_ess / fast_ms:.0f}; to the paper's lengths: {paper_ms / fast_ms:.0f}"
    )
    for engine in (FAST, IMPORTANCE, NUTS):
        print(f"settled by {engine}: {(result['engine'] == engine).mean():.2%}")
    for size in sizes:
        index = np.resize(np.arange(len(ids)), size)
        started = time.perf_counter()
        ms, _ = timed(model, *rows(index), fast)
        wall = time.perf_counter() - started
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(
            f"{size:>9,} stars: {ms:.2f} core-ms a star, {size / wall:,.0f} stars/s, peak memory {peak:.1f} GiB",
            flush=True,
        )


if __name__ == "__main__":
    main()
