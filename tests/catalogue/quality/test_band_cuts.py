"""Cuts on bands: Pan-STARRS1 flags, cross-match mates, and the counts of both; Table 1 of the paper."""

import json

import numpy as np
import pytest
from astropy.table import MaskedColumn

from redflower.bands import BANDS
from redflower.catalogue import QualityLimits, is_prepared, prepare, summarise, write_table
from redflower.errors import InputError
from tests.helpers.raw_stars import raw_stars

RANK = [0x100 << rank for rank in range(5)]
#: Bits that say nothing of quality: has PS1, used ubercal, a primary stack detection.
REST = 0x10 | 0x8 | 0x4000


def missing(table, band: str) -> list[int]:
    """Rows whose band is missing."""
    return np.flatnonzero(np.isnan(table[band])).tolist()


def test_a_mean_magnitude_counts_by_the_rank_of_its_measurements():
    raw = raw_stars(12)
    raw["ps1_i_flags"][:8] = [RANK[0] | REST, *(rank | REST for rank in RANK[1:]), REST, 0, RANK[0] | 0x4]
    strict = prepare(raw, purpose="inference").table
    # No rank at all (saturated stars, rejected exposures) and synthetic photometry never count.
    assert missing(strict, "ps1_i") == [1, 2, 3, 4, 5, 6, 7]
    assert np.isnan(strict["ps1_i_error"][1:8]).all()
    assert missing(strict, "ps1_g") == [], "one band's flags are that band's alone"
    loose = prepare(raw, purpose="inference", limits=QualityLimits(ps1_rank_max=2)).table
    assert missing(loose, "ps1_i") == [3, 4, 5, 6, 7]
    everything = prepare(raw, purpose="inference", limits=QualityLimits(ps1_rank_max=None)).table
    assert missing(everything, "ps1_i") == []


def test_missing_flags_vouch_for_nothing_and_an_absent_column_cuts_nothing():
    raw = raw_stars(6)
    raw["ps1_z_flags"] = MaskedColumn(np.full(6, 115000), mask=[True, *[False] * 5])
    assert missing(prepare(raw, purpose="inference").table, "ps1_z") == [0]
    raw.remove_columns([name for name in raw.colnames if name.endswith(("_flags", "_flag", "_mates"))])
    prepared = prepare(raw, purpose="inference")
    assert missing(prepared.table, "ps1_z") == []
    assert sum("Pan-STARRS1" in note for note in prepared.report.notes) == 1, "said once, not for each band"
    assert sum("cross-match mates" in note for note in prepared.report.notes) == 2


def test_objects_that_ps1_does_not_call_good_lose_its_bands():
    raw = raw_stars(5)
    raw["ps1_quality_flag"][:2] = [16 | 32, 4]
    table = prepare(raw, purpose="inference").table
    for band in BANDS:
        assert missing(table, band.name) == ([0] if band.survey == "ps1" else [])


def test_a_counterpart_shared_with_another_star_is_nobodys():
    raw = raw_stars(6)
    raw["ps1_number_of_mates"][0], raw["tmass_number_of_mates"][1] = 1, 2
    table = prepare(raw, purpose="inference").table
    for band in BANDS:
        expected = {"gaia": [], "ps1": [0], "2mass": [1]}[band.survey]
        assert missing(table, band.name) == expected
    kept = prepare(raw, purpose="inference", limits=QualityLimits(unshared_only=False)).table
    assert missing(kept, "ps1_g") == []


def test_every_cut_on_bands_has_a_count_before_and_after(tmp_path):
    raw = raw_stars(40)
    raw["r_mean_psf_mag"][0] = 12.0
    raw["ps1_y_flags"][1:3] = RANK[3]
    raw["ps1_quality_flag"][3] = 0
    raw["ps1_number_of_mates"][4] = 1
    raw["ph_qual"][5:8] = "ABA"
    raw["tmass_number_of_mates"][8] = 1
    report = prepare(raw, purpose="inference").report
    assert [(cut.name, cut.survey, cut.before, cut.after) for cut in report.band_cuts] == [
        ("Pan-STARRS1 saturation", "ps1", 40, 39),
        ("Pan-STARRS1 flags", "ps1", 39, 37),
        ("Pan-STARRS1 object", "ps1", 37, 36),
        ("Pan-STARRS1 mates", "ps1", 36, 35),
        ("2MASS quality", "2mass", 40, 37),
        ("2MASS mates", "2mass", 37, 36),
    ]
    report.write_json(tmp_path / "cuts.json")
    content = json.loads((tmp_path / "cuts.json").read_text())
    assert content["band_cuts"][1]["after"] == 37
    assert content["summary"]["counts"] == {"Gaia": 40, "Gaia + PS1": 35, "Gaia + PS1 + 2MASS": 31}
    assert "Pan-STARRS1 mates" in report.text()
    assert "Gaia + PS1 + 2MASS 31" in report.text()


def test_the_samples_of_the_paper_are_complete_in_their_bands():
    raw = raw_stars(20)
    raw["ps1_y_flags"][0] = 0
    raw["ph_qual"][1] = "AAB"
    optical = prepare(raw, purpose="training", limits=QualityLimits(complete_to="ps1"))
    infrared = prepare(raw, purpose="training", limits=QualityLimits(complete_to="2mass"))
    assert np.array_equal(optical.table["source_id"], raw["source_id"][1:])
    assert np.array_equal(infrared.table["source_id"], raw["source_id"][2:])
    assert [c for c in optical.report.cuts if c.name == "complete"][0].condition == "all of G BP RP g r i z y"


@pytest.mark.parametrize(
    ("limits", "message"), [({"ps1_rank_max": 7}, "from 0 to 4"), ({"complete_to": "sdss"}, "one of gaia")]
)
def test_impossible_limits_are_refused(limits, message):
    with pytest.raises(InputError, match=message):
        QualityLimits(**limits)


def test_table_1_gives_catalogue_errors_without_the_floors():
    raw = raw_stars(31)
    raw["parallax_error"] = np.linspace(0.02, 0.12, 31)
    raw["g_mean_psf_mag_error"] = np.linspace(0.004, 0.010, 31)
    raw["ks_msigcom"] = 0.051
    raw["phot_g_mean_flux_error"] = np.asarray(raw["phot_g_mean_flux"]) * 0.0006 * np.log(10) / 2.5
    raw["ph_qual"][:5] = "ABA"
    table = prepare(raw, purpose="inference").table
    summary = summarise(table)
    assert summary.counts == {"Gaia": 31, "Gaia + PS1": 31, "Gaia + PS1 + 2MASS": 26}
    assert summary.medians["parallax"] == pytest.approx(0.07, rel=1e-6)
    assert summary.medians["G"] == pytest.approx(0.0006, rel=1e-4)
    assert summary.medians["g"] == pytest.approx(0.007, rel=1e-6)
    assert summary.medians["Ks"] == pytest.approx(0.051, rel=1e-5)
    assert summary.table()["unit"].tolist() == ["mas", *["mag"] * 11]
    with pytest.raises(InputError, match="not a prepared table"):
        summarise(raw)


def test_table_1_says_nothing_of_what_was_not_measured(tmp_path):
    raw = raw_stars(10)
    raw.remove_columns([c for b in BANDS[8:] for c in (b.magnitude_column, b.error_column)])
    prepared = prepare(raw, purpose="inference")
    assert prepared.report.summary.medians["J"] is None
    assert "J -" in prepared.report.summary.text()
    assert is_prepared(prepared.table)
    write_table(prepared.table, tmp_path / "p.fits")
