"""Work that is numbered and takes long, a line of JSON for each, so that a benchmark that was stopped goes on where it was."""

import hashlib
import json
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

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
