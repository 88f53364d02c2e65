"""Maps with neighbours of small mock skies of many kinds: have their chains converged, how wrong are they, do they know it?

    python -m benchmarks.clouds.field_skies [--stars 500] [--only NAME]

The stars' likelihoods are stated and exact (`redflower.validate.mock_densities`), so that what is seen is the map's own doing.
"""

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from astropy_healpix import HEALPix
from benchmarks.results import recording, say, table
from tests.helpers.fields import field_table

import redflower
from redflower.field.prior import FieldPrior
from redflower.field.sampler import FieldSettings
from redflower.products.field_map import FieldMap
from redflower.simulate import DustField, DustSheet, draw_dust_field
from redflower.sky_patch import SkyPatch

SHEETS = (DustSheet(300.0, 0.05, 0.7, 0.5), DustSheet(900.0, 0.06, 0.3, 1.5))
OUT_TO_PC = (600.0, 2000.0)
CENTRE = (120.0, 45.0)
SETTINGS = FieldSettings(n_bursts=3, n_burst=30, n_draws=120, n_chains=2, n_steps=20, n_longer=16)
N_PLACES = 4000
LEVELS = (68, 90, 95)


@dataclass(frozen=True)
class Sky:
    """A mock sky: its dust, how many stars a square degree has, and what is wrong with their zero point."""

    name: str
    sheets: tuple[DustSheet, ...] = SHEETS
    stars_per_square_deg: float = 100.0
    zero_point_mag: float = 0.0
    drift: float = 0.0
    filaments: bool = False
    seed: int = 1


SKIES = (
    Sky("two sheets"),
    Sky("no dust, zero point +0.01", sheets=(), zero_point_mag=0.01),
    Sky("filaments", filaments=True, seed=2),
    Sky("zero point +0.01, drifting by 0.005 mag per mag", zero_point_mag=0.01, drift=0.005, seed=3),
    Sky("10 stars a square degree", stars_per_square_deg=10.0, seed=4),
    Sky("500 stars a square degree", stars_per_square_deg=500.0, seed=5),
)


def dust_of(sky: Sky, size_deg: float) -> DustField:
    """Draw the dust of a sky; filaments take the place of the pattern of the nearer sheet."""
    dust = draw_dust_field(SkyPatch(*CENTRE, size_deg), sky.sheets, seed=sky.seed)
    if not sky.filaments:
        return dust
    rng = np.random.default_rng(sky.seed)
    n = dust.maps_mag.shape[-1]
    y, x = np.mgrid[:n, :n] / n - 0.5
    total = np.zeros((n, n))
    for _ in range(6):
        angle, offset, bend = rng.uniform(0.0, np.pi), rng.uniform(-0.4, 0.4), rng.uniform(-0.5, 0.5)
        along, across = x * np.cos(angle) + y * np.sin(angle), -x * np.sin(angle) + y * np.cos(angle)
        # 0.1 deg wide: a few times narrower than stars are apart.
        total += np.exp(-0.5 * ((across - offset - bend * along**2) * size_deg / 0.1) ** 2)
    maps = dust.maps_mag.copy()
    maps[0] = 0.01 + 0.1 * total
    return replace(dust, maps_mag=maps)


def means(values: np.ndarray, l_deg: np.ndarray, b_deg: np.ndarray, nside: int) -> np.ndarray:
    """Return the means of values at places over the pixels that lie whole within the field."""
    pixel = HEALPix(nside, order="nested").lonlat_to_healpix(l_deg * u.deg, b_deg * u.deg)
    _, row, count = np.unique(pixel, return_inverse=True, return_counts=True)
    whole = count > 0.7 * np.median(count)
    return np.stack([np.bincount(row, v) / count for v in np.atleast_2d(values)])[:, whole]


def held(drawn: np.ndarray, truth: np.ndarray) -> Iterator[float]:
    """Yield the share of areas whose truth lies within the central intervals of the samples."""
    for level in LEVELS:
        low, high = np.percentile(drawn, [50 - level / 2, 50 + level / 2], axis=0)
        yield float(((truth >= low) & (truth <= high)).mean())


def fit(sky: Sky, n_stars: int) -> tuple[DustField, FieldMap, float, float]:
    """Make a sky's map; return the dust, the map, the side of the field [deg] and the processor time [s]."""
    size = float(np.sqrt(n_stars / sky.stars_per_square_deg))
    dust = dust_of(sky, size)
    stars = field_table(
        n_stars, dust, seed=sky.seed, zero_point_mag=sky.zero_point_mag, zero_point_per_modulus=sky.drift
    )
    began = time.process_time()
    found = redflower.field_map(
        stars,
        distance_pc=OUT_TO_PC,
        nside=512,
        shell_mag=0.5,
        cell_deg=size * float(np.sqrt(2.5 / n_stars)),
        prior=FieldPrior(drift_std=0.01 if sky.drift else 0.0),
        settings=SETTINGS,
        seed=sky.seed,
        progress=False,
    )
    return dust, found, size, time.process_time() - began


def main(n_stars: int, only: str) -> None:
    """Make the skies, the maps and the tables."""
    chosen = [sky for sky in SKIES if only in sky.name]
    say(
        "{n_stars} stars each, their reddenings known to 0.02 to 0.08 mag. The error is the scatter of the mean map about the "
        "truth at places; the offset, the error of the mean over the field, is apart. Draws: effective number of those of the "
        "field's mean.",
        n_stars=n_stars,
    )
    rows = table(
        {"sky": "", "status": "", "R-hat": ".2f", "draws": ".0f", "out to [pc]": ".0f", "error [mag]": ".4f",
         "stated [mag]": ".4f", "offset [mag]": "+.4f", "stated of it [mag]": ".4f", "the dust's scatter [mag]": ".4f",
         "CPU [s]": ".0f"}
    )  # fmt: skip
    drawn_all: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
    spread = []
    for sky in chosen:
        dust, found, size, spent = fit(sky, n_stars)
        l_deg, b_deg = SkyPatch(*CENTRE, 0.96 * size).draw(N_PLACES, np.random.default_rng(sky.seed))
        samples = found.query(SkyCoord(l_deg * u.deg, b_deg * u.deg, frame="galactic"), mode="samples")
        areas = HEALPix(1).pixel_resolution.to_value(u.deg) / (0.3 * size)
        nside = 2 ** round(np.log2(areas))
        for k, out_to in enumerate(OUT_TO_PC):
            truth = dust.ebv_mag(l_deg, b_deg, out_to)
            drawn = samples[:, k].T
            known = np.isfinite(drawn).all(axis=0)
            drawn, truth = drawn[:, known], truth[known]
            off = drawn.mean(axis=0) - truth
            rows.row(
                sky.name, found.status, found.numbers["r_hat"][0], found.numbers["ess"][0], out_to, off.std(),
                np.sqrt(np.mean(drawn.var(axis=0) - drawn.mean(axis=1).var())), off.mean(), drawn.mean(axis=1).std(),
                truth.std(), spent,
            )  # fmt: skip
            if sky.sheets:
                for name, side in (("a cell or two", 4 * nside), ("0.3 of the field", nside)):
                    pair = (
                        means(drawn, l_deg[known], b_deg[known], side),
                        means(truth, l_deg[known], b_deg[known], side),
                    )
                    drawn_all.setdefault(name, []).append((pair[0], pair[1][0]))
                drawn_all.setdefault("the field", []).append(
                    (drawn.mean(axis=1)[:, None], np.array([truth.mean()]))
                )
            else:
                spread.append((out_to, float(drawn.mean(axis=0).std())))
    if drawn_all:
        say("How often intervals of the samples hold the true mean, of all skies with dust, both distances:")
        cover = table({"means over": "", "areas": "d", "in 68 %": ".2f", "in 90 %": ".2f", "in 95 %": ".2f"})
        for name, pairs in drawn_all.items():
            shares = [list(held(*pair)) for pair in pairs]
            weights = [pair[1].size for pair in pairs]
            cover.row(name, int(sum(weights)), *np.average(shares, axis=0, weights=weights))
    for out_to, scatter in spread:
        say(
            "Where there is no dust, the map's scatter over the field out to {out_to:.0f} pc is {scatter:.4f} mag.",
            out_to=out_to, scatter=scatter,
        )  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stars", type=int, default=500)
    parser.add_argument("--only", default="", help="part of the name of the skies to make")
    arguments = parser.parse_args()
    with recording("field-skies", seed=1):
        main(arguments.stars, arguments.only)
