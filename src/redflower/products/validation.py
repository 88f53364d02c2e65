"""The validation experiment's numbers and folder."""

from pathlib import Path
from typing import Any, Final

import numpy as np
from astropy.table import Table

from redflower.products.folder import write_folder
from redflower.provenance import META_KEY
from redflower.validate import score
from redflower.validate.synthetic import RANDOM

#: Section 5.1.2 of O'Callaghan et al. (2025), over E(B-V) of 0 to 0.4 mag: residual and mean sigma. [mag]
PAPER: Final = {8: {"residual": 0.006, "sigma": 0.044}, 11: {"residual": 0.002, "sigma": 0.038}}
#: Edges of the bins in which residuals are followed: distance [pc] and position in the colour-magnitude diagram [mag].
DISTANCE_EDGES_PC: Final = (0.0, 500.0, 1000.0, 1500.0, 2000.0, 3000.0, 5000.0, 1e6)
COLOUR_EDGES_MAG: Final = tuple(np.arange(0.2, 3.41, 0.2).round(2).tolist())
MAGNITUDE_EDGES_MAG: Final = tuple(np.arange(-1.0, 13.1, 1.0).tolist())
_MIN_IN_CELL: Final = 8
#: Table of a validation's folder.
TABLE: Final = "stars.parquet"


def summarise_trials(rows: Table) -> dict[str, Any]:
    """Compute all scores of the experiment, as plain numbers.

    Parameters
    ----------
    rows : of `redflower.validate`: a row per star, number of bands and reddening.
    """
    out: dict[str, Any] = {"paper": {str(n): values for n, values in PAPER.items()}, "bands": {}}
    bands, trial = np.asarray(rows["n_bands"]), np.asarray(rows["trial"]).astype(str)
    for n in sorted(set(bands.tolist())):
        entry: dict[str, Any] = {}
        for name in dict.fromkeys(trial[bands == n].tolist()):
            entry[name] = _both(rows[(bands == n) & (trial == name)])
        fixed = rows[(bands == n) & (trial != RANDOM)]
        if len(fixed):
            entry["fixed steps together"] = _both(fixed)
            entry["by distance"] = _by_distance(fixed)
            entry["diagram"] = _by_diagram(fixed)
        out["bands"][str(n)] = entry
    words, counts = np.unique(np.asarray(rows["status"]).astype(str), return_counts=True)
    out["status"] = {str(w): int(c) for w, c in zip(words, counts, strict=True)}
    out["provenance"] = rows.meta.get(META_KEY, {})
    return out


def write_validation(rows: Table, numbers: dict[str, Any], folder: Path) -> None:
    """Write the folder: ``summary.json``, ``stars.parquet``, figures and ``report.html``."""
    write_folder(folder, "validation", {"summary.json": numbers}, {TABLE: rows})


def _columns(rows: Table) -> dict[str, np.ndarray]:
    return {name: np.asarray(rows[name], dtype=float) for name in rows.colnames if name.startswith("ebv_")}


def _both(rows: Table) -> dict[str, Any]:
    """Score all stars with a posterior, and those that `redflower.usable_rows` keeps."""
    columns, truth = _columns(rows), np.asarray(rows["true_ebv"], dtype=float)
    everyone = np.ones(len(rows), dtype=bool)
    return {
        "all": score(columns, truth, everyone).as_dict(),
        "usable": score(columns, truth, np.asarray(rows["usable"]).astype(bool)).as_dict(),
    }


def _by_distance(rows: Table) -> list[dict[str, Any]]:
    columns, truth = _columns(rows), np.asarray(rows["true_ebv"], dtype=float)
    distance = np.asarray(rows["known_distance"], dtype=float)
    usable = np.asarray(rows["usable"]).astype(bool)
    out = []
    for low, high in zip(DISTANCE_EDGES_PC[:-1], DISTANCE_EDGES_PC[1:], strict=True):
        here = usable & (distance >= low) & (distance < high)
        if here.sum() >= _MIN_IN_CELL:
            out.append({"low_pc": low, "high_pc": high, **score(columns, truth, here).as_dict()})
    return out


def _by_diagram(rows: Table) -> list[dict[str, Any]]:
    """Score cells of the intrinsic colour-magnitude diagram that have enough stars."""
    columns, truth = _columns(rows), np.asarray(rows["true_ebv"], dtype=float)
    colour, magnitude = (np.asarray(rows[name], dtype=float) for name in ("bp_rp_0", "m_g_0"))
    usable = np.asarray(rows["usable"]).astype(bool)
    out = []
    for c_low, c_high in zip(COLOUR_EDGES_MAG[:-1], COLOUR_EDGES_MAG[1:], strict=True):
        for m_low, m_high in zip(MAGNITUDE_EDGES_MAG[:-1], MAGNITUDE_EDGES_MAG[1:], strict=True):
            here = (
                usable & (colour >= c_low) & (colour < c_high) & (magnitude >= m_low) & (magnitude < m_high)
            )
            if here.sum() >= _MIN_IN_CELL:
                scores = score(columns, truth, here)
                # The standard error of the mean residual, so that noise is not taken for bias. The residuals of one
                # star under several reddenings go together: it counts once.
                n_stars = len(np.unique(np.asarray(rows["source_id"])[here]))
                scatter = np.sqrt(max(scores.residual_rms**2 - scores.residual_mean**2, 0.0))
                error = scatter / np.sqrt(n_stars)
                out.append(
                    {
                        "bp_rp_mag": [c_low, c_high], "m_g_mag": [m_low, m_high], "n_different_stars": n_stars,
                        "residual_error": float(error), **scores.as_dict(),
                    }
                )  # fmt: skip
    return out
