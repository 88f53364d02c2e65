"""The tables and the summary of a sightline."""

from typing import Any, Final

import numpy as np
from astropy.table import Column, Table

from redflower.distances import distance_from_modulus
from redflower.posterior.density import JointDensity
from redflower.products.cone import sky_cone
from redflower.quantiles import QUANTILES, percent, summary_columns
from redflower.sightline import SightlineFit, binned_profile, cloud_summary
from redflower.sightline.result import INTERVALS, percent_of, thinned

#: Clouds of at least these E(B-V) are counted apart from weaker ones, which few stars can exclude. [mag]
COUNTED_FROM_MAG: Final = (0.01, 0.02, 0.05)
BIN_PC: Final = 500.0
_POLARISATION: Final = [
    ("q", None, "mean Stokes q over intensity that the cloud adds to stars behind it"),
    ("u", None, "the same of u"),
    ("p", None, "degree of that polarisation"),
    ("angle_deg", "deg", "its angle, half that of (q, u)"),
    ("p_scatter", None, "scatter of (q, u) from star to star, the root of the sum of both variances"),
]
_N_NODES: Final = 121
#: Of each number of clouds. Neighbours weight them anew, which leaves few of them.
_N_SAVED_DRAWS: Final = 2000
#: What the columns of the profile's shortest intervals hold.
_INTERVAL_ENDS: Final = {
    f"{side}{percent_of(share)}": f"{end} end of the shortest interval that holds {percent_of(share)} %"
    for share in INTERVALS
    for side, end in (("low", "lower"), ("high", "upper"))
}


def summary_of_fit(fit: SightlineFit, stars: Table, provenance: dict[str, Any]) -> dict[str, Any]:
    best = fit.best
    more = [float(m.probability) for m in fit.models]
    (l_deg, b_deg), _ = sky_cone(stars)
    return {
        "n_stars": fit.n_stars,
        "n_stars_given": len(stars),
        "l_deg": l_deg,
        "b_deg": b_deg,
        "most_probable_number": best.n_clouds,
        "probability": {str(m.n_clouds): float(m.probability) for m in fit.models},
        "at_least": {str(k): float(sum(more[k:])) for k in range(1, len(more))},
        "probability_of_clouds_above_mag": {
            f"{ebv:g}": fit.probability_of_clouds_above(ebv) for ebv in COUNTED_FROM_MAG
        },
        "further_cloud_below_mag": (
            fit.limit_on_further_mag(best.n_clouds) if best.n_clouds < fit.models[-1].n_clouds else None
        ),
        "log_evidence": {str(m.n_clouds): float(m.log_evidence) for m in fit.models},
        "log_evidence_error": {str(m.n_clouds): float(m.log_evidence_error) for m in fit.models},
        "log_evidence_non_decreasing_profile": (
            float(fit.monotone_log_evidence) if np.isfinite(fit.monotone_log_evidence) else None
        ),
        "foreground_mag": float(np.mean(best.draws.foreground_mag)),
        "foreground_mag_std": float(np.std(best.draws.foreground_mag)),
        "drift_mag_per_mag": float(np.mean(best.draws.drift)),
        "drift_mag_per_mag_std": float(np.std(best.draws.drift)),
        "scatter_mag": float(np.mean(best.draws.scatter_mag)),
        "outlier_share": float(np.mean(best.draws.outlier_share)),
        "outlier_share_std": float(np.std(best.draws.outlier_share)),
        "clouds": {str(m.n_clouds): cloud_summary(m) for m in fit.models if m.n_clouds},
        "searched_pc": [float(d) for d in fit.prior.distance_pc],
        "provenance": provenance,
    }


def cloud_table(fit: SightlineFit) -> Table:
    """Tabulate the clouds of the most probable number of clouds."""
    rows = cloud_summary(fit.best)
    table = Table()
    table["cloud"] = Column(np.arange(1, len(rows) + 1), description="in the order of distance")
    columns = [
        ("distance_pc", "pc", "distance"),
        ("ebv_mag", "mag", "mean E(B-V), SFD scale"),
        ("patchiness", None, "relative scatter of E(B-V) from star to star"),
    ]
    if fit.best.draws.polarisation is not None:
        columns += _POLARISATION
    for name, unit, text in columns:
        for suffix, what in summary_columns().items():
            values = np.array([row[name + suffix] for row in rows], dtype=float)
            table[name + suffix] = Column(values, unit=unit, description=f"{text}, {what}")
    return table


def profile_table(fit: SightlineFit, stars: Table) -> Table:
    near, far = fit.prior.distance_pc
    nodes = np.geomspace(near, far, _N_NODES)
    table = Table()
    table["distance"] = Column(nodes, unit="pc", description="distance")
    for prefix, band, text in (
        (
            "ebv",
            fit.profile(nodes),
            "cumulative E(B-V) behind the foreground, averaged over the numbers of clouds",
        ),
        ("ebv_monotone", fit.monotone_profile(nodes), "the same, non-decreasing profile without clouds"),
    ):
        for label, values in band.items():
            what = {"mean": "mean", "std": "standard deviation", **_INTERVAL_ENDS}.get(label)
            what = what or f"{percent(QUANTILES[label])} quantile"
            table[f"{prefix}_{label}"] = Column(values, unit="mag", description=f"{text}, {what}")
    return table


def bin_table(stars: Table, density: JointDensity, ebv_range_mag: tuple[float, float]) -> Table:
    """Average stars in bins of posterior mean distance, as in Figures 17 and 18 of the paper.

    Parameters
    ----------
    stars : with ``distance_mean``, ``ebv_mean`` and ``in_fit``.
    density, ebv_range_mag : of the same stars, and the limits of their reddening prior. [mag]
    """
    distance = np.asarray(stars["distance_mean"], dtype=float)
    ebv = np.asarray(stars["ebv_mean"], dtype=float)
    fine = np.asarray(stars["in_fit"]) & np.isfinite(distance) & np.isfinite(ebv)
    top = BIN_PC * max(1.0, np.ceil(np.quantile(distance[fine], 0.99) / BIN_PC))
    edges = np.arange(0.0, top + BIN_PC / 2, BIN_PC)
    profile = binned_profile(density.rows(fine), ebv_range_mag, distance[fine], edges)
    which = np.where(fine, np.digitize(distance, edges) - 1, -1)
    plain = np.array(
        [ebv[which == k].mean() if (which == k).any() else np.nan for k in range(len(edges) - 1)]
    )
    table = Table()
    table["distance_low"] = Column(edges[:-1], unit="pc", description="lower edge, posterior mean distance")
    table["distance_high"] = Column(edges[1:], unit="pc", description="upper edge")
    table["n_stars"] = Column(profile.n_stars, description="stars of the fit in the bin")
    table["ebv_mean"] = Column(
        profile.ebv_mag, unit="mag", description="mean E(B-V) of the stars, their reddening prior divided out"
    )
    table["ebv_error"] = Column(profile.ebv_error_mag, unit="mag", description="standard error of that mean")
    table["ebv_mean_of_means"] = Column(
        plain,
        unit="mag",
        description="mean of the stars' posterior means, which the prior draws inward: some 0.01 mag too red without dust",
    )
    return table


def draw_table(fit: SightlineFit) -> Table:
    """Tabulate the draws of every cloud of every number of clouds."""
    parts: dict[str, list[np.ndarray]] = {k: [] for k in ("n_clouds", "cloud", "draw", "distance", "ebv")}
    for model in fit.models:
        draws = thinned(model.draws, _N_SAVED_DRAWS)
        n_draws = len(draws.foreground_mag)
        for k in range(model.n_clouds):
            parts["n_clouds"].append(np.full(n_draws, model.n_clouds))
            parts["cloud"].append(np.full(n_draws, k + 1))
            parts["draw"].append(np.arange(n_draws))
            parts["distance"].append(distance_from_modulus(draws.modulus_mag[:, k]))
            parts["ebv"].append(draws.ebv_mag[:, k])
    units = {"distance": "pc", "ebv": "mag"}
    table = Table()
    for name, arrays in parts.items():
        table[name] = Column(np.concatenate(arrays) if arrays else np.zeros(0), unit=units.get(name))
    return table
