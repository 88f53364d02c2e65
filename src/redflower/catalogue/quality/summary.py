"""Table 1 of O'Callaghan et al. 2025 for any sample: star counts by survey, and median measurement errors."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy.table import Column, Table

from redflower.bands import BANDS, STANDARD, SURVEY_ENDS, BandSet
from redflower.catalogue.io.columns import as_floats
from redflower.catalogue.prepared import prepared_error_name, require_prepared


@dataclass(frozen=True)
class SampleSummary:
    """Counts and median errors of a prepared sample.

    Attributes
    ----------
    counts : stars with every band of Gaia, of Gaia and Pan-STARRS1, and of all three.
    medians : median catalogue error of the parallax [mas] and of each band [mag], survey floors taken out again.
        Over the stars with every Gaia and Pan-STARRS1 band, for 2MASS over those with every band of all three; over
        all stars where there are none. None where nothing was measured.
    """

    counts: dict[str, int]
    medians: dict[str, float | None]

    def as_dict(self) -> dict[str, Any]:
        """Return the counts and medians as plain dictionaries."""
        return {"counts": dict(self.counts), "median_errors": dict(self.medians)}

    def table(self) -> Table:
        """Return the medians as a table of quantity, median error and unit, the counts in its meta."""
        names = list(self.medians)
        out = Table(meta={"counts": dict(self.counts)})
        out["quantity"] = names
        values = [np.nan if self.medians[name] is None else self.medians[name] for name in names]
        out["median_error"] = Column(values, description="median catalogue error, without survey floors")
        out["unit"] = ["mas" if name == "parallax" else "mag" for name in names]
        return out

    def text(self) -> str:
        """Write out the summary as lines of text."""
        lines = ["stars: " + ", ".join(f"{name} {count:,}" for name, count in self.counts.items())]
        parts = []
        for name, value in self.medians.items():
            unit = "mas" if name == "parallax" else "mag"
            parts.append(f"{name} {value:.5f} {unit}" if value is not None else f"{name} -")
        lines.append("median errors: " + ", ".join(parts))
        return "\n".join(lines)


def summarise(prepared: Table, bands: BandSet = STANDARD) -> SampleSummary:
    """Count the stars and compute the median errors of a prepared table.

    Parameters
    ----------
    prepared : the table.
    bands : that it has.

    Raises
    ------
    InputError
        If the table is not prepared.
    """
    require_prepared(prepared, "the table to summarise")
    observed = np.stack([np.isfinite(as_floats(prepared, band.name)) for band in BANDS], axis=1)
    complete = {survey: observed[:, :end].all(axis=1) for survey, end in SURVEY_ENDS.items()}
    counts = {
        "Gaia": int(complete["gaia"].sum()),
        "Gaia + PS1": int(complete["ps1"].sum()),
        "Gaia + PS1 + 2MASS": int(complete["2mass"].sum()),
    }
    optical = complete["ps1"] if complete["ps1"].any() else np.ones(len(prepared), dtype=bool)
    infrared = complete["2mass"] if complete["2mass"].any() else np.ones(len(prepared), dtype=bool)
    medians = {"parallax": _median(as_floats(prepared, "parallax_error")[optical])}
    for band, label in zip(bands, bands.labels, strict=True):
        error = as_floats(prepared, prepared_error_name(band))[
            infrared if band.survey == "2mass" else optical
        ]
        medians[label] = _median(np.sqrt(np.maximum(error**2 - band.error_floor_mag**2, 0.0)))
    return SampleSummary(counts, medians)


def _median(values: np.ndarray) -> float | None:
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if finite.size else None
