"""Synthetic photometry of BP/RP spectra with its full covariance: fluxes, then magnitudes by the delta method."""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from jaxtyping import Bool, Float

from redflower.catalogue.spectra.coefficients import PHOTOMETERS, Spectrum
from redflower.catalogue.spectra.matrices import DR3_BASES, SystemMatrices, library_version
from redflower.constants import MAG_PER_RELATIVE_FLUX
from redflower.errors import InputError

#: Signal-to-noise ratio below which a flux makes no magnitude. The delta method is off by half the square of its inverse, in
#: units of 1.086 mag: 0.005 mag, a twentieth of the error.
LEAST_SIGNAL_TO_NOISE: Final = 10.0


@dataclass(frozen=True)
class BandFluxes:
    """Fluxes of one star in some bands, NaN where its spectra do not reach.

    Attributes
    ----------
    flux : in the unit of the system's zero points, W m^-2 nm^-1 or W m^-2 Hz^-1.
    covariance : of the fluxes.
    """

    flux: Float[np.ndarray, " band"]
    covariance: Float[np.ndarray, "band band"]

    def scaled(self, factor: Float[np.ndarray, " band"]) -> "BandFluxes":
        """Return the fluxes with errors larger by factors, their correlations as they are."""
        return replace(self, covariance=self.covariance * np.outer(factor, factor))


@dataclass(frozen=True)
class BandMagnitudes:
    """Magnitudes of one star in some bands, NaN where there is none.

    Attributes
    ----------
    magnitude_mag, covariance_mag2 : of the bands.
    negative, faint : which bands were left because their flux is not positive, or its signal-to-noise ratio too low.
    """

    magnitude_mag: Float[np.ndarray, " band"]
    covariance_mag2: Float[np.ndarray, "band band"]
    negative: Bool[np.ndarray, " band"]
    faint: Bool[np.ndarray, " band"]

    @property
    def error_mag(self) -> Float[np.ndarray, " band"]:
        """Standard errors. [mag]"""
        return np.sqrt(np.diag(self.covariance_mag2))


def band_fluxes(
    spectra: dict[str, Spectrum | None], matrices: SystemMatrices, where: str = "the spectrum"
) -> BandFluxes:
    """Return the fluxes of a star in the bands of a system, with their covariance.

    Equation: EX1 (docs/explanation/model.md). Source: Montegriffo et al. (2023), A&A 674, A33; GaiaXPy.

    Parameters
    ----------
    spectra : by photometer, ``bp`` and ``rp``; None where the star has none. A band that such a photometer sees becomes missing.
    matrices : of the bands.
    where : how messages call the star.

    Raises
    ------
    InputError
        If a spectrum is in another basis than the matrices.
    """
    n_bands = len(matrices.bands)
    flux, covariance, reached = np.zeros(n_bands), np.zeros((n_bands, n_bands)), np.ones(n_bands, dtype=bool)
    for photometer in PHOTOMETERS:
        design, spectrum = matrices.design[photometer], spectra.get(photometer)
        if spectrum is None:
            reached &= ~_sees(matrices, photometer)
            continue
        _check_basis(spectrum, photometer, design.shape[1], where)
        flux += design @ spectrum.coefficients  # EX1
        covariance += design @ spectrum.covariance @ design.T  # EX1: BP and RP are independent
    biased = flux + matrices.flux_bias
    with np.errstate(divide="ignore", invalid="ignore"):
        # Standardised systems keep the relative error, as GaiaXPy has it.
        stretch = np.where(matrices.flux_bias == 0.0, 1.0, np.abs(biased / flux))
    covariance = covariance * np.outer(stretch, stretch)
    biased[~reached] = np.nan
    covariance[~reached, :] = np.nan
    covariance[:, ~reached] = np.nan
    return BandFluxes(biased, covariance)


def _sees(matrices: SystemMatrices, photometer: str) -> Bool[np.ndarray, " band"]:
    """Return which bands a photometer sees at least a thousandth of what the other does: less is less than 0.002 mag."""
    strength = {name: np.abs(matrices.design[name]).max(axis=1) for name in PHOTOMETERS}
    (other,) = (name for name in PHOTOMETERS if name != photometer)
    return strength[photometer] > 1e-3 * strength[other]


def _check_basis(spectrum: Spectrum, photometer: str, n_design: int, where: str) -> None:
    """Refuse a spectrum that is in another basis than the matrices: its flux would be a number without meaning."""
    n = len(spectrum.coefficients)
    if n == n_design and spectrum.basis in (None, DR3_BASES[photometer]):
        return
    other = "" if spectrum.basis is None else f" of basis {spectrum.basis}"
    raise InputError(
        f"{where}: {n} {photometer.upper()} coefficients{other}, and the matrices of GaiaXPy {library_version()} are for "
        f"{n_design} coefficients of basis {DR3_BASES[photometer]}, that of Gaia DR3. Coefficients of another release (BP has 51 "
        "in DR4) need a version of GaiaXPy that has its matrices."
    )


def band_magnitudes(
    fluxes: BandFluxes,
    zero_point_mag: Float[np.ndarray, " band"],
    least_signal_to_noise: float = LEAST_SIGNAL_TO_NOISE,
) -> BandMagnitudes:
    """Return magnitudes and their covariance, to first order in the relative errors.

    Equation: EX2 (docs/explanation/model.md).

    Parameters
    ----------
    fluxes : of one star.
    zero_point_mag : the magnitude of a flux of one. [mag]
    least_signal_to_noise : below which a band is missing.
    """
    flux, variance = fluxes.flux, np.diag(fluxes.covariance)
    with np.errstate(invalid="ignore"):
        negative = ~(flux > 0.0) & np.isfinite(flux)
        faint = (flux > 0.0) & ~(flux >= least_signal_to_noise * np.sqrt(variance))
    good = np.isfinite(flux) & ~negative & ~faint
    safe = np.where(good, flux, 1.0)
    magnitude_mag = np.where(good, zero_point_mag - 2.5 * np.log10(safe), np.nan)  # EX2
    relative = MAG_PER_RELATIVE_FLUX / safe
    covariance_mag2 = fluxes.covariance * np.outer(relative, relative)  # EX2
    covariance_mag2[~good, :] = np.nan
    covariance_mag2[:, ~good] = np.nan
    return BandMagnitudes(magnitude_mag, covariance_mag2, negative, faint)
