"""Which stars `prepare` left out, and by which cut: no star vanishes without a word."""

from collections.abc import Sequence

import numpy as np
from astropy.table import Column, Table
from jaxtyping import Bool

from redflower.catalogue.io.columns import as_floats

#: Columns that tell a star, as far as the table has them.
_NAMED_BY = ("source_id", "ra", "dec")


def left_out_stars(stars: Table, conditions: Sequence[tuple[str, str, Bool[np.ndarray, " star"]]]) -> Table:
    """Return a row per star that does not meet all conditions: its name, place, and the first that it does not meet.

    Parameters
    ----------
    stars : raw, in the order of the conditions' values.
    conditions : name, condition in words, and which stars meet it, in the order in which they cut.
    """
    first = np.full(len(stars), -1)
    for number, (_, _, meets) in enumerate(conditions):
        first[(first < 0) & ~np.asarray(meets)] = number
    rows = np.flatnonzero(first >= 0)
    table = Table()
    for name in _NAMED_BY:
        if name in stars.colnames:
            table[name] = stars[name][rows] if name == "source_id" else as_floats(stars, name)[rows]
            table[name].unit = None if name == "source_id" else "deg"
    for at, (name, said) in enumerate(
        (("cut", "name of the first cut it fails"), ("needed", "what that cut needs"))
    ):
        words = [conditions[k][at] for k in first[rows]]
        table[name] = Column(words, dtype=str if words else "U1", description=said)
    return table
