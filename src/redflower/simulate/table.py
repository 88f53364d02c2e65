"""The mock catalogue as a table with the columns of the Gaia archive, units and descriptions."""

import importlib.metadata
from dataclasses import dataclass, fields

import astropy.units as u
import numpy as np
from astropy.coordinates import BarycentricMeanEcliptic, SkyCoord
from astropy.table import QTable
from astropy_healpix import HEALPix

from redflower.bands import BP, RP, STANDARD, BandSet, G
from redflower.photometric_scales import PhotometricScale, archive_scale
from redflower.provenance import LAW_KEY, META_KEY, PHOTOMETRY_KEY, VERSION
from redflower.simulate import survey
from redflower.simulate.further_survey import spectra_correlation

#: Gaia source identifiers hold the HEALPix index (level 12, nested, ICRS) above bit 35 and a running number below.
_SOURCE_ID_PIXEL_UNIT = 34359738368
_SOURCE_ID_RUNNING_UNIT = 128


@dataclass(frozen=True)
class MockStars:
    """Columns of the mock stars before they become a table; magnitudes have a trailing ``band`` axis."""

    l_deg: np.ndarray
    b_deg: np.ndarray
    distance_pc: np.ndarray
    ebv_mag: np.ndarray
    absolute_mag: np.ndarray
    feh_dex: np.ndarray
    component: np.ndarray
    observed_mag: np.ndarray
    error_mag: np.ndarray
    parallax_error_mas: np.ndarray
    parallax_noise: np.ndarray
    ruwe: np.ndarray
    visibility_periods: np.ndarray
    g_observations: np.ndarray

    def at(self, keep: np.ndarray | slice) -> "MockStars":
        """Return the chosen stars."""
        return MockStars(*(getattr(self, field.name)[keep] for field in fields(self)))

    def room(self, n_stars: int) -> "MockStars":
        """Make empty columns for a number of stars, of the same kinds, to be filled by `put`."""
        return MockStars(
            *(
                np.empty((n_stars, *a.shape[1:]), a.dtype)
                for a in (getattr(self, f.name) for f in fields(self))
            )
        )

    def put(self, start: int, lot: "MockStars") -> None:
        """Write the stars of a lot from row ``start`` on, as many as there is room for."""
        for field in fields(self):
            column = getattr(self, field.name)
            column[start : start + len(lot.l_deg)] = getattr(lot, field.name)[: len(column) - start]


def catalogue_table(
    stars: MockStars, *, include_truth: bool, scale: PhotometricScale, law: str, bands: BandSet = STANDARD
) -> QTable:
    """Make the table that `simulate_stars` returns, with its photometric scale and extinction law stated."""
    table = QTable()
    galactic = SkyCoord(stars.l_deg * u.deg, stars.b_deg * u.deg, frame="galactic")
    icrs = galactic.icrs
    ecl_lat_deg = icrs.transform_to(BarycentricMeanEcliptic()).lat.deg
    n_stars = len(stars.l_deg)
    pixel = HEALPix(nside=2**12, order="nested").lonlat_to_healpix(icrs.ra, icrs.dec).astype(np.int64)
    running = np.arange(1, n_stars + 1, dtype=np.int64)
    table["source_id"] = pixel * _SOURCE_ID_PIXEL_UNIT + running * _SOURCE_ID_RUNNING_UNIT
    table["ra"], table["dec"] = icrs.ra.deg * u.deg, icrs.dec.deg * u.deg
    table["l"], table["b"] = stars.l_deg * u.deg, stars.b_deg * u.deg
    _add_astrometry(table, stars, ecl_lat_deg)
    _add_photometry(table, stars, bands)
    for name in ("r_med_geo", "r_lo_geo", "r_hi_geo"):
        table[name] = np.full(n_stars, np.nan) * u.pc
    table["true_ebv"] = stars.ebv_mag * u.mag
    table["true_distance"] = stars.distance_pc * u.pc
    if include_truth:
        for i, band in enumerate(bands):
            from_g = stars.absolute_mag[:, G] if i != G else 0.0
            table[f"true_x_{band.label}"] = (stars.absolute_mag[:, i] - from_g) * u.mag
        table["true_feh"] = stars.feh_dex
        table["true_component"] = stars.component
    if {**scale.as_dict(), **archive_scale().as_dict()} == scale.as_dict():
        # Told by a column, so that programs and formats that lose provenance do not lose it.
        table["true_population"] = np.full(n_stars, "sky")
    _describe(table, bands)
    table.meta["origin"] = "simulated"
    table.meta[META_KEY] = {
        "stage": "simulated",
        "redflower": VERSION,
        PHOTOMETRY_KEY: scale.as_dict(),
        LAW_KEY: law,
    }
    table.meta["redflower_version"] = importlib.metadata.version("redflower")
    return table


def _add_astrometry(table: QTable, stars: MockStars, ecl_lat_deg: np.ndarray) -> None:
    """Add the parallax with zero point and noise, and the columns that its correction needs."""
    n_stars = len(stars.l_deg)
    nu_eff = survey.effective_wavenumber(stars.observed_mag[:, BP] - stars.observed_mag[:, RP])
    zero_point = survey.parallax_zero_point(stars.observed_mag[:, G], nu_eff, ecl_lat_deg)
    parallax = 1000.0 / stars.distance_pc + zero_point + stars.parallax_error_mas * stars.parallax_noise
    table["parallax"] = parallax * u.mas
    table["parallax_error"] = stars.parallax_error_mas * u.mas
    table["ruwe"] = stars.ruwe
    table["visibility_periods_used"] = stars.visibility_periods.astype(np.int16)
    table["astrometric_params_solved"] = np.full(n_stars, 31, np.int16)
    table["phot_g_n_obs"] = stars.g_observations.astype(np.int16)
    table["nu_eff_used_in_astrometry"] = nu_eff / u.micron
    table["pseudocolour"] = np.full(n_stars, np.nan) / u.micron
    table["ecl_lat"] = ecl_lat_deg * u.deg


def _add_photometry(table: QTable, stars: MockStars, bands: BandSet) -> None:
    """Add magnitudes, and fluxes or errors as each survey gives them; NaN where nothing was seen."""
    for i, band in enumerate(bands):
        magnitude, error = stars.observed_mag[:, i], stars.error_mag[:, i]
        table[band.magnitude_column] = magnitude * u.mag
        if band.error_column is not None:
            table[band.error_column] = error * u.mag
        if band.flux_column is not None and band.flux_error_column is not None:
            flux = 10.0 ** (-0.4 * (magnitude - survey.GAIA_ZERO_POINT_MAG[band.label]))
            table[band.flux_column] = flux * u.electron / u.s
            table[band.flux_error_column] = flux * error * (np.log(10.0) / 2.5) * u.electron / u.s
    spectra = [i for i, band in enumerate(bands) if band.survey == "xp"]
    if spectra:
        error = stars.error_mag[:, spectra]
        matrix = spectra_correlation(bands)[np.ix_(spectra, spectra)] * error[:, :, None] * error[:, None, :]
        rows, columns = np.tril_indices(len(spectra))
        table["xp_covariance"] = matrix[:, rows, columns] * u.mag**2
    tmass_seen = np.isfinite(stars.observed_mag[:, bands.index["tmass_ks"]])
    table["ph_qual"] = np.where(tmass_seen, "AAA", "")
    if "wise" in bands.surveys:
        seen = np.isfinite(stars.observed_mag[:, [bands.index["wise_w1"], bands.index["wise_w2"]]])
        quality = np.where(seen[:, 1], "AAUU", "AUUU")
        table["wise_ph_qual"] = np.where(seen[:, 0], quality, "")
        table["wise_cc_flags"] = np.where(seen[:, 0], "0000", "")
        table["wise_ext_flag"] = np.zeros(len(stars.l_deg), np.int16)


def _describe(table: QTable, bands: BandSet) -> None:
    """Describe the columns whose names do not say it all."""
    words = {
        "source_id": "unique identifier, encoded as in Gaia",
        "parallax": "parallax with the zero point of Lindegren et al. (2021) still in it",
        "true_ebv": "injected reddening E(B-V)",
        "true_distance": "injected distance",
        "true_x_G": "injected intrinsic absolute magnitude in G",
    }
    for name, text in words.items():
        if name in table.colnames:
            table[name].info.description = text
    for band in bands.bands[1:]:
        name = f"true_x_{band.label}"
        if name in table.colnames:
            table[name].info.description = f"injected intrinsic colour {band.label} - G"
