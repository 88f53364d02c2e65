"""Columns of Arrow as columns of astropy, and back."""

import numpy as np
import pyarrow as pa
from astropy.table import Column, MaskedColumn

from redflower.errors import TableError


def column_from_arrow(
    name: str, chunks: pa.ChunkedArray, row_shape: tuple[int, ...] | None = None
) -> Column | None:
    """Convert an Arrow array to a column; None if it is of a kind that tables do not hold.

    Parameters
    ----------
    row_shape : of the array in each row, where it was written flat.
    """
    array = chunks.combine_chunks()
    if isinstance(array, pa.ChunkedArray):  # no chunk at all
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], chunks.type)
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    shape: list[int] = []
    while (size := _list_size(array)) is not None:
        if array.null_count:
            return None
        shape.append(size)
        array = array.flatten()
    if row_shape is not None and len(shape) == 1 and np.prod(row_shape) == shape[0]:
        shape = list(row_shape)
    if pa.types.is_decimal(array.type):
        array = _from_decimals(array)
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
    elif pa.types.is_null(kind):
        values = np.full(len(array), np.nan)
    else:
        return None
    if shape:
        values, missing = values.reshape(-1, *shape), missing.reshape(-1, *shape)
    # Arrow hands out read-only views of its buffers.
    values = values if values.flags.writeable else values.copy()
    return MaskedColumn(values, mask=missing, name=name) if missing.any() else Column(values, name=name)


def _list_size(array: pa.Array) -> int | None:
    """Return the common length of the rows of an array of lists; None if it is no such array, or lengths differ."""
    if pa.types.is_fixed_size_list(array.type):
        return int(array.type.list_size)
    if not (pa.types.is_list(array.type) or pa.types.is_large_list(array.type)) or not len(array):
        return None
    # Programs that know no lists of fixed size write them as lists of any.
    sizes = np.unique(np.asarray(array.value_lengths().fill_null(-1)))
    return int(sizes[0]) if len(sizes) == 1 and sizes[0] > 0 else None


def _from_decimals(array: pa.Array) -> pa.Array:
    """Convert decimals to whole numbers if all of them are, so that identifiers keep every digit; else to floats."""
    try:
        return array.cast(pa.int64())
    except pa.ArrowInvalid:
        return array.cast(pa.float64())


def column_to_arrow(column: Column) -> pa.Array:
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
        return pa.FixedSizeListArray.from_arrays(array, int(np.prod(values.shape[1:])))
    return _arrow_values(values, mask)


def _arrow_values(values: np.ndarray, mask: np.ndarray | None) -> pa.Array:
    if values.dtype.kind == "U":
        return pa.array(values.astype(object), type=pa.string(), mask=mask)
    return pa.array(np.ascontiguousarray(values), mask=mask)
