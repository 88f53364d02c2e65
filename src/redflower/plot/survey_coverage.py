"""Where a sample's stars are in the Galaxy, and what its magnitude limits let through (the paper, Figures 5 and 7)."""

from collections.abc import Mapping, Sequence

import numpy as np
from astropy.table import Table
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from redflower.distances import galactic_place_pc, modulus_from_distance
from redflower.plot.style import MEAN, STARS, TRUTH, style
from redflower.plot.survey_sample import sample_distance_pc

#: Sightlines of the paper's section 5.2, l and b. [deg]
CLOUD_SIGHTLINES: Mapping[str, tuple[float, float]] = {
    "two-cloud": (104.08, 22.31),
    "one-cloud": (103.9, 21.97),
}


def coverage_figure(
    prepared: Table,
    *,
    sightlines: Mapping[str, tuple[float, float]] = CLOUD_SIGHTLINES,
    reach_pc: float = 3000.0,
) -> Figure:
    """Draw the number of stars in cells of R and Z, with sightlines to be inferred (Figure 5).

    Parameters
    ----------
    prepared : a prepared table.
    sightlines : name -> l and b. [deg]
    reach_pc : how far the sightlines are drawn. [pc]
    """
    distance = sample_distance_pc(prepared)
    good = np.isfinite(distance)
    l_deg, b_deg = (np.asarray(prepared[name], dtype=float)[good] for name in ("l", "b"))
    radius, height = galactic_place_pc(distance[good], l_deg, b_deg)
    with style():
        figure = Figure(figsize=(6.0, 4.4))
        axes = figure.subplots()
        if good.any():
            counts = axes.hist2d(
                radius / 1000,
                height / 1000,
                bins=120,
                range=((4, 12), (0, 5)),
                cmap="Blues",
                norm=LogNorm(),
                cmin=1,
            )
            figure.colorbar(counts[3], label="stars per cell")
        along = np.linspace(1.0, reach_pc, 200)
        for (name, (l0, b0)), colour in zip(sightlines.items(), (MEAN, TRUTH, "green", "k"), strict=False):
            r, z = galactic_place_pc(along, np.full(200, l0), np.full(200, b0))
            axes.plot(r / 1000, z / 1000, color=colour, lw=1.5, label=f"{name}, to {reach_pc / 1000:g} kpc")
        axes.set(xlabel="R [kpc]", ylabel="Z [kpc]")
        axes.legend(loc="upper left", fontsize=8)
    return figure


def malmquist_figure(
    prepared: Table,
    *,
    g_bright_mag: float | None,
    g_faint_mag: float | None,
    latitudes_deg: Sequence[float] = (30.0, 50.0, 80.0),
    width_deg: float = 2.0,
) -> Figure:
    """Draw absolute magnitude against height at three latitudes, between the limits in G (Figure 7).

    Parameters
    ----------
    prepared : a prepared table.
    g_bright_mag, g_faint_mag : limits of the sample. [mag]
    latitudes_deg : |b| of the panels. [deg]
    width_deg : stars within this of a panel's |b| are drawn. [deg]
    """
    distance = sample_distance_pc(prepared)
    with np.errstate(invalid="ignore", divide="ignore"):
        absolute = np.asarray(prepared["gaia_g"], dtype=float) - modulus_from_distance(distance)
    b_deg = np.asarray(prepared["b"], dtype=float)
    with style():
        figure = Figure(figsize=(10.0, 3.6))
        panels = figure.subplots(1, len(latitudes_deg), sharey=True)
        for axes, latitude in zip(np.atleast_1d(panels), latitudes_deg, strict=True):
            near = np.isfinite(absolute) & (np.abs(np.abs(b_deg) - latitude) < width_deg)
            _, height = galactic_place_pc(distance[near], np.zeros(near.sum()), b_deg[near])
            axes.scatter(height, absolute[near], s=4, alpha=0.5, linewidths=0, rasterized=True, color=STARS)
            along = np.linspace(20.0, 4000.0, 300)
            _, z = galactic_place_pc(along, np.zeros(300), np.full(300, latitude))
            for limit, name in ((g_bright_mag, "bright"), (g_faint_mag, "faint")):
                if limit is not None:
                    axes.plot(
                        z,
                        limit - modulus_from_distance(along),
                        color=MEAN,
                        lw=1.2,
                        label=f"{name}: G = {limit:g}",
                    )
            axes.set(
                xlabel="Z [pc]", title=f"|b| = {latitude:g} deg ({near.sum():,} stars)", xlim=(0, z.max())
            )
        first = np.atleast_1d(panels)[0]
        first.set(ylabel="M$_G$ [mag]", ylim=(16, -2))
        if first.get_legend_handles_labels()[0]:
            first.legend(fontsize=8, loc="upper right")
    return figure
