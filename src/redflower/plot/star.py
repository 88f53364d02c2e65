"""One star: its joint density of reddening and distance with quantiles, and its magnitudes beside what the model predicts."""

from typing import Any

import numpy as np
from astropy.table import Table
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from redflower.plot.style import INK, MEAN, SMOOTH, STARS, style
from redflower.quantiles import QUANTILES

#: Shares of the probability inside the contours.
SHARES = (0.68, 0.95)


def star_figure(
    row: Any,
    density: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None,
    magnitudes: Table | None = None,
) -> Figure:
    """Draw one star.

    Parameters
    ----------
    row : of a table of posteriors, by name.
    density : nodes of distance [pc] and of E(B-V) [mag], and the log density per distance modulus and E(B-V) on them; without
        it a cross of the quantiles is drawn.
    magnitudes : ``band observed error predicted predicted_error`` [mag]. If None, that panel is left out.
    """
    with style():
        figure = Figure(figsize=(9.6 if magnitudes is not None else 5.0, 4.4))
        panels = figure.subplots(1, 2 if magnitudes is not None else 1, squeeze=False)[0]
        _joint(panels[0], row, density)
        if magnitudes is not None:
            _magnitudes(panels[1], magnitudes)
        figure.suptitle(
            f"{row['source_id']}   {row['status']}   E(B$-$V) = {row['ebv_mean']:.3f} ± {row['ebv_std']:.3f} mag   "
            f"{row['distance_mean']:,.0f} ± {row['distance_std']:,.0f} pc", fontsize=9.5,
        )  # fmt: skip
    return figure


def contour_levels(log_density: np.ndarray, shares: tuple[float, ...] = SHARES) -> list[float]:
    """Return the levels of a density on equal cells above which the given shares of its mass lie, rising."""
    weight = np.exp(log_density - np.max(log_density)).ravel()
    ordered = np.sort(weight)[::-1]
    mass = np.cumsum(ordered) / ordered.sum()
    return sorted(
        float(ordered[min(int(np.searchsorted(mass, share)), len(ordered) - 1)]) for share in shares
    )


def _joint(axes: Axes, row: Any, density: tuple[np.ndarray, np.ndarray, np.ndarray] | None) -> None:
    """Draw the joint density with the quantiles of both."""
    if density is not None:
        distance_pc, ebv_mag, log_density = density
        value = np.exp(log_density - np.max(log_density))
        axes.contourf(distance_pc, ebv_mag, value.T, levels=12, cmap="Blues")
        levels = contour_levels(log_density)
        lines = axes.contour(distance_pc, ebv_mag, value.T, levels=levels, colors=[INK], linewidths=1.0)
        axes.clabel(
            lines,
            fmt={level: f"{share:.0%}" for level, share in zip(levels, SHARES[::-1], strict=True)},
            fontsize=8,
        )
    for k, label in enumerate(QUANTILES):
        middle = label == "q50"
        look: dict[str, Any] = (
            {"color": MEAN, "lw": 1.3} if middle else {"color": STARS, "lw": 0.7, "ls": "--"}
        )
        text = "median" if middle else "quantiles: 5, 16, 84, 95 %" if k == 0 else None
        axes.axvline(float(row[f"distance_{label}"]), label=text, **look)
        axes.axhline(float(row[f"ebv_{label}"]), **look)
    if density is None:
        spare = (
            float(row["distance_q95"]) - float(row["distance_q05"]),
            float(row["ebv_q95"]) - float(row["ebv_q05"]),
        )
        axes.set_xlim(
            float(row["distance_q05"]) - 0.3 * spare[0], float(row["distance_q95"]) + 0.3 * spare[0]
        )
        axes.set_ylim(float(row["ebv_q05"]) - 0.3 * spare[1], float(row["ebv_q95"]) + 0.3 * spare[1])
    axes.set(xlabel="distance [pc]", ylabel="E(B$-$V) [mag]")
    axes.legend(loc="upper right", fontsize=7.5)


def _magnitudes(axes: Axes, magnitudes: Table) -> None:
    """Draw observed less predicted magnitudes of the bands, each predicted from those before it."""
    place = np.arange(len(magnitudes))
    off = 1e3 * (np.asarray(magnitudes["observed"]) - np.asarray(magnitudes["predicted"]))
    expected = 1e3 * np.asarray(magnitudes["predicted_error"])
    axes.bar(
        place,
        2 * expected,
        bottom=-expected,
        width=0.7,
        color=SMOOTH,
        alpha=0.25,
        label="predicted, one sigma",
    )
    axes.errorbar(
        place,
        off,
        yerr=1e3 * np.asarray(magnitudes["error"]),
        fmt="o",
        ms=4.5,
        color=INK,
        capsize=2,
        label="observed, its error",
    )
    axes.axhline(0.0, color=INK, lw=0.6)
    labels = [
        f"{band}\n{mag:.2f}" for band, mag in zip(magnitudes["band"], magnitudes["observed"], strict=True)
    ]
    axes.set_xticks(place, labels, fontsize=8)
    axes.set(
        xlabel="band and observed magnitude", ylabel="observed $-$ predicted from the bands before [mmag]"
    )
    axes.legend(fontsize=7.5)
