"""Figures of inferred stars: reddening against distance, how it is distributed, on the sky, in the diagram.

All of them colour E(B-V) on one scale, which follows the stars that are shown.
"""

from typing import Final

import numpy as np
from astropy.table import Table
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from redflower.plot.style import INK, MEAN, STARS, style

#: More stars than this are drawn as a density: their error bars would hide each other.
MANY_STARS: Final = 400
#: A scale of reddening is at least as wide as this, so that noise is not made to look like dust. [mag]
_MIN_RANGE_MAG: Final = 0.1
_TICKS_PC: Final = tuple(k * 10**n for n in (1, 2, 3, 4) for k in (1, 2, 3, 4, 5, 6, 8))
_LABEL: Final = "E(B$-$V), posterior mean [mag]"


def reddening_range_mag(posteriors: Table) -> tuple[float, float]:
    """Return the limits of colour scales and axes: from 0 or below to nearly the reddest star. [mag]"""
    ebv = np.asarray(posteriors["ebv_mean"], dtype=float)
    ebv = ebv[np.isfinite(ebv)]
    low, high = np.quantile(ebv, (0.02, 0.98)) if len(ebv) else (0.0, 0.0)
    low = min(float(low), 0.0)
    return round(low, 3), round(max(float(high), low + _MIN_RANGE_MAG), 3)


def reddening_of_distance_figure(posteriors: Table, bins: Table | None = None) -> Figure:
    """Draw E(B-V) against distance: each star with its errors, or the density of many, and the mean in bins.

    Parameters
    ----------
    posteriors : rows to draw.
    bins : ``distance_low distance_high ebv_mean ebv_error n_stars`` with the prior of the stars divided out.
    """
    distance, ebv = (np.asarray(posteriors[name], dtype=float) for name in ("distance_mean", "ebv_mean"))
    fine = np.isfinite(distance) & np.isfinite(ebv) & (distance > 0)
    with style():
        figure = Figure(figsize=(7.2, 4.2))
        axes = figure.subplots()
        near, far = np.quantile(distance[fine], (0.003, 0.997)) if fine.any() else (100.0, 5000.0)
        low, high = _room(ebv[fine])
        near, far = 0.9 * float(near), 1.1 * float(far)
        if fine.sum() > MANY_STARS:
            drawn = axes.hexbin(
                distance[fine], ebv[fine], gridsize=(55, 32), xscale="log", mincnt=1, cmap="Blues", lw=0.1,
                norm=LogNorm(vmin=0.4), extent=(np.log10(near), np.log10(far), low, high), rasterized=True,
            )  # fmt: skip
            bar = figure.colorbar(drawn, label="stars per cell", pad=0.01, format="%d")
            bar.ax.yaxis.set_minor_formatter("")
        else:
            axes.errorbar(
                distance[fine], ebv[fine], yerr=np.asarray(posteriors["ebv_std"], dtype=float)[fine],
                xerr=np.asarray(posteriors["distance_std"], dtype=float)[fine],
                fmt="o", ms=3.0, lw=0.5, color=STARS, alpha=0.6, label="stars, posterior means",
            )  # fmt: skip
        if bins is not None and len(bins):
            x = np.sqrt(np.asarray(bins["distance_low"]) * np.asarray(bins["distance_high"]))
            axes.errorbar(
                x, bins["ebv_mean"], yerr=bins["ebv_error"], fmt="s-", ms=4.5, lw=1.4, color=MEAN, mec=INK, mew=0.5,
                zorder=5, label="mean of the stars in bins, prior divided out",
            )  # fmt: skip
        axes.axhline(0.0, color=INK, lw=0.6)
        log_distance_axis(axes, (near, far))
        axes.set(xlabel="distance [pc]", ylabel=_LABEL, ylim=(low, high))
        axes.legend(loc="upper left", fontsize=8) if axes.get_legend_handles_labels()[1] else None
    return figure


def reddening_histogram(posteriors: Table) -> Figure:
    """Draw how the posterior means of E(B-V) are distributed."""
    values = np.asarray(posteriors["ebv_mean"], dtype=float)
    values = values[np.isfinite(values)]
    low, high = _room(values)
    with style():
        figure = Figure(figsize=(4.6, 3.4))
        axes = figure.subplots()
        axes.hist(np.clip(values, low, high), bins=np.linspace(low, high, 41).tolist(), color=STARS)
        if len(values):
            median = float(np.median(values))
            axes.axvline(median, color=MEAN, lw=1.4, label=f"median {median:.3f} mag")
            axes.legend(fontsize=8)
        axes.set(xlabel=_LABEL, ylabel="stars", xlim=(low, high))
    return figure


def reddening_sky(posteriors: Table) -> Figure:
    """Draw the stars on the sky in Galactic coordinates, coloured by E(B-V)."""
    l_deg, b_deg, ebv = (np.asarray(posteriors[name], dtype=float) for name in ("l", "b", "ebv_mean"))
    fine = np.isfinite(l_deg) & np.isfinite(b_deg) & np.isfinite(ebv)
    l_deg, b_deg, ebv = l_deg[fine], b_deg[fine], ebv[fine]
    low, high = reddening_range_mag(posteriors)
    with style():
        figure = Figure(figsize=(4.6, 3.8))
        axes = figure.subplots()
        around = np.radians(l_deg)
        centre = (
            float(np.degrees(np.arctan2(np.sin(around).mean(), np.cos(around).mean()))) % 360.0
            if len(l_deg)
            else 0.0
        )
        l_deg = (l_deg - centre + 180.0) % 360.0 - 180.0 + centre
        points = axes.scatter(
            l_deg, b_deg, c=ebv, s=_size(len(ebv)), cmap="viridis", vmin=low, vmax=high, lw=0, rasterized=True
        )
        middle = np.cos(np.radians(np.median(b_deg))) if len(b_deg) else 1.0
        axes.set(xlabel="l [deg]", ylabel="b [deg]", aspect=1.0 / max(float(middle), 0.1))
        axes.invert_xaxis()
        figure.colorbar(points, label=_LABEL)
    return figure


def reddening_diagram(posteriors: Table) -> Figure:
    """Draw the observed colour-magnitude diagram, coloured by E(B-V).

    Parameters
    ----------
    posteriors : with ``gaia_g``, ``gaia_bp`` and ``gaia_rp`` beside.
    """
    g_mag, bp_mag, rp_mag, ebv = (
        np.asarray(posteriors[name], dtype=float) for name in ("gaia_g", "gaia_bp", "gaia_rp", "ebv_mean")
    )
    low, high = reddening_range_mag(posteriors)
    with style():
        figure = Figure(figsize=(4.6, 3.8))
        axes = figure.subplots()
        points = axes.scatter(
            bp_mag - rp_mag,
            g_mag,
            c=ebv,
            s=_size(len(ebv)),
            cmap="viridis",
            vmin=low,
            vmax=high,
            lw=0,
            rasterized=True,
        )
        axes.invert_yaxis()
        axes.set(xlabel="observed BP $-$ RP [mag]", ylabel="observed G [mag]")
        figure.colorbar(points, label=_LABEL)
    return figure


def log_distance_axis(axes: Axes, limits_pc: tuple[float, float]) -> None:
    """Make a logarithmic axis of distance with at least a few labels, however narrow it is."""
    axes.set(xscale="log", xlim=limits_pc)
    inside = [t for t in _TICKS_PC if limits_pc[0] <= t <= limits_pc[1]]
    few = [t for t in inside if str(t)[0] in "125"]
    ticks = few if len(few) >= 3 else inside
    axes.set_xticks(ticks, [f"{t:,}" for t in ticks], fontsize=8)
    axes.set_xticks([], minor=True)


def _room(ebv_mag: np.ndarray) -> tuple[float, float]:
    """Return limits that hold nearly all stars. [mag]"""
    if not len(ebv_mag):
        return -0.06, 0.3
    low, high = (float(v) for v in np.quantile(ebv_mag, (0.005, 0.995)))
    spare = 0.1 * max(high - low, _MIN_RANGE_MAG)
    return min(low - spare, -0.02), max(high + spare, _MIN_RANGE_MAG)


def _size(n_stars: int) -> float:
    return float(np.clip(9e3 / max(n_stars, 1), 1.5, 16.0))
