"""The dust of a sightline: the fit, its tables and its folder."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from astropy.table import Table

from redflower.cards import card, line
from redflower.products.folder import write_folder
from redflower.sightline import (
    SightlineFit,
)


@dataclass(frozen=True, repr=False)
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

    def __repr__(self) -> str:
        return line("sightline", self._facts())

    def _repr_html_(self) -> str:
        return card("Dust along the line of sight", self._facts())

    def _facts(self) -> list[tuple[str, str]]:
        numbers = self.summary
        best = str(numbers["most_probable_number"])
        facts = [
            ("stars", f"{numbers['n_stars']:,}"),
            ("clouds", f"{best} (probability {numbers['probability'][best]:.2f})"),
        ]
        for k, cloud in enumerate(numbers["clouds"].get(best, []), start=1):
            facts.append((f"cloud {k}", f"{cloud['distance_pc_q50']:.0f} pc, {cloud['ebv_mag_q50']:.3f} mag"))
        return facts


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
