"""Late dwarfs of a field: half of the stars of Stripe 82 redder than BP - RP = 1.15, for `fit_sky_population.py`.

The sample with spectra thins out among the M dwarfs, and those of M67 do not serve in its place: BP - RP of its faint stars
in Gaia DR2 is too blue by 0.03 to 0.04 mag, which shows in every band at once (g - G +0.03, i, z, y - G -0.02 to -0.03 at
17 < G < 18); those of the field, as faint, show none of it.

Dust hardly moves a star off a colour relation in BP - RP: 0.01 mag of E(B-V) shift g - G by 0.002 mag. So the mean of maps
serves. The stars' [Fe/H] is not known. That expected of the population's stars of the same BP - RP and G is put in its place,
which leaves the slopes without bias.
"""

import zlib
from pathlib import Path

import numpy as np
from astropy.table import Table
from fit_colour_relations import Stars
from scipy.spatial import cKDTree

import redflower
from redflower.bands import BANDS, BP, N_BANDS, RP, G

#: Direction, and E(B-V) of the field: maps say 0.042 to 0.059 mag (SFD 0.0485, HI4PI 0.045).
L_DEG, B_DEG, FIELD_EBV_MAG = 52.2, -33.5, 0.045
BP_RP_MAG, G_MAG, BP_ERROR_MAX_MAG = (1.15, 3.6), (14.0, 19.0), 0.08
#: Photometry worse than this is left out. [mag]
ERROR_MAX_MAG = 0.08
#: Simulated stars, and how many of them around a star give its [Fe/H], on these scales of colour and magnitude.
SIMULATED, NEIGHBOURS, SCALES_MAG = 40_000, 60, (0.1, 0.5)


def kept_out(source_id: np.ndarray, bp_rp_mag: np.ndarray) -> np.ndarray:
    """Which stars of the field take no part in the fit: half of the late, by a checksum of the identifier, and all others."""
    odd = np.array([zlib.crc32(str(int(name)).encode()) % 2 == 1 for name in source_id])
    return odd | ~(np.asarray(bp_rp_mag, float) > BP_RP_MAG[0])


def read_field(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All magnitudes as released (Gaia DR2), NaN where missing, their errors, and which stars are kept out."""
    table = Table.read(path)

    def column(name: str) -> np.ndarray:
        return np.ma.filled(np.ma.masked_invalid(np.ma.asarray(table[name], float)), np.nan)

    magnitude, error = np.full((2, len(table), N_BANDS), np.nan)
    for i, band in enumerate(BANDS[:8]):
        value = column(band.magnitude_column)
        magnitude[:, i] = np.where((value > 5) & (value < 30), value, np.nan)
        if band.flux_column:
            error[:, i] = 1.0857 * column(band.flux_error_column) / column(band.flux_column)
        else:
            error[:, i] = column(band.error_column)
    out = kept_out(np.asarray(table["source_id"]), magnitude[:, BP] - magnitude[:, RP])
    return magnitude, error, out


def expected_feh_dex(bp_rp_mag: np.ndarray, g_mag: np.ndarray) -> np.ndarray:
    """Mean [Fe/H] of the simulated stars of the field around each star in BP - RP and G.

    They are simulated with the colours that the package has now. A fit made again on its own result moves them by up to a
    thousandth of a magnitude.
    """
    sky = redflower.simulate(
        SIMULATED, seed=82, preset="cone", population="sky", l_deg=L_DEG, b_deg=B_DEG, radius_deg=0.45,
        g_bright_mag=G_MAG[0], g_faint_mag=G_MAG[1] + 0.5, include_truth=True,
    )  # fmt: skip
    g, bp, rp = (np.asarray(sky[BANDS[i].magnitude_column].value, float) for i in (G, BP, RP))
    near = cKDTree(np.stack([bp - rp, g], axis=1) / SCALES_MAG)
    around = near.query(np.stack([bp_rp_mag, g_mag], axis=1) / SCALES_MAG, NEIGHBOURS)[1]
    return np.asarray(sky["true_feh"])[around].mean(axis=1)


def dwarfs_of(magnitude: np.ndarray, error: np.ndarray) -> tuple[Stars, np.ndarray]:
    """The field's late dwarfs, from dereddened magnitudes on the archive's scales; and which stars they are."""
    bp_rp = magnitude[:, BP] - magnitude[:, RP]
    late = np.isfinite(bp_rp) & (error[:, BP] < BP_ERROR_MAX_MAG)
    for value, (low, high) in ((bp_rp, BP_RP_MAG), (magnitude[:, G], G_MAG)):
        late &= (value > low) & (value < high)
    n, unknown = late.sum(), np.full(late.sum(), np.nan)
    feh = expected_feh_dex(bp_rp[late], magnitude[late, G])
    stars = Stars(
        magnitude[late],
        error[late],
        feh,
        np.full(n, 4.6),
        unknown,
        np.full(n, FIELD_EBV_MAG),
        np.zeros(n, bool),
    )
    return stars, late
