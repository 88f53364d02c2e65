"""What `redflower runs` says of a folder: each run by its record, finished or not, with its checksum compared."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from redflower.api.kept import FORMAT as PIECES_FORMAT
from redflower.api.kept import REQUESTS as PIECES
from redflower.entries import plain, why_of
from redflower.errors import InputError
from redflower.files import file_sha256, folder_bytes, folder_sha256, is_there
from redflower.scale.part_record import read_record
from redflower.scale.parts import FORMAT as PARTS_FORMAT
from redflower.scale.parts import MANIFEST
from redflower.scale.run_record import ENDING, read_content

#: Texts of a record are shown up to this length. [character]
_SHOWN_MAX: Final = 200


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
    content = read_content(path)
    if content is None:
        return RunState(name, "unreadable", (f"{path.name} is no record of a run",))
    try:
        facts, n_failed = _facts(content)
        size, checksum = int(content["out"]["bytes"]), str(content["out"]["sha256"])
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as problem:
        return RunState(
            name, "unreadable", (f"{path.name} lacks what a record has: {_plain(repr(problem))}",)
        )
    # By the name of the record: what stands in it is a stranger's, and may name any place.
    out = folder / name
    try:
        state = "gone" if not is_there(out) else "whole" if _is_same(out, size, checksum) else "changed"
    except OSError as problem:
        return RunState(name, "unreadable", (f"it cannot be read: {why_of(problem)}",))
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
        if read_content(folder / PIECES, PIECES_FORMAT) is None:
            return RunState(name, "unreadable", (f"{folder.name} holds no finished work of redflower",))
        return RunState(
            name,
            "unfinished",
            (f"finished work in {n_files:,} files; go on: the same command with --resume",),
        )
    content = read_content(folder / MANIFEST, PARTS_FORMAT)
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
