"""What a benchmark leaves: a record in docs/results/NAME.json, and the same as a page's fragment, NAME.md.

A benchmark runs within `recording(name)`. There `say` adds a sentence to the record and `table` a table; both are printed as
well. The record is written when the benchmark has come to its end, and not after an error. Pages include the fragment.
`render` is the only place that makes a fragment of a record, and `tests/test_results.py` holds every fragment to its record.
`python -m benchmarks.results` makes all fragments again after a change of `render`.
"""

import json
import os
import platform
import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "docs" / "results"
#: Packages whose version a figure may depend on.
VERSIONS = ("redflower", "jax", "numpy", "numpyro")
#: Marks a file as written by this module.
FORMAT = "redflower-results-1"


@dataclass
class Table:
    """A table of a record: its columns with the formats of their numbers, and its rows.

    Parameters
    ----------
    columns : heading of every column and the format of its numbers, as in ``{"stars": ",", "shift": ".3f"}``; "" for words.
    """

    columns: dict[str, str]
    rows: list[list[Any]] = field(default_factory=list)

    def row(self, *cells: Any) -> None:
        """Add a row, and print it."""
        if len(cells) != len(self.columns):
            raise ValueError(f"a row has {len(cells)} cells, and the table {len(self.columns)} columns")
        self.rows.append([_plain(cell) for cell in cells])
        print(_line(_formatted(self.rows[-1], list(self.columns.values()))), flush=True)


@dataclass
class Record:
    """The record of one run of a benchmark.

    Parameters
    ----------
    name : of its files in docs/results.
    seed : with which the run's random numbers begin, if it has one.
    command : what was run. If None, the command line of this process.
    """

    name: str
    seed: int | None = None
    command: str | None = None
    values: dict[str, Any] = field(default_factory=dict)
    blocks: list[dict[str, Any]] = field(default_factory=list)
    began_s: float = field(default_factory=time.monotonic)

    def write(self, folder: Path = RESULTS) -> Path:
        """Write NAME.json and NAME.md, and return the path of the first."""
        content = {
            "format": FORMAT,
            "name": self.name,
            "command": self.command or command_line(),
            "origin": "run",
            "minutes": round((time.monotonic() - self.began_s) / 60.0, 1),
            "seed": self.seed,
            **circumstances(),
            "values": self.values,
            "blocks": [
                {"table": {"columns": b["table"].columns, "rows": b["table"].rows}} if "table" in b else b
                for b in self.blocks
            ],
        }
        return save(content, folder)


_RECORD: ContextVar[Record] = ContextVar("record")


@contextmanager
def recording(name: str, *, seed: int | None = None) -> Iterator[Record]:
    """Take up what `say` and `table` are told, and write it to docs/results/NAME.json at the end.

    Parameters
    ----------
    name : of the result's files.
    seed : with which the run's random numbers begin, if it has one.
    """
    record = Record(name, seed)
    token = _RECORD.set(record)
    try:
        yield record
    finally:
        _RECORD.reset(token)
    print(f"written: {record.write().relative_to(ROOT)}")


def say(sentence: str, **values: Any) -> None:
    """Add a sentence in Markdown to the record, and print it.

    Parameters
    ----------
    sentence : an item of a list if it begins with spaces. With `values`, its braces are filled with them.
    values : numbers that the record keeps by name.
    """
    text = sentence.format(**values) if values else sentence
    print(text, flush=True)
    if (record := _RECORD.get(None)) is not None:
        record.values.update({name: _plain(value) for name, value in values.items()})
        item = text[:1] == " " and not text.lstrip().startswith("- ")
        record.blocks.append({"text": f"- {text.strip()}" if item else text.strip()})


def table(columns: dict[str, str]) -> Table:
    """Add a table to the record, print its head, and return it: rows are added to what is returned."""
    started = Table(columns)
    print(_line(list(columns)) + "\n" + "|---" * len(columns) + "|", flush=True)
    if (record := _RECORD.get(None)) is not None:
        record.blocks.append({"table": started})
    return started


def save(content: dict[str, Any], folder: Path = RESULTS) -> Path:
    """Write a record and its fragment, and return the record's path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{content['name']}.json"
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", "utf-8")
    path.with_suffix(".md").write_text(render(content), "utf-8")
    return path


def render(content: dict[str, Any]) -> str:
    """Return the fragment of a record: where the figures come from, then its sentences and tables."""
    parts = [provenance(content)]
    for block in content["blocks"]:
        if "text" in block:
            is_item = block["text"].startswith("- ")
            if is_item and parts[-1].startswith("- "):
                parts[-1] += "\n" + block["text"]
            else:
                parts.append(block["text"])
        else:
            table = block["table"]
            formats = list(table["columns"].values())
            lines = [_line(list(table["columns"])), "|---" * len(formats) + "|"]
            lines += [_line(_formatted(row, formats)) for row in table["rows"]]
            parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def provenance(content: dict[str, Any]) -> str:
    """Return the lines that head a fragment."""
    if content["origin"] != "run":
        return f"`{content['command']}`\n\n*{content['origin'][:1].upper()}{content['origin'][1:]}.*"
    versions = ", ".join(f"{name} {number}" for name, number in content["versions"].items())
    seed = "" if content["seed"] is None else f", seed {content['seed']}"
    return f"`{content['command']}`\n\n*{content['date']}, {content['machine']}, {versions}{seed}.*"


def command_line() -> str:
    """Return this process's command line as a reader would type it: data folders without their place."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    module = spec.name.removesuffix(".__main__") if spec else Path(sys.argv[0]).name
    words = [_without_place(word) for word in sys.argv[1:]]
    return shlex.join(["python", "-m", module, *words])


def circumstances() -> dict[str, Any]:
    """Return when, on what and with which versions a run was made: the part that every record has."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": machine(),
        "versions": {name: version(name) for name in VERSIONS},
    }


def machine() -> str:
    """Return the class of this machine: its cores and what they are, and a GPU where JAX has one."""
    text = f"{len(os.sched_getaffinity(0))} cores of {platform.machine()}"
    if "jax" in sys.modules:
        device = sys.modules["jax"].devices()[0]
        if device.platform != "cpu":
            text += f" and {device.device_kind}"
    return text


def redraw(folder: Path = RESULTS) -> None:
    """Make every fragment again from its record."""
    for path in sorted(folder.glob("*.json")):
        content = json.loads(path.read_text("utf-8"))
        if content.get("format") == FORMAT:
            path.with_suffix(".md").write_text(render(content), "utf-8")


def _without_place(word: str) -> str:
    """Return a word of a command line, with DATA in place of the folder of survey files."""
    path = Path(word)
    if not path.is_absolute():
        return word
    return "DATA" if path.is_dir() else f"DATA/{path.name}"


def _plain(value: Any) -> Any:
    """Return a number or a word that JSON knows."""
    value = value.item() if hasattr(value, "item") else value
    return float(f"{value:.6g}") if isinstance(value, float) else value


def _formatted(cells: Sequence[Any], formats: Sequence[str]) -> list[str]:
    """Return the cells as a page shows them."""
    return [
        "" if cell is None else cell if isinstance(cell, str) else format(cell, form)
        for cell, form in zip(cells, formats, strict=True)
    ]


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    redraw()
