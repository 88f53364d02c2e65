"""Maps with neighbours of small mock skies of many kinds: have their chains converged, how wrong are they, do they know it?

    python -m benchmarks.clouds.field_skies [--stars 500]

The stars' likelihoods are stated and exact (`redflower.validate.mock_densities`), so that what is seen is the map's own doing.
Every sky is a line of a file in benchmarks/output, so that a run that was stopped goes on from there.
"""

import argparse
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from astropy.table import Table
from astropy_healpix import HEALPix
from benchmarks.clouds.dust_field import (
    STARS_BETWEEN_PC,
    binned_means,
    star_numbers,
    wiener,
)
from benchmarks.mock_skies import CENTRE, SHEETS, SKIES, Sky, covariance_of, dust_of
from benchmarks.numbered_runs import numbered_runs
from benchmarks.results import recording, say, table
from tests.helpers.fields import field_table

import redflower
from redflower.field.prior import FieldPrior
from redflower.field.sampler import FieldSettings
from redflower.products.field_map import FieldMap
from redflower.simulate import DustField
from redflower.sky_patch import SkyPatch

OUT_TO_PC = (600.0, 2000.0)
#: Distances of the maps, in steps of a quarter: clouds are sought between them.
DISTANCE_PC = (
    100.0,
    125.0,
    160.0,
    200.0,
    250.0,
    310.0,
    390.0,
    490.0,
    600.0,
    760.0,
    960.0,
    1200.0,
    1500.0,
    2000.0,
)
SETTINGS = FieldSettings(n_bursts=3, n_burst=30, n_draws=120, n_chains=2, n_steps=20, n_longer=16)
N_PLACES = 4000
LEVELS = (68, 90, 95)
#: A cloud is one of a sheet if its distance is the sheet's within this factor, the stretch within which clouds are sought.
CLOUD_STRETCH = 1.45
CLOUD_MAG = 0.02
#: Stars that a pixel has in the mean where every pixel is fitted or averaged by itself.
STARS_PER_PIXEL = 30.0
#: Scales of which the power is compared, as shares of the field's side.
SCALES = ((0.5, 1.0), (0.25, 0.5), (0.125, 0.25))


def fit(sky: Sky, n_stars: int) -> tuple[DustField, Table, FieldMap, float]:
    """Make a sky's map; return the dust, the stars, the map and the processor time. [s]"""
    size = float(np.sqrt(n_stars / sky.stars_per_square_deg))
    dust = dust_of(sky, size)
    stars = field_table(
        n_stars, dust, seed=sky.seed, zero_point_mag=sky.zero_point_mag, zero_point_per_modulus=sky.drift
    )
    began = time.process_time()
    found = redflower.field_map(
        stars,
        distance_pc=DISTANCE_PC,
        nside=512,
        shell_mag=0.5,
        cell_deg=size * float(np.sqrt(2.5 / n_stars)),
        prior=FieldPrior(drift_std=0.01 if sky.drift else 0.0),
        settings=SETTINGS,
        seed=sky.seed,
        progress=False,
    )
    return dust, stars, found, time.process_time() - began


def coordinates_of(l_deg: np.ndarray, b_deg: np.ndarray) -> SkyCoord:
    """Return positions as coordinates."""
    return SkyCoord(l_deg * u.deg, b_deg * u.deg, frame="galactic")


def fitting_nside(side_deg: float) -> int:
    """Return the nside whose pixels are nearest in size to a side."""
    return int(2 ** round(np.log2(HEALPix(1).pixel_resolution.to_value(u.deg) / side_deg)))


def means(values: np.ndarray, l_deg: np.ndarray, b_deg: np.ndarray, nside: int) -> np.ndarray:
    """Return the means of values at places over the pixels that lie whole within the field."""
    pixel = HEALPix(nside, order="nested").lonlat_to_healpix(l_deg * u.deg, b_deg * u.deg)
    _, row, count = np.unique(pixel, return_inverse=True, return_counts=True)
    whole = count > 0.7 * np.median(count)
    return np.stack([np.bincount(row, v) / count for v in np.atleast_2d(values)])[:, whole]


def held(drawn: np.ndarray, truth: np.ndarray) -> list[int]:
    """Return the number of areas, and how many have the truth within the central intervals of the samples."""
    ends = [np.percentile(drawn, [50 - level / 2, 50 + level / 2], axis=0) for level in LEVELS]
    return [len(truth), *(int(((truth >= low) & (truth <= high)).sum()) for low, high in ends)]


def simpler(
    sky: Sky, dust: DustField, stars: Table, places: tuple[np.ndarray, np.ndarray]
) -> list[dict[str, np.ndarray]]:
    """Return what simpler maps have at places, out to each distance: pixels by themselves, binned means, a Wiener filter."""
    side = float(np.sqrt(STARS_PER_PIXEL / sky.stars_per_square_deg))
    pixels = redflower.sky_map(
        stars, nside=fitting_nside(side), distance_pc=OUT_TO_PC, workers=1, progress=False
    ).query(coordinates_of(*places))
    numbers, out = star_numbers(stars), []
    for k, (out_to, between) in enumerate(zip(OUT_TO_PC, STARS_BETWEEN_PC, strict=True)):
        here = {"pixels": pixels[:, k]}
        truth = dust.ebv_mag(*places, out_to)
        binned = [binned_means(numbers, between, fitting_nside(side / n), *places) for n in (1.0, 2.0)]
        here["binned"] = min(binned, key=lambda values: float(np.std(values - truth)))
        if sky.sheets:
            here["wiener"] = wiener(numbers, between, covariance_of(sky, dust, out_to), *places)
        out.append(here)
    return out


def power(sky: Sky, dust: DustField, found: FieldMap) -> list[list[float]]:
    """Return the power of the mean map and of its samples over the truth's at each of the scales, out to the last distance."""
    n, patch = 64, dust.patch
    axis = 0.96 * patch.size_deg * ((np.arange(n) + 0.5) / n - 0.5)
    x, y = (a.ravel() for a in np.meshgrid(axis, axis))
    l_deg, b_deg = patch.to_sky(x, y)
    samples = found.query(coordinates_of(l_deg, b_deg), mode="samples")[:, DISTANCE_PC.index(OUT_TO_PC[-1])]
    # The few places that no star is near are as the mean of the others.
    samples = np.where(np.isfinite(samples), samples, np.nanmean(samples, axis=0)).T.reshape(-1, n, n)
    window = np.hanning(n)[:, None] * np.hanning(n)

    def of(maps: np.ndarray) -> np.ndarray:
        return np.abs(np.fft.fft2((maps - maps.mean(axis=(-2, -1), keepdims=True)) * window)) ** 2

    truth = of(dust.ebv_mag(l_deg, b_deg, OUT_TO_PC[-1]).reshape(n, n))
    mean, drawn = of(samples.mean(axis=0)), of(samples[::4]).mean(axis=0)
    q = np.fft.fftfreq(n, 1.0 / n)
    scale = 1.0 / np.maximum(np.hypot(q[:, None], q), 1e-9)
    there = [(scale > low * (1 - 1e-9)) & (scale <= high * (1 + 1e-9)) for low, high in SCALES]
    return [[float(a[t].sum() / truth[t].sum()) for t in there] for a in (mean, drawn)]


def clouds(dust: DustField, found: FieldMap) -> dict[str, Any]:
    """Count the clouds of the map that are a sheet's, and those that are none; and the areas, for the sheets' own."""
    rows = redflower.field_clouds(found, threshold_mag=CLOUD_MAG)
    off = np.abs(np.log(np.asarray(rows["distance_pc"])[:, None] / [s.distance_pc for s in SHEETS]))
    nearest = off.argmin(axis=1) if len(rows) else np.zeros(0, int)
    mine = (off.min(axis=1) < np.log(CLOUD_STRETCH)) if len(rows) else np.zeros(0, bool)
    l_deg, b_deg = found.centres_deg()
    pixel_deg2 = HEALPix(found.nside).pixel_area.to_value(u.deg**2)
    out: dict[str, Any] = {
        "none": int((~mine).sum()),
        "area": float(len(found.pixel) * pixel_deg2),
        "sheets": [],
    }
    for j, sheet in enumerate(dust.sheets):
        alone = replace(dust, sheets=(sheet,), maps_mag=dust.maps_mag[j : j + 1])
        true_deg2 = float((alone.ebv_mag(l_deg, b_deg, 1e5) > CLOUD_MAG).sum() * pixel_deg2)
        some = rows[mine & (nearest == j)]
        largest = some[np.argmax(some["area"])] if len(some) else None
        out["sheets"].append(
            {
                "pieces": len(some),
                "share": float(np.sum(some["area"])) / true_deg2,
                "distance": None if largest is None else float(largest["distance_pc"]),
                "step": None if largest is None else float(largest["distance_step_pc"]),
                "error": None if largest is None else float(largest["distance_pc_std"]),
            }
        )
    return out


def one(k: int, n_stars: int) -> dict[str, Any]:
    """Make the map of a sky, and return what is told of it."""
    sky = SKIES[k]
    dust, stars, found, spent = fit(sky, n_stars)
    size = dust.patch.size_deg
    l_deg, b_deg = SkyPatch(*CENTRE, 0.96 * size).draw(N_PLACES, np.random.default_rng(sky.seed))
    samples = found.query(coordinates_of(l_deg, b_deg), mode="samples")
    nside = fitting_nside(0.3 * size)
    record: dict[str, Any] = {"k": k, "status": found.status, "spent": spent, "out_to": []}
    record |= {name: found.numbers[name][0] for name in ("r_hat", "ess", "times")}
    others = simpler(sky, dust, stars, (l_deg, b_deg))
    for out_to, other in zip(OUT_TO_PC, others, strict=True):
        truth = dust.ebv_mag(l_deg, b_deg, out_to)
        drawn = samples[:, DISTANCE_PC.index(out_to)].T
        known = np.isfinite(drawn).all(axis=0)
        drawn, truth, at = drawn[:, known], truth[known], (l_deg[known], b_deg[known])
        off = drawn.mean(axis=0) - truth
        maps = {"neighbours": off} | {name: values[known] - truth for name, values in other.items()}
        # Pixels of the border with too few stars have no fit of their own: all maps are compared where they all are.
        both = np.isfinite(maps["pixels"])
        maps, there = {name: values[both] for name, values in maps.items()}, [a[both] for a in at]
        here: dict[str, Any] = {
            "error": off.std(), "stated": np.sqrt(np.mean(drawn.var(axis=0) - drawn.mean(axis=1).var())),
            "offset": off.mean(), "stated_offset": drawn.mean(axis=1).std(), "scatter": truth.std(),
            "flat": drawn.mean(axis=0).std(),
            "at_places": {name: a.std() for name, a in maps.items()},
            "of_means": {name: means(a, *there, nside).std() for name, a in maps.items()},
            "compared": both.mean(),
        }  # fmt: skip
        cover = {}
        for name, side in (("a cell or two", 4 * nside), ("0.3 of the field", nside)):
            cover[name] = held(means(drawn, *at, side), means(truth, *at, side)[0])
        cover["the field"] = held(drawn.mean(axis=1)[:, None], np.array([truth.mean()]))
        record["out_to"].append(_plain(here) | {"cover": cover})
    record["clouds"] = clouds(dust, found)
    record["power"] = power(sky, dust, found) if sky.sheets else None
    return record


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    return {name: _plain(v) if isinstance(v, dict) else float(v) for name, v in values.items()}


def summary(records: list[dict[str, Any]], n_stars: int) -> None:
    """Tabulate what was found."""
    records = sorted(records, key=lambda record: record["k"])
    say(
        "{n_stars} stars each, their reddenings known to 0.02 to 0.08 mag. The error is the scatter of the mean map about the "
        "truth at places; the offset, the error of the mean over the field, is apart. Draws: effective number of those of the "
        "field's means and zero points, the least of all; R-hat the largest. Longer: draws taken for each that is kept.",
        n_stars=n_stars,
    )
    rows = table(
        {"sky": "", "status": "", "R-hat": ".2f", "draws": ".0f", "longer": ".0f", "out to [pc]": ".0f", "error [mag]": ".4f",
         "stated [mag]": ".4f", "offset [mag]": "+.4f", "stated of it [mag]": ".4f", "the dust's scatter [mag]": ".4f",
         "CPU [s]": ".0f"}
    )  # fmt: skip
    names = ("error", "stated", "offset", "stated_offset", "scatter")
    for record in records:
        for out_to, here in zip(OUT_TO_PC, record["out_to"], strict=True):
            rows.row(
                SKIES[record["k"]].name, record["status"], record["r_hat"], record["ess"], record["times"], out_to,
                *(here[name] for name in names), record["spent"],
            )  # fmt: skip
    _simpler_maps(records)
    dusty = [record for record in records if SKIES[record["k"]].sheets]
    say("How often intervals of the samples hold the true mean, of all skies with dust, both distances:")
    cover = table({"means over": "", "areas": "d", "in 68 %": ".2f", "in 90 %": ".2f", "in 95 %": ".2f"})
    for name in ("a cell or two", "0.3 of the field", "the field"):
        n, *inside = np.sum([here["cover"][name] for record in dusty for here in record["out_to"]], axis=0)
        cover.row(name, int(n), *(np.array(inside) / n))
    for record in records:
        if record not in dusty:
            for out_to, here in zip(OUT_TO_PC, record["out_to"], strict=True):
                say(
                    "Where there is no dust, the map's scatter over the field out to {out_to:.0f} pc is {scatter:.4f} mag.",
                    out_to=out_to, scatter=here["flat"],
                )  # fmt: skip
    _power(dusty)
    _clouds(records)


def _simpler_maps(records: list[dict[str, Any]]) -> None:
    say(
        "Beside simpler maps of the same stars, as in the field above: pixels with {stars:.0f} stars each, fitted by "
        "themselves; means of the stars between two distances in such pixels, or in those of half their side if that is better; "
        "and a Wiener filter with the true covariance. Errors [mag], at places and of means over 0.3 of the field, where all "
        "maps are (the share):",
        stars=STARS_PER_PIXEL,
    )
    kinds = ("neighbours", "pixels", "binned", "wiener")
    heads = ("with neighbours", "pixels", "binned means", "Wiener filter")
    rows = table(
        {"sky": "", "out to [pc]": ".0f", "share": ".2f"}
        | {head: ".4f" for head in heads}
        | {f"means: {head}": ".4f" for head in heads}
    )
    for record in records:
        for out_to, here in zip(OUT_TO_PC, record["out_to"], strict=True):
            both = [here[part].get(kind) for part in ("at_places", "of_means") for kind in kinds]
            rows.row(SKIES[record["k"]].name, out_to, here["compared"], *both)


def _power(dusty: list[dict[str, Any]]) -> None:
    say(
        "Recovered power spectrum out to {out_to:.0f} pc: power of the mean map and of its samples over the truth's, at scales "
        "given in sides of the field, one realisation each:",
        out_to=OUT_TO_PC[-1],
    )
    words = [f"{low:g} to {high:g}" for low, high in SCALES]
    rows = table({"sky": ""} | {f"{kind}, {word}": ".2f" for kind in ("mean", "samples") for word in words})
    for record in dusty:
        rows.row(SKIES[record["k"]].name, *record["power"][0], *record["power"][1])


def _clouds(records: list[dict[str, Any]]) -> None:
    say(
        "Clouds of the maps that add more than {cloud_mag} mag (`--clouds`). A sheet is found by clouds whose distance is its "
        "own within a factor of {stretch}, in pieces where it is thin; the share is their area over that in which the sheet has "
        "more than the threshold. The distance is that of the largest piece, beside the map's step and the samples' scatter.",
        cloud_mag=CLOUD_MAG, stretch=CLOUD_STRETCH,
    )  # fmt: skip
    rows = table(
        {"sky": "", "sheet at [pc]": ".0f", "pieces": "d", "share of its area": ".2f", "found at [pc]": ".0f",
         "step [pc]": ".0f", "scatter [pc]": ".0f", "clouds of no sheet": "d"}
    )  # fmt: skip
    for record in records:
        sky, seen = SKIES[record["k"]], record["clouds"]
        for j, (sheet, here) in enumerate(zip(sky.sheets, seen["sheets"], strict=True)):
            none = seen["none"] if j == 0 else None
            rows.row(
                sky.name, sheet.distance_pc, here["pieces"], here["share"], here["distance"], here["step"], here["error"],
                none,
            )  # fmt: skip
        if not sky.sheets:
            rows.row(sky.name, *[None] * 6, seen["none"])
    n_none = sum(record["clouds"]["none"] for record in records)
    say(
        "In all {n_none} clouds are of no sheet, on {area:.0f} square degrees of {n_maps} maps.",
        n_none=n_none, area=sum(record["clouds"]["area"] for record in records), n_maps=len(records),
    )  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stars", type=int, default=500)
    arguments = parser.parse_args()
    out = Path(f"benchmarks/output/field-skies-{arguments.stars}.jsonl")
    done = numbered_runs(partial(one, n_stars=arguments.stars), len(SKIES), out, workers=1)
    with recording("field-skies", seed=1):
        summary(done, arguments.stars)
