"""Figures of a sightline's dust, from the tables that `redflower sightline` saves."""

from typing import Any

import numpy as np
from astropy.table import Table
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from redflower.plot.posteriors import MANY_STARS
from redflower.plot.style import CLOUDS, INK, MEAN, SERIES, SMOOTH, STARS, TRUTH, style

_TICKS_PC = (50, 100, 200, 300, 500, 1000, 2000, 3000, 5000, 10_000, 20_000)
_FEW_TICKS_PC = (50, 100, 200, 500, 1000, 2000, 5000, 10_000)
#: More dots of a cloud would hide each other.
_N_DOTS = 500


def sightline_figure(
    stars: Table,
    profile: Table,
    bins: Table,
    clouds: Table,
    comparisons: Table,
    numbers: dict[str, Any],
    *,
    log: bool,
) -> Figure:
    """Draw reddening against distance: the stars, the counts per 500 pc, the fitted profile and the clouds.

    Parameters
    ----------
    stars, profile, bins, clouds, comparisons, numbers : what `redflower sightline` saved.
    log : distance on a logarithmic axis; else linear, with bins and counts as in Figures 17 and 18 of the paper.
    """
    with style():
        figure = Figure(figsize=(7.0, 4.2))
        axes = figure.subplots()
        used = np.asarray(stars["in_fit"]).astype(bool)
        distance, ebv = (np.asarray(stars[name], dtype=float) for name in ("distance_mean", "ebv_mean"))
        limits = _shown_pc(distance[used], np.asarray(profile["distance"], dtype=float))
        top = float(np.clip(np.quantile(ebv[used], 0.995) * 1.15, 0.15, 2.0)) if used.any() else 0.5
        if used.sum() > MANY_STARS:
            _density_of_stars(axes, distance[used], ebv[used], limits, top, log=log)
        else:
            axes.errorbar(
                distance[used], ebv[used], yerr=np.asarray(stars["ebv_std"])[used],
                xerr=np.asarray(stars["distance_std"])[used],
                fmt="o", ms=2.2, lw=0.35, color=STARS, alpha=_alpha(used.sum()), zorder=1, label="stars, posterior means",
            )  # fmt: skip
        nodes = np.asarray(profile["distance"], dtype=float)
        foreground = _zero_point_mag(numbers, nodes)
        # Tables of before have quantiles alone.
        shortest = "ebv_low68" in profile.colnames
        bands = (("low90", "high90"), ("low68", "high68")) if shortest else (("q05", "q95"), ("q16", "q84"))
        for (low, high), alpha in zip(bands, (0.18, 0.35), strict=True):
            axes.fill_between(
                nodes, foreground + np.asarray(profile[f"ebv_{low}"]), foreground + np.asarray(profile[f"ebv_{high}"]),
                color=MEAN, alpha=alpha, lw=0, zorder=3,
            )  # fmt: skip
        axes.plot(
            nodes, foreground + np.asarray(profile["ebv_q50"]), color=MEAN, lw=1.6, zorder=4,
            label="clouds: median, 68 % and 90 %",
        )  # fmt: skip
        axes.plot(
            nodes, foreground + np.asarray(profile["ebv_monotone_q50"]), color=SMOOTH, lw=1.2, ls="--", zorder=4,
            label="non-decreasing profile, median",
        )  # fmt: skip
        for k, row in enumerate(clouds):
            axes.axvspan(
                row["distance_pc_q16"], row["distance_pc_q84"], color=CLOUDS, alpha=0.25, lw=0, zorder=0
            )
            axes.axvline(
                row["distance_pc_q50"],
                color=CLOUDS,
                lw=1.0,
                zorder=2,
                label="cloud distance, 68 %" if k == 0 else None,
            )
        _compare(axes, comparisons)
        axes.axhline(0.0, color=INK, lw=0.6)
        axes.set(ylim=(-0.1, top), xlabel="distance [pc]", ylabel="E(B$-$V), SFD scale [mag]")
        if log:
            log_distance(axes, limits)
        else:
            axes.set_xlim(0.0, limits[1])
            _counts(axes, bins, limits[1], top)
        axes.legend(loc="upper left", fontsize=7.5)
    return figure


def _shown_pc(distance_pc: np.ndarray, nodes_pc: np.ndarray) -> tuple[float, float]:
    """Return limits of the axis: nearly all stars, and the first place where dust is looked for. [pc]"""
    near, far = np.quantile(distance_pc, (0.002, 0.995)) if len(distance_pc) else (50.0, 5000.0)
    return max(40.0, min(0.8 * float(near), 0.7 * float(nodes_pc[0]))), 1.1 * max(float(far), 500.0)


def _density_of_stars(
    axes: Axes,
    distance_pc: np.ndarray,
    ebv_mag: np.ndarray,
    limits_pc: tuple[float, float],
    top_mag: float,
    *,
    log: bool,
) -> None:
    """Draw how many stars there are where, in grey: their error bars would hide each other and the curves."""
    near, far = limits_pc if log else (0.0, limits_pc[1])
    across = (np.log10(near), np.log10(far)) if log else (near, far)
    axes.hexbin(
        distance_pc, ebv_mag, gridsize=(60, 30), xscale="log" if log else "linear", mincnt=1, cmap="Greys", lw=0.1,
        norm=LogNorm(vmin=0.3), extent=(*across, -0.1, top_mag), rasterized=True, zorder=0.5,
    )  # fmt: skip
    axes.plot([], [], "h", color="#999999", ms=6, label="stars, posterior means: darker where more")


def _zero_point_mag(numbers: dict[str, Any], distance_pc: np.ndarray) -> np.ndarray:
    """Return foreground and zero point at given distances: in the stars' reddening, but not in the profile. [mag]"""
    near_pc, far_pc = numbers["searched_pc"]
    behind_mag = 5.0 * np.log10(np.clip(distance_pc, near_pc, far_pc) / near_pc)
    return numbers["foreground_mag"] + numbers["drift_mag_per_mag"] * behind_mag


def cloud_posterior_figure(draws: Table, numbers: dict[str, Any]) -> Figure:
    """Show the draws of distance and E(B-V) of every cloud, for the most probable number and the next more."""
    best = int(numbers["most_probable_number"])
    shown = [n for n in (best, best + 1) if 0 < n <= max(map(int, numbers["probability"]))]
    with style():
        figure = Figure(figsize=(3.5 * max(len(shown), 1), 3.4))
        panels = np.atleast_1d(figure.subplots(1, max(len(shown), 1), sharey=True))
        count, cloud = np.asarray(draws["n_clouds"]), np.asarray(draws["cloud"])
        for axes, n in zip(panels, shown, strict=False):
            for k in range(1, n + 1):
                rows = np.flatnonzero((count == n) & (cloud == k))
                rows = rows[:: max(1, len(rows) // _N_DOTS)]
                axes.plot(
                    np.asarray(draws["distance"])[rows], np.asarray(draws["ebv"])[rows], ".", ms=2.0, alpha=0.4,
                    color=SERIES[(k - 1) % len(SERIES)], label=f"cloud {k}",
                )  # fmt: skip
            share = numbers["probability"][str(n)]
            axes.set(
                title=f"{n} cloud{'s' if n > 1 else ''}, probability {share:.2g}", xlabel="distance [pc]"
            )
            log_distance(axes, tuple(numbers["searched_pc"]), _FEW_TICKS_PC)
            axes.legend(loc="upper right", fontsize=7.5, markerscale=4)
        panels[0].set(ylabel="E(B$-$V) of the cloud [mag]")
        panels[0].set_ylim(bottom=0.0)
        if not shown:
            panels[0].text(0.5, 0.5, "no cloud was fitted", transform=panels[0].transAxes, ha="center")
    return figure


def odds_figure(numbers: dict[str, Any]) -> Figure:
    """Draw the probability of each number of clouds."""
    with style():
        figure = Figure(figsize=(3.6, 2.8))
        axes = figure.subplots()
        number = [int(n) for n in numbers["probability"]]
        value = list(numbers["probability"].values())
        bars = axes.bar(number, value, color=MEAN, width=0.7)
        axes.bar_label(bars, [f"{v:.2g}" if v >= 0.0005 else "< 0.0005" for v in value], fontsize=8)
        axes.set(xlabel="number of clouds", ylabel="probability", ylim=(0, 1.12), xticks=number)
    return figure


def reddening_histogram_figure(stars: Table) -> Figure:
    """Draw the distribution of the stars' posterior means, as Figure 16 of the paper."""
    with style():
        figure = Figure(figsize=(3.6, 2.8))
        axes = figure.subplots()
        used = np.asarray(stars["in_fit"]).astype(bool)
        values = np.asarray(stars["ebv_mean"], dtype=float)[used]
        axes.hist(values[np.isfinite(values)], bins=np.arange(-0.06, 0.52, 0.02).tolist(), color=STARS)
        axes.set(xlabel="posterior mean E(B$-$V) [mag]", ylabel="stars", xlim=(-0.06, 0.5))
    return figure


def star_sky_figure(stars: Table) -> Figure:
    """Draw the stars on the sky, coloured by their posterior mean reddening."""
    with style():
        figure = Figure(figsize=(4.4, 3.6))
        axes = figure.subplots()
        used = np.asarray(stars["in_fit"]).astype(bool)
        l_deg, b_deg = (np.asarray(stars[name], dtype=float)[used] for name in ("l", "b"))
        centre = float(np.median(l_deg)) if len(l_deg) else 0.0
        l_deg = (l_deg - centre + 180.0) % 360.0 - 180.0 + centre
        colour = np.asarray(stars["ebv_mean"], dtype=float)[used]
        top = max(0.1, float(np.nanquantile(colour, 0.95))) if len(colour) else 0.3
        points = axes.scatter(l_deg, b_deg, c=colour, s=9, cmap="viridis", vmin=0.0, vmax=top, lw=0)
        axes.set(xlabel="l [deg]", ylabel="b [deg]")
        axes.set_aspect(1.0 / max(np.cos(np.radians(np.median(b_deg))) if len(b_deg) else 1.0, 0.1))
        axes.invert_xaxis()
        figure.colorbar(points, label="E(B$-$V), posterior mean [mag]")
    return figure


def _compare(axes: Axes, comparisons: Table) -> None:
    """Draw reddening from elsewhere: profiles as lines with their errors, stars as crosses, a map's column as a level."""
    names = dict.fromkeys(np.asarray(comparisons["name"]).astype(str).tolist())
    for k, name in enumerate(names):
        colour = SERIES[(3 + k) % len(SERIES)]
        part = comparisons[np.asarray(comparisons["name"]).astype(str) == name]
        distance, ebv = (np.asarray(part[c], dtype=float) for c in ("distance", "ebv"))
        if part["kind"][0] == "map":
            axes.axhline(ebv[0], color=colour, lw=1.0, ls="-.", label=f"{name}, whole column", zorder=2)
        elif part["kind"][0] == "stars":
            axes.plot(distance, ebv, "x", ms=3, mew=0.8, color=colour, alpha=0.7, label=name, zorder=2)
        else:
            order = np.argsort(distance)
            axes.plot(distance[order], ebv[order], color=colour, lw=1.2, ls="-.", label=name, zorder=4)
            error = np.nan_to_num(np.asarray(part["ebv_error"], dtype=float)[order])
            low, high = ebv[order] - error, ebv[order] + error
            axes.fill_between(distance[order], low, high, color=colour, alpha=0.15, lw=0, zorder=2)


def _alpha(n: float) -> float:
    return float(np.clip(60.0 / max(n, 1.0), 0.12, 0.6))


def log_distance(axes: Axes, limits: tuple[float, float], ticks_pc: tuple[int, ...] = _TICKS_PC) -> None:
    """Make the axis across one of the logarithm of distance, with ticks at round numbers. [pc]"""
    axes.set(xscale="log", xlim=limits)
    ticks = [t for t in ticks_pc if limits[0] <= t <= limits[1]]
    axes.set_xticks(ticks, [f"{t:,}" for t in ticks], fontsize=8)
    axes.set_xticks([], minor=True)


def _counts(axes: Axes, bins: Table, far: float, top: float) -> None:
    """Return the edges, counts and means of the bins of distance."""
    for row in bins:
        low, high = float(row["distance_low"]), float(row["distance_high"])
        if high > far:
            break
        axes.axvline(high, color=INK, lw=0.4, ls=":", zorder=0)
        axes.text(
            0.5 * (low + high), -0.085, f"N={int(row['n_stars'])}", ha="center", fontsize=6.5, color=MEAN
        )
        if np.isfinite(row["ebv_mean"]):
            axes.errorbar(
                0.5 * (low + high), row["ebv_mean"], yerr=row["ebv_error"], fmt="s", ms=4, color=TRUTH,
                mec=INK, mew=0.5, zorder=5, label="mean of the stars in the bin" if low == 0 else None,
            )  # fmt: skip
