"""Releases of Gaia by name, as ``data/gaia_releases.toml`` has them.

What each entry means is said at the head of that file. Nothing else in redflower knows the name of a release's table.
"""

from functools import cache

from redflower.catalogue.gaia_release import GaiaRelease, ReleaseTable
from redflower.catalogue.releases_file import data_file, read_releases
from redflower.errors import InputError


def releases() -> dict[str, GaiaRelease]:
    """Return the releases by name."""
    return _content().releases


def default_release() -> GaiaRelease:
    """Return the release that is fetched, and assumed of tables that do not tell."""
    return releases()[_content().default]


def release_named(name: str, *, to_fetch: bool = False) -> GaiaRelease:
    """Return a release by its name.

    Raises
    ------
    InputError : there is none, or, ``to_fetch``, its tables are not described.
    """
    known = [r.name for r in releases().values() if r.table is not None or not to_fetch]
    if name not in known:
        raise InputError(
            f"--release {name!r}: redflower knows {'the tables of ' if to_fetch else ''}{', '.join(known)}."
        )
    return releases()[name]


def release_of_photometry(gaia: str) -> GaiaRelease:
    """Return the release that magnitudes of a photometric release of Gaia, such as ``dr2-no-drift``, are from."""
    return next(release for release in releases().values() if gaia in release.photometry)


def other_names() -> dict[str, tuple[str, ...]]:
    """Return what releases call a column, by redflower's name, where the two differ."""
    found: dict[str, tuple[str, ...]] = {}
    for release in releases().values():
        for ours, theirs in release.renamed.items():
            found[ours] = tuple(dict.fromkeys((*found.get(ours, ()), theirs)))
    return found


def solution_bits() -> tuple[int, int]:
    """Return the bits of a fitted parallax and of a fitted pseudocolour."""
    return _content().parallax_bit, _content().pseudocolour_bit


@cache
def _content() -> ReleaseTable:
    return read_releases(data_file())
