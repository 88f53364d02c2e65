"""What sightlines of a region say together: tables, numbers and their folder."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from astropy.table import Column, Table

from redflower.cards import card, line
from redflower.products.finished_fit import FinishedFit
from redflower.products.folder import write_folder
from redflower.provenance import META_KEY
from redflower.quantiles import QUANTILES, percent, summary_columns
from redflower.sightline.neighbours import SharedClouds
from redflower.sightline.weighted_clouds import (
    effective_draws,
    is_trusted,
    number_probabilities,
    probability_errors,
    weighted_clouds,
)

#: Chains that differ by more from their mean have not converged; the mean of four is good to about half of that.
CHAINS_DIFFER_MAX: Final = 0.1


@dataclass(frozen=True, repr=False)
class NeighboursResult:
    """What sightlines of a region say together.

    Attributes
    ----------
    clouds : a row per cloud of each sightline's most probable number: distance and E(B-V), as they were and now.
    odds : a row per number of clouds of each sightline: its probability as it was and now, and how many draws it rests on.
    density : the shared density of ln distance.
    draws : of the clouds of every sightline, with their weights as they were and now.
    summary : the same in plain numbers, and which sightlines are not to be trusted.
    """

    clouds: Table
    odds: Table
    density: Table
    draws: Table
    summary: dict[str, Any]

    def __repr__(self) -> str:
        return line("neighbouring sightlines", self._facts())

    def _repr_html_(self) -> str:
        return card("Dust of neighbouring sightlines", self._facts())

    def _facts(self) -> list[tuple[str, str]]:
        lines = self.summary["sightlines"]
        return [
            ("sightlines", f"{len(lines)}"),
            ("clouds at shared distances", percent(self.summary["shared_share"])),
            ("not to be trusted", f"{sum(not one['trusted'] for one in lines)}"),
        ]


def neighbours_result(
    fits: Sequence[FinishedFit], shared: SharedClouds, provenance: dict[str, Any]
) -> NeighboursResult:
    """Tabulate what sightlines say together.

    Parameters
    ----------
    fits : finished fits.
    shared : what they share, in the same order.
    provenance : of the result.
    """
    lines = [_one(fit, weight) for fit, weight in zip(fits, shared.weight, strict=True)]
    borrowed = 1.0 - shared.own_share
    differ = shared.chains_differ
    summary = {
        "sightlines": lines,
        "shared_share": float(borrowed.mean()),
        "shared_share_std": float(borrowed.std()),
        **{f"shared_share_{label}": float(np.quantile(borrowed, q)) for label, q in QUANTILES.items()},
        "searched_pc": [float(np.exp(shared.edges[0])), float(np.exp(shared.edges[-1]))],
        "chains_differ": differ,
        "converged": bool(differ <= CHAINS_DIFFER_MAX),
        "provenance": provenance,
    }
    tables = {
        "clouds": _cloud_table(lines),
        "odds": _odds_table(lines),
        "density": _density_table(shared),
        "draws": _draw_table(fits, shared),
    }
    for table in tables.values():
        table.meta[META_KEY] = provenance
    return NeighboursResult(summary=summary, **tables)


def write_neighbours(result: NeighboursResult, folder: Path) -> None:
    """Write the folder: ``neighbours.json``, tables, the figure and ``report.html``.

    Raises
    ------
    InputError
        If the folder is a file, or holds something else.
    """
    write_folder(
        folder,
        "neighbours",
        {"neighbours.json": result.summary},
        {
            "clouds.ecsv": result.clouds,
            "odds.ecsv": result.odds,
            "density.ecsv": result.density,
            "draws.parquet": result.draws,
        },
    )


def _one(fit: FinishedFit, weight: np.ndarray) -> dict[str, Any]:
    """Sum up a sightline: odds and clouds of its most probable number, as they were and now, and whether to trust them."""
    before, after = (number_probabilities(fit.draws, w) for w in (fit.draws.weight, weight))
    best, effective = int(after.argmax()), effective_draws(fit.draws, weight)
    n_draws = np.bincount(fit.draws.n_clouds)
    place = fit.place_deg or (None, None)
    return {
        "name": fit.name,
        "l_deg": place[0],
        "b_deg": place[1],
        "n_stars": fit.n_stars,
        "most_probable_number_before": int(before.argmax()),
        "most_probable_number": best,
        "probability_before": {str(n): float(p) for n, p in enumerate(before)},
        "probability": {str(n): float(p) for n, p in enumerate(after)},
        "probability_error": float(probability_errors(fit.draws, weight).max()),
        "n_draws": {str(n): int(count) for n, count in enumerate(n_draws) if n},
        "effective_draws": {str(n): float(count) for n, count in enumerate(effective) if n},
        "trusted": is_trusted(fit.draws, weight),
        "clouds_before": weighted_clouds(fit.draws, fit.draws.weight, best),
        "clouds": weighted_clouds(fit.draws, weight, best),
    }


def _odds_table(lines: Sequence[dict[str, Any]]) -> Table:
    rows = [
        (one["name"], int(n), one["probability_before"][n], p, one["effective_draws"].get(n, np.nan))
        for one in lines
        for n, p in one["probability"].items()
    ]
    names = ("sightline", "n_clouds", "probability_before", "probability", "effective_draws")
    table = Table(rows=rows, names=names)
    texts = {
        "n_clouds": "number of clouds",
        "probability_before": "of this number, by the sightline alone",
        "probability": "the same, distances shared with the neighbours",
        "effective_draws": "draws of this number that count after weighting; NaN of no clouds, which have no draws",
    }
    for name, text in texts.items():
        table[name].description = text
    return table


def _cloud_table(lines: Sequence[dict[str, Any]]) -> Table:
    """Tabulate the clouds of each sightline's most probable number."""
    found: list[tuple[dict[str, Any], int, dict[str, float], dict[str, float]]] = [
        (one, k, *both)
        for one in lines
        for k, both in enumerate(zip(one["clouds_before"], one["clouds"], strict=True))
    ]
    table = Table()
    number = [str(one["most_probable_number"]) for one, *_ in found]
    table["sightline"] = np.array([one["name"] for one, *_ in found], dtype=str)
    for name in ("l_deg", "b_deg"):
        values = [np.nan if one[name] is None else one[name] for one, *_ in found]
        table[name[0]] = Column(np.array(values, dtype=float), unit="deg", description="of the sightline")
    table["n_clouds"] = Column(
        np.array(number, dtype=int), description="most probable number, distances shared"
    )
    for name, text in (("probability_before", "by the sightline alone"), ("probability", "distances shared")):
        values = [one[name][n] for (one, *_), n in zip(found, number, strict=True)]
        table[name] = Column(np.array(values, dtype=float), description=f"of this number, {text}")
    values = [one["effective_draws"][n] for (one, *_), n in zip(found, number, strict=True)]
    table["effective_draws"] = Column(
        np.array(values, dtype=float), description="draws that count after weighting"
    )
    table["trusted"] = Column(
        np.array([one["trusted"] for one, *_ in found], dtype=bool), description="whether these are enough"
    )
    table["cloud"] = Column(np.array([k + 1 for _, k, *_ in found], dtype=int), description="by distance")
    for quantity, unit, text in (
        ("distance_pc", "pc", "distance"),
        ("ebv_mag", "mag", "mean E(B-V), SFD scale"),
    ):
        for suffix, what in summary_columns().items():
            for which, said in (("_before", "by the sightline alone"), ("", "distances shared")):
                rows = [was if which else now for _, _, was, now in found]
                values = [row[f"{quantity}{suffix}"] for row in rows]
                table[f"{quantity}{suffix}{which}"] = Column(
                    np.array(values, dtype=float), unit=unit, description=f"{text}, {what}, {said}"
                )
    return table


def _density_table(shared: SharedClouds) -> Table:
    """Tabulate the shared density of ln distance in its bins."""
    table = Table()
    middle = np.exp(0.5 * (shared.edges[1:] + shared.edges[:-1]))
    table["distance"] = Column(middle, unit="pc", description="middle of the bin")
    text = "clouds at shared distances, per unit of ln distance"
    table["density_mean"] = Column(shared.shared_density.mean(axis=0), description=f"{text}, posterior mean")
    for label, level in QUANTILES.items():
        values = np.quantile(shared.shared_density, level, axis=0)
        table[f"density_{label}"] = Column(values, description=f"{text}, {percent(level)} quantile")
    return table


def _draw_table(fits: Sequence[FinishedFit], shared: SharedClouds) -> Table:
    """Tabulate every cloud of every draw with the draw's weights."""
    parts = []
    for fit, weight in zip(fits, shared.weight, strict=True):
        draw, cloud = np.nonzero(np.isfinite(fit.draws.log_distance))
        columns = {
            "sightline": np.full(len(draw), fit.name),
            "n_clouds": fit.draws.n_clouds[draw],
            "draw": draw,
            "cloud": cloud + 1,
            "distance": np.exp(fit.draws.log_distance[draw, cloud]),
            "ebv": fit.draws.ebv_mag[draw, cloud],
            "weight_before": fit.draws.weight[draw],
            "weight": weight[draw],
        }
        parts.append(columns)
    table = Table({name: np.concatenate([part[name] for part in parts]) for name in parts[0]})
    table["distance"].unit, table["ebv"].unit = "pc", "mag"
    table["weight_before"].description = "probability of the draw, by the sightline alone"
    table[
        "weight"
    ].description = "the same, distances shared; no clouds have the rest of a sightline's probability"
    return table
