"""Identifiers under other names than ours: asked for where they are Gaia's by their name, named where they may be any."""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from redflower.errors import TableError

#: Identifiers of Gaia under other names: gaia_id, dr3_source_id, SourceID, designation.
_GAIA_ID: Final = re.compile(
    r"(gaia)?_?(e?dr\d)?_?(source_?id|designation)|gaia_?(e?dr\d)?_?(id|name|source)?", re.IGNORECASE
)
#: Names of identifiers of any kind.
_ANY_ID: Final = re.compile(
    r"_?((obj(ect)?|star|src|source|row|cat|main|tic|kic|epic|hip|tyc|2mass|ps1)?_?(id|name|number|num|no)|tic|kic|hip|tyc)",
    re.IGNORECASE,
)


def unused_identifiers(
    source: Mapping[str, str], unused: Sequence[str], passed: Sequence[str], where: str, remedy: str
) -> str | None:
    """Name the unused columns that may be identifiers in a sentence, if ``source_id`` is absent; None if there are none.

    Parameters
    ----------
    source : our names, with the table's.
    unused, passed : the table's columns that nothing takes, and those that are passed on under their own names.

    Raises
    ------
    TableError
        If one is Gaia's by its name.
    """
    if "source_id" in source:
        return None
    gaias = [theirs for theirs in (*unused, *passed) if _GAIA_ID.fullmatch(theirs)]
    if gaias:
        raise TableError(
            f"{where} lacks 'source_id', but has {gaias[0]!r}. Did you mean {gaias[0]!r}? "
            + remedy.format(name="source_id", theirs=gaias[0])
        )
    others = [theirs for theirs in unused if _ANY_ID.fullmatch(theirs)]
    if not others:
        return None
    return (
        f"not used, though they may be identifiers: {', '.join(repr(theirs) for theirs in others)} (a column map says so: "
        f'[columns] source_id = "{others[0]}")'
    )
