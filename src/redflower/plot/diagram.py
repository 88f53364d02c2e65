"""Colour-magnitude diagrams."""

import numpy as np
from astropy.table import Table
from matplotlib.figure import Figure

from redflower.plot.style import style


def colour_magnitude_figure(prepared: Table, posteriors: Table) -> Figure:
    """Draw observed G against BP - RP of the stars, coloured by their posterior mean E(B-V).

    Parameters
    ----------
    prepared : the table that was inferred.
    posteriors : table of `redflower.infer`, row for row.
    """
    with style():
        figure = Figure(figsize=(4.6, 4.6))
        axes = figure.subplots()
        points = axes.scatter(
            np.asarray(prepared["gaia_bp"]) - np.asarray(prepared["gaia_rp"]),
            np.asarray(prepared["gaia_g"]),
            c=np.asarray(posteriors["ebv_mean"]),
            s=6, cmap="viridis", vmin=0.0, vmax=0.3,
        )  # fmt: skip
        axes.invert_yaxis()
        axes.set(xlabel="observed BP $-$ RP [mag]", ylabel="observed G [mag]")
        figure.colorbar(points, label="E(B$-$V), posterior mean [mag]")
    return figure
