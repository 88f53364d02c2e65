"""The dust of a cone from a table of posteriors: the fit, its tables and its folder."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from astropy.table import Column, Table

from redflower.constants import EBV_MAX_MAG, EBV_MIN_MAG
from redflower.errors import InputError
from redflower.posterior import Flag, Status
from redflower.posterior.density import JointDensity
from redflower.products.compare import join
from redflower.products.folder import write_folder
from redflower.provenance import META_KEY, VERSION
from redflower.sightline import (
    DustPrior,
    SightlineFit,
    TemperingSettings,
    cloud_summary,
    fit_sightline,
    flat_distance_log_weight,
    usable_densities,
)
from redflower.sightline.fit import thinned

DENSITY_COLUMNS: Final = (
    "density_ebv_start", "density_ebv_step", "density_modulus_start", "density_modulus_step", "density",
)  # fmt: skip
PRIOR_COLUMNS: Final = ("prior_log_length", "prior_alpha", "prior_beta")
#: Statuses whose densities are what the model says. At an edge of the reddening prior a density is cut off, which the
#: fit knows; leaving such stars out would bias it.
_STATUSES: Final = (Status.OK.value, Status.EDGE_OF_PRIOR.value)
_PASSED_ON: Final = (
    "source_id", "l", "b", "ebv_mean", "ebv_std", "distance_mean", "distance_std", "ebv_distance_corr", "status", "flags",
)  # fmt: skip
#: Clouds of at least these E(B-V) are counted apart from weaker ones, which few stars can exclude. [mag]
COUNTED_FROM_MAG: Final = (0.01, 0.02, 0.05)
BIN_PC: Final = 500.0
_N_NODES: Final = 121
_N_SAVED_DRAWS: Final = 500
_QUANTILES: Final = {"q05": "5 %", "q16": "16 %", "q50": "50 %", "q84": "84 %", "q95": "95 %"}


@dataclass(frozen=True)
class SightlineResult:
    """A sightline's dust.

    Attributes
    ----------
    fit : the fit itself, with draws of every model.
    clouds : a row per cloud of the most probable number of clouds.
    profile : cumulative E(B-V) against distance, averaged over the numbers of clouds, with bands; and that of the
        non-decreasing profile without clouds.
    bins : stars and their mean E(B-V) in bins of 500 pc of posterior mean distance: a description, not the fit.
    stars : the posteriors without their densities, and whether each star entered the fit.
    summary : odds and all clouds of all numbers, as plain numbers.
    draws : draws of distance and E(B-V) of every cloud of every number of clouds.
    comparisons : reddening from elsewhere; empty without any.
    """

    fit: SightlineFit
    clouds: Table
    profile: Table
    bins: Table
    stars: Table
    draws: Table
    comparisons: Table
    summary: dict[str, Any]


def joint_density(posteriors: Table) -> JointDensity:
    """The joint densities in a table of `redflower.infer` with densities.

    Raises
    ------
    InputError
        If the table has none.
    """
    missing = [name for name in DENSITY_COLUMNS if name not in posteriors.colnames]
    if missing:
        raise InputError(
            f"a sightline needs the joint densities of its stars; the table lacks {', '.join(missing)}. "
            "Infer again with `redflower infer --density` and keep the table in .parquet or .fits."
        )
    arrays = [
        np.ma.filled(np.ma.asarray(posteriors[name]).astype(float), np.nan) for name in DENSITY_COLUMNS[:4]
    ]
    steps = np.asarray(posteriors["density"])
    if steps.ndim != 3:
        raise InputError(
            f"the column density must hold a two-dimensional array per star; it has shape {steps.shape}."
        )
    start_ebv, step_ebv, start_modulus, step_modulus = arrays
    return JointDensity(start_ebv, step_ebv, start_modulus, step_modulus, steps.astype(np.uint8))


def sightline_rows(posteriors: Table) -> np.ndarray:
    """Which stars enter the fit: a usable density, status ``ok`` or ``edge_of_prior``, and not unlike all training stars.

    No star is chosen by its posterior mean: the fit takes the density as it is, cut off by its prior or not.
    """
    words = np.asarray(posteriors["status"]).astype(str)
    unlike_all = (np.asarray(posteriors["flags"]) & int(Flag.LOW_FLOW_PROBABILITY)) != 0
    return usable_densities(joint_density(posteriors)) & np.isin(words, _STATUSES) & ~unlike_all


def fit_posteriors(
    posteriors: Table,
    *,
    max_clouds: int = 4,
    prior: DustPrior | None = None,
    flat_distances: bool = False,
    settings: TemperingSettings | None = None,
    seed: int = 0,
    comparisons: Sequence[Table] = (),
    prepared: Table | None = None,
    progress: Callable[[int], None] | None = None,
) -> SightlineResult:
    """The dust along the line of sight of a table of posteriors: the number of clouds with odds, and each of them.

    Parameters
    ----------
    posteriors : of the stars of one cone, from `redflower.infer` with densities.
    max_clouds : the largest number of clouds to compare.
    prior : of the dust; see `redflower.sightline.DustPrior`.
    flat_distances : divide each star's own distance prior out, so that all distances are equally likely per distance
        modulus; without it that prior counts once.
    settings : effort of the sampler.
    seed : of the random numbers.
    comparisons : reddening from elsewhere, to be drawn and tabulated beside; see
        `redflower.products.compare.read_comparison`.
    prepared : the table that was inferred, for the colour-magnitude diagram.
    progress : called with the number of models done, of ``max_clouds + 2``.

    Raises
    ------
    InputError
        If the table has no densities, or too few stars with one.
    """
    density = joint_density(posteriors)
    rows = sightline_rows(posteriors)
    used = JointDensity(*(getattr(density, name)[rows] for name in density.__dataclass_fields__))
    log_weight = None
    if flat_distances:
        lacking = [name for name in PRIOR_COLUMNS if name not in posteriors.colnames]
        if lacking:
            raise InputError(
                f"to divide the distance prior out the table needs the columns {', '.join(lacking)}."
            )
        log_weight = flat_distance_log_weight(
            used, *(np.asarray(posteriors[name], dtype=float)[rows] for name in PRIOR_COLUMNS)
        )
    meta = posteriors.meta.get(META_KEY, {})
    ebv_range = tuple(meta.get("ebv_prior_mag", (EBV_MIN_MAG, EBV_MAX_MAG)))
    fit = fit_sightline(
        used,
        (float(ebv_range[0]), float(ebv_range[1])),
        np.random.default_rng(seed),
        max_clouds=max_clouds,
        prior=prior,
        settings=settings,
        log_weight=log_weight,
        progress=progress,
    )
    stars = Table()
    for name in _PASSED_ON:
        if name in posteriors.colnames:
            stars[name] = posteriors[name]
    for name in posteriors.colnames:
        if name.startswith("true_"):
            stars[name] = posteriors[name]
    if prepared is not None:
        _add_photometry(stars, prepared)
    stars["in_fit"] = Column(rows, description="whether the star entered the fit")
    provenance = {
        "stage": "sightline",
        "redflower": VERSION,
        "seed": seed,
        "max_clouds": max_clouds,
        "flat_distances": flat_distances,
        "prior": vars(fit.prior).copy(),
        "input": meta,
    }
    summary = _summary(fit, stars, provenance)
    tables = {
        "clouds": _cloud_table(fit),
        "profile": _profile_table(fit, stars),
        "bins": _bin_table(stars),
        "stars": stars,
        "draws": _draw_table(fit),
        "comparisons": join(comparisons),
    }
    for table in tables.values():
        table.meta[META_KEY] = provenance
    tables["clouds"].meta["probability_of_number_of_clouds"] = summary["probability"]
    return SightlineResult(fit, summary=summary, **tables)


def write_sightline(result: SightlineResult, folder: Path) -> None:
    """Write a sightline's folder: tables, ``clouds.json``, figures and ``report.html``.

    Raises
    ------
    InputError
        If the folder is a file, or holds something else.
    """
    write_folder(
        folder,
        "sightline",
        {"clouds.json": result.summary},
        {
            "clouds.ecsv": result.clouds,
            "profile.ecsv": result.profile,
            "bins.ecsv": result.bins,
            "stars.parquet": result.stars,
            "draws.parquet": result.draws,
            "comparisons.ecsv": result.comparisons,
        },
    )


def _add_photometry(stars: Table, prepared: Table) -> None:
    """G, BP and RP of the stars, found by their identifiers; NaN where they are missing."""
    ids = np.asarray(prepared["source_id"])
    order = np.argsort(ids)
    wanted = np.asarray(stars["source_id"])
    row = order[np.minimum(np.searchsorted(ids[order], wanted), len(ids) - 1)]
    same = ids[row] == wanted
    for name in ("gaia_g", "gaia_bp", "gaia_rp"):
        if name in prepared.colnames:
            values = np.ma.filled(np.ma.asarray(prepared[name]).astype(float), np.nan)
            stars[name] = Column(np.where(same, values[row], np.nan), unit="mag", description="observed")


def _summary(fit: SightlineFit, stars: Table, provenance: dict[str, Any]) -> dict[str, Any]:
    best = fit.best
    more = [float(m.probability) for m in fit.models]
    return {
        "n_stars": fit.n_stars,
        "n_stars_given": len(stars),
        "l_deg": _mean_angle(stars, "l"),
        "b_deg": _mean_angle(stars, "b"),
        "most_probable_number": best.n_clouds,
        "probability": {str(m.n_clouds): float(m.probability) for m in fit.models},
        "at_least": {str(k): float(sum(more[k:])) for k in range(1, len(more))},
        "probability_of_clouds_above_mag": {
            f"{ebv:g}": fit.probability_of_clouds_above(ebv) for ebv in COUNTED_FROM_MAG
        },
        "log_evidence": {str(m.n_clouds): float(m.log_evidence) for m in fit.models},
        "log_evidence_error": {str(m.n_clouds): float(m.log_evidence_error) for m in fit.models},
        "log_evidence_non_decreasing_profile": float(fit.monotone_log_evidence),
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


def cone_of(stars: Table) -> tuple[tuple[float | None, float | None], float]:
    """Mean l and b of the stars, and the radius of the circle about it that holds them all. [deg]"""
    l_deg, b_deg = _mean_angle(stars, "l"), _mean_angle(stars, "b")
    if l_deg is None or b_deg is None:
        return (None, None), 0.0
    l_rad, b_rad = (np.radians(np.asarray(stars[name], dtype=float)) for name in ("l", "b"))
    cosine = np.sin(b_rad) * np.sin(np.radians(b_deg))
    cosine += np.cos(b_rad) * np.cos(np.radians(b_deg)) * np.cos(l_rad - np.radians(l_deg))
    return (l_deg, b_deg), float(np.degrees(np.arccos(np.clip(np.nanmin(cosine), -1.0, 1.0))))


def _mean_angle(stars: Table, name: str) -> float | None:
    if name not in stars.colnames:
        return None
    angle = np.radians(np.asarray(stars[name], dtype=float))
    mean = np.degrees(np.arctan2(np.nanmean(np.sin(angle)), np.nanmean(np.cos(angle))))
    return float(mean % 360.0) if name == "l" else float(mean)


def _cloud_table(fit: SightlineFit) -> Table:
    """The clouds of the most probable number of clouds."""
    rows = cloud_summary(fit.best)
    table = Table()
    table["cloud"] = Column(np.arange(1, len(rows) + 1), description="in the order of distance")
    for name, unit, text in (
        ("distance_pc", "pc", "distance"),
        ("ebv_mag", "mag", "mean E(B-V), SFD scale"),
        ("patchiness", None, "relative scatter of E(B-V) from star to star"),
    ):
        for suffix, what in {"": "posterior mean", "_std": "standard deviation"}.items():
            values = np.array([row[name + suffix] for row in rows], dtype=float)
            table[name + suffix] = Column(values, unit=unit, description=f"{text}, {what}")
        for label, level in _QUANTILES.items():
            values = np.array([row[f"{name}_{label}"] for row in rows], dtype=float)
            table[f"{name}_{label}"] = Column(values, unit=unit, description=f"{text}, {level} quantile")
    return table


def _profile_table(fit: SightlineFit, stars: Table) -> Table:
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
            what = {"mean": "mean", "std": "standard deviation"}.get(
                label, f"{_QUANTILES.get(label)} quantile"
            )
            table[f"{prefix}_{label}"] = Column(values, unit="mag", description=f"{text}, {what}")
    return table


def _bin_table(stars: Table) -> Table:
    """Stars in bins of posterior mean distance, as in Figures 17 and 18 of the paper."""
    distance = np.asarray(stars["distance_mean"], dtype=float)
    ebv = np.asarray(stars["ebv_mean"], dtype=float)
    fine = np.asarray(stars["in_fit"]) & np.isfinite(distance) & np.isfinite(ebv)
    top = BIN_PC * max(1.0, np.ceil(np.quantile(distance[fine], 0.99) / BIN_PC))
    edges = np.arange(0.0, top + BIN_PC / 2, BIN_PC)
    which = np.digitize(distance, edges) - 1
    count, mean, error = (np.zeros(len(edges) - 1) for _ in range(3))
    for k in range(len(count)):
        here = ebv[fine & (which == k)]
        count[k] = len(here)
        mean[k] = here.mean() if len(here) else np.nan
        error[k] = here.std(ddof=1) / np.sqrt(len(here)) if len(here) > 1 else np.nan
    table = Table()
    table["distance_low"] = Column(edges[:-1], unit="pc", description="lower edge, posterior mean distance")
    table["distance_high"] = Column(edges[1:], unit="pc", description="upper edge")
    table["n_stars"] = Column(count.astype(int), description="stars of the fit in the bin")
    table["ebv_mean"] = Column(mean, unit="mag", description="mean of the stars' posterior means of E(B-V)")
    table["ebv_error"] = Column(
        error, unit="mag", description="standard error of that mean, from the scatter"
    )
    return table


def _draw_table(fit: SightlineFit) -> Table:
    """Draws of every cloud of every number of clouds."""
    parts: dict[str, list[np.ndarray]] = {k: [] for k in ("n_clouds", "cloud", "draw", "distance", "ebv")}
    for model in fit.models:
        draws = thinned(model.draws, _N_SAVED_DRAWS)
        n_draws = len(draws.foreground_mag)
        for k in range(model.n_clouds):
            parts["n_clouds"].append(np.full(n_draws, model.n_clouds))
            parts["cloud"].append(np.full(n_draws, k + 1))
            parts["draw"].append(np.arange(n_draws))
            parts["distance"].append(10.0 ** (1.0 + draws.modulus_mag[:, k] / 5.0))
            parts["ebv"].append(draws.ebv_mag[:, k])
    units = {"distance": "pc", "ebv": "mag"}
    table = Table()
    for name, arrays in parts.items():
        table[name] = Column(np.concatenate(arrays) if arrays else np.zeros(0), unit=units.get(name))
    return table


def with_distances(prior: DustPrior | None, near_pc: float, far_pc: float) -> DustPrior:
    """The prior with other limits of distance. [pc]"""
    return replace(prior or DustPrior(), distance_pc=(near_pc, far_pc))
