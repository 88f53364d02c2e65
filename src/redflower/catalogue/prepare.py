"""From raw stars to a prepared table: magnitudes with errors, parallaxes without zero point, quality cuts."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import Table
from jaxtyping import Float

from redflower.bands import BANDS, STANDARD_SURVEYS
from redflower.cards import card, line
from redflower.catalogue.assemble import assembled_table, without_used_up
from redflower.catalogue.covariances import check_covariances
from redflower.catalogue.gaia_release import GaiaRelease
from redflower.catalogue.io.columns import as_floats
from redflower.catalogue.maps.dust_map import DustMap
from redflower.catalogue.maps.dustmaps_map import QueriedMap
from redflower.catalogue.maps.selection_counts import SelectionCounts
from redflower.catalogue.prepare_request import PrepareRequest
from redflower.catalogue.prepared import (
    FURTHER_NAMES,
    PREPARED_NAMES,
    STAGE_PREPARED,
)
from redflower.catalogue.quality.cuts import photometry as clean_photometry
from redflower.catalogue.quality.cuts import quality_cuts
from redflower.catalogue.quality.left_out import left_out_stars
from redflower.catalogue.quality.limits import Purpose, QualityLimits
from redflower.catalogue.quality.named_cuts import check_named_cuts, quality_flags
from redflower.catalogue.quality.report import CutReport
from redflower.catalogue.quality.summary import summarise
from redflower.catalogue.quality.zero_point import (
    ParallaxZeroPoint,
    ZeroPoint,
    ZeroPointStatus,
    parallax_zero_point,
)
from redflower.catalogue.reading.column_map import ColumnMap, read_column_map
from redflower.catalogue.reading.reader import Duplicates, read_stars
from redflower.catalogue.reading.schema import read_surveys
from redflower.catalogue.reading.stated import gaia_release, notes_on_release, photometric_scale
from redflower.catalogue.sample_cuts import apply_cuts, count_parent
from redflower.constants import TRAINING_EBV_MAX_MAG
from redflower.errors import InputError
from redflower.photometric_scales import PhotometricScale
from redflower.provenance import (
    BANDS_KEY,
    COVARIANCE_KEY,
    GAIA_RELEASE_KEY,
    META_KEY,
    PHOTOMETRY_KEY,
    VERSION,
)
from redflower.survey import Survey
from redflower.surveys import survey_named


@dataclass(frozen=True, repr=False)
class PreparedStars:
    """A prepared table and the report of how it came about.

    Attributes
    ----------
    table, report : what is left of the stars, and why.
    counts : of the raw table and of what is left, in cells of position, magnitude and colour, for the selection
        function; None unless it was asked for.
    dust : the dust map that was used, if any.
    left_out : a row per star that is not in the table, with the first cut that it fails.
    """

    table: Table
    report: CutReport
    counts: SelectionCounts | None = None
    dust: DustMap | QueriedMap | None = None
    left_out: Table | None = None

    def __repr__(self) -> str:
        return line("prepared stars", self._facts())

    def _repr_html_(self) -> str:
        return card("Prepared stars", self._facts())

    def _facts(self) -> list[tuple[str, str]]:
        report = self.report
        bands = " ".join(label for label, n in report.bands.items() if n)
        return [
            ("stars", f"{report.n_after:,} of {report.n_before:,}"),
            ("for", report.purpose),
            ("bands", bands),
        ]


def prepare(
    stars: "str | Path | Table",
    *,
    purpose: Purpose,
    columns: "str | Path | ColumnMap | None" = None,
    photometry: "PhotometricScale | str | None" = None,
    limits: QualityLimits | None = None,
    zero_point: ZeroPoint = "auto",
    ebv_map: "str | Path | DustMap | QueriedMap | None" = None,
    ebv_map_scale: float = 1.0,
    ebv_map_checksum: str | None = None,
    ebv_max_mag: float = TRAINING_EBV_MAX_MAG,
    duplicates: Duplicates = "error",
    keep: Sequence[str] = (),
    count_selection: bool = False,
    surveys: "Sequence[str | Path | Survey]" = (),
) -> PreparedStars:
    """Make a table ready for training or inference.

    Parameters
    ----------
    stars : a raw table or the file of one.
    purpose : ``training`` also needs G, parallaxes and, with a dust map, E(B-V) below ``ebv_max_mag``.
    columns : a column map, where the table's names are not those of the Gaia archive.
    photometry : the release that each survey's magnitudes are from, for instance ``"ps1=pre-release,gaia=dr2"``. Defaults to
        what the table or its column map states, else to the archives' current releases; see
        `redflower.photometric_scales`.
    limits : of the quality cuts. Defaults to those of O'Callaghan et al. 2025, section 3.
    zero_point : see `redflower.catalogue.quality.zero_point.parallax_zero_point`.
    ebv_map : HEALPix FITS map of E(B-V), or ``dustmaps:sfd`` and the like. Its value for each star becomes the column
        ``ebv_map``; only for training are stars cut by it.
    ebv_map_scale : factor from the map's values to E(B-V) in mag; see `redflower.catalogue.read_dust_map`.
    ebv_map_checksum : MD5 or SHA-256 that the publisher of the map's file states.
    ebv_max_mag : upper limit of the map's E(B-V) for training. [mag]
    duplicates : what to do with rows that share a ``source_id``.
    keep : further columns of the table, by its own names, to carry through this and `infer`.
    count_selection : also count raw table and sample for the selection function. The raw table must then hold every
        Gaia star of its region, as `redflower fetch` writes it; the cuts that choose a region or the limits in G
        (latitude, dust map, bright and faint limit) choose the parent too.

    surveys : further surveys whose bands to read, beside those that every table is searched for (Gaia, Pan-STARRS1, 2MASS,
        AllWISE): names of `redflower.surveys.shipped_surveys`, or files that describe others.

    Returns
    -------
    The prepared table with its report. For each band ``<band>`` and ``<band>_error`` [mag] (NaN in both where the
    band is missing), ``parallax`` with its zero point removed and ``parallax_error`` [mas],
    ``parallax_zero_point`` [mas], ``zero_point_status``, position, and the columns that are passed on. Where the table has
    what the cuts by name look at (`redflower.catalogue.quality.named_cuts`), ``quality_flags`` says what they find.

    Raises
    ------
    InputError
        If the table is prepared already, breaks a condition of `read_stars`, or no star is left.

    Examples
    --------
    >>> import redflower
    >>> prepared = redflower.prepare("raw.parquet", purpose="inference")
    >>> prepared.table["gaia_g"].unit, prepared.table["parallax"].unit
    (Unit("mag"), Unit("mas"))
    >>> prepared.report.purpose
    'inference'
    """
    request = PrepareRequest(
        purpose=purpose,
        columns=columns,
        photometry=photometry,
        limits=limits or QualityLimits(),
        zero_point=zero_point,
        ebv_map=ebv_map,
        ebv_map_scale=ebv_map_scale,
        ebv_map_checksum=ebv_map_checksum,
        ebv_max_mag=ebv_max_mag,
        duplicates=duplicates,
        keep=tuple(keep),
        surveys=tuple(one if isinstance(one, Survey) else survey_named(one) for one in surveys),
    )
    prepared = prepare_stars(stars, request, count_selection=count_selection)
    report = prepared.report
    if not report.n_after:
        last = next(cut for cut in report.cuts if cut.after == 0)
        raise InputError(
            f"no star is left for {purpose}: the cut on {last.name} ({last.condition}) took the last "
            f"{last.before} of {report.n_before}.\n{report.text()}"
        )
    return prepared


def prepare_stars(
    stars: "str | Path | Table",
    request: PrepareRequest,
    *,
    count_selection: bool = False,
    judged: bool = True,
) -> PreparedStars:
    """Prepare stars as `prepare` does, where none may be left too.

    Parameters
    ----------
    stars : a raw table, or some rows of a larger one.
    request : what is asked.
    count_selection : as of `prepare`.
    judged : as of `redflower.catalogue.read_stars`.
    """
    request = request.with_map_open()
    purpose, limits, keep, ebv_max_mag = request.purpose, request.limits, request.keep, request.ebv_max_mag
    dust: DustMap | QueriedMap | None = request.ebv_map  # type: ignore[assignment]  # it is open
    chosen_surveys = read_surveys(request.surveys)
    column_map = _with_kept(request.columns, keep, chosen_surveys)
    raw = read_stars(stars, column_map, duplicates=request.duplicates, judged=judged)
    if purpose == "training":
        _check_can_train(raw, judged=judged)
    scale, scale_note = photometric_scale(raw, request.photometry)
    release = gaia_release(raw, scale, stated=request.photometry is not None)
    check_named_cuts(raw.colnames, limits, release, raw.meta[META_KEY]["input"]["file"])
    zero = parallax_zero_point(raw, request.zero_point, release, judged=judged)
    parallax_mas, parallax_error_mas = _parallaxes(raw, zero)
    bands = clean_photometry(raw, limits, chosen_surveys, purpose)
    covariances, covariance_notes = check_covariances(raw, chosen_surveys)
    scale = scale.stating({s.survey: s.release for s in chosen_surveys if s.survey in bands.bands.surveys})
    ebv_map_mag: np.ndarray | None = None
    if dust is not None:
        ebv_map_mag = dust.lookup(*(as_floats(raw, name) for name in ("ra", "dec", "l", "b")))

    conditions = list(
        quality_cuts(raw, bands, parallax_mas, limits, purpose, solutions_told=request.solutions_told)
    )
    if purpose == "training" and dust is not None and ebv_map_mag is not None:
        with np.errstate(invalid="ignore"):
            clear = np.asarray(ebv_map_mag < ebv_max_mag)
        conditions.append(("dust map", f"E(B-V) < {ebv_max_mag:g} mag in {dust.name}", clear))
    chosen, cuts = apply_cuts(len(raw), conditions)
    notes = [
        *raw.meta[META_KEY]["notes"],
        scale_note,
        *notes_on_release(release),
        *bands.notes,
        *covariance_notes,
        *(f"survey {survey.name} is a draft: {survey.draft}" for survey in chosen_surveys if survey.draft),
        *(f"survey {survey.name}: {survey.note}" for survey in chosen_surveys if survey.note),
        *(dust.notes if dust else ()),
    ]
    without_g = int((~bands.observed[chosen, 0]).sum())
    if without_g:
        notes.append(f"{without_g} stars have no G: no limit in G cuts them, and NUTS infers them")
    if purpose == "training" and dust is None:
        notes.append("no dust map is given: every star is taken to be free of dust")
    report = CutReport(
        purpose=purpose,
        cuts=cuts,
        bands={label: int(bands.observed[chosen, i].sum()) for i, label in enumerate(bands.bands.labels)},
        zero_point=zero.description,
        notes=tuple(notes),
        band_cuts=bands.cuts,
    )
    counts = count_parent(raw, conditions, chosen, limits) if count_selection and chosen.any() else None
    flags, lost = quality_flags(raw, limits, release), left_out_stars(raw, conditions)
    raw = without_used_up(raw, keep, (column_map or ColumnMap()).schema)
    table = assembled_table(raw, chosen, bands, parallax_mas, parallax_error_mas, zero, ebv_map_mag, flags)
    if judged and chosen.any():
        report = replace(report, summary=summarise(table, bands.bands))
    settings = {
        "limits": asdict(limits),
        "zero_point": request.zero_point
        if isinstance(request.zero_point, str)
        else float(request.zero_point),
        "ebv_map": {"file": dust.name, "sha256": dust.sha256, "scale": dust.scale} if dust else None,
        "ebv_max_mag": ebv_max_mag if dust and purpose == "training" else None,
        "duplicates": request.duplicates,
    }
    table.meta[META_KEY] = _provenance(raw, purpose, scale, release, settings, report)
    further = [band.as_spec() for band in bands.bands if band.survey not in STANDARD_SURVEYS]
    if further:
        table.meta[META_KEY][BANDS_KEY] = further
    if covariances:
        table.meta[META_KEY][COVARIANCE_KEY] = covariances
    return PreparedStars(table=table, report=report, counts=counts, dust=dust, left_out=lost)


def _check_can_train(raw: Table, *, judged: bool) -> None:
    """Refuse a table without parallaxes or without G."""
    if judged and not np.isfinite(as_floats(raw, "parallax")).any():
        raise InputError(
            "training needs parallaxes, and the table has none (columns parallax, parallax_error)."
        )
    if BANDS[0].magnitude_column not in raw.colnames:
        raise InputError("training needs G, and the table has none (column phot_g_mean_mag).")


def _provenance(
    raw: Table,
    purpose: str,
    scale: PhotometricScale,
    release: GaiaRelease,
    settings: dict[str, Any],
    report: CutReport,
) -> dict[str, Any]:
    """Return what a prepared table records of how it was made, that of the raw table included."""
    told_anew = ("stage", "notes", PHOTOMETRY_KEY, GAIA_RELEASE_KEY, BANDS_KEY, COVARIANCE_KEY)
    return {
        "stage": STAGE_PREPARED,
        "purpose": purpose,
        PHOTOMETRY_KEY: scale.as_dict(),
        GAIA_RELEASE_KEY: release.name,
        "redflower": VERSION,
        **{key: value for key, value in raw.meta[META_KEY].items() if key not in told_anew},
        "settings": settings,
        "report": report.as_dict(),
    }


def _parallaxes(
    raw: Table, zero: ParallaxZeroPoint
) -> tuple[Float[np.ndarray, " star"], Float[np.ndarray, " star"]]:
    """Remove the zero point from the parallaxes; return them and their errors, NaN in both where there is no parallax."""
    parallax_mas, error_mas = as_floats(raw, "parallax"), as_floats(raw, "parallax_error")
    gone = zero.status == ZeroPointStatus.NO_PARALLAX
    parallax_mas, error_mas = parallax_mas - zero.zero_point_mas, error_mas.copy()
    parallax_mas[gone], error_mas[gone] = np.nan, np.nan
    return parallax_mas, error_mas


def _with_kept(
    columns: "str | Path | ColumnMap | None", keep: Sequence[str], surveys: tuple[Survey, ...]
) -> "ColumnMap | None":
    """Return a column map that carries further columns along under their own names, and looks for the surveys' columns."""
    if columns is None and not keep and surveys == ColumnMap().surveys:
        return None
    if isinstance(columns, (str, Path)):
        stated = read_column_map(columns, surveys)
    else:
        stated = replace(columns or ColumnMap(), surveys=surveys)
    further = [
        name for name in keep if name not in stated.schema and name not in PREPARED_NAMES | FURTHER_NAMES
    ]
    if columns is None and not further and surveys == ColumnMap().surveys:
        return None
    return replace(stated, extra={**stated.extra, **{name: name for name in further}})
