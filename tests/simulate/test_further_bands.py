"""SDSS, SkyMapper and the bands of spectra on the simulated skies: what other bands see, dust, metals, and correlated errors."""

import numpy as np
import pytest

import redflower
from redflower.bands import BP, RP, band_set
from redflower.errors import InputError
from redflower.physics import Zhang23Law
from redflower.simulate.colours import load_colour_relations, sky_colour_relations
from redflower.simulate.further_colours import scatter_rows
from redflower.simulate.further_survey import correlated, further_error, further_listed, spectra_correlation

ALL = ("sdss", "skymapper", "allwise", "xp")
BANDS = band_set(["gaia", "ps1", "2mass", *ALL])
FIELD = {"preset": "southern", "g_faint_mag": 18.0, "include_truth": True}


@pytest.fixture(scope="module")
def field():
    return redflower.simulate(3000, seed=3, clouds=[(50.0, 0.2)], surveys=ALL, **FIELD)


def values(table, name):
    return np.asarray(np.ma.filled(table[name], np.nan), float)


def test_what_the_standard_bands_see_does_not_change_with_further_surveys(field) -> None:
    without = redflower.simulate(3000, seed=3, clouds=[(50.0, 0.2)], **FIELD)
    for name in without.colnames:
        a, b = np.asarray(without[name]), np.asarray(field[name])
        # A sum over more bands, most of them nought, may round its last digit otherwise.
        if a.dtype.kind == "f":
            np.testing.assert_allclose(a, b, rtol=1e-9, err_msg=name)
        else:
            np.testing.assert_array_equal(a, b, err_msg=name)


def test_the_southern_sky_is_south_and_skymapper_sees_it_where_pan_starrs_does_not(field) -> None:
    dec = values(field, "dec")
    assert dec.max() < 2.0
    assert (dec < -30.0).mean() > 0.3
    south = dec < -30.0
    assert not np.isfinite(values(field, "g_mean_psf_mag")[south]).any()
    # In g to 21 mag, of stars of G < 18: all but the reddest.
    assert np.isfinite(values(field, "g_psf")[south]).mean() > 0.98


def test_the_dust_of_every_further_band_is_that_of_its_surveys_file(field) -> None:
    law = Zhang23Law(BANDS)
    ebv = values(field, "true_ebv")
    behind = ebv > 0
    modulus = 5.0 * np.log10(values(field, "true_distance")) - 5.0
    nodes = np.linspace(0.3, 1.6, 6)
    known = np.stack([np.asarray(law.coefficients(0.2, c)) for c in nodes])
    for i, band in enumerate(BANDS):
        if band.survey not in ("sdss", "skymapper", "xp"):
            continue
        intrinsic = values(field, "true_x_G") + values(field, f"true_x_{band.label}") + modulus
        residual = values(field, band.magnitude_column) - intrinsic
        error = np.hypot(values(field, str(band.error_column)), band.error_floor_mag)
        bright = behind & (error < 0.03)
        colour = values(field, "true_x_BP") - values(field, "true_x_RP")
        at = np.interp(colour[bright], nodes, known[:, i])
        mean = np.mean(residual[bright] / 0.2 - at)
        # Noise alone: the mean of so many residuals, in units of E(B-V); four of its deviations.
        assert abs(mean) < 4.0 * np.std(residual[bright]) / 0.2 / np.sqrt(bright.sum()) + 0.01, band.name


@pytest.mark.parametrize("relations", [load_colour_relations(BANDS), sky_colour_relations(BANDS)])
def test_ultraviolet_colours_know_metals_and_red_ones_do_not(relations) -> None:
    """Dwarfs of BP - RP = 0.8: u - g of SDSS falls by 0.2 mag per dex (Ivezic et al. 2008), v - g of SkyMapper by more."""
    poor, rich = (relations.colours(np.array([0.8]), np.array([feh]), np.zeros(1))[0] for feh in (-1.0, 0.0))
    change = dict(zip(BANDS.labels, rich - poor, strict=True))
    assert 0.1 < change["u_sdss"] - change["g_sdss"] < 0.4
    assert 0.15 < change["v_sm"] - change["g_sm"] < 0.5
    assert abs(change["i_sm"] - change["z_sm"]) < 0.03


def test_bands_of_nearly_one_wavelength_agree_wherever_they_come_from() -> None:
    """SDSS of spectra, and Pan-STARRS1 of other stars on the archive's scale.

    The passbands make r and i differ by less than 0.01 mag (Tonry et al. 2012, table 6), and the archive's zero points by another
    0.01 to 0.02.
    """
    relations = sky_colour_relations(BANDS)
    bp_rp = np.linspace(0.6, 1.4, 9)
    colours = relations.colours(bp_rp, np.full(9, -0.1), np.zeros(9))
    assert np.abs(colours[:, BANDS.index["sdss_r"]] - colours[:, BANDS.index["ps1_r"]]).max() < 0.03
    assert np.abs(colours[:, BANDS.index["sdss_i"]] - colours[:, BANDS.index["ps1_i"]]).max() < 0.03
    np.testing.assert_allclose(colours[:, BP] - colours[:, RP], bp_rp, atol=1e-12)


def test_errors_of_spectra_go_together_as_their_covariance_says(field) -> None:
    xp = [band for band in BANDS if band.survey == "xp"]
    modulus = 5.0 * np.log10(values(field, "true_distance")) - 5.0
    covariance = np.asarray(field["xp_covariance"].value)
    rows, columns = np.tril_indices(len(xp))
    error = np.stack([values(field, str(band.error_column)) for band in xp], axis=1)
    diagonal = covariance[:, rows == columns]
    np.testing.assert_allclose(np.sqrt(diagonal), error, rtol=1e-12)
    assert (np.abs(covariance[:, (rows == 4) & (columns == 3)]) > 0).any()
    assert np.isnan(covariance[~np.isfinite(error).all(axis=1)]).any(axis=1).all()
    # F547M and F502N have a correlation of -0.3 in real spectra; of noise alone, where it exceeds the floors.
    i, j = 4, 5
    free = []
    for k in (i, j):
        intrinsic = values(field, "true_x_G") + values(field, f"true_x_{xp[k].label}") + modulus
        dust = 0.2 * xp[k].extinction.single * (values(field, "true_ebv") > 0)
        free.append((values(field, xp[k].magnitude_column) - intrinsic - dust) / np.hypot(error[:, k], 0.01))
    both = np.isfinite(free[0]) & np.isfinite(free[1]) & (error[:, i] > 0.03)
    expected = np.median(
        (spectra_correlation(BANDS)[BANDS.index[xp[i].name], BANDS.index[xp[j].name]])
        * error[both, i] * error[both, j] / np.hypot(error[both, i], 0.01) / np.hypot(error[both, j], 0.01)
    )  # fmt: skip
    found = np.corrcoef(free[0][both], free[1][both])[0, 1]
    assert both.sum() > 300
    assert expected < -0.1
    assert abs(found - expected) < 4.0 / np.sqrt(both.sum())


def test_correlated_normals_have_the_covariance_of_errors_and_floors() -> None:
    rng = np.random.default_rng(1)
    bands = band_set(["gaia", "xp"])
    error, floor = np.full((200_000, 13), 0.02), np.full(13, 0.01)
    normal = correlated(rng.standard_normal(error.shape), error, floor, bands)
    wanted = spectra_correlation(bands) * 0.02**2
    wanted[range(13), range(13)] = 0.02**2 + 0.01**2
    # Errors of correlations of so many draws: 1 / sqrt(200,000), five of them.
    np.testing.assert_allclose(np.corrcoef(normal.T), wanted / wanted[0, 0], atol=0.012)
    same = rng.standard_normal((3, 3))
    assert correlated(same, same, np.zeros(3), band_set(["gaia"])) is same


def test_errors_grow_with_magnitude_and_lists_end() -> None:
    magnitude = np.linspace(12.0, 20.0, 30)
    for band in BANDS:
        if band.survey in ("sdss", "skymapper", "xp"):
            assert (np.diff(further_error(band, magnitude)) >= 0).all(), band.name
    g = np.full((2, len(BANDS)), 15.0)
    g[1] = 17.7
    listed = {
        band.name: further_listed(band, g, np.full(g.shape, 0.05), np.array([5.0, -40.0]), BANDS)
        for band in BANDS.bands[11:]
    }
    np.testing.assert_array_equal(listed["skymapper_u"], [False, True])
    np.testing.assert_array_equal(listed["sdss_u"], [True, True])
    np.testing.assert_array_equal(listed["xp_f410m"], [True, False])
    faint = further_listed(BANDS[BANDS.index["xp_f410m"]], g, np.full(g.shape, 0.12), np.zeros(2), BANDS)
    assert not faint.any()


def test_rows_of_some_bands_have_the_covariance_of_all() -> None:
    rng = np.random.default_rng(2)
    rows = rng.standard_normal((4, 15))
    some = scatter_rows(rows, list("abcd"), ["d", "b"])
    np.testing.assert_allclose(some @ some.T, (rows @ rows.T)[np.ix_([3, 1], [3, 1])], rtol=1e-12)
    assert scatter_rows(rows, list("abcd"), list("abcd")) is rows


def test_bands_without_colours_are_refused() -> None:
    with pytest.raises(InputError, match="colours of g_decam, r_decam, i_decam, z_decam are not known"):
        redflower.simulate(10, seed=1, surveys=("decam",))
