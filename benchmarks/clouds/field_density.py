"""Does the error of a map with neighbours go with the density of its stars, with their kind, or with Galactic latitude?

    python -m benchmarks.clouds.field_density [--skies 8]

Maps of dust are known to show the stars that they were made of. Here the density of stars varies from 10 to 500 a square degree
over a field, and so does the share of a second population whose reddenings are three times less sure; the dust knows nothing
of either. Likelihoods are stated and exact, as in `field_skies`. Every field is a line of a file in benchmarks/output, so that
a run that was stopped goes on from there.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from astropy.table import vstack
from astropy_healpix import HEALPix
from benchmarks.clouds.field_skies import OUT_TO_PC
from benchmarks.mock_skies import CENTRE, SHEETS
from benchmarks.numbered_runs import numbered_runs
from benchmarks.results import recording, say, table
from scipy.stats import t as student
from tests.helpers.fields import field_table

import redflower
from redflower.field.sampler import FieldSettings
from redflower.products.field_map import FieldMap
from redflower.simulate import DustField, DustSheet, draw_dust_field
from redflower.sky_patch import SkyPatch
from redflower.validate.mock_sightlines import SightlineStars

SIZE_DEG = 4.0
DENSITY = (10.0, 500.0)
#: Of the density: factor from one end of the field in latitude to the other, and the pattern's logarithmic scatter and length.
FALL, SCATTER, LENGTH_DEG = 8.0, 1.0, 1.0
KINDS = (
    SightlineStars(ambiguous_share=0.0, ebv_error_mag=(0.02, 0.05)),
    SightlineStars(ambiguous_share=0.0, ebv_error_mag=(0.06, 0.15)),
)
SETTINGS = FieldSettings(n_bursts=3, n_burst=30, n_draws=120, n_chains=2, n_steps=20, n_longer=8)
NSIDE = 128
#: That one test or more of all fails by chance.
FALSE_ALARM = 0.05


@dataclass(frozen=True)
class Stars:
    """How stars lie on a field: their density, and the share of the second population, whatever the dust is."""

    patch: SkyPatch
    density_pattern: DustField
    kind_pattern: DustField

    @classmethod
    def draw(cls, patch: SkyPatch, seed: int) -> "Stars":
        """Draw patterns; those of `draw_dust_field` serve, whose mean is 1."""
        patterns = [
            draw_dust_field(patch, [DustSheet(1.0, 1.0, SCATTER, LENGTH_DEG)], seed=1000 * seed + k)
            for k in (1, 2)
        ]
        return cls(patch, *patterns)

    def density(self, l_deg: np.ndarray, b_deg: np.ndarray) -> np.ndarray:
        """Return the stars a square degree."""
        y = self.patch.to_plane(l_deg, b_deg)[1] / self.patch.size_deg
        pattern = self.density_pattern.ebv_mag(l_deg, b_deg, 10.0)
        return np.clip(100.0 * pattern * FALL**-y, *DENSITY)

    def second(self, l_deg: np.ndarray, b_deg: np.ndarray) -> np.ndarray:
        """Return the share of the second population."""
        pattern = self.kind_pattern.ebv_mag(l_deg, b_deg, 10.0)
        return pattern / (1.0 + pattern)


def sky_of(seed: int) -> tuple[DustField, Stars, FieldMap]:
    """Draw dust and stars that know nothing of each other, and make the map."""
    patch = SkyPatch(*CENTRE, SIZE_DEG)
    rng = np.random.default_rng([seed, 7])
    dust, stars = draw_dust_field(patch, SHEETS, seed=seed), Stars.draw(patch, seed)
    l_deg, b_deg = patch.draw(int(DENSITY[1] * SIZE_DEG**2), rng)
    kept = rng.random(len(l_deg)) < stars.density(l_deg, b_deg) / DENSITY[1]
    l_deg, b_deg = l_deg[kept], b_deg[kept]
    second = rng.random(len(l_deg)) < stars.second(l_deg, b_deg)
    parts = [
        field_table(int(of.sum()), dust, seed=10 * seed + k, places_deg=(l_deg[of], b_deg[of]), kind=KINDS[k])
        for k, of in enumerate((~second, second))
    ]
    posteriors = vstack(parts, metadata_conflicts="silent")
    posteriors.meta = dict(parts[0].meta)
    found = redflower.field_map(
        posteriors, distance_pc=OUT_TO_PC, nside=512, shell_mag=0.5, settings=SETTINGS, seed=seed, progress=False
    )  # fmt: skip
    return dust, stars, found


def compared(
    dust: DustField, stars: Stars, found: FieldMap, seed: int
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return the errors of means over areas of nside 128, out to each distance, and what they may go with."""
    l_deg, b_deg = SkyPatch(*CENTRE, 0.96 * SIZE_DEG).draw(20_000, np.random.default_rng(seed))
    pixel = HEALPix(NSIDE, order="nested").lonlat_to_healpix(l_deg * u.deg, b_deg * u.deg)
    _, row, count = np.unique(pixel, return_inverse=True, return_counts=True)
    whole = count > 0.7 * np.median(count)

    def mean(values: np.ndarray) -> np.ndarray:
        return (np.bincount(row, values) / count)[whole]

    seen = found.query(SkyCoord(l_deg * u.deg, b_deg * u.deg, frame="galactic"))
    # The few places that no star is near are not in the map; an area of which they are a part is not compared.
    off = np.stack([mean(seen[:, k] - dust.ebv_mag(l_deg, b_deg, d)) for k, d in enumerate(OUT_TO_PC)])
    known = np.isfinite(off).all(axis=0)
    with_what = {
        "factor of 10 in the density of stars": np.log10(mean(stars.density(l_deg, b_deg))),
        "share of the second population, from 0 to 1": mean(stars.second(l_deg, b_deg)),
        "degree of Galactic latitude": mean(b_deg),
    }
    return off[:, known], {name: values[known] for name, values in with_what.items()}


def one(k: int) -> dict[str, Any]:
    """Make the map of a field, and return what its error goes with."""
    seed = k + 1
    dust, stars, found = sky_of(seed)
    off, with_what = compared(dust, stars, found, seed)
    low, high = np.percentile(10.0 ** next(iter(with_what.values())), [5, 95])
    record: dict[str, Any] = {
        "k": k, "stars": int(found.n_star.sum()), "status": found.status, "r_hat": found.numbers["r_hat"][0],
        "areas": off.shape[1], "density": [float(low), float(high)], "error": [float(e) for e in off.std(axis=1)],
        "goes_with": [],
    }  # fmt: skip
    for name, values in with_what.items():
        x = values - values.mean()
        for j in range(len(OUT_TO_PC)):
            slope, correlation = float(x @ off[j] / (x @ x)), float(np.corrcoef(x, off[j])[0, 1])
            record["goes_with"].append([name, j, slope, correlation])
    return record


def summary(records: list[dict[str, Any]]) -> None:
    """Tabulate the fields, and test whether errors go with anything."""
    records = sorted(records, key=lambda record: record["k"])
    n = len(records)
    say(
        "{n} fields of {size:.0f} x {size:.0f} deg, each with dust and patterns of stars of its own. The density of stars is "
        "between {low:.0f} and {high:.0f} a square degree.",
        n=n, size=SIZE_DEG, low=DENSITY[0], high=DENSITY[1],
    )  # fmt: skip
    head = table(
        {"field": "d", "stars": ",d", "status": "", "R-hat": ".2f", "areas": "d", "density in 90 % of them": "",
         "error out to 600 pc [mag]": ".4f", "to 2,000 pc [mag]": ".4f"}
    )  # fmt: skip
    pairs: dict[tuple[str, int], list[tuple[float, float]]] = {}
    for record in records:
        head.row(
            record["k"] + 1, record["stars"], record["status"], record["r_hat"], record["areas"],
            "{:.0f} to {:.0f}".format(*record["density"]), *record["error"],
        )  # fmt: skip
        for name, j, slope, correlation in record["goes_with"]:
            pairs.setdefault((name, j), []).append((slope, correlation))
    limit = float(student.ppf(1.0 - FALSE_ALARM / len(pairs) / 2.0, n - 1))
    say(
        "How the error of a mean over nside 128 goes with what the dust does not know, mean of the fields with the error that "
        "their scatter gives. By chance one or more of these {n_tests} lines are beyond {limit:.1f} of these errors in "
        "{alarm:.0%} of such sets of fields.",
        n_tests=len(pairs), limit=limit, alarm=FALSE_ALARM,
    )  # fmt: skip
    rows = table(
        {"with a": "", "out to [pc]": ".0f", "correlation": "+.3f", "its error": ".3f", "change of the error [mag]": "+.4f",
         "known to [mag]": ".4f", "in errors": "+.1f", "beyond chance": ""}
    )  # fmt: skip
    for (name, j), found in pairs.items():
        mean, error = np.mean(found, axis=0), np.std(found, axis=0, ddof=1) / np.sqrt(n)
        in_errors = mean[0] / error[0]
        rows.row(
            name, OUT_TO_PC[j], mean[1], error[1], mean[0], error[0], in_errors,
            "yes" if abs(in_errors) > limit else "no",
        )  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--skies", type=int, default=8)
    arguments = parser.parse_args()
    done = numbered_runs(one, arguments.skies, Path("benchmarks/output/field-density.jsonl"), workers=1)
    with recording("field-density", seed=1):
        summary(done)
