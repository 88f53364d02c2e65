"""The columns that redflower reads and writes, as rows of text: from the schema, so that no list of them can be out of date."""

from collections.abc import Sequence
from typing import Final

from redflower.catalogue.reading.other_names import COMPANY
from redflower.catalogue.reading.schema import INPUT_COLUMNS
from redflower.posterior.columns import DENSITY_COLUMNS, EBV_PRIOR_COLUMNS, OUTPUT_COLUMNS, PRIOR_COLUMNS

INPUT_HEADER: Final = ("column", "unit", "what", "without it", "other names")
OUTPUT_HEADER: Final = ("column", "unit", "what")

_ABOUT_INPUT: Final = """# Columns

<!-- Made by `python -m scripts.columns_page`: do not edit. -->

## Read by `prepare`

Names are those of the Gaia archive; other names that are known stand last. A value is missing where it is NaN, masked,
infinite, one of the surveys' marks (-999, 99.9 and the like) or outside the possible range. Units that a table states
are converted. What has another name is named in a column map: `prepare RAW OUT --for inference --write-columns MAP.toml`
leaves one to fill in. `redflower columns TABLE` says which of a table's columns are known.
"""
_ABOUT_OUTPUT: Final = """## Written by `infer`

Beside `source_id`, `ra`, `dec`, `l`, `b`, the columns of `--keep` and those of a simulation (`true_*`). The columns that
begin with `density` and `prior` are there with `--density`.
"""


def input_rows() -> list[tuple[str, ...]]:
    """Return a row per column that is read of a raw table: name, unit, meaning, what is lost without it, other names."""
    rows: list[tuple[str, ...]] = []
    for name, spec in INPUT_COLUMNS.items():
        unit = "any" if spec.any_unit else spec.unit or ""
        without = "**required**" if spec.required else spec.without
        rows.append((name, unit, spec.description, without, ", ".join(spec.aliases)))
    return rows


def output_rows() -> list[tuple[str, ...]]:
    """Return a row per column of posteriors: name, unit, meaning; those of ``--density`` last."""
    described = {**OUTPUT_COLUMNS, **PRIOR_COLUMNS, **EBV_PRIOR_COLUMNS, **DENSITY_COLUMNS}
    return [(name, unit or "", text) for name, (unit, text) in described.items()]


def columns_page() -> str:
    """Return the page of the documentation that lists them, as Markdown."""
    told = ", ".join(f"`{name}`" for name in COMPANY)
    lines = [
        _ABOUT_INPUT,
        *_markdown(INPUT_HEADER, input_rows()),
        f"\nTaken only in the company of their survey's other columns, for other surveys use them too: {told}.\n",
        _ABOUT_OUTPUT,
        *_markdown(OUTPUT_HEADER, output_rows()),
    ]
    return "\n".join(lines) + "\n"


def _markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [f"| {' | '.join(header)} |", "|" + "---|" * len(header)]
    for name, *rest in rows:
        cells = [f"`{name}`", *(cell.replace("|", "\\|") for cell in rest)]
        lines.append(f"| {' | '.join(cells)} |")
    return lines
