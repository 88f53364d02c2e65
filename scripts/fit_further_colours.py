"""Fit the colours of further bands, W1 and W2, of the simulated skies to real stars.

    python scripts/fit_further_colours.py DATA_DIR

DATA_DIR holds ``green2020_10k_stars.h5``. Writes ``further_colours.json`` into the package's data; the coefficients of the other
bands, ``mock_colours.json`` and ``sky_colours.json``, are read and stay as they are.

The sample's W1 and W2 are those of the unWISE Catalog in AB magnitudes: they are turned into Vega magnitudes and onto the scale
of AllWISE. Stars, dust, held-out rows (a third, by checksum) and metallicity terms are those of ``fit_sky_population.py``, and
for the mock sky those of ``fit_colour_relations.py``.

1. W - G of a class is its relation of Ks - G, plus a spline of few nodes in BP - RP, and a term in [Fe/H]: W - Ks is nearly the
   same for all stars, so that few stars and the ends of the relation are served.
2. The scatter at fixed BP - RP: regression of the residuals of W1 and W2 on those of the other bands, noise taken off, and what
   is left over.
"""

import argparse
import json
from pathlib import Path

import h5py
import jax
import jax.numpy as jnp
import numpy as np
from fit_colour_relations import (
    FLOOR_MAG,
    LABELS,
    Stars,
    cardinal,
    read_green,
    reddening_unit,
    residual_covariance,
    robust_std,
    tukey_fit,
)
from fit_colour_relations import load_green as load_mock_stars
from fit_sky_population import COOL_BP_RP_MAG, FEH_OF_COOL_DEX, held_out, load_green
from numpy.typing import NDArray

from redflower.bands import N_BANDS, STANDARD_SURVEYS, G, band_set
from redflower.physics import ExtinctionLaw, Zhang23Law, law_of_name
from redflower.physics.extinction import extinction_mag
from redflower.simulate.colours import ColourClass, colour_relations, mock_coefficients, sky_coefficients

DATA = Path(__file__).resolve().parents[1] / "src" / "redflower" / "data"
BANDS = band_set([*STANDARD_SURVEYS, "allwise"])
FURTHER = BANDS.bands[N_BANDS:]
#: AB minus Vega of WISE (Jarrett et al. 2011), and unWISE minus AllWISE (Schlafly et al. 2019). [mag]
AB_MINUS_VEGA_MAG = np.array([2.699, 3.339])
UNWISE_MINUS_ALLWISE_MAG = np.array([0.004, 0.032])
#: What the photometry of unWISE scatters by beyond its stated errors, which are statistical; assumed. [mag]
UNWISE_FLOOR_MAG = 0.01
NODES = {"dwarf": [0.5, 0.9, 1.3, 1.8, 2.4], "giant": [0.9, 1.2, 1.7]}
KS = LABELS.index("Ks")
ERROR_MAX_MAG = 0.04


def read_further(path: Path) -> tuple[NDArray, NDArray]:
    """W1 and W2 of the sample in Vega magnitudes on the scale of AllWISE, and their errors without the sample's floor."""
    with h5py.File(path) as file:
        data = file["data"][:]
    magnitude = data["mag"][:, N_BANDS:].astype(float) - AB_MINUS_VEGA_MAG - UNWISE_MINUS_ALLWISE_MAG
    error = np.sqrt(np.maximum(data["mag_err"][:, N_BANDS:].astype(float) ** 2 - 0.02**2, 0.0))
    magnitude[~np.isfinite(magnitude) | ~(error < ERROR_MAX_MAG)] = np.nan
    return magnitude, error


def dereddened(magnitude: NDArray, stars: Stars, law: ExtinctionLaw) -> NDArray:
    """Magnitudes of the further bands without dust."""
    ebv, bp_rp = jnp.asarray(stars.ebv), jnp.asarray(np.nan_to_num(stars.bp_rp))
    dust = jax.vmap(lambda e, c: extinction_mag(law.of_bands(BANDS), e, c))(ebv, bp_rp)
    return magnitude - np.asarray(dust)[:, N_BANDS:]


def fit_class(
    kind: str, stars: Stars, further: NDArray, error: NDArray, known: ColourClass, entry: dict
) -> tuple:
    """Relations of one class, on the nodes of the other bands', and the residuals of every star."""
    x, feh = stars.bp_rp, np.clip(stars.feh, -1.5, 0.4)
    ks = known.colours(x, stars.feh)[:, KS]
    colours, residuals = {}, np.full(further.shape, np.nan)
    for i, band in enumerate(FURTHER):
        above = further[:, i] - stars.magnitude[:, G] - ks
        use = np.isfinite(above)
        design = np.hstack(
            [cardinal(NODES[kind], np.clip(x, NODES[kind][0], NODES[kind][-1])), feh[:, None]]
        )[use]
        weight = 1 / (error[use, i] ** 2 + UNWISE_FLOOR_MAG**2 + 0.015**2)
        solution, residuals[use, i] = tukey_fit(design, above[use], weight)
        of_ks, nodes = entry["colours"]["Ks"], np.array(entry["bp_rp_mag"])
        added = cardinal(NODES[kind], np.clip(nodes, NODES[kind][0], NODES[kind][-1])) @ solution[:-1]
        colours[band.label] = {
            "value_mag": (np.array(of_ks["value_mag"]) + added).round(5).tolist(),
            "feh_mag": (np.array(of_ks["feh_mag"]) + solution[-1]).round(5).tolist(),
            "feh2_mag": of_ks["feh2_mag"],
            "n_stars": int(use.sum()),
            "residual_std_mag": round(robust_std(residuals[use, i]), 5),
        }
    return colours, residuals


def fit_scatter(
    edges: list,
    factors: list,
    stars: Stars,
    of_others: NDArray,
    residuals: NDArray,
    error: NDArray,
    slopes: NDArray,
) -> dict:
    """Rows of the further bands in the scatter's factors: what they share with the others, and what is their own."""
    every = np.concatenate([of_others, residuals], axis=1)
    noise = np.concatenate([stars.error, error], axis=1)
    floor = np.concatenate([FLOOR_MAG, np.full(len(FURTHER), UNWISE_FLOOR_MAG)])
    # The further bands follow BP - RP as Ks does.
    steep = np.concatenate([slopes, np.repeat(slopes[:, [KS]], len(FURTHER), axis=1)], axis=1)
    bins, rows = np.searchsorted(edges, stars.bp_rp), []
    # Stars with W1 are few: one regression for all bins, the size of each bin for itself.
    whole = residual_covariance(every, steep, noise, floor)
    for i, factor in enumerate(factors):
        here = np.isfinite(residuals).any(axis=1) & (bins == i)
        covariance = (
            residual_covariance(every[here], steep[here], noise[here], floor) if here.sum() > 150 else whole
        )
        shared = covariance[N_BANDS:, :N_BANDS] @ np.linalg.pinv(np.array(factor), rcond=0.05).T
        left = covariance[N_BANDS:, N_BANDS:] - shared @ shared.T
        values, vectors = np.linalg.eigh(0.5 * (left + left.T))
        own = vectors * np.sqrt(np.maximum(values, 0.003**2))
        total = np.sqrt((shared**2).sum(axis=1) + (own**2).sum(axis=1))
        wanted = np.sqrt(np.maximum(np.diag(covariance)[N_BANDS:], 0.003**2))
        rows.append((np.concatenate([shared, own], axis=1) * (wanted / total)[:, None]).round(6).tolist())
    return {"factor_mag": rows}


def known_residuals(stars: Stars, known: ColourClass) -> tuple[NDArray, NDArray]:
    """Residuals of the other bands against their relations, and the slopes d(colour)/d(BP - RP)."""
    colours = stars.magnitude - stars.magnitude[:, [G]]
    step = 0.01
    slopes = (known.colours(stars.bp_rp + step, stars.feh) - known.colours(stars.bp_rp - step, stars.feh)) / (
        2 * step
    )
    return np.where(stars.error < 0.05, colours - known.colours(stars.bp_rp, stars.feh), np.nan), slopes


def fit(
    content: dict, stars: Stars, further: NDArray, error: NDArray, dwarfs: NDArray, giants: NDArray
) -> dict:
    """Everything of one population."""
    relations, classes = colour_relations(content), {}
    for kind, chosen in (("giant", giants), ("dwarf", dwarfs)):
        known = getattr(relations, kind)
        colours, residuals = fit_class(
            kind, stars.at(chosen), further[chosen], error[chosen], known, content["classes"][kind]
        )
        classes[kind] = {"colours": colours}
    scatter = content["scatter"]
    of_others, slopes = known_residuals(stars.at(dwarfs), relations.dwarf)
    rows = fit_scatter(
        scatter["bp_rp_edges_mag"],
        scatter["factor_mag"],
        stars.at(dwarfs),
        of_others,
        residuals,
        error[dwarfs],
        slopes,
    )
    return {"bands": [band.label for band in FURTHER], "classes": classes, "scatter": rows}


def fit_all(data_dir: Path) -> dict:
    """Both populations."""
    path = data_dir / "green2020_10k_stars.h5"
    magnitude, error = read_further(path)
    data = read_green(path)[0]
    drift = np.zeros((2, N_BANDS))
    drift[:, 3:8] = sky_coefficients()["ps1_drift"]["mag_per_mag"]
    stars, low, out, _ = load_green(path, drift)
    stars.feh = np.where(stars.bp_rp > COOL_BP_RP_MAG, FEH_OF_COOL_DEX, stars.feh)
    dwarfs = low & ~out & ((stars.logg > 3.8) | (stars.bp_rp < 0.75))
    giants = low & ~out & (stars.logg < 3.5) & (stars.bp_rp > 0.7)
    sky = fit(
        sky_coefficients(), stars, dereddened(magnitude, stars, law_of_name(None)), error, dwarfs, giants
    )
    stars, known = load_mock_stars(path, reddening_unit(*read_green(path)[:2])[0])
    low = known & (stars.ebv < 0.06) & (stars.error[:, 1] < 0.05) & ~held_out(data)
    dwarfs = low & ((stars.logg > 3.6) | (stars.bp_rp < 0.8))
    giants = low & (stars.logg < 3.6) & (stars.bp_rp > 0.75)
    mock = fit(mock_coefficients(), stars, dereddened(magnitude, stars, Zhang23Law()), error, dwarfs, giants)
    return {
        "provenance": {
            "script": "scripts/fit_further_colours.py",
            "colours": "two thirds of Green et al. (2021, ApJ 907, 57), 10,000-star test set",
            "photometry": "unWISE (Schlafly et al. 2019), Vega magnitudes on the scale of AllWISE",
        },
        "sky": sky,
        "mock": mock,
    }


def main() -> None:
    """Fit and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("--output", type=Path, default=DATA / "further_colours.json")
    arguments = parser.parse_args()
    content = fit_all(arguments.data_dir)
    arguments.output.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    for name in ("sky", "mock"):
        for kind, entry in content[name]["classes"].items():
            for label, term in entry["colours"].items():
                print(
                    f"{name} {kind:6s} {label} - G: {term['n_stars']:5d} stars, residual {term['residual_std_mag']:.4f} mag"
                )
        for rows in content[name]["scatter"]["factor_mag"]:
            total, own = (
                np.sqrt((np.array(rows) ** 2).sum(axis=1)),
                np.sqrt((np.array(rows)[:, N_BANDS:] ** 2).sum(axis=1)),
            )
            print(f"{name} scatter {total.round(4)} mag, their own {own.round(4)}")


if __name__ == "__main__":
    main()
