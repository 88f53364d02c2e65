"""An extinction law by its name, or from a file of coefficients."""

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from redflower.bands import STANDARD, BandSet
from redflower.catalogue.prepared import FURTHER_BANDS
from redflower.errors import InputError
from redflower.physics import LAW_NAMES, ConstantLaw, ExtinctionLaw, law_of_name, make_law

_ENDINGS: Final = (".toml", ".json")


def named_law(name_or_path: "str | Path", bands: BandSet | None = None) -> ExtinctionLaw:
    """Return the law of a name, or that of a file.

    Parameters
    ----------
    name_or_path : ``zhang23-corrected``, ``zhang23``, or a TOML or JSON file as `redflower.physics.make_law` reads it. Its
        ``coefficients``, R = A / E(B-V), may also be a table with a number for each band, by label or name.
    bands : of the model that it is for. Defaults to the standard ones, and those of further surveys that the file names.

    Raises
    ------
    InputError
        If there is no such law or file, or the file does not hold one.
    """
    text, path = str(name_or_path), Path(name_or_path)
    if text in LAW_NAMES:
        return law_of_name(text, bands or STANDARD)
    if path.suffix.lower() not in _ENDINGS:
        raise InputError(
            f"--law {text!r} must be one of {', '.join(LAW_NAMES)}, or a file that ends in {' or '.join(_ENDINGS)}."
        )
    try:
        content = path.read_text("utf-8")
        spec = tomllib.loads(content) if path.suffix.lower() == ".toml" else json.loads(content)
    except OSError as problem:
        raise InputError(f"--law {path} cannot be read: {problem.strerror or problem}.") from None
    except (ValueError, RecursionError) as problem:
        raise InputError(f"--law {path} is not {path.suffix[1:].upper()}: {problem}.") from None
    try:
        bands = bands or _bands_of(spec)
        return make_law(_in_order(spec, bands), bands)
    except InputError as problem:
        raise InputError(f"--law {path}: {problem}") from None


def _bands_of(spec: Any) -> BandSet:
    """Return the standard bands, and those of further surveys that a specification names."""
    given = spec.get("coefficients") if isinstance(spec, Mapping) else None
    named = given if isinstance(given, Mapping) else ()
    return STANDARD.with_bands(FURTHER_BANDS[name] for name in named if name in FURTHER_BANDS)


def _in_order(spec: Any, bands: BandSet) -> Any:
    """Return a specification whose coefficients by band are a list in the order of the bands."""
    if not isinstance(spec, Mapping):
        return spec
    spec = dict(spec)
    spec.setdefault("name", ConstantLaw.name)
    given = spec.get("coefficients")
    if isinstance(given, Mapping):
        known = {
            key: band for band, label in zip(bands, bands.labels, strict=True) for key in (label, band.name)
        }
        by_band = {known[key].name: value for key, value in given.items() if key in known}
        unknown = [key for key in given if key not in known]
        lacking = [
            label for label, name in zip(bands.labels, bands.names, strict=True) if name not in by_band
        ]
        if unknown or lacking:
            raise InputError(
                f"coefficients must have a number for each of {' '.join(bands.labels)}; "
                f"unknown: {', '.join(unknown) or 'none'}; lacking: {', '.join(lacking) or 'none'}."
            )
        spec["coefficients"] = [by_band[name] for name in bands.names]
    return spec
