"""What a file is by its first bytes, for files whose names say otherwise."""

import gzip
import zlib
from pathlib import Path
from typing import Final

from redflower.errors import TableError
from redflower.platforms import available_bytes

#: How files begin, what they are, and the endings under which they are read.
_BEGINNINGS: Final[tuple[tuple[bytes, str, tuple[str, ...]], ...]] = (
    (b"PAR1", "Parquet", (".parquet",)),
    (b"PARE", "an encrypted Parquet file", ()),
    (b"SIMPLE  =", "FITS", (".fits",)),
    (b"# %ECSV", "ECSV", (".ecsv", ".csv")),
    (b"\x1f\x8b", "packed by gzip", ()),
    (b"BZh", "packed by bzip2", ()),
    (b"\xfd7zXZ", "packed by xz", ()),
    (b"PK\x03\x04", "a zip archive or a spreadsheet", ()),
    (b"\x89HDF", "HDF5", ()),
    (b"ARROW1", "Arrow IPC (Feather)", ()),
    (b"Obj\x01", "Avro", ()),
    (b"SQLite format 3", "an SQLite database", ()),
    (b"%PDF", "PDF", ()),
    (b"\xff\xfe", "text in UTF-16", ()),
    (b"\xfe\xff", "text in UTF-16", ()),
    (b"{", "JSON", ()),
    (b"[{", "JSON", ()),
)
_LOOK: Final = 4096
#: gzip packs no better than by this factor.
_MOST_PACKED: Final = 1032
_CHUNK: Final = 1 << 24


def check_content(path: Path, ending: str) -> None:
    """Refuse a file that begins as one of another kind than its name says.

    Parameters
    ----------
    ending : the ending by which it would be read.

    Raises
    ------
    TableError
        With the kind that it is of.
    """
    with path.open("rb") as file:
        head = file.read(_LOOK)
    packed = path.name.lower().endswith(".gz")
    is_gzip = head.startswith(b"\x1f\x8b")
    if packed and not is_gzip:
        raise TableError(f"{path} is not packed by gzip, as the end of its name says. Rename it without .gz.")
    if packed:
        _refuse_too_large(path)
        try:
            with gzip.open(path) as unpacked:
                head = unpacked.read(_LOOK)
        except (OSError, EOFError, zlib.error):
            return  # the reader says what is wrong
    elif is_gzip and ending != ".parquet":
        raise TableError(f"{path} is packed by gzip; let its name end in {ending}.gz.")
    kind, endings = _kind(head)
    if kind is not None and ending not in endings:
        remedy = (
            f"Let its name end in {endings[0]}"
            if endings
            else "Write the table in one of the formats that are read"
        )
        raise TableError(f"{path} is {kind} by its content, not {ending}. {remedy}.")


def _refuse_too_large(path: Path) -> None:
    """Refuse a packed file that does not fit in memory when it is unpacked; it may be a thousandth as large."""
    there = available_bytes()
    if path.stat().st_size * _MOST_PACKED <= there:
        return
    size = 0
    try:
        with gzip.open(path) as unpacked:
            while size <= there and (read := len(unpacked.read(_CHUNK))):
                size += read
    except (OSError, EOFError, zlib.error):
        return  # the reader says what is wrong
    if size > there:
        raise TableError(
            f"{path} is larger when it is unpacked than the {there / 1e9:,.1f} GB of memory that are there. Unpack it, and write "
            "it as Parquet in a program that reads it in parts."
        )


def _kind(head: bytes) -> tuple[str | None, tuple[str, ...]]:
    bare = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if bare.startswith(b"<"):
        folded = bare.lower()
        if b"<votable" in folded:
            return "VOTable", (".vot",)
        if b"<html" in folded or b"<!doctype html" in folded:
            return "a web page", ()
        return "XML", (".vot",)
    for beginning, kind, endings in _BEGINNINGS:
        if head.startswith(beginning) or (beginning[:1] in b"#{[" and bare.startswith(beginning)):
            return kind, endings
    return None, ()
