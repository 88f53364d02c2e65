"""Checksums of input files."""

import hashlib
from pathlib import Path


def file_sha256(path: "str | Path") -> str:
    """The SHA-256 checksum of a file, as hexadecimal digits."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
