"""What the posteriors of a run say of the dust: the mean, and the mean in bins of distance."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from astropy.table import Table

from redflower.api.posteriors import ebv_prior_mag
from redflower.api.sightlines import sightline_rows
from redflower.api.statuses import usable_rows
from redflower.catalogue import read_table
from redflower.posterior.columns import DENSITY_COLUMNS, EBV_PRIOR_COLUMNS
from redflower.posterior.density import joint_density
from redflower.products.run import DRAWN_COLUMNS
from redflower.provenance import META_KEY
from redflower.sightline import binned_profile, mean_reddening

#: Of more stars than this the mean reddening is of so many of them at random. [-]
MEAN_OF: Final = 20_000
#: Stars of a bin of distance, and at most so many bins.
STARS_A_BIN, MAX_BINS = 25, 14


@dataclass(frozen=True)
class Dust:
    """What the posteriors say of the dust: the columns to show, the mean, and the mean in bins."""

    shown: Table
    mean: dict[str, Any]
    bins: Table
    distance_pc: list[float]


def dust_of(path: Path, seed: int) -> Dust:
    """Read the posteriors of a run, and take means with the reddening prior divided out."""
    shown = read_table(path, columns=[*DRAWN_COLUMNS, "bands", "engine", "p_fit"])
    rows = np.flatnonzero(usable_rows(shown))
    chosen = rows
    if len(rows) > MEAN_OF:
        chosen = np.sort(np.random.default_rng(seed).choice(rows, MEAN_OF, replace=False))
    held = read_table(path, columns=[*DENSITY_COLUMNS, *EBV_PRIOR_COLUMNS, "status", "flags"])[chosen]
    distance = np.asarray(shown["distance_mean"], dtype=float)
    quantiles = np.quantile(distance[rows], (0.16, 0.5, 0.84)).tolist() if len(rows) else [np.nan] * 3
    bins = Table(
        names=("distance_low", "distance_high", "n_stars", "ebv_mean", "ebv_error"),
        dtype=(float, float, int, float, float),
    )
    mean = {"ebv_mag": float("nan"), "ebv_error_mag": float("nan"), "n_stars": 0}
    if len(chosen):
        density, limits = joint_density(held), ebv_prior_mag(held)
        kept = sightline_rows(held, density)
        mean = vars(mean_reddening(density.rows(kept), limits)).copy()
        edges = bin_edges_pc(distance[chosen][kept])
        profile = binned_profile(density.rows(kept), limits, distance[chosen][kept], edges)
        for k, n in enumerate(profile.n_stars):
            if n:
                bins.add_row((edges[k], edges[k + 1], n, profile.ebv_mag[k], profile.ebv_error_mag[k]))
    for column, unit in (
        ("distance_low", "pc"),
        ("distance_high", "pc"),
        ("ebv_mean", "mag"),
        ("ebv_error", "mag"),
    ):
        bins[column].unit = unit
    bins.meta[META_KEY] = {"stage": "bins", "mean_of": int(len(chosen)), "of_usable": int(len(rows))}
    return Dust(shown, mean, bins, [float(v) for v in quantiles])


def bin_edges_pc(distance_pc: np.ndarray) -> np.ndarray:
    """Return edges of bins that hold about equally many stars, rounded to two digits. [pc]"""
    n_bins = int(np.clip(len(distance_pc) // STARS_A_BIN, 1, MAX_BINS))
    edges = (
        np.quantile(distance_pc, np.linspace(0.0, 1.0, n_bins + 1))
        if len(distance_pc)
        else np.array([1.0, 2.0])
    )
    step = 10.0 ** (np.floor(np.log10(np.maximum(edges, 1e-3))) - 1)
    rounded = np.round(edges / step) * step
    rounded[0], rounded[-1] = (
        np.floor(edges[0] / step[0]) * step[0],
        np.ceil(edges[-1] / step[-1]) * step[-1] + 1e-9,
    )
    edges = np.unique(rounded)
    return edges if len(edges) > 1 else np.array([edges[0], edges[0] + 1.0])
