"""Checks of a whole table: what must be there, and columns that must agree with each other."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import astropy.units as u
import numpy as np
from astropy.coordinates import BarycentricMeanEcliptic, SkyCoord
from astropy.table import Table

from redflower.bands import BANDS, MIN_BANDS, STANDARD, Band, BandSet
from redflower.catalogue.gaia_release import Rule
from redflower.catalogue.reading.column_map import did_you_mean
from redflower.catalogue.reading.schema import (
    INPUT_COLUMNS,
    PS1_FLAGS_LOST,
    InputColumn,
    flux_over_error_column,
    magnitude_error_column,
)
from redflower.errors import InputError, TableError

# Positions of one star in two frames agree to rounding and proper motion; a tenth of a degree is a mistake.
_COORDINATES_AGREE_DEG: Final = 0.1
# Gaia's magnitudes are its fluxes with a constant zero point; recalibrated magnitudes scatter by 0.03 mag.
_MAGNITUDE_FLUX_SCATTER_MAG: Final = 0.1

# Noise alone scatters by 1; of twenty stars a tenth of that has a probability below 1e-9 (binomial of the median's deviation).
_PARALLAXES_MIN: Final = 20
_PARALLAX_SCATTER_MIN: Final = 0.1
# Of all stars in the sky some 300 are nearer than 10 pc.
_PARALLAX_MEDIAN_MAX_MAS: Final = 100.0

#: Columns of Pan-STARRS1 flags in the schema: one per band and one for the object.
N_PS1_FLAGS: Final = sum(spec.without == PS1_FLAGS_LOST for spec in INPUT_COLUMNS.values())


def error_sources(band: Band, names: Iterable[str]) -> list[str]:
    """List the forms in which a table gives a band's errors, best first: ``fluxes``, ``ratio``, ``magnitude``."""
    names = set(names)
    found = []
    if band.flux_column in names and band.flux_error_column in names:
        found.append("fluxes")
    if flux_over_error_column(band) in names:
        found.append("ratio")
    if magnitude_error_column(band) in names:
        found.append("magnitude")
    return found


def check_required(
    source: Mapping[str, str],
    constants: Mapping[str, Any],
    where: str,
    unused: Sequence[str],
    bands: BandSet = STANDARD,
) -> None:
    """Refuse a table that lacks what every use needs: a position, bands with errors, a parallax with its error.

    G may be absent where enough other bands are there, unless an unused column looks like it.

    Raises
    ------
    TableError
        If a required column is absent; the message names the nearest column that is there.
    """
    have = {*source, *constants}
    missing = [name for name, spec in INPUT_COLUMNS.items() if spec.required and name not in have]
    g = BANDS[0]
    others = [band for band in bands.bands[1:] if band.magnitude_column in have and error_sources(band, have)]
    mistyped = did_you_mean(g.magnitude_column, unused)
    if g.magnitude_column in missing and len(others) >= MIN_BANDS and not mistyped:
        missing.remove(g.magnitude_column)
    if not {"ra", "dec"} <= have and not {"l", "b"} <= have:
        missing += [name for name in ("ra", "dec") if name not in have]
    if g.magnitude_column in have and not error_sources(g, have):
        missing += [str(name) for name in (g.flux_column, g.flux_error_column) if name not in have]
    if "parallax" in have and "parallax_error" not in have:
        missing.append("parallax_error")
    if missing:
        first = missing[0]
        raise TableError(
            f"{where} lacks {', '.join(repr(name) for name in missing)}, which redflower needs "
            f"({INPUT_COLUMNS[first].description}).{did_you_mean(first, unused)} "
            "Name the table's own columns in a column map (--columns MAP.toml)."
        )


def check_coordinates_agree(stars: Table) -> None:
    """Refuse a table whose Galactic coordinates are not those of its equatorial ones.

    Raises
    ------
    InputError
        If more than one star in a hundred is off by more than a tenth of a degree.
    """
    values = [np.asarray(stars[name], dtype=float) for name in ("ra", "dec", "l", "b")]
    finite = np.isfinite(values).all(axis=0)
    if not finite.any():
        raise InputError(f"no star of {len(stars)} has a position; ra and dec, or l and b, are required.")
    ra_deg, dec_deg, l_deg, b_deg = (value[finite] for value in values)
    galactic = SkyCoord(l_deg, b_deg, unit="deg", frame="galactic")
    separation = SkyCoord(ra_deg, dec_deg, unit="deg").galactic.separation(galactic)
    off = separation > _COORDINATES_AGREE_DEG * u.deg
    if off.mean() > 0.01:
        raise InputError(
            f"l and b must be the Galactic coordinates of ra and dec (ICRS); for {off.sum()} of {off.size} "
            f"stars they are off by up to {separation.deg.max():.3g} deg. Columns may be swapped, in hours "
            "or radians, or of another equinox; map only the pair that is right."
        )


def check_ecliptic_latitude(stars: Table) -> None:
    """Refuse ecliptic latitudes that are not those of the positions; single odd ones are the position's fault.

    Raises
    ------
    InputError
        If more than one star in ten is off by more than a tenth of a degree.
    """
    if "ecl_lat" not in stars.colnames:
        return
    ra_deg, dec_deg, given = (np.asarray(stars[name], dtype=float) for name in ("ra", "dec", "ecl_lat"))
    finite = np.isfinite(ra_deg) & np.isfinite(dec_deg) & np.isfinite(given)
    if not finite.any():
        return
    there = SkyCoord(ra_deg[finite], dec_deg[finite], unit="deg").transform_to(BarycentricMeanEcliptic())
    expected = there.lat.deg
    off = np.abs(given[finite] - expected) > _COORDINATES_AGREE_DEG
    if off.mean() > 0.1:
        in_radians = np.abs(np.degrees(given[finite]) - expected) < _COORDINATES_AGREE_DEG
        raise InputError(
            f"ecl_lat must be the ecliptic latitude of ra and dec in deg; for {off.sum()} of {off.size} stars it is not"
            + (", but it is in radians. State the unit" if in_radians.mean() > 0.5 else ". Fix the column")
            + " in the table or a column map ([units] ecl_lat), or leave it out: it is then computed."
        )


def check_parallaxes_match_errors(stars: Table) -> None:
    """Refuse parallaxes that are in another unit than their errors.

    Measured parallaxes scatter at least as their errors say, and few stars are nearer than 10 pc.

    Raises
    ------
    InputError
        If twenty parallaxes or more scatter by far less than their errors, or most are above 100 mas.
    """
    if not {"parallax", "parallax_error"} <= set(stars.colnames):
        return
    parallax, error = (np.asarray(stars[name], dtype=float) for name in ("parallax", "parallax_error"))
    finite = np.isfinite(parallax) & np.isfinite(error) & (error > 0)
    if finite.sum() < _PARALLAXES_MIN:
        return
    ratio = parallax[finite] / error[finite]
    scatter = 1.4826 * float(np.median(np.abs(ratio - np.median(ratio))))
    median_mas = float(np.median(parallax[finite]))
    if scatter < _PARALLAX_SCATTER_MIN or median_mas > _PARALLAX_MEDIAN_MAX_MAS:
        raise InputError(
            f"parallax and parallax_error must be in one unit (mas): the median parallax is {median_mas:.3g}, and parallaxes "
            f"over errors scatter by {scatter:.2g}, where noise alone makes 1. State the units in the "
            'table or a column map (--columns MAP.toml), as [units] parallax = "arcsec".'
        )


def check_magnitudes_match_fluxes(stars: Table, band: Band) -> None:
    """Refuse a magnitude and a flux of two different bands: their zero point would not be one number.

    Raises
    ------
    InputError
        If magnitude + 2.5 log10(flux) scatters by more than recalibration can explain.
    """
    if band.flux_column not in stars.colnames or band.magnitude_column not in stars.colnames:
        return
    flux = np.asarray(stars[band.flux_column], dtype=float)
    with np.errstate(invalid="ignore", divide="ignore"):
        zero_point = np.asarray(stars[band.magnitude_column], dtype=float) + 2.5 * np.log10(flux)
    zero_point = zero_point[np.isfinite(zero_point)]
    if zero_point.size < 10:
        return
    scatter = 1.4826 * float(np.median(np.abs(zero_point - np.median(zero_point))))
    if scatter > _MAGNITUDE_FLUX_SCATTER_MAG:
        raise InputError(
            f"columns {band.magnitude_column!r} and {band.flux_column!r} must be of one band; magnitude "
            f"+ 2.5 log10(flux) should be one number and scatters by {scatter:.2f} mag. Check the column map."
        )


def check_bands_have_values(stars: Table, notes: list[str], bands: BandSet = STANDARD) -> None:
    """Refuse a G without any usable value; note other bands without one."""
    g_name = BANDS[0].magnitude_column
    if g_name in stars.colnames and not np.isfinite(stars[g_name]).any():
        raise InputError(
            f"column {g_name!r} has no usable value in {len(stars)} rows; give a table with G, or one without the column."
        )
    for band in bands.bands[1:]:
        if band.magnitude_column in stars.colnames and np.isnan(stars[band.magnitude_column]).all():
            notes.append(
                f"{band.magnitude_column} has no usable value: band {band.label} is missing for every star"
            )


def notes_on_absent_columns(
    names: Iterable[str],
    rule: Rule,
    bands: BandSet = STANDARD,
    schema: Mapping[str, InputColumn] = INPUT_COLUMNS,
) -> list[str]:
    """Describe, one sentence each, what the missing optional columns cost.

    Parameters
    ----------
    names : of the columns that are there.
    rule : of the parallax zero point of the table's release; columns that serve another are not missed.
    bands, schema : that were looked for. What is of a survey without any band in the table is not missed.
    """
    names = set(names)
    notes = []
    photometric = set()
    for band in bands:
        group = {band.magnitude_column, band.flux_column, band.flux_error_column}
        group |= {magnitude_error_column(band), flux_over_error_column(band)}
        photometric |= group
        if band.magnitude_column not in names:
            notes.append(f"no {band.magnitude_column}: {schema[band.magnitude_column].without}")
        elif not error_sources(band, names):
            notes.append(f"no error of {band.magnitude_column}: band {band.label} is missing for every star")
    for name, spec in schema.items():
        passed_on = name.startswith("r_") and name.endswith("_geo")
        if name in names or name in photometric or passed_on or spec.for_a_named_cut:
            continue
        if spec.serves not in (None, rule):
            continue
        if spec.of_survey is not None and spec.of_survey not in bands.surveys:
            continue
        if name in ("ph_qual", "tmass_number_of_mates") and "j_m" not in names:
            continue
        if name.startswith("ps1_") and "g_mean_psf_mag" not in names:
            continue
        notes.append(f"no {name}: {spec.without}")
    flags = [note for note in notes if note.endswith(PS1_FLAGS_LOST)]
    if len(flags) == N_PS1_FLAGS:
        notes = [note for note in notes if note not in flags]
        notes.append(f"no Pan-STARRS1 flags: {PS1_FLAGS_LOST}")
    return notes
