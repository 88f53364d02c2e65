"""What real BP/RP spectra know of E(B-V), and what taking their errors as independent costs: noise alone.

    python -m benchmarks.real_stars.spectra_noise DATA

DATA holds ``xp`` with real spectra (test files of GaiaXPy). For each star: the standard error of E(B-V) in the ten bands of the
survey `xp` if its intrinsic colours were known and its brightness were free, by generalised least squares with the covariance of
its spectra and the survey's floors. Beside it the same from BP and RP alone, which are of the same photons; and with the star's
temperature free as well, as a black body of 6000 K has it, where two bands know nothing. The scatter of real stars about their
locus comes on top: these are what the data allow, and no posteriors.
Writes docs/results/spectra-noise.json and .md.
"""

import argparse
from pathlib import Path

import numpy as np
from benchmarks.results import recording, say, table

from redflower.bands import STANDARD
from redflower.catalogue.spectra.bands import spectra_bands
from redflower.catalogue.spectra.coefficients import PHOTOMETERS, source_id, spectrum_of
from redflower.catalogue.spectra.files import read_rows
from redflower.catalogue.spectra.matrices import error_factors, system_matrices
from redflower.catalogue.spectra.synthesis import band_fluxes, band_magnitudes
from redflower.surveys import survey_named

FILES = ("XP_CONTINUOUS_RAW.csv", "XP_CONTINUOUS_RAW_colour_eq_dr3int6.csv")
GAIA = "GaiaDr3Vega"
TEMPERATURE_K = 6000.0


def errors_of_ebv(
    covariance_mag2: np.ndarray, coefficients: np.ndarray, *further: np.ndarray
) -> tuple[float, float, float]:
    """Return sigma of E with the covariance, what is claimed with its diagonal, and how such estimates really scatter. [mag]

    Parameters
    ----------
    further : what else is free: the change of every band with it.
    """
    design = np.stack([np.ones(len(coefficients)), coefficients, *further], axis=1)
    right = np.linalg.inv(design.T @ np.linalg.solve(covariance_mag2, design))
    diagonal = np.diag(np.diag(covariance_mag2))
    claimed = np.linalg.inv(design.T @ np.linalg.solve(diagonal, design))
    weights = claimed @ design.T @ np.linalg.inv(diagonal)
    true = weights @ covariance_mag2 @ weights.T
    return tuple(float(np.sqrt(matrix[1, 1])) for matrix in (right, claimed, true))


def temperature_slope(wavelength_nm: np.ndarray) -> np.ndarray:
    """Return d m / d ln T of a black body of 6000 K. [mag]"""
    x = 14387.77e3 / (wavelength_nm * TEMPERATURE_K)
    return -2.5 / np.log(10.0) * x / -np.expm1(-x)


def gaia_magnitudes(row: dict, where: str) -> tuple[np.ndarray, np.ndarray]:
    """Return G, BP and RP of a star's spectra, and the covariance of BP and RP with factors of errors. [mag], [mag^2]"""
    matrices = system_matrices(GAIA).choose(["G", "BP", "RP"])
    fluxes = band_fluxes({p: spectrum_of(row, p, where) for p in PHOTOMETERS}, matrices, where)
    g_mag = band_magnitudes(fluxes, matrices.zero_point_mag).magnitude_mag[:1]
    scaled = fluxes.scaled(error_factors(GAIA, matrices.bands)(g_mag)[0])
    found = band_magnitudes(scaled, matrices.zero_point_mag)
    return found.magnitude_mag, found.covariance_mag2[1:, 1:]


def main() -> None:
    """Run and record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    data = parser.parse_args().data / "xp"
    survey = survey_named("xp")
    floors_mag = np.array([band.error_floor_mag for band in survey.bands])
    r_xp = np.array([band.extinction.single for band in survey.bands])
    r_gaia = np.array([STANDARD[i].extinction.single for i in (1, 2)])
    gaia_floors_mag = np.array([STANDARD[i].error_floor_mag for i in (1, 2)])
    below = np.tril_indices(len(survey.bands))
    # A passband's name has its wavelength: F410M is at 410 nm.
    wavelength_nm = np.array([float(band.label[1:4]) for band in survey.bands])
    with recording("spectra-noise"):
        rows = table(
            {
                "G": ".1f", "BP - RP": ".2f", "bands": "d", "largest correlation": ".2f", "E from BP and RP": ".4f",
                "E from the bands": ".4f", "scatter over claim": ".2f", "T free: E from the bands": ".4f",
                "T free: scatter over claim": ".2f",
            }
        )  # fmt: skip
        claims = []
        stars = []
        for name in FILES:
            bands, _ = spectra_bands(data / name)
            spectra = {source_id(row, name): row for row in read_rows(data / name)}
            stars += [(star, spectra[int(star["source_id"])], name) for star in bands]
        for star, row, name in sorted(stars, key=lambda one: gaia_magnitudes(one[1], one[2])[0][0]):
            matrix = np.zeros((len(survey.bands),) * 2)
            matrix[below] = matrix[below[::-1]] = star["xp_covariance"]
            there = np.isfinite(np.diag(matrix))
            matrix = matrix[np.ix_(there, there)]
            errors = np.sqrt(np.diag(matrix))
            correlation = matrix / np.outer(errors, errors)
            largest = correlation[np.tril_indices(len(errors), -1)]
            with_floors = matrix + np.diag(floors_mag[there] ** 2)
            slope = temperature_slope(wavelength_nm[there])
            known = errors_of_ebv(with_floors, r_xp[there])
            free = errors_of_ebv(with_floors, r_xp[there], slope)
            bare = [errors_of_ebv(matrix, r_xp[there], *further) for further in ((), (slope,))]
            magnitude_mag, gaia = gaia_magnitudes(row, name)
            of_colour, _, _ = errors_of_ebv(gaia + np.diag(gaia_floors_mag**2), r_gaia)
            claims.append([true / claimed for _, claimed, true in (known, free, *bare)])
            rows.row(
                magnitude_mag[0], magnitude_mag[1] - magnitude_mag[2], int(there.sum()), largest[np.abs(largest).argmax()],
                of_colour, known[0], claims[-1][0], free[0], claims[-1][1],
            )  # fmt: skip
        low, high = np.min(claims, axis=0), np.max(claims, axis=0)
        say(
            "Standard errors of E(B-V) in mag by the noise of {n:d} real spectra and the floors of 0.01 mag, brightness free, "
            "intrinsic colours known; then the temperature free as well. With the errors taken as independent, estimates scatter "
            "by {low:.2f} to {high:.2f} of what is claimed, and by {free_low:.2f} to {free_high:.2f} with the temperature free; "
            "without floors by {bare_low:.2f} to {bare_high:.2f}, and by {bare_free_low:.2f} to {bare_free_high:.2f}.",
            n=len(claims), low=float(low[0]), high=float(high[0]), free_low=float(low[1]), free_high=float(high[1]),
            bare_low=float(low[2]), bare_high=float(high[2]), bare_free_low=float(low[3]), bare_free_high=float(high[3]),
        )  # fmt: skip


if __name__ == "__main__":
    main()
