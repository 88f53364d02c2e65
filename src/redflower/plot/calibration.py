"""Figures of a calibration: offsets, and residuals of every band against colour, magnitude and distance."""

from typing import Any

import numpy as np
from astropy.table import Table
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from redflower.plot.style import INK, MEAN, SMOOTH, STARS, style

_N_BINS = 8
_MIN_IN_BIN = 15
_MMAG = 1e3


def offsets_figure(numbers: dict[str, Any]) -> Figure:
    """Draw the offset of every band with its error."""
    offset, error = (_MMAG * np.array(numbers[name]) for name in ("offset_mag", "error_mag"))
    place = np.arange(len(offset))
    with style():
        figure = Figure(figsize=(6.0, 2.8))
        axes = figure.subplots()
        axes.axhline(0.0, color=INK, lw=0.8)
        axes.errorbar(place, offset, yerr=error, fmt="o", color=MEAN, capsize=3, ms=5)
        axes.set(xticks=place, xlabel="band", ylabel="sample $-$ model [mmag]")
        axes.set_xticklabels(numbers["labels"])
    return figure


def residuals_figure(stars: Table, numbers: dict[str, Any]) -> Figure:
    """Draw mean residuals of every band against BP - RP, G and distance, without the offsets and with them."""
    shown = [
        (name, label)
        for name, label in zip(numbers["bands"], numbers["labels"], strict=True)
        if f"{name}_after" in stars.colnames and np.isfinite(stars[f"{name}_after"]).sum() > _MIN_IN_BIN
    ]
    uniform_axes = (("bp_rp", "BP $-$ RP [mag]"), ("gaia_g", "G [mag]"), ("distance", "distance [kpc]"))
    with style():
        figure = Figure(figsize=(7.5, 1.15 * len(shown) + 0.6))
        panels = np.atleast_2d(figure.subplots(len(shown), len(uniform_axes), sharex="col", sharey="row"))
        for number, (name, label) in enumerate(shown):
            row = panels[number]
            for axes, (along, text) in zip(row, uniform_axes, strict=True):
                x = np.asarray(stars[along], dtype=float) / (1e3 if along == "distance" else 1.0)
                for when, colour, offset in (("before", STARS, -0.5), ("after", MEAN, 0.5)):
                    _binned(
                        axes,
                        x,
                        _MMAG * np.asarray(stars[f"{name}_{when}"], dtype=float),
                        colour,
                        when,
                        offset,
                    )
                axes.axhline(0.0, color=INK, lw=0.6)
                axes.set_xlabel(text if number == len(shown) - 1 else "")
            row[0].set_ylabel(f"{label} [mmag]")
        panels[0, -1].legend(fontsize=8, loc="best")
        for axes in panels.ravel():
            axes.tick_params(labelsize=8)
    return figure


def p_fit_figure(stars: Table) -> Figure:
    """Draw the distribution of ``p_fit`` without the offsets and with them; a sample of the model's own sky is flat."""
    with style():
        figure = Figure(figsize=(4.2, 2.8))
        axes = figure.subplots()
        edges = np.linspace(0.0, 1.0, 21)
        for when, colour in (("before", STARS), ("after", SMOOTH)):
            values = np.asarray(stars[f"p_fit_{when}"], dtype=float)
            values = values[np.isfinite(values)]
            axes.hist(
                values,
                list(edges),
                weights=np.full(len(values), 20.0 / len(values)),
                histtype="step",
                color=colour,
                lw=1.6,
                label=when,
            )
        axes.axhline(1.0, color=INK, lw=0.8, ls=":")
        axes.set(xlabel="p_fit", ylabel="stars over expected", xlim=(0, 1))
        axes.legend(fontsize=8)
    return figure


def _binned(axes: Axes, x: np.ndarray, y: np.ndarray, colour: str, label: str, offset: float) -> None:
    """Draw medians in bins of equal numbers of stars."""
    good = np.isfinite(x) & np.isfinite(y)
    x, y = x[good], y[good]
    if len(x) < _MIN_IN_BIN:
        return
    order = np.array_split(np.argsort(x), max(1, min(_N_BINS, len(x) // _MIN_IN_BIN)))
    middle = np.array([np.median(x[part]) for part in order])
    median = np.array([np.median(y[part]) for part in order])
    # 1.253 times the standard error of a mean is that of a median of normal numbers.
    error = np.array([1.253 * y[part].std() / np.sqrt(len(part)) for part in order])
    width = 0.01 * (x.max() - x.min())
    axes.errorbar(
        middle + offset * width, median, yerr=error, fmt="o-", ms=3, lw=1, color=colour, label=label
    )
