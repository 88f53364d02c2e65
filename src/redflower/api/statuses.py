"""What the status words of a table of posteriors say about its rows."""

from collections.abc import Sequence

import numpy as np
from astropy.table import Table

from redflower.posterior import Flag, Status
from redflower.posterior.status import STATUS_MESSAGES


def usable_rows(posteriors: Table) -> np.ndarray:
    """Tell which rows may enter a mean: status ``ok`` or at the lower edge of the prior, and like the training stars.

    Dust-free stars scatter below zero and reach the lower edge; leaving them out would bias a mean over them high. A star
    at the upper edge is another matter: its reddening is unknown. So is that of a star with the flag
    ``LOW_FLOW_PROBABILITY``, which dust is made to explain though no dust-free star of the model looks like it.
    """
    words = np.asarray(posteriors["status"]).astype(str)
    at_lower_edge = (words == Status.EDGE_OF_PRIOR.value) & (np.asarray(posteriors["ebv_mean"]) < 0.0)
    unlike_all = (np.asarray(posteriors["flags"]) & int(Flag.LOW_FLOW_PROBABILITY)) != 0
    return ((words == Status.OK.value) | at_lower_edge) & ~unlike_all


def status_counts(posteriors: Table) -> dict[str, int]:
    """Count the stars of each status, the most frequent first."""
    words, counts = np.unique(np.asarray(posteriors["status"]).astype(str), return_counts=True)
    return {str(words[i]): int(counts[i]) for i in np.argsort(-counts, kind="stable")}


def describe_statuses(counts: dict[str, int]) -> Sequence[str]:
    """Describe each status in a line: the count, the word and its meaning."""
    return [f"{count:>7,}  {word}: {STATUS_MESSAGES[Status(word)]}" for word, count in counts.items()]
