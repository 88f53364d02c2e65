"""Reddening against distance."""

from collections.abc import Sequence

import numpy as np
from astropy.table import Table
from matplotlib.figure import Figure

from redflower.plot.style import INK, MEAN, STARS, TRUTH, style
from redflower.sightline import Profile


def reddening_distance_figure(
    posteriors: Table, profile: Profile, clouds: Sequence[tuple[float, float]] = ()
) -> Figure:
    """Draw posterior mean E(B-V) against distance, with the profile and, for a mock, its clouds.

    Parameters
    ----------
    posteriors : table of `redflower.infer`.
    profile : mean in bins of distance.
    clouds : (distance in pc, E(B-V) in mag) that were simulated.
    """
    with style():
        figure = Figure(figsize=(7.0, 4.2))
        axes = figure.subplots()
        good = np.asarray(posteriors["status"]).astype(str) == "ok"
        distance = np.asarray(posteriors["distance_mean"])
        for rows, alpha, label in ((good, 0.6, "stars"), (~good, 0.15, "stars with another status than ok")):
            axes.errorbar(
                distance[rows],
                np.asarray(posteriors["ebv_mean"])[rows],
                yerr=np.asarray(posteriors["ebv_std"])[rows],
                fmt="o", ms=2.5, lw=0.5, color=STARS, alpha=alpha, label=label, zorder=1,
            )  # fmt: skip
        centre = np.sqrt(profile.edges_pc[1:] * profile.edges_pc[:-1])
        axes.errorbar(
            centre, profile.ebv_mag, yerr=profile.ebv_error_mag,
            xerr=[centre - profile.edges_pc[:-1], profile.edges_pc[1:] - centre],
            fmt="s", ms=4, lw=1.4, color=MEAN, label="mean in bins of distance", zorder=3,
        )  # fmt: skip
        limits = (max(50.0, 0.8 * float(np.nanmin(distance))), 1.1 * float(np.nanmax(distance)))
        if clouds:
            ordered = sorted(clouds)
            edges = [limits[0], *(cloud[0] for cloud in ordered), limits[1]]
            levels = np.concatenate([[0.0], np.cumsum([cloud[1] for cloud in ordered])])
            axes.stairs(levels, edges, baseline=None, color=TRUTH, lw=2.0, label="simulated dust", zorder=2)
        axes.axhline(0.0, color=INK, lw=0.6)
        axes.set(
            xscale="log", xlim=limits, ylim=(-0.1, 0.5),
            xlabel="distance [pc]", ylabel="E(B$-$V), SFD scale [mag]",
        )  # fmt: skip
        ticks = [
            t for t in (50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000) if limits[0] < t < limits[1]
        ]
        axes.set_xticks(ticks, [f"{t:,}" for t in ticks])
        axes.set_xticks([], minor=True)
        axes.legend(loc="upper left", fontsize=8)
    return figure
