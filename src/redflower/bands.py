"""The photometric bands: one order, one place for their columns, systems and error floors.

Everywhere in redflower an axis called ``band`` runs in the order of `BANDS` (or of a leading part of it),
with the Gaia G band first: the flow is triangular in this order and its first coordinate is M_G.
"""

from dataclasses import dataclass
from typing import Final, Literal

Survey = Literal["gaia", "ps1", "2mass"]


@dataclass(frozen=True)
class Band:
    """One photometric band of one survey, with the catalogue columns that hold it.

    Attributes
    ----------
    name : survey-qualified identifier, for instance ``ps1_g``.
    label : what figures and the output column ``bands`` print, for instance ``g``.
    survey : ``gaia``, ``ps1`` or ``2mass``.
    magnitude_column : catalogue column of the apparent magnitude. [mag]
    error_column : catalogue column of the magnitude error [mag]; None where the survey gives fluxes (Gaia).
    flux_column, flux_error_column : columns of the flux and its error, in one unit; None without fluxes.
    system : magnitude system, ``Vega`` or ``AB``.
    error_floor_mag : systematic error added in quadrature to the catalogue's error. [mag]
    """

    name: str
    label: str
    survey: Survey
    magnitude_column: str
    error_column: str | None
    flux_column: str | None
    flux_error_column: str | None
    system: Literal["Vega", "AB"]
    error_floor_mag: float


# Error floors, added in quadrature to the catalogues' errors:
# Gaia (E)DR3: 2.76, 2.79 and 3.78 mmag, the zero-point uncertainties of G, BP and RP in the Gaia DR3
#   documentation (Riello et al. 2021, A&A 649, A3, table on the photometric zero points).
# PS1: 7-12 mmag is the upper bound of the calibration's systematic uncertainty over the sky, band by band
#   (O'Callaghan et al. 2025, section 3.2; Chambers et al. 2016); the relative scatter between neighbouring
#   stars is about half of it, 5 mmag (Schlafly et al. 2012), which is what errors of one star should carry.
# 2MASS: 2 % calibration uniformity over the sky is already inside the catalogue's *_msigcom errors (Skrutskie et
#   al. 2006); no further floor.
def _gaia(name: str, label: str, floor_mag: float) -> Band:
    short = name.removeprefix("gaia_")
    return Band(
        name, label, "gaia", f"phot_{short}_mean_mag", None,
        f"phot_{short}_mean_flux", f"phot_{short}_mean_flux_error", "Vega", floor_mag,
    )  # fmt: skip


def _ps1(label: str) -> Band:
    column = f"{label}_mean_psf_mag"
    return Band(f"ps1_{label}", label, "ps1", column, f"{column}_error", None, None, "AB", 0.005)


def _tmass(name: str, label: str) -> Band:
    short = name.removeprefix("tmass_")
    return Band(name, label, "2mass", f"{short}_m", f"{short}_msigcom", None, None, "Vega", 0.0)


#: All bands in the one order: G BP RP g r i z y J H Ks.
BANDS: Final[tuple[Band, ...]] = (
    _gaia("gaia_g", "G", 0.00276),
    _gaia("gaia_bp", "BP", 0.00279),
    _gaia("gaia_rp", "RP", 0.00378),
    *(_ps1(label) for label in "grizy"),
    _tmass("tmass_j", "J"),
    _tmass("tmass_h", "H"),
    _tmass("tmass_ks", "Ks"),
)

N_BANDS: Final = len(BANDS)
BAND_INDEX: Final[dict[str, int]] = {band.name: i for i, band in enumerate(BANDS)}
#: Places of G, BP and RP on the ``band`` axis; G leads, BP - RP is the colour of the extinction law.
G, BP, RP = (BAND_INDEX[f"gaia_{short}"] for short in ("g", "bp", "rp"))

#: Fewer bands than this say nothing about reddening: such stars are neither prepared nor inferred.
MIN_BANDS: Final = 3

#: Numbers of leading bands after which a survey ends: Gaia, + Pan-STARRS1, + 2MASS.
SURVEY_ENDS: Final[dict[Survey, int]] = {"gaia": 3, "ps1": 8, "2mass": 11}


def leading_bands(n_bands: int) -> tuple[Band, ...]:
    """Return the first ``n_bands`` bands of the one order."""
    if not 1 <= n_bands <= N_BANDS:
        raise ValueError(f"leading_bands(n_bands) needs 1 <= n_bands <= {N_BANDS}; got {n_bands}.")
    return BANDS[:n_bands]


def band_labels(observed: "list[bool] | tuple[bool, ...]") -> str:
    """Return the labels of the observed bands, separated by spaces, as in the output column ``bands``."""
    return " ".join(band.label for band, seen in zip(BANDS, observed, strict=False) if seen)
