"""Cuts that are off until asked for by name, and Riello's corrected excess factor."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from astropy.table import Column, MaskedColumn, Table

from redflower.catalogue import QualityLimits, prepare, read_stars, write_table
from redflower.catalogue.quality.excess_factor import corrected_excess_factor, excess_factor_sigma
from redflower.catalogue.quality.named_cuts import NAMED_CUTS, with_cuts
from redflower.cli.app import main
from redflower.errors import InputError
from tests.helpers.raw_stars import raw_stars


@pytest.mark.equation("EP10")
def test_the_corrected_excess_factor_is_that_of_riello_and_others() -> None:
    """Table 2 of Riello et al. (2021), worked out by hand in each of its three ranges, and at their ends."""
    bp_rp_mag = np.array([-0.2, 0.0, 0.3, 0.5, 1.0, 2.5, 4.0, 5.0])
    expected = [
        1.154360 - 0.2 * 0.033772 + 0.04 * 0.032277,
        1.154360,
        1.154360 + 0.3 * 0.033772 + 0.09 * 0.032277,
        1.162004 + 0.5 * 0.011464 + 0.25 * 0.049255 - 0.125 * 0.005879,
        1.162004 + 0.011464 + 0.049255 - 0.005879,
        1.162004 + 2.5 * 0.011464 + 6.25 * 0.049255 - 15.625 * 0.005879,
        1.057572 + 4.0 * 0.140537,
        1.057572 + 5.0 * 0.140537,
    ]
    np.testing.assert_allclose(
        corrected_excess_factor(np.full(8, 1.3), bp_rp_mag), 1.3 - np.array(expected), atol=1e-12
    )
    # The published pieces meet to what their digits allow, which they would not with a wrong coefficient.
    for edge, gap in ((0.5, 1e-6), (4.0, 5e-5)):
        below, above = corrected_excess_factor(np.zeros(2), np.array([edge - 1e-9, edge]))
        assert abs(below - above) < gap
    assert np.isnan(corrected_excess_factor(np.array([np.nan, 1.2]), np.array([1.0, np.nan]))).all()


@pytest.mark.equation("EP11")
def test_the_scatter_of_the_excess_factor_is_that_of_riello_and_others() -> None:
    """Equation 18: its constant for the brightest stars; at G = 10, 15 and 20 the power worked out by logarithms."""
    np.testing.assert_allclose(excess_factor_sigma(np.array([0.0])), 0.0059898)
    g_mag = np.array([10.0, 15.0, 20.0])
    by_logarithms = 0.0059898 + 10.0 ** (np.log10(8.817481) - 12.0 + 7.618399 * np.log10(g_mag))
    np.testing.assert_allclose(excess_factor_sigma(g_mag), by_logarithms, rtol=1e-12)


def with_columns(n: int = 40) -> Table:
    """Stars at the expected excess factor; none a candidate of anything."""
    raw = raw_stars(n)
    colour = np.asarray(raw["phot_bp_mean_mag"]) - np.asarray(raw["phot_rp_mean_mag"])
    raw["phot_bp_rp_excess_factor"] = -corrected_excess_factor(np.zeros(n), colour)
    raw["in_qso_candidates"] = np.zeros(n, bool)
    raw["in_galaxy_candidates"] = np.zeros(n, bool)
    return raw


def off_by(raw: Table, row: int, n_sigma: float) -> float:
    return n_sigma * float(excess_factor_sigma(np.asarray(raw["phot_g_mean_mag"]))[row])


def test_nothing_is_cut_that_was_not_asked_for_but_every_star_is_flagged() -> None:
    raw = with_columns()
    raw["phot_bp_rp_excess_factor"][0] += off_by(raw, 0, 3.1)
    raw["phot_bp_mean_flux_error"][1] = raw["phot_bp_mean_flux"][1] / 9.0
    raw["in_qso_candidates"][2] = True
    raw["in_galaxy_candidates"][2:4] = True
    prepared = prepare(raw, purpose="inference")
    assert len(prepared.table) == 40
    assert prepared.table["quality_flags"][:5].tolist() == [1, 2, 4 | 8, 8, 0]
    assert np.isfinite(prepared.table["gaia_bp"]).all()
    names = {cut.name for cut in (*prepared.report.cuts, *prepared.report.band_cuts)}
    assert not names & {"excess factor", "BP signal", "quasars", "galaxies"}
    assert "quality_flags" not in prepare(raw_stars(10), purpose="inference").table.colnames


def test_each_cut_takes_its_stars_and_is_counted() -> None:
    raw = with_columns()
    for row, n_sigma in ((0, 3.1), (1, -3.1), (2, 2.9), (3, -2.9), (4, 5.1)):
        raw["phot_bp_rp_excess_factor"][row] += off_by(raw, row, n_sigma)
    raw["phot_bp_rp_excess_factor"][5] = np.nan
    raw["in_qso_candidates"] = MaskedColumn(np.arange(40) == 6, mask=np.arange(40) == 7)
    raw["in_galaxy_candidates"][8:10] = True
    limits = with_cuts(QualityLimits(), ["excess-factor", "qso-candidates", "galaxy-candidates"])
    prepared = prepare(raw, purpose="inference", limits=limits)
    kept = set(np.asarray(prepared.table["source_id"]).tolist())
    gone = [row for row in range(40) if int(raw["source_id"][row]) not in kept]
    assert gone == [0, 1, 4, 6, 8, 9], "a star without an excess factor or a flag stays"
    counts = {cut.name: (cut.before, cut.after) for cut in prepared.report.cuts}
    assert (counts["excess factor"], counts["quasars"], counts["galaxies"]) == ((40, 37), (37, 36), (36, 34))
    wide = prepare(raw, purpose="inference", limits=with_cuts(QualityLimits(), ["excess-factor=5"]))
    assert len(wide.table) == 39
    assert wide.table.meta["redflower"]["settings"]["limits"]["excess_factor_sigma"] == 5.0


@pytest.mark.parametrize("as_ratio", [False, True])
def test_a_weak_bp_flux_costs_bp_and_not_the_star(*, as_ratio: bool) -> None:
    raw = with_columns(12)
    ratio = np.full(12, 50.0)
    ratio[:3] = [9.9, 10.1, 3.0]
    if as_ratio:
        raw["phot_bp_mean_flux_over_error"] = ratio
        raw.remove_columns(["phot_bp_mean_flux", "phot_bp_mean_flux_error"])
    else:
        raw["phot_bp_mean_flux_error"] = raw["phot_bp_mean_flux"] / ratio
    prepared = prepare(raw, purpose="inference", limits=with_cuts(QualityLimits(), ["bp-signal"]))
    assert np.flatnonzero(np.isnan(prepared.table["gaia_bp"])).tolist() == [0, 2]
    assert np.isnan(prepared.table["gaia_bp_error"][[0, 2]]).all()
    assert np.isfinite(prepared.table["gaia_rp"]).all()
    assert np.flatnonzero(prepared.table["quality_flags"]).tolist() == [0, 2]
    cut = prepared.report.band_cuts[0]
    assert (cut.name, cut.before, cut.after) == ("BP signal", 12, 10)
    every = prepare(raw, purpose="inference", limits=with_cuts(QualityLimits(), ["bp-signal=3.5"]))
    assert np.flatnonzero(np.isnan(every.table["gaia_bp"])).tolist() == [2]


def test_a_cut_whose_column_is_absent_is_refused_by_name() -> None:
    for cut, column in (
        ("excess-factor", "phot_bp_rp_excess_factor"),
        ("qso-candidates", "in_qso_candidates"),
        ("galaxy-candidates", "in_galaxy_candidates"),
    ):
        with pytest.raises(InputError, match=f"the cut {cut} needs {column}.*--with-cut {cut}"):
            prepare(raw_stars(10), purpose="inference", limits=with_cuts(QualityLimits(), [cut]))
    raw = raw_stars(10)
    raw["phot_bp_mean_mag_error"] = 0.01
    raw.remove_columns(["phot_bp_mean_flux", "phot_bp_mean_flux_error"])
    with pytest.raises(InputError, match="bp-signal needs phot_bp_mean_flux or phot_bp_mean_flux_over_error"):
        prepare(raw, purpose="inference", limits=with_cuts(QualityLimits(), ["bp-signal"]))


def test_the_excess_factor_of_another_release_is_refused_and_not_flagged() -> None:
    """DR2 has a column of this name with another calibration, for which the polynomials are wrong."""
    raw = with_columns(20)
    raw["designation"] = [f"Gaia DR2 {i}" for i in raw["source_id"]]
    raw.remove_columns(["nu_eff_used_in_astrometry", "pseudocolour"])
    raw["phot_bp_rp_excess_factor"][:] = 3.0
    with pytest.raises(InputError, match="of Gaia DR3.*is of Gaia DR2"):
        prepare(raw, purpose="inference", limits=with_cuts(QualityLimits(), ["excess-factor"]))
    assert not prepare(raw, purpose="inference").table["quality_flags"].any()


def test_wrong_names_and_numbers_are_one_message() -> None:
    for asked, message in (
        ("excess", "no cut of this name.*excess-factor, bp-signal, qso-candidates, galaxy-candidates"),
        ("excess-factor=much", "a number must stand"),
        ("excess-factor=-3", "above 0"),
        ("bp-signal=nan", "above 0"),
        ("qso-candidates=3", "takes no number"),
    ):
        with pytest.raises(InputError, match=message):
            with_cuts(QualityLimits(), [asked])
    assert with_cuts(QualityLimits(), []) == QualityLimits()


@pytest.mark.parametrize("words", [("true", "false"), ("True", "False"), ("t", "f"), ("1", "0")])
def test_flags_are_read_as_archives_write_them(words: tuple[str, str]) -> None:
    raw = with_columns(6)
    raw["in_qso_candidates"] = Column([words[0], *[words[1]] * 4, ""])
    stars = read_stars(raw)
    assert np.ma.filled(stars["in_qso_candidates"], -1).tolist() == [1, 0, 0, 0, 0, -1]
    raw["in_qso_candidates"] = Column(["maybe"] * 6)
    with pytest.raises(InputError, match="in_qso_candidates.*maybe"):
        read_stars(raw)


def test_vizier_s_flags_are_taken_in_the_company_of_gaia_dr3_alone() -> None:
    raw = with_columns(6)
    raw.rename_columns(
        ["in_qso_candidates", "in_galaxy_candidates", "phot_bp_rp_excess_factor", "ruwe"], ["QSO", "Gal", "E(BP/RP)", "RUWE"]
    )  # fmt: skip
    raw["DR3Name"] = [f"Gaia DR3 {i}" for i in raw["source_id"]]
    found = read_stars(raw).colnames
    assert {"in_qso_candidates", "in_galaxy_candidates", "phot_bp_rp_excess_factor"} <= set(found)
    raw.remove_column("DR3Name")
    found = read_stars(raw).colnames
    assert not {"in_qso_candidates", "in_galaxy_candidates"} & set(found)


def test_the_command_takes_cuts_by_name(tmp_path: Path, monkeypatch, capsys) -> None:
    raw = with_columns(30)
    raw["in_qso_candidates"][4] = True
    write_table(raw, tmp_path / "raw.parquet")
    command = [
        "redflower",
        "prepare",
        str(tmp_path / "raw.parquet"),
        str(tmp_path / "out.parquet"),
        "--for",
        "inference",
    ]
    options = [
        "--with-cut",
        "qso-candidates",
        "--with-cut",
        "bp-signal=5",
        "--report",
        str(tmp_path / "cuts.json"),
    ]
    monkeypatch.setattr(sys, "argv", [*command, *options])
    with pytest.raises(SystemExit) as done:
        main()
    assert done.value.code in (0, None)
    report = json.loads((tmp_path / "cuts.json").read_text())
    assert [(c["before"], c["after"]) for c in report["cuts"] if c["name"] == "quasars"] == [(30, 29)]
    assert report["band_cuts"][0]["name"] == "BP signal"
    assert "quasars" in capsys.readouterr().out
    assert set(NAMED_CUTS) == {"excess-factor", "bp-signal", "qso-candidates", "galaxy-candidates"}
