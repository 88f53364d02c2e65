"""HATS catalogues: what names one, and its opening through LSDB (extra ``scale``)."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from redflower.entries import plain, why_of
from redflower.errors import InputError

#: A folder that holds one of these files is a HATS catalogue, or a collection of one and its margins.
PROPERTIES: Final = ("hats.properties", "properties", "collection.properties")
#: The spatial index of every row: its pixel of order 29.
SPATIAL_INDEX: Final = "_healpix_29"
_SCHEME: Final = "hats://"
#: Paths that a catalogue states are shown up to this length. [character]
_SHOWN_MAX: Final = 200
_MISSING: Final = "HATS catalogues need LSDB, which is not installed: pip install 'redflower[scale]'."


def lsdb_module() -> Any:
    """Import LSDB.

    Raises
    ------
    InputError
        If it is not installed.
    """
    try:
        import lsdb
    except ImportError:
        raise InputError(_MISSING) from None
    return lsdb


def is_hats(source: Any) -> bool:
    """Tell whether something names a HATS catalogue: an address, or a folder with a catalogue's properties."""
    if isinstance(source, str) and "://" in source:
        return True
    if not isinstance(source, (str, Path)):
        return False
    try:
        return Path(source).is_dir() and any((Path(source) / name).is_file() for name in PROPERTIES)
    except (OSError, ValueError):
        return False


def hats_address(source: "str | Path") -> str:
    """Return the address of a catalogue as LSDB takes it: ``hats://`` before a path or another address says only what it is.

    Parameters
    ----------
    source : a folder, ``hats:///data/gaia``, ``hats://data.lsdb.io/hats/two_mass`` (read by https), ``hats://s3://...``,
        or an address of another scheme.
    """
    text = str(source)
    if not text.startswith(_SCHEME):
        return text
    rest = text.removeprefix(_SCHEME)
    return rest if "://" in rest or rest.startswith(("/", ".", "~")) else f"https://{rest}"


def open_hats(
    source: "str | Path",
    columns: Sequence[str] | None = None,
    *,
    called: str = "the catalogue",
    search: Any = None,
    margin: bool = True,
) -> Any:
    """Open a HATS catalogue by LSDB, without reading its rows. What lies outside its folder is no part of it.

    Parameters
    ----------
    source : its folder or address.
    columns : to be read. Defaults to all of them.
    called : how messages call it.
    search : LSDB's filter of the sky. If None, all of it.
    margin : whether to open its margin too, where it has one.

    Raises
    ------
    InputError
        If LSDB is not installed, the catalogue cannot be opened, or it names paths outside its folder.
    """
    lsdb = lsdb_module()
    try:
        opened = lsdb.open_catalog(
            _main_address(source, called, margin=margin), columns="all" if columns is None else list(columns),
            search_filter=search, error_empty_filter=False,
        )  # fmt: skip
        check_suffix(opened.hc_structure.catalog_info, called, source)
        return opened
    except InputError:
        raise
    except Exception as problem:  # LSDB, fsspec and pyarrow each raise their own
        raise _cannot_open(problem, called, source) from None


def column_names(source: "str | Path", *, called: str = "the catalogue") -> tuple[list[str], Any]:
    """Read the names of a catalogue's columns without its spatial index, and its properties.

    Parameters
    ----------
    source, called : as of `open_hats`.

    Raises
    ------
    InputError
        As of `open_hats`.
    """
    lsdb_module()
    import hats

    try:
        found = hats.read_hats(_main_address(source, called, margin=False))
        return [name for name in found.schema.names if name != SPATIAL_INDEX], found.catalog_info
    except InputError:
        raise
    except Exception as problem:
        raise _cannot_open(problem, called, source) from None


def check_suffix(properties: Any, called: str, source: Any) -> None:
    """Refuse a catalogue whose files have names that lead out of its folder.

    Parameters
    ----------
    properties : as `hats` reads them.
    called, source : as of `open_hats`.

    Raises
    ------
    InputError
        With the name.
    """
    if _leads_out(f"./{properties.npix_suffix}"):
        raise _outside("the ending of its files", properties.npix_suffix, called, source)


def _main_address(source: "str | Path", called: str, *, margin: bool) -> Any:
    """Return the address of a catalogue; of a collection that of its main catalogue, or its own where the margin is wanted."""
    from hats.catalog.dataset.collection_properties import CollectionProperties
    from hats.io import file_io

    place = file_io.get_upath(hats_address(source))
    if not (place / PROPERTIES[-1]).exists():
        return place
    stated = CollectionProperties.read_from_dir(place)
    for name in (
        stated.hats_primary_table_url,
        *([stated.default_margin] if margin and stated.default_margin else []),
    ):
        if _leads_out(name):
            raise _outside("collection.properties", name, called, source)
    return place if margin else place / stated.hats_primary_table_url


def _leads_out(name: str) -> bool:
    """Return whether a path, as a catalogue's properties state it, leads out of its folder."""
    parts = re.split(r"[/\\]", name)
    return "://" in name or ":" in parts[0] or not parts[0] or ".." in parts


def _outside(what: str, name: str, called: str, source: Any) -> InputError:
    return InputError(
        f"{called} {source}: {what} names {plain(name, _SHOWN_MAX)}, which is outside its folder. A catalogue is "
        "read from its own folder alone: name the one that is meant."
    )


def _cannot_open(problem: Exception, called: str, source: Any) -> InputError:
    return InputError(f"{called} {source} cannot be opened: {why_of(problem)}.")
