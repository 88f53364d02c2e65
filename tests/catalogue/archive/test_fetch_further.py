"""SDSS, SkyMapper and Gaia's synthetic photometry joined by the archive's cross-matches, from a TAP server to prepared bands."""

import numpy as np
import pytest

from redflower.catalogue import QualityLimits, prepare, read_table
from redflower.catalogue.archive import (
    Patience,
    TapService,
    TapSource,
    check_names,
    cone_tiles,
    fetch_tiles,
    parse_region,
    parse_surveys,
)
from redflower.catalogue.archive.patience import RefusedError
from redflower.catalogue.releases import default_release
from redflower.surveys import shipped_surveys
from tests.helpers.dr4_draft import with_tap_schema
from tests.helpers.made_archive import further_tables, made_archive
from tests.helpers.tap_server import TapServer

REGION = "cone:104.08,22.31,0.35"
QUICK = Patience(attempts=2, backoff_s=0.01, poll_s=0.02)
FURTHER = ("sdss", "skymapper", "gspc")


def test_further_surveys_are_joined_by_the_archives_cross_matches_and_their_faults_cut(tmp_path) -> None:
    archive = made_archive(90)
    tables, joined = further_tables(archive)
    surveys = parse_surveys(",".join(FURTHER))
    assert surveys == ("gaia", *FURTHER)
    wanted = {name: table for name, table in archive.tables.items() if name == "gaiadr3.gaia_source"}
    with TapServer({**wanted, **tables}) as server:
        source = TapSource(TapService(server.url, QUICK))
        result = fetch_tiles(
            tmp_path / "stars.parquet", cone_tiles(parse_region(REGION)), source, surveys=surveys, request={}
        )
    raw = read_table(result.path)
    raw = raw[np.argsort(np.asarray(raw["source_id"]))]
    assert np.array_equal(raw["source_id"], joined["source_id"]), "a star without a counterpart keeps its row"
    for name in joined.colnames[1:]:
        there = ~np.ma.getmaskarray(joined[name])
        found = np.ma.asarray(raw[name])
        gone = np.ma.getmaskarray(found) | (
            np.isnan(np.ma.filled(found, np.nan)) if found.dtype.kind == "f" else False
        )
        assert np.array_equal(~gone, there), name
        assert np.array_equal(np.asarray(found)[there], np.asarray(joined[name])[there]), name
        assert raw[name].unit == joined[name].unit, name
    limits = QualityLimits(g_bright_mag=13.0, g_faint_mag=21.0, ruwe_max=None)
    prepared = prepare(raw, purpose="inference", limits=limits, surveys=list(FURTHER))
    notes = " ".join(prepared.report.notes)
    lost = [cut.without for name in FURTHER for cut in shipped_surveys()[name].cuts]
    assert not [words for words in lost if words in notes], "every flag is understood"
    rows = np.searchsorted(np.asarray(joined["source_id"]), np.asarray(prepared.table["source_id"]))
    assert len(rows) > 40

    def kept(band: str) -> np.ndarray:
        return np.isfinite(np.ma.filled(prepared.table[band], np.nan))

    counterpart = {
        "sdss_u": joined["psfmag_u"], "skymapper_g": joined["g_psf"], "skymapper_v": joined["v_psf"],
        "gspc_u": joined["u_sdss_mag"], "gspc_i": joined["i_sdss_mag"],
    }  # fmt: skip
    good = {
        "sdss_u": (joined["sdss_clean"] == 1) & (joined["sdss_number_of_mates"] == 0),
        "skymapper_g": (joined["skymapper_g_flags"] < 4) & (joined["skymapper_flags_psf"] == 0),
        "skymapper_v": joined["skymapper_flags_psf"] == 0,
        "gspc_u": joined["u_sdss_flag"] == 1,
        "gspc_i": joined["i_sdss_flag"] == 1,
    }
    n_cut = 0
    for band, magnitudes in counterpart.items():
        there = ~np.ma.getmaskarray(magnitudes)[rows]
        fine = np.ma.filled(good[band], False)[rows]
        assert np.array_equal(kept(band), there & fine), band
        n_cut += int((there & ~fine).sum())
    assert n_cut >= 5, "every fault of the made tables is in the sample"
    of_gspc = kept("gspc_i")
    assert not kept("gaia_bp")[of_gspc].any(), "the same photons do not count twice"
    assert kept("gaia_bp")[~of_gspc].any()


def test_the_names_of_further_joins_are_asked_for_and_a_missing_one_is_named(tmp_path) -> None:
    archive = made_archive(30)
    tables, _ = further_tables(archive)
    del tables["external.sdssdr13_photoprimary"]["psfmag_u"]
    with TapServer(with_tap_schema({**archive.tables, **tables})) as server:
        service = TapService(server.url, QUICK)
        check_names(service, default_release(), ("gaia", "skymapper", "gspc"), tmp_path / "s.vot")
        with pytest.raises(RefusedError, match="external.sdssdr13_photoprimary: no column psfmag_u"):
            check_names(service, default_release(), ("gaia", "sdss"), tmp_path / "s.vot")


@pytest.mark.parametrize("name", FURTHER)
def test_a_joined_survey_has_every_column_that_its_file_reads(name) -> None:
    """The joins and the survey's file are two lists of names: they must agree."""
    survey = shipped_surveys()[name]
    joins = [join for join in default_release().joins if join.survey == name]
    fetched = {column.rpartition(" AS ")[2].lower() for join in joins for column in join.columns}
    for band in survey.bands:
        columns = (
            band.magnitude_column,
            *((band.error_column,) if band.error_column else (band.flux_column, band.flux_error_column)),
        )
        assert {str(column).lower() for column in columns} <= fetched
    assert {cut.column for cut in survey.cuts} <= fetched
    assert all(join.if_asked for join in joins)
