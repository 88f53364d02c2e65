"""How much faster are several worker processes, what memory does each take, and how soon does a run of 20 stars end?

Usage: python -m benchmarks.speed.workers [--stars 2048 8192] [--workers 1 2]

Runs of `redflower infer` on the mock sky behind two clouds, one after another; between the sizes the start cancels. Processor
time is of all processes of a run; the wall's clock also tells what else the machine does, which the load says.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from astropy.table import vstack
from benchmarks.results import recording, say, table

import redflower
from redflower.catalogue import QualityLimits

COMMAND = [sys.executable, "-c", "from redflower.cli import main; main()", "--quiet", "infer"]


def stars(n: int) -> "redflower.Table":  # type: ignore[name-defined]
    """Prepared stars of the mock sky, numbered anew."""
    sky = redflower.simulate(4000, seed=8, preset="two-cloud", radius_deg=3.0, g_faint_mag=18.5)
    few = redflower.prepare(sky, purpose="inference", limits=QualityLimits(13.5, 18.5)).table
    many = vstack([few] * (n // len(few) + 1), metadata_conflicts="silent")[:n]
    many.meta = few.meta
    return many


def timed(path: Path, workers: int) -> dict[str, float]:
    """Run `infer` once: seconds on the wall and of the processors, and the most memory of a process."""
    out = path.with_name(f"out-{path.stem}-{workers}.parquet")
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(
        [*COMMAND, str(path), str(out), "--model", "mock-sky", "--workers", str(workers), "--overwrite"]
    )
    wall_s, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode not in (0, 1):
        raise SystemExit(f"workers: infer ended with code {done.returncode}")
    record = json.loads(out.with_name(out.name + ".run.json").read_text())
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"wall_s": wall_s, "cpu_s": cpu_s, "peak_bytes": record["peak_bytes"], "sha": rows_digest(out)}


def rows_digest(out: Path) -> str:
    """A digest of every number of a table."""
    import hashlib

    found = redflower.read_table(out)
    digest = hashlib.sha256()
    for name in found.colnames:
        digest.update(np.ascontiguousarray(np.asarray(found[name])).tobytes())
    return digest.hexdigest()


def main() -> None:
    """Time what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stars", type=int, nargs=2, default=[2048, 8192])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    arguments = parser.parse_args()
    with recording("workers", seed=8), tempfile.TemporaryDirectory() as place:
        run(Path(place), arguments.stars, arguments.workers)


def run(folder: Path, sizes: list[int], workers: list[int]) -> None:
    """Time every number of workers on both sizes, and 20 stars on a warm cache."""
    all_stars = stars(max(sizes))
    paths = [redflower.write_table(all_stars[:n], folder / f"{n}.parquet") for n in (20, *sizes)]
    for n_workers in workers:
        timed(paths[1], n_workers)  # compiles what is not kept yet
    say("Load of the machine at the start: {load} processes on {cores} cores.",
        load=round(os.getloadavg()[0], 1), cores=len(os.sched_getaffinity(0)))  # fmt: skip
    lines = table(
        {
            "workers": "d", "core-ms a star": ".2f", "stars per core-second": ".0f", "stars per second of wall": ".0f",
            "start [core-s]": ".1f", "peak memory of a process [GB]": ".2f",
        }
    )  # fmt: skip
    found, digests = {}, set()
    for n_workers in workers:
        few, many = (timed(path, n_workers) for path in paths[1:])
        digests.add(many["sha"])
        n = sizes[1] - sizes[0]
        core_ms = 1e3 * (many["cpu_s"] - few["cpu_s"]) / n
        wall_rate = n / (many["wall_s"] - few["wall_s"])
        start_s = few["cpu_s"] - core_ms * sizes[0] / 1e3
        found[n_workers] = (core_ms, wall_rate)
        lines.row(
            n_workers,
            core_ms,
            1e3 / core_ms,
            wall_rate,
            start_s,
            max(few["peak_bytes"], many["peak_bytes"]) / 1e9,
        )
    say("The rows are the same to the last bit for every number of workers: {same}.", same=len(digests) == 1)
    one = found[workers[0]]
    for n_workers in workers[1:]:
        core_ms, rate = found[n_workers]
        say(
            "{n} workers: {per_core:.2f} of the work of one process per core-second; {wall:.2f} times its speed on the wall.",
            n=n_workers, per_core=one[0] / core_ms, wall=rate / one[1],
        )  # fmt: skip
    short = timed(paths[0], 1)
    say(
        "20 stars on a warm cache: {cpu:.1f} s of processor, {wall:.1f} s on the wall.",
        cpu=short["cpu_s"],
        wall=short["wall_s"],
    )
    say("Load at the end: {load_end}.", load_end=round(os.getloadavg()[0], 1))


if __name__ == "__main__":
    main()
