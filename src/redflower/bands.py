"""The standard bands: one order, one place for them. Other sets of bands travel with their models.

An axis called ``band`` runs in the order of a `BandSet`, which is that of the model at hand; where none is at hand it runs in the
order of `STANDARD` (or of a leading part of it). The Gaia G band comes first: the flow is triangular in this order and its first
coordinate is M_G. Bands and their columns are described in ``data/surveys``.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from redflower.band import Band as Band
from redflower.band import BandSet as BandSet
from redflower.survey import Survey
from redflower.surveys import shipped_surveys, survey_named

#: Surveys of the standard bands, in their order.
STANDARD_SURVEYS: Final = ("gaia", "ps1", "2mass")


def band_set(surveys: "Iterable[str | Path | Survey]") -> BandSet:
    """Return the bands of some surveys, in their order.

    Parameters
    ----------
    surveys : names of shipped surveys, files that describe others, or what `redflower.surveys.survey_named` returned; Gaia first.

    Returns
    -------
    The set.

    Raises
    ------
    InputError
        If there is no such survey, two of them share a band, as two releases of one survey do, or Gaia is not first.

    Examples
    --------
    >>> band_set(["gaia", "2mass", "allwise"]).labels
    ('G', 'BP', 'RP', 'J', 'H', 'Ks', 'W1', 'W2')
    """
    found = [survey if isinstance(survey, Survey) else survey_named(survey) for survey in surveys]
    return BandSet(tuple(band for survey in found for band in survey.bands))


#: The standard bands: G BP RP g r i z y J H Ks.
STANDARD: Final = band_set([shipped_surveys()[name] for name in STANDARD_SURVEYS])
BANDS: Final[tuple[Band, ...]] = STANDARD.bands
N_BANDS: Final = len(BANDS)
BAND_INDEX: Final[dict[str, int]] = STANDARD.index
#: Places of G, BP and RP on every ``band`` axis; G leads, BP - RP is the colour of the extinction law.
G, BP, RP = 0, 1, 2

#: Fewer bands than this say nothing about reddening: such stars are neither prepared nor inferred.
MIN_BANDS: Final = 3

#: Numbers of leading standard bands after which a survey ends: Gaia, + Pan-STARRS1, + 2MASS.
SURVEY_ENDS: Final[dict[str, int]] = STANDARD.survey_ends
#: The surveys whose columns every table is searched for.
READ_BY_DEFAULT: Final[tuple[Survey, ...]] = tuple(s for s in shipped_surveys().values() if s.by_default)


def star_bands(bands: BandSet) -> BandSet:
    """Return the bands that arrays of stars have for a model: the standard ones where its bands are a leading part of them.

    Parameters
    ----------
    bands : the model's.
    """
    return STANDARD if bands.begins(STANDARD) else bands
