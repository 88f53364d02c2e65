"""`redflower infer` run as a user runs it, and what it took: what the benchmarks of speed share."""

import json
import resource
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from astropy.table import Table, vstack
from benchmarks.commands import PROGRAM

import redflower
from redflower.catalogue import QualityLimits

COMMAND = [*PROGRAM, "--quiet", "infer"]


@dataclass(frozen=True)
class InferRun:
    """What a run took.

    Attributes
    ----------
    wall_s, cpu_s : on the wall's clock, and of the processors by all processes. [s]
    record : that it left beside its output.
    """

    wall_s: float
    cpu_s: float
    record: dict[str, Any]


def repeated_stars(n: int) -> Table:
    """Return prepared stars of the mock sky behind two clouds: the same few again and again."""
    sky = redflower.simulate(4000, seed=8, preset="two-cloud", radius_deg=3.0, g_faint_mag=18.5)
    few = redflower.prepare(sky, purpose="inference", limits=QualityLimits(13.5, 18.5)).table
    many = vstack([few] * (n // len(few) + 1), metadata_conflicts="silent")[:n]
    many.meta = few.meta
    return many


def timed_infer(
    stars: Path,
    out: Path,
    workers: int,
    watch: Callable[["subprocess.Popen[bytes]"], None] | None = None,
    more: Sequence[str] = (),
) -> InferRun:
    """Run `infer` once.

    Parameters
    ----------
    stars, out, workers : of the command.
    watch : what looks at the process, in a thread, until it ends.
    more : further words of the command.
    """
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    process = subprocess.Popen(
        [
            *COMMAND,
            str(stars),
            str(out),
            "--model",
            "mock-sky",
            "--workers",
            str(workers),
            "--overwrite",
            *more,
        ]
    )
    watcher = threading.Thread(target=watch or (lambda process: None), args=(process,))
    watcher.start()
    code = process.wait()
    watcher.join()
    wall_s, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if code not in (0, 1):
        raise SystemExit(f"infer on {stars} ended with code {code}")
    record = json.loads(out.with_name(out.name + ".run.json").read_text())
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return InferRun(wall_s, cpu_s, record)
