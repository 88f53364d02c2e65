"""Quality cuts on stars, and on single bands of a star (O'Callaghan et al. 2025, section 3)."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from astropy.table import Table
from jaxtyping import Bool, Float

from redflower.bands import MIN_BANDS, READ_BY_DEFAULT, STANDARD, Band, BandSet
from redflower.catalogue.io.columns import as_floats
from redflower.catalogue.quality.band_cuts import band_conditions, flag_conditions
from redflower.catalogue.quality.limits import Purpose, QualityLimits
from redflower.catalogue.quality.lindegren import FIVE_PARAMETERS, solution_kind
from redflower.catalogue.quality.named_cuts import excess_factor_is_good, is_candidate
from redflower.catalogue.quality.shared_light import without_shared_light
from redflower.catalogue.reading.checks import error_sources
from redflower.catalogue.reading.schema import (
    GALAXY_CANDIDATES,
    QSO_CANDIDATES,
    bands_read,
    flux_over_error_column,
    magnitude_error_column,
)
from redflower.physics.magnitude_errors import magnitude_error_mag
from redflower.survey import Survey


@dataclass(frozen=True)
class BandCut:
    """A cut that sets bands missing: name, condition, and the stars with every band of the survey, before and after."""

    name: str
    condition: str
    survey: str
    before: int
    after: int


@dataclass(frozen=True)
class Photometry:
    """Magnitudes and errors of all bands, NaN in both where a band is missing.

    Attributes
    ----------
    magnitude_mag, error_mag : shape (star, band), floors included in the errors. [mag]
    notes : how many bands were set missing, and why.
    cuts : the cuts on bands, in the order in which they were made.
    bands : in their order.
    """

    magnitude_mag: Float[np.ndarray, "star band"]
    error_mag: Float[np.ndarray, "star band"]
    notes: tuple[str, ...]
    cuts: tuple[BandCut, ...] = ()
    bands: BandSet = STANDARD

    @property
    def observed(self) -> Bool[np.ndarray, "star band"]:
        """Which bands each star has."""
        return np.isfinite(self.magnitude_mag)


def photometry(
    stars: Table,
    limits: QualityLimits,
    surveys: tuple[Survey, ...] = READ_BY_DEFAULT,
    purpose: Purpose = "inference",
) -> Photometry:
    """Compute magnitudes and their errors, with the survey floors, of the bands that pass their own quality cuts.

    Parameters
    ----------
    stars, limits : a raw table, and what to cut.
    surveys : whose bands and flags count, where the table has them.
    purpose : bands of the same light are both kept for training, see `redflower.catalogue.quality.shared_light`.
    """
    bands = bands_read(stars.colnames, surveys)
    shape = (len(stars), len(bands))
    magnitude, error = np.full(shape, np.nan), np.full(shape, np.nan)
    notes: list[str] = []
    for i, band in enumerate(bands):
        magnitude[:, i], error[:, i] = _band(stars, band, notes)
    gone = ~(np.isfinite(magnitude) & np.isfinite(error))
    magnitude[gone], error[gone] = np.nan, np.nan
    cuts: list[BandCut] = []
    for name, condition, survey, poor in (
        *band_conditions(stars, magnitude, limits, bands),
        *flag_conditions(stars, magnitude, bands, surveys),
    ):
        of_survey = np.array([band.survey == survey for band in bands])
        before = int(np.isfinite(magnitude[:, of_survey]).all(axis=1).sum())
        lost = poor & np.isfinite(magnitude)
        magnitude[lost], error[lost] = np.nan, np.nan
        after = int(np.isfinite(magnitude[:, of_survey]).all(axis=1).sum())
        cuts.append(BandCut(name, condition, survey, before, after))
        if not lost.any():
            continue
        counts = ", ".join(f"{band.label} {n}" for band, n in zip(bands, lost.sum(axis=0), strict=True) if n)
        notes.append(
            f"{name}: bands set missing for {lost.any(axis=1).sum()} stars without {condition} ({counts})"
        )
    notes += without_shared_light(magnitude, error, bands, surveys, purpose)
    return Photometry(
        magnitude_mag=magnitude, error_mag=error, notes=tuple(notes), cuts=tuple(cuts), bands=bands
    )


def quality_cuts(
    stars: Table,
    bands: Photometry,
    parallax_mas: Float[np.ndarray, " star"],
    limits: QualityLimits,
    purpose: Purpose,
    *,
    solutions_told: bool | None = None,
) -> Iterator[tuple[str, str, Bool[np.ndarray, " star"]]]:
    """Yield the cuts of a purpose that the table's columns allow: name, condition, and which stars meet it.

    Parameters
    ----------
    parallax_mas : zero point removed, NaN where there is none. [mas]
    solutions_told : whether the table that these stars are of tells the kinds of solutions. If None, whether they do.
    """
    position = np.isfinite(as_floats(stars, "ra")) & np.isfinite(as_floats(stars, "dec"))
    yield "position", "a position", position
    observed = bands.observed
    if purpose == "training":
        yield "G band", "a G magnitude with an error", observed[:, 0]
    yield "bands", f"at least {MIN_BANDS} bands", np.asarray(observed.sum(axis=1) >= MIN_BANDS)
    if limits.complete_to is not None:
        end = bands.bands.survey_ends[limits.complete_to]
        labels = " ".join(bands.bands.leading(end).labels)
        yield "complete", f"all of {labels}", np.asarray(observed[:, :end].all(axis=1))
    solved = solution_kind(stars)
    if limits.five_parameter_only and (solved.any() if solutions_told is None else solutions_told):
        yield "solution", "a five-parameter astrometric solution", solved == FIVE_PARAMETERS
    # NaN meets no condition: a star without RUWE has no solution to judge.
    with np.errstate(invalid="ignore"):
        if limits.ruwe_max is not None and "ruwe" in stars.colnames:
            yield "RUWE", f"ruwe < {limits.ruwe_max:g}", as_floats(stars, "ruwe") < limits.ruwe_max
        for name, column, least in (
            ("visibility periods", "visibility_periods_used", limits.visibility_periods_min),
            ("G observations", "phot_g_n_obs", limits.g_observations_min),
        ):
            if least is not None and column in stars.colnames:
                yield name, f"{column} >= {least}", as_floats(stars, column) >= least
        if limits.excess_factor_sigma is not None:
            within = f"|C*| < {limits.excess_factor_sigma:g} sigma(G), if they have an excess factor"
            yield "excess factor", within, excess_factor_is_good(stars, limits.excess_factor_sigma)
        if limits.no_qso_candidates:
            yield (
                "quasars",
                "no place among Gaia's candidates for quasars",
                ~is_candidate(stars, QSO_CANDIDATES),
            )
        if limits.no_galaxy_candidates:
            not_one = ~is_candidate(stars, GALAXY_CANDIDATES)
            yield "galaxies", "no place among Gaia's candidates for galaxies", not_one
        if limits.latitude_min_deg is not None:
            b_deg = np.abs(as_floats(stars, "b"))
            yield "latitude", f"|b| > {limits.latitude_min_deg:g} deg", b_deg > limits.latitude_min_deg
        g_mag = bands.magnitude_mag[:, 0]
        if limits.g_bright_mag is not None:
            yield "bright limit", f"G > {limits.g_bright_mag:g} mag", ~(g_mag <= limits.g_bright_mag)
        if limits.g_faint_mag is not None:
            yield "faint limit", f"G < {limits.g_faint_mag:g} mag", ~(g_mag >= limits.g_faint_mag)
        if purpose == "training" and limits.parallax_min_mas is not None:
            least_mas = limits.parallax_min_mas
            yield "parallax", f"parallax > {least_mas:g} mas, zero point removed", parallax_mas > least_mas


def _band(
    stars: Table, band: Band, notes: list[str]
) -> tuple[Float[np.ndarray, " star"], Float[np.ndarray, " star"]]:
    """Return the magnitude and error of one band; NaN in both where either is missing."""
    magnitude = as_floats(stars, band.magnitude_column)
    sources = error_sources(band, stars.colnames)
    if not sources or band.magnitude_column not in stars.colnames:
        return np.full(len(stars), np.nan), np.full(len(stars), np.nan)
    if sources[0] == "fluxes":
        flux, flux_error = (
            as_floats(stars, str(band.flux_column)),
            as_floats(stars, str(band.flux_error_column)),
        )
        error = magnitude_error_mag(flux, flux_error, band.error_floor_mag)  # EP2
    elif sources[0] == "ratio":
        ratio = as_floats(stars, str(flux_over_error_column(band)))
        error = magnitude_error_mag(ratio, np.ones_like(ratio), band.error_floor_mag)  # EP2
    else:
        stated = as_floats(stars, magnitude_error_column(band))
        finite = stated[np.isfinite(stated)]
        if finite.size > 1 and finite.min() == finite.max():
            notes.append(f"every error of {band.label} is {finite[0]:g} mag, which looks like a placeholder")
        error = np.sqrt(stated**2 + band.error_floor_mag**2)
    missing_error = np.isfinite(magnitude) & ~np.isfinite(error)
    if missing_error.any():
        notes.append(f"{band.label} set missing for {missing_error.sum()} stars without a usable error")
    return magnitude, error
