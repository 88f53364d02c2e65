"""Model files: written whole, read by name or path, never running code."""

import json
import logging
import struct
from importlib import resources
from pathlib import Path
from typing import Final

from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from redflower.entries import plain
from redflower.errors import ModelError
from redflower.files import written_whole
from redflower.flow.model import FORMAT, FORMAT_VERSION, Model, model_from_parts, model_to_parts
from redflower.platforms import compute_platform

_LOG: Final = logging.getLogger(__name__)
SUFFIX = ".safetensors"
#: What a damaged file says is shown up to this length. [character]
_SHOWN_MAX = 300


def save_model(model: Model, path: str | Path) -> Path:
    """Write a model file, whole or not at all.

    Parameters
    ----------
    model : the model.
    path : the file; ``.safetensors`` is appended when it has no such ending.

    Returns
    -------
    The path written.

    Raises
    ------
    OSError : the file cannot be written.

    Examples
    --------
    >>> import redflower
    >>> model = redflower.load_model("mock-sky")
    >>> path = redflower.save_model(model, "copy")
    >>> path.name
    'copy.safetensors'
    >>> redflower.load_model(path).model_id == model.model_id
    True
    """
    path = Path(path)
    if path.suffix != SUFFIX:
        path = path.with_name(path.name + SUFFIX)
    arrays, header = model_to_parts(model)
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(path) as part:
        save_file(arrays, part, metadata={"redflower": json.dumps(header, sort_keys=True)})
        part.chmod(0o644)  # safetensors leaves it readable by its owner alone
    return path


def load_model(name_or_path: str | Path) -> Model:
    """Read a model by its shipped name or from a file. Reading never runs code from the file.

    Parameters
    ----------
    name_or_path : name of a shipped model (`redflower models`), or a file that `save_model` wrote.

    Returns
    -------
    The model.

    Raises
    ------
    ModelError : no such model; or the file is damaged, foreign, or of a newer format.

    Examples
    --------
    >>> import redflower
    >>> model = redflower.load_model("mock-sky")
    >>> model.n_bands
    11
    """
    path = _find(name_or_path)
    compute_platform()
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            arrays = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, struct.error) as error:
        raise ModelError(
            f"load_model({str(path)!r}): the file is damaged or not a model file ({error}). "
            "Fetch it again, or train a new one with `redflower train`."
        ) from error
    if "redflower" not in metadata:
        raise ModelError(
            f"load_model({str(path)!r}): a safetensors file, but not of redflower "
            "(its metadata has no 'redflower' entry). Give a file written by `redflower train`."
        )
    try:
        header = json.loads(metadata["redflower"])
        if header["format"] != FORMAT or header["format_version"] > FORMAT_VERSION:
            raise ModelError(
                f"load_model({str(path)!r}): format {header['format']!r} version {header['format_version']}; "
                f"this redflower reads {FORMAT!r} up to version {FORMAT_VERSION}. Update redflower."
            )
        model = model_from_parts(arrays, header)
        _LOG.info("model %s: %s", model.model_id, path)
        return model
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        raise ModelError(
            f"load_model({str(path)!r}): the file is damaged: {type(error).__name__}: {plain(str(error), _SHOWN_MAX)}. "
            "Fetch it again, or train a new one with `redflower train`."
        ) from error


def shipped_models() -> dict[str, Path]:
    """List the names and files of the models that come with the package."""
    folder = resources.files("redflower") / "data" / "models"
    paths = (Path(str(entry)) for entry in folder.iterdir()) if folder.is_dir() else ()
    return {path.stem: path for path in sorted(paths) if path.suffix == SUFFIX}


def _find(name_or_path: str | Path) -> Path:
    shipped = shipped_models()
    if str(name_or_path) in shipped:
        return shipped[str(name_or_path)]
    path = Path(name_or_path)
    for candidate in (path, path.with_name(path.name + SUFFIX)):
        if candidate.is_file():
            return candidate
    raise ModelError(
        f"load_model({str(name_or_path)!r}): neither a file nor a shipped model. Shipped models: "
        f"{', '.join(shipped) or 'none'}. Give one of these names, or the path that `redflower train` wrote."
    )
