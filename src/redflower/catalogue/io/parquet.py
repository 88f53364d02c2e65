"""Parquet tables with units, descriptions, missing values and provenance.

Units and descriptions are in a file twice: in the fields' own metadata, for any reader of Arrow, and in the
YAML header that ``astropy.table.Table.read`` looks for. Plain files, as pandas writes them, are read as well.
"""

import json
import logging
from collections.abc import Iterator, Sequence
from copy import deepcopy
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from astropy.table import Column, Table
from astropy.table.meta import get_header_from_yaml, get_yaml_from_table

from redflower.catalogue.io.arrow import column_from_arrow, column_to_arrow
from redflower.catalogue.io.columns import apply_masks
from redflower.catalogue.io.names import mask_names, plain_name, plain_names
from redflower.entries import why_of
from redflower.errors import TableError
from redflower.platforms import available_bytes
from redflower.provenance import META_KEY

_LOG: Final = logging.getLogger(__name__)
_YAML_KEY: Final = b"table_meta_yaml"
#: Key of a field's metadata: the shape of each row's array, which is written flat.
_SHAPE_KEY: Final = b"shape"


def parquet_column_names(path: Path) -> list[str]:
    """Read the names of a Parquet file's columns from its footer, without those that only mask another.

    Raises
    ------
    TableError
        If the footer cannot be read, or two columns have one name.
    """
    try:
        schema = pq.read_schema(path)
    except (pa.ArrowException, OSError) as problem:
        raise _damaged(path, problem) from None
    names = plain_names(schema.names, path)
    masks = set(mask_names(names).values())
    return [name for name in names if name not in masks] + list(_counted_index(schema, 0))


def parquet_row_count(path: Path) -> int:
    """Read the number of rows of a Parquet file from its footer.

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
            there = plain_names(schema.names, path)
            counted = _counted_index(schema, file.metadata.num_rows)
            names = there if columns is None else _with_masks(columns, there)
            absent = [name for name in names if name not in there and name not in counted]
            if absent:
                raise TableError(f"{path} has no column {absent[0]!r}.")
            _refuse_too_large(
                path,
                file.metadata.num_rows,
                [schema.field(k).type for k, n in enumerate(there) if n in names],
            )
            # A column at a time, or Arrow's copy of the whole table would be held together with ours.
            for name in names:
                if name in counted:
                    continue
                field = schema.field(there.index(name))
                _add_column(table, field, file.read(columns=[field.name]).column(field.name), path, name)
            for name, values in counted.items():
                if columns is None or name in columns:
                    table.add_column(Column(values), name=name)
    except (pa.ArrowException, OSError) as problem:
        raise _damaged(path, problem) from None
    if columns is not None:
        _refuse_left_out(columns, table, schema, there, path)
    _take_header(table, schema)
    return apply_masks(table)


def iter_parquet(
    path: Path, columns: Sequence[str] | None = None, *, n_rows: int = 65_536
) -> Iterator[Table]:
    """Read a Parquet file as tables of a limited number of rows, in its order, so that it need not fit in memory.

    Raises
    ------
    TableError
        If the file is damaged.
    """
    try:
        with pq.ParquetFile(path, memory_map=True) as file:
            schema = file.schema_arrow
            there = plain_names(schema.names, path)
            wanted = there if columns is None else _with_masks(columns, there)
            fields = [schema.field(k) for k, name in enumerate(there) if name in wanted]
            if not file.metadata.num_rows:  # such a file has no batch, but columns
                yield table_from_arrow(pa.schema(fields, schema.metadata).empty_table(), path)
            counted = _counted_index(schema, file.metadata.num_rows)
            start = 0
            for batch in file.iter_batches(batch_size=n_rows, columns=[field.name for field in fields]):
                part = pa.Table.from_arrays(batch.columns, schema=pa.schema(fields, schema.metadata))
                table = table_from_arrow(part, path, counted=False)
                for name, values in counted.items():
                    if columns is None or name in columns:
                        table.add_column(Column(values[start : start + len(batch)]), name=name)
                start += len(batch)
                yield table
    except (pa.ArrowException, OSError) as problem:
        raise _damaged(path, problem) from None


def join_parquet(parts: Sequence[Path], path: Path, provenance: dict[str, Any] | None = None) -> None:
    """Join several Parquet files with the same columns to one, a part in memory at a time."""
    schema = pq.read_schema(parts[0])
    if provenance is not None:
        schema = with_meta(schema, {META_KEY: provenance})
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for part in parts:
            writer.write_table(pq.read_table(part, partitioning=None).cast(schema))


def table_from_arrow(arrow: pa.Table, where: object, *, counted: bool = True) -> Table:
    """Convert an Arrow table to an astropy one, with units, descriptions and header.

    Parameters
    ----------
    counted : whether an index of pandas that only counts, and is no column, is added as one.

    Raises
    ------
    TableError
        If two columns have one name.
    """
    table = Table()
    names = plain_names(arrow.schema.names, where)
    for name, field, chunks in zip(names, arrow.schema, arrow.columns, strict=True):
        _add_column(table, field, chunks, where, name)
    for name, values in _counted_index(arrow.schema, arrow.num_rows).items() if counted else ():
        table.add_column(Column(values), name=name)
    _take_header(table, arrow.schema)
    return apply_masks(table)


def _counted_index(schema: pa.Schema, n_rows: int) -> dict[str, np.ndarray]:
    """Return name and values of an index of pandas that counts rows: it is in the metadata alone."""
    try:
        index = json.loads((schema.metadata or {})[b"pandas"])["index_columns"]
        return {
            plain_name(one["name"]): one["start"] + one["step"] * np.arange(n_rows, dtype=np.int64)
            for one in index
            if isinstance(one, dict)
            and one["kind"] == "range"
            and one["name"]
            and one["name"] not in schema.names
        }
    except (KeyError, TypeError, ValueError):
        return {}


def _refuse_too_large(path: Path, n_rows: int, kinds: Sequence[pa.DataType]) -> None:
    """Refuse a table that does not fit in memory: a file of some megabytes may hold a billion rows that are all alike."""
    row_bytes = sum(kind.bit_width / 8 if pa.types.is_primitive(kind) else 8 for kind in kinds)
    needed, there = n_rows * row_bytes, available_bytes()
    if needed > there:
        raise TableError(
            f"{path} has {n_rows:,} rows, which take {needed / 1e9:,.1f} GB or more in memory; {there / 1e9:,.1f} GB are there. "
            "`redflower infer` reads such a table in parts; else take fewer columns or rows."
        )


def _refuse_left_out(
    columns: Sequence[str], table: Table, schema: pa.Schema, there: Sequence[str], path: Path
) -> None:
    """Refuse to read a column of a kind that tables here cannot hold."""
    for name in columns:
        if name not in table.colnames:
            raise TableError(
                f"{path}: column {name!r} is of type {schema.field(there.index(name)).type}, which holds no numbers or text of "
                "stars; write it as numbers or text."
            )


def _with_masks(columns: Sequence[str], there: Sequence[str]) -> list[str]:
    """Return the requested columns, each with the one that masks it, if there is one."""
    masks = mask_names(there)
    return [one for name in columns for one in (name, masks.get(name)) if one is not None]


def _add_column(table: Table, field: pa.Field, chunks: pa.ChunkedArray, where: object, name: str) -> None:
    """Add a column of Arrow's, with its unit and description; one of another kind is left out, with a warning."""
    notes = field.metadata or {}
    shape = tuple(int(size) for size in notes[_SHAPE_KEY].split(b",")) if _SHAPE_KEY in notes else None
    column = column_from_arrow(name, chunks, shape)
    if column is None:
        _LOG.warning("%s: column %r of type %s is left out.", where, name, field.type)
        return
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
        array = column_to_arrow(column)
        notes = {}
        if column.ndim > 2:
            # Written flat: astropy and others know no lists of lists.
            notes[_SHAPE_KEY.decode()] = ",".join(str(size) for size in column.shape[1:])
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
    """Return a schema that `write_parquet` made, with another ``meta`` of the whole table."""
    metadata = dict(schema.metadata or {})
    header = _parsed_header(metadata[_YAML_KEY].decode())
    template = Table(meta=meta)
    for entry in header["datatype"]:
        # The width of text is not needed: astropy asks for lengths under keys of their own.
        kind = "U1" if entry["datatype"] == "string" else entry["datatype"]
        template[entry["name"]] = Column(
            np.zeros(0, kind), unit=entry.get("unit"), description=entry.get("description")
        )
    return schema.with_metadata({**metadata, _YAML_KEY: "\n".join(get_yaml_from_table(template)).encode()})


def _take_astropy_header(table: Table, text: str) -> None:
    """Take units, descriptions and meta from the YAML header that astropy writes."""
    header = _parsed_header(text)
    table.meta.update(deepcopy(header.get("meta") or {}))
    # How astropy took masked columns and quantities apart; masks are restored, and units are in the columns.
    table.meta.pop("__serialized_columns__", None)
    for entry in header["datatype"]:
        name = plain_name(entry["name"])
        if name in table.colnames:
            column = table[name]
            column.unit = entry.get("unit", column.unit)
            column.description = entry.get("description", column.description)


@lru_cache(maxsize=8)
def _parsed_header(text: str) -> dict[str, Any]:
    """Parse a YAML header, once for all parts of a table: it takes longer than all else that is read of a small one."""
    header: dict[str, Any] = get_header_from_yaml(text.split("\n"))
    return header


def _damaged(path: Path, problem: Exception) -> TableError:
    return TableError(
        f"{path} cannot be read as Parquet: {why_of(problem)}. The file is damaged, was cut short, "
        "or is of another kind; fetch or write it again."
    )
