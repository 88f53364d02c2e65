"""How much faster are several worker processes, what memory does each take, and how soon does a run of 20 stars end?

Usage: python -m benchmarks.speed.workers [--stars 2048 8192] [--workers 1 2]

Runs of `redflower infer` on the mock sky behind two clouds, one after another; between the sizes the start cancels. Processor
time is of all processes of a run; the wall's clock also tells what else the machine does, which the load says.
"""

import argparse
import os
import tempfile
from pathlib import Path

import numpy as np
from benchmarks.infer_runs import InferRun, repeated_stars, timed_infer
from benchmarks.results import recording, say, table

import redflower


def timed(path: Path, workers: int) -> tuple[InferRun, str]:
    """Run `infer` once; return what it took, and the digest of its rows."""
    out = path.with_name(f"out-{path.stem}-{workers}.parquet")
    return timed_infer(path, out, workers), rows_digest(out)


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
    all_stars = repeated_stars(max(sizes))
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
        (few, _), (many, digest) = (timed(path, n_workers) for path in paths[1:])
        digests.add(digest)
        n = sizes[1] - sizes[0]
        core_ms = 1e3 * (many.cpu_s - few.cpu_s) / n
        wall_rate = n / (many.wall_s - few.wall_s)
        start_s = few.cpu_s - core_ms * sizes[0] / 1e3
        found[n_workers] = (core_ms, wall_rate)
        lines.row(
            n_workers,
            core_ms,
            1e3 / core_ms,
            wall_rate,
            start_s,
            max(one.record["peak_bytes"] for one in (few, many)) / 1e9,
        )
    say("The rows are the same to the last bit for every number of workers: {same}.", same=len(digests) == 1)
    one = found[workers[0]]
    for n_workers in workers[1:]:
        core_ms, rate = found[n_workers]
        say(
            "{n} workers: {per_core:.2f} of the work of one process per core-second; {wall:.2f} times its speed on the wall.",
            n=n_workers, per_core=one[0] / core_ms, wall=rate / one[1],
        )  # fmt: skip
    short, _ = timed(paths[0], 1)
    say(
        "20 stars on a warm cache: {cpu:.1f} s of processor, {wall:.1f} s on the wall.",
        cpu=short.cpu_s,
        wall=short.wall_s,
    )
    say("Load at the end: {load_end}.", load_end=round(os.getloadavg()[0], 1))


if __name__ == "__main__":
    main()
