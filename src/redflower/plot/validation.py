"""Figures of the validation experiment (Figures 10 to 15 of the paper), from what `redflower validate` saves."""

from typing import Any

import numpy as np
from astropy.table import Table
from matplotlib.figure import Figure
from scipy.stats import binom

from redflower.plot.style import INK, MEAN, SERIES, SMOOTH, STARS, TRUTH, style

RANDOM = "random"
_N_EXAMPLES = 5
_EXPECTED = (0.05, 0.11, 0.34, 0.34, 0.11, 0.05)
_PLACES = ("< 5 %", "5-16 %", "16-50 %", "50-84 %", "84-95 %", "> 95 %")


def posterior_examples_figure(rows: Table) -> Figure:
    """Draw posteriors of a few stars for every reddening, above their places in the diagram (Figures 10 and 13).

    Where the joint densities were kept, the marginal density of E(B-V) is drawn; else its median and its 68 % and 90 %
    intervals.
    """
    fixed = rows[np.asarray(rows["trial"]).astype(str) != RANDOM]
    steps = sorted(set(np.asarray(fixed["true_ebv"], dtype=float).tolist()))
    chosen = _examples(fixed, len(steps))
    with style():
        figure = Figure(figsize=(2.3 * _N_EXAMPLES, 4.6))
        panels = np.atleast_2d(figure.subplots(2, _N_EXAMPLES, sharey="row"))
        everyone = rows[np.asarray(rows["trial"]).astype(str) == "0"]
        for k, axes in enumerate(panels[0]):
            if k >= len(chosen):
                axes.set_axis_off()
                panels[1, k].set_axis_off()
                continue
            mine = fixed[np.asarray(fixed["source_id"]) == chosen[k]]
            mine.sort("true_ebv")
            for j, row in enumerate(mine):
                _posterior(axes, row, SERIES[j % len(SERIES)], j)
            axes.set(xlim=(-0.06, 0.52), xlabel="E(B$-$V) [mag]", yticks=[])
            lower = panels[1, k]
            lower.plot(
                np.asarray(everyone["bp_rp_0"]),
                np.asarray(everyone["m_g_0"]),
                ".",
                ms=1.5,
                color=STARS,
                alpha=0.4,
            )
            lower.plot(mine["bp_rp_0"][0], mine["m_g_0"][0], "o", ms=7, color=MEAN)
            lower.set(xlabel="BP $-$ RP [mag]")
        panels[0, 0].set_ylabel("posterior")
        panels[1, 0].set_ylabel("M$_G$ [mag]")
        panels[1, 0].invert_yaxis()
    return figure


def residual_figure(rows: Table) -> Figure:
    """Draw residuals against the injected reddening, and sigma over the diagram (Figures 11 and 14)."""
    usable = rows[np.asarray(rows["usable"]).astype(bool)]
    fixed = usable[np.asarray(usable["trial"]).astype(str) != RANDOM]
    with style():
        figure = Figure(figsize=(8.6, 3.4))
        left, middle, right = figure.subplots(1, 3, gridspec_kw={"width_ratios": [1.2, 1, 1]})
        truth = np.asarray(fixed["true_ebv"], dtype=float)
        residual = np.asarray(fixed["ebv_mean"], dtype=float) - truth
        rng = np.random.default_rng(0)
        left.plot(
            truth + rng.uniform(-0.02, 0.02, len(truth)),
            residual,
            ".",
            ms=2,
            alpha=0.25,
            color=STARS,
            zorder=1,
        )
        for step in sorted(set(truth.tolist())):
            here = residual[truth == step]
            if len(here):
                low, middle_value, high = np.quantile(here, [0.16, 0.5, 0.84])
                left.errorbar(
                    step,
                    middle_value,
                    yerr=[[middle_value - low], [high - middle_value]],
                    fmt="s",
                    ms=4,
                    color=MEAN,
                    zorder=3,
                )
        left.axhline(0.0, color=INK, lw=0.7)
        left.set(
            xlabel="synthetic E(B$-$V) [mag]", ylabel="posterior mean $-$ truth [mag]", ylim=(-0.25, 0.25)
        )
        _diagram(
            middle,
            fixed,
            np.asarray(fixed["ebv_std"], dtype=float),
            "mean $\\sigma$ [mag]",
            0.0,
            0.1,
            "viridis",
        )
        _diagram(right, fixed, residual, "mean residual [mag]", -0.05, 0.05, "RdBu_r")
        right.set_ylabel("")
    return figure


def residual_distance_figure(rows: Table) -> Figure:
    """Draw residuals against posterior mean distance, with error bars, for a subsample (Figures 12 and 15)."""
    usable = rows[np.asarray(rows["usable"]).astype(bool)]
    steps = sorted(
        set(np.asarray(usable["true_ebv"], dtype=float)[np.asarray(usable["trial"]).astype(str) != RANDOM])
    )
    with style():
        figure = Figure(figsize=(7.0, 1.5 + 1.1 * max(len(steps), 1)))
        panels = np.atleast_1d(figure.subplots(max(len(steps), 1), 1, sharex=True, sharey=True))
        for axes, step in zip(panels, steps, strict=False):
            part = usable[np.asarray(usable["trial"]).astype(str) == f"{step:g}"]
            part = part[np.linspace(0, len(part) - 1, min(len(part), 300)).astype(int)] if len(part) else part
            residual = np.asarray(part["ebv_mean"], dtype=float) - np.asarray(part["true_ebv"], dtype=float)
            axes.errorbar(
                np.asarray(part["distance_mean"], dtype=float), residual, yerr=np.asarray(part["ebv_std"], dtype=float),
                fmt="o", ms=2, lw=0.5, color=STARS, alpha=0.6,
            )  # fmt: skip
            axes.axhline(0.0, color=MEAN, lw=0.8)
            axes.text(0.99, 0.86, f"E(B$-$V) = {step:g}", transform=axes.transAxes, ha="right", fontsize=8)
            axes.set_ylim(-0.3, 0.3)
        panels[-1].set(xscale="log", xlabel="posterior mean distance [pc]")
        figure.supylabel("posterior mean $-$ truth [mag]", fontsize=10)
    return figure


def calibration_figure(numbers: dict[str, Any]) -> Figure:
    """Draw where the truth lies among the quantiles, and how far in units of sigma, for each number of bands."""
    bands = list(numbers["bands"])
    with style():
        figure = Figure(figsize=(8.6, 3.4))
        left, right = figure.subplots(1, 2)
        width = 0.8 / max(len(bands), 1)
        for k, n in enumerate(bands):
            together = numbers["bands"][n].get(RANDOM) or numbers["bands"][n].get("fixed steps together")
            place = np.arange(6) + (k - 0.5 * (len(bands) - 1)) * width
            left.bar(
                place,
                np.array(together["usable"]["intervals"]) / _EXPECTED,
                width,
                color=(MEAN, SMOOTH)[k % 2],
                label=f"{n} bands",
            )
            names = [t for t in numbers["bands"][n] if t.replace(".", "").isdigit()]
            at = np.array([float(t) for t in names])
            for what, marker in (("z_mean", "o-"), ("z_std", "s--")):
                values = [numbers["bands"][n][t]["usable"][what] for t in names]
                text = {"z_mean": "mean", "z_std": "standard deviation"}[what]
                right.plot(at, values, marker, ms=4, color=(MEAN, SMOOTH)[k % 2], label=f"{n} bands, {text}")
        left.axhline(1.0, color=INK, lw=0.7)
        for k, n in enumerate(bands):
            scored = numbers["bands"][n].get(RANDOM) or numbers["bands"][n].get("fixed steps together")
            place = np.arange(6) + (k - 0.5 * (len(bands) - 1)) * width
            _expected_range(left, place, width, scored["usable"]["n_used"], len(bands))
        left.set(xticks=range(6), ylabel="stars over expected", xlabel="posterior quantile of the truth")
        left.set_xticklabels(_PLACES, fontsize=6.5, rotation=20)
        left.legend(fontsize=8)
        for level in (0.0, 1.0):
            right.axhline(level, color=INK, lw=0.7, ls=":")
        right.set(xlabel="synthetic E(B$-$V) [mag]", ylabel="residual / $\\sigma$")
        right.legend(fontsize=7, handlelength=3.5)  # long enough for a dash to be one
    return figure


def _expected_range(axes: Any, place: np.ndarray, width: float, n_used: int, n_sets: int) -> None:
    """Mark within what all bars of a calibrated engine lie in 95 of 100 cases, over what is expected."""
    if n_used == 0:
        return
    tail = 0.025 / (len(_EXPECTED) * n_sets)  # so many bars are looked at
    for end in (tail, 1.0 - tail):
        limit = binom.ppf(end, n_used, _EXPECTED) / (n_used * np.array(_EXPECTED))
        axes.hlines(limit, place - width / 2, place + width / 2, color=INK, lw=1.0, ls=(0, (3, 1)))


def _examples(rows: Table, n_steps: int) -> list[int]:
    """Choose stars that have a posterior for every reddening, spread over the diagram in absolute magnitude."""
    fine = rows[np.isfinite(np.asarray(rows["ebv_mean"], dtype=float))]
    ids, counts = np.unique(np.asarray(fine["source_id"]), return_counts=True)
    complete = ids[counts == n_steps]
    first = fine[np.isin(np.asarray(fine["source_id"]), complete) & (np.asarray(fine["true_ebv"]) == 0.0)]
    if len(first) == 0:
        return []
    first.sort("m_g_0")
    place = np.linspace(0.08, 0.92, min(_N_EXAMPLES, len(first))) * (len(first) - 1)
    return [int(first["source_id"][int(p)]) for p in place]


def _posterior(axes: Any, row: Any, colour: str, level: int) -> None:
    truth = float(row["true_ebv"])
    if "density" in row.colnames and np.isfinite(row["density_ebv_start"]):
        steps = np.asarray(row["density"], dtype=float)
        value = np.where(steps == 255, 0.0, np.exp(-0.1 * steps)).sum(axis=0)
        nodes = row["density_ebv_start"] + row["density_ebv_step"] * np.arange(len(value))
        axes.plot(nodes, value / np.trapezoid(value, nodes), color=colour, lw=1.2)
        axes.axvline(truth, color=colour, lw=0.8, ls=":")
        return
    axes.plot([row["ebv_q05"], row["ebv_q95"]], [level, level], color=colour, lw=1.0)
    axes.plot([row["ebv_q16"], row["ebv_q84"]], [level, level], color=colour, lw=3.0)
    axes.plot(row["ebv_q50"], level, "o", ms=4, color=colour)
    axes.plot(truth, level, "|", ms=14, color=TRUTH, mew=2)


def _diagram(
    axes: Any, rows: Table, value: np.ndarray, label: str, low: float, high: float, cmap: str
) -> None:
    """Average a value in cells of the intrinsic colour-magnitude diagram."""
    hexes = axes.hexbin(
        np.asarray(rows["bp_rp_0"], dtype=float), np.asarray(rows["m_g_0"], dtype=float), C=value, gridsize=28,
        cmap=cmap, vmin=low, vmax=high, mincnt=2, lw=0,
    )  # fmt: skip
    axes.invert_yaxis()
    axes.set(xlabel="BP $-$ RP [mag]", ylabel="M$_G$ [mag]")
    axes.figure.colorbar(hexes, ax=axes, label=label)
