"""Derive the correction of the printed extinction coefficients from reddened stars with spectra.

    python scripts/derive_extinction_correction.py DATA_DIR [--draws N] [--no-table]

DATA_DIR holds ``green2020_10k_stars.h5`` (Green et al. 2021: photometry, reddening r and spectroscopic Teff, log g, [Fe/H]).
Writes ``src/redflower/data/zhang23_correction.csv`` and ``docs/results/extinction_law.json`` and ``.md``: coefficients,
slopes, errors and counts, never a star.

1. Photometry on the archive's scales, Pan-STARRS1's drift with magnitude taken out (``fit_sky_population.py``).
2. First stage: BP - RP is a polynomial of (Teff, log g, [Fe/H]) plus the printed excess times what r says. Its unit is free,
   by map and by colour, so that neither map's scale nor the noise of r enters what follows: E is the reddening at which the
   printed law has the mean excess in BP - RP of stars of that r.
3. Second stage, band by band: (band - G) less the printed share of (BP - RP), in which a star's own reddening cancels if the
   printed law is right. What is left rises with E by the correction, a cubic in the temperature that the law knows.
   R of G and R_BP - R_RP stay as printed: stars without exact distances do not say them.
4. Errors: bootstrap over stars, half the difference between the two maps, and what the cubic leaves in bins of temperature of
   the fitted stars. Priors, worth little where there are stars, hold the correction near nought at the ends: 0 +- 0.3 at
   4000 K, 0 +- 0.1 at 8000 K. A band whose correction is not significant keeps its printed coefficient.
5. A third of the stars, by a checksum of each row (``held_out``), judges both laws and has no part in any fit.
"""

import argparse
import csv
import json
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from fit_colour_relations import LABELS, read_green, robust_std
from fit_sky_population import held_out, to_archive_scale, without_drift

from redflower.bands import BANDS, BP, N_BANDS, RP, G
from redflower.physics.extinction_laws import Zhang23Law, effective_temperature_k
from redflower.simulate.colours import sky_coefficients

ROOT = Path(__file__).resolve().parents[1]
PRINTED = Zhang23Law()
TEFF_MIN_K, TEFF_MAX_K = 4000.0, 8000.0
#: Prior of the correction at the two ends: temperature, one sigma of R.
END_PRIORS = ((TEFF_MIN_K, 0.3), (TEFF_MAX_K, 0.1))
#: A band is corrected where chi squared of its four parameters is above this: by chance one in a thousand.
CHI2_MIN = 18.5
ERROR_NODES_K = (4000, 4250, 4500, 5000, 5500, 6000, 6500, 7000, 7500, 8000)
BIN_EDGES_K = (4000, 4400, 4800, 5200, 5600, 6000, 6400, 7000, 8000)
R_MAX_MAG, EBV_MAX_MAG = 0.6, 0.5
POWERS = [(i, j, k) for i in range(6) for j in range(3) for k in range(3) if i + j + k <= 5]
CUBIC = range(3, -1, -1)
#: Bands whose coefficient may be corrected; RP moves with BP.
FREE = [i for i in range(N_BANDS) if i not in (G, RP)]


@dataclass
class Sample:
    """Stars with spectra: what they are, their reddening, and colours against G."""

    spectrum: np.ndarray  #: terms of the polynomial (star, term)
    colour: np.ndarray  #: band - G (star, band) [mag]
    good: np.ndarray  #: whether a colour may be used (star, band)
    r: np.ndarray
    flat: np.ndarray  #: whether r is that of the two-dimensional map
    giant: np.ndarray
    held_out: np.ndarray

    @property
    def bp_rp(self) -> np.ndarray:
        return self.colour[:, BP] - self.colour[:, RP]

    def at(self, keep: np.ndarray) -> "Sample":
        return Sample(*(getattr(self, name)[keep] for name in self.__dataclass_fields__))


@dataclass
class Reddened:
    """What the first stage gives: intrinsic colour, E on the printed law's scale, and the temperature of the colour."""

    bp_rp: np.ndarray
    ebv: np.ndarray
    arm: np.ndarray  #: (Teff - 6000 K) / 1000 K, clipped to the correction's range


def load(path: Path) -> Sample:
    """Return the stars of the sample that have r, spectra from 4000 to 8200 K and all Gaia bands."""
    data, magnitude, error = read_green(path)
    drift = np.zeros((2, N_BANDS))
    drift[:, 3:8] = sky_coefficients()["ps1_drift"]["mag_per_mag"]
    magnitude = to_archive_scale(without_drift(magnitude, drift))
    teff, logg, feh = data["atm_param"].astype(float).T
    r = data["r"].astype(float)
    keep = (data["r_source"] != b"default") & (teff > 4000) & (teff < 8200) & (r < R_MAX_MAG)
    keep &= np.isfinite(magnitude[:, BP] - magnitude[:, RP])
    inverse, gravity = 5040 / teff - 0.9, logg - 4
    spectrum = np.stack([inverse**i * gravity**j * feh**k for i, j, k in POWERS], axis=1)
    colour = magnitude - magnitude[:, [G]]
    good = np.isfinite(colour) & (error < 0.06)
    whole = Sample(spectrum, colour, good, r, data["r_source"] == b"sfd", logg < 3.8, held_out(data))
    return whole.at(keep)


def coefficients(ebv: np.ndarray, bp_rp: np.ndarray) -> np.ndarray:
    """Return the printed R of every star and band."""
    return np.asarray(jax.vmap(PRINTED.coefficients)(jnp.asarray(ebv), jnp.asarray(bp_rp)), dtype=float)


def arm_of(bp_rp: np.ndarray) -> np.ndarray:
    teff = np.asarray(jax.vmap(effective_temperature_k)(jnp.asarray(bp_rp)), dtype=float)
    return (np.clip(teff, TEFF_MIN_K, TEFF_MAX_K) - 6000.0) / 1000.0


def dust_terms(stars: Sample, arm: np.ndarray) -> np.ndarray:
    """Return columns of E: r times a parabola in temperature for each map, and what the second map misses at r = 0."""
    by_map = np.stack([stars.r * stars.flat, stars.r * ~stars.flat], axis=1)
    slopes = [by_map * (arm**k)[:, None] for k in range(3)]
    return np.hstack([*slopes, ~stars.flat[:, None] * 1.0])


def first_stage(fitted: Sample, stars: Sample) -> tuple[Reddened, dict]:
    """Fit BP - RP of one sample, and return what it says of another."""
    ebv, bp_rp = [0.9 * s.r for s in (fitted, stars)], [s.bp_rp - 1.1 * s.r for s in (fitted, stars)]
    for _ in range(4):
        designs, dusts = [], []
        for i, sample in enumerate((fitted, stars)):
            arm, r = arm_of(bp_rp[i]), coefficients(ebv[i], bp_rp[i])
            dusts.append(dust_terms(sample, arm))
            designs.append(np.hstack([sample.spectrum, dusts[i] * (r[:, BP] - r[:, RP])[:, None]]))
        solution, residual, _ = robust_fit(designs[0], fitted.bp_rp)
        n = len(POWERS)
        bp_rp = [s.spectrum @ solution[:n] for s in (fitted, stars)]
        ebv = [np.maximum(d @ solution[n:], 0.0) for d in dusts]
    unit = solution[n:]
    at = {f"{teff} K": [(teff - 6000) / 1000] for teff in (4500, 5000, 5500, 6000, 7000)}
    report = {
        "scatter_mag": round(robust_std(residual), 4),
        "ebv_per_r": {
            name: {
                t: round(float(sum(unit[2 * k + which] * a[0] ** k for k in range(3))), 3)
                for t, a in at.items()
            }
            for which, name in enumerate(("two-dimensional map", "three-dimensional map"))
        },
    }
    return Reddened(bp_rp[1], ebv[1], arm_of(bp_rp[1])), report


def free_of_reddening(stars: Sample, red: Reddened, cubic: np.ndarray, band: int) -> np.ndarray:
    """Return (band - G) less a law's share of (BP - RP): no reddening is left in it if the law is right."""
    r = coefficients(red.ebv, red.bp_rp)
    share = (r[:, band] - r[:, G] + np.polyval(cubic, red.arm)) / (r[:, BP] - r[:, RP])
    return stars.colour[:, band] - share * (stars.bp_rp - red.bp_rp)


def robust_fit(design: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the solution by Tukey's weights (4.7 sigma), the residuals, and the weights."""
    size = np.sqrt(np.mean(design**2, axis=0)) + 1e-12
    scaled, weight = design / size, np.ones(len(y))
    ridge = 1e-9 * len(y) * np.eye(design.shape[1])
    for _ in range(20):
        weighted = scaled * weight[:, None]
        solution = np.linalg.solve(scaled.T @ weighted + ridge, weighted.T @ y)
        residual = y - scaled @ solution
        u = residual / (4.7 * robust_std(residual) + 1e-9)
        weight = np.where(np.abs(u) < 1, (1 - u**2) ** 2, 0.0)
    return solution / size, residual, weight


def second_stage(
    stars: Sample, red: Reddened, band: int, draws: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return the cubic of one band's correction, and its covariance over bootstraps of the stars."""
    use = stars.good[:, band] & (red.ebv < EBV_MAX_MAG)
    y = free_of_reddening(stars, red, np.zeros(4), band)[use]
    slopes = np.stack([red.arm**k for k in CUBIC], axis=1)[use] * red.ebv[use, None]
    design = np.hstack([stars.spectrum[use], slopes])
    solution, _, weight = robust_fit(design, y)
    found = []
    for _ in range(draws):
        again = weight * rng.multinomial(use.sum(), np.full(use.sum(), 1 / use.sum()))
        normal = design.T @ (design * again[:, None]) + 1e-8 * np.eye(design.shape[1])
        found.append(np.linalg.solve(normal, design.T @ (again * y))[-4:])
    return solution[-4:], np.cov(np.array(found).T) if draws else np.zeros((4, 4))


def with_priors(cubic: np.ndarray, covariance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the cubic and its covariance with the priors at both ends."""
    information, right = np.linalg.inv(covariance), np.linalg.solve(covariance, cubic)
    for teff, sigma in END_PRIORS:
        row = ((teff - 6000) / 1000) ** np.arange(3, -1, -1)
        information = information + np.outer(row, row) / sigma**2
    posterior = np.linalg.inv(information)
    return posterior @ right, posterior


def error_at(covariance: np.ndarray, teff_k: float) -> float:
    row = ((teff_k - 6000) / 1000) ** np.arange(3, -1, -1)
    return float(np.sqrt(row @ covariance @ row))


def derive(fitted: Sample, draws: int) -> tuple[dict[int, np.ndarray], dict[int, np.ndarray], dict]:
    """Return corrections and covariances of every free band, and what the report says of the fit."""
    rng = np.random.default_rng(24)
    red, report = first_stage(fitted, fitted)
    parts = {
        "two-dimensional map": fitted.flat,
        "three-dimensional map": ~fitted.flat,
        "dwarfs": ~fitted.giant,
        "giants": fitted.giant,
    }
    cubics, covariances = {}, {}
    report["parts"], report["chi2"] = {}, {}
    for band in FREE:
        cubic, covariance = second_stage(fitted, red, band, draws, rng)
        of_part = {}
        for name, keep in parts.items():
            part = Reddened(red.bp_rp[keep], red.ebv[keep], red.arm[keep])
            of_part[name], _ = second_stage(fitted.at(keep), part, band, 0, rng)
        half = (of_part["two-dimensional map"] - of_part["three-dimensional map"]) / 2
        covariance = covariance + np.outer(half, half)
        cubics[band], covariances[band] = with_priors(cubic, covariance)
        chi2 = float(cubic @ np.linalg.solve(covariance, cubic))
        if chi2 < CHI2_MIN:
            cubics[band] = np.zeros(4)
        report["chi2"][LABELS[band]] = round(chi2, 1)
        report["parts"][LABELS[band]] = {
            name: {
                f"{t} K": round(float(np.polyval(c, (t - 6000) / 1000)), 3)
                for t in (4500, 5000, 5500, 6000, 6500)
            }
            for name, c in of_part.items()
        }
    return cubics, covariances, report


def judge(fitted: Sample, judged: Sample, cubics: dict[int, np.ndarray]) -> list[dict]:
    """Return how (band - G) less a law's share of (BP - RP) rises with E, law by law, of stars kept out of the fit."""
    red_fitted, _ = first_stage(fitted, fitted)
    red, _ = first_stage(fitted, judged)
    teff = red.arm * 1000 + 6000
    rows = []
    for band in cubics:
        for law, cubic in (("printed", np.zeros(4)), ("corrected", cubics[band])):
            use = fitted.good[:, band] & (red_fitted.ebv < EBV_MAX_MAG)
            y = free_of_reddening(fitted, red_fitted, cubic, band)[use]
            # The stars of the fit say what the spectrum alone does; their own slopes take up what their law misses.
            slopes = np.stack([red_fitted.arm**k for k in CUBIC], axis=1)[use] * red_fitted.ebv[use, None]
            solution, _, _ = robust_fit(np.hstack([fitted.spectrum[use], slopes]), y)
            left = free_of_reddening(judged, red, cubic, band) - judged.spectrum @ solution[: len(POWERS)]
            for low, high in zip(BIN_EDGES_K[:-1], BIN_EDGES_K[1:], strict=True):
                here = judged.good[:, band] & (red.ebv < EBV_MAX_MAG) & (teff >= low) & (teff < high)
                slope, error = robust_slope(red.ebv[here], left[here])
                rows.append(
                    {
                        "band": LABELS[band],
                        "law": law,
                        "teff_k": [low, high],
                        "stars": int((here & (red.ebv > 0.1)).sum()),
                        "bias": round(slope, 4),
                        "error": round(error, 4),
                    }
                )
    return rows


def robust_slope(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Return the slope of y on x through a free zero point by Tukey's weights, and its error from the residuals."""
    design = np.stack([np.ones(len(x)), x], axis=1)
    solution, residual, weight = robust_fit(design, y)
    normal = np.linalg.inv(design.T @ (design * weight[:, None]))
    meat = design.T @ (design * (weight * residual)[:, None] ** 2)
    return float(solution[1]), float(np.sqrt((normal @ meat @ normal)[1, 1]))


def summary(rows: list[dict]) -> list[dict]:
    """Return chi squared of the biases and their largest, law by law and band by band."""
    out = []
    for band in FREE:
        for law in ("printed", "corrected"):
            mine = [row for row in rows if row["band"] == LABELS[band] and row["law"] == law]
            out.append(
                {
                    "band": LABELS[band],
                    "law": law,
                    "bins": len(mine),
                    "chi2": round(sum((row["bias"] / row["error"]) ** 2 for row in mine), 1),
                    "rms_bias": round(float(np.sqrt(np.mean([row["bias"] ** 2 for row in mine]))), 4),
                }
            )
    return out


def form_error(rows: list[dict], label: str) -> np.ndarray:
    """Return what a band's cubic leaves in bins of the stars it was fitted to: their rms, or the bin's own if that is more."""
    mine = [row for row in rows if row["band"] == label and row["law"] == "corrected"]
    middle, bias = [np.mean(row["teff_k"]) for row in mine], [abs(row["bias"]) for row in mine]
    return np.maximum(np.interp(ERROR_NODES_K, middle, bias), np.sqrt(np.mean(np.square(bias))))


def write_table(cubics: dict[int, np.ndarray], error: dict[int, np.ndarray], path: Path) -> None:
    """Write the correction and its error, a row per band."""
    header = [
        "# Correction of the printed coefficients of Zhang & Yuan 2023 by real stars: to R of zhang23_extinction.csv is added",
        "#   d3 t^3 + d2 t^2 + d1 t + d0,   t = (Teff - 6000 K) / 1000 K, Teff clipped to 4000..8000 K.",
        "# R of gaia_g and R_BP - R_RP stay as printed. error_T is one sigma of R relative to that of gaia_g, at T kelvin.",
        "# Stars: Green et al. 2021, two thirds of the test set. Written by scripts/derive_extinction_correction.py.",
    ]
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write("\n".join(header) + "\n")
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["band", "d3", "d2", "d1", "d0", *(f"error_{t}" for t in ERROR_NODES_K)])
        for i, band in enumerate(BANDS):
            source = BP if i == RP else i
            cubic = np.zeros(4) if i == G else cubics[source]
            errors = np.zeros(len(ERROR_NODES_K)) if i == G else error[source]
            writer.writerow([band.name, *(f"{v:.5f}" for v in cubic), *(f"{v:.4f}" for v in errors)])


def fragment(result: dict) -> str:
    """Return the results as Markdown, which the documentation includes."""
    edges = list(zip(BIN_EDGES_K[:-1], BIN_EDGES_K[1:], strict=True))
    lines = [
        f"`{result['command']}`: {result['stars_fitted']:,} stars fitted, {result['stars_held_out']:,} kept out.",
        "",
        "What is added to the printed R, relative to G, and its error:",
        "",
        "| band | " + " | ".join(f"{t} K" for t in ERROR_NODES_K) + " |",
        "|---|" + "---|" * len(ERROR_NODES_K),
    ]
    for label, row in result["correction"].items():
        name = "BP, RP" if label == "BP" else label
        lines.append(f"| {name} | " + " | ".join(f"{v:+.3f} +- {e:.3f}" for v, e in row.values()) + " |")
    lines += [
        "",
        "Stars kept out: by how much the excess in (band - G) that goes with that in BP - RP differs from the law, per E(B-V).",
        "",
        "| band | law | " + " | ".join(f"{a} to {b} K" for a, b in edges) + " | chi squared of 8 |",
        "|---|---|" + "---|" * (len(edges) + 1),
    ]
    for total in result["held_out"]:
        rows = [r for r in result["held_out_bins"] if (r["band"], r["law"]) == (total["band"], total["law"])]
        cells = " | ".join(f"{r['bias']:+.3f} +- {r['error']:.3f}" for r in rows)
        lines.append(f"| {total['band']} | {total['law']} | {cells} | {total['chi2']:,.0f} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description="Derive the correction of the printed extinction law.")
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("--draws", type=int, default=200, help="bootstraps")
    parser.add_argument("--no-table", action="store_true", help="print, and write nothing")
    arguments = parser.parse_args()
    stars = load(arguments.data_dir / "green2020_10k_stars.h5")
    fitted, judged = stars.at(~stars.held_out), stars.at(stars.held_out)
    cubics, covariances, fit = derive(fitted, arguments.draws)
    own = judge(fitted, fitted, cubics)
    form = {b: form_error(own, LABELS[b]) for b in FREE}
    error = {b: np.hypot([error_at(covariances[b], t) for t in ERROR_NODES_K], form[b]) for b in FREE}
    rows = judge(fitted, judged, cubics)
    result = {
        "command": "python scripts/derive_extinction_correction.py DATA_DIR",
        "stars_fitted": len(fitted.r),
        "stars_held_out": len(judged.r),
        "correction": {
            LABELS[b]: {
                f"{t} K": [round(float(np.polyval(cubics[b], (t - 6000) / 1000)), 3), round(float(e), 3)]
                for t, e in zip(ERROR_NODES_K, error[b], strict=True)
            }
            for b in FREE
        },
        "fit": fit,
        "form_error": {LABELS[b]: form[b].round(4).tolist() for b in FREE},
        "held_out": summary(rows),
        "held_out_bins": rows,
    }
    print(fragment(result))
    print(json.dumps(fit, indent=1))
    if not arguments.no_table:
        write_table(cubics, error, ROOT / "src" / "redflower" / "data" / "zhang23_correction.csv")
        path = ROOT / "docs" / "results" / "extinction_law.json"
        path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        path.with_suffix(".md").write_text(fragment(result), encoding="utf-8")


if __name__ == "__main__":
    main()
