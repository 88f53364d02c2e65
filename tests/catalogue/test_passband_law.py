"""Extinction coefficients by integrating a curve over passbands, against published ones."""

import numpy as np
import pytest

from redflower.band import BandSet
from redflower.bands import STANDARD, band_set
from redflower.catalogue.law_file import named_law
from redflower.catalogue.passband_law import (
    A_1UM_PER_EBV,
    black_body,
    extinction_curve,
    integrated_coefficient,
    integrated_law,
    law_text,
    read_curve,
)
from redflower.errors import InputError
from redflower.survey_file import published_coefficients
from redflower.surveys import survey_named

#: Schlafly & Finkbeiner (2011), table 6, F99 with R_V = 3.1: A / E(B-V) on the scale of Schlegel et al. (1998). They
#: integrate over the spectrum of a 7000 K star, and 2MASS's passbands of then. Compared with the same numbers in other public
#: programs that use them (for SDSS, Pan-STARRS1 and 2MASS), and with the integral below.
SCHLAFLY_2011 = {
    "sdss_u": 4.239, "sdss_g": 3.303, "sdss_r": 2.285, "sdss_i": 1.698, "sdss_z": 1.263, "ps1_g": 3.172, "ps1_r": 2.271,
    "ps1_i": 1.682, "ps1_z": 1.322, "ps1_y": 1.087, "tmass_j": 0.723, "tmass_h": 0.460, "tmass_ks": 0.310,
}  # fmt: skip


@pytest.fixture(scope="module")
def libraries():
    pytest.importorskip("dust_extinction", reason="dust_extinction is not installed (extra laws)")
    pytest.importorskip("pyphot", reason="pyphot is not installed (extra laws)")


@pytest.mark.equation("EP12")
def test_a_narrow_passband_has_the_curve_at_its_place() -> None:
    nodes_um = np.linspace(0.5, 0.5001, 21)
    dust = integrated_coefficient((nodes_um, np.ones(21)), lambda w: w**-1.5, black_body(6000.0))
    # Over 1e-4 um the curve changes by 3e-4 of itself; the trapezium's middle is half of that.
    assert dust == pytest.approx(A_1UM_PER_EBV * 0.50005**-1.5, rel=1e-5)


@pytest.mark.equation("EP12")
def test_a_wide_passband_has_less_extinction_behind_more_dust_and_for_cool_stars() -> None:
    nodes_um = np.linspace(0.35, 1.0, 400)
    wide = (nodes_um, np.ones(400))

    def r(temperature_k, ebv_mag):
        return integrated_coefficient(wide, lambda w: w**-1.5, black_body(temperature_k), ebv_mag)

    assert r(6000.0, 0.5) < r(6000.0, 0.1) - 0.02
    assert r(4500.0, 0.1) < r(6000.0, 0.1) - 0.05
    # A thin layer dims by the mean of the curve, weighted by photons.
    photons = black_body(6000.0)(nodes_um) * nodes_um
    mean = np.trapezoid(photons * nodes_um**-1.5, nodes_um) / np.trapezoid(photons, nodes_um)
    assert r(6000.0, 1e-6) == pytest.approx(A_1UM_PER_EBV * mean, rel=1e-5)


def test_f99_gives_the_table_of_schlafly_and_finkbeiner(libraries) -> None:
    bands = BandSet((*band_set(["gaia", "sdss", "ps1", "2mass"]),))
    law = integrated_law(bands, temperature_k=7000.0)
    found = dict(zip(bands.names, law.values, strict=True))
    for name, published in SCHLAFLY_2011.items():
        # A black body for their stellar spectrum, and later passbands of ps1_y and 2MASS: up to 0.02.
        assert found[name] == pytest.approx(published, abs=0.02), name


def test_the_standard_bands_are_near_those_of_real_stars(libraries) -> None:
    """Zhang & Yuan (2023) measured them on the same scale of E(B-V).

    What may differ: R_V of the diffuse sky scatters by 0.18 (Schlafly et al. 2016), here 3.1 +- 0.36 for two of these; the map's
    scale is known to 3 % (Schlafly & Finkbeiner 2011: 0.86 +- 0.02); G of Gaia is one number for stars of all colours, of which R
    changes by 3 % from 5000 to 7000 K.
    """
    low, middle, high = (integrated_law(STANDARD, r_v=r_v).values for r_v in (2.74, 3.1, 3.46))
    for band, *r in zip(STANDARD, low, middle, high, strict=True):
        measured = published_coefficients()[band.name].single
        spread = (
            0.03
            + max(abs(r[0] / r[1] - 1.0), abs(r[2] / r[1] - 1.0))
            + (0.03 if band.name == "gaia_g" else 0.0)
        )
        assert abs(r[1] / measured - 1.0) < spread + 0.03, (band.name, r, measured)


@pytest.mark.parametrize("name", ["xp", "skymapper"])
def test_bands_that_nobody_measured_have_the_coefficients_that_their_file_states(name, libraries) -> None:
    bands = band_set(["gaia", name])
    law = integrated_law(bands)
    for band, value in zip(bands.bands[3:], law.values[3:], strict=True):
        assert band.extinction is not None
        assert band.extinction.single == pytest.approx(value, abs=5e-4)


def test_r_v_and_curve_are_options_and_bad_ones_are_refused(libraries) -> None:
    g_band = band_set(["gaia", "ps1"])
    blue = g_band.index["ps1_g"]
    assert integrated_law(g_band, r_v=2.5).values[blue] > integrated_law(g_band, r_v=3.1).values[blue] > 3.1
    for asked, message in (
        ({"curve": "F00"}, "--curve must be one of F99"),
        ({"r_v": 1.0}, "goes from R_V = 2 to 6; got 1.0"),
        ({"temperature_k": 100.0}, "between 2000 and 50000 K"),
    ):
        with pytest.raises(InputError, match=message):
            integrated_law(g_band, **asked)
    with pytest.raises(InputError, match=r"F99 goes from 0.1 to 3.33 um.*wise_w1 sees is beyond.*G23"):
        integrated_law(band_set(["gaia", "allwise"]))
    w1, w2 = integrated_law(band_set(["gaia", "allwise"]), curve="G23").values[3:]
    assert 0.05 < w2 < w1 < 0.25
    with pytest.raises(InputError, match="no passband of decam_g .CTIO/DECam.g. is at hand"):
        integrated_law(band_set(["gaia", "decam"]))


def test_a_survey_of_a_users_own_brings_its_passband(libraries, tmp_path) -> None:
    (tmp_path / "own.toml").write_text(
        'survey = "own"\nrelease = "one"\ntitle = "Own"\nsource = "nobody"\n[[bands]]\n'
        'name = "own_v"\nlabel = "V"\npassband = "own/V"\n'
        'magnitude = "v"\nerror = "v_err"\nsystem = "Vega"\nerror_floor_mag = 0.01\nerror_range_mag = [0.01, 0.2]\n'
        'passband_table = "v.csv"\n'
    )
    nodes_nm = np.arange(500.0, 601.0, 5.0)
    np.savetxt(
        tmp_path / "v.csv",
        np.stack([nodes_nm, np.ones(21)], axis=1),
        delimiter=",",
        header="wavelength_nm,throughput",
        comments="",
    )
    survey = survey_named(tmp_path / "own.toml")
    assert survey.passband_tables == (("own_v", str(tmp_path / "v.csv")),)
    bands = band_set(["gaia", tmp_path / "own.toml"])
    law = integrated_law(bands, tables=dict(survey.passband_tables))
    curve, _ = extinction_curve("F99", 3.1)
    assert law.values[3] == pytest.approx(A_1UM_PER_EBV * float(curve(np.array([0.55]))[0]), rel=0.02)
    (tmp_path / "law.toml").write_text(law_text(law, {"curve": "F99"}))
    read = named_law(tmp_path / "law.toml", bands)
    np.testing.assert_allclose(read.values, law.values, atol=5e-5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cannot be read as a CSV"),
        ("a,b\n1,2\n2,3\n3,4\n", "needs a line of names, wavelength_nm and another"),
        ("wavelength_nm,t\n2,1\n1,1\n3,1\n", "needs rising wavelengths"),
        ("wavelength_nm,t\n1,1\n2,-1\n3,1\n", "not negative"),
    ],
)
def test_a_passband_that_cannot_be_is_refused(tmp_path, text, message) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        read_curve(tmp_path / "t.csv", "passband of x")


def test_an_unknown_passband_without_a_table_is_refused_and_told_what_to_do() -> None:
    from redflower.survey_file import make_survey

    band = {
        "name": "x", "label": "x", "passband": "own/X", "magnitude": "x", "error": "x_err", "system": "AB",
        "error_floor_mag": 0.01, "error_range_mag": [0.01, 0.2],
    }  # fmt: skip
    content = {"survey": "own", "release": "1", "title": "Own", "source": "nobody", "bands": [band]}
    with pytest.raises(InputError, match="Give one of your own as passband_table"):
        make_survey(content, "own", "own.toml")
    with pytest.raises(InputError, match="system must be one of Vega, AB; got 'ST'"):
        make_survey(
            {**content, "bands": [{**band, "passband_table": "t.csv", "system": "ST"}]}, "own", "own.toml"
        )
