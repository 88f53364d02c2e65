"""Figures of the calibration on simulated stars: ranks against their band, and coverage cell by cell."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from redflower.plot.style import INK, MEAN, SERIES, STARS, style


def ranks_figure(simulations: dict[str, Any]) -> Figure:
    """Draw the distribution functions of the ranks minus the diagonal, with the band that holds all of one in 95 of 100 cases."""
    names = list(simulations["ranks"])
    with style():
        figure = Figure(figsize=(2.4 * len(names), 2.6))
        panels = figure.subplots(1, len(names), sharey=True)
        for axes, name in zip(np.atleast_1d(panels), names, strict=True):
            one = simulations["ranks"][name]
            level = np.linspace(0.0, 1.0, len(one["curve"]))
            axes.axhspan(-one["band"], one["band"], color=STARS, alpha=0.3, lw=0)
            axes.axhline(0.0, color=INK, lw=0.7)
            axes.plot(level, np.array(one["curve"]) - level, color=MEAN)
            axes.set(xlabel=f"rank: {name}", xlim=(0, 1))
        np.atleast_1d(panels)[0].set_ylabel("share of stars less rank")
    return figure


def cells_figure(simulations: dict[str, Any]) -> Figure:
    """Draw how often the central 68 % hold the true reddening, cell by cell, with the scatter expected by chance."""
    cells = simulations["cells"]
    with style():
        figure = Figure(figsize=(7.0, 0.8 + 0.2 * max(len(cells), 1)))
        axes = figure.subplots()
        place = np.arange(len(cells))
        quantities = list(dict.fromkeys(c["quantity"] for c in cells))
        colours = [SERIES[quantities.index(c["quantity"]) % len(SERIES)] for c in cells]
        axes.axvline(0.68, color=INK, lw=0.7)
        for at, cell, colour in zip(place, cells, colours, strict=True):
            axes.errorbar(cell["inside_68"], at, xerr=cell["error"], fmt="o", ms=4, color=colour)
        axes.set(yticks=place, xlabel="stars with the truth inside the central 68 %", xlim=(0.4, 0.96))
        axes.set_yticklabels([cell_name(c) for c in cells], fontsize=7)
        axes.invert_yaxis()
    return figure


def cell_name(cell: dict[str, Any]) -> str:
    """Name a cell: its quantity and limits, and how many stars it holds."""
    if cell["quantity"].startswith("bands"):
        return f"{cell['quantity']} ({cell['n']})"
    return f"{cell['quantity']} {cell['low']:g} to {cell['high']:g} ({cell['n']})"
