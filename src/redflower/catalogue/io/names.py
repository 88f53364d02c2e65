"""Names of columns without the marks that editors, programs and cross-matches leave on them."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from redflower.errors import TableError

#: A byte order mark, invisible spaces, and the `#` of headers that are written as comments.
_MARKS: Final = "\ufeff\u200b\u200e\u200f\u2060\x00#"
_QUOTES: Final = "\"'`"
#: How a masked column's mask is called by astropy, in formats that cannot mask.
MASK_SUFFIX: Final = ".mask"

#: What programs append to one of two columns of a name: TOPCAT, STILTS and astropy; pandas; Dask and Polars.
_SUFFIXES: Final = (
    "_1", "_2", "_3", "_x", "_y", "_a", "_b", "_left", "_right", "_l", "_r", ".1", ".2", "_new", "_old", "_0",
    "_tab1", "_tab2", "_table1", "_table2", "_cat1", "_cat2", "_t1", "_t2", "_lhs", "_rhs",
    "_gaia", "_gdr2", "_gdr3", "_dr2", "_edr3", "_dr3", "_gaiadr2", "_gaiaedr3", "_gaiadr3", "_gaia_dr2",
    "_gaia_edr3", "_gaia_dr3", "_ps1", "_panstarrs", "_tmass", "_2mass",
)  # fmt: skip


def plain_name(name: str) -> str:
    """Strip byte order marks, `#`, quotes and blanks around a column's name; unchanged if nothing is left."""
    plain, before = name, None
    while plain != before:
        before = plain
        plain = plain.strip().strip(_MARKS + _QUOTES)
    return plain or name


def plain_names(names: Sequence[str], where: object) -> list[str]:
    """Strip the names of a table's columns of such marks, keeping each name unique.

    Raises
    ------
    TableError
        If two columns have one name: which of them is meant nobody can tell.
    """
    plain = [plain_name(str(name)) for name in names]
    twice = [name for name, n in Counter(plain).items() if n > 1]
    if twice:
        spelled = [repr(str(name)) for name, short in zip(names, plain, strict=True) if short == twice[0]]
        how = "" if len(set(spelled)) == 1 else f", written {' and '.join(spelled)}"
        raise TableError(
            f"{where} has {len(spelled)} columns of the name {twice[0]!r}{how}; which is meant cannot be told. "
            "Rename or remove the others."
        )
    return plain


def without_decoration(name: str) -> str:
    """Return a name in lower case without its suffix, the table's name before a dot, or a unit in brackets."""
    bare = plain_name(name).lower()
    for opening in "[(":
        head, found, _ = bare.partition(opening)
        if found and head.strip():
            bare = head.strip()
    for suffix in sorted(_SUFFIXES, key=len, reverse=True):
        if bare.endswith(suffix) and len(bare) > len(suffix):
            bare = bare.removesuffix(suffix)
            break
    head, dot, tail = bare.rpartition(".")
    return (tail if dot and head and tail else bare).replace(" ", "_").replace("-", "_")


def mask_names(names: Iterable[str]) -> dict[str, str]:
    """Find the columns ``NAME.mask`` that tell where the column ``NAME`` is missing: their names, by column."""
    names = set(names)
    return {
        name.removesuffix(MASK_SUFFIX): name
        for name in names
        if name.endswith(MASK_SUFFIX) and name.removesuffix(MASK_SUFFIX) in names
    }
