"""The record that a run leaves beside its output: what was asked, what came out, and the checksum of it; and its reading."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from redflower.api.kept import FORMAT as PIECES_FORMAT
from redflower.api.kept import REQUESTS as PIECES
from redflower.entries import plain
from redflower.errors import InputError
from redflower.files import file_sha256, folder_bytes, folder_sha256, is_there, read_json, written_whole
from redflower.provenance import VERSION
from redflower.scale.parts import FORMAT as PARTS_FORMAT
from redflower.scale.parts import MANIFEST, PartRecord, read_record
from redflower.workers import peak_memory_bytes

FORMAT: Final = "redflower-run-1"
ENDING: Final = ".run.json"
#: Texts of a record are shown up to this length. [character]
_SHOWN_MAX: Final = 200


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
    if is_there(path) and _content(path) is None:
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


@dataclass(frozen=True)
class RunState:
    """A run as its folder shows it.

    Attributes
    ----------
    out : name of the output.
    state : ``whole``, ``unfinished``, ``changed`` (the checksum is another), ``gone`` or ``unreadable``.
    facts : what its record says, in words.
    n_failed : stars that failed because of an error, and partitions of a catalogue that could not be read.
    """

    out: str
    state: str
    facts: tuple[str, ...]
    n_failed: int = 0

    @property
    def good(self) -> bool:
        """Whether the output is whole, and no star of it failed."""
        return self.state == "whole" and not self.n_failed


def read_runs(folder: "str | Path") -> list[RunState]:
    """Read the records of all runs whose outputs are in a folder, finished or not, and compare the checksums.

    Parameters
    ----------
    folder : in which ``infer``, ``prepare``, ``map``, ``validate`` or ``run`` have written.

    Raises
    ------
    InputError : there is no such folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(
            f"runs: {folder} is no folder. Give the one in which infer, map or validate have written."
        )
    unfinished = {
        path.name.removesuffix(".parts"): path
        for path in folder.glob("*.parts")
        if (path / MANIFEST).is_file() or (path / PIECES).is_file()
    }
    finished = {path.name.removesuffix(ENDING): path for path in folder.glob(f"*{ENDING}")}
    found = []
    for name in sorted({*unfinished, *finished}):
        if name in finished:
            found.append(_finished(folder, name, finished[name], resumable=name in unfinished))
        else:
            found.append(_unfinished(name, unfinished[name]))
    return found


def _finished(folder: Path, name: str, path: Path, *, resumable: bool) -> RunState:
    content = _content(path)
    if content is None:
        return RunState(name, "unreadable", (f"{path.name} is no record of a run",))
    try:
        facts, n_failed = _facts(content)
        size, checksum = int(content["out"]["bytes"]), str(content["out"]["sha256"])
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError) as problem:
        return RunState(
            name, "unreadable", (f"{path.name} lacks what a record has: {_plain(repr(problem))}",)
        )
    out = (
        folder / name
    )  # by the name of the record: what stands in it is a stranger's, and may name any place
    state = "gone" if not is_there(out) else "whole" if _is_same(out, size, checksum) else "changed"
    if resumable:
        facts.append("the parts that failed can be tried again: the same command with --resume")
    return RunState(name, state, tuple(facts), n_failed)


def _is_same(out: Path, size: int, checksum: str) -> bool:
    """Return whether an output, a table or the folder of a HATS catalogue, is as the record has it."""
    if out.is_dir() and not out.is_symlink():
        return folder_bytes(out) == size and folder_sha256(out) == checksum
    return out.is_file() and out.stat().st_size == size and file_sha256(out) == checksum


def _facts(content: dict[str, Any]) -> tuple[list[str], int]:
    """Return what a record says, in words, and how many stars failed."""
    if "command" in content:
        return _facts_of_command(content), 0
    n_stars, seconds = int(content["n_stars"]), float(content["seconds"])
    n_failed = sum(len(one["source_id"]) or 1 for one in content["failures"])
    request, out = content["request"], content["out"]
    by = "prepared" if request["model"] == "none" else f"by model {_plain(request['model'])}"
    engines = ", ".join(f"{_plain(word)} {int(n):,}" for word, n in content["engines"].items())
    facts = [
        f"{n_stars:,} stars {by} in {seconds:,.0f} s, {int(content['n_workers'])} processes, "
        f"redflower {_plain(content['redflower'])}, ended {_plain(content['ended'])}",
        "status: " + ", ".join(f"{_plain(word)} {int(n):,}" for word, n in content["statuses"].items()),
        *([f"settled by: {engines}"] if engines else []),
        f"input {_plain(request['input'])}, SHA-256 {_plain(request['sha256'])}",
        f"output SHA-256 {_plain(out['sha256'])}",
    ]
    for one in content["failures"]:
        ids = one["source_id"]
        which = (
            f"star {int(ids[0])} of "
            if len(ids) == 1
            else f"{len(ids):,} stars ({int(ids[0])} ...) of "
            if ids
            else ""
        )
        facts.append(f"{which}part {int(one['part'])} failed: {_plain(one['message'])}")
    return facts, n_failed


def _facts_of_command(content: dict[str, Any]) -> list[str]:
    """Return what the record of another command than `infer` says, in words."""
    request, counts = content["request"], content["counts"]
    made = ", ".join(f"{int(n):,} {_plain(word)}" for word, n in counts.items())
    return [
        f"{made} by redflower {_plain(content['command'])} in {float(content['seconds']):,.0f} s, redflower "
        f"{_plain(content['redflower'])}, ended {_plain(content['ended'])}",
        f"input {_plain(request['input'])}, SHA-256 {_plain(request['sha256'])}",
        f"output SHA-256 {_plain(content['out']['sha256'])}",
    ]


def _unfinished(name: str, folder: Path) -> RunState:
    """Say what the parts of a run that has not ended hold."""
    if not (folder / MANIFEST).is_file():
        n_files = len(list(folder.glob("block-*.npz")))
        if _content(folder / PIECES, PIECES_FORMAT) is None:
            return RunState(name, "unreadable", (f"{folder.name} holds no finished work of redflower",))
        return RunState(
            name,
            "unfinished",
            (f"finished work in {n_files:,} files; go on: the same command with --resume",),
        )
    content = _content(folder / MANIFEST, PARTS_FORMAT)
    if content is None:
        return RunState(name, "unreadable", (f"{folder.name} holds no parts of this version of redflower",))
    records = [read_record(path) for path in sorted(folder.glob("done-*.json"))]
    kept = [record for record in records if record is not None]
    n_failed = sum(len(failure.source_id) or 1 for record in kept for failure in record.failures)
    facts = (
        f"{sum(record.n_rows for record in kept):,} stars in {len(kept):,} finished parts; go on: the same command with --resume",
    )
    return RunState(name, "unfinished", facts, n_failed)


def _plain(text: Any) -> str:
    return plain(str(text), _SHOWN_MAX)


def _content(path: Path, form: str = FORMAT) -> dict[str, Any] | None:
    """Read a record; None if the file is none."""
    content = read_json(path)
    return content if isinstance(content, dict) and content.get("format") == form else None
