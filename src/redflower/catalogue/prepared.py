"""What a prepared table is: the names of its columns, and how to tell one from a raw table."""

from collections.abc import Iterable
from typing import Final

from astropy.table import Table

from redflower.band import band_from_spec
from redflower.bands import BANDS, STANDARD, STANDARD_SURVEYS, Band, BandSet
from redflower.errors import InputError
from redflower.photometric_scales import (
    MOCK_SKY_SCALE,
    PhotometricScale,
    archive_scale,
    make_scale,
    recorded_scale,
)
from redflower.provenance import BANDS_KEY, META_KEY, PHOTOMETRY_KEY
from redflower.surveys import shipped_surveys

#: Columns of simulated stars.
_TRUTHS: Final = frozenset({"true_ebv", "true_distance"})
#: ``meta["redflower"]["stage"]`` of a prepared table.
STAGE_PREPARED: Final = "prepared"

ALREADY_PREPARED: Final = (
    "is a prepared table already: its magnitudes carry their error floors and its parallaxes their zero "
    "point. Go on with it (train, infer), or prepare the raw table it came from."
)


def prepared_error_name(band: Band) -> str:
    """Return the prepared column of a band's magnitude error; the magnitude's is the band's own name."""
    return f"{band.name}_error"


#: The columns that `prepare` may write beside those it passes on.
PREPARED_NAMES: Final = frozenset(
    {
        "source_id", "ra", "dec", "l", "b", "parallax", "parallax_error", "parallax_zero_point",
        "zero_point_status", "ebv_map", "quality_flags",
    }
    | {name for band in BANDS for name in (band.name, prepared_error_name(band))}
)  # fmt: skip

#: The bands of further surveys, which a prepared table may have as well.
FURTHER_BANDS: Final[dict[str, Band]] = {
    band.name: band
    # Backwards: of two releases that share a band, the one that is read by default comes first.
    for survey in reversed(shipped_surveys().values())
    if survey.name not in STANDARD_SURVEYS
    for band in survey.bands
}
#: Their columns.
FURTHER_NAMES: Final = frozenset(
    name for band in FURTHER_BANDS.values() for name in (band.name, prepared_error_name(band))
)

#: Input columns that a prepared table keeps for figures and diagnostics.
PASSED_ON: Final = ("ruwe", "astrometric_params_solved", "r_med_geo", "r_lo_geo", "r_hi_geo")


def is_known_to_prepare(name: str) -> bool:
    """Return whether a column of a prepared table is one of redflower's own, and not one that a user told it to keep."""
    return name in PREPARED_NAMES or name in PASSED_ON or name in FURTHER_NAMES


def table_bands(table: Table, names: Iterable[str] | None = None) -> BandSet:
    """Return the bands of a prepared table: the standard ones, and those of further surveys that it has.

    Parameters
    ----------
    table : from `prepare`; where it has lost its provenance, bands are known by the names of their columns.
    names : of all columns, where only some were read.
    """
    recorded = [band_from_spec(spec) for spec in table.meta.get(META_KEY, {}).get(BANDS_KEY, ())]
    known = {**FURTHER_BANDS, **{band.name: band for band in recorded}}
    there = set(table.colnames if names is None else names)
    return STANDARD.with_bands(band for name, band in known.items() if name in there)


def unused_bands(table: Table, bands: BandSet, names: Iterable[str] | None = None) -> tuple[str, ...]:
    """Return what to print of the bands of a prepared table that a model does not use.

    Parameters
    ----------
    table : from `prepare`.
    bands : the model's.
    names : of all columns, where only some were read.
    """
    have = table_bands(table, names)
    further = [label for band, label in zip(have, have.labels, strict=True) if band.name not in bands.index]
    return tuple(label for label in further if label not in STANDARD.labels)


def is_prepared(table: Table, names: Iterable[str] | None = None) -> bool:
    """Tell whether a table came from `prepare`: by its provenance, or by its columns where a CSV has lost that.

    Parameters
    ----------
    names : of all columns, where only some were read.
    """
    stage = table.meta.get(META_KEY, {}).get("stage")
    if stage is not None:
        return bool(stage == STAGE_PREPARED)
    g = BANDS[0]
    return {g.name, prepared_error_name(g)} <= {name.lower() for name in names or table.colnames}


def require_prepared(table: Table, what: str = "this table") -> None:
    """Refuse a raw table where a prepared one is needed.

    Raises
    ------
    InputError
        If the table did not come from `prepare`.
    """
    if not is_prepared(table):
        raise InputError(
            f"{what} is not a prepared table: it has no columns such as {BANDS[0].name!r}. Run `redflower "
            "prepare RAW OUT --for inference` (or --for training) on it first, and use OUT."
        )


def is_simulated(names: Iterable[str]) -> bool:
    """Tell whether columns are those of stars that `redflower simulate` made."""
    return set(names) >= _TRUTHS


def simulated_scale(table: Table) -> PhotometricScale | None:
    """Return the photometric scale of simulated stars that have lost their provenance, by their columns; None for others.

    Stars of `redflower simulate` have ``true_ebv`` and ``true_distance``; those of the population ``sky`` also say so in
    ``true_population``, and all others are of the mock sky.
    """
    if not is_simulated(table.colnames):
        return None
    if "true_population" in table.colnames and len(table) and str(table["true_population"][0]) == "sky":
        return archive_scale()
    return make_scale(MOCK_SKY_SCALE)


def table_scale(table: Table, stated: "PhotometricScale | str | None" = None) -> PhotometricScale:
    """Return the photometric scale of a prepared table.

    Parameters
    ----------
    table : from `prepare`.
    stated : what the user says of a table that has lost its provenance.

    Raises
    ------
    InputError
        If the table states no scale and the user none, or the two differ.
    """
    recorded = table.meta.get(META_KEY, {}).get(PHOTOMETRY_KEY)
    if recorded is None:
        if stated is None and (simulated := simulated_scale(table)) is not None:
            return simulated
        if stated is None:
            raise InputError(
                "this prepared table does not state its photometric scale, which says which release each survey's magnitudes "
                "are from (it was prepared by redflower 0.1, or another program or CSV lost its provenance). Prepare the raw "
                "table again, or state the scale: --photometry ps1=archive,gaia=dr3."
            )
        return make_scale(stated)
    scale = recorded_scale(recorded)
    if stated is not None and make_scale(stated, default=scale) != scale:
        raise InputError(
            f"photometry: {str(stated)!r} is stated, but the table says {scale}. Leave the option out, or prepare the "
            "raw table again with it."
        )
    return scale
