"""Dust maps of the package ``dustmaps`` (Green 2018, JOSS 3, 695), for users who have them."""

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from astropy.coordinates import SkyCoord
from jaxtyping import Float

from redflower.catalogue.maps.dust_map import LENZ_HOW, DustMap, read_dust_map
from redflower.catalogue.maps.map_scales import MAP_SCALES, describe_scale
from redflower.errors import InputError

#: How a map of dustmaps is named where a file could stand.
PREFIX: Final = "dustmaps:"
#: Name -> class; their scales are in `redflower.catalogue.maps.map_scales`.
_MAPS: Final = {
    "lenz2017": "Lenz2017Query",
    "sfd": "SFDQuery",
    "csfd": "CSFDQuery",
    "planck": "PlanckQuery",
}


@dataclass(frozen=True)
class QueriedMap:
    """A map that dustmaps looks up; it serves where a `DustMap` does.

    Attributes
    ----------
    query : the object of dustmaps.
    name : of the map.
    scale : factor from its values to E(B-V) on the scale of Schlegel et al. (1998).
    nside : HEALPix resolution at which `redflower fetch` draws its borders.
    sha256 : empty: dustmaps keeps the files.
    notes : what a user should know.
    """

    query: Any
    name: str
    scale: float
    nside: int = 512
    sha256: str = ""
    notes: tuple[str, ...] = ()

    def lookup(
        self,
        ra_deg: Float[np.ndarray, " star"],
        dec_deg: Float[np.ndarray, " star"],
        l_deg: Float[np.ndarray, " star"],
        b_deg: Float[np.ndarray, " star"],
    ) -> Float[np.ndarray, " star"]:
        """Look up E(B-V) towards each star, NaN where the map or the position has none. [mag]"""
        found = np.full(len(l_deg), np.nan)
        finite = np.isfinite(l_deg) & np.isfinite(b_deg)
        places = SkyCoord(l_deg[finite], b_deg[finite], unit="deg", frame="galactic")
        found[finite] = np.asarray(self.query(places), dtype=float) * self.scale
        return found


def open_dust_map(
    source: "str | Path", *, scale: float = 1.0, checksum: str | None = None
) -> "DustMap | QueriedMap":
    """Open a dust map from a HEALPix file, or one of dustmaps named as ``dustmaps:sfd``; parameters as in `read_dust_map`.

    Raises
    ------
    InputError
        If the file is no usable map, dustmaps or the map's own files are not there, or the name is unknown.
    """
    text = str(source)
    if not text.startswith(PREFIX):
        return read_dust_map(source, scale=scale, checksum=checksum)
    if checksum is not None:
        raise InputError(f"a checksum is of a file, and dustmaps keeps those of {text!r}; leave it out.")
    name = text.removeprefix(PREFIX)
    if name not in _MAPS:
        raise InputError(f"dust map {text!r}: of dustmaps there are {', '.join(map_names())}.")
    if not (np.isfinite(scale) and scale > 0):
        raise InputError(f"the scale of a dust map must be a positive number; got {scale!r}.")
    query, known = open_query(text, _MAPS[name], {}), MAP_SCALES[name]
    notes = (f"{text}: looked up by dustmaps", describe_scale(text, known, scale))
    return QueriedMap(query, text, known.factor * scale, notes=notes)


def map_names() -> list[str]:
    """List the known whole-column maps, as they are named in place of a file."""
    return [PREFIX + name for name in _MAPS]


def open_query(source: str, class_name: str, keywords: dict[str, Any]) -> Any:
    """Open the dustmaps object that answers for a map named as ``dustmaps:sfd``.

    Raises
    ------
    InputError
        If dustmaps or the map's own files are not there.
    """
    name = source.removeprefix(PREFIX)
    try:
        module = importlib.import_module(f"dustmaps.{name}")
    except ImportError:
        raise InputError(
            f"dust map {source!r} needs the package dustmaps, which is not installed: pip install 'redflower[maps]'."
        ) from None
    try:
        return getattr(module, class_name)(**keywords)
    except Exception as problem:  # dustmaps raises whatever opening its files raises
        how = LENZ_HOW if name == "lenz2017" else f"Run dustmaps.{name}.fetch() once."
        raise InputError(
            f"dust map {source!r}: dustmaps cannot open its files ({str(problem).splitlines()[0][:200]}). {how}"
        ) from None
