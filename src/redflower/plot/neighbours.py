"""The figure of neighbouring sightlines, from the tables that `redflower neighbours` saves."""

from typing import Any

import numpy as np
from astropy.table import Table
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from redflower.plot.sightline import log_distance
from redflower.plot.style import MEAN, SMOOTH, STARS, style


def neighbours_figure(numbers: dict[str, Any], clouds: Table, density: Table) -> Figure:
    """Draw the shared density of distance, and the clouds of every sightline before and after.

    Parameters
    ----------
    numbers, clouds, density : what `redflower neighbours` saved.
    """
    names = [one["name"] for one in numbers["sightlines"]]
    with style():
        figure = Figure(figsize=(7.0, 2.4 + 0.28 * len(names)))
        above, below = figure.subplots(
            2, 1, sharex=True, gridspec_kw={"height_ratios": [1.6, 0.28 * len(names) + 0.3]}
        )
        distance = np.asarray(density["distance"], dtype=float)
        for low, high, alpha in (("q05", "q95", 0.18), ("q16", "q84", 0.35)):
            ends = (np.asarray(density[f"density_{end}"], dtype=float) for end in (low, high))
            above.fill_between(distance, *ends, color=SMOOTH, alpha=alpha, lw=0)
        above.plot(distance, np.asarray(density["density_q50"], dtype=float), color=SMOOTH, lw=1.4)
        above.set(ylabel="shared density\nof ln distance")
        above.set_ylim(bottom=0.0)
        _clouds(below, clouds, names)
        near, far = numbers["searched_pc"]
        log_distance(below, (0.9 * near, 1.1 * far))
        below.set(xlabel="distance [pc]")
    return figure


def _clouds(axes: Axes, clouds: Table, names: list[str]) -> None:
    """Draw the clouds of each sightline in a row of its own."""
    for when, shift, colour, label in (
        ("_before", 0.14, STARS, "alone"),
        ("", -0.14, MEAN, "with neighbours"),
    ):
        middle, low, high = (
            np.asarray(clouds[f"distance_pc_{q}{when}"], dtype=float) for q in ("q50", "q16", "q84")
        )
        row = np.array([len(names) - 1 - names.index(str(name)) for name in clouds["sightline"]], dtype=float)
        axes.hlines(row + shift, low, high, color=colour, lw=1.6, label=label)
        trusted = np.asarray(clouds["trusted"]).astype(bool)
        for rows, face in ((trusted, colour), (~trusted, "white")):
            axes.plot(middle[rows], row[rows] + shift, "o", ms=4, color=colour, mfc=face)
    axes.set_yticks(range(len(names)), names[::-1])
    axes.set_ylim(-0.6, len(names) - 0.4)
    axes.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=2, fontsize=7.5)
