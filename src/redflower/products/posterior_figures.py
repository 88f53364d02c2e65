"""The figures of a table of posteriors."""

from pathlib import Path
from typing import Final

import numpy as np
from astropy.table import Table
from matplotlib.figure import Figure

from redflower.errors import InputError
from redflower.files import written_whole
from redflower.plot.posteriors import (
    reddening_diagram,
    reddening_histogram,
    reddening_of_distance_figure,
    reddening_sky,
)
from redflower.plot.style import save_figure
from redflower.posterior.usable import usable_rows

ENDINGS: Final = ("png", "pdf")
_NEEDED: Final = ("ebv_mean", "ebv_std", "distance_mean", "distance_std", "status", "flags")


def posterior_figures(posteriors: Table) -> dict[str, Figure]:
    """Return the figures of inferred stars by name: those that the table has the columns for.

    Parameters
    ----------
    posteriors : from `redflower.infer`; with ``gaia_g``, ``gaia_bp`` and ``gaia_rp`` beside for the diagram.

    Raises
    ------
    InputError
        If it holds no posteriors, or no star that can be used.
    """
    lacking = [name for name in _NEEDED if name not in posteriors.colnames]
    if lacking:
        raise InputError(f"plot: the table holds no posteriors of redflower: it lacks {', '.join(lacking)}.")
    usable = posteriors[usable_rows(posteriors)]
    if not len(usable):
        raise InputError(f"plot: none of {len(posteriors):,} stars can be used; see their status.")
    figures = {
        "reddening-distance": reddening_of_distance_figure(usable),
        "histogram": reddening_histogram(usable),
    }
    if {"l", "b"} <= set(usable.colnames):
        figures["sky"] = reddening_sky(usable)
    names = ("gaia_g", "gaia_bp", "gaia_rp")
    if set(names) <= set(usable.colnames) and all(
        np.isfinite(np.asarray(usable[n], float)).any() for n in names
    ):
        figures["diagram"] = reddening_diagram(usable)
    return figures


def write_posterior_figures(figures: dict[str, Figure], folder: Path) -> list[Path]:
    """Write figures into a folder, each as PNG and PDF, and return the files."""
    folder.mkdir(exist_ok=True)
    written = []
    for name, figure in figures.items():
        for ending in ENDINGS:
            path = folder / f"{name}.{ending}"
            with written_whole(path) as part:
                save_figure(figure, part, format=ending, dpi=200)
            written.append(path)
    return written
