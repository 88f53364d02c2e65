"""Work that is numbered and takes long, a line of JSON for each, so that a benchmark that was stopped goes on where it was."""

import argparse
import hashlib
import json
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.results import recording

ROOT = Path(__file__).parents[1]


def numbered_runs(
    one: Callable[[int], dict], count: int, out: Path, *, workers: int, summary: bool = False
) -> list[dict[str, Any]]:
    """Return the records of the numbers below ``count``: those that the file holds, and the others once they are made.

    Lines that other code made are not taken: a record must say what the code of today finds.

    Parameters
    ----------
    one : makes the record of a number, which says the number as ``k``.
    count : how many.
    out : file of a record a line.
    workers : processes.
    summary : whether only what the file holds is wanted.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    code = code_digest()
    lines = out.read_text().splitlines() if out.exists() else []
    done = [record for record in map(json.loads, lines) if record["k"] < count and record.get("code") == code]
    if summary:
        return done
    left = sorted(set(range(count)) - {record["k"] for record in done})
    with ProcessPoolExecutor(workers) as pool, out.open("a") as file:
        for record in pool.map(one, left):
            record = {**record, "code": code}
            file.write(json.dumps(record) + "\n")
            file.flush()
            done.append(record)
    return done


def numbered_benchmark(
    doc: str,
    one: Callable[[int], dict],
    summary: Callable[[list[dict]], None],
    *,
    record: str,
    out: str,
    seed: int,
    count: int,
    workers: int = 2,
    each: int = 1,
    count_help: str | None = None,
) -> None:
    """Make by the command's options what is not there yet, and record what its summary says.

    Parameters
    ----------
    doc : the benchmark's, whose first line its help begins with.
    one, summary : make the record of a number, and say what all records found.
    record : its name.
    out : name of the file in benchmarks/output that keeps the records of numbers.
    seed : that is recorded.
    count, workers : defaults of the options.
    each : numbers for each of the count.
    count_help : what the count is of.
    """
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("--count", type=int, default=count, help=count_help)
    parser.add_argument("--workers", type=int, default=workers)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/output") / out)
    parser.add_argument("--summary", action="store_true", help="only sum up what the output file holds")
    asked = parser.parse_args()
    done = numbered_runs(one, each * asked.count, asked.out, workers=asked.workers, summary=asked.summary)
    with recording(record, seed=seed):
        summary(done)


def code_digest(*, without: str | None = None) -> str:
    """Return a number of the sources of redflower and of its benchmarks, which changes with any of them.

    Parameters
    ----------
    without : files with this word in their path do not count. If None, all do.
    """
    digest = hashlib.sha256()
    for folder in ("src", "benchmarks"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            if without is None or without not in name:
                digest.update(name.encode() + path.read_bytes())
    return digest.hexdigest()[:16]
