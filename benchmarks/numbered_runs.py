"""Work that is numbered and takes long, a line of JSON for each, so that a benchmark that was stopped goes on where it was."""

import json
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path


def numbered_runs(
    one: Callable[[int], dict], count: int, out: Path, *, workers: int, summary: bool = False
) -> list[dict]:
    """Return the records of the numbers below ``count``: those that the file holds, and the others once they are made.

    Parameters
    ----------
    one : makes the record of a number, which says the number as ``k``.
    count : how many.
    out : file of a record a line.
    workers : processes.
    summary : whether only what the file holds is wanted.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    lines = out.read_text().splitlines() if out.exists() else []
    done = [record for record in map(json.loads, lines) if record["k"] < count]
    if summary:
        return done
    left = sorted(set(range(count)) - {record["k"] for record in done})
    with ProcessPoolExecutor(workers) as pool, out.open("a") as file:
        for record in pool.map(one, left):
            file.write(json.dumps(record) + "\n")
            file.flush()
            done.append(record)
    return done
