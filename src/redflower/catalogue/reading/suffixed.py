"""Tables in which a cross-match has put a suffix behind every column's name, as LSDB does by default."""

import re
from collections.abc import Collection, Sequence
from typing import Final

_SUFFIX: Final = re.compile(r"_[A-Za-z0-9]+$")
#: A match of more tables than this is not known; Gaia's own names end in more words (``_mag``, ``_error``, ``_flux``, ...).
_TABLES_MAX: Final = 4
#: A suffix is on so many columns at least.
_COLUMNS_MIN: Final = 3
#: Columns that the match itself adds, without a suffix.
_OF_THE_MATCH: Final = frozenset({"angDist", "Separation", "dist_arcsec", "Norder", "Dir", "Npix"})


def names_without_suffix(
    names: Sequence[str], leading: Collection[str], places: Collection[str]
) -> dict[str, str]:
    """Return what each column is called without the suffix that every column has; nothing for other tables.

    Where two tables have a column of a name, the name is that of the table with the leading band, and the other's column
    keeps its suffix.

    Parameters
    ----------
    names : of the table's columns.
    leading : names of the leading band's magnitude.
    places : names of positions.
    """
    ours = [name for name in names if not name.startswith("_") and name not in _OF_THE_MATCH]
    groups: dict[str, list[str]] = {}
    for name in ours:
        found = _SUFFIX.search(name)
        if found is None:
            return {}
        groups.setdefault(found[0], []).append(name)
    if len(groups) > _TABLES_MAX or any(len(group) < _COLUMNS_MIN for group in groups.values()):
        return {}

    def bare(suffix: str) -> set[str]:
        return {name.removesuffix(suffix) for name in groups[suffix]}

    first = [suffix for suffix in groups if bare(suffix) & set(leading) and bare(suffix) & set(places)]
    if len(first) != 1:
        return {}
    order = [*first, *(suffix for suffix in groups if suffix != first[0])]
    taken: dict[str, str] = {}
    for suffix in order:
        for name in groups[suffix]:
            taken.setdefault(name.removesuffix(suffix), name)
    return {theirs: plain for plain, theirs in taken.items()}
