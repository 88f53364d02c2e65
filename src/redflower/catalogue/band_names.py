"""Bands by the names that users give them."""

from collections.abc import Iterable

from redflower.bands import STANDARD, BandSet
from redflower.errors import InputError


def bands_named(names: Iterable[str], bands: BandSet = STANDARD) -> tuple[int, ...]:
    """Return the places of bands on the ``band`` axis, rising.

    Parameters
    ----------
    names : labels or full names, such as ``y`` or ``ps1_y``; ``g`` and ``G`` are two bands.
    bands : of the axis.

    Raises
    ------
    InputError
        If there is no such band.
    """
    places = {
        key: i
        for i, (band, label) in enumerate(zip(bands, bands.labels, strict=True))
        for key in (label, band.name)
    }
    unknown = [name for name in names if name not in places]
    if unknown:
        raise InputError(
            f"there is no band {unknown[0]!r}: bands are {' '.join(bands.labels)}, or by their full names "
            f"{', '.join(bands.names)}."
        )
    return tuple(sorted({places[name] for name in names}))
