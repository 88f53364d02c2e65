"""The picture of a map of the sky."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from redflower.plot.style import style

#: At most so many distances are drawn.
_PANELS = 4


def sky_map_figure(sky: Any) -> Figure:
    """Draw mean E(B-V) out to some of a map's distances, one panel each, on one scale.

    Parameters
    ----------
    sky : a `redflower.products.skymap.SkyMap`.
    """
    held = np.flatnonzero(np.isfinite(sky.ebv_mag).any(axis=0))
    chosen = (
        held[np.unique(np.linspace(0, max(len(held) - 1, 0), _PANELS).round().astype(int))]
        if len(held)
        else np.array([0])
    )
    l_deg, b_deg = sky.centres_deg()
    middle = (
        float(np.degrees(np.arctan2(np.sin(np.radians(l_deg)).mean(), np.cos(np.radians(l_deg)).mean())))
        % 360.0
    )
    l_deg = (l_deg - middle + 180.0) % 360.0 - 180.0 + middle
    high = max(0.1, float(np.nanquantile(sky.ebv_mag, 0.98))) if np.isfinite(sky.ebv_mag).any() else 0.1
    low = min(0.0, float(np.nanquantile(sky.ebv_mag, 0.02))) if np.isfinite(sky.ebv_mag).any() else 0.0
    pixel_deg = np.degrees(np.sqrt(4.0 * np.pi / (12 * sky.nside**2)))
    width = (
        max(np.ptp(l_deg) * max(np.cos(np.radians(b_deg.mean())), 0.1), np.ptp(b_deg), pixel_deg)
        + 2 * pixel_deg
    )
    with style():
        figure = Figure(figsize=(2.9 * len(chosen) + 0.9, 3.3))
        panels = np.atleast_1d(figure.subplots(1, len(chosen), sharex=True, sharey=True))
        # A pixel's size in points: a panel is about 2.3 inches wide.
        size = float(np.clip(2.3 * 72.0 * pixel_deg / width, 1.5, 60.0)) ** 2
        for axes, k in zip(panels, chosen, strict=True):
            empty = ~np.isfinite(sky.ebv_mag[:, k])
            axes.scatter(l_deg[empty], b_deg[empty], c="#dddddd", s=size, marker="D", lw=0, rasterized=True)
            points = axes.scatter(
                l_deg[~empty], b_deg[~empty], c=sky.ebv_mag[~empty, k], s=size, marker="D", lw=0, cmap="viridis", vmin=low,
                vmax=high, rasterized=True,
            )  # fmt: skip
            axes.set(title=f"out to {sky.distance_pc[k]:,.0f} pc", xlabel="l [deg]")
        panels[0].set(ylabel="b [deg]", xlim=(l_deg.max() + pixel_deg, l_deg.min() - pixel_deg))
        figure.colorbar(points, ax=list(panels), label="mean E(B$-$V) [mag]")
    return figure
