"""Rows of files of spectra, one at a time: arrays of each row make whole tables far larger than their files."""

import csv
import gzip
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, TextIO

from astropy.table import Table

from redflower.catalogue.io.fits_files import open_fits
from redflower.entries import why_of
from redflower.errors import TableError

#: Endings that are read. All but Parquet, FITS and Avro are also read with ``.gz`` behind.
SPECTRA_ENDINGS: Final = (".csv", ".ecsv", ".vot", ".xml", ".fits", ".parquet", ".avro")
#: What of a record of the Gaia processing's Avro files is called how in the archive.
_AVRO_PARTS: Final = {
    "coefficients": ("solution", "parameters"),
    "coefficient_covariances": ("solution", "covariance"),
    "standard_deviation": ("solution", "standardDeviation"),
    "n_parameters": ("solution", "numberOfParameters"),
    "basis_function_id": ("basisFunctionSetDefId",),
}


def read_rows(path: "str | Path") -> Iterator[dict[str, Any]]:
    """Yield the rows of a file of spectra, its format known by the ending: column (in lower case) to value.

    Parameters
    ----------
    path : a file that ends in one of `SPECTRA_ENDINGS`.

    Raises
    ------
    TableError
        If the file is absent, of another kind, or damaged.
    """
    path = Path(path)
    ending = Path(path.stem).suffix if path.suffix == ".gz" else path.suffix
    readers: dict[str, Callable[[Path], Iterator[dict[str, Any]]]] = {
        ".csv": _text_rows,
        ".ecsv": _text_rows,
        ".vot": _votable_rows,
        ".xml": _votable_rows,
        ".fits": _fits_rows,
        ".parquet": _parquet_rows,
        ".avro": _avro_rows,
    }
    if ending.lower() not in readers:
        raise TableError(f"{path}: files of spectra end in {', '.join(SPECTRA_ENDINGS)}; got {path.name!r}.")
    if not path.is_file():
        raise TableError(f"{path}: there is no such file.")
    try:
        for row in readers[ending.lower()](path):
            yield {str(name).lower(): value for name, value in row.items()}
    except TableError:
        raise
    except Exception as problem:  # whatever a reader of a damaged file raises, the user needs one sentence
        raise TableError(
            f"{path} cannot be read as {ending}: {why_of(problem)}. The file is damaged, was cut short, or is of another kind "
            "than its ending says; fetch it again."
        ) from problem


def _text_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of a CSV or an ECSV; a cell may hold thousands of numbers."""
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    opener: Callable[..., Any] = gzip.open if path.suffix == ".gz" else open
    file: TextIO
    with opener(path, "rt", encoding="utf-8-sig", newline="") as file:
        lines = (line for line in file if not line.startswith("#"))
        reader = csv.reader(lines, strict=True)
        names = next(reader, None)
        if names is None:
            raise TableError(f"{path} is empty.")
        if len(names) == 1 and " " in names[0]:  # ECSV's own default
            reader = csv.reader(lines, delimiter=" ", strict=True)
            names = names[0].split()
        for number, cells in enumerate(reader, 1):
            if not cells:
                continue
            if len(cells) != len(names):
                raise TableError(
                    f"{path}: row {number} has {len(cells)} of {len(names)} cells. The file was cut short; fetch it again."
                )
            yield dict(zip(names, cells, strict=True))


def _votable_rows(path: Path) -> Iterator[dict[str, Any]]:
    from astropy.io.votable import parse_single_table

    return _table_rows(parse_single_table(str(path)).to_table())


def _fits_rows(path: Path) -> Iterator[dict[str, Any]]:
    with open_fits(path) as file:
        yield from _table_rows(Table.read(file, format="fits"))


def _table_rows(table: Table) -> Iterator[dict[str, Any]]:
    for row in table:
        yield {name: row[name] for name in table.colnames}


def _parquet_rows(path: Path) -> Iterator[dict[str, Any]]:
    import pyarrow.parquet

    for batch in pyarrow.parquet.ParquetFile(path).iter_batches(batch_size=256):
        yield from batch.to_pylist()


def _avro_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the records of an Avro file of the Gaia processing, as GaiaXPy reads them, under the archive's names."""
    try:
        import fastavro
    except ImportError:
        raise TableError(
            f"{path}: Avro is read by fastavro, which is not installed: pip install 'redflower[spectra]'."
        ) from None
    with path.open("rb") as file:
        for record in fastavro.reader(file):
            assert isinstance(record, dict)
            row: dict[str, Any] = {"source_id": record.get("sourceId")}
            for photometer in ("bp", "rp"):
                for name, parts in _AVRO_PARTS.items():
                    value: Any = record.get(f"{photometer}Spec")
                    for part in parts:
                        value = value.get(part) if isinstance(value, dict) else None
                    row[f"{photometer}_{name}"] = value
            yield row
