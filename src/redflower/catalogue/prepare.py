"""From raw stars to a prepared table: magnitudes with errors, parallaxes without zero point, quality cuts."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
from astropy.table import Column, Table
from jaxtyping import Bool, Float

from redflower.bands import BANDS
from redflower.cards import card, line
from redflower.catalogue.gaia_release import GaiaRelease
from redflower.catalogue.io.columns import as_floats
from redflower.catalogue.maps.dust_map import DustMap
from redflower.catalogue.maps.dustmaps_map import QueriedMap, open_dust_map
from redflower.catalogue.maps.selection_counts import SelectionCounts, count_stars
from redflower.catalogue.prepared import (
    PASSED_ON,
    PREPARED_NAMES,
    STAGE_PREPARED,
    is_simulated,
    prepared_error_name,
    simulated_scale,
)
from redflower.catalogue.quality.cuts import Photometry, quality_cuts
from redflower.catalogue.quality.cuts import photometry as clean_photometry
from redflower.catalogue.quality.limits import Purpose, QualityLimits
from redflower.catalogue.quality.report import Cut, CutReport
from redflower.catalogue.quality.summary import summarise
from redflower.catalogue.quality.zero_point import (
    ParallaxZeroPoint,
    ZeroPoint,
    ZeroPointStatus,
    parallax_zero_point,
)
from redflower.catalogue.reading.column_map import ColumnMap, read_column_map
from redflower.catalogue.reading.reader import Duplicates, read_stars
from redflower.catalogue.reading.release import check_scale_of_release
from redflower.catalogue.reading.schema import INPUT_COLUMNS
from redflower.catalogue.releases import default_release, releases
from redflower.catalogue.releases_file import data_file
from redflower.constants import TRAINING_EBV_MAX_MAG
from redflower.errors import InputError
from redflower.photometric_scales import PhotometricScale, archive_scale, make_scale
from redflower.provenance import GAIA_RELEASE_KEY, META_KEY, PHOTOMETRY_KEY, VERSION

_POSITION = ("source_id", "ra", "dec", "l", "b")


@dataclass(frozen=True, repr=False)
class PreparedStars:
    """A prepared table and the report of how it came about.

    Attributes
    ----------
    table, report : what is left of the stars, and why.
    counts : of the raw table and of what is left, in cells of position, magnitude and colour, for the selection
        function; None unless it was asked for.
    dust : the dust map that was used, if any.
    """

    table: Table
    report: CutReport
    counts: SelectionCounts | None = None
    dust: DustMap | QueriedMap | None = None

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

    Returns
    -------
    The prepared table with its report. For each band ``<band>`` and ``<band>_error`` [mag] (NaN in both where the
    band is missing), ``parallax`` with its zero point removed and ``parallax_error`` [mas],
    ``parallax_zero_point`` [mas], ``zero_point_status``, position, and the columns that are passed on.

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
    if purpose not in get_args(Purpose):
        raise InputError(f"prepare(purpose) must be 'training' or 'inference'; got {purpose!r}.")
    limits = limits or QualityLimits()
    if not ebv_max_mag > 0:
        raise InputError(f"ebv_max_mag must be positive; got {ebv_max_mag!r}.")
    if ebv_map_checksum is not None and not isinstance(ebv_map, (str, Path)):
        raise InputError("prepare: ebv_map_checksum is of the dust map's file; ebv_map names none.")
    dust = (
        open_dust_map(ebv_map, scale=ebv_map_scale, checksum=ebv_map_checksum)
        if isinstance(ebv_map, (str, Path))
        else ebv_map
    )
    raw = read_stars(stars, _with_kept(columns, keep), duplicates=duplicates)
    if purpose == "training" and not np.isfinite(as_floats(raw, "parallax")).any():
        raise InputError(
            "training needs parallaxes, and the table has none (columns parallax, parallax_error)."
        )

    if purpose == "training" and BANDS[0].magnitude_column not in raw.colnames:
        raise InputError("training needs G, and the table has none (column phot_g_mean_mag).")

    scale, scale_note = _photometric_scale(raw, photometry)
    release = _release(raw, scale, stated=photometry is not None)
    zero = parallax_zero_point(raw, zero_point, release)
    parallax_mas, parallax_error_mas = _parallaxes(raw, zero)
    bands = clean_photometry(raw, limits)
    ebv_map_mag: np.ndarray | None = None
    if dust is not None:
        ebv_map_mag = dust.lookup(*(as_floats(raw, name) for name in ("ra", "dec", "l", "b")))

    chosen = np.ones(len(raw), dtype=bool)
    cuts: list[Cut] = []
    conditions = list(quality_cuts(raw, bands, parallax_mas, limits, purpose))
    if purpose == "training" and dust is not None and ebv_map_mag is not None:
        with np.errstate(invalid="ignore"):
            clear = np.asarray(ebv_map_mag < ebv_max_mag)
        conditions.append(("dust map", f"E(B-V) < {ebv_max_mag:g} mag in {dust.name}", clear))
    for name, condition, meets in conditions:
        before = int(chosen.sum())
        chosen &= meets
        cuts.append(Cut(name, condition, before, int(chosen.sum())))
    notes = [
        *raw.meta[META_KEY]["notes"],
        scale_note,
        *_notes_on(release),
        *bands.notes,
        *(dust.notes if dust else ()),
    ]
    without_g = int((~bands.observed[chosen, 0]).sum())
    if without_g:
        notes.append(f"{without_g} stars have no G: no limit in G cuts them, and NUTS infers them")
    if purpose == "training" and dust is None:
        notes.append("no dust map is given: every star is taken to be free of dust")
    report = CutReport(
        purpose,
        tuple(cuts),
        {band.label: int(bands.observed[chosen, i].sum()) for i, band in enumerate(BANDS)},
        zero.description,
        tuple(notes),
        bands.cuts,
    )
    if not chosen.any():
        last = next(cut for cut in cuts if cut.after == 0)
        raise InputError(
            f"no star is left for {purpose}: the cut on {last.name} ({last.condition}) took the last "
            f"{last.before} of {len(raw)}.\n{report.text()}"
        )
    counts = _selection_counts(raw, conditions, chosen, limits) if count_selection else None
    raw = _without_used_up(raw, keep)
    table = _assembled(raw, chosen, bands, parallax_mas, parallax_error_mas, zero, ebv_map_mag)
    report = replace(report, summary=summarise(table))
    table.meta[META_KEY] = {
        "stage": STAGE_PREPARED,
        "purpose": purpose,
        PHOTOMETRY_KEY: scale.as_dict(),
        GAIA_RELEASE_KEY: release.name,
        "redflower": VERSION,
        **{
            key: value
            for key, value in raw.meta[META_KEY].items()
            if key not in ("stage", "notes", PHOTOMETRY_KEY, GAIA_RELEASE_KEY)
        },
        "settings": {
            "limits": asdict(limits),
            "zero_point": zero_point if isinstance(zero_point, str) else float(zero_point),
            "ebv_map": {"file": dust.name, "sha256": dust.sha256, "scale": dust.scale} if dust else None,
            "ebv_max_mag": ebv_max_mag if dust and purpose == "training" else None,
            "duplicates": duplicates,
        },
        "report": report.as_dict(),
    }
    return PreparedStars(table, report, counts, dust)


def _photometric_scale(raw: Table, stated: "PhotometricScale | str | None") -> tuple[PhotometricScale, str]:
    """Return the photometric scale of a raw table, and a sentence on where it is known from."""
    meta = raw.meta[META_KEY]
    source = meta.get("source", {}).get(PHOTOMETRY_KEY)
    recorded = meta.get(PHOTOMETRY_KEY) or source
    shown = meta.get(GAIA_RELEASE_KEY)
    simulated = simulated_scale(raw) if stated is None and recorded is None else None
    if simulated is not None:
        return (
            simulated,
            f"photometric scale {simulated}, as redflower simulates such stars: the table no longer says it",
        )
    base = archive_scale() if shown is None else releases()[shown["release"]].scale()
    scale = make_scale(stated, default=make_scale(recorded, default=base))
    if stated is not None:
        where = "as stated"
        if source is not None and make_scale(source) != scale:
            where = f"as stated; the table itself says {make_scale(source)}"
    else:
        where = (
            "as the table or its column map states" if recorded else "assumed: --photometry states another"
        )
        if shown and not recorded:
            where = f"that of Gaia by {shown['evidence']}, the rest {where}"
    return scale, f"photometric scale {scale}, {where}"


def _release(raw: Table, scale: PhotometricScale, *, stated: bool) -> GaiaRelease:
    """Return the release of Gaia of a raw table.

    Raises
    ------
    InputError
        If the photometric scale is stated to be another release's.
    """
    if is_simulated(
        raw.colnames
    ):  # the mock survey's parallaxes have the zero point of DR3, whatever its magnitudes
        return default_release()
    who = "--photometry" if stated else "its provenance or its column map"
    return check_scale_of_release(scale, raw.meta[META_KEY].get(GAIA_RELEASE_KEY), who)


def _notes_on(release: GaiaRelease) -> list[str]:
    """Return a sentence on what is not confirmed of a release."""
    if not release.unconfirmed:
        return []
    return [
        f"{release.title}: its columns and its parallax bias are read as drafts have them; what is not confirmed stands under "
        f"{release.name} in {data_file().name}"
    ]


#: Cuts that say which stars are meant at all, and not whether such a star is in the sample.
#: That on parallax is a factor of its own (docs/explanation/model.md, E24b).
_CUTS_OF_THE_PARENT = ("position", "latitude", "bright limit", "faint limit", "parallax", "dust map")


def _selection_counts(
    raw: Table,
    conditions: list[tuple[str, str, Bool[np.ndarray, " star"]]],
    keep: Bool[np.ndarray, " star"],
    limits: QualityLimits,
) -> SelectionCounts:
    """Count the stars of the parent sample and those that are kept."""
    parent = np.ones(len(raw), dtype=bool)
    for name, _, meets in conditions:
        if name in _CUTS_OF_THE_PARENT:
            parent &= meets
    g_mag = as_floats(raw, "phot_g_mean_mag")
    parent &= np.isfinite(g_mag)
    if not parent.any():
        raise InputError("the selection function needs G, and no star has it (column phot_g_mean_mag).")
    bright, faint = (
        float(extreme(g_mag[parent])) if limit is None else limit
        for limit, extreme in ((limits.g_bright_mag, np.nanmin), (limits.g_faint_mag, np.nanmax))
    )
    return count_stars(
        as_floats(raw, "ra")[parent],
        as_floats(raw, "dec")[parent],
        g_mag[parent],
        (g_mag - as_floats(raw, "phot_rp_mean_mag"))[parent],
        keep[parent],
        g_bright_mag=bright,
        g_faint_mag=faint,
    )


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
    columns: "str | Path | ColumnMap | None", keep: Sequence[str]
) -> "ColumnMap | str | Path | None":
    """Return a column map that carries further columns along under their own names."""
    further = [name for name in keep if name not in INPUT_COLUMNS and name not in PREPARED_NAMES]
    if not further:
        return columns
    stated = read_column_map(columns) if isinstance(columns, (str, Path)) else columns or ColumnMap()
    return replace(stated, extra={**stated.extra, **{name: name for name in further}})


def _without_used_up(raw: Table, keep: Sequence[str]) -> Table:
    """Keep the raw columns that the prepared table still needs: the others weigh gigabytes for millions of stars."""
    return Table(
        [
            raw[name]
            for name in raw.colnames
            if name in (*_POSITION, *PASSED_ON, *keep) or name not in INPUT_COLUMNS
        ],
        meta=raw.meta,
        copy=False,
    )


def _assembled(
    raw: Table,
    keep: Bool[np.ndarray, " star"],
    bands: Photometry,
    parallax_mas: Float[np.ndarray, " star"],
    parallax_error_mas: Float[np.ndarray, " star"],
    zero: ParallaxZeroPoint,
    ebv_map_mag: Float[np.ndarray, " star"] | None,
) -> Table:
    """Assemble the prepared table of the stars that are kept."""
    table = Table()

    def add(name: str, values: Any, unit: str | None, description: str) -> None:
        column = Column(np.asarray(values)[keep], name=name, unit=unit, description=description)
        table.add_column(column, copy=False)

    for name in _POSITION:
        spec = INPUT_COLUMNS[name]
        add(name, raw[name], spec.unit, spec.description)
    add("parallax", parallax_mas, "mas", "parallax, zero point removed")
    add("parallax_error", parallax_error_mas, "mas", "standard error of the parallax")
    add("parallax_zero_point", zero.zero_point_mas, "mas", "zero point removed from the parallax")
    add(
        "zero_point_status",
        zero.status,
        None,
        "0 Lindegren et al. 2021, 1 the same at the edge of its range, 2 constant, 3 none, 4 no parallax, 5 the release's own",
    )
    for i, band in enumerate(BANDS):
        what = f"{band.label} ({band.survey}, {band.system})"
        add(band.name, bands.magnitude_mag[:, i], "mag", f"apparent magnitude in {what}")
        add(
            prepared_error_name(band),
            bands.error_mag[:, i],
            "mag",
            f"standard error in {what}, {band.error_floor_mag:g} mag added in quadrature",
        )
    if ebv_map_mag is not None:
        add("ebv_map", ebv_map_mag, "mag", "E(B-V) of the dust map towards the star")
    others = [
        name
        for name in raw.colnames
        if name in PASSED_ON or name not in INPUT_COLUMNS or name not in table.colnames
    ]
    for name in sorted(others, key=lambda name: name not in PASSED_ON):
        table.add_column(raw[name][keep], name=name, copy=False)
    return table
