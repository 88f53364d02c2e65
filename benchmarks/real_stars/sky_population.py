"""The population ``sky`` beside real stars that were not used to make it.

    python -m benchmarks.real_stars.sky_population DATA_DIR [--population sky] [--stars 60000]

1. The held-out third of the stars of Green et al. (2021): median residual of every colour from the relations, in bins
   of [Fe/H] and of M_G.
2. Stripe 82: star counts in G, quantiles of colours in slices of G, and colours at a fixed one, of the field and of the
   simulated field under its dust.

Half of Stripe 82's late dwarfs had a part in the fit of the colours (scripts/field_dwarfs.py): they are counted, but their
colours are not compared.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

import redflower
from redflower.bands import BANDS, RP, G
from redflower.photometric_scales import make_scale
from redflower.simulate.colours import sky_coefficients, sky_colour_relations
from redflower.simulate.population import find_population
from redflower.simulate.sightlines import MU_STEP_MAG, star_density
from redflower.simulate.sky import _LIBRARY_SIZE, _window

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
from benchmarks.results import recording, say, table
from field_dwarfs import B_DEG, L_DEG, read_field
from fit_colour_relations import load_m67 as load_m67
from fit_sky_population import load_green, moved
from fit_sky_population import to_archive_scale as to_archive_scale

LABELS = [band.label for band in BANDS]
FEH_EDGES_DEX = (-2.5, -2.0, -1.5, -1.0, -0.75, -0.5, -0.25, 0.0, 0.25, 0.5)
AREA_DEG2 = 0.63
#: Dust of the field: maps say 0.042 to 0.059 (SFD 0.0485, HI4PI 0.045).
FIELD_EBV_MAG = 0.047
#: Systems ever formed with a primary above 0.1 solar masses, per cubic parsec near the Sun, by the mass function of
#: Chabrier (2003).
SYSTEMS_PER_PC3 = 0.0877
SLICES_MAG = ((14.5, 16.0), (16.0, 17.0), (17.0, 18.0), (18.0, 19.0), (19.0, 20.0), (20.0, 20.5))


def error_of_median(values: np.ndarray) -> float:
    """Standard error of a median."""
    return float(1.25 * 1.4826 * np.median(np.abs(values - np.median(values))) / np.sqrt(len(values)))


def held_out_loci(path: Path) -> list[tuple[str, str, str, int, float, float]]:
    """(class, colour, bin, stars, median residual, its error) of held-out stars."""
    drift = np.zeros((2, len(LABELS)))
    drift[:, 3:8] = sky_coefficients()["ps1_drift"]["mag_per_mag"]
    stars, low, out, _ = load_green(path, drift)
    relations = sky_colour_relations()
    x = stars.bp_rp
    rows = []
    for kind in ("dwarf", "giant"):
        if kind == "dwarf":
            chosen = (stars.logg > 3.8) & (x < 1.3) & (x > 0.45)
            m_g_edges = (3.0, 4.0, 5.0, 6.0, 7.0)
        else:
            chosen = (stars.logg < 3.5) & (x > 0.8)
            m_g_edges = (-2.0, 0.0, 1.0, 2.0, 3.0)
        chosen &= low & out
        expected = relations.colours(np.nan_to_num(x), stars.feh, np.full(len(x), float(kind == "giant")))
        bins = [
            (f"[Fe/H] {a:+.2f} to {b:+.2f}", (stars.feh > a) & (stars.feh <= b))
            for a, b in zip(FEH_EDGES_DEX[:-1], FEH_EDGES_DEX[1:], strict=True)
        ]
        bins += [
            (f"M_G {a:g} to {b:g}", stars.good_parallax & (stars.m_g > a) & (stars.m_g <= b))
            for a, b in zip(m_g_edges[:-1], m_g_edges[1:], strict=True)
        ]
        for i, label in enumerate(LABELS):
            if i in (G, RP):
                continue
            residual = stars.magnitude[:, i] - stars.magnitude[:, G] - expected[:, i]
            ok = chosen & np.isfinite(residual) & (stars.error[:, i] < 0.05)
            for name, inside in bins:
                values = residual[ok & inside]
                if len(values) >= 5:
                    rows.append(
                        (kind, label, name, len(values), float(np.median(values)), error_of_median(values))
                    )
    return rows


def print_loci(rows: list[tuple[str, str, str, int, float, float]]) -> None:
    """A line per class and bin."""
    for kind in ("dwarf", "giant"):
        say(f"Held-out {kind}s of Green et al.: median residual of colour (band - G) with its error, mmag")
        names = list(dict.fromkeys(row[2] for row in rows if row[0] == kind))
        labels = [label for k, label in enumerate(LABELS) if k not in (G, RP)]
        lines = table({"bin": ""} | dict.fromkeys(labels, "") | {"stars": "d"})
        for name in names:
            found = {row[1]: row for row in rows if row[0] == kind and row[2] == name}
            cells = [
                f"{1e3 * found[label][4]:+.0f} ± {1e3 * found[label][5]:.0f}" if label in found else None
                for label in labels
            ]
            lines.row(name, *cells, max(row[3] for row in found.values()))
    optical = [row for row in rows if row[1] not in ("J", "H", "Ks")]
    bad = [row for row in optical if abs(row[4]) > 0.01]
    say(f"Of {len(optical)} bins of the optical colours {len(bad)} are beyond 10 mmag:")
    for row in bad:
        say(f"  {row[0]} {row[1]} {row[2]}: {1e3 * row[4]:+.1f} +- {1e3 * row[5]:.1f} mmag, {row[3]} stars")


def expected_counts(population: str, edges_mag: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Stars of the field in bins of G, from the local density of systems, by component: (component, bin)."""
    stars = find_population(population)
    libraries = [stars.draw_library(part, _LIBRARY_SIZE, rng) for part in stars.components]
    # Dust dims all but the nearest: a shift of the limits.
    edges = edges_mag - 2.5 * FIELD_EBV_MAG
    out = np.empty((len(libraries), len(edges) - 1))
    l_deg, b_deg = np.array([L_DEG]), np.array([B_DEG])
    for j, (low, high) in enumerate(zip(edges[:-1], edges[1:], strict=True)):
        window = _window(libraries, (low, high))
        for k in range(len(libraries)):
            one = np.zeros_like(window)
            one[k] = window[k]
            # Density times distance cubed, per unit of ln d; dmu = 5 / ln 10 dln d.
            density = star_density(l_deg, b_deg, stars.components, one)[0]
            out[k, j] = density.sum() * MU_STEP_MAG * np.log(10) / 5
    return out * SYSTEMS_PER_PC3 * AREA_DEG2 * np.radians(1.0) ** 2


def field_table(path: Path) -> dict[str, np.ndarray]:
    """Magnitudes of the field, Gaia moved from DR2 to DR3; NaN where missing."""
    magnitude, _, out = read_field(path)
    columns = dict(zip(LABELS, moved(magnitude, make_scale("gaia=dr2,ps1=archive")).T, strict=True))
    return columns | {"kept_out": out}


def simulated_field(population: str, n_stars: int) -> dict[str, np.ndarray]:
    """Magnitudes of the simulated field under its dust."""
    sky = redflower.simulate(
        n_stars,
        seed=82,
        preset="cone",
        population=population,
        l_deg=L_DEG,
        b_deg=B_DEG,
        radius_deg=float(np.sqrt(AREA_DEG2 / np.pi)),
        clouds=[(150.0, FIELD_EBV_MAG)],
        g_bright_mag=14.0,
        g_faint_mag=20.7,
        include_truth=True,
    )
    out = {band.label: np.asarray(sky[band.magnitude_column].value, float) for band in BANDS[:8]}
    out["component"], out["feh"] = np.asarray(sky["true_component"]), np.asarray(sky["true_feh"])
    return out


def compare_colours(real: dict[str, np.ndarray], mock: dict[str, np.ndarray]) -> None:
    """Quantiles of the colours in slices of G, and the loci at fixed colour."""
    quantiles = (2, 5, 10, 25, 50, 75, 90)
    for blue, red in (("BP", "RP"), ("g", "i")):
        say(f"{blue} - {red}, quantiles in slices of G, field less simulated, mmag:")
        lines = table({"G [mag]": "", "stars": ","} | {f"{q} %": "+.0f" for q in quantiles})
        for low, high in SLICES_MAG:
            rows = []
            for side in (real, mock):
                colour = side[blue] - side[red]
                keep = (side["G"] > low) & (side["G"] < high) & np.isfinite(colour)
                rows.append((np.percentile(colour[keep], quantiles), keep.sum()))
            lines.row(f"{low:g} to {high:g}", rows[0][1], *1e3 * (rows[0][0] - rows[1][0]))
    real = {name: values[real["kept_out"]] for name, values in real.items()}
    fixed_colour(real, mock, ("BP", "RP"), "G", SLICES_MAG[:3], (0.65, 0.8, 0.95, 1.15, 1.5, 2.0, 2.6))
    fixed_colour(real, mock, ("g", "i"), "i", SLICES_MAG[:5], (0.35, 0.5, 0.65, 0.9, 1.3, 1.9, 2.5))


def locus(
    side: dict[str, np.ndarray],
    along: tuple[str, str],
    reference: str,
    label: str,
    in_g_mag: tuple[float, float],
    in_colour_mag: tuple[float, float],
) -> tuple[float, float, int]:
    """Median of a colour (label - reference) at the middle of a bin of another, its error, and the number of stars.

    By a line through the bin: the two sides are spread differently over it.
    """
    x, colour = side[along[0]] - side[along[1]], side[label] - side[reference]
    keep = (side["G"] > in_g_mag[0]) & (side["G"] < in_g_mag[1]) & np.isfinite(colour)
    keep &= (x > in_colour_mag[0]) & (x < in_colour_mag[1])
    if keep.sum() < 15:
        return np.nan, np.nan, int(keep.sum())
    arm = x[keep] - np.mean(in_colour_mag)
    line = np.polyfit(arm, colour[keep], 1)
    rest = colour[keep] - np.polyval(line, arm)
    return float(line[1] + np.median(rest)), error_of_median(rest), int(keep.sum())


def fixed_colour(
    real: dict[str, np.ndarray],
    mock: dict[str, np.ndarray],
    along: tuple[str, str],
    reference: str,
    slices: tuple[tuple[float, float], ...],
    edges: tuple[float, ...],
) -> None:
    """Median colours at a fixed one, field less simulated."""
    labels = ("G", "r", "z", "y") if along[0] == "g" else ("BP", "g", "r", "i", "z", "y")
    say(f"Median colour (band - {reference}) at fixed {along[0]} - {along[1]}, field less simulated, mmag:")
    lines = table({"G [mag]": "", f"{along[0]} - {along[1]}": "", "stars": ","} | dict.fromkeys(labels, ""))
    for in_g in slices:
        for in_colour in zip(edges[:-1], edges[1:], strict=True):
            cells = []
            for label in labels:
                ours, theirs = (
                    locus(side, along, reference, label, in_g, in_colour) for side in (real, mock)
                )
                cells.append(f"{1e3 * (ours[0] - theirs[0]):+.0f} ± {1e3 * ours[1]:.0f}")
            if ours[2] >= 15:
                lines.row(
                    f"{in_g[0]:g} to {in_g[1]:g}", f"{in_colour[0]:g} to {in_colour[1]:g}", ours[2], *cells
                )


def main() -> None:
    """Print every table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("--population", default="sky")
    parser.add_argument("--stars", type=int, default=60_000)
    arguments = parser.parse_args()
    if arguments.population == "sky":
        print_loci(held_out_loci(arguments.data_dir / "green2020_10k_stars.h5"))
    real = field_table(arguments.data_dir / "s82_gaiadr2_ps1.fits")
    edges = np.arange(14.0, 21.01, 0.5)
    expected = expected_counts(arguments.population, edges, np.random.default_rng(5))
    seen = np.histogram(real["G"][np.isfinite(real["G"])], edges)[0]
    components = find_population(arguments.population).components
    say(
        "Star counts in the field, and those expected from the local density of systems, in all and by component:"
    )
    lines = table(
        {"G [mag]": "", "field": ",", "expected": ",.0f", "ratio": ".2f"}
        | {c.name: ",.0f" for c in components}
    )
    for k in range(len(seen)):
        total = expected[:, k].sum()
        lines.row(f"{edges[k]:.1f} to {edges[k + 1]:.1f}", seen[k], total, seen[k] / total, *expected[:, k])
    compare_colours(real, simulated_field(arguments.population, arguments.stars))


if __name__ == "__main__":
    with recording("sky-population"):
        main()
