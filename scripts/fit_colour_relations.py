"""Fit the mock sky's intrinsic colours and ridge lines to real stars.

    python scripts/fit_colour_relations.py DATA_DIR [--output FILE]

DATA_DIR holds ``green2020_10k_stars.h5`` (test set of Green et al. 2021: photometry, parallaxes, reddening and
spectroscopic Teff, log g, [Fe/H] of 10,000 stars) and ``m67_gaiadr2_ps1_2mass.fits`` (stars of the cluster M67). What is
written is coefficients, residuals and counts, never a star.

1. The unit of the sample's reddening r: E(B-V) = factor x r, from the reddened stars (0.05 < r < 0.5) whose r is that of the
   three-dimensional map; smaller r say little, and the errors of r would pull the slope down.
2. Colours (band - G) of dwarfs and of giants against intrinsic BP - RP and [Fe/H]: natural cubic splines, Tukey weights.
3. The residual covariance between colours at fixed BP - RP, in bins of BP - RP, with the photometric noise taken off.
4. M_G of the main sequence against BP - RP and [Fe/H], and BP - RP of the giant branch against M_G and [Fe/H].

Gaia magnitudes of both files are those of DR2, whose G drifts by 3.2 mmag per magnitude up to G = 16 against its own BP and
RP (Maiz Apellaniz & Weiler 2018, A&A 619, A180); the drift relative to G = 15 is taken out.
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import h5py
import jax
import jax.numpy as jnp
import numpy as np
from astropy.table import Table
from scipy.interpolate import CubicSpline
from scipy.optimize import linprog

from redflower.bands import BANDS, BP, N_BANDS, RP, G
from redflower.physics.extinction import extinction_mag, intrinsic_bp_rp
from redflower.physics.extinction_laws import ExtinctionLaw, Zhang23Law
from redflower.simulate.colours import FEH_RANGE_DEX, colour_relations, metallicity_weight
from redflower.simulate.populations import BINARY_FRACTION, MASS_MIN_MSUN, zero_age_place

LABELS = [band.label for band in BANDS]
FLOOR_MAG = np.array([band.error_floor_mag for band in BANDS])
M67_EBV_MAG, M67_DISTANCE_PC, M67_FEH_DEX = 0.04, 850.0, 0.03
DWARF_NODES = [0.0, 0.25, 0.5, 0.7, 0.85, 1.0, 1.2, 1.45, 1.7, 1.95, 2.2, 2.6]
GIANT_NODES = [0.75, 0.95, 1.1, 1.25, 1.45, 1.7, 2.1]
FEH_NODES = {"dwarf": [0.3, 0.7, 1.0, 1.4], "giant": [0.8, 1.1, 1.5]}
SCATTER_EDGES = [0.6, 0.8, 1.0, 1.25, 1.6]
LAW = Zhang23Law()


@dataclass
class Stars:
    """Dereddened stars; ``error`` is the catalogue's random error without any floor."""

    magnitude: np.ndarray
    error: np.ndarray
    feh: np.ndarray
    logg: np.ndarray
    m_g: np.ndarray
    ebv: np.ndarray
    good_parallax: np.ndarray

    @property
    def bp_rp(self) -> np.ndarray:
        return self.magnitude[:, BP] - self.magnitude[:, RP]

    def at(self, keep: np.ndarray) -> "Stars":
        return Stars(*(getattr(self, name)[keep] for name in self.__dataclass_fields__))


def gaia_dr2_g_without_drift(g_mag: np.ndarray) -> np.ndarray:
    """DR2 G with its drift against BP and RP taken out, unchanged at G = 15."""
    return g_mag - 0.0032 * (np.clip(g_mag, 6.0, 16.0) - 15.0)


def deredden(magnitude: np.ndarray, ebv: np.ndarray, law: ExtinctionLaw = LAW) -> np.ndarray:
    observed = jnp.asarray(magnitude[:, BP] - magnitude[:, RP])
    colour = jax.vmap(lambda c, e: intrinsic_bp_rp(law, c, e))(observed, jnp.asarray(ebv))
    return magnitude - np.asarray(jax.vmap(lambda e, c: extinction_mag(law, e, c))(jnp.asarray(ebv), colour))


def read_green(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The sample, its magnitudes in our bands (drift of G removed, NaN for missing) and errors without the floor."""
    with h5py.File(path) as file:
        data = file["data"][:]
    magnitude = data["mag"][:, :N_BANDS].astype(float)
    error = np.sqrt(np.maximum(data["mag_err"][:, :N_BANDS].astype(float) ** 2 - 0.02**2, 0.0))
    magnitude[~np.isfinite(magnitude) | ~np.isfinite(error)] = np.nan
    magnitude[:, G] = gaia_dr2_g_without_drift(magnitude[:, G])
    return data, magnitude, error


def reddening_unit(data: np.ndarray, magnitude: np.ndarray) -> tuple[float, float]:
    """E(B-V) per r, from how BP - RP of stars of one spectrum changes with r; and the range between colours."""
    teff, logg, feh = data["atm_param"].astype(float).T
    r = data["r"].astype(float)
    found = []
    for blue, red in ((BP, RP), (LABELS.index("g"), LABELS.index("y")), (G, LABELS.index("Ks"))):
        colour = magnitude[:, blue] - magnitude[:, red]
        keep = (data["r_source"] == b"b19") & (r > 0.05) & (r < 0.5) & np.isfinite(colour)
        keep &= (teff > 4200) & (teff < 8000)
        keep &= np.isfinite(magnitude[:, BP] - magnitude[:, RP])
        bp_rp = jnp.asarray((magnitude[:, BP] - magnitude[:, RP] - 1.3 * r)[keep])
        per_unit = np.asarray(jax.vmap(lambda e, c: LAW.coefficients(e, c))(jnp.asarray(r[keep]), bp_rp))
        inverse, gravity = 5040 / teff[keep] - 1, logg[keep] - 4
        powers = [(i, j, k) for i in range(5) for j in range(3) for k in range(3) if i + j + k <= 4]
        terms = [inverse**i * gravity**j * feh[keep] ** k for i, j, k in powers]
        design = np.stack([*terms, r[keep] * (per_unit[:, blue] - per_unit[:, red])], axis=1)
        found.append(tukey_fit(design, colour[keep], np.ones(keep.sum()))[0][-1])
    return float(np.mean(found)), float(np.ptp(found))


def load_green(path: Path, factor: float) -> tuple[Stars, np.ndarray]:
    data, magnitude, error = read_green(path)
    ebv = factor * data["r"].astype(float)
    magnitude = deredden(magnitude, ebv)
    parallax = data["parallax"].astype(float) + 0.03  # DR2 zero point (Lindegren et al. 2018), rounded
    with np.errstate(invalid="ignore", divide="ignore"):
        m_g = magnitude[:, G] + 5 * np.log10(parallax / 100)
    params = data["atm_param"].astype(float)
    known = (data["r_source"] != b"default") & np.isfinite(magnitude[:, BP] - magnitude[:, RP])
    good = parallax / data["parallax_err"].astype(float) > 15
    return Stars(magnitude, error, params[:, 2], params[:, 1], m_g, ebv, good), known


def load_m67(path: Path) -> Stars:
    table = Table.read(path)

    def column(name: str) -> np.ndarray:
        return np.ma.filled(np.ma.masked_invalid(np.ma.asarray(table[name], float)), np.nan)

    gaia = [f"gaia_dr2_source.phot_{b}_mean" for b in ("g", "bp", "rp")]
    other = [f"PS_{b}" for b in "grizy"] + [f"2MASS_{b}" for b in ("J", "H", "Ks")]
    magnitude = np.stack([column(f"{c}_mag") for c in gaia] + [column(c) for c in other], axis=1)
    flux_error = [1.0857 * column(f"{c}_flux_error") / column(f"{c}_flux") for c in gaia]
    error = np.stack(flux_error + [column(f"{c}_Err") for c in other], axis=1)
    magnitude[~(error < 0.08)] = np.nan
    magnitude[:, G] = gaia_dr2_g_without_drift(magnitude[:, G])
    keep = np.isfinite(magnitude[:, [G, BP, RP]]).all(axis=1) & (column("HDBscan_MemProb") > 0.2)
    magnitude, error = magnitude[keep], error[keep]
    ebv = np.full(len(magnitude), M67_EBV_MAG)
    magnitude = deredden(magnitude, ebv)
    m_g = magnitude[:, G] - 5 * np.log10(M67_DISTANCE_PC / 10)
    logg = np.where((m_g < 3.3) & (magnitude[:, BP] - magnitude[:, RP] > 0.95), 3.0, 4.5)
    return Stars(magnitude, error, np.full(len(ebv), M67_FEH_DEX), logg, m_g, ebv, np.ones(len(ebv), bool))


def join(first: Stars, second: Stars) -> Stars:
    return Stars(
        *(np.concatenate([getattr(first, n), getattr(second, n)]) for n in first.__dataclass_fields__)
    )


def cardinal(nodes: list[float], x: np.ndarray, derivative: int = 0) -> np.ndarray:
    """Values at x of the natural cubic splines that are 1 at one node and 0 at the others; linear outside."""
    spline = CubicSpline(nodes, np.eye(len(nodes)), bc_type="natural")
    inside = np.clip(x, nodes[0], nodes[-1])
    if derivative:
        return spline(inside, 1)
    beyond = (x - inside)[:, None]
    return spline(inside) + beyond * spline(inside, 1)


def tukey_fit(design: np.ndarray, y: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Least squares with Tukey's biweight (4.7 sigma), a faint ridge keeping empty ends finite."""
    ridge = 1e-4 * np.eye(design.shape[1])
    used = weight
    for _ in range(20):
        root = np.sqrt(used / used.mean())[:, None]
        solution = np.linalg.lstsq(
            np.vstack([design * root, ridge]), np.r_[y * root[:, 0], np.zeros(len(ridge))]
        )[0]
        residual = y - design @ solution
        scaled = residual / (4.7 * robust_std(residual) + 1e-9)
        used = weight * np.where(np.abs(scaled) < 1, (1 - scaled**2) ** 2, 0.0)
    return solution, residual


def robust_std(values: np.ndarray) -> float:
    return float(1.4826 * np.nanmedian(np.abs(values - np.nanmedian(values))))


def fit_colours(stars: Stars, kind: str, nodes: list[float]) -> tuple[dict, np.ndarray, np.ndarray]:
    """Relations of one class, every star's residual in every colour, and the slopes d(colour)/d(BP - RP)."""
    x = stars.bp_rp
    feh = np.clip(stars.feh, *FEH_RANGE_DEX) * (metallicity_weight(x) if kind == "dwarf" else 1.0)
    value, metal = cardinal(nodes, x), cardinal(FEH_NODES[kind], x)
    design = np.hstack([value, feh[:, None] * metal, feh[:, None] ** 2])
    residuals, slopes = np.full(stars.magnitude.shape, np.nan), np.zeros(stars.magnitude.shape)
    entry: dict = {"bp_rp_mag": nodes, "feh_bp_rp_mag": FEH_NODES[kind], "colours": {}}
    for i, label in enumerate(LABELS):
        if i in (G, RP):
            continue
        colour = stars.magnitude[:, i] - stars.magnitude[:, G]
        use = np.isfinite(colour) & (stars.error[:, i] < 0.05)
        weight = 1 / (stars.error[use, i] ** 2 + FLOOR_MAG[i] ** 2 + 0.015**2)
        solution, residual = tukey_fit(design[use], colour[use], weight)
        residuals[use, i] = residual
        slopes[:, i] = cardinal(nodes, x, 1) @ solution[: len(nodes)]
        n = len(nodes)
        entry["colours"][label] = {
            "value_mag": solution[:n].round(5).tolist(),
            "feh_mag": solution[n:-1].round(5).tolist(),
            "feh2_mag": round(float(solution[-1]), 5),
            "n_stars": int(use.sum()),
            "residual_std_mag": round(robust_std(residual), 5),
        }
    residuals[:, RP], slopes[:, RP] = residuals[:, BP], slopes[:, BP] - 1.0
    return entry, residuals, slopes


def residual_covariance(
    residuals: np.ndarray, slopes: np.ndarray, error: np.ndarray, floor_mag: np.ndarray = FLOOR_MAG
) -> np.ndarray:
    """Intrinsic covariance of the colours: that of the clipped residuals less that of the photometric noise.

    The noise of a residual is that of its band, of G, and of BP - RP through the slope of the relation.
    """
    n_bands = residuals.shape[1]
    scale = np.array([robust_std(r) if np.isfinite(r).any() else 1.0 for r in residuals.T]) + 1e-9
    residuals = np.where(np.arange(n_bands) == G, 0.0, residuals)
    # The variances are the robust ones; the correlations are those of the residuals clipped at 3 sigma.
    clipped = np.clip(residuals - np.nanmedian(residuals, axis=0), -3 * scale, 3 * scale)
    total, noise = np.zeros((n_bands, n_bands)), np.zeros((n_bands, n_bands))
    jacobian = np.zeros((len(error), n_bands, n_bands))
    for i in range(1, n_bands):
        jacobian[:, i, i] += 1.0
        jacobian[:, i, G] -= 1.0
        jacobian[:, i, BP] -= slopes[:, i]
        jacobian[:, i, RP] += slopes[:, i]
    variance = np.where(np.isfinite(error), error, 0.0) ** 2 + floor_mag**2
    for i in range(1, n_bands):
        for j in range(1, n_bands):
            both = np.isfinite(clipped[:, i]) & np.isfinite(clipped[:, j])
            first, second = clipped[both, i], clipped[both, j]
            correlation = np.mean(first * second) / (np.sqrt(np.mean(first**2) * np.mean(second**2)) + 1e-18)
            total[i, j] = correlation * scale[i] * scale[j]
            noise[i, j] = np.median(np.sum(jacobian[both, i] * variance[both] * jacobian[both, j], axis=1))
    return total - noise


def factor_of(covariance: np.ndarray) -> np.ndarray:
    """A matrix F with F F^T near the covariance, never negative, and never larger on the diagonal.

    BP and RP have one residual, since BP - RP is held fixed.
    """
    order = [i for i in range(1, N_BANDS) if i != RP]
    values, vectors = np.linalg.eigh(covariance[np.ix_(order, order)])
    small = vectors * np.sqrt(np.maximum(values, 0.0))
    wanted = np.sqrt(np.maximum(np.diag(covariance)[order], 0.0))
    have = np.sqrt((small**2).sum(axis=1))
    small *= (np.minimum(wanted, have) / np.maximum(have, 1e-9))[:, None]
    factor = np.zeros((N_BANDS, N_BANDS))
    factor[np.ix_(order, range(len(order)))] = small
    factor[RP] = factor[BP]
    return factor


def take_off_binaries(content: dict) -> None:
    """Turn the relations of the sample, a mixture, into those of single stars, in place.

    The light of a companion makes a system redder towards the infrared than a single star of its BP - RP. The median shift of
    an unevolved population with the mock sky's binaries, at each node, is taken off the dwarfs' relations.
    """
    rng = np.random.default_rng(1)
    n = 200_000
    relations, ridge, zero = colour_relations(content), content["main_sequence"], np.zeros(n)
    mass = np.exp(rng.uniform(np.log(0.25), np.log(1.7), n))
    companion = np.where(rng.random(n) < BINARY_FRACTION, mass * rng.random(n), 0.0)
    lit = companion > MASS_MIN_MSUN
    m_g, colour = zero_age_place(mass, zero, ridge)
    first = m_g[:, None] + relations.colours(colour, zero, zero)
    m_g, colour = zero_age_place(np.maximum(companion, MASS_MIN_MSUN), zero, ridge)
    second = m_g[:, None] + relations.colours(colour, zero, zero)
    system = np.where(lit[:, None], -2.5 * np.log10(10 ** (-0.4 * first) + 10 ** (-0.4 * second)), first)
    # With the scatter: without it the median would be that of the single stars, which are more than half.
    system += relations.scatter(system[:, BP] - system[:, RP], rng)
    bp_rp = system[:, BP] - system[:, RP]
    shift = system - system[:, [G]] - relations.colours(bp_rp, zero, zero)
    entry = content["classes"]["dwarf"]
    for label, term in entry["colours"].items():
        i = LABELS.index(label)
        medians = [
            np.median(shift[np.abs(bp_rp - node) < 0.05, i]) if 0.45 < node < 2.4 else 0.0
            for node in entry["bp_rp_mag"]
        ]
        term["binary_shift_mag"] = np.round(medians, 5).tolist()
        term["value_mag"] = np.round(np.array(term["value_mag"]) - medians, 5).tolist()


def quantile_fit(design: np.ndarray, y: np.ndarray, quantile: np.ndarray) -> np.ndarray:
    """Linear quantile regression, each star with its own quantile."""
    n, k = design.shape
    cost = np.r_[np.zeros(k), quantile, 1 - quantile]
    equal = np.hstack([design, np.eye(n), -np.eye(n)])
    result = linprog(
        cost, A_eq=equal, b_eq=y, bounds=[(None, None)] * k + [(0, None)] * (2 * n), method="highs"
    )
    return result.x[:k]


def fit_main_sequence(stars: Stars) -> dict:
    """Ridge of single, unevolved dwarfs: the faint side of the distribution of M_G at given BP - RP and [Fe/H].

    Redder than 0.95 nothing has evolved and the ridge is the 65th percentile (binaries lie above it); bluer, where age
    brightens most stars, the 85th.
    """
    nodes = [0.2, 0.5, 0.7, 0.9, 1.1, 1.4, 1.8, 2.2, 2.6]
    keep = (
        stars.good_parallax
        & (stars.logg > 3.9)
        & (stars.bp_rp > 0.1)
        & (stars.bp_rp < 2.7)
        & np.isfinite(stars.m_g)
    )
    keep &= stars.m_g > 0.5
    rng = np.random.default_rng(0)
    index = np.flatnonzero(keep)
    index = rng.choice(index, min(len(index), 1500), replace=False)
    x, m_g = stars.bp_rp[index], stars.m_g[index]
    feh = np.clip(stars.feh[index], *FEH_RANGE_DEX) * metallicity_weight(x)
    quantile = 0.85 - 0.20 * np.clip((x - 0.75) / 0.2, 0, 1)
    solution = quantile_fit(np.hstack([cardinal(nodes, x), feh[:, None]]), m_g, quantile)
    return {
        "bp_rp_mag": nodes,
        "m_g_mag": solution[:-1].round(4).tolist(),
        "slope_mag_per_dex": round(float(solution[-1]), 4),
        "n_stars": len(index),
    }


def fit_giant_branch(stars: Stars) -> dict:
    """BP - RP of the giant branch against M_G, and its change with [Fe/H]."""
    nodes = [-1.5, 0.0, 1.5, 2.5, 3.5]
    keep = (
        stars.good_parallax
        & (stars.logg < 3.6)
        & (stars.bp_rp > 0.9)
        & (stars.m_g < 3.6)
        & (stars.m_g > -2.5)
    )
    # The clump is bluer than the branch at its luminosity.
    keep &= ~((np.abs(stars.m_g - 0.5) < 0.45) & (stars.bp_rp < 1.26 + 0.17 * stars.feh))
    m_g, feh = stars.m_g[keep], np.clip(stars.feh[keep], -1.5, 0.4)
    design = np.hstack([cardinal(nodes, m_g), feh[:, None]])
    solution, residual = tukey_fit(design, stars.bp_rp[keep], np.ones(keep.sum()))
    return {
        "m_g_mag": nodes,
        "bp_rp_mag": solution[:-1].round(4).tolist(),
        "slope_mag_per_dex": round(float(solution[-1]), 4),
        "residual_std_mag": round(robust_std(residual), 4),
        "n_stars": int(keep.sum()),
    }


def fit_all(data_dir: Path) -> dict:
    path = data_dir / "green2020_10k_stars.h5"
    factor, spread = reddening_unit(*read_green(path)[:2])
    green, known = load_green(path, factor)
    m67 = load_m67(data_dir / "m67_gaiadr2_ps1_2mass.fits")
    x = green.bp_rp
    low = known & (green.ebv < 0.06) & (green.error[:, BP] < 0.05)
    dwarfs = low & ((green.logg > 3.6) | (x < 0.8))
    giants = low & (green.logg < 3.6) & (x > 0.75)
    # The sample thins out among the M dwarfs; the cluster's, of one metallicity, carry the relations on.
    cool = (m67.bp_rp > 1.3) & (m67.m_g > 4) & (m67.error[:, BP] < 0.03)
    of_dwarfs = join(green.at(dwarfs), m67.at(cool))
    dwarf, residuals, slopes = fit_colours(of_dwarfs, "dwarf", DWARF_NODES)
    giant, giant_residuals, _ = fit_colours(green.at(giants), "giant", GIANT_NODES)
    only_green = np.arange(len(residuals)) < dwarfs.sum()
    bins = np.searchsorted(SCATTER_EDGES, of_dwarfs.bp_rp)
    factors, stds, counts = [], [], []
    for i in range(len(SCATTER_EDGES) + 1):
        here = (bins == i) & only_green
        matrix = factor_of(residual_covariance(residuals[here], slopes[here], of_dwarfs.error[here]))
        factors.append(matrix.round(6).tolist())
        stds.append(np.sqrt((matrix**2).sum(axis=1)).round(5).tolist())
        counts.append(int(here.sum()))
    near = known & (green.ebv < 0.15)
    branch_stars = join(green.at(near), m67.at(m67.logg < 4))
    content = {
        "provenance": {
            "script": "scripts/fit_colour_relations.py",
            "colours": "Green et al. (2021, ApJ 907, 57), 10,000-star test set, E(B-V) < 0.06; BP - RP > 1.3 also M67",
            "photometry": "Gaia DR2 (drift of G removed), Pan-STARRS1, 2MASS",
            "extinction": "Zhang & Yuan (2023)",
            "ebv_per_r": round(factor, 4),
            "ebv_per_r_range_between_colours": round(spread, 4),
        },
        "bands": LABELS,
        "classes": {"dwarf": dwarf, "giant": giant},
        "scatter": {
            "bp_rp_edges_mag": SCATTER_EDGES,
            "factor_mag": factors,
            "intrinsic_std_mag": stds,
            "n_stars": counts,
        },
        "main_sequence": fit_main_sequence(green.at(near)),
        "giant_branch": fit_giant_branch(branch_stars),
    }
    take_off_binaries(content)
    return content


def main() -> None:
    parser = argparse.ArgumentParser(description="Fit the mock sky's colours to real stars.")
    parser.add_argument("data_dir", type=Path)
    default = Path(__file__).resolve().parents[1] / "src" / "redflower" / "data" / "mock_colours.json"
    parser.add_argument("--output", type=Path, default=default)
    arguments = parser.parse_args()
    result = fit_all(arguments.data_dir)
    arguments.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    for kind, entry in result["classes"].items():
        for label, term in entry["colours"].items():
            print(
                f"{kind:6s} {label:3s} - G: {term['n_stars']:5d} stars, residual {term['residual_std_mag']:.4f} mag"
            )
    print("E(B-V) per r:", result["provenance"]["ebv_per_r"])


if __name__ == "__main__":
    main()
