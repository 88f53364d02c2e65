"""HATS catalogues: what names one, and its opening through LSDB (extra ``scale``)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from redflower.errors import InputError

#: A folder that holds one of these files is a HATS catalogue, or a collection of one and its margins.
PROPERTIES: Final = ("hats.properties", "properties", "collection.properties")
#: The spatial index of every row: its pixel of order 29.
SPATIAL_INDEX: Final = "_healpix_29"
_SCHEME: Final = "hats://"
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
) -> Any:
    """Open a HATS catalogue by LSDB, without reading its rows.

    Parameters
    ----------
    source : its folder or address.
    columns : to be read. Defaults to all of them.
    called : how messages call it.
    search : LSDB's filter of the sky. If None, all of it.

    Raises
    ------
    InputError
        If LSDB is not installed, or the catalogue cannot be opened.
    """
    lsdb = lsdb_module()
    try:
        return lsdb.open_catalog(
            hats_address(source), columns="all" if columns is None else list(columns), search_filter=search,
            error_empty_filter=False,
        )  # fmt: skip
    except Exception as problem:  # LSDB, fsspec and pyarrow each raise their own
        lines = str(problem).splitlines() or [type(problem).__name__]
        raise InputError(f"{called} {source} cannot be opened: {lines[0][:300]}.") from None
