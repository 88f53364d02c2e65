"""An extinction law by its name, or from a file of coefficients."""

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from redflower.bands import BANDS
from redflower.errors import InputError
from redflower.physics import LAW_NAMES, ConstantLaw, ExtinctionLaw, law_of_name, make_law

_ENDINGS: Final = (".toml", ".json")


def named_law(name_or_path: "str | Path") -> ExtinctionLaw:
    """Return the law of a name, or that of a file.

    Parameters
    ----------
    name_or_path : ``zhang23-corrected``, ``zhang23``, or a TOML or JSON file as `redflower.physics.make_law` reads it. Its
        ``coefficients``, R = A / E(B-V), may also be a table with a number for each band, by label or name.

    Raises
    ------
    InputError
        If there is no such law or file, or the file does not hold one.
    """
    text, path = str(name_or_path), Path(name_or_path)
    if text in LAW_NAMES:
        return law_of_name(text)
    if path.suffix.lower() not in _ENDINGS:
        raise InputError(
            f"--law {text!r} must be one of {', '.join(LAW_NAMES)}, or a file that ends in {' or '.join(_ENDINGS)}."
        )
    try:
        content = path.read_text("utf-8")
        spec = tomllib.loads(content) if path.suffix.lower() == ".toml" else json.loads(content)
    except OSError as problem:
        raise InputError(f"--law {path} cannot be read: {problem.strerror or problem}.") from None
    except ValueError as problem:
        raise InputError(f"--law {path} is not {path.suffix[1:].upper()}: {problem}.") from None
    try:
        return make_law(_in_order(spec))
    except InputError as problem:
        raise InputError(f"--law {path}: {problem}") from None


def _in_order(spec: Any) -> Any:
    """Return a specification whose coefficients by band are a list in the one order."""
    if not isinstance(spec, Mapping):
        return spec
    spec = dict(spec)
    spec.setdefault("name", ConstantLaw.name)
    given = spec.get("coefficients")
    if isinstance(given, Mapping):
        known = {key: band for band in BANDS for key in (band.label, band.name)}
        by_band = {known[key].name: value for key, value in given.items() if key in known}
        unknown = [key for key in given if key not in known]
        lacking = [band.label for band in BANDS if band.name not in by_band]
        if unknown or lacking:
            raise InputError(
                f"coefficients must have a number for each of {' '.join(band.label for band in BANDS)}; "
                f"unknown: {', '.join(unknown) or 'none'}; lacking: {', '.join(lacking) or 'none'}."
            )
        spec["coefficients"] = [by_band[band.name] for band in BANDS]
    return spec
