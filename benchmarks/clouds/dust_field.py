"""The dust of a mock field against the truth: single pixels, binned means, a Wiener filter, and the map with neighbours.

    python -m benchmarks.clouds.dust_field [--stars 12000] [--size 8] [--seed 1]

A patchy sheet at 300 pc and a smoother one at 900 pc, each the exponential of a normal field of known spectrum. Stars are
simulated, prepared and inferred with `mock-sky`, whose flow was trained on the same sky. A second sky, of the same density of
stars, has no dust, and photometry that reads 0.01 mag too red. Posteriors and the map of single pixels are kept in
benchmarks/output, so that a run that was stopped goes on from there; those that other code made are not taken.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from astropy.table import Table
from astropy_healpix import HEALPix
from benchmarks.numbered_runs import ROOT, code_digest
from benchmarks.results import recording, say, table
from scipy.interpolate import interp1d
from scipy.linalg import cho_factor, cho_solve

import redflower
from redflower.api.sightlines import sightline_rows
from redflower.field.sampler import FieldSettings
from redflower.posterior import InferenceSettings
from redflower.posterior.density import joint_density
from redflower.products.field_map import FieldMap
from redflower.products.skymap import SkyMap, write_sky_map
from redflower.simulate import DustField, DustSheet, draw_dust_field
from redflower.simulate.dust_field import field_spectrum
from redflower.sky_patch import SkyPatch, unit_vectors

SHEETS = (DustSheet(300.0, 0.05, 0.7, 0.5), DustSheet(900.0, 0.06, 0.3, 1.5))
#: Distances out to which maps are compared, and between which stars tell of them where no density is used. [pc]
OUT_TO_PC = (600.0, 2000.0)
STARS_BETWEEN_PC = ((400.0, 850.0), (1000.0, 1e5))
#: Uniform dust so near that it acts as a wrong zero point. [mag]
ZERO_POINT_MAG = 0.01
FLAT_MAG = 0.003
CENTRE = (120.0, 45.0)
N_PLACES = 8_000
SETTINGS = FieldSettings(n_bursts=3, n_burst=40, n_draws=150, n_chains=2, n_steps=25, n_longer=4)
CELL_STARS = 2.5


def posteriors_of(dust: DustField, n_stars: int, seed: int, keep: Path) -> Table:
    """Simulate, prepare and infer, or read what was kept."""
    path = keep / f"field-{dust.seed}-{len(dust.sheets)}-{n_stars}-{seed}.parquet"
    if path.exists():
        return redflower.read_table(path)
    sky = redflower.simulate(n_stars, seed=seed, dust=dust, g_faint_mag=19.0)
    stars = redflower.prepare(sky, purpose="inference").table
    found = redflower.infer(stars, "mock-sky", settings=InferenceSettings(density=True), progress=False)
    redflower.write_table(found, path)
    return found


def binned_means(
    stars: dict[str, np.ndarray], between: tuple[float, float], nside: int, l_deg, b_deg
) -> np.ndarray:
    """Return the mean of the posterior means of the stars in each place's pixel; where there is none, that of the field."""
    grid = HEALPix(nside, order="nested")
    used = (stars["distance"] > between[0]) & (stars["distance"] < between[1])
    pixel = grid.lonlat_to_healpix(stars["l"][used] * u.deg, stars["b"][used] * u.deg)
    place = grid.lonlat_to_healpix(l_deg * u.deg, b_deg * u.deg)
    known, row = np.unique(pixel, return_inverse=True)
    mean = np.bincount(row, stars["ebv"][used]) / np.bincount(row)
    at = np.minimum(np.searchsorted(known, place), len(known) - 1)
    return np.where(known[at] == place, mean[at], stars["ebv"][used].mean())


def wiener(
    stars: dict[str, np.ndarray],
    between: tuple[float, float],
    covariance: Callable[[np.ndarray], np.ndarray],
    l_deg,
    b_deg,
) -> np.ndarray:
    """Filter the stars' posterior means with the covariance of the reddening as a function of the angle, about their mean."""
    used = (stars["distance"] > between[0]) & (stars["distance"] < between[1])

    def between_places(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return covariance(np.degrees(np.sqrt(np.maximum(2.0 - 2.0 * a @ b.T, 0.0))))

    at = unit_vectors(stars["l"][used], stars["b"][used])
    noise = stars["error"][used] ** 2
    matrix = between_places(at, at) + np.diag(noise)
    mean = np.average(stars["ebv"][used], weights=1.0 / (noise + covariance(0.0)))
    weight = cho_solve(cho_factor(matrix, overwrite_a=True), stars["ebv"][used] - mean)
    places = unit_vectors(l_deg, b_deg)
    return mean + np.concatenate([between_places(p, at) @ weight for p in np.array_split(places, 40)])


def true_covariance(dust: DustField, out_to_pc: float) -> interp1d:
    """Return the covariance of the reddening as a function of the angle [deg]: of the exponential of a normal field."""
    n, cell_deg = 1024, 0.03
    q = 2.0 * np.pi * np.fft.fftfreq(n, cell_deg)
    wave_number = np.hypot(q[:, None], q)
    angle = cell_deg * np.arange(n // 2)
    total = np.zeros(n // 2)
    for sheet in dust.sheets:
        if sheet.distance_pc < out_to_pc:
            spectrum = field_spectrum(wave_number, sheet.length_deg, sheet.slope)
            of_logs = sheet.log_scatter**2 * np.fft.ifft2(spectrum / spectrum.mean()).real[0, : n // 2]
            total += sheet.ebv_mag**2 * np.expm1(of_logs)
    return interp1d(angle, total, bounds_error=False, fill_value=(total[0], 0.0))


def star_numbers(posteriors: Table) -> dict[str, np.ndarray]:
    """Return what the simple maps take of the stars that the fits use."""
    rows = sightline_rows(posteriors, joint_density(posteriors))
    names = {"l": "l", "b": "b", "ebv": "ebv_mean", "error": "ebv_std", "distance": "distance_mean"}
    return {short: np.asarray(posteriors[name], float)[rows] for short, name in names.items()}


def field_of(posteriors: Table, n_stars: int, size_deg: float, seed: int) -> tuple[FieldMap, float]:
    """Fit the map with neighbours; return it and the processor time it took. [s]"""
    began = time.process_time()
    cell_deg = size_deg * np.sqrt(CELL_STARS / n_stars)
    found = redflower.field_map(
        posteriors,
        distance_pc=[150.0, *OUT_TO_PC],
        cell_deg=float(cell_deg),
        nside=512,
        shell_mag=0.5,
        settings=SETTINGS,
        seed=seed,
    )
    return found, time.process_time() - began


def single_pixels(dust: DustField, posteriors: Table, keep: Path) -> SkyMap:
    """Fit every pixel by itself, or read what was kept."""
    path = keep / f"pixels-{dust.seed}-{len(posteriors)}.fits"
    if path.exists():
        return redflower.read_sky_map(path)
    found = redflower.sky_map(posteriors, nside=64, distance_pc=OUT_TO_PC, progress=False)
    write_sky_map(found, path)
    return found


def compare(
    dust: DustField,
    posteriors: Table,
    field: FieldMap,
    places: tuple[np.ndarray, np.ndarray],
    keep: Path,
) -> None:
    """Tabulate the error of every map at places of the field."""
    stars, (l_deg, b_deg) = star_numbers(posteriors), places
    rows = table(
        {
            "map": "",
            "out to [pc]": ".0f",
            "error [mag]": ".4f",
            "of means over 0.46 deg [mag]": ".4f",
            "offset [mag]": "+.4f",
            "the dust's own scatter [mag]": ".4f",
        }
    )
    pixels = single_pixels(dust, posteriors, keep)
    at = coordinates_of(l_deg, b_deg)
    area = HEALPix(128, order="nested").lonlat_to_healpix(l_deg * u.deg, b_deg * u.deg)
    _, row, count = np.unique(area, return_inverse=True, return_counts=True)
    for k, (out_to, between) in enumerate(zip(OUT_TO_PC, STARS_BETWEEN_PC, strict=True)):
        truth = dust.ebv_mag(l_deg, b_deg, out_to)
        maps = {"every pixel by itself, nside 64": pixels.query(at)[:, k]}
        maps |= {
            f"binned means, nside {nside}": binned_means(stars, between, nside, l_deg, b_deg)
            for nside in (64, 128)
        }
        maps["Wiener filter of posterior means, true spectrum"] = wiener(
            stars, between, true_covariance(dust, out_to), l_deg, b_deg
        )
        maps["with neighbours, nside 512"] = field.query(at)[:, k + 1]
        for name, found in maps.items():
            known = np.isfinite(found)
            off = found[known] - truth[known]
            of_means = (np.bincount(row[known], off, len(count)) / count)[count > 0.7 * np.median(count)]
            rows.row(name, out_to, off.std(), of_means.std(), off.mean(), truth.std())


def coordinates_of(l_deg: np.ndarray, b_deg: np.ndarray) -> SkyCoord:
    """Return positions as coordinates."""
    return SkyCoord(l_deg * u.deg, b_deg * u.deg, frame="galactic")


def coverage(dust: DustField, field: FieldMap, places: tuple[np.ndarray, np.ndarray]) -> None:
    """Tabulate how often intervals of the samples hold the truth: pixels, averages over larger ones, the whole field."""
    l_deg, b_deg = places
    rows = table({"averages over": "", "out to [pc]": ".0f", "areas": "d", "in 68 %": ".2f", "in 90 %": ".2f", "in 95 %": ".2f",
                  "error [mag]": ".4f",
                  "stated [mag]": ".4f"})  # fmt: skip
    at = coordinates_of(l_deg, b_deg)
    samples = field.query(at, mode="samples")
    for name, nside in (("nside 256", 256), ("nside 128", 128), ("nside 64", 64), ("nside 32", 32)):
        area = HEALPix(nside, order="nested").lonlat_to_healpix(l_deg * u.deg, b_deg * u.deg)
        _, row, count = np.unique(area, return_inverse=True, return_counts=True)
        # Whole areas only: those of the border have fewer places.
        whole = count > 0.7 * np.median(count)
        for k, out_to in enumerate(OUT_TO_PC):
            truth = (np.bincount(row, dust.ebv_mag(l_deg, b_deg, out_to)) / count)[whole]
            drawn = np.stack([np.bincount(row, s) / count for s in samples[:, k + 1].T])[:, whole]
            held = [_inside(drawn, truth, level) for level in (68, 90, 95)]
            error = np.sqrt(((drawn.mean(axis=0) - truth) ** 2).mean())
            rows.row(name, out_to, int(whole.sum()), *held, error, np.sqrt(drawn.var(axis=0).mean()))


def _inside(drawn: np.ndarray, truth: np.ndarray, level: float) -> float:
    low, high = np.percentile(drawn, [50 - level / 2, 50 + level / 2], axis=0)
    return float(((truth >= low) & (truth <= high)).mean())


def spectrum(dust: DustField, field: FieldMap) -> None:
    """Tabulate the power of the map and of its samples over that of the truth, by scale."""
    n, patch = 96, dust.patch
    axis = patch.size_deg * 0.96 * ((np.arange(n) + 0.5) / n - 0.5)
    x, y = (a.ravel() for a in np.meshgrid(axis, axis))
    l_deg, b_deg = patch.to_sky(x, y)
    samples = field.query(coordinates_of(l_deg, b_deg), mode="samples")[:, -1].T.reshape(-1, n, n)
    q = 2.0 * np.pi * np.fft.fftfreq(n, axis[1] - axis[0])
    scale_deg = 2.0 * np.pi / np.maximum(np.hypot(q[:, None], q), 1e-9)

    def power(maps: np.ndarray) -> np.ndarray:
        window = np.hanning(n)[:, None] * np.hanning(n)
        centred = (maps - maps.mean(axis=(-2, -1), keepdims=True)) * window
        return np.abs(np.fft.fft2(centred)) ** 2

    truth = power(dust.ebv_mag(l_deg, b_deg, OUT_TO_PC[-1]).reshape(n, n))
    mean, drawn = power(samples.mean(axis=0)), power(samples[::4]).mean(axis=0)
    rows = table(
        {"scale [deg]": "", "power of the mean map over the truth's": ".2f", "of the samples": ".2f"}
    )
    for low, high in ((2.0, 8.0), (1.0, 2.0), (0.5, 1.0), (0.3, 0.5)):
        there = (scale_deg >= low) & (scale_deg < high)
        rows.row(
            f"{low:g} to {high:g}",
            mean[there].sum() / truth[there].sum(),
            drawn[there].sum() / truth[there].sum(),
        )


def star_density(dust: DustField, field: FieldMap) -> None:
    """Say whether the map's error goes with the number of stars."""
    l_deg, b_deg = field.centres_deg()
    inside = dust.patch.holds(l_deg, b_deg)
    off = field.ebv_mag[inside, -1] - dust.ebv_mag(l_deg[inside], b_deg[inside], OUT_TO_PC[-1])
    found = float(np.corrcoef(off, field.n_star[inside])[0, 1])
    say(
        "The error out to 2,000 pc and the number of stars in a pixel have a correlation of {correlation:+.3f}; "
        "chance gives up to {chance:.3f} (95 %).",
        correlation=found, chance=1.96 / np.sqrt(inside.sum()),
    )  # fmt: skip


def main(n_stars: int, size_deg: float, seed: int, keep: Path) -> None:
    """Make the skies, the maps and the tables."""
    rng = np.random.default_rng([seed, 5])
    dust = draw_dust_field(SkyPatch(*CENTRE, size_deg), SHEETS, seed=seed)
    posteriors = posteriors_of(dust, n_stars, seed, keep)
    field, spent_s = field_of(posteriors, n_stars, size_deg, seed)
    zero = field.zero_point_mag
    say(
        "{n_stars:,} stars on {area:.0f} square degrees, {used:,} of them in the fit, which took {minutes:.0f} minutes of one "
        "core ({pixels:,} pixels, {samples} samples, R-hat {r_hat:.2f}). Zero point of the reddenings: {zero:+.4f} +- "
        "{zero_error:.4f} mag.",
        n_stars=n_stars, area=size_deg**2, used=int(field.n_star.sum()), minutes=spent_s / 60.0, pixels=len(field.pixel),
        samples=len(field.samples_mag), r_hat=field.numbers["r_hat"][0], zero=zero.mean(), zero_error=zero.std(),
    )  # fmt: skip
    say(
        "Error: the scatter of the difference to the truth at {n:,} places, its mean (offset) apart.",
        n=N_PLACES,
    )
    places = SkyPatch(*CENTRE, 0.96 * size_deg).draw(N_PLACES, rng)
    compare(dust, posteriors, field, places, keep)
    say(
        "How often the samples' intervals hold the true mean of an area, and the error of their mean against what they state:"
    )
    coverage(dust, field, places)
    spectrum(dust, field)
    star_density(dust, field)
    clear_size = size_deg / 2.0
    clear = draw_dust_field(
        SkyPatch(*CENTRE, clear_size), [DustSheet(1.0, ZERO_POINT_MAG, 0.0, 1.0)], seed=seed
    )
    found, _ = field_of(posteriors_of(clear, n_stars // 4, seed, keep), n_stars // 4, clear_size, seed)
    say(
        "A sky without dust whose photometry reads {zero_point:.2f} mag too red ({stars:,} stars):",
        zero_point=ZERO_POINT_MAG,
        stars=n_stars // 4,
    )
    rows = table(
        {
            "out to [pc]": ".0f",
            "mean of the map [mag]": ".4f",
            "its scatter over the field [mag]": ".4f",
            "stated error [mag]": ".4f",
        }
    )
    for k, distance in enumerate(found.distance_pc):
        values = found.ebv_mag[:, k]
        rows.row(distance, values.mean(), values.std(), found.ebv_std_mag[:, k].mean())
    say(
        "Its zero point: {clear_zero:+.4f} +- {clear_error:.4f} mag.",
        clear_zero=found.zero_point_mag.mean(),
        clear_error=found.zero_point_mag.std(),
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stars", type=int, default=12_000)
    parser.add_argument("--size", type=float, default=8.0, help="side of the field [deg]")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    # What the map with neighbours is made of does not matter to the stars.
    kept = ROOT / "benchmarks" / "output" / f"dust-field-{code_digest(without='/field')}"
    kept.mkdir(parents=True, exist_ok=True)
    with recording("dust-field", seed=arguments.seed):
        main(arguments.stars, arguments.size, arguments.seed, kept)
