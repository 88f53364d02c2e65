"""A small made-up catalogue in Gaia-archive columns, for tests of the edge."""

import numpy as np
from astropy.coordinates import SkyCoord
from astropy.table import Table
from astropy_healpix import HEALPix

from redflower.bands import BANDS

GAIA_ZERO_POINT_MAG = {"gaia_g": 25.6874, "gaia_bp": 25.3385, "gaia_rp": 24.7479}


def gaia_ids(icrs: SkyCoord, running: "int | np.ndarray") -> np.ndarray:
    """Identifiers as Gaia's: the pixel of the position above bit 35, a running number below."""
    pixel = HEALPix(2**12, order="nested").lonlat_to_healpix(icrs.ra, icrs.dec)
    return np.asarray(pixel, dtype=np.int64) * 2**35 + running


def raw_stars(n: int = 50, seed: int = 1) -> Table:
    """Stars at b = 30 to 80 deg with every column, units stated, that pass every default cut."""
    rng = np.random.default_rng(seed)
    table = Table()
    l_deg, b_deg = rng.uniform(0, 360, n), rng.uniform(30, 80, n)
    icrs = SkyCoord(l_deg, b_deg, unit="deg", frame="galactic").icrs
    order = np.argsort(gaia_ids(icrs, 0))
    icrs, l_deg, b_deg = icrs[order], l_deg[order], b_deg[order]
    # Odd numbers lose their last digit in a float.
    table["source_id"] = gaia_ids(icrs, 2 * np.arange(n, dtype=np.int64) + 1)
    columns = {
        "ra": (icrs.ra.deg, "deg"),
        "dec": (icrs.dec.deg, "deg"),
        "l": (l_deg, "deg"),
        "b": (b_deg, "deg"),
        "parallax": (rng.uniform(0.2, 3.0, n), "mas"),
        "parallax_error": (rng.uniform(0.02, 0.3, n), "mas"),
        "ruwe": (rng.uniform(0.9, 1.3, n), None),
        "visibility_periods_used": (rng.integers(10, 30, n).astype(np.int16), None),
        "astrometric_params_solved": (np.full(n, 31, np.int16), None),
        "phot_g_n_obs": (rng.integers(50, 500, n).astype(np.int32), None),
        "nu_eff_used_in_astrometry": (rng.uniform(1.3, 1.7, n), "1 / um"),
        "pseudocolour": (np.full(n, np.nan), "1 / um"),
        "ecl_lat": (icrs.barycentricmeanecliptic.lat.deg, "deg"),
    }
    g_mag = rng.uniform(14.5, 19.5, n)
    for i, band in enumerate(BANDS):
        magnitude = g_mag + 0.1 * i
        columns[band.magnitude_column] = (magnitude, "mag")
        if band.flux_column:
            flux = 10 ** (0.4 * (GAIA_ZERO_POINT_MAG[band.name] - magnitude))
            columns[band.flux_column] = (flux, "electron / s")
            columns[band.flux_error_column] = (flux * rng.uniform(0.001, 0.01, n), "electron / s")
        else:
            columns[band.error_column] = (rng.uniform(0.003, 0.05, n), "mag")
    for name, (values, unit) in columns.items():
        table[name] = values
        table[name].unit = unit
    table["ph_qual"] = np.full(n, "AAA")
    for label in "grizy":
        # What most Pan-STARRS1 stars have: rank 0, PS1 and ubercal photometry, a primary stack detection.
        table[f"ps1_{label}_flags"] = np.full(n, 115000, np.int32)
    table["ps1_quality_flag"] = np.full(n, 60, np.int16)
    for survey in ("ps1", "tmass"):
        table[f"{survey}_number_of_mates"] = np.zeros(n, np.int16)
    table["true_ebv"] = np.linspace(0, 0.1, n)
    table["true_ebv"].unit = "mag"
    return table
