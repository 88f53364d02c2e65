"""The names of VizieR, MAST, TOPCAT and LSDB, which tell surveys apart by case or by their company."""

import tomllib

import numpy as np
import pytest
from astropy.table import Table

from redflower.bands import BANDS
from redflower.catalogue.reading.bands_found import bands_found, bands_line, photometric_names
from redflower.catalogue.reading.column_map import (
    ColumnMap,
    check_lookalikes,
    choose_columns,
    read_column_map,
)
from redflower.catalogue.reading.other_names import columns_named
from redflower.catalogue.reading.reader import read_stars, write_columns
from redflower.errors import TableError
from tests.helpers.raw_stars import raw_stars

#: I/355 (Gaia DR3), II/349 (Pan-STARRS1) and II/246 (2MASS), as VizieR and the CDS cross-match deliver them.
VIZIER = {
    "source_id": "Source", "ra": "RA_ICRS", "dec": "DE_ICRS", "parallax": "Plx", "parallax_error": "e_Plx", "ruwe": "RUWE",
    "phot_g_n_obs": "o_Gmag", "astrometric_params_solved": "Solved", "nu_eff_used_in_astrometry": "nueff",
    "pseudocolour": "pscol", "ecl_lat": "ELAT", "visibility_periods_used": "Nper",
    "phot_g_mean_mag": "Gmag", "phot_bp_mean_mag": "BPmag", "phot_rp_mean_mag": "RPmag",
    "phot_g_mean_flux": "FG", "phot_g_mean_flux_error": "e_FG", "phot_bp_mean_flux": "FBP",
    "phot_bp_mean_flux_error": "e_FBP", "phot_rp_mean_flux": "FRP", "phot_rp_mean_flux_error": "e_FRP",
    **{f"{label}_mean_psf_mag": f"{label}mag" for label in "grizy"},
    **{f"{label}_mean_psf_mag_error": f"e_{label}mag" for label in "grizy"},
    "j_m": "Jmag", "j_msigcom": "e_Jmag", "h_m": "Hmag", "h_msigcom": "e_Hmag", "ks_m": "Kmag", "ks_msigcom": "e_Kmag",
    "ph_qual": "Qflg",
}  # fmt: skip


def renamed(names: dict[str, str]) -> Table:
    table = raw_stars()
    table.keep_columns([name for name in names if name in table.colnames])
    table.rename_columns(table.colnames, [names[name] for name in table.colnames])
    return table


@pytest.mark.parametrize("ending", [".csv", ".fits", ".vot", ".parquet", ".ecsv"])
def test_a_table_of_vizier_is_read_whole(ending: str, tmp_path) -> None:
    """Also through formats that fold case: `Gmag` is Gaia's, `gmag` is Pan-STARRS1's."""
    from redflower.catalogue import write_table

    expected, table = raw_stars(), renamed(VIZIER)
    stars = read_stars(write_table(table, tmp_path / f"vizier{ending}"))
    for name in table.colnames:
        ours = next(o for o, theirs in VIZIER.items() if theirs == name)
        if ours != "ph_qual":
            np.testing.assert_allclose(
                np.asarray(stars[ours], float), np.asarray(expected[ours], float), rtol=1e-6
            )
    assert not np.allclose(stars["phot_g_mean_mag"], stars["g_mean_psf_mag"], equal_nan=True)
    assert not any("bands found" in note for note in stars.meta["redflower"]["notes"])


def test_topcats_names_of_the_two_are_told_by_their_case() -> None:
    table = renamed(VIZIER)
    table.rename_columns(["Gmag", "gmag"], ["Gmag_1", "gmag_2"])
    stars, expected = read_stars(table), raw_stars()
    for name in ("phot_g_mean_mag", "g_mean_psf_mag"):
        np.testing.assert_array_equal(stars[name], expected[name])


@pytest.mark.parametrize(
    ("names", "why"),
    [
        (["Gmag", "umag", "gmag", "rmag", "imag", "zmag"], "SDSS: u and no y"),
        (["Gmag", "umag", "gmag", "rmag", "imag", "zmag", "ymag"], "two surveys"),
        (["gmag", "bpmag", "rpmag"], "names in lower case: Gaia's"),
    ],
)
def test_gmag_alone_is_not_pan_starrs(names: list[str], why: str) -> None:
    assert columns_named("gmag", names) == [], why


def test_h_and_k_of_another_survey_are_not_2mass() -> None:
    assert columns_named("Hmag", ["Ymag", "Jmag1", "Hmag", "Kmag"]) == []
    assert columns_named("Hmag", ["Jmag", "Hmag", "Kmag"]) == ["Hmag"]


def test_johnsons_r_beside_pan_starrs_r_is_no_twin() -> None:
    table = renamed(VIZIER)
    table["Rmag"] = np.asarray(table["rmag"]) - 0.2
    np.testing.assert_array_equal(read_stars(table)["r_mean_psf_mag"], raw_stars()["r_mean_psf_mag"])


def test_bands_that_were_not_found_are_said_loudly_with_what_looks_like_them(caplog) -> None:
    table = renamed(VIZIER)
    others = {f"{label}mag": f"PS_{label}" for label in "grizy"} | {
        "Jmag": "2MASS_J",
        "Hmag": "2MASS_H",
        "Kmag": "2MASS_Ks",
    }
    table.rename_columns(list(others), list(others.values()))
    stars = read_stars(table)
    assert (
        "3 of 11 bands found (G BP RP); unused columns that look like photometry: 2MASS_H, 2MASS_J,"
        in caplog.text
    )
    assert "--write-columns MAP.toml" in stars.meta["redflower"]["notes"][0]


def test_what_looks_like_photometry() -> None:
    some = ["PS_g", "2MASS_Ks", "w1mpro", "gKmag", "sdss.psfflux", "tmass.k_m", "WISE_W1", "NUV"]
    none = [
        "e_gmag",
        "PS_g_Err",
        "phot_bp_rp_excess_factor",
        "ra",
        "parallax",
        "l",
        "b",
        "tmass_dmatch",
        "gFlags",
        "magnitude_id",
    ]
    assert photometric_names([*some, *none]) == some
    assert bands_line([name for band in BANDS for name in (band.magnitude_column, f"{band.magnitude_column}_error")], []) == (
        bands_line([], [])[0].replace("0 of 11", "8 of 11").replace("none", "G BP RP g r i z y"), False,
    )  # fmt: skip


def test_a_map_to_fill_in_is_a_map_that_reads_the_table(tmp_path) -> None:
    table = renamed(VIZIER)
    table.rename_columns(["Kmag", "e_Kmag"], ["ks", "ks err"])
    path = tmp_path / "map.toml"
    write_columns(table, path)
    content = tomllib.loads(path.read_text())
    assert content["columns"]["phot_g_mean_mag"] == "Gmag"
    assert '# ks_m = ""  # apparent magnitude in Ks (2mass, Vega) [mag]' in path.read_text()
    assert "# Unused, and looking like photometry: ks" in path.read_text()
    filled = (
        path.read_text()
        .replace('# ks_m = ""', 'ks_m = "ks"')
        .replace('# ks_msigcom = ""', 'ks_msigcom = "ks err"')
    )
    (tmp_path / "filled.toml").write_text(filled)
    stars = read_stars(table, read_column_map(tmp_path / "filled.toml"))
    np.testing.assert_array_equal(stars["ks_m"], raw_stars()["ks_m"])
    with pytest.raises(TableError, match="exists already"):
        write_columns(table, path)


def _of_hats(suffixes: tuple[str, str, str]) -> list[str]:
    """Columns as LSDB's catalogues of Gaia DR3, Pan-STARRS1 and 2MASS have them, cross-matched with these suffixes."""
    gaia, ps1, tmass = suffixes
    names = [
        f"{name}{gaia}"
        for name in (
            "source_id",
            "ra",
            "dec",
            "parallax",
            "parallax_error",
            "phot_g_mean_mag",
            "phot_g_mean_flux_over_error",
        )
    ]
    names += [
        f"phot_{band}_mean_{what}{gaia}" for band in ("bp", "rp") for what in ("mag", "flux_over_error")
    ]
    names += [f"{name}{ps1}" for name in ("objID", "raMean", "decMean")]
    names += [f"{band}MeanPSFMag{end}{ps1}" for band in "grizy" for end in ("", "Err")]
    names += [
        f"{name}{tmass}"
        for name in ("ra", "dec", "j_m", "h_m", "k_m", "j_msigcom", "h_msigcom", "k_msigcom", "ph_qual")
    ]
    return [*names, "_dist_arcsec", "_healpix_29"]


def test_the_suffixes_that_lsdb_puts_behind_every_name_are_looked_through() -> None:
    names = _of_hats(("_gaia", "_ps1", "_2mass"))
    found = choose_columns(names, ColumnMap())
    assert found.source["source_id"] == "source_id_gaia"
    assert found.source["ra"] == "ra_gaia", "the place is Gaia's"
    assert found.source["g_mean_psf_mag"] == "gMeanPSFMag_ps1"
    assert found.source["ks_m"] == "k_m_2mass"
    assert len(bands_found(found.source)) == 11
    assert "_2mass, _gaia, _ps1; names are read without it" in found.notes[0]
    check_lookalikes(names, found, ColumnMap(), "it")


def test_suffixes_that_only_some_columns_have_are_asked_for() -> None:
    names = [*_of_hats(("", "_ps1", "_2mass")), "ra_1"]
    found = choose_columns(names, ColumnMap())
    assert found.source["ra"] == "ra"
    assert "g_mean_psf_mag" not in found.source
    with pytest.raises(TableError, match="Did you mean 'gMeanPSFMag_ps1'"):
        check_lookalikes(names, found, ColumnMap(), "it")


def test_two_catalogues_with_g_are_not_told_apart_by_their_suffixes() -> None:
    names = [
        f"{name}{end}" for end in ("_dr2", "_dr3") for name in ("source_id", "ra", "dec", "phot_g_mean_mag")
    ]
    assert choose_columns(names, ColumnMap()).source == {}


@pytest.mark.parametrize("case", [str.lower, str.upper])
def test_archives_that_fold_case_are_read(case) -> None:
    """Astro Data Lab has lower case, FITS files of older programs have upper."""
    names = [case(name) for name in _of_hats(("", "", ""))]
    names = [name for name in dict.fromkeys(names) if not name.startswith("_")]
    found = choose_columns(names, ColumnMap())
    assert len(bands_found(found.source)) == 11
    assert found.source["ra"] == case("ra")
    assert found.source["ks_msigcom"] == case("k_msigcom")
