r"""Cuts that are off until asked for by name, for tables that have their columns: contaminated and badly measured photometry.

======================  ==============================================================================================
``excess-factor``       \|C*\| < k sigma(G) of the corrected excess of BP and RP over G (EP10, EP11): no blends, no extended
                        sources. k is 3 unless given. A star without an excess factor stays.
``bp-signal``           BP counts only where its flux is above k of its errors: Gaia's BP fluxes of faint red stars are too
                        high on average. k is 10 unless given. The star stays, without BP.
``qso-candidates``      not among Gaia DR3's candidates for quasars.
``galaxy-candidates``   not among Gaia DR3's candidates for galaxies.
======================  ==============================================================================================
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from astropy.table import Table
from jaxtyping import Bool, Float, Int

from redflower.bands import BANDS, BP, RP, G
from redflower.catalogue.gaia_release import GaiaRelease
from redflower.catalogue.io.columns import as_floats
from redflower.catalogue.quality.excess_factor import corrected_excess_factor, excess_factor_sigma
from redflower.catalogue.quality.limits import QualityLimits
from redflower.catalogue.reading.schema import (
    EXCESS_FACTOR,
    GALAXY_CANDIDATES,
    QSO_CANDIDATES,
    flux_over_error_column,
)
from redflower.errors import InputError

#: Bits of the prepared column ``quality_flags``: what a cut by name finds in a star, whether it was asked for or not.
EXCESS_FACTOR_OFF, BP_SIGNAL_LOW, QSO_CANDIDATE, GALAXY_CANDIDATE = 1, 2, 4, 8
QUALITY_FLAGS: Final = "quality_flags"
QUALITY_FLAGS_TEXT: Final = (
    "1 excess factor of BP and RP off, 2 BP flux too low for its error, "
    "4 candidate for a quasar, 8 candidate for a galaxy"
)


@dataclass(frozen=True)
class NamedCut:
    """A cut that is asked for by name.

    Attributes
    ----------
    limit : the field of `QualityLimits` that switches it on.
    value : the number of that field when it is asked for without one; None for a cut that takes no number.
    columns : what it needs of a table; any one of each group.
    bit : of ``quality_flags``.
    """

    limit: str
    value: float | None
    columns: tuple[tuple[str, ...], ...]
    bit: int


_BP_FLUX: Final = (str(BANDS[BP].flux_column), str(flux_over_error_column(BANDS[BP])))
_BP_ERROR: Final = (str(BANDS[BP].flux_error_column), str(flux_over_error_column(BANDS[BP])))

NAMED_CUTS: Final[dict[str, NamedCut]] = {
    "excess-factor": NamedCut(
        "excess_factor_sigma",
        3.0,
        ((EXCESS_FACTOR,), *((BANDS[band].magnitude_column,) for band in (G, BP, RP))),
        EXCESS_FACTOR_OFF,
    ),
    "bp-signal": NamedCut("bp_signal_min", 10.0, (_BP_FLUX, _BP_ERROR), BP_SIGNAL_LOW),
    "qso-candidates": NamedCut("no_qso_candidates", None, ((QSO_CANDIDATES,),), QSO_CANDIDATE),
    "galaxy-candidates": NamedCut("no_galaxy_candidates", None, ((GALAXY_CANDIDATES,),), GALAXY_CANDIDATE),
}


def with_cuts(limits: QualityLimits, asked: Iterable[str]) -> QualityLimits:
    """Switch on cuts by name.

    Parameters
    ----------
    limits
        To start from.
    asked
        Names of `NAMED_CUTS`; those with a number take another as ``NAME=NUMBER``.

    Returns
    -------
    QualityLimits
        With these cuts on.

    Raises
    ------
    InputError
        If a name is unknown, or a number is none or not taken.

    Examples
    --------
    >>> with_cuts(QualityLimits(), ["excess-factor=5", "qso-candidates"]).excess_factor_sigma
    5.0
    """
    update: dict[str, Any] = {}
    for text in asked:
        name, equals, number = (part.strip() for part in text.partition("="))
        if name not in NAMED_CUTS:
            raise InputError(
                f"--with-cut {text!r}: there is no cut of this name. Choose among {', '.join(NAMED_CUTS)}."
            )
        cut = NAMED_CUTS[name]
        value: float | bool = True if cut.value is None else cut.value
        if equals:
            if cut.value is None:
                raise InputError(f"--with-cut {text!r}: {name} takes no number. Write --with-cut {name}.")
            try:
                value = float(number)
            except ValueError:
                raise InputError(
                    f"--with-cut {text!r}: after = a number must stand, such as {name}={cut.value:g}; got {number!r}."
                ) from None
        update[cut.limit] = value
    return replace(limits, **update)


def asked_cuts(limits: QualityLimits) -> list[str]:
    """Return the names of the cuts that are on."""
    return [name for name, cut in NAMED_CUTS.items() if getattr(limits, cut.limit) not in (None, False)]


def check_named_cuts(names: Sequence[str], limits: QualityLimits, release: GaiaRelease, where: str) -> None:
    """Refuse cuts that are asked for where the table cannot give them.

    Parameters
    ----------
    names
        Columns of the table, in redflower's names.
    limits
        With the cuts that are on.
    release
        Of Gaia, of the table.
    where
        What the table is called.

    Raises
    ------
    InputError
        If a column is absent, or an excess factor is of a release whose correction is not known.
    """
    for name in asked_cuts(limits):
        lacking = [group for group in NAMED_CUTS[name].columns if not set(group) & set(names)]
        if lacking:
            columns = ", ".join(" or ".join(dict.fromkeys(group)) for group in lacking)
            raise InputError(
                f"the cut {name} needs {columns}, which {where} lacks. `redflower fetch` gets such columns where the release has "
                f"them; name the table's own in a column map (--columns), or leave out --with-cut {name}."
            )
    if limits.excess_factor_sigma is not None and release.excess_factor is None:
        raise InputError(
            f"the cut excess-factor corrects the excess factor as Riello et al. 2021 do that of Gaia DR3, and {where} is of "
            f"{release.title}, whose factor is another. Leave out --with-cut excess-factor."
        )


def excess_factor_is_good(stars: Table, n_sigma: float) -> Bool[np.ndarray, " star"]:
    """Tell which stars have a corrected excess factor within so many of its scatter, or none at all."""
    g_mag, bp_mag, rp_mag = (as_floats(stars, BANDS[band].magnitude_column) for band in (G, BP, RP))
    corrected = corrected_excess_factor(as_floats(stars, EXCESS_FACTOR), bp_mag - rp_mag)
    with np.errstate(invalid="ignore"):
        return ~(np.abs(corrected) >= n_sigma * excess_factor_sigma(g_mag))


def bp_signal(stars: Table) -> Float[np.ndarray, " star"]:
    """Return the BP flux over its error, from both or from the ratio."""
    flux, error = BANDS[BP].flux_column, BANDS[BP].flux_error_column
    if flux in stars.colnames and error in stars.colnames:
        with np.errstate(invalid="ignore", divide="ignore"):
            return as_floats(stars, str(flux)) / as_floats(stars, str(error))
    return as_floats(stars, str(flux_over_error_column(BANDS[BP])))


def is_candidate(stars: Table, column: str) -> Bool[np.ndarray, " star"]:
    """Tell which stars a column of flags names; a missing flag names none."""
    return as_floats(stars, column) > 0.5


def quality_flags(
    stars: Table, limits: QualityLimits, release: GaiaRelease
) -> Int[np.ndarray, " star"] | None:
    """Find in each star what the cuts by name look for, with their limits or the defaults; None if nothing can be looked for.

    Only tables with one of the columns that serve these cuts alone, or with such a cut asked for, have flags.
    """
    own = {EXCESS_FACTOR, QSO_CANDIDATES, GALAXY_CANDIDATES} & set(stars.colnames)
    if not own and not asked_cuts(limits):
        return None
    flags = np.zeros(len(stars), dtype=np.int16)
    for cut in NAMED_CUTS.values():
        if any(not set(group) & set(stars.colnames) for group in cut.columns):
            continue
        value = float(getattr(limits, cut.limit) or cut.value or 0.0)
        if cut.bit == EXCESS_FACTOR_OFF:
            known = release.excess_factor is not None
            found = ~excess_factor_is_good(stars, value) if known else np.zeros(len(stars), dtype=bool)
        elif cut.bit == BP_SIGNAL_LOW:
            with np.errstate(invalid="ignore"):
                found = bp_signal(stars) <= value
        else:
            found = is_candidate(stars, cut.columns[0][0])
        flags[found] |= cut.bit
    return flags
