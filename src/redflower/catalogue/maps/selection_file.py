"""The file of a selection function."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from redflower.errors import InputError
from redflower.files import written_whole
from redflower.physics.selection_parts import SelectionLike, selection_to_parts

if TYPE_CHECKING:
    from redflower.physics import SelectionFunction

_FORMAT: Final = "redflower-selection"


def write_selection(
    selection: SelectionLike, path: "str | Path", provenance: dict[str, Any] | None = None
) -> Path:
    """Write a selection function to a .safetensors file, whole or not at all.

    Raises
    ------
    InputError
        If the ending is another or the file cannot be written.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise InputError(f"{path}: a selection function is written to a .safetensors file.")
    arrays, settings = selection_to_parts(selection)
    header = {"format": _FORMAT, "settings": json.dumps(settings), "provenance": json.dumps(provenance or {})}
    try:
        with written_whole(path) as part:
            save_file(
                {name: np.ascontiguousarray(array) for name, array in arrays.items()}, part, metadata=header
            )
    except (OSError, SafetensorError) as problem:
        raise InputError(f"{path} cannot be written: {problem}.") from None
    return path


def read_selection(path: "str | Path") -> "SelectionFunction":
    """Read a selection function from its file.

    Raises
    ------
    InputError
        If the file is absent, damaged, or holds something else.
    """
    try:
        with safe_open(str(path), framework="numpy") as file:
            header = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # no mapping
    except (OSError, SafetensorError) as problem:
        raise InputError(f"{path} cannot be read as a selection function: {problem}.") from None
    if header.get("format") != _FORMAT:
        raise InputError(f"{path} holds no selection function of redflower.")
    from redflower.physics import selection_from_parts  # needs JAX, which writing does not

    try:
        return selection_from_parts(arrays, json.loads(header["settings"]))
    except (KeyError, TypeError, ValueError, RecursionError, AttributeError) as problem:
        raise InputError(f"{path} is damaged: {problem}.") from None
