"""Does a million stars take linear time and little memory, what do workers bring, and what would a billion stars take and cost?

Usage: python -m benchmarks.speed.many_stars [--stars 100000 300000 1000000] [--one-worker 100000]
       [--machine "..." --vcpus 16 --price-per-hour 0.714 --price-date 2025-01]

Runs of `redflower infer` on the mock sky behind two clouds: with one process for every core and, of fewer stars, with a single
process and with twice as many as cores.
Times are processor seconds of all processes, and of the wall's clock; the most memory is that of all processes together, looked
at every half second. Machine and price are what the command line says, and are not looked up.
"""

import argparse
import os
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from benchmarks.infer_runs import repeated_stars, timed_infer
from benchmarks.results import recording, say, table

import redflower

#: Stars of the skies that are asked about.
SKIES = {"the training sky of the paper": 7_000_000, "a billion stars": 1_000_000_000}


@dataclass
class Timed:
    """What a run took."""

    wall_s: float
    cpu_s: float
    peak_bytes: int
    rows: int


def write_stars(path: Path, n: int) -> None:
    """Write prepared stars of the mock sky: the same few again and again, as other stars."""
    many = repeated_stars(n)
    # Another star in the same pixel: the lowest 35 bits of an identifier of Gaia's count the stars of a pixel.
    many["source_id"] = (np.asarray(many["source_id"]) >> 35 << 35) + np.arange(n)
    redflower.write_table(many, path, overwrite=True)


def held_bytes(process_id: int) -> int:
    """Return the memory of a process and of all under it: what they share is counted once for each. [byte]"""
    total, waiting = 0, [process_id]
    while waiting:
        one = waiting.pop()
        try:
            status = Path(f"/proc/{one}/status").read_text()
            for task in Path(f"/proc/{one}/task").iterdir():
                waiting += [int(n) for n in (task / "children").read_text().split()]
        except OSError:
            continue
        total += next(
            (1024 * int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")), 0
        )
    return total


def timed(stars: Path, workers: int) -> Timed:
    """Run `infer` once."""
    most = [0]

    def watch(process: "subprocess.Popen[bytes]") -> None:
        while process.poll() is None:
            most[0] = max(most[0], held_bytes(process.pid))
            time.sleep(0.5)

    run = timed_infer(stars, stars.with_name("out.parquet"), workers, watch)
    return Timed(wall_s=run.wall_s, cpu_s=run.cpu_s, peak_bytes=most[0], rows=run.record["n_stars"])


def main() -> None:
    """Time what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stars", type=int, nargs="+", default=[100_000, 300_000, 1_000_000])
    parser.add_argument(
        "--one-worker",
        type=int,
        default=100_000,
        help="stars of the runs with a single process, and with two for every core; 0 for none",
    )
    parser.add_argument("--machine", default="AWS c7i.4xlarge in us-east-1, on demand")
    parser.add_argument("--vcpus", type=int, default=16)
    parser.add_argument("--price-per-hour", type=float, default=0.714, help="of that machine [US dollar]")
    parser.add_argument("--price-date", default="2025-01", help="month of that price")
    arguments = parser.parse_args()
    with recording("many-stars", seed=8), tempfile.TemporaryDirectory() as place:
        run(Path(place), arguments)


def run(folder: Path, arguments: argparse.Namespace) -> None:
    """Time every size, and say what larger skies would take."""
    n_cores = len(os.sched_getaffinity(0))
    say(
        "Load of the machine at the start: {load} processes on {cores} cores.",
        load=round(os.getloadavg()[0], 1),
        cores=n_cores,
    )
    stars = folder / "stars.parquet"
    write_stars(stars, 2048)
    for workers in {1, n_cores}:
        timed(stars, workers)  # compiles what is not kept yet
    start = {workers: timed(stars, workers) for workers in {1, n_cores}}
    lines = table(
        {
            "stars": ",", "workers": "d", "minutes on the wall": ".1f", "core-minutes": ".1f", "core-ms a star": ".2f",
            "stars per second of wall": ",.0f", "most memory of all processes [GB]": ".2f",
        }
    )  # fmt: skip
    found: dict[tuple[int, int], Timed] = {}
    few = [(arguments.one_worker, n) for n in (1, 2 * n_cores)] if arguments.one_worker else []
    for n, workers in few + [(n, n_cores) for n in arguments.stars]:
        write_stars(stars, n)
        one = found[n, workers] = timed(stars, workers)
        assert one.rows == n
        lines.row(
            n,
            workers,
            one.wall_s / 60,
            one.cpu_s / 60,
            1e3 * one.cpu_s / n,
            n / one.wall_s,
            one.peak_bytes / 1e9,
        )
    small, large = (found[n, n_cores] for n in (min(arguments.stars), max(arguments.stars)))
    say(
        "From {few:,} to {many:,} stars the processor time of a star changes by {change:+.0%}, the memory by {more:+.2f} GB.",
        few=small.rows, many=large.rows, change=large.cpu_s / large.rows / (small.cpu_s / small.rows) - 1,
        more=(large.peak_bytes - small.peak_bytes) / 1e9,
    )  # fmt: skip
    if (same := found.get((arguments.one_worker, 1))) is not None and (
        arguments.one_worker,
        n_cores,
    ) in found:
        several = found[arguments.one_worker, n_cores]
        say(
            "{workers} workers do {per_core:.2f} of the work of one per core-second, {wall:.2f} times as fast on the wall.",
            workers=n_cores, per_core=same.cpu_s / several.cpu_s, wall=same.wall_s / several.wall_s,
        )  # fmt: skip
    # Without the start, which a large run pays once for every worker.
    core_ms = 1e3 * (large.cpu_s - start[n_cores].cpu_s) / (large.rows - 2048)
    say(
        "On paper: {core_ms:.2f} core-ms a star without the start, on {machine} with {vcpus} vCPUs at {price:.3f} US dollars "
        "an hour (a price of {date}, given and not looked up). A vCPU there is taken to do the work of a core here.",
        core_ms=core_ms, machine=arguments.machine, vcpus=arguments.vcpus, price=arguments.price_per_hour,
        date=arguments.price_date,
    )  # fmt: skip
    paper = table(
        {
            "sky": "", "stars": ",", "vCPU-hours": ",.0f", "hours of one such machine": ",.1f", "machines for a day": ",.1f",
            "US dollars": ",.0f",
        }
    )  # fmt: skip
    for sky, n in SKIES.items():
        hours = core_ms * n / 3.6e6
        of_machine = hours / arguments.vcpus
        paper.row(sky, n, hours, of_machine, of_machine / 24, of_machine * arguments.price_per_hour)
    say("Load at the end: {load_end}.", load_end=round(os.getloadavg()[0], 1))


if __name__ == "__main__":
    main()
