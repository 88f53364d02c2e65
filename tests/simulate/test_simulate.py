"""The mock sky: reproducible, dust where it was put, surveys that see what they would see."""

import numpy as np
import pytest
from astropy.table import QTable

import redflower
from redflower.bands import BANDS
from redflower.errors import InputError

#: Medians of Table 1 of O'Callaghan et al. (2025): parallax error [mas], magnitude errors [mag].
TABLE_1 = {
    "parallax": 0.07138, "gaia_g": 0.00060, "gaia_bp": 0.01054, "gaia_rp": 0.00307, "ps1_g": 0.00725, "ps1_r": 0.00581,
    "ps1_i": 0.00400, "ps1_z": 0.00433, "ps1_y": 0.00569, "tmass_j": 0.033, "tmass_h": 0.040, "tmass_ks": 0.051,
}  # fmt: skip
#: Faint limit at which the mock's share of stars with 2MASS is that of Table 1, 3474886 / 7187588. [mag]
TABLE_1_FAINT_MAG = 18.5


@pytest.fixture(scope="module")
def sky() -> QTable:
    return redflower.simulate(20_000, seed=3, g_faint_mag=TABLE_1_FAINT_MAG, include_truth=True)


def test_one_seed_one_sky() -> None:
    a, b, c = (redflower.simulate(200, seed=seed) for seed in (5, 5, 6))
    for name in a.colnames:
        np.testing.assert_array_equal(a[name], b[name])
    assert not np.array_equal(a["ra"], c["ra"])
    assert len(np.unique(a["source_id"])) == 200


def test_limits_latitude_and_units(sky: QTable) -> None:
    g_mag = sky["phot_g_mean_mag"].to_value("mag")
    assert ((g_mag > 13.5) & (g_mag < TABLE_1_FAINT_MAG)).all()
    assert (np.abs(sky["b"].to_value("deg")) > 20).all()
    assert str(sky["parallax"].unit) == "mas"
    assert str(sky["true_distance"].unit) == "pc"
    assert (sky["true_ebv"].to_value("mag") == 0).all()


def test_errors_and_2mass_are_like_table_1(sky: QTable) -> None:
    """Medians within 30 %, and the share of stars with 2MASS within 0.05 of the paper's 0.48."""
    share = np.isfinite(sky["ks_m"].value).mean()
    assert share == pytest.approx(3474886 / 7187588, abs=0.05)
    for band in BANDS:
        if band.flux_column:
            error = 1.0857 * (sky[band.flux_error_column] / sky[band.flux_column]).to_value("")
        else:
            error = sky[band.error_column].to_value("mag")
        assert np.nanmedian(error) == pytest.approx(TABLE_1[band.name], rel=0.3), band.name
    assert np.median(sky["parallax_error"].to_value("mas")) == pytest.approx(TABLE_1["parallax"], rel=0.3)


def test_2mass_sees_the_bright_stars_only(sky: QTable) -> None:
    j_mag = sky["j_m"].to_value("mag")
    assert np.nanmax(j_mag) < 16.5
    bright = sky["phot_g_mean_mag"].to_value("mag") < 14.5
    assert np.isfinite(j_mag[bright]).mean() > 0.95


def test_dust_begins_at_its_clouds() -> None:
    sky = redflower.simulate(2000, seed=1, preset="two-cloud", clouds=[(370.0, 0.12), (1500.0, 0.08)])
    distance_pc, ebv_mag = sky["true_distance"].to_value("pc"), sky["true_ebv"].to_value("mag")
    expected = np.where(distance_pc > 370, 0.12, 0.0) + np.where(distance_pc > 1500, 0.08, 0.0)
    np.testing.assert_allclose(ebv_mag, expected, atol=1e-6)
    assert (distance_pc < 370).sum() > 10
    assert (distance_pc > 1500).sum() > 10
    l_deg, b_deg = sky["l"].to_value("deg"), sky["b"].to_value("deg")
    assert np.hypot((l_deg - 104.08) * np.cos(np.deg2rad(22.31)), b_deg - 22.31).max() < 0.161


def test_photometry_is_truth_plus_dust_plus_noise_of_the_stated_size(sky: QTable) -> None:
    """Standardised residuals have unit spread; 20,000 stars fix it to 0.005, bands near a limit are cut there."""
    modulus = 5 * np.log10(sky["true_distance"].to_value("pc") / 10)
    m_g = np.asarray(sky["true_x_G"].value)
    for band in BANDS[:3]:
        x = np.asarray(sky[f"true_x_{band.label}"].value)
        true_mag = modulus + (m_g if band.name == "gaia_g" else m_g + x)
        relative = (sky[band.flux_error_column] / sky[band.flux_column]).to_value("")
        error = np.hypot(1.0857 * relative, band.error_floor_mag)
        score = (sky[band.magnitude_column].to_value("mag") - true_mag) / error
        assert np.std(score[np.abs(score) < 6]) == pytest.approx(1.0, abs=0.05), band.name


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"preset": "nowhere"}, "preset"),
        ({"clouds": [(-3.0, 0.1)]}, "clouds"),
        ({"g_bright_mag": 19.0, "g_faint_mag": 14.0}, "g_bright_mag < g_faint_mag"),
        ({"preset": "cone"}, "l_deg"),
    ],
)
def test_bad_requests_are_refused(arguments: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        redflower.simulate(10, seed=1, **arguments)
