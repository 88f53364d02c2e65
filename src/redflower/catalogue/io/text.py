"""The readers and writers of text tables, ECSV and CSV.

A reader may raise anything on a damaged file: `redflower.catalogue.io.tables` turns it into one clear message.
"""

import csv
import gzip
import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TextIO

import numpy as np
from astropy.table import Column, MaskedColumn, Table
from astropy.table.meta import get_header_from_yaml

from redflower.catalogue.io.columns import column_like
from redflower.catalogue.io.names import plain_names
from redflower.catalogue.io.words import MISSING_SPELLINGS, missing_words, parse_numbers, parse_whole_numbers
from redflower.errors import InputError, TableError

_ROWS_KEY: Final = "redflower_rows"
# How catalogues write "no value" in text files; Gaia's bulk ECSV files say "null".
_TEXT_MISSING: Final[list[tuple[str, ...]]] = [("", "0"), ("null", "0"), ("NULL", "0")]


def read_ecsv(path: Path) -> Table:
    with _text(path) as file:
        lines = list(itertools.takewhile(lambda line: line.startswith("#"), file))
    try:
        columns = get_header_from_yaml([line.removeprefix("#")[1:].rstrip() for line in lines])["datatype"]
    except Exception:  # astropy's reader, which comes next, says what is wrong with the header
        columns = []
    plain_names([str(column["name"]) for column in columns], path)
    fill: list[tuple[str, ...]] = list(_TEXT_MISSING)
    for column in columns:
        if column["datatype"] not in ("string", "bool"):
            is_float = str(column["datatype"]).startswith("float")
            words = [word for word in MISSING_SPELLINGS if not (is_float and "nan" in word.lower())]
            fill += [(word, "0", column["name"]) for word in words]
    table = Table.read(path, format="ascii.ecsv", fill_values=fill)
    expected = table.meta.pop(_ROWS_KEY, None)
    if expected is not None and expected != len(table):
        raise TableError(f"{path} was cut short: it was written with {expected} rows and holds {len(table)}.")
    return table


def write_ecsv(table: Table, path: Path) -> None:
    counted = table.copy(copy_data=False)
    # A text table that loses its end still reads well; the count tells.
    counted.meta[_ROWS_KEY] = len(table)
    counted.write(path, format="ascii.ecsv")


def read_csv(path: Path) -> Table:
    names, line, is_ecsv = _csv_head(path)
    if is_ecsv:  # so are the bulk files of the Gaia archive
        return read_ecsv(path)
    _check_cells(path, len(names))
    plain_names([name or f"col{k}" for k, name in enumerate(names)], path)
    table = Table.read(
        path, format="ascii.csv", fill_values=_TEXT_MISSING, header_start=line, data_start=line + 1
    )
    for name in table.colnames:
        if table[name].dtype.kind == "U" and len(table):
            table[name] = _typed(table[name])
    return table


def _csv_head(path: Path) -> tuple[list[str], int, bool]:
    """Read the names of a CSV's columns, the number of the line that holds them, and whether it is ECSV.

    Comments may stand before the names, and the names may be the last comment.
    """
    with _text(path) as file:
        lines = (line for line in file if line.strip())
        comments = []
        first = next(lines, "")
        while first.startswith("#"):
            comments.append(first)
            first = next(lines, "")
    names, cells = (next(csv.reader([text]), []) for text in (comments[-1] if comments else "", first))
    is_ecsv = bool(comments) and comments[0].startswith("# %ECSV")
    if first and (is_ecsv or len(names) != len(cells) or not any(_is_number(cell) for cell in cells)):
        names, line = cells, len(comments)
    else:
        line = len(comments) - 1
    if not names:
        raise TableError(f"{path} is empty.")
    if len(names) > 1 and not is_ecsv and sum(map(_is_number, names)) > len(names) / 2:
        raise TableError(f"{path} has no line of names above its numbers; write one.")
    for mark, said in ((";", "semicolons"), ("\t", "tabs"), ("|", "bars"), (" ", "blanks")):
        if len(names) == 1 and not is_ecsv and names[0].count(mark) > 1:
            raise TableError(
                f"{path} has {said} between its cells; a CSV has commas. Write it again with commas."
            )
    return names, line, is_ecsv


def _check_cells(path: Path, n_cells: int) -> None:
    """Refuse a CSV in which a row has another number of cells than there are names, or that holds NUL bytes.

    Readers fill what is missing at the end of a row, and stop at a NUL, without a word.
    """
    row, text, wrong = 0, "", ""
    with _text(path) as file:
        for line in file:
            if "\0" in line:
                raise TableError(
                    f"{path} holds a NUL byte in row {row}; it is damaged, or no text. Fetch or write it again."
                )
            if not text and (not line.strip() or (not row and line.startswith("#"))):
                continue
            if wrong:
                raise TableError(f"{path}: row {row - 1} has {wrong}. Fix it, or write the file again.")
            text += line
            if text.count('"') % 2:  # a line break within quotes
                continue
            found = sum(part.count(",") for part in text.split('"')[::2]) + 1
            if found != n_cells and row:
                shown = text.strip()
                wrong = f"{found} of {n_cells} cells ({shown[:30]!r}{' ...' if len(shown) > 30 else ''})"
            row, text = row + 1, ""
    if text:
        raise TableError(f"{path} was cut short: a quote that was opened in row {row} is not closed.")
    if wrong:
        raise TableError(f"{path} was cut short: its last line has {wrong}. Fetch or write it again.")


@contextmanager
def _text(path: Path) -> Iterator[TextIO]:
    """Read a text file, packed or not, without a byte order mark."""
    opener: Callable[..., Any] = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8-sig", errors="replace") as file:
        yield file


def _typed(column: Column) -> Column:
    """Convert a CSV's text column to what it holds: numbers among words for "no value", true and false, or text."""
    values, missing = np.asarray(column), np.ma.getmaskarray(column)
    missing = missing | missing_words(values)
    there = values[~missing]
    if not len(there):
        return column
    kept: np.ndarray
    if {word.lower() for word in np.unique(there)} <= {"true", "false"}:
        kept = np.char.lower(values) == "true"
    elif not isinstance(whole := parse_whole_numbers(there), str):
        kept = np.zeros(len(values), dtype=np.int64)
        kept[~missing] = whole
    elif whole.lstrip("+-").isdigit():  # more than 64 bits: as text no digit is lost
        return column
    else:
        try:
            kept = parse_numbers(values, missing, str(column.name), str(column.name))
        except InputError:
            return column
    return column_like(MaskedColumn(column, mask=missing), kept)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def write_csv(table: Table, path: Path) -> None:
    deep = [name for name in table.colnames if table[name].ndim > 1]
    if deep:
        raise TableError(
            f"CSV cannot hold columns of arrays ({', '.join(deep)}); write .parquet, .fits or .ecsv instead."
        )
    table.write(path, format="ascii.csv")
