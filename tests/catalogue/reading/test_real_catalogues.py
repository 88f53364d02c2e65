"""Tables of real surveys, each with its own names and marks of missing values, are read as their makers meant."""

from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table

from redflower.bands import BANDS
from redflower.catalogue import ColumnMap, QualityLimits, prepare, read_stars, read_table
from redflower.catalogue.reading.schema import magnitude_error_column
from redflower.errors import InputError, TableError
from redflower.provenance import META_KEY

M67_MAP = Path(__file__).parents[3] / "docs" / "examples" / "m67_columns.toml"


def notes(stars: Table) -> str:
    return "\n".join(stars.meta[META_KEY]["notes"])


def test_m67_through_its_map(shared_data):
    path = shared_data / "m67_gaiadr2_ps1_2mass.fits"
    stars, raw = read_stars(path, M67_MAP), read_table(path)
    assert len(stars) == 1585
    assert np.array_equal(stars["source_id"], raw["gaia_dr2_source.source_id"])
    assert np.array_equal(stars["parallax"], raw["gaia_dr2_source.parallax"])
    seen = np.ones(len(stars), dtype=bool)
    counts = []
    for band in BANDS:
        seen &= np.isfinite(stars[band.magnitude_column])
        counts.append(int(seen.sum()))
    assert counts[7] == 1181  # the numbers of the files' own description
    assert counts[10] == 1174
    # The table's placeholders of 1e-6 mag must not have come in as errors.
    assert "phot_g_mean_mag_error" not in stars.colnames
    assert "ks_msigcom: 1 values outside 0 to 5" in notes(stars)
    assert {"ebv_sfd", "membership_probability"} <= set(stars.colnames)


def test_m67_without_its_map_says_what_it_needs(shared_data):
    with pytest.raises(TableError, match=r"lacks 'phot_g_mean_mag'.*column map"):
        read_stars(shared_data / "m67_gaiadr2_ps1_2mass.fits")


def test_the_orion_parallaxes_in_arcsec_are_noticed(shared_data):
    """Real arcsec: median error 3e-4, a quarter of the values marked missing by an error of 1e10."""
    h5py = pytest.importorskip("h5py")
    with h5py.File(shared_data / "orion_l204.7_b-19.2_ps1_2mass.h5") as file:
        rows = file["photometry/pixel 0-0"][:]
    table = Table({"l": rows["l"], "b": rows["b"]})
    table["parallax"], table["parallax_error"] = rows["parallax"], rows["parallax_error"]
    for i, band in enumerate(BANDS[3:]):
        table[band.magnitude_column], table[band.error_column] = rows["mag"][:, i], rows["err"][:, i]
    with pytest.raises(InputError, match="looks like arcsec"):
        read_stars(table)
    for name in ("parallax", "parallax_error"):
        table[name].unit = "arcsec"
    stars = read_stars(table)
    assert np.isnan(stars["parallax_error"]).sum() == (rows["parallax_error"] == 1e10).sum() == 441
    assert 0.05 < np.nanmedian(stars["parallax_error"]) < 1.0
    assert np.isnan(stars["g_mean_psf_mag"]).sum() == (rows["mag"][:, 0] == -999).sum()
    assert np.nanmax(stars["j_msigcom"]) < 5
    assert "no phot_g_mean_mag: band G is missing for every star" in notes(stars)
    limits = QualityLimits(latitude_min_deg=None)
    prepared = prepare(table, purpose="inference", zero_point=-0.029, limits=limits)
    assert len(prepared.table) > 1500
    assert np.isnan(prepared.table["gaia_g"]).all()
    assert np.nanmedian(prepared.table["parallax_error"]) == np.nanmedian(stars["parallax_error"])


def test_ngc188_is_read_with_its_sentinels(shared_data):
    table = Table.read(shared_data / "ngc188_gaiaedr3_ps1_2mass.phot", format="ascii.basic")
    mapped = {"phot_g_mean_mag": "G", "phot_bp_mean_mag": "G_BPft", "phot_rp_mean_mag": "G_RP"}
    mapped |= {
        f"phot_{s}_mean_mag_error": c for s, c in (("g", "sigG"), ("bp", "sigG_BPft"), ("rp", "sigG_RP"))
    }
    mapped |= {f"{b}_mean_psf_mag": f"{b}_ps" for b in "grizy"}
    mapped |= {f"{b}_mean_psf_mag_error": f"sig{b}_ps" for b in "grizy"}
    mapped |= {"source_id": "id"}
    stars = read_stars(table, ColumnMap(columns=mapped, constants={"l": 122.9, "b": 22.4}))
    assert len(stars) == 1259
    columns = [name for band in BANDS[:8] for name in (band.magnitude_column, magnitude_error_column(band))]
    complete = np.all([np.isfinite(stars[name]) for name in columns], axis=0)
    assert complete.sum() == 1179  # the number of the files' own description
    # Where the file marks an error missing (-9.9), it is missing, whatever the magnitude says.
    assert (np.isnan(stars["g_mean_psf_mag_error"]) == (table["sigg_ps"] == -9.9)).all()
    assert abs(stars["dec"][0] - 85.2) < 0.5
