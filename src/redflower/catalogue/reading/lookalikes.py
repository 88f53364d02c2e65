"""Columns that look like one that is meant: with a suffix, another's prefix, misspelt, or in two cases."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from redflower.catalogue.io.names import without_decoration
from redflower.catalogue.reading.other_names import COMPANY
from redflower.errors import TableError

# One letter off in ten; `i_mean_psf_mag` is as near to `r_mean_psf_mag`, but those are known names themselves.
_MISSPELT: Final = 0.9
_LETTERS_MIN: Final = 5
#: Names that tell two columns apart by their case alone in VizieR's tables: G of Gaia and g of Pan-STARRS1, R of Johnson and
#: r, Y of UKIDSS and y; the lower and upper bound of a distance.
CASE_TELLS: Final = frozenset({"b_rgeo", *(name.lower() for name in COMPANY)})


def refuse_lookalikes(
    absent: Mapping[str, Sequence[str]],
    unused: Sequence[str],
    known: Iterable[str],
    where: str,
    remedy: str,
) -> None:
    """Refuse a table in which a column is absent while one that looks like it is there.

    Parameters
    ----------
    absent : the columns that the table lacks, each with the names under which it is known.
    unused : the table's columns that nothing takes.
    known : names of other columns, which are therefore no misspelling of an absent one.
    where : how the message calls the table.
    remedy : the end of the message, with ``{name}`` and ``{theirs}`` filled in.

    Raises
    ------
    TableError
        With the names of both.
    """
    known = {name.lower() for name in known}
    pairs = {}
    for name, spellings in absent.items():
        found = [theirs for theirs in unused if _decorated(theirs, spellings)]
        if not found and len(name) >= _LETTERS_MIN:
            found = [theirs for theirs in unused if theirs.lower() not in known and _misspelt(theirs, name)]
        if found:
            pairs[name] = found
    if pairs:
        name, found = next(iter(pairs.items()))
        others = f" (or {', '.join(repr(theirs) for theirs in found[1:4])})" if found[1:] else ""
        more = f" Likewise {', '.join(repr(other) for other in list(pairs)[1:])}." if len(pairs) > 1 else ""
        raise TableError(
            f"{where} lacks {name!r}, but has {found[0]!r}. Did you mean {found[0]!r}{others}?{more} "
            + remedy.format(name=name, theirs=found[0])
        )


def decorated(names: Sequence[str], spellings: Sequence[str]) -> list[str]:
    """Find the names that are one of the spellings with a suffix, or with another table's name before it."""
    return [theirs for theirs in names if _decorated(theirs, spellings)]


def refuse_case_twins(names: Sequence[str], settled: Iterable[str], where: str, remedy: str) -> None:
    """Refuse two columns whose names differ by case alone, if one of them would be read.

    Parameters
    ----------
    names : the table's columns whose names, in any case, are known.
    settled : those whose meaning is stated.

    Raises
    ------
    TableError
        With both names.
    """
    settled = set(settled)
    groups: dict[str, list[str]] = {}
    for theirs in names:
        groups.setdefault(theirs.lower(), []).append(theirs)
    for folded, group in groups.items():
        open_ones = [theirs for theirs in group if theirs not in settled]
        if len(group) > 1 and len(open_ones) == len(group) and folded not in CASE_TELLS:
            raise TableError(
                f"{where} has columns whose names differ by case alone: {' and '.join(repr(n) for n in group)}. Which did you "
                f"mean? {remedy.format(name=folded, theirs=group[0])}"
            )


def _decorated(theirs: str, spellings: Sequence[str]) -> bool:
    bare, folded = without_decoration(theirs), theirs.lower()
    for name in spellings:
        if len(name) == 1:
            # `b` in another case, or behind another name, is as likely a magnitude.
            if theirs[:1] == name and bare == name and len(theirs) > 1:
                return True
        elif bare == name.lower() or (
            len(name) >= _LETTERS_MIN - 1 and _prefixed(folded, bare, name.lower())
        ):
            return True
    return False


def _prefixed(folded: str, bare: str, name: str) -> bool:
    return not folded.startswith("true_") and any(bare.endswith(mark + name) for mark in "_.")


def _misspelt(theirs: str, name: str) -> bool:
    return difflib.SequenceMatcher(None, theirs.lower(), name).ratio() >= _MISSPELT
