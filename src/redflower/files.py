"""Files: written whole or not at all, what an output may not overwrite, and checksums."""

import hashlib
import os
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from redflower.errors import InputError

#: Hexadecimal digits of a checksum -> its kind.
_KINDS: Final = {32: "md5", 64: "sha256"}
_NAMES: Final = {"md5": "MD5", "sha256": "SHA-256"}


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Give a file beside `path` to write to; it takes the place of `path` if the block ends without an error.

    A run that is killed leaves the old file, and at most a hidden one beside it.
    """
    part = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        yield part
        os.replace(part, path)
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
    finally:
        shutil.rmtree(part, ignore_errors=True)


def check_outputs(
    outputs: Mapping[str, Path],
    inputs: Mapping[str, Path | None],
    *,
    make_folders: bool = False,
    replaced: Collection[str] = (),
) -> None:
    """Refuse, before any work, outputs that are there already, that are an input or each other, or have no folder.

    Parameters
    ----------
    outputs : files to be written, by what the user calls them, such as ``--report``.
    inputs : files that are read, likewise.
    make_folders : whether the folders of the outputs will be made.
    replaced : the outputs, by what the user calls them, that may be there already.

    Raises
    ------
    InputError
        With the name of the first that cannot be written.
    """
    read = {path.resolve(): said for said, path in inputs.items() if path is not None}
    taken: dict[Path, str] = {}
    for said, path in outputs.items():
        place = path.resolve()
        if place in read:
            raise InputError(
                f"{said} {path} is also {read[place]}, which would be lost; choose another name."
            )
        if place in taken:
            raise InputError(f"{said} {path} is also {taken[place]}; give each output a name of its own.")
        taken[place] = said
        if path.is_dir():
            raise InputError(f"{said} {path} is a folder; name a file.")
        if path.exists() and said not in replaced:
            raise InputError(f"{said} {path} exists already; choose another name, or remove it first.")
        if not path.parent.is_dir():
            raise InputError(
                f"{said} {path} cannot be written: there is no folder {path.parent}. Make it first."
            )
        if not os.access(path.parent, os.W_OK):
            raise InputError(f"{said} {path} cannot be written: no permission to write in {path.parent}.")


def check_new_files(said: str, folder: Path, names: Iterable[str], others: Iterable[Path] = ()) -> None:
    """Refuse a folder that cannot be made, or in which one of the files to be written is there, or another output.

    Raises
    ------
    InputError
        With the first such file.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{said} {folder}: a folder is needed; this is a file.")
    names = list(names)
    places = {folder.resolve(), *((folder / name).resolve() for name in names)}
    clash = next((path for path in others if path.resolve() in places), None)
    if clash is not None:
        raise InputError(f"{said} {folder}: {clash} would be written twice; choose another folder.")
    there = next((name for name in names if (folder / name).exists()), None)
    if there is not None:
        raise InputError(f"{said} {folder} holds {there} already; choose another folder, or remove it first.")
    parent = next(one for one in (folder, *folder.parents) if one.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK):
        raise InputError(f"{said} {folder} cannot be made: {parent} is no folder that can be written in.")


def file_checksum(path: "str | Path", kind: str) -> str:
    """Compute the checksum of a file by ``md5`` or ``sha256``, as hexadecimal digits."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.new(kind, usedforsecurity=False)).hexdigest()


def file_sha256(path: "str | Path") -> str:
    """Compute the SHA-256 checksum of a file, as hexadecimal digits."""
    return file_checksum(path, "sha256")


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
