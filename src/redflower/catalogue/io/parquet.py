"""Parquet tables with units, descriptions, missing values and provenance.

Units and descriptions stand twice in a file: in the fields' own metadata, for any reader of Arrow, and in the
YAML header that ``astropy.table.Table.read`` looks for. Plain files, as pandas writes them, are read as well.
"""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from astropy.table import Column, MaskedColumn, Table
from astropy.table.meta import get_header_from_yaml, get_yaml_from_table

from redflower.errors import TableError

_LOG: Final = logging.getLogger(__name__)
_YAML_KEY: Final = b"table_meta_yaml"


def parquet_column_names(path: Path) -> list[str]:
    """The names of a Parquet file's columns, from its footer.

    Raises
    ------
    TableError
        If the footer cannot be read.
    """
    try:
        return list(pq.read_schema(path).names)
    except (pa.ArrowException, OSError) as problem:
        raise _damaged(path, problem) from None


def parquet_row_count(path: Path) -> int:
    """The number of rows of a Parquet file, from its footer.

    Raises
    ------
    TableError
        If the footer cannot be read.
    """
    try:
        return int(pq.read_metadata(path).num_rows)
    except (pa.ArrowException, OSError) as problem:
        raise _damaged(path, problem) from None


def read_parquet(path: Path, columns: Sequence[str] | None = None) -> Table:
    """Read a Parquet file; columns of kinds that astronomy tables do not hold (structures) are left out.

    Raises
    ------
    TableError
        If the file is damaged or lacks one of ``columns``.
    """
    table = Table()
    try:
        with pq.ParquetFile(path, memory_map=True) as file:
            schema = file.schema_arrow
            names = list(schema.names) if columns is None else list(columns)
            absent = [name for name in names if name not in schema.names]
            if absent:
                raise TableError(f"{path} has no column {absent[0]!r}.")
            # A column at a time: Arrow's copy of the whole table would stand beside ours.
            for name in names:
                _add_column(table, schema.field(name), file.read(columns=[name]).column(name), path)
    except (pa.ArrowException, OSError) as problem:
        raise _damaged(path, problem) from None
    _take_header(table, schema)
    return table


def iter_parquet(
    path: Path, columns: Sequence[str] | None = None, *, n_rows: int = 65_536
) -> Iterator[Table]:
    """A Parquet file as tables of at most so many rows, in its order, so that it need not fit in memory.

    Raises
    ------
    TableError
        If the file is damaged.
    """
    try:
        with pq.ParquetFile(path, memory_map=True) as file:
            schema = file.schema_arrow
            names = [name for name in schema.names if columns is None or name in columns]
            for batch in file.iter_batches(batch_size=n_rows, columns=names):
                fields = [schema.field(name) for name in names]
                part = pa.Table.from_arrays(batch.columns, schema=pa.schema(fields, schema.metadata))
                yield _table_of(part, path)
    except (pa.ArrowException, OSError) as problem:
        raise _damaged(path, problem) from None


def join_parquet(parts: Sequence[Path], path: Path) -> None:
    """One Parquet file of several with the same columns, a part in memory at a time."""
    schema = pq.read_schema(parts[0])
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for part in parts:
            writer.write_table(pq.read_table(part, partitioning=None).cast(schema))


def _table_of(arrow: pa.Table, path: Path) -> Table:
    """The astropy table of an Arrow one, with units, descriptions and header."""
    table = Table()
    for field, chunks in zip(arrow.schema, arrow.columns, strict=True):
        _add_column(table, field, chunks, path)
    _take_header(table, arrow.schema)
    return table


def _add_column(table: Table, field: pa.Field, chunks: pa.ChunkedArray, path: Path) -> None:
    """Add a column of Arrow's, with its unit and description; one of another kind is left out, with a warning."""
    column = _column_from_arrow(field.name, chunks)
    if column is None:
        _LOG.warning("%s: column %r of type %s is left out.", path, field.name, field.type)
        return
    notes = field.metadata or {}
    if b"unit" in notes:
        column.unit = notes[b"unit"].decode()
    if b"description" in notes:
        column.description = notes[b"description"].decode()
    table.add_column(column, copy=False)


def _take_header(table: Table, schema: pa.Schema) -> None:
    header = (schema.metadata or {}).get(_YAML_KEY)
    if header is not None:
        _take_astropy_header(table, header.decode())


def write_parquet(table: Table, path: Path) -> None:
    """Write a table of plain columns to a Parquet file.

    Raises
    ------
    TableError
        If a column of arrays has missing values that are not floats.
    """
    fields, arrays = [], []
    lengths: dict[bytes, bytes] = {}
    template = Table(meta=table.meta)
    for name in table.colnames:
        column = table[name]
        array = _column_to_arrow(column)
        notes = {}
        if column.unit is not None:
            notes["unit"] = str(column.unit)
        if column.description:
            notes["description"] = column.description
        fields.append(pa.field(name, array.type, metadata=notes))
        arrays.append(array)
        template[name] = Column(
            np.zeros((0, *column.shape[1:]), column.dtype), unit=column.unit, description=column.description
        )
        if column.dtype.kind == "U":
            # The key under which astropy's own reader looks for the width of a text column.
            lengths[f"table::len::{name}".encode()] = str(column.dtype.itemsize // 4).encode()
    header = "\n".join(get_yaml_from_table(template)).encode()
    schema = pa.schema(fields, metadata={_YAML_KEY: header, **lengths})
    pq.write_table(pa.Table.from_arrays(arrays, schema=schema), path, compression="zstd")


def with_meta(schema: pa.Schema, meta: dict[str, Any]) -> pa.Schema:
    """A schema that `write_parquet` made, with another ``meta`` of the whole table."""
    metadata = dict(schema.metadata or {})
    header: dict[str, Any] = get_header_from_yaml(metadata[_YAML_KEY].decode().split("\n"))
    template = Table(meta=meta)
    for entry in header["datatype"]:
        # The width of text is not needed: astropy asks for lengths under keys of their own.
        kind = "U1" if entry["datatype"] == "string" else entry["datatype"]
        template[entry["name"]] = Column(
            np.zeros(0, kind), unit=entry.get("unit"), description=entry.get("description")
        )
    return schema.with_metadata({**metadata, _YAML_KEY: "\n".join(get_yaml_from_table(template)).encode()})


def _column_from_arrow(name: str, chunks: pa.ChunkedArray) -> Column | None:
    array = chunks.combine_chunks()
    if isinstance(array, pa.ChunkedArray):  # no chunk at all
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], chunks.type)
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    shape: list[int] = []
    while pa.types.is_fixed_size_list(array.type):
        if array.null_count:
            return None
        shape.append(array.type.list_size)
        array = array.flatten()
    kind = array.type
    missing = np.asarray(array.is_null())
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        values = np.array(array.cast(pa.string()).fill_null("").to_pylist(), dtype=str)
    elif pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
        values = np.array(
            ["" if value is None else value.decode("utf-8", "replace") for value in array.to_pylist()],
            dtype=str,
        )
    elif pa.types.is_floating(kind):
        values = array.fill_null(float("nan")).to_numpy(zero_copy_only=False)
    elif pa.types.is_integer(kind):
        values = array.fill_null(0).to_numpy(zero_copy_only=False)
    elif pa.types.is_boolean(kind):
        values = array.fill_null(pa.scalar(0).cast(pa.bool_())).to_numpy(zero_copy_only=False)
    elif pa.types.is_decimal(kind):
        values = array.cast(pa.float64()).fill_null(float("nan")).to_numpy(zero_copy_only=False)
    elif pa.types.is_null(kind):
        values = np.full(len(array), np.nan)
    else:
        return None
    if shape:
        values, missing = values.reshape(-1, *shape), missing.reshape(-1, *shape)
    # Arrow hands out read-only views of its buffers.
    values = values if values.flags.writeable else values.copy()
    return MaskedColumn(values, mask=missing, name=name) if missing.any() else Column(values, name=name)


def _column_to_arrow(column: Column) -> pa.Array:
    mask = np.ma.getmaskarray(column) if isinstance(column, MaskedColumn) else None
    if mask is not None and not mask.any():
        mask = None
    values = np.asarray(column)
    if not values.dtype.isnative:
        values = values.astype(values.dtype.newbyteorder("="))
    if values.ndim > 1:
        if mask is not None:
            if values.dtype.kind != "f":
                raise TableError(f"column {column.name!r}: an array with missing values must be of floats.")
            values = np.where(mask, np.nan, values).astype(values.dtype)
        array = _arrow_values(np.ascontiguousarray(values).reshape(-1), None)
        for size in reversed(values.shape[1:]):
            array = pa.FixedSizeListArray.from_arrays(array, size)
        return array
    return _arrow_values(values, mask)


def _arrow_values(values: np.ndarray, mask: np.ndarray | None) -> pa.Array:
    if values.dtype.kind == "U":
        return pa.array(values.astype(object), type=pa.string(), mask=mask)
    return pa.array(np.ascontiguousarray(values), mask=mask)


def _take_astropy_header(table: Table, text: str) -> None:
    """Units, descriptions and meta from the YAML header that astropy writes."""
    header: dict[str, Any] = get_header_from_yaml(text.split("\n"))
    table.meta.update(header.get("meta") or {})
    for entry in header["datatype"]:
        if entry["name"] in table.colnames:
            column = table[entry["name"]]
            column.unit = entry.get("unit", column.unit)
            column.description = entry.get("description", column.description)


def _damaged(path: Path, problem: Exception) -> TableError:
    lines = str(problem).strip().splitlines() or [type(problem).__name__]
    return TableError(
        f"{path} cannot be read as Parquet: {lines[0].rstrip('. ')}. The file is damaged, was cut short, "
        "or is of another kind; fetch or write it again."
    )
