"""Derive the evidence for `src/redflower/data/photometric_scales.toml` from real stars.

    python scripts/derive_photometric_scales.py DATA_DIR [--passbands DIR] [--output FILE]

DATA_DIR holds ``green2020_10k_stars.h5``, ``m67_gaiadr2_ps1_2mass.fits``, ``ngc188_gaiaedr3_ps1_2mass.phot`` and
``s82_gaiadr2_ps1.fits``. What is written is offsets and counts, never a star. Nothing here writes the table of scales: a
person weighs these numbers against the published ones (docs/decisions/0016-photometric-scales.md).

1. Pan-STARRS1, by stellar loci: band - G at fixed BP - RP and [Fe/H], as Green's low-reddening dwarfs have it
   (pre-release zero points), taken off the same of other samples. Reddening and mean [Fe/H] of a sample are free within
   their priors; both move all bands together, the zero points do not. Redder than BP - RP = 1, [Fe/H] acts least.
2. Gaia, by closure: of EDR3 stars the flux ratio (BP + RP) / G lies on the polynomial of Riello et al. (2021, A&A 649, A3);
   how far DR2 stars lie from it is G against BP and RP between the releases.
3. Gaia, by passbands (with ``--passbands``: the folder of ``GaiaDR2_RevisedPassbands.dat`` and ``GaiaEDR3_Passbands.dat``,
   tables of J/A+A/616/A4 and J/A+A/649/A3): DR3 minus DR2 magnitudes of black bodies. Their colours are those of
   stars; their lines are not, so BP of hot stars is less well known.
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.table import Table
from fit_colour_relations import (
    DWARF_NODES,
    FEH_NODES,
    FLOOR_MAG,
    LABELS,
    Stars,
    cardinal,
    deredden,
    gaia_dr2_g_without_drift,
    load_green,
    read_green,
    reddening_unit,
    robust_std,
    tukey_fit,
)

from redflower.bands import BP, N_BANDS, RP, G
from redflower.simulate.colours import metallicity_weight

PS1 = range(3, 8)
#: Zero points of the EDR3 magnitudes, and the polynomial of (BP + RP) / G in BP - RP between 0.5 and 4.
EDR3_ZERO_POINT_MAG = (25.6874, 25.3385, 24.7479)
EDR3_RATIO = (1.162004, 0.011464, 0.049255, -0.005879)
#: Zero points of the DR2 magnitudes in the archive (Evans et al. 2018, A&A 616, A4).
DR2_ZERO_POINT_MAG = (25.6884, 25.3514, 24.7619)


@dataclass
class Sample:
    """Observed magnitudes of a sample, with what is known of its dust and metallicity (mean and one sigma)."""

    name: str
    magnitude: np.ndarray
    error: np.ndarray
    ebv: tuple[float, float]
    feh: tuple[float, float]
    keep: np.ndarray


def floats(table: Table, name: str) -> np.ndarray:
    return np.ma.filled(np.ma.asarray(table[name], dtype=float), np.nan)


def read_stripe_82(path: Path) -> Sample:
    table = Table.read(path)
    magnitude, error = np.full((2, len(table), N_BANDS), np.nan)
    for i, short in enumerate(("g", "bp", "rp")):
        magnitude[:, i] = floats(table, f"phot_{short}_mean_mag")
        error[:, i] = 2.5 / np.log(10) / floats(table, f"phot_{short}_mean_flux_over_error")
    for i, label in zip(PS1, "grizy", strict=True):
        magnitude[:, i] = floats(table, f"{label}_mean_psf_mag")
        error[:, i] = floats(table, f"{label}_mean_psf_mag_error")
    bright = (magnitude[:, G] > 14.0) & (magnitude[:, G] < 16.5)
    magnitude[:, G] = gaia_dr2_g_without_drift(magnitude[:, G])
    return Sample("Stripe 82 (DR2, archive)", magnitude, error, (0.047, 0.005), (-0.5, 0.3), bright)


def read_m67(path: Path) -> Sample:
    table = Table.read(path)
    magnitude, error = np.full((2, len(table), N_BANDS), np.nan)
    for i, short in enumerate(("g", "bp", "rp")):
        flux = f"gaia_dr2_source.phot_{short}_mean_flux"
        magnitude[:, i] = floats(table, f"gaia_dr2_source.phot_{short}_mean_mag")
        error[:, i] = 2.5 / np.log(10) * floats(table, f"{flux}_error") / floats(table, flux)
    for i, label in zip(PS1, "grizy", strict=True):
        magnitude[:, i], error[:, i] = floats(table, f"PS_{label}"), floats(table, f"PS_{label}_Err")
    members = floats(table, "HDBscan_MemProb") > 0.3
    magnitude[:, G] = gaia_dr2_g_without_drift(magnitude[:, G])
    return Sample(
        "M67 (DR2, pre-release)",
        magnitude,
        error,
        (0.04, 0.005),
        (0.03, 0.02),
        members & (magnitude[:, G] < 18),
    )


def read_ngc188(path: Path) -> Sample:
    table = np.genfromtxt(path, names=True)
    names = ["G", "G_BPft", "G_RP", *(f"{label}_ps" for label in "grizy")]
    magnitude, error = np.full((2, len(table), N_BANDS), np.nan)
    for i, name in enumerate(names):
        magnitude[:, i], error[:, i] = table[name], table[f"sig{name}"]
    magnitude[(magnitude > 90) | ~(error > 0)] = np.nan
    members = (table["CMprior"] > 0.3) & (magnitude[:, G] < 18)
    return Sample("NGC 188 (EDR3, not stated)", magnitude, error, (0.09, 0.01), (0.0, 0.05), members)


def design(bp_rp: np.ndarray, feh: np.ndarray) -> np.ndarray:
    weighted = feh * metallicity_weight(bp_rp)
    metal = weighted[:, None] * cardinal(FEH_NODES["dwarf"], bp_rp)
    return np.hstack([cardinal(DWARF_NODES, bp_rp), metal, weighted[:, None] ** 2])


def locus_of(green: Stars) -> dict[int, np.ndarray]:
    """Return coefficients of band - G of the reference's dwarfs, by band."""
    found = {}
    for i in (RP, *PS1):
        colour = green.magnitude[:, i] - green.magnitude[:, G]
        use = np.isfinite(colour) & (green.error[:, i] < 0.05)
        weight = 1 / (green.error[use, i] ** 2 + FLOOR_MAG[i] ** 2 + 0.015**2)
        found[i], _ = tukey_fit(design(green.bp_rp, green.feh)[use], colour[use], weight)
    return found


def zero_points(sample: Sample, locus: dict[int, np.ndarray], bluest: float, reddest: float) -> dict:
    """Fit offsets of every band against the locus, with the sample's E(B-V) and [Fe/H] free within their priors."""

    def residuals(ebv_mag: float, feh_dex: float) -> tuple[np.ndarray, np.ndarray]:
        clean = deredden(sample.magnitude, np.full(len(sample.magnitude), ebv_mag))
        bp_rp = clean[:, BP] - clean[:, RP]
        terms = design(bp_rp, np.full(len(bp_rp), feh_dex))
        return bp_rp, np.stack([clean[:, i] - clean[:, G] - terms @ locus[i] for i in locus], axis=1)

    bp_rp, base = residuals(sample.ebv[0], sample.feh[0])
    by_ebv = (residuals(sample.ebv[0] + 0.02, sample.feh[0])[1] - base) / 0.02
    by_feh = (residuals(sample.ebv[0], sample.feh[0] + 0.1)[1] - base) / 0.1
    keep = sample.keep & (bp_rp > bluest) & (bp_rp < reddest) & (sample.error[:, BP] < 0.03)
    n = len(locus)
    rows, values = [np.eye(n + 2)[n:] / np.array([[sample.ebv[1]], [sample.feh[1]]])], [np.zeros(2)]
    for k, i in enumerate(locus):
        use = keep & np.isfinite(base[:, k]) & (sample.error[:, i] < 0.03)
        spread = robust_std(base[use, k])
        use &= np.abs(base[:, k] - np.median(base[use, k])) < 3 * spread
        block = np.zeros((use.sum(), n + 2))
        block[:, k], block[:, n], block[:, n + 1] = 1.0, -by_ebv[use, k], -by_feh[use, k]
        rows.append(block / spread)
        values.append(base[use, k] / spread)
    matrix, right = np.vstack(rows), np.concatenate(values)
    covariance = np.linalg.inv(matrix.T @ matrix)
    fitted, error = covariance @ matrix.T @ right, np.sqrt(np.diag(covariance))
    return {
        "sample": sample.name,
        "bp_rp_mag": [bluest, reddest],
        "stars": int(keep.sum()),
        "offset_mag": {LABELS[i]: round(float(fitted[k]), 4) for k, i in enumerate(locus)},
        "error_mag": {LABELS[i]: round(float(error[k]), 4) for k, i in enumerate(locus)},
        "ebv_mag": round(sample.ebv[0] + float(fitted[n]), 3),
        "feh_dex": round(sample.feh[0] + float(fitted[n + 1]), 2),
    }


def closure(name: str, magnitude: np.ndarray) -> list[dict]:
    """Return medians of (BP + RP) / G less EDR3's polynomial, in slices of G."""
    flux = 10 ** (-0.4 * (magnitude[:, :3] - np.array(EDR3_ZERO_POINT_MAG)))
    bp_rp = magnitude[:, BP] - magnitude[:, RP]
    excess = (flux[:, 1] + flux[:, 2]) / flux[:, 0] - np.polyval(EDR3_RATIO[::-1], bp_rp)
    rows = []
    for low, high in ((10, 13), (13, 14.5), (14.5, 16), (16, 17), (17, 18)):
        use = (magnitude[:, G] > low) & (magnitude[:, G] < high) & (bp_rp > 0.6) & (bp_rp < 1.5)
        use &= np.abs(excess) < 0.1
        if use.sum() > 20:
            rows.append(
                {
                    "sample": name,
                    "g_mag": [low, high],
                    "stars": int(use.sum()),
                    "median": round(float(np.median(excess[use])), 4),
                    "error": round(1.25 * float(excess[use].std()) / float(np.sqrt(use.sum())), 4),
                }
            )
    return rows


def passband_differences(folder: Path) -> list[dict]:
    """Return DR3 minus DR2 (archive) magnitudes of black bodies."""

    def magnitudes(name: str, temperature_k: float) -> np.ndarray:
        table = np.loadtxt(folder / name)
        wavelength_nm, through = table[:, 0], np.where(table[:, [1, 3, 5]] > 50, 0.0, table[:, [1, 3, 5]])
        photons = wavelength_nm**-4 / (np.exp(1.4388e7 / (wavelength_nm * temperature_k)) - 1)
        return -2.5 * np.log10(np.trapezoid(photons[:, None] * through, wavelength_nm, axis=0))

    rows = []
    for temperature_k in (3500, 4000, 4500, 5000, 5500, 6000, 6500, 7000):
        dr2 = magnitudes("GaiaDR2_RevisedPassbands.dat", temperature_k) + DR2_ZERO_POINT_MAG
        dr3 = magnitudes("GaiaEDR3_Passbands.dat", temperature_k) + EDR3_ZERO_POINT_MAG
        difference = dict(zip(("G", "BP", "RP"), np.round(dr3 - dr2, 4).tolist(), strict=True))
        rows.append(
            {"temperature_k": temperature_k, "bp_rp_mag": round(float(dr3[1] - dr3[2]), 3), **difference}
        )
    return rows


def derive(data_dir: Path, passbands: Path | None) -> dict:
    path = data_dir / "green2020_10k_stars.h5"
    raw, magnitude, _ = read_green(path)
    green, known = load_green(path, reddening_unit(raw, magnitude)[0])
    low = (
        known & (green.ebv < 0.06) & (green.error[:, BP] < 0.05) & ((green.logg > 3.6) | (green.bp_rp < 0.8))
    )
    locus = locus_of(green.at(low))
    samples = [
        read_m67(data_dir / "m67_gaiadr2_ps1_2mass.fits"),
        read_stripe_82(data_dir / "s82_gaiadr2_ps1.fits"),
        read_ngc188(data_dir / "ngc188_gaiaedr3_ps1_2mass.phot"),
    ]
    loci = [
        zero_points(sample, locus, *limits) for sample in samples for limits in ((0.75, 1.35), (1.0, 1.6))
    ]
    ratios = closure("Green 2020 (DR2)", raw["mag"][:, :3].astype(float))
    for sample in samples:
        observed = sample.magnitude.copy()
        if "DR2" in sample.name:  # as published, with its drift
            observed[:, G] += 0.0032 * (np.clip(observed[:, G], 6.0, 16.0) - 15.0)
        ratios += closure(sample.name, observed)
    result = {
        "command": "python scripts/derive_photometric_scales.py DATA_DIR",
        "loci": loci,
        "closure": ratios,
    }
    if passbands is not None:
        result["passbands_dr3_minus_dr2_mag"] = passband_differences(passbands)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description="Derive the evidence for the table of photometric scales.")
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("--passbands", type=Path)
    default = Path(__file__).resolve().parents[1] / "docs" / "results" / "photometric_scales.json"
    parser.add_argument("--output", type=Path, default=default)
    arguments = parser.parse_args()
    result = derive(arguments.data_dir, arguments.passbands)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    for row in result["loci"]:
        offsets = " ".join(f"{b} {v:+.4f}+-{row['error_mag'][b]:.4f}" for b, v in row["offset_mag"].items())
        print(f"{row['sample']:28s} BP-RP {row['bp_rp_mag']} {row['stars']:4d} stars: {offsets}")
        print(f"{'':28s} E(B-V) {row['ebv_mag']:.3f}, [Fe/H] {row['feh_dex']:+.2f}")
    for row in result["closure"]:
        print(
            f"{row['sample']:28s} G {row['g_mag']}: (BP + RP) / G off by {row['median']:+.4f}+-{row['error']:.4f}"
        )
    for row in result.get("passbands_dr3_minus_dr2_mag", []):
        print(row)


if __name__ == "__main__":
    main()
