"""A result's folder: tables and numbers first, then figures and the page, drawn from what was saved."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from astropy.table import Table
from matplotlib.figure import Figure

from redflower.catalogue import read_table, write_table
from redflower.entries import in_a_line, why_of
from redflower.errors import InputError, RedflowerError
from redflower.files import check_new_folder, read_json, written_whole
from redflower.plot.style import save_figure
from redflower.products.page import write_page
from redflower.products.page_calibration import calibration_page
from redflower.products.page_neighbours import neighbours_page
from redflower.products.page_sightline import sightline_page
from redflower.products.page_validation import validation_page
from redflower.products.run import NUMBERS, draw_run
from redflower.provenance import META_KEY

FIGURE_ENDINGS: Final = ("png", "pdf", "svg")
#: The JSON file that tells what kind of result a folder holds, and what draws it.
_KINDS: Final[dict[str, tuple[str, tuple[str, ...], Callable[..., dict[str, Any]]]]] = {
    "sightline": (
        "clouds.json",
        ("clouds.ecsv", "profile.ecsv", "bins.ecsv", "stars.parquet", "draws.parquet", "comparisons.ecsv"),
        sightline_page,
    ),
    "neighbours": (
        "neighbours.json",
        ("clouds.ecsv", "odds.ecsv", "density.ecsv", "draws.parquet"),
        neighbours_page,
    ),
    "calibration": ("offsets.json", ("stars.parquet", "offsets.ecsv"), calibration_page),
    "validation": ("summary.json", ("stars.parquet",), validation_page),
}


def write_folder(folder: Path, kind: str, numbers: dict[str, Any], tables: dict[str, Table]) -> None:
    """Write a new folder of results: tables, numbers, then figures and ``report.html``.

    The JSON file that marks the folder as complete is written after the tables.
    """
    folder = Path(folder)
    check_new_folder(folder)
    folder.mkdir(exist_ok=True)
    for name, table in tables.items():
        write_table(table, folder / name)
    for name, values in numbers.items():
        _write_text(folder / name, json.dumps(values, indent=1, default=str))
    redraw(folder)


def redraw(folder: Path) -> list[Path]:
    """Draw every figure and the page of a folder of results again, from its tables and numbers alone.

    Parameters
    ----------
    folder : written by `redflower run`, `sightline`, `neighbours`, `validate` or `calibrate`.

    Returns
    -------
    The files written.

    Raises
    ------
    InputError
        If the folder holds no results, or not all that was written.
    """
    folder = Path(folder)
    if (folder / NUMBERS).is_file():
        with _changed_by_others(folder, NUMBERS):
            return draw_run(folder)
    kind = next((kind for kind in _KINDS.values() if (folder / kind[0]).is_file()), None)
    if kind is None:
        marks = " or ".join([NUMBERS, *(kind[0] for kind in _KINDS.values())])
        raise InputError(f"{folder} holds no results of redflower: it has no {marks}.")
    number_file, table_files, draw = kind
    numbers = read_json(folder / number_file)
    if not isinstance(numbers, dict):
        raise InputError(
            f"{folder / number_file} is damaged: it does not hold numbers by name. Run the command that wrote it again."
        )
    tables = {name.split(".")[0]: read_table(folder / name) for name in table_files}
    with _changed_by_others(folder, number_file):
        page = draw(numbers, **tables)
    written = []
    figures: dict[str, tuple[str, Figure]] = page.pop("figures")
    for name, (_, figure) in figures.items():
        for ending in FIGURE_ENDINGS:
            path = folder / f"{name}.{ending}"
            with written_whole(path) as part:
                save_figure(figure, part, format=ending, dpi=200)
            written.append(path)
    write_page(
        folder / "report.html",
        figures=list(figures.values()),
        provenance=numbers["provenance"]
        if "provenance" in numbers
        else tables["stars"].meta.get(META_KEY, {}),
        **page,
    )
    return [*written, folder / "report.html"]


@contextmanager
def _changed_by_others(folder: Path, number_file: str) -> Iterator[None]:
    """Turn whatever numbers of another program lead to into one message."""
    try:
        yield
    except RedflowerError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError) as problem:
        what = (
            f"lacks {in_a_line(problem.args[0])} in"
            if isinstance(problem, KeyError)
            else f"cannot be drawn ({type(problem).__name__}: {why_of(problem)}) from"
        )
        raise InputError(
            f"{folder} {what} {number_file} or a table beside it; another program changed them. Run the command that wrote the "
            "folder again."
        ) from problem


def _write_text(path: Path, text: str) -> None:
    with written_whole(path) as part:
        part.write_text(text + "\n", encoding="utf-8")
