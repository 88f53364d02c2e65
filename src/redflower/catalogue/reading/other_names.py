"""What archives and programs call the columns: VizieR, MAST, the CDS cross-match service, LSDB's catalogues, 2MASS itself.

Some names mean a column in one survey's table only: ``rmag`` is Pan-STARRS1's in VizieR's catalogue II/349, and Sloan's in
V/147. Such a name is taken only in the company that tells, and not where another survey's column is beside it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from redflower.band import Band
from redflower.catalogue.io.names import without_decoration


@dataclass(frozen=True)
class Company:
    """The columns that a table must have, and must not have, for a name to mean what it says.

    Attributes
    ----------
    needs, never : exact names.
    """

    needs: frozenset[str]
    never: frozenset[str] = frozenset()


#: Pan-STARRS1 has y and no u; SDSS and SkyMapper have u and no y.
_PS1: Final = Company(frozenset({"rmag", "ymag"}), frozenset({"umag"}))
#: UKIDSS has two magnitudes in J, of other names; DENIS has no H.
_TMASS: Final = Company(frozenset({"Jmag", "Hmag"}))
#: VizieR's catalogue I/355, whose flags have names that any table may have.
_GAIA_DR3: Final = Company(frozenset({"DR3Name", "RUWE"}))

#: VizieR's names of the Gaia photometry (I/345, I/350, I/355), by the short name of the band.
_VIZIER_GAIA: Final = {"g": "G", "bp": "BP", "rp": "RP"}

#: Other names of columns that are of no band; those of Gaia's releases come on top.
OTHER_NAMES: Final[dict[str, tuple[str, ...]]] = {
    "source_id": ("Source",),
    "ra": ("RA_ICRS", "RAJ2000", "_RAJ2000", "raMean"),
    "dec": ("DE_ICRS", "DEJ2000", "_DEJ2000", "decMean"),
    "l": ("GLON",),
    "b": ("GLAT",),
    "parallax": ("Plx",),
    "parallax_error": ("e_Plx",),
    "visibility_periods_used": ("Nper",),
    "astrometric_params_solved": ("Solved",),
    "phot_g_n_obs": ("o_Gmag",),
    "nu_eff_used_in_astrometry": ("nueff",),
    "pseudocolour": ("pscol",),
    "ecl_lat": ("ELAT",),
    "phot_g_mean_flux_over_error": ("RFG",),
    "phot_bp_mean_flux_over_error": ("RFBP",),
    "phot_rp_mean_flux_over_error": ("RFRP",),
    "ph_qual": ("Qflg", "Qfl"),
    "phot_bp_rp_excess_factor": ("E(BP/RP)", "E_BP_RP_"),
    "in_qso_candidates": ("QSO",),
    "in_galaxy_candidates": ("Gal",),
    **{f"ps1_{label}_flags": (f"{label}_flags", f"{label}Flags") for label in "grizy"},
    "ps1_quality_flag": ("qualityFlag", "Qual"),
    "r_med_geo": ("rgeo",),
    "r_lo_geo": ("b_rgeo",),
    "r_hi_geo": ("B_rgeo",),
}

#: The names that need company.
COMPANY: Final[dict[str, Company]] = {
    **{f"{prefix}{label}mag": _PS1 for label in "grizy" for prefix in ("", "e_")},
    **{f"{prefix}{label}mag": _TMASS for label in "JHK" for prefix in ("", "e_")},
    "QSO": _GAIA_DR3,
    "Gal": _GAIA_DR3,
    "Qflg": _TMASS,
    "Qfl": _TMASS,
    "Qual": Company(_PS1.needs | {"objID"}, _PS1.never),
}

#: Names of two surveys that differ by case alone.
_TWINS: Final = {"Gmag": "gmag", "gmag": "Gmag", "e_Gmag": "e_gmag", "e_gmag": "e_Gmag"}


def names_of_band(band: Band) -> dict[str, tuple[str, ...]]:
    """Return other names of a band's ``magnitude``, ``error``, ``flux`` and ``flux_error``."""
    short = _VIZIER_GAIA.get(band.name.removeprefix("gaia_")) if band.survey == "gaia" else None
    fluxes = {"flux": (f"F{short}",), "flux_error": (f"e_F{short}",)} if short else {}
    return {"magnitude": band.magnitude_aliases, "error": band.error_aliases, **fluxes}


def columns_named(alias: str, names: Sequence[str]) -> list[str]:
    """Return the columns of a table that another name means: none, one, or more where that cannot be told.

    Programs that fold case rename one or both of ``Gmag`` and ``gmag``, which are G of Gaia and g of Pan-STARRS1: TOPCAT to
    ``Gmag_1`` and ``gmag_2``. Either is known by the case of its first letters.

    Parameters
    ----------
    alias : one of a schema column's `aliases`.
    names : of the table's columns.
    """
    present = set(names)
    company = COMPANY.get(alias)
    if company is not None:
        met = all(need in present or _renamed(need, names) for need in company.needs)
        if not met or company.never & present:
            return []
    if alias in present:
        return [alias]
    twin = _TWINS.get(alias)
    if twin is None or not (twin in present or _renamed(twin, names)):
        return []
    return _renamed(alias, names)


def _renamed(name: str, names: Sequence[str]) -> list[str]:
    """Return the columns that are called so with a program's suffix behind it, in this very case."""
    bare = name.lower()
    return [
        other
        for other in names
        if other != name and other.startswith(name) and without_decoration(other) == bare
    ]
