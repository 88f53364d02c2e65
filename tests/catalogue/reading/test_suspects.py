"""Columns that may be what a table lacks: read where what stands beside them tells, and named where it does not."""

import numpy as np
import pytest
from astropy.table import Table

from redflower.bands import BANDS
from redflower.catalogue import prepare, read_stars
from redflower.catalogue.reading.schema import magnitude_error_column
from redflower.errors import TableError

from ...helpers.raw_stars import raw_stars

#: VizieR's names: Gaia DR3 (I/355), Pan-STARRS1 (II/349), 2MASS (II/246).
VIZIER = {
    "source_id": "Source", "ra": "RA_ICRS", "dec": "DE_ICRS", "l": "GLON", "b": "GLAT", "ecl_lat": "ELAT",
    "parallax": "Plx", "parallax_error": "e_Plx", "ruwe": "RUWE", "visibility_periods_used": "Nper",
    "astrometric_params_solved": "Solved", "phot_g_n_obs": "o_Gmag", "nu_eff_used_in_astrometry": "nueff",
    "pseudocolour": "pscol", "phot_g_mean_mag": "Gmag", "phot_bp_mean_mag": "BPmag", "phot_rp_mean_mag": "RPmag",
    "phot_g_mean_flux": "FG", "phot_g_mean_flux_error": "e_FG", "phot_bp_mean_flux": "FBP",
    "phot_bp_mean_flux_error": "e_FBP", "phot_rp_mean_flux": "FRP", "phot_rp_mean_flux_error": "e_FRP",
    "j_m": "Jmag", "h_m": "Hmag", "ks_m": "Kmag", "j_msigcom": "e_Jmag", "h_msigcom": "e_Hmag",
    "ks_msigcom": "e_Kmag", "ph_qual": "Qflg",
    **{f"{b}_mean_psf_mag": f"{b}mag" for b in "grizy"},
    **{f"{b}_mean_psf_mag_error": f"e_{b}mag" for b in "grizy"},
}  # fmt: skip


def renamed(names: dict[str, str]) -> tuple[Table, Table]:
    raw = raw_stars(8)
    other = Table(raw, copy=True)
    for ours, theirs in names.items():
        if ours in other.colnames:
            other.rename_column(ours, theirs)
    return raw, other


@pytest.mark.parametrize("ending", [".fits", ".vot", ".csv", ".parquet"])
def test_vizier_names_of_all_three_surveys_are_read(ending, tmp_path):
    """Gmag of Gaia and gmag of Pan-STARRS1 differ by case alone, in formats that fold case too."""
    from ...helpers.spoilt import write_as_others_do

    raw, other = renamed(VIZIER)
    found = prepare(write_as_others_do(other, tmp_path / f"v{ending}"), purpose="inference").table
    expected = prepare(raw, purpose="inference").table
    for band in BANDS:
        np.testing.assert_allclose(found[band.name], expected[band.name], rtol=1e-12, err_msg=band.name)
    np.testing.assert_allclose(found["parallax"], expected["parallax"], rtol=1e-12)


@pytest.mark.parametrize(
    ("extra", "dropped", "band"),
    [("umag", None, "ps1_g"), (None, "ymag", "ps1_g"), ("Ymag", None, "tmass_j"), (None, "Hmag", "tmass_j")],
)
def test_magnitudes_that_may_be_another_surveys_are_named_and_not_read(extra, dropped, band, caplog):
    """SDSS calls its bands as VizieR does Pan-STARRS1's, and UKIDSS its as 2MASS's."""
    _, other = renamed(VIZIER)
    if extra:
        other[extra] = 15.0
    if dropped:
        other.remove_columns([dropped, f"e_{dropped}"])
    stars = read_stars(other)
    magnitude = next(one.magnitude_column for one in BANDS if one.name == band)
    assert magnitude not in stars.colnames
    assert f"{VIZIER[magnitude]!r}" in caplog.text
    assert "look like magnitudes" in caplog.text
    assert any("look like magnitudes" in note for note in stars.meta["redflower"]["notes"])


def test_a_table_with_all_bands_names_none(caplog):
    read_stars(raw_stars(8))
    assert "look like" not in caplog.text


@pytest.mark.parametrize(
    "name", ["gaia_id", "dr3_source_id", "SourceID", "designation", "gaia_dr3_source_id"]
)
def test_identifiers_of_gaia_under_another_name_are_asked_for(name):
    _, other = renamed({"source_id": name})
    with pytest.raises(TableError, match=f"lacks 'source_id', but has '{name}'. Did you mean"):
        read_stars(other)


@pytest.mark.parametrize("name", ["id", "objID", "star_id", "TIC", "name"])
def test_other_identifiers_are_named(name, caplog):
    _, other = renamed({"source_id": name})
    assert list(read_stars(other)["source_id"]) == list(range(8))
    assert f"may be identifiers: {name!r}" in caplog.text


@pytest.mark.parametrize("factor", [1e-3, 1e3], ids=["arcsec", "uas"])
def test_parallaxes_in_another_unit_than_their_errors_are_refused(factor):
    raw = raw_stars(40)
    raw["parallax"] = np.asarray(raw["parallax"]) * factor
    with pytest.raises(ValueError, match="parallax and parallax_error must be in one unit"):
        read_stars(raw)


def test_every_band_of_the_schema_has_its_name_of_vizier():
    for band in BANDS:
        assert band.magnitude_column in VIZIER
        assert band.survey == "gaia" or magnitude_error_column(band) in VIZIER
