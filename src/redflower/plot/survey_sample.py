"""What a sample looks like: its colours and magnitudes, and its RUWE (the paper, Figures 2 and 6)."""

from typing import Final

import numpy as np
from astropy.table import Table
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from redflower.bands import BAND_INDEX, BANDS
from redflower.distances import modulus_from_distance
from redflower.plot.style import INK, MEAN, STARS, style

#: Above this many stars a scatter plot is thinned to it, at random.
SHOWN_MAX: Final = 40_000


def sample_distance_pc(prepared: Table) -> np.ndarray:
    """Return a distance for figures: the geometric one, else from a parallax of 3 sigma; NaN otherwise."""
    distance = np.full(len(prepared), np.nan)
    if {"parallax", "parallax_error"} <= set(prepared.colnames):
        parallax, error = _floats(prepared, "parallax"), _floats(prepared, "parallax_error")
        with np.errstate(invalid="ignore", divide="ignore"):
            distance = np.where(parallax > 3 * error, 1000.0 / parallax, np.nan)
    if "r_med_geo" in prepared.colnames:
        geometric = _floats(prepared, "r_med_geo")
        distance = np.where(np.isfinite(geometric), geometric, distance)
    return distance


def colour_relations_figure(prepared: Table, *, seed: int = 0) -> Figure:
    """Draw colour-colour and colour-magnitude relations, coloured by G and by the density of stars (Figure 2).

    With 2MASS the second colour is G - Ks, else G - y of Pan-STARRS1.

    Parameters
    ----------
    prepared : a prepared table.
    seed : of the thinning of large samples.
    """
    red = "tmass_ks" if np.isfinite(_floats(prepared, "tmass_ks")).sum() > 10 else "ps1_y"
    label = BANDS[BAND_INDEX[red]].label
    g = _floats(prepared, "gaia_g")
    colour = _floats(prepared, "gaia_bp") - _floats(prepared, "gaia_rp")
    second = g - _floats(prepared, red)
    distance = sample_distance_pc(prepared)
    with np.errstate(invalid="ignore", divide="ignore"):
        absolute = g - modulus_from_distance(distance)
    relations = [(colour, second, f"G $-$ {label} [mag]", False), (colour, absolute, "M$_G$ [mag]", True)]
    with style():
        figure = Figure(figsize=(8.0, 7.6))
        axes = figure.subplots(2, 2)
        for row, (x, y, y_label, inverted) in zip(axes, relations, strict=True):
            shown = np.flatnonzero(np.isfinite(x) & np.isfinite(y) & np.isfinite(g))
            if shown.size == 0:
                for ax in row:
                    ax.text(0.5, 0.5, "no star has these", ha="center", transform=ax.transAxes)
                continue
            some = np.random.default_rng(seed).permutation(shown)[:SHOWN_MAX]
            points = row[0].scatter(
                x[some], y[some], c=g[some], s=2, cmap="viridis", rasterized=True, linewidths=0
            )
            figure.colorbar(points, ax=row[0], label="G [mag]")
            box = _box(x[shown], y[shown])
            counts = row[1].hist2d(
                x[shown], y[shown], bins=160, range=box, cmap="magma_r", norm=LogNorm(), cmin=1
            )
            figure.colorbar(counts[3], ax=row[1], label="stars per cell")
            for ax in row:
                ax.set(
                    xlabel="BP $-$ RP [mag]",
                    ylabel=y_label,
                    xlim=box[0],
                    ylim=box[1][::-1] if inverted else box[1],
                )
    return figure


def ruwe_figure(prepared: Table, *, limit: float | None = 2.0, usual: float = 1.4) -> Figure:
    """Draw the distribution of RUWE with the cut that was made and the usual, stricter one (Figure 6).

    Parameters
    ----------
    prepared : a prepared table with the column ``ruwe``.
    limit : upper limit of the sample.
    usual : the limit of single-star studies.
    """
    ruwe = _floats(prepared, "ruwe")
    ruwe = ruwe[np.isfinite(ruwe)]
    with style():
        figure = Figure(figsize=(5.2, 3.6))
        axes = figure.subplots()
        if ruwe.size:
            top = max(limit or 0.0, 2.0)
            axes.hist(ruwe, bins=list(np.linspace(0.7, top, 120)), color=STARS)
            share = float((ruwe < usual).mean())
            axes.axvline(
                usual, color=INK, ls="--", lw=1, label=f"{usual:g}: {100 * share:.1f} % of stars below"
            )
        if limit is not None:
            axes.axvline(limit, color=MEAN, lw=1, label=f"cut at {limit:g}")
        axes.set(xlabel="RUWE", ylabel="stars", yscale="log")
        axes.set_ylim(top=30 * axes.get_ylim()[1])  # room for the legend
        axes.legend(loc="upper right")
    return figure


def _floats(table: Table, name: str) -> np.ndarray:
    """Return a column as float64, NaN where missing or absent."""
    if name not in table.colnames:
        return np.full(len(table), np.nan)
    return np.ma.filled(np.ma.asarray(table[name], dtype=float), np.nan)


def _box(x: np.ndarray, y: np.ndarray) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return limits that hold all but the outermost thousandth of points."""
    limits = []
    for values in (x, y):
        low, high = np.percentile(values, [0.1, 99.9])
        pad = 0.08 * (high - low) + 0.05
        limits.append((float(low - pad), float(high + pad)))
    return limits[0], limits[1]
