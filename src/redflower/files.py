"""Files: checksums."""

import hashlib
from pathlib import Path
from typing import Final

from redflower.errors import InputError

#: Hexadecimal digits of a checksum -> its kind.
_KINDS: Final = {32: "md5", 64: "sha256"}
_NAMES: Final = {"md5": "MD5", "sha256": "SHA-256"}


def file_checksum(path: "str | Path", kind: str) -> str:
    """The checksum of a file by ``md5`` or ``sha256``, as hexadecimal digits."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.new(kind, usedforsecurity=False)).hexdigest()


def file_sha256(path: "str | Path") -> str:
    """The SHA-256 checksum of a file, as hexadecimal digits."""
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
