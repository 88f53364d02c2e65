"""Which rows of a table of posteriors may enter a mean."""

from typing import Any

import numpy as np

from redflower.posterior.status import Flag, Status


def usable_rows(posteriors: Any) -> np.ndarray:
    """Return which rows may enter a mean: status ``ok`` or at the lower edge of the prior, and like the training stars.

    Dust-free stars scatter below zero and reach the lower edge; leaving them out would bias a mean over them high. A star
    at the upper edge is another matter: its reddening is unknown. So is that of a star with the flag
    ``LOW_FLOW_PROBABILITY``, which dust is made to explain though no dust-free star of the model looks like it.

    Parameters
    ----------
    posteriors : table of `redflower.infer`, or its columns ``status``, ``flags`` and ``ebv_mean`` by name.

    Returns
    -------
    True or False for every row.

    Examples
    --------
    >>> import redflower
    >>> posteriors = redflower.read_table("posteriors.parquet")
    >>> usable = redflower.usable_rows(posteriors)
    >>> usable.shape == (len(posteriors),)
    True
    """
    words = np.asarray(posteriors["status"]).astype(str)
    at_lower_edge = (words == Status.EDGE_OF_PRIOR.value) & (np.asarray(posteriors["ebv_mean"]) < 0.0)
    unlike_all = (np.asarray(posteriors["flags"]) & int(Flag.LOW_FLOW_PROBABILITY)) != 0
    return ((words == Status.OK.value) | at_lower_edge) & ~unlike_all
