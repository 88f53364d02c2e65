"""Bands by the names that users give them."""

from collections.abc import Iterable

from redflower.bands import BANDS
from redflower.errors import InputError


def bands_named(names: Iterable[str]) -> tuple[int, ...]:
    """Return the places of bands on the ``band`` axis, rising.

    Parameters
    ----------
    names : labels or full names, such as ``y`` or ``ps1_y``; ``g`` and ``G`` are two bands.

    Raises
    ------
    InputError
        If there is no such band.
    """
    places = {key: i for i, band in enumerate(BANDS) for key in (band.label, band.name)}
    unknown = [name for name in names if name not in places]
    if unknown:
        raise InputError(
            f"there is no band {unknown[0]!r}: bands are {' '.join(band.label for band in BANDS)}, or by their full names "
            f"{', '.join(band.name for band in BANDS)}."
        )
    return tuple(sorted({places[name] for name in names}))
