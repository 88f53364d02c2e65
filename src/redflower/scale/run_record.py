"""The record that a run leaves beside its output: what was asked, what came out, and the checksum of it."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from redflower.errors import InputError
from redflower.files import file_sha256, is_there, read_json, written_whole
from redflower.provenance import VERSION
from redflower.scale.part_record import PartRecord
from redflower.workers import peak_memory_bytes

if TYPE_CHECKING:
    from redflower.products.skymap import SkyMap

FORMAT: Final = "redflower-run-1"
ENDING: Final = ".run.json"


def record_path(out: Path) -> Path:
    """Return where the record of an output is."""
    return out.with_name(f"{out.name}{ENDING}")


def check_record(out: Path, what: str) -> None:
    """Refuse an output beside which another program's file has the name of its record.

    Parameters
    ----------
    out : the output.
    what : the command, for the message.

    Raises
    ------
    InputError : there is such a file.
    """
    path = record_path(out)
    if is_there(path) and read_content(path) is None:
        raise InputError(
            f"{what}: {path}, where the record of this run would be, is another file. Give the output another name."
        )


def run_content(
    request: dict[str, Any],
    records: Sequence[PartRecord],
    *,
    n_workers: int,
    peak_bytes: int,
    seconds: float,
    statuses: dict[str, int],
) -> dict[str, Any]:
    """Return what the record of a run says of it, as JSON has it.

    Parameters
    ----------
    request : what was asked.
    records : of all parts.
    n_workers : processes that worked.
    peak_bytes : the most memory that a worker held. If 0, that of this process. [byte]
    seconds : that the run took. [s]
    statuses : stars by what became of them.
    """
    return {
        "request": request,
        "n_stars": sum(record.n_rows for record in records),
        "n_parts": len(records),
        "n_workers": n_workers,
        "peak_bytes": peak_bytes or peak_memory_bytes(),
        "seconds": round(seconds, 1),
        "statuses": statuses,
        "engines": summed([record.engines for record in records]),
        "failures": [asdict(failure) for record in records for failure in record.failures],
    }


def command_content(
    command: str, source: Path, settings: dict[str, Any], counts: dict[str, int], *, seconds: float
) -> dict[str, Any]:
    """Return what the record of another command than `infer` says, as JSON has it.

    Parameters
    ----------
    command : such as ``map``.
    source : the table that it read.
    settings : what else was asked.
    counts : what came out, by what it is, such as ``pixels``.
    seconds : that it took. [s]
    """
    return {
        "command": command,
        "request": {"input": source.name, "sha256": file_sha256(source), **settings},
        "counts": counts,
        "seconds": round(seconds, 1),
    }


def map_content(
    source: Path, sky: "SkyMap", *, max_clouds: int, seed: int, seconds: float, command: str = "map"
) -> dict[str, Any]:
    """Return what the record of a map of the sky says, as JSON has it.

    Parameters
    ----------
    source : the posteriors.
    sky : the map.
    max_clouds, seed : as they were asked.
    seconds : that it took. [s]
    command : that made it.
    """
    asked = {
        "nside": sky.nside,
        "distance_pc": list(map(float, sky.distance_pc)),
        "max_clouds": max_clouds,
        "seed": seed,
    }
    counts = {"pixels": len(sky.pixel), "stars": int(sky.n_stars.sum())}
    return command_content(command, source, asked, counts, seconds=seconds)


def summed(counts: list[dict[str, int]]) -> dict[str, int]:
    """Add up counts of words, the most frequent first; the empty word, of no engine, is left out."""
    total: dict[str, int] = {}
    for one in counts:
        for word, n in one.items():
            total[word] = total.get(word, 0) + n
    return {word: n for word, n in sorted(total.items(), key=lambda item: (-item[1], item[0])) if word}


def write_record(
    out: Path, content: dict[str, Any], *, n_bytes: int | None = None, sha256: str | None = None
) -> Path:
    """Write the record of a finished run.

    Parameters
    ----------
    out : the output, which is there.
    content : what to keep, as JSON has it.
    n_bytes, sha256 : of the output. If None, those of its file.
    """
    path = record_path(out)
    file = {
        "name": out.name,
        "bytes": out.stat().st_size if n_bytes is None else n_bytes,
        "sha256": file_sha256(out) if sha256 is None else sha256,
    }
    now = datetime.now(UTC).isoformat(timespec="seconds")
    with written_whole(path) as part:
        part.write_text(
            json.dumps(
                {"format": FORMAT, "redflower": VERSION, "ended": now, "out": file, **content}, indent=1
            ),
            encoding="utf-8",
        )
    return path


def read_content(path: Path, form: str = FORMAT) -> dict[str, Any] | None:
    """Read a record; None if the file is none."""
    content = read_json(path)
    return content if isinstance(content, dict) and content.get("format") == form else None
