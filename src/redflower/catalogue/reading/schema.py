"""The columns that redflower reads of a catalogue: meaning, unit, range, and what is lost without each.

Names are those of the Gaia archive; the photometric ones come from `redflower.bands`. A value is missing
where it is NaN, masked, infinite, one of the column's sentinels, or outside the column's range.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache
from typing import Final, Literal

from redflower.band import Band
from redflower.bands import READ_BY_DEFAULT, STANDARD_SURVEYS, BandSet
from redflower.catalogue.gaia_release import Rule
from redflower.catalogue.reading.other_names import OTHER_NAMES, names_of_band
from redflower.catalogue.releases import other_names
from redflower.errors import InputError
from redflower.survey import Survey

Kind = Literal["float", "integer", "text", "flag"]

#: What surveys write for "no value". Each column has those that cannot be a value of it: 999 is a possible
#: number of observations, 99.9 a possible parallax.
SENTINELS: Final = (-9999.0, -999.0)
ASTROMETRY_SENTINELS: Final = (*SENTINELS, 999.0, 9999.0, 1e10)
PHOTOMETRY_SENTINELS: Final = (*ASTROMETRY_SENTINELS, -99.0, -9.9, -9.0, 99.0, 99.9, 99.99, 99.999)


@dataclass(frozen=True)
class InputColumn:
    """One column of an input catalogue.

    Attributes
    ----------
    name : its name in redflower, that of the Gaia archive.
    description : what it holds.
    unit : the unit that redflower works in, as astropy writes it; None for counts, text and ratios. A column
        in another unit of the same kind is converted.
    any_unit : True where only a ratio of two columns is used (fluxes and their errors).
    valid : the range of possible values, ends excluded except for angles; None for text.
    sentinels : values that mean "missing".
    plausible_median : the range in which the median of a whole table lies if the unit is right.
    required : whether every table must have it.
    without : what is lost where the column is absent.
    aliases : other names under which surveys publish the same column; those of Gaia's releases come on top.
    serves : the rule of the parallax zero point that it serves (`redflower.catalogue.gaia_release.Rule`); None for other uses.
    for_a_named_cut : whether it only serves a cut that is off unless asked for; then it is not missed.
    of_survey : the survey whose flag it is, which is missed only where that survey is there; None for other columns.
    system : of a magnitude, Vega or AB.
    """

    name: str
    description: str
    unit: str | None
    kind: Kind = "float"
    any_unit: bool = False
    valid: tuple[float, float] | None = None
    sentinels: tuple[float, ...] = SENTINELS
    plausible_median: tuple[float, float] | None = None
    required: bool = False
    without: str = ""
    aliases: tuple[str, ...] = ()
    serves: Rule | None = None
    for_a_named_cut: bool = False
    of_survey: str | None = None
    system: str | None = None


_POSITION = (
    InputColumn(
        "source_id", "identifier of the star, unique in the table", None, "integer",
        without="rows are numbered from 0",
    ),
    InputColumn(
        "ra", "right ascension, ICRS", "deg", valid=(0.0, 360.0), sentinels=ASTROMETRY_SENTINELS,
        without="computed from l and b; one pair of coordinates is required",
    ),
    InputColumn(
        "dec", "declination, ICRS", "deg", valid=(-90.0, 90.0), sentinels=ASTROMETRY_SENTINELS,
        without="computed from l and b; one pair of coordinates is required",
    ),
    InputColumn(
        "l", "Galactic longitude", "deg", valid=(0.0, 360.0), sentinels=ASTROMETRY_SENTINELS,
        without="computed from ra and dec",
    ),
    InputColumn(
        "b", "Galactic latitude", "deg", valid=(-90.0, 90.0), sentinels=ASTROMETRY_SENTINELS,
        without="computed from ra and dec",
    ),
)  # fmt: skip

# Parallax errors: no Gaia star is measured to better than 0.005 mas, and none of a five-parameter solution
# worse than a few mas; a median outside this range is a table in arcsec or microarcsec (Lindegren et al.
# 2021, A&A 649, A2, table 4).
_ASTROMETRY = (
    InputColumn(
        "parallax", "parallax as in the catalogue, zero point not removed", "mas", valid=(-2000.0, 2000.0),
        sentinels=ASTROMETRY_SENTINELS,
        without="no training; in inference the distance comes from photometry and the prior alone",
    ),
    InputColumn(
        "parallax_bias", "the release's own bias of the parallax, to be subtracted", "mas", valid=(-1000.0, 1000.0),
        sentinels=ASTROMETRY_SENTINELS, without="no parallax zero point", serves="column",
    ),
    InputColumn(
        "parallax_error", "standard error of the parallax", "mas", valid=(0.0, 100.0),
        sentinels=ASTROMETRY_SENTINELS,
        plausible_median=(0.004, 10.0), without="required wherever there is a parallax",
    ),
    InputColumn(
        "ruwe", "renormalised unit weight error of the astrometric solution", None, valid=(0.0, 1000.0),
        sentinels=ASTROMETRY_SENTINELS, without="no cut on RUWE",
    ),
    InputColumn(
        "visibility_periods_used", "number of visibility periods of the astrometric solution", None,
        "integer", valid=(-0.5, 1000.0), without="no cut on visibility periods",
    ),
    InputColumn(
        "astrometric_params_solved",
        "bits of the parameters that were solved for: 3, 31 or 95 for 2, 5 or 6 of them, more bits in Gaia DR4", None,
        "integer", valid=(2.5, 65535.5),
        without="read off nu_eff_used_in_astrometry and pseudocolour if those are there; else no cut on the "
        "kind of solution",
    ),
    InputColumn(
        "phot_g_n_obs", "number of G observations", None, "integer", valid=(-0.5, 1e6),
        without="no cut on the number of G observations",
    ),
    InputColumn(
        "nu_eff_used_in_astrometry", "effective wavenumber, 5-parameter solutions", "1 / um",
        valid=(0.5, 3.0), plausible_median=(1.0, 2.2),
        without="no parallax zero point for 5-parameter solutions", serves="lindegren2021",
    ),
    InputColumn(
        "pseudocolour", "astrometrically estimated wavenumber, 6-parameter solutions", "1 / um",
        valid=(-10.0, 10.0), plausible_median=(1.0, 2.2),
        without="no parallax zero point for 6-parameter solutions", serves="lindegren2021",
    ),
    InputColumn(
        "ecl_lat", "ecliptic latitude", "deg", valid=(-90.0, 90.0), without="computed from ra and dec",
    ),
)  # fmt: skip

_DISTANCES = tuple(
    InputColumn(
        f"r_{which}_geo", f"geometric distance of Bailer-Jones et al. 2021, {text}", "pc", valid=(0.0, 1e6),
        plausible_median=(25.0, 1e5), without="not passed on",
    )
    for which, text in (("med", "median"), ("lo", "16th percentile"), ("hi", "84th percentile"))
)  # fmt: skip


def magnitude_error_column(band: Band) -> str:
    """Return the input column of a band's magnitude error; for Gaia the one used where fluxes are absent."""
    return band.error_column or f"{band.magnitude_column}_error"


def flux_over_error_column(band: Band) -> str | None:
    """Return the Gaia archive's column of flux over flux error; None for surveys that publish magnitudes."""
    return f"{band.flux_column}_over_error" if band.flux_column else None


def band_columns(band: Band) -> tuple[InputColumn, ...]:
    """Return the input columns of one band: its magnitude, and its error in each form that catalogues publish."""
    lost = f"band {band.label} is missing for every star"
    other = names_of_band(band)
    of = None if band.survey in STANDARD_SURVEYS else band.survey
    error_text = f"standard error of the {band.label} magnitude"
    if band.flux_column:
        error_text += ", used where no fluxes are given"
    columns = [
        InputColumn(
            band.magnitude_column, f"apparent magnitude in {band.label} ({band.survey}, {band.system})",
            "mag", valid=(-3.0, 30.0), sentinels=PHOTOMETRY_SENTINELS, plausible_median=(2.0, 25.0), of_survey=of,
            required=band.name == "gaia_g", without=lost, aliases=other.get("magnitude", ()),
            system=band.system,
        ),
        InputColumn(
            magnitude_error_column(band),
            error_text, "mag", valid=(0.0, 5.0), sentinels=PHOTOMETRY_SENTINELS, plausible_median=(0.0, 1.0), of_survey=of,
            without="taken from the fluxes" if band.flux_column else lost, aliases=other.get("error", ()),
        ),
    ]  # fmt: skip
    over_error = flux_over_error_column(band)
    if band.flux_column and band.flux_error_column and over_error:
        text = f"band {band.label} needs the flux and its error, their ratio, or a magnitude error"
        columns += [
            InputColumn(
                band.flux_column, f"mean {band.label} flux", "electron / s", any_unit=True, valid=(0.0, 1e15),
                without=text, aliases=other.get("flux", ()),
            ),
            InputColumn(
                band.flux_error_column, f"standard error of the mean {band.label} flux", "electron / s",
                any_unit=True, valid=(0.0, 1e15), without=text, aliases=other.get("flux_error", ()),
            ),
            InputColumn(
                over_error, f"mean {band.label} flux over its error", None,
                valid=(0.0, 1e9), without=text,
            ),
        ]  # fmt: skip
    return tuple(columns)


#: What is lost without the flags of Pan-STARRS1; said once for all of their columns.
PS1_FLAGS_LOST: Final = "no cut on unphotometric, saturated or bad-pixel measurements of Pan-STARRS1"

#: The columns of the cuts by name (`redflower.catalogue.quality.named_cuts`).
EXCESS_FACTOR: Final = "phot_bp_rp_excess_factor"
QSO_CANDIDATES: Final = "in_qso_candidates"
GALAXY_CANDIDATES: Final = "in_galaxy_candidates"

_QUALITY = (
    InputColumn(
        EXCESS_FACTOR, "sum of the BP and RP fluxes over the G flux", None, valid=(0.0, 1000.0),
        without="the cut excess-factor cannot be asked for", for_a_named_cut=True,
    ),
    *(
        InputColumn(
            name, f"whether Gaia DR3 lists the source among its {what} candidates", None, "flag", valid=(-0.5, 1.5),
            without=f"the cut {cut} cannot be asked for", for_a_named_cut=True,
        )
        for name, what, cut in (
            (QSO_CANDIDATES, "quasar", "qso-candidates"), (GALAXY_CANDIDATES, "galaxy", "galaxy-candidates"),
        )
    ),
    InputColumn(
        "ph_qual", "2MASS photometric quality, a letter each for J, H and Ks", None, "text",
        without="2MASS bands are kept on their errors alone, without the cut on quality AAA",
    ),
    *(
        InputColumn(
            f"ps1_{label}_flags", f"Pan-STARRS1 filter flags of the mean {label} magnitude (bit mask)", None,
            "integer", valid=(-1.0, 2.0**32), without=PS1_FLAGS_LOST,
        )
        for label in "grizy"
    ),
    InputColumn(
        "ps1_quality_flag", "Pan-STARRS1 flags of the object's quality (bit mask)", None, "integer",
        valid=(-1.0, 2.0**32), without=PS1_FLAGS_LOST,
    ),
    *(
        InputColumn(
            f"{short}_number_of_mates", f"number of other Gaia stars with the same {survey} counterpart", None,
            "integer", valid=(-0.5, 1000.0), without="no cut on cross-match mates",
        )
        for short, survey in (("ps1", "Pan-STARRS1"), ("tmass", "2MASS"))
    ),
)  # fmt: skip


@cache
def input_columns(surveys: tuple[Survey, ...] = READ_BY_DEFAULT) -> dict[str, InputColumn]:
    """Return every input column by its name, in the order in which they are described to users.

    Parameters
    ----------
    surveys : whose columns are looked for.
    """
    photometry = [column for survey in surveys for band in survey.bands for column in band_columns(band)]
    flags = [column for survey in surveys for column in _flag_columns(survey)]
    return {
        column.name: replace(
            column,
            aliases=(*column.aliases, *OTHER_NAMES.get(column.name, ()), *other_names().get(column.name, ())),
        )
        for column in (*_POSITION, *_ASTROMETRY, *photometry, *_QUALITY, *flags, *_DISTANCES)
    }


def _flag_columns(survey: Survey) -> tuple[InputColumn, ...]:
    """Return the columns of the flags that a survey's file cuts by."""
    return tuple(
        InputColumn(
            cut.column, f"{survey.title}: {cut.condition}", None, "integer" if cut.kind == "number" else "text",
            without=cut.without, aliases=cut.aliases, valid=(-1e9, 1e9) if cut.kind == "number" else None,
            of_survey=survey.survey,
        )
        for cut in survey.cuts
    )  # fmt: skip


def read_surveys(named: Iterable[Survey] = ()) -> tuple[Survey, ...]:
    """Return the surveys whose columns a table is searched for: those of every table, and those that a user names.

    A survey that is named takes the place of another release of it.

    Parameters
    ----------
    named : what `redflower.surveys.survey_named` returned.

    Raises
    ------
    InputError
        If two releases of one survey are named.
    """
    further = tuple(dict.fromkeys(named))
    given = [survey.survey for survey in further]
    kept = tuple(survey for survey in READ_BY_DEFAULT if survey.survey not in given or survey in further)
    chosen = (*kept, *(survey for survey in further if survey not in kept))
    mixed = [s for s in chosen if [t.survey for t in chosen].count(s.survey) > 1]
    if mixed:
        raise InputError(
            f"--survey: {' and '.join(s.name for s in mixed)} are releases of one survey, {mixed[0].survey}, and a table can "
            "hold one of them. Name one."
        )
    BandSet(tuple(band for survey in chosen for band in survey.bands))  # no band twice
    return chosen


def bands_read(names: Iterable[str], surveys: tuple[Survey, ...] = READ_BY_DEFAULT) -> BandSet:
    """Return the bands that a raw table is prepared in: the standard ones, and those of further surveys that it has.

    Parameters
    ----------
    names : of its columns in redflower's names.
    surveys : whose columns were looked for.
    """
    names = set(names)
    found = [
        survey
        for survey in surveys
        if survey.name in STANDARD_SURVEYS or any(band.magnitude_column in names for band in survey.bands)
    ]
    return BandSet(tuple(band for survey in found for band in survey.bands))


#: Every input column that each table is searched for.
INPUT_COLUMNS: Final[dict[str, InputColumn]] = input_columns()
