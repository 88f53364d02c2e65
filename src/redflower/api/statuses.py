"""What the status words of a table of posteriors say about its rows."""

from collections.abc import Sequence

import numpy as np
from astropy.table import Table

from redflower.posterior import Status
from redflower.posterior.status import STATUS_MESSAGES
from redflower.posterior.usable import usable_rows as usable_rows


def status_counts(posteriors: Table) -> dict[str, int]:
    """Count the stars of each status, the most frequent first.

    Parameters
    ----------
    posteriors : from `redflower.infer`.

    Returns
    -------
    Status word -> number of stars.

    Examples
    --------
    >>> import redflower
    >>> from redflower.api import status_counts
    >>> counts = status_counts(redflower.read_table("posteriors.parquet"))
    >>> sum(counts.values())
    40
    """
    words, counts = np.unique(np.asarray(posteriors["status"]).astype(str), return_counts=True)
    return {str(words[i]): int(counts[i]) for i in np.argsort(-counts, kind="stable")}


def describe_statuses(counts: dict[str, int]) -> Sequence[str]:
    """Describe each status in a line: the count, the word and its meaning.

    Parameters
    ----------
    counts : from `status_counts`.

    Returns
    -------
    The lines.

    Examples
    --------
    >>> from redflower.api import describe_statuses
    >>> describe_statuses({"nonfinite": 3})
    ['      3  nonfinite: ...']
    """
    return [f"{count:>7,}  {word}: {STATUS_MESSAGES[Status(word)]}" for word, count in counts.items()]
