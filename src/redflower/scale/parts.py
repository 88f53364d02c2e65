"""The folder in which the finished parts of a run wait: each with a record of its checksum, so that none is half there."""

import json
import logging
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import numpy as np
from astropy.table import Table

from redflower.catalogue import write_table
from redflower.errors import InputError, TableError, WorkerError
from redflower.files import file_sha256, read_json, written_whole
from redflower.provenance import VERSION
from redflower.scale.lock import Lock
from redflower.scale.part_record import Failure, PartRecord, read_record, record_path

MANIFEST: Final = "manifest.json"
LOCK: Final = "lock"
#: Folder in which a HATS catalogue is until it is whole.
CATALOGUE: Final = "catalogue"
FORMAT: Final = "redflower-parts-1"
_LOG: Final = logging.getLogger(__name__)


def part_path(folder: Path, number: int) -> Path:
    """Return the path of a part's table."""
    return folder / f"part-{number:06d}.parquet"


def keep_part(
    folder: Path,
    number: int,
    table: Table,
    failures: Sequence[Failure] = (),
    *,
    path: Path | None = None,
    told: dict[str, Any] | None = None,
    what: str = "infer",
) -> PartRecord:
    """Write a part whole, then its record: a part without one is not finished. A part without rows has no file.

    Parameters
    ----------
    folder, number, table, failures, told : of the part.
    path : of its file. Defaults to `part_path`.
    what : the command, for the message.

    Raises
    ------
    WorkerError : the disk is full, or the file system has lost the file.
    """
    path = path or part_path(folder, number)
    try:
        if len(table):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_table(table, path, overwrite=True)
            _to_disk(path)
        record = PartRecord(
            number=number,
            n_rows=len(table),
            n_bytes=path.stat().st_size if len(table) else 0,
            sha256=file_sha256(path) if len(table) else "",
            statuses=_counts(table, "status"),
            engines=_counts(table, "engine"),
            failures=tuple(failures),
            told=told,
        )
        _write_json(record_path(folder, number), asdict(record))
    except (TableError, OSError) as problem:
        cause = problem.__cause__ if isinstance(problem, TableError) else problem
        raise WorkerError(
            f"{what}: part {number} cannot be kept in {folder}: {cause or problem}. What was finished before is there: make "
            "room, then go on with --resume."
        ) from problem
    return record


class PartsFolder:
    """The folder of a run, locked for this process.

    Parameters
    ----------
    folder : where the parts are.
    request : what the run was asked, as JSON has it; parts of another request are not used.
    resume : whether to go on with what is there.
    path_of : the path of a part's file, by its number. Defaults to `part_path`.
    is_good : whether what a record says can be of this run; its file has been compared with its checksum. Defaults to yes.
    what : the command, for messages.

    Raises
    ------
    InputError : the folder belongs to another run, or one is at work in it.
    """

    def __init__(
        self,
        folder: Path,
        request: dict[str, Any],
        *,
        resume: bool,
        path_of: Callable[[int], Path] | None = None,
        is_good: Callable[[PartRecord], bool] | None = None,
        what: str = "infer",
    ) -> None:
        self.folder, self._what = folder, what
        self._is_good = is_good or (lambda record: True)
        self._path_of = path_of or (lambda number: part_path(folder, number))
        content = {"format": FORMAT, "redflower": VERSION, "request": request}
        there = _names_in(folder, what)
        folder.mkdir(exist_ok=True)
        self._lock = Lock(folder / LOCK, f"{what}: {folder}")
        try:
            self._take_over(content, there, resume=resume)
        except InputError:
            self._lock.release()
            raise

    def __enter__(self) -> "PartsFolder":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.release()

    def records(self) -> dict[int, PartRecord]:
        """Return the records of the parts that are there as they were written; forget, and say, which are damaged."""
        found = {}
        for path in sorted(self.folder.glob("done-*.json")):
            record = read_record(path)
            if record is not None and self.is_whole(record) and self._is_good(record):
                found[record.number] = record
            else:
                _LOG.warning("%s: the part is damaged or gone, and is done again.", path.with_suffix(""))
                path.unlink(missing_ok=True)
        return found

    def is_whole(self, record: PartRecord) -> bool:
        """Return whether a part's file is there as it was written."""
        if not record.n_rows:
            return True
        path = self._path_of(record.number)
        try:
            return path.stat().st_size == record.n_bytes and file_sha256(path) == record.sha256
        except (OSError, IndexError):  # a record that is not this run's names a partition that there is not
            return False

    def note(self, state: str, **values: Any) -> None:
        """Write into the manifest how far the run is."""
        _write_json(self.folder / MANIFEST, {**self.noted(), "state": state, **values})

    def noted(self) -> dict[str, Any]:
        """Return what the manifest says.

        Raises
        ------
        WorkerError : another program has changed it while this one works.
        """
        content = read_json(self.folder / MANIFEST)
        if not isinstance(content, dict):
            raise WorkerError(
                f"{self._what}: {self.folder / MANIFEST} is damaged or gone: another program has changed it during the run. "
                "Remove the folder, and run again."
            )
        return content

    def remove(self) -> None:
        """Remove the folder: all that it held is in the output, or nothing of it is of use."""
        shutil.rmtree(self.folder)

    def _take_over(self, content: dict[str, Any], there: set[str], *, resume: bool) -> None:
        """Write the manifest, or check that the one that is there is of this request. A folder without a part is taken over."""
        manifest, folder = self.folder / MANIFEST, self.folder
        written = read_json(manifest)
        known = {name for name in there if name in (MANIFEST, LOCK) or name.startswith(".")}
        if not any(name.startswith("done-") for name in there):
            known |= there & {CATALOGUE}
        ours = isinstance(written, dict)
        if (
            there <= known
            and (not there - {LOCK} or ours)
            and not (resume and ours and _same(written, content))
        ):
            _write_json(manifest, content)
            return
        if not resume and ours:
            raise InputError(
                f"{self._what}: {folder} holds the parts of an unfinished run. Go on with it by --resume, or remove the folder."
            )
        if not ours:
            raise InputError(
                f"{self._what}: {folder}, where the parts of this run would lie, holds other files. Give the output another name."
            )
        if written.get("format") != FORMAT:
            raise InputError(
                f"{self._what} --resume: the parts in {folder} are of an earlier version of redflower, which kept no checksums "
                "of them. Remove the folder, and run again without --resume."
            )
        if not _same(written, content):
            raise InputError(
                f"{self._what} --resume: the parts in {folder} are of another input, model or setting. Resume with the same "
                "arguments, or remove the folder."
            )
        for path in folder.glob(".*.part*"):  # what a killed process was writing
            path.unlink(missing_ok=True)


def _same(written: dict[str, Any], content: dict[str, Any]) -> bool:
    return bool(written.get("request") == json.loads(json.dumps(content["request"])))


def _names_in(folder: Path, what: str) -> set[str]:
    if folder.exists() and not folder.is_dir():
        raise InputError(
            f"{what}: {folder}, where the parts of this run would lie, is a file. Give the output another name, or move it."
        )
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


def _write_json(path: Path, content: Any) -> None:
    with written_whole(path) as part:
        part.write_text(json.dumps(content, indent=1), encoding="utf-8")
    _to_disk(path)


def _to_disk(path: Path) -> None:
    """Wait until a file is on the disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _counts(table: Table, name: str) -> dict[str, int]:
    if name not in table.colnames:
        return {}
    words, counts = np.unique(np.asarray(table[name]).astype(str), return_counts=True)
    return {str(word): int(n) for word, n in zip(words, counts, strict=True)}
