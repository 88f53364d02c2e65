"""The magnitudes of stars beside their results."""

import numpy as np
from astropy.table import Column, Table


def add_photometry(stars: Table, prepared: Table) -> None:
    """Add G, BP and RP of the stars, found by their identifiers; NaN where they are missing."""
    ids = np.asarray(prepared["source_id"])
    order = np.argsort(ids)
    wanted = np.asarray(stars["source_id"])
    row = order[np.minimum(np.searchsorted(ids[order], wanted), len(ids) - 1)]
    same = ids[row] == wanted
    for name in ("gaia_g", "gaia_bp", "gaia_rp"):
        if name in prepared.colnames:
            values = np.ma.filled(np.ma.asarray(prepared[name]).astype(float), np.nan)
            stars[name] = Column(np.where(same, values[row], np.nan), unit="mag", description="observed")
