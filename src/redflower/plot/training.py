"""Figures of a training run: its curves, and the sample as the flow sees it."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from redflower.plot.style import INK, MEAN, STARS, style
from redflower.train import Diagnostics, Epoch

#: The colour scale of densities begins at this quantile, so that a few outliers do not wash it out.
_LOW_QUANTILE = 0.02


def training_curves_figure(history: Sequence[Epoch]) -> Figure:
    """Draw evidence of training and held-out stars against epoch; with a contrastive term, its density and lambda too."""
    contrast = any(epoch.contrast_strength > 0 for epoch in history)
    number = np.arange(1, len(history) + 1)
    with style():
        figure = Figure(figsize=(6.4, 6.0 if contrast else 3.6))
        rows = figure.subplots(2 if contrast else 1, 1, sharex=True, squeeze=False)[:, 0]
        series = {
            "held out": (np.array([e.validation_log_evidence for e in history]), MEAN),
            "training, while it was learnt from": (np.array([e.train_log_evidence for e in history]), STARS),
        }
        for label, (values, colour) in series.items():
            rows[0].plot(number, values, color=colour, label=label, marker="." if len(history) < 3 else "")
        everything = np.concatenate([values for values, _ in series.values()])
        low = np.quantile(everything, 0.1)
        top = everything.max()
        if len(history) > 5:  # the first epochs are far below the rest
            rows[0].set_ylim(low - 0.2 * (top - low) - 0.01, top + 0.1 * (top - low) + 0.01)
        rows[0].set_ylabel("ln evidence per star [nat]")
        rows[0].legend(loc="lower right")
        if contrast:
            rows[1].plot(
                number,
                [e.validation_log_contrast for e in history],
                color=MEAN,
                label="reddened copies, held out",
            )
            rows[1].set_ylabel("ln evidence per copy [nat]")
            rows[1].legend(loc="upper right")
            strength = rows[1].twinx()
            strength.plot(number, [e.contrast_strength for e in history], color=INK, lw=0.8, ls="--")
            strength.set_ylabel(r"$\lambda$ (dashed)")
            strength.spines["right"].set_visible(True)
        stages = [e.stage for e in history]
        for row in rows:
            for k in range(1, len(stages)):
                if stages[k] != stages[k - 1]:
                    row.axvline(k + 0.5, color=INK, lw=0.5, ls=":")
        rows[-1].set_xlabel("epoch (dotted: a new stage)" if len(set(stages)) > 1 else "epoch")
        rows[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def density_diagram_figure(diagnostics: Diagnostics) -> Figure:
    """Draw the sample's colour-magnitude diagram, coloured by the flow's density; after figure 4 of the paper."""
    with style():
        figure = Figure(figsize=(5.2, 5.6))
        axes = figure.subplots()
        shown = np.flatnonzero(np.isfinite(diagnostics.bp_rp_mag))
        low, high = _scale(diagnostics.log_density[shown])
        points = axes.scatter(
            diagnostics.bp_rp_mag[shown], diagnostics.m_g_mag[shown], c=diagnostics.log_density[shown],
            s=1.5, lw=0, cmap="viridis", rasterized=True, vmin=low, vmax=high,
        )  # fmt: skip
        axes.invert_yaxis()
        axes.set(xlabel="BP $-$ RP [mag]", ylabel="$M_G$ at the median distance [mag]")
        figure.colorbar(points, label="ln density per band of the flow [nat]", extend="min")
    return figure


def training_coverage_figure(diagnostics: Diagnostics) -> Figure:
    """Draw the number of training stars over (R, Z), outside which the flow must not be used; after figure 5 of the paper."""
    with style():
        figure = Figure(figsize=(5.6, 4.4))
        axes = figure.subplots()
        radius_kpc, height_kpc = (10.0**diagnostics.condition.T) / 1000.0
        r_low, r_high, z_low, z_high = (
            float(np.quantile(v, q)) for v in (radius_kpc, height_kpc) for q in (0.001, 0.999)
        )
        image = axes.hexbin(
            radius_kpc,
            height_kpc,
            gridsize=60,
            bins="log",
            mincnt=1,
            cmap="viridis",
            extent=(r_low, r_high, z_low, z_high),
            lw=0.1,
        )
        axes.set(xlabel="R [kpc]", ylabel="Z [kpc]")
        figure.colorbar(image, label="training stars")
    return figure


def sky_density_figure(diagnostics: Diagnostics) -> Figure:
    """Draw the flow's mean log density over the sky; after figure 9 of the paper. Structure hints at bad photometry."""
    with style():
        figure = Figure(figsize=(7.2, 3.8))
        axes = figure.add_subplot(projection="mollweide")
        longitude = -np.deg2rad((diagnostics.l_deg + 180.0) % 360.0 - 180.0)  # rising to the left
        image = axes.hexbin(
            longitude, np.deg2rad(diagnostics.b_deg), C=diagnostics.log_density, reduce_C_function=np.mean,
            gridsize=(60, 30), mincnt=1, cmap="viridis", lw=0.1,
        )  # fmt: skip
        image.set_clim(*_scale(np.asarray(image.get_array())))
        axes.set_xticks(np.deg2rad([-120, -60, 0, 60, 120]), ["120", "60", "0", "300", "240"])
        axes.tick_params(labelsize=8)
        axes.grid(lw=0.3)
        axes.set_xlabel("Galactic longitude and latitude [deg]")
        figure.colorbar(image, label="mean ln density per band [nat]", shrink=0.8)
    return figure


def training_ruwe_figure(diagnostics: Diagnostics) -> Figure:
    """Draw the distribution of RUWE in the sample; after figure 6 of the paper."""
    with style():
        figure = Figure(figsize=(5.2, 3.4))
        axes = figure.subplots()
        ruwe = diagnostics.ruwe[np.isfinite(diagnostics.ruwe)]
        if len(ruwe):
            axes.hist(ruwe, bins=66, range=(0.7, max(2.0, float(np.quantile(ruwe, 0.999)))), color=STARS)
            axes.axvline(1.4, color=MEAN, lw=1.0, label="1.4, the usual cut for single stars")
            axes.legend(loc="center right")
        else:
            axes.text(0.5, 0.5, "the table has no RUWE", ha="center", transform=axes.transAxes)
        axes.set(xlabel="RUWE", ylabel="stars")
    return figure


def _scale(values: np.ndarray) -> tuple[float, float]:
    """Return the ends of the colour scale."""
    return float(np.quantile(values, _LOW_QUANTILE)), float(np.max(values))
