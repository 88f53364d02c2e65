"""Which stars every cut leaves, and the parent sample that they are part of."""

import numpy as np
from astropy.table import Table
from jaxtyping import Bool

from redflower.catalogue.io.columns import as_floats
from redflower.catalogue.maps.selection_counts import SelectionCounts, count_stars
from redflower.catalogue.quality.limits import QualityLimits
from redflower.catalogue.quality.report import Cut
from redflower.errors import InputError

#: Cuts on stars: name, condition in words, and which stars meet it.
Conditions = list[tuple[str, str, Bool[np.ndarray, " star"]]]


def apply_cuts(n_stars: int, conditions: Conditions) -> tuple[Bool[np.ndarray, " star"], tuple[Cut, ...]]:
    """Apply the conditions one after the other; return which stars are left, and the count after each."""
    chosen = np.ones(n_stars, dtype=bool)
    cuts: list[Cut] = []
    for name, condition, meets in conditions:
        before = int(chosen.sum())
        chosen &= meets
        cuts.append(Cut(name, condition, before, int(chosen.sum())))
    return chosen, tuple(cuts)


#: Cuts that say which stars are meant at all, and not whether such a star is in the sample.
#: That on parallax is a factor of its own (docs/explanation/model.md, E24b).
_CUTS_OF_THE_PARENT = ("position", "latitude", "bright limit", "faint limit", "parallax", "dust map")


def count_parent(
    raw: Table,
    conditions: Conditions,
    keep: Bool[np.ndarray, " star"],
    limits: QualityLimits,
) -> SelectionCounts:
    """Count the stars of the parent sample and those that are kept."""
    parent = np.ones(len(raw), dtype=bool)
    for name, _, meets in conditions:
        if name in _CUTS_OF_THE_PARENT:
            parent &= meets
    g_mag = as_floats(raw, "phot_g_mean_mag")
    parent &= np.isfinite(g_mag)
    if not parent.any():
        raise InputError("the selection function needs G, and no star has it (column phot_g_mean_mag).")
    bright, faint = (
        float(extreme(g_mag[parent])) if limit is None else limit
        for limit, extreme in ((limits.g_bright_mag, np.nanmin), (limits.g_faint_mag, np.nanmax))
    )
    return count_stars(
        as_floats(raw, "ra")[parent],
        as_floats(raw, "dec")[parent],
        g_mag[parent],
        (g_mag - as_floats(raw, "phot_rp_mean_mag"))[parent],
        keep[parent],
        g_bright_mag=bright,
        g_faint_mag=faint,
    )
