"""What a run keeps of a finished part, and its reading: a record may be damaged, or a stranger's."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from redflower.entries import count_of, counts_of
from redflower.files import read_json

_ID_MAX: Final = 2**63


@dataclass(frozen=True)
class Failure:
    """Stars that could not be inferred because of an error, not of what they are.

    Attributes
    ----------
    part : number of their part.
    source_id : of each.
    message : what went wrong, the second time too.
    """

    part: int
    source_id: tuple[int, ...]
    message: str


@dataclass(frozen=True)
class PartRecord:
    """What the folder holds of a finished part.

    Attributes
    ----------
    number, n_rows : of the part.
    n_bytes, sha256 : of its file.
    statuses, engines : stars by status word and by engine.
    failures : stars in it that failed; such a part is tried again by a resumed run. A failure that names no star is of the
        whole part, which could not be read.
    told : what the part tells the whole, as JSON has it.
    """

    number: int
    n_rows: int
    n_bytes: int
    sha256: str
    statuses: dict[str, int]
    engines: dict[str, int]
    failures: tuple[Failure, ...] = ()
    told: dict[str, Any] | None = None


def record_path(folder: Path, number: int) -> Path:
    """Return the path of a part's record."""
    return folder / f"done-{number:06d}.json"


def read_record(path: Path) -> PartRecord | None:
    """Read the record of a part; None if it is none, or that of another part."""
    content = read_json(path)
    try:
        told = content["told"]
        if not (told is None or isinstance(told, dict)):
            return None
        failures = tuple(map(_failure, _list(content["failures"])))
        record = PartRecord(
            **{name: count_of(content[name], name) for name in ("number", "n_rows", "n_bytes")},
            sha256=_text(content["sha256"]),
            statuses=counts_of(content["statuses"], "statuses"),
            engines=counts_of(content["engines"], "engines"),
            failures=failures,
            told=told,
        )
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
    return record if path.name == record_path(path.parent, record.number).name else None


def _failure(content: Any) -> Failure:
    ids = tuple(map(_source_id, _list(content["source_id"])))
    return Failure(count_of(content["part"], "part"), ids, _text(content["message"]))


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError("no list")
    return value


def _source_id(value: Any) -> int:
    if type(value) is not int or not -_ID_MAX <= value < _ID_MAX:
        raise ValueError("no identifier")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("no text")
    return value
