"""From raw stars to prepared ones: errors, cuts with their counts, dust maps, and the arrays of the model."""

import json
from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table

from redflower.api.sample import training_sample
from redflower.bands import BANDS
from redflower.catalogue import (
    ENDINGS,
    CutReport,
    DistancePrior,
    QualityLimits,
    is_prepared,
    prepare,
    prepared_error_name,
    read_distance_prior,
    read_stars,
    read_table,
    require_prepared,
    to_stars,
    write_table,
)
from redflower.catalogue.quality.band_cuts import PS1_SATURATION_MAG
from redflower.errors import InputError
from redflower.provenance import META_KEY
from redflower.train.loss.training_star import NO_PARALLAX_CUT_MAS
from tests.helpers.raw_stars import gaia_ids, raw_stars

M67_MAP = Path(__file__).parents[2] / "docs" / "examples" / "m67_columns.toml"


def counts(report: CutReport) -> dict[str, int]:
    """How many stars each cut took."""
    return {cut.name: cut.before - cut.after for cut in report.cuts}


@pytest.fixture
def flat_prior() -> DistancePrior:
    return DistancePrior(
        log_length_pc=np.full(12, 6.0), alpha=np.full(12, 1.0), beta=np.full(12, 2.0), name="flat", sha256=""
    )


# ---------------------------------------------------------------- magnitudes and errors


def test_a_clean_table_passes_whole_and_keeps_its_magnitudes():
    raw = raw_stars()
    prepared = prepare(raw, purpose="training")
    assert len(prepared.table) == len(raw)
    assert set(counts(prepared.report).values()) == {0}
    for band in BANDS:
        assert np.array_equal(prepared.table[band.name], raw[band.magnitude_column])
        assert prepared.table[band.name].unit == "mag"
        assert prepared.table[prepared_error_name(band)].unit == "mag"
    assert prepared.report.bands == {band.label: 50 for band in BANDS}
    assert np.array_equal(prepared.table["true_ebv"], raw["true_ebv"])
    assert (prepared.table["parallax"] > raw["parallax"]).all(), "the zero point is negative here"


@pytest.mark.equation("EP2")
def test_errors_are_relative_flux_errors_with_the_floor_in_quadrature():
    raw = raw_stars()
    table = prepare(raw, purpose="inference").table
    for band in BANDS:
        if band.flux_column:
            relative = raw[band.flux_error_column] / raw[band.flux_column]
            expected = np.hypot(2.5 / np.log(10) * relative, band.error_floor_mag)
        else:
            expected = np.hypot(raw[band.error_column], band.error_floor_mag)
        assert np.allclose(table[prepared_error_name(band)], expected, rtol=1e-12)


def test_the_other_forms_of_gaia_errors_give_the_same():
    raw = raw_stars()
    expected = prepare(raw, purpose="inference").table["gaia_g_error"]
    ratio, direct = raw.copy(), raw.copy()
    relative = np.asarray(raw["phot_g_mean_flux_error"]) / np.asarray(raw["phot_g_mean_flux"])
    ratio["phot_g_mean_flux_over_error"] = 1 / relative
    direct["phot_g_mean_mag_error"] = 2.5 / np.log(10) * relative
    for table in (ratio, direct):
        table.remove_columns(["phot_g_mean_flux", "phot_g_mean_flux_error"])
        assert np.allclose(prepare(table, purpose="inference").table["gaia_g_error"], expected, rtol=1e-12)


def test_placeholder_errors_are_said():
    raw = raw_stars()
    raw.remove_columns(["phot_bp_mean_flux", "phot_bp_mean_flux_error"])
    raw["phot_bp_mean_mag_error"] = 1e-6
    report = prepare(raw, purpose="inference").report
    assert any(
        "every error of BP is 1e-06 mag, which looks like a placeholder" in note for note in report.notes
    )


@pytest.mark.parametrize("bad", [0.0, -0.01, np.nan, -999.0, -9.9, np.inf])
def test_a_band_without_a_usable_error_is_missing(bad):
    raw = raw_stars()
    raw["r_mean_psf_mag_error"][:4] = bad
    raw["phot_bp_mean_flux_error"][4:6] = bad
    prepared = prepare(raw, purpose="inference")
    assert np.isnan(prepared.table["ps1_r"]).sum() == np.isnan(prepared.table["ps1_r_error"]).sum() == 4
    assert np.isnan(prepared.table["gaia_bp"]).sum() == 2
    assert prepared.report.bands["r"] == 46
    assert any("r set missing for 4 stars" in note for note in prepared.report.notes)


def test_a_negative_flux_has_no_magnitude():
    raw = raw_stars()
    raw["phot_bp_mean_flux"][0] = -3.0
    assert np.isnan(prepare(raw, purpose="inference").table["gaia_bp"][0])


def test_2mass_counts_only_with_quality_aaa():
    raw = raw_stars()
    raw["ph_qual"][:3] = ["AAB", "UUU", "AA"]
    prepared = prepare(raw, purpose="inference")
    for name in ("tmass_j", "tmass_h", "tmass_ks"):
        assert np.isnan(prepared.table[name]).tolist() == [True] * 3 + [False] * 47
    assert any("2MASS quality: bands set missing for 3 stars" in note for note in prepared.report.notes)
    assert len(prepared.table) == 50, "the stars themselves are kept"
    kept = prepare(raw, purpose="inference", limits=QualityLimits(tmass_aaa_only=False))
    assert kept.report.bands["Ks"] == 50
    raw.remove_column("ph_qual")
    without = prepare(raw, purpose="inference")
    assert without.report.bands["Ks"] == 50
    assert any(note.startswith("no ph_qual") for note in without.report.notes)


def test_saturated_ps1_magnitudes_are_missing():
    raw = raw_stars()
    raw["z_mean_psf_mag"][:2] = [12.9, 13.1]
    table = prepare(raw, purpose="inference").table
    assert np.isnan(table["ps1_z"][:2]).tolist() == [True, False]
    limits = QualityLimits(ps1_unsaturated_only=False)
    assert np.isfinite(prepare(raw, purpose="inference", limits=limits).table["ps1_z"]).all()


def test_the_saturation_limits_are_those_of_the_mock_surveys():
    survey = pytest.importorskip("redflower.simulate.survey")
    assert {f"ps1_{label}": mag for label, mag in survey.PS1_BRIGHT_MAG.items()} == PS1_SATURATION_MAG


# ---------------------------------------------------------------- cuts


def spoiled() -> Table:
    """Stars of which each of the first ones fails one cut."""
    raw = raw_stars(40)
    raw["phot_g_mean_flux_error"][0] = np.nan  # G band
    for band in BANDS[2:]:
        raw[band.magnitude_column][1] = np.nan  # bands
    raw["astrometric_params_solved"][2:4] = [3, 95]  # solution
    raw["ruwe"][4:6] = [2.5, np.nan]  # RUWE
    raw["visibility_periods_used"][6] = 8
    raw["phot_g_n_obs"][7] = 2
    raw["phot_g_mean_mag"][9], raw["phot_g_mean_mag"][10] = 13.0, 20.9
    raw["parallax"][11] = -0.5
    for name in ("phot_g_mean_flux", "phot_g_mean_flux_error"):
        raw[name][9] *= 10.0
    low = raw_stars(40, seed=2)
    from astropy.coordinates import SkyCoord

    icrs = SkyCoord(low["l"][8], -12.0, unit="deg", frame="galactic").icrs
    raw["l"][8], raw["b"][8], raw["ra"][8], raw["dec"][8] = low["l"][8], -12.0, icrs.ra.deg, icrs.dec.deg
    raw["source_id"][8] = gaia_ids(icrs, 17)
    return raw


def test_every_cut_takes_the_stars_it_should_and_says_how_many():
    raw = spoiled()
    training = prepare(raw, purpose="training", limits=QualityLimits(parallax_min_mas=0.0))
    assert counts(training.report) == {
        "position": 0,
        "G band": 1,
        "bands": 1,
        "solution": 2,
        "RUWE": 2,
        "visibility periods": 1,
        "G observations": 1,
        "latitude": 1,
        "bright limit": 1,
        "faint limit": 1,
        "parallax": 1,
    }
    assert np.array_equal(training.table["source_id"], raw["source_id"][12:])
    assert training.report.n_before == 40
    assert training.report.n_after == len(training.table) == 28
    before = [cut.before for cut in training.report.cuts]
    assert before[1:] == [cut.after for cut in training.report.cuts[:-1]], "the counts must chain"


def test_training_keeps_negative_parallaxes_unless_asked_for_the_papers_cut():
    training = prepare(spoiled(), purpose="training")
    assert "parallax" not in counts(training.report)
    assert len(training.table) == 29
    assert training.table["parallax"].min() < 0
    assert training.table.meta["redflower"]["settings"]["limits"]["parallax_min_mas"] is None
    with pytest.raises(InputError, match="parallax_min_mas must be finite"):
        QualityLimits(parallax_min_mas=np.nan)


def test_the_training_sample_knows_the_cut_on_parallax_that_prepare_made(flat_prior):
    """The stars, and what the normaliser is told (E24b); old tables, which record none, were cut at 0."""
    raw = spoiled()
    for least, recorded in ((None, None), (0.0, 0.0), (0.5, 0.5)):
        table = prepare(raw, purpose="training", limits=QualityLimits(parallax_min_mas=least)).table
        sample = training_sample(table, flat_prior)
        assert sample.parallax_min_mas == recorded
        told = NO_PARALLAX_CUT_MAS if recorded is None else recorded
        np.testing.assert_array_equal(sample.data.parallax_min_mas, np.full(len(table), told, np.float32))
    whole = prepare(raw, purpose="training").table
    cut = training_sample(whole, flat_prior, parallax_min_mas=0.0)
    assert len(cut.source_id) == len(whole) - 1, "a cut asked of training is made there"
    del whole.meta["redflower"]["settings"]["limits"]["parallax_min_mas"]
    assert training_sample(whole, flat_prior).parallax_min_mas == 0.0


def test_inference_keeps_negative_parallaxes():
    inference = prepare(spoiled(), purpose="inference")
    assert "parallax" not in counts(inference.report)
    # 28 of the training sample, the star with a negative parallax, and the one without G, which only training needs.
    assert len(inference.table) == 30
    assert "G band" not in counts(inference.report)
    assert any(note.startswith("1 stars have no G") for note in inference.report.notes)
    assert inference.table["parallax"].min() < 0


def test_a_missing_optional_column_costs_only_its_cut():
    raw = spoiled()
    raw.remove_columns(["ruwe", "visibility_periods_used"])
    report = prepare(raw, purpose="training").report
    assert report.n_after == 32
    assert {"RUWE", "visibility periods"}.isdisjoint(counts(report))
    assert any("no ruwe: no cut on RUWE" in note for note in report.notes)


def test_limits_can_be_changed_or_left_out():
    limits = QualityLimits(ruwe_max=3.0, latitude_min_deg=None, five_parameter_only=False, g_faint_mag=None)
    table = prepare(spoiled(), purpose="inference", limits=limits).table
    kept = np.isin(np.arange(40), [0, 3, 4, 8, 10, 11, *range(12, 40)])
    # Star 2 has two parameters, but it is for the solution cut alone to take; here it stays, without parallax.
    kept[2] = True
    assert np.array_equal(table["source_id"], spoiled()["source_id"][kept])
    assert np.isnan(table["parallax"][1])
    with pytest.raises(InputError, match="limits in G must rise"):
        QualityLimits(g_bright_mag=20.0, g_faint_mag=14.0)


def test_the_training_cut_is_on_the_corrected_parallax():
    raw = raw_stars()
    raw["parallax"][0] = -0.010
    limits = QualityLimits(parallax_min_mas=0.0)
    assert len(prepare(raw, purpose="training", zero_point=-0.029, limits=limits).table) == 50
    assert len(prepare(raw, purpose="training", zero_point="none", limits=limits).table) == 49


def test_nothing_left_is_an_error_that_names_the_cut():
    raw = raw_stars()
    raw["ruwe"] = 5.0
    with pytest.raises(InputError, match=r"the cut on RUWE \(ruwe < 2\) took the last 50 of 50"):
        prepare(raw, purpose="inference")


def test_training_without_parallaxes_is_refused():
    raw = raw_stars()
    raw.remove_columns(["parallax", "parallax_error"])
    with pytest.raises(InputError, match="training needs parallaxes"):
        prepare(raw, purpose="training")
    table = prepare(raw, purpose="inference", limits=QualityLimits(five_parameter_only=False)).table
    assert np.isnan(table["parallax"]).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"purpose": "train"}, "must be 'training' or 'inference'"),
        ({"purpose": "training", "ebv_max_mag": -1.0}, "ebv_max_mag must be positive"),
        ({"purpose": "training", "ebv_map": "absent.fits"}, "does not exist"),
        ({"purpose": "training", "zero_point": 29.0}, "between -1 and 1"),
    ],
)
def test_impossible_requests_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        prepare(raw_stars(5), **arguments)


# ---------------------------------------------------------------- provenance and report


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_prepared_table_is_recognised_in_every_format(tmp_path, ending, flat_prior):
    raw_path = write_table(raw_stars(), tmp_path / "raw.parquet")
    prepared = prepare(raw_path, purpose="inference").table
    back = read_table(write_table(prepared, tmp_path / f"prepared{ending}"))
    assert is_prepared(back)
    require_prepared(back)
    assert not is_prepared(read_table(raw_path))
    assert not is_prepared(read_stars(raw_path))
    with pytest.raises(InputError, match="is a prepared table already"):
        prepare(tmp_path / f"prepared{ending}", purpose="training")
    with pytest.raises(InputError, match="prepare RAW OUT --for inference"):
        to_stars(read_table(raw_path), flat_prior)
    if ending != ".csv":
        meta = back.meta[META_KEY]
        assert meta == prepared.meta[META_KEY]
        assert (meta["stage"], meta["purpose"]) == ("prepared", "inference")
        assert meta["input"]["file"] == "raw.parquet"
        assert meta["settings"]["limits"]["ruwe_max"] == 2.0
        assert "Lindegren" in meta["report"]["zero_point"]


def test_the_report_is_written_as_json_and_text(tmp_path):
    report = prepare(spoiled(), purpose="training").report
    report.write_json(tmp_path / "cuts.json")
    content = json.loads((tmp_path / "cuts.json").read_text())
    assert content["cuts"][4] == {"name": "RUWE", "condition": "ruwe < 2", "before": 36, "after": 34}
    assert content["bands"]["G"] == 29
    assert [p.name for p in tmp_path.iterdir()] == ["cuts.json"]
    for cut in report.cuts:
        assert cut.condition in report.text()
    assert report.rich_table().row_count == len(report.cuts)


def test_what_a_raw_table_said_about_itself_is_kept():
    raw = raw_stars()
    raw.meta[META_KEY] = {"stage": "simulated", "seed": 7}
    assert prepare(raw, purpose="inference").table.meta[META_KEY]["source"] == {
        "stage": "simulated",
        "seed": 7,
    }


# ---------------------------------------------------------------- real stars


def test_m67_end_to_end(shared_data, tmp_path):
    path = shared_data / "m67_gaiadr2_ps1_2mass.fits"
    dust = shared_data / "dust_ebv_SFD_healpix_lowres.fits"
    prepared = prepare(path, columns=M67_MAP, purpose="inference", zero_point=-0.029, ebv_map=dust)
    taken = counts(prepared.report)
    assert taken["bright limit"] == 285
    assert taken["visibility periods"] == 1
    assert prepared.report.n_after == 1298
    table = read_table(write_table(prepared.table, tmp_path / "m67.fits"))
    # Members at about 850 pc; the constant zero point shifts the median by 0.029 mas.
    assert np.median(table["parallax"]) == pytest.approx(1.16 + 0.029, abs=0.03)
    # Magnitude errors from fluxes, not the placeholders of 1e-6: at the floor for G, above it for BP.
    assert 0.00276 < np.median(table["gaia_g_error"]) < 0.0035
    assert 0.004 < np.median(np.asarray(table["gaia_bp_error"])[np.isfinite(table["gaia_bp_error"])]) < 0.02
    # The low-resolution map against the SFD values that came with the table.
    assert np.median(table["ebv_map"]) == pytest.approx(np.median(table["ebv_sfd"]), abs=0.003)
    prior = read_distance_prior(shared_data / "bailerjones2021_prior_summary.csv")
    batch = to_stars(table, prior)
    assert batch.usable.all()
    complete = np.all([np.isfinite(table[band.name]) for band in BANDS], axis=0)
    assert np.array_equal(np.asarray(batch.stars.observed).all(axis=1), complete)
    assert complete.sum() > 900
