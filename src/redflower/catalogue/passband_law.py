"""Extinction coefficients by integrating a curve over passbands, for bands that have no measured ones.

Curves are those of dust_extinction, passbands those of pyphot or of a survey's own file.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from jaxtyping import Float

from redflower.band import Band, BandSet
from redflower.errors import InputError
from redflower.physics import ConstantLaw

#: Curves that run with R_V, by their names in dust_extinction.
CURVES: Final = ("F99", "CCM89", "O94", "F04", "F19", "G23")
#: A(1 um) / E(B-V) on the scale of Schlegel et al. (1998): 1.319, of their curve, times 0.78, by which Schlafly &
#: Finkbeiner (2011) found the map too high. Their table 6 follows from it and F99.
A_1UM_PER_EBV: Final = 0.78 * 1.319
#: E(B-V) at which coefficients are computed: broad bands have smaller ones behind more dust. [mag]
EBV_MAG: Final = 0.1
#: Share of a band's photons that a curve may not reach.
OUTSIDE_SHARE: Final = 1e-3
_SECOND_RADIATION_UM_K: Final = 14387.77
#: Passbands of pyphot by their names in the Filter Profile Service.
_PYPHOT: Final[dict[str, str]] = {
    **{f"GAIA/GAIA3.{svo}": f"GaiaDR2v2_{name}" for svo, name in (("G", "G"), ("Gbp", "BP"), ("Grp", "RP"))},
    **{f"PAN-STARRS/PS1.{band}": f"PS1_{band}" for band in "grizy"},
    **{f"2MASS/2MASS.{band}": f"2MASS_{band}" for band in ("J", "H", "Ks")},
    **{f"WISE/WISE.{band}": f"WISE_RSR_{band}" for band in ("W1", "W2", "W3", "W4")},
    **{f"SLOAN/SDSS.{band}": f"SDSS_{band}" for band in "ugriz"},
    **{f"SkyMapper/SkyMapper.{band}": f"SkyMapper_{band}" for band in "uvgriz"},
    **{f"GALEX/GALEX.{band}": f"GALEX_{band}" for band in ("FUV", "NUV")},
}
_UVIS: Final = "HST/WFC3_UVIS1."

#: A(wavelength) / A(1 um), of wavelengths in um.
Curve = Callable[[np.ndarray], np.ndarray]


def extinction_curve(name: str, r_v: float) -> tuple[Curve, tuple[float, float]]:
    """Return a curve A(wavelength) / A(1 um) of wavelengths in um, and the range that it covers. [um]

    Raises
    ------
    InputError
        If there is no such curve, it does not go to that R_V, or dust_extinction is not installed.
    """
    if name not in CURVES:
        raise InputError(f"--curve must be one of {', '.join(CURVES)}; got {name!r}.")
    try:
        from dust_extinction import parameter_averages
    except ImportError:
        raise InputError(
            "extinction curves are those of dust_extinction, which is not installed: pip install 'redflower[laws]'."
        ) from None
    kind = getattr(parameter_averages, name)
    low, high = kind.Rv_range
    if not low <= r_v <= high:
        raise InputError(f"--rv: the curve {name} goes from R_V = {low:g} to {high:g}; got {r_v!r}.")
    model = kind(Rv=r_v)
    ends = (1.0 / float(model.x_range[1]), 1.0 / float(model.x_range[0]))

    def curve(wavelength_um: np.ndarray) -> np.ndarray:
        import astropy.units as u

        clipped = np.clip(wavelength_um, ends[0] * (1 + 1e-6), ends[1] * (1 - 1e-6))
        return np.asarray(model(clipped * u.micron), dtype=float)

    at_1um = float(curve(np.array([1.0]))[0])
    return lambda wavelength_um: curve(wavelength_um) / at_1um, ends


def pyphot_name(band: Band) -> str | None:
    """Return what pyphot calls the passband of a band; None where it has none."""
    if band.passband.startswith(_UVIS):
        return f"HST_WFC3_{band.passband.removeprefix(_UVIS)}"
    return _PYPHOT.get(band.passband)


def band_passband(
    band: Band, tables: Mapping[str, str] | None = None
) -> tuple[Float[np.ndarray, " node"], Float[np.ndarray, " node"]]:
    """Return the passband of a band: wavelengths [um], and the share of photons that count, in any unit.

    Parameters
    ----------
    band : whose passband.
    tables : files by name of band, as of `redflower.survey.Survey.passband_tables`; other bands have pyphot's.

    Raises
    ------
    InputError
        If there is none, or pyphot is not installed.
    """
    if band.name in (tables or {}):
        return read_curve((tables or {})[band.name], f"passband of {band.name}")
    name = pyphot_name(band)
    if name is None:
        raise InputError(
            f"no passband of {band.name} ({band.passband}) is at hand. Give one in its survey's file: passband_table = "
            '"FILE.csv", with the columns wavelength_nm and throughput.'
        )
    try:
        from pyphot import get_library
    except ImportError:
        raise InputError(
            "passbands are those of pyphot, which is not installed: pip install 'redflower[laws]'."
        ) from None
    found = get_library()[name]
    wavelength_um = np.asarray(found.wavelength.to("um").value, dtype=float)
    throughput = np.asarray(getattr(found.transmit, "value", found.transmit), dtype=float)
    order = np.argsort(wavelength_um)
    wavelength_um, throughput = wavelength_um[order], np.maximum(throughput[order], 0.0)
    return wavelength_um, throughput if found.dtype == "photon" else throughput / wavelength_um


def read_curve(
    path: "str | Path", what: str
) -> tuple[Float[np.ndarray, " node"], Float[np.ndarray, " node"]]:
    """Read a CSV of two columns, ``wavelength_nm`` and another; return wavelengths [um] and the other's values, >= 0.

    Raises
    ------
    InputError
        If it is not that.
    """
    try:
        header = Path(path).read_text("utf-8").splitlines()[0]
        values = np.loadtxt(path, delimiter=",", skiprows=1, ndmin=2)
    except (OSError, ValueError, IndexError, UnicodeDecodeError) as problem:
        raise InputError(
            f"{what}: {path} cannot be read as a CSV of two columns of numbers: {problem}."
        ) from None
    if (
        not header.replace('"', "").lower().startswith("wavelength_nm,")
        or values.shape[1] != 2
        or len(values) < 3
    ):
        raise InputError(
            f"{what}: {path} needs a line of names, wavelength_nm and another, and three rows or more."
        )
    wavelength_um, other = values.T[0] / 1000.0, values.T[1]
    if not (
        (np.diff(wavelength_um) > 0).all() and wavelength_um[0] > 0 and (other >= 0).all() and other.any()
    ):
        raise InputError(
            f"{what}: {path} needs rising wavelengths, and values that are not negative, nor all nought."
        )
    return wavelength_um, other


def black_body(temperature_k: float) -> Curve:
    """Return the flux of a black body per wavelength, in any unit, of wavelengths in um.

    Raises
    ------
    InputError
        If it is colder or hotter than stars.
    """
    if not 2000.0 <= temperature_k <= 50_000.0:
        raise InputError(f"--temperature must lie between 2000 and 50000 K; got {temperature_k!r}.")

    def flux(wavelength_um: np.ndarray) -> np.ndarray:
        return wavelength_um**-5 / np.expm1(_SECOND_RADIATION_UM_K / (wavelength_um * temperature_k))

    return flux


def integrated_coefficient(
    passband: tuple[Float[np.ndarray, " node"], Float[np.ndarray, " node"]],
    curve: Curve,
    spectrum: Curve,
    ebv_mag: float = EBV_MAG,
) -> float:
    """Return R = A / E(B-V) of a passband, E(B-V) on the scale of Schlegel et al. (1998).

    Equation: EP12 (docs/explanation/model.md).

    Parameters
    ----------
    passband : wavelengths [um], and the share of photons that count.
    curve : A(wavelength) / A(1 um).
    spectrum : flux per wavelength without dust.
    ebv_mag : behind how much dust. [mag]
    """
    wavelength_um, throughput = passband
    photons = spectrum(wavelength_um) * wavelength_um * throughput
    dimmed = photons * 10.0 ** (-0.4 * A_1UM_PER_EBV * ebv_mag * curve(wavelength_um))
    return float(
        -2.5 * np.log10(np.trapezoid(dimmed, wavelength_um) / np.trapezoid(photons, wavelength_um)) / ebv_mag
    )  # EP12


def integrated_law(
    bands: BandSet,
    *,
    curve: str = "F99",
    r_v: float = 3.1,
    temperature_k: float = 6000.0,
    spectrum: "str | Path | None" = None,
    tables: Mapping[str, str] | None = None,
) -> ConstantLaw:
    """Compute a law of one coefficient per band by integrating a curve over the passbands.

    Parameters
    ----------
    bands : of the law.
    curve : one of `CURVES`.
    r_v : A(V) / E(B-V) of the dust.
    temperature_k : of the black body that stands for the star. [K]
    spectrum : CSV of ``wavelength_nm`` and a flux per wavelength, in its place.
    tables : passbands of bands that pyphot has not, by name; see `band_passband`.

    Returns
    -------
    The law.

    Raises
    ------
    InputError
        If a library is not installed, there is no such curve or passband, or the curve does not reach a band.

    Examples
    --------
    >>> "F99" in CURVES
    True
    """
    dust, ends_um = extinction_curve(curve, r_v)
    source = _spectrum_of(spectrum) if spectrum is not None else black_body(temperature_k)
    coefficients = []
    for band in bands:
        wavelength_um, throughput = band_passband(band, tables)
        photons = source(wavelength_um) * wavelength_um * throughput
        if not photons.any():
            raise InputError(f"--spectrum: {spectrum} has no flux in the passband of {band.name}.")
        beyond = (wavelength_um < ends_um[0]) | (wavelength_um > ends_um[1])
        share = np.trapezoid(np.where(beyond, photons, 0.0), wavelength_um) / np.trapezoid(
            photons, wavelength_um
        )
        if share > OUTSIDE_SHARE:
            raise InputError(
                f"--curve {curve} goes from {ends_um[0]:.3g} to {ends_um[1]:.3g} um, and {100 * share:.0f} % of what "
                f"{band.name} sees is beyond. Take a curve that reaches it (G23: 0.09 to 32 um)."
            )
        coefficients.append(integrated_coefficient((wavelength_um, throughput), dust, source))
    return ConstantLaw(coefficients, bands)


def law_text(law: ConstantLaw, said: Mapping[str, Any]) -> str:
    """Return the file of a law, as ``--law FILE`` reads it, with how it came about as comments."""
    lines = ["# R = A / E(B-V), with E(B-V) on the scale of Schlegel et al. (1998), by `redflower law`."]
    lines += [f"# {key}: {value}" for key, value in said.items()]
    lines += ['name = "constant"', "", "[coefficients]"]
    lines += [f"{name} = {value:.4f}" for name, value in zip(law.bands.names, law.values, strict=True)]
    return "\n".join(lines) + "\n"


def _spectrum_of(path: "str | Path") -> Curve:
    nodes_um, flux = read_curve(path, "--spectrum")
    return lambda wavelength_um: np.interp(wavelength_um, nodes_um, flux, left=0.0, right=0.0)
