"""Entries of a file that a stranger may have written: what they must be, or one message that says so."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from redflower.errors import InputError

#: What a file may say in one entry, and how many entries a list may have. [character]
TEXT_MAX: Final = 500
ENTRIES_MAX: Final = 100
#: No number of things is larger. [-]
COUNT_MAX: Final = 2**53
#: Values are shown up to this length. [character]
SHOWN_MAX: Final = 80


def section(content: Any, known: set[str], needed: set[str], where: str) -> dict[str, Any]:
    """Return the entries of a section, which must all be known, and none of the needed absent."""
    if not isinstance(content, Mapping):
        raise InputError(f"{where} must be a section of entries; got {in_a_line(content)}.")
    unknown, absent = sorted(set(content) - known), sorted(needed - set(content))
    if unknown or absent:
        raise InputError(
            f"{where}: unknown entries: {shown(unknown) or 'none'}; absent: {', '.join(absent) or 'none'}. Known are "
            f"{', '.join(sorted(known))}."
        )
    return dict(content)


def text_of(value: Any, what: str) -> str:
    """Return a text that a terminal may show, and a column may be called."""
    if not isinstance(value, str) or not value.isprintable() or len(value) > TEXT_MAX:
        raise InputError(
            f"{what} must be a text of one line, of {TEXT_MAX} characters at most; got {in_a_line(value)}."
        )
    return value


def list_of(value: Any, what: str) -> Sequence[Any]:
    """Return a list that is not without end."""
    if not isinstance(value, (list, tuple)) or len(value) > ENTRIES_MAX:
        raise InputError(f"{what} must be a list of {ENTRIES_MAX} entries at most; got {in_a_line(value)}.")
    return value


def texts_of(value: Any, what: str) -> tuple[str, ...]:
    """Return a list of texts, each as of `text_of`."""
    return tuple(text_of(one, what) for one in list_of(value, what))


def path_within(folder: Path, value: Any, what: str) -> Path:
    """Return the path of a file that is in a folder or below it: what a stranger's file names is read nowhere else."""
    name = text_of(value, what)
    if not name or Path(name).is_absolute() or ".." in Path(name).parts:
        raise InputError(
            f"{what} must name a file in the folder {folder} or below it; got {in_a_line(name)}."
        )
    return folder / name


def in_a_line(value: Any) -> str:
    """Return a stranger's value as a message may show it: in one line that ends."""
    try:
        text = repr(value)
    except (
        ValueError,
        RecursionError,
    ):  # a whole number of thousands of digits; lists within lists without end
        return "what is too long to be shown"
    return text if len(text) <= SHOWN_MAX else f"{text[:SHOWN_MAX]}..."


def why_of(problem: BaseException) -> str:
    """Return the first line of what an error says, as a message may show it: parts of it may be a stranger's file."""
    lines = [line for line in str(problem).strip().splitlines() if line.strip()]
    return plain((lines[0] if lines else type(problem).__name__)[:TEXT_MAX].rstrip(". "))


def shown(names: Sequence[str]) -> str:
    """Return names of a stranger's as a message may show them."""
    return plain(", ".join(names))


def plain(text: str, most: int = TEXT_MAX) -> str:
    """Return a stranger's text as a terminal may show it: no control characters, and not without end."""
    return "".join(one if one.isprintable() else "?" for one in text[:most])


def count_of(value: Any, what: str) -> int:
    """Return a number of things."""
    if type(value) is not int or not 0 <= value < COUNT_MAX:
        raise InputError(f"{what} must be a whole number of at least 0; got {in_a_line(value)}.")
    return value


def counts_of(value: Any, what: str) -> dict[str, int]:
    """Return numbers of things, by their names."""
    if not isinstance(value, dict):
        raise InputError(f"{what} must be whole numbers by name; got {in_a_line(value)}.")
    return {str(name): count_of(n, what) for name, n in value.items()}


def number_of(value: Any, what: str, low: float, high: float) -> float:
    """Return a number within two others."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise InputError(f"{what} must be a number from {low:g} to {high:g}; got {in_a_line(value)}.")
    return float(value)
