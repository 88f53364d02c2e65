"""Columns of Python objects as columns of numbers, text or arrays."""

from decimal import Decimal
from typing import Any

import numpy as np
from astropy.table import Column, MaskedColumn

from redflower.errors import TableError


def plain_objects(column: Column) -> Column:
    """Convert a column of Python objects to whole numbers, floats, true and false, text, or arrays of one shape.

    None, masked and NaN become masked values. Whole numbers that fit no 64 bits, and texts among numbers, make a column of
    text, so that no digit is lost.

    Raises
    ------
    TableError
        If it holds something else.
    """
    values = list(column)
    missing = np.array([_is_missing(value) for value in values], dtype=bool)
    there = [value for value, gone in zip(values, missing, strict=True) if not gone]
    filled: np.ndarray
    if _all(there, (bool, np.bool_)):
        filled = _filled(there, missing, filler=False, kind=np.dtype(bool))
    elif _all(there, (str, bytes)):
        text = [v.decode("utf-8", "replace") if isinstance(v, bytes) else v for v in there]
        filled = _filled(text, missing, "", np.dtype(object)).astype(str)
    elif _all(there, (int, np.integer, Decimal)) and all(value == int(value) for value in there):
        whole = [int(value) for value in there]
        fits = all(-(2**63) <= value < 2**63 for value in whole)
        filled = (
            _filled(whole, missing, 0, np.dtype(np.int64))
            if fits
            else _filled([str(value) for value in whole], missing, "", np.dtype(object)).astype(str)
        )
    elif _all(there, (int, float, np.number, Decimal)):
        filled = _filled([float(value) for value in there], missing, np.nan, np.dtype(float))
    elif _all(there, (str, int, float, np.number, Decimal)):
        filled = _filled([str(value) for value in there], missing, "", np.dtype(object)).astype(str)
    elif _all(there, (np.ndarray, list, tuple)) and not missing.any():
        shapes = {np.shape(value) for value in there}
        stacked = (
            np.stack([np.asarray(value) for value in there]) if len(shapes) == 1 else np.zeros(0, object)
        )
        if stacked.dtype.kind not in "fiub":
            raise _refused(column)
        filled = stacked
    else:
        raise _refused(column)
    kept = {"name": column.name, "unit": column.unit, "description": column.description}
    return MaskedColumn(filled, mask=missing, **kept) if missing.any() else Column(filled, **kept)


def _is_missing(value: Any) -> bool:
    if value is None or value is np.ma.masked or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, (float, np.floating, Decimal)) and value != value


def _all(values: list[Any], kinds: tuple[type, ...]) -> bool:
    return bool(values) and all(isinstance(value, kinds) for value in values) or (not values and str in kinds)


def _filled(values: list[Any], missing: np.ndarray, filler: Any, kind: np.dtype) -> np.ndarray:
    filled = np.full(len(missing), filler, dtype=kind)
    filled[~missing] = values
    return filled


def _refused(column: Column) -> TableError:
    return TableError(f"column {column.name!r} holds Python objects; turn it into numbers or text first.")
