"""The arrays of a selection function, for files: without JAX, so that `redflower prepare` can write one without it."""

from typing import Any, Final, Protocol, runtime_checkable

import numpy as np

SELECTION_ARRAYS: Final = (
    "log_probability", "log_mean_probability", "uncertainty", "g_centre_mag", "g_rp_centre_mag",
)  # fmt: skip


@runtime_checkable
class SelectionLike(Protocol):
    """A selection function, or the cells from which one is made."""

    @property
    def log_probability(self) -> Any:
        """Return the natural log of the probability in every cell."""

    @property
    def uncertainty(self) -> Any:
        """Return the standard deviation of the probability in every cell."""

    @property
    def nside(self) -> int:
        """Return the HEALPix resolution."""


def selection_to_parts(selection: SelectionLike) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Split a selection function into arrays and JSON-able settings, for files."""
    arrays = {name: np.asarray(getattr(selection, name)) for name in SELECTION_ARRAYS}
    return arrays, {"nside": selection.nside}
