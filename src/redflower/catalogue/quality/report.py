"""The report of `prepare`: how many stars each cut left, which bands there are, and what was assumed."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.table import Table as RichTable

from redflower.catalogue.quality.cuts import BandCut
from redflower.catalogue.quality.summary import SampleSummary
from redflower.entries import count_of, counts_of
from redflower.errors import TableError
from redflower.files import written_whole


@dataclass(frozen=True)
class Cut:
    """One cut: its name, the condition a star had to meet, and the number of stars before and after."""

    name: str
    condition: str
    before: int
    after: int


@dataclass(frozen=True)
class CutReport:
    """What `prepare` did.

    Attributes
    ----------
    purpose : ``training`` or ``inference``.
    cuts : in the order in which they were made.
    bands : label of each band -> number of the remaining stars that have it.
    zero_point : what was done about the parallax zero point.
    notes : what was assumed, set missing, or could not be done because a column is missing.
    band_cuts : the cuts that set bands missing, made before the others.
    summary : counts and median errors of the remaining stars.
    """

    purpose: str
    cuts: tuple[Cut, ...]
    bands: dict[str, int]
    zero_point: str
    notes: tuple[str, ...]
    band_cuts: tuple[BandCut, ...] = ()
    summary: SampleSummary | None = None

    @property
    def n_before(self) -> int:
        """Stars before the first cut."""
        return self.cuts[0].before

    @property
    def n_after(self) -> int:
        """Stars after the last cut."""
        return self.cuts[-1].after

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain lists and dictionaries."""
        content = asdict(self)
        lists = {name: list(content[name]) for name in ("cuts", "notes", "band_cuts")}
        return {**content, **lists, "summary": self.summary.as_dict() if self.summary else None}

    @classmethod
    def from_dict(cls, content: Any) -> "CutReport":
        """Return what `as_dict` gave, without its summary, from a file that may be damaged, or a stranger's.

        Raises
        ------
        ValueError
            If it is no such report.
        """
        try:
            if not all(isinstance(content[name], list) for name in ("cuts", "band_cuts", "notes")):
                raise TypeError("cuts and notes must be lists")
            found = cls(
                purpose=_text(content["purpose"]),
                cuts=tuple(Cut(**_counted(one, "name", "condition")) for one in content["cuts"]),
                bands=counts_of(content["bands"], "bands"),
                zero_point=_text(content["zero_point"]),
                notes=tuple(map(_text, content["notes"])),
                band_cuts=tuple(
                    BandCut(**_counted(one, "name", "condition", "survey")) for one in content["band_cuts"]
                ),
            )
        except (KeyError, TypeError) as problem:
            raise ValueError(f"this is no report of cuts: {problem!r}") from None
        if not found.cuts:
            raise ValueError("a report has one cut at least")
        return found

    def write_json(self, path: "str | Path") -> None:
        """Write the report to a JSON file, whole or not at all.

        Raises
        ------
        TableError
            If the file cannot be written.
        """
        path = Path(path)
        try:
            with written_whole(path) as part:
                part.write_text(json.dumps(self.as_dict(), indent=2) + "\n", encoding="utf-8")
        except OSError as problem:
            raise TableError(f"the report {path} cannot be written: {problem.strerror or problem}.") from None

    def rich_table(self) -> RichTable:
        """Lay out the cuts as a table for the terminal."""
        table = RichTable(title=f"Stars for {self.purpose}")
        table.add_column("cut")
        table.add_column("stars must have")
        table.add_column("before", justify="right")
        table.add_column("after", justify="right")
        for cut in self.cuts:
            table.add_row(cut.name, cut.condition, f"{cut.before:,}", f"{cut.after:,}")
        return table

    def text(self) -> str:
        """Write out the whole report as lines of text."""
        both: list[BandCut | Cut] = [*self.band_cuts, *self.cuts]
        width = max(len(cut.name) for cut in both)
        lines = [
            f"{cut.name:<{width}}  {cut.before:>11,} -> {cut.after:>11,}  ({cut.condition})" for cut in both
        ]
        if self.band_cuts:
            lines.insert(0, "stars with every band of the survey, before and after the cuts on bands:")
            lines.insert(1 + len(self.band_cuts), "stars, before and after each cut:")
        lines.append("bands: " + ", ".join(f"{label} {count:,}" for label, count in self.bands.items()))
        lines.append(f"zero point: {self.zero_point}")
        if self.summary is not None:
            lines.append(self.summary.text())
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])


def _counted(content: Any, *names: str) -> dict[str, Any]:
    texts = {name: _text(content[name]) for name in names}
    return texts | {name: count_of(content[name], name) for name in ("before", "after")}


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("no text")
    return value
