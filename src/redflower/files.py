"""Files: written whole or not at all, what an output may not overwrite, and checksums."""

import errno
import hashlib
import json
import logging
import os
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from redflower.errors import InputError

_LOG: Final = logging.getLogger(__name__)
#: Hexadecimal digits of a checksum -> its kind.
_KINDS: Final = {32: "md5", 64: "sha256"}
_NAMES: Final = {"md5": "MD5", "sha256": "SHA-256"}
#: Names longer than this get a short one while they are written; file systems take 255 bytes. [byte]
_NAME_MAX: Final = 200
_SUFFIX_MAX: Final = 20
#: Longer paths are cut in messages. [character]
_SHOWN_MAX: Final = 200
#: No space, over quota, too large, read-only, damaged: what a disk refuses, whatever is written.
DISK_ERRORS: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO})
#: A record that names two million failed stars has less than this. [byte]
_JSON_MAX: Final = 64_000_000


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Give a file beside `path` to write to; it takes the place of `path` if the block ends without an error.

    A run that is killed leaves the old file, and at most a hidden one beside it.

    Raises
    ------
    OSError
        If the disk is full, or the file is not in its place afterwards.
    """
    part = _part_beside(path)
    try:
        yield part
        os.replace(part, path)
        check_replaced(path)
        _LOG.info("wrote %s", path)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def folder_written_whole(path: Path) -> Iterator[Path]:
    """Give a folder beside `path` to fill; it takes the place of `path` if the block ends without an error.

    A run that is killed leaves the old folder, and at most a hidden one beside it.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    part.mkdir(parents=True)
    try:
        yield part
        if path.exists():
            shutil.rmtree(path)
        os.replace(part, path)
        check_replaced(path)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def check_replaced(path: Path) -> None:
    """See that a file or folder is in the place that it was just given: network file systems can lose that.

    Raises
    ------
    OSError
        If it is not there.
    """
    if not os.path.lexists(path):
        raise OSError(
            errno.EIO, "written and put in its place, but not there: the file system has lost it", str(path)
        )


def is_there(path: Path) -> bool:
    """Return whether something has this name, a link that leads nowhere too.

    Raises
    ------
    InputError
        If the name is none that the system takes.
    """
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, ValueError) as problem:
        raise InputError(f"{_short(path)} cannot be a file: {_why(problem)}.") from None
    return True


def check_new_file(
    path: Path, said: str = "", *, overwrite: bool = False, error: type[InputError] = InputError
) -> None:
    """Refuse, before any work, a file that is there already, or that cannot be written: it is tried.

    Parameters
    ----------
    said : what the user calls the output, such as ``--report``. Defaults to its name.
    overwrite : whether a file that is there may be replaced.
    error : what is raised.

    Raises
    ------
    InputError
        With the reason.
    """
    called = f"{said} {_short(path)}".strip()
    there = is_there(path)
    if path.is_dir():
        raise error(f"{called} is a folder; name a file.")
    if there and not overwrite:
        raise error(f"{called} exists already; choose another name, or remove it first.")
    if not path.parent.is_dir():
        raise error(f"{called} cannot be written: there is no folder {path.parent}. Make it first.")
    part = _part_beside(path)
    try:
        part.touch(exist_ok=False)
        part.unlink()
    except OSError as problem:
        raise error(f"{called} cannot be written: {_why(problem)}. Choose another folder or name.") from None


def check_outputs(
    outputs: Mapping[str, Path], inputs: Mapping[str, Path | None], *, replaced: Collection[str] = ()
) -> None:
    """Refuse, before any work, outputs that are there already, that are an input or each other, or that cannot be written.

    Parameters
    ----------
    outputs : files to be written, by what the user calls them, such as ``--report``.
    inputs : files that are read, likewise.
    replaced : the outputs, by what the user calls them, that may be there already.

    Raises
    ------
    InputError
        With the name of the first that cannot be written.
    """
    read = {os.path.realpath(path): said for said, path in inputs.items() if path is not None}
    taken: dict[str, str] = {}
    for said, path in outputs.items():
        place = os.path.realpath(path)
        if place in read:
            raise InputError(
                f"{said} {path} is also {read[place]}, which would be lost; choose another name."
            )
        if place in taken:
            raise InputError(f"{said} {path} is also {taken[place]}; give each output a name of its own.")
        taken[place] = said
        check_new_file(path, said, overwrite=said in replaced)


def check_new_files(said: str, folder: Path, names: Iterable[str], others: Iterable[Path] = ()) -> None:
    """Refuse a folder that cannot be made, or in which one of the files to be written is there, or another output.

    Raises
    ------
    InputError
        With the first such file.
    """
    if is_there(folder) and not folder.is_dir():
        raise InputError(
            f"{said} {folder}: a folder is needed; this is a file, or a link that leads nowhere."
        )
    names = list(names)
    places = {os.path.realpath(folder), *(os.path.realpath(folder / name) for name in names)}
    clash = next((path for path in others if os.path.realpath(path) in places), None)
    if clash is not None:
        raise InputError(f"{said} {folder}: {clash} would be written twice; choose another folder.")
    there = next((name for name in names if is_there(folder / name)), None)
    if there is not None:
        raise InputError(f"{said} {folder} holds {there} already; choose another folder, or remove it first.")
    parent = next(one for one in (folder, *folder.parents) if is_there(one))
    if not parent.is_dir():
        raise InputError(f"{said} {folder} cannot be made: {parent} is no folder that can be written in.")
    _try_folder(parent, f"{said} {folder} cannot be made")


def check_new_folder(folder: Path) -> None:
    """Refuse a folder for results that is a file, has no parent, holds something already, or cannot be written in.

    Raises
    ------
    InputError
        If it cannot be used.
    """
    if is_there(folder) and not folder.is_dir():
        raise InputError(
            f"{folder}: a folder is needed for the results; this is a file, or a link that leads nowhere."
        )
    if not folder.parent.is_dir():
        raise InputError(f"{folder} cannot be made: there is no folder {folder.parent}. Make it first.")
    if folder.is_dir() and any(folder.iterdir()):
        raise InputError(
            f"{folder} exists already and is not empty; choose another name, or remove it first."
        )
    _try_folder(folder if folder.is_dir() else folder.parent, f"{folder} cannot be used")


def _try_folder(folder: Path, said: str) -> None:
    """Refuse a folder in which no file can be made."""
    part = _part_beside(folder / "try")
    try:
        part.touch(exist_ok=False)
        part.unlink()
    except OSError as problem:
        raise InputError(f"{said}: {_why(problem)} in {folder}. Choose another folder.") from None


def _part_beside(path: Path) -> Path:
    """Name the hidden file that is written before it takes the place of ``path``, no longer than the system allows."""
    stem = (
        path.stem
        if len(path.name.encode()) < _NAME_MAX
        else hashlib.sha256(path.name.encode()).hexdigest()[:16]
    )
    return path.with_name(f".{stem}.{os.getpid()}.part{path.suffix[:_SUFFIX_MAX]}")


def _short(path: Path) -> str:
    text = str(path)
    return text if len(text) <= _SHOWN_MAX else f"{text[:_SHOWN_MAX]}..."


def _why(problem: Exception) -> str:
    """Return what the system says, as the end of a sentence."""
    text = (problem.strerror if isinstance(problem, OSError) else None) or str(problem)
    return text[:1].lower() + text[1:]


def read_json(path: Path) -> Any:
    """Read JSON that a stranger may have written; None if the file holds none, or more than `_JSON_MAX`."""
    try:
        readable = path.is_file() and path.stat().st_size <= _JSON_MAX
        return json.loads(path.read_text("utf-8")) if readable else None
    except (OSError, ValueError, RecursionError):
        return None


def file_checksum(path: "str | Path", kind: str) -> str:
    """Compute the checksum of a file by ``md5`` or ``sha256``, as hexadecimal digits."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.new(kind, usedforsecurity=False)).hexdigest()


def file_sha256(path: "str | Path") -> str:
    """Compute the SHA-256 checksum of a file, as hexadecimal digits."""
    return file_checksum(path, "sha256")


def folder_sha256(folder: Path, known: Mapping[Path, str] | None = None) -> str:
    """Compute the checksum of a folder: SHA-256 of the names and the checksums of all files in it; links are left out.

    Parameters
    ----------
    folder : whose files are read.
    known : checksums of files that have just been read, by their paths within the folder; these are not read again.
    """
    total, known = hashlib.sha256(), known or {}
    for path in _files_in(folder):
        name = path.relative_to(folder)
        total.update(f"{name.as_posix()} {known.get(name) or file_sha256(path)}\n".encode())
    return total.hexdigest()


def folder_bytes(folder: Path) -> int:
    """Return the size of all files in a folder; links are left out. [byte]"""
    return sum(path.stat().st_size for path in _files_in(folder))


def _files_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def verify_file(path: "str | Path", checksum: str) -> str:
    """Compare a file with the MD5 or SHA-256 that its publisher states; returns the checksum with its kind.

    Raises
    ------
    InputError
        If the checksum is neither, or the file has another.
    """
    stated = checksum.strip().lower()
    for name in _NAMES:
        stated = stated.removeprefix(f"{name}:")
    kind = _KINDS.get(len(stated))
    if kind is None or not set(stated) <= set("0123456789abcdef"):
        raise InputError(
            f"a checksum must be an MD5 of 32 or a SHA-256 of 64 hexadecimal digits; got {checksum!r}."
        )
    found = file_checksum(path, kind)
    if found != stated:
        raise InputError(
            f"{path} is not the file that is meant: its {_NAMES[kind]} is {found}, the stated one {stated}. It is damaged, "
            "cut short or another version; fetch it again."
        )
    return f"{_NAMES[kind]} {found}"
