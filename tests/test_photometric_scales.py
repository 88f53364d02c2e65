"""Photometric scales: stated by tables and models, moved with their uncertainty, or refused."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open

import redflower
from redflower.bands import BAND_INDEX, BANDS, N_BANDS
from redflower.catalogue import default_distance_prior, to_stars
from redflower.catalogue.prepared import table_scale
from redflower.errors import InputError, ModelError
from redflower.flow import load_model, save_model
from redflower.photometric_scales import (
    MOCK_SKY_SCALE,
    SURVEYS,
    archive_scale,
    describe_move,
    make_scale,
    move_magnitudes,
    releases,
)
from redflower.provenance import META_KEY

KNOWN = {survey: [name for name, r in releases(survey).items() if r.known] for survey in SURVEYS}
SCALES = st.builds(
    lambda gaia, ps1: make_scale({"gaia": gaia, "ps1": ps1}),
    st.sampled_from(KNOWN["gaia"]),
    st.sampled_from(KNOWN["ps1"]),
)


def stars(n: int = 50, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    magnitude = rng.uniform(14, 19, (n, 1)) + rng.uniform(-1, 1, (n, N_BANDS))
    return magnitude, np.full((n, N_BANDS), 0.01), rng.random((n, N_BANDS)) < 0.9


def test_released_pan_starrs_is_fainter_than_before_the_release_by_the_published_shifts():
    magnitude, error, observed = stars()
    observed[:] = True
    moved, _ = move_magnitudes(
        magnitude, error, observed, of_table=make_scale("ps1=pre-release"), to=archive_scale()
    )
    # Scolnic et al. 2015, Magnier et al. 2020.
    expected = {"ps1_g": 0.020, "ps1_r": 0.033, "ps1_i": 0.024, "ps1_z": 0.028, "ps1_y": 0.011}
    for i, band in enumerate(BANDS):
        np.testing.assert_allclose(moved[:, i] - magnitude[:, i], expected.get(band.name, 0.0), atol=1e-12)


def test_the_drift_of_dr2_is_that_of_maiz_apellaniz_and_weiler():
    magnitude, error, observed = stars()
    observed[:] = True
    magnitude[:4, 0] = [5.0, 10.0, 15.0, 18.0]
    moved, errors = move_magnitudes(
        magnitude, error, observed, of_table=make_scale("gaia=dr2"), to=make_scale("gaia=dr2-no-drift")
    )
    # 3.2 mmag per magnitude between G = 6 and 16, nothing at 15.
    np.testing.assert_allclose((moved - magnitude)[:4, 0], [0.0288, 0.016, 0.0, -0.0032], atol=1e-12)
    np.testing.assert_array_equal(moved[:, 1:], magnitude[:, 1:])
    np.testing.assert_array_equal(errors, error)  # what the two share is not uncertain between them


@given(SCALES, SCALES, st.integers(0, 5))
def test_a_move_there_and_back_returns_the_magnitudes(first, second, seed):
    magnitude, error, observed = stars(seed=seed)
    there, errors = move_magnitudes(magnitude, error, observed, of_table=first, to=second)
    back, _ = move_magnitudes(there, errors, observed, of_table=second, to=first)
    # Not exactly: the terms in colour and magnitude are asked at moved colours. Slopes of at most 0.02 times moves of 0.03 mag.
    np.testing.assert_allclose(back, magnitude, atol=1e-3)
    assert (errors >= error).all()
    np.testing.assert_array_equal(there[~observed], magnitude[~observed])


@given(SCALES)
def test_no_move_changes_no_bit(scale):
    magnitude, error, observed = stars()
    moved, errors = move_magnitudes(magnitude, error, observed, of_table=scale, to=scale)
    np.testing.assert_array_equal(moved, magnitude)
    np.testing.assert_array_equal(errors, error)
    assert describe_move(scale, scale) == []


def test_the_uncertainty_of_a_move_adds_to_the_errors_in_quadrature():
    magnitude, error, observed = stars()
    observed[:] = True
    _, errors = move_magnitudes(
        magnitude, error, observed, of_table=archive_scale(), to=make_scale(MOCK_SKY_SCALE)
    )
    r = BAND_INDEX["ps1_r"]
    np.testing.assert_allclose(errors[:, r], np.hypot(0.01, 0.005))
    np.testing.assert_array_equal(errors[:, BAND_INDEX["tmass_j"]], error[:, BAND_INDEX["tmass_j"]])


def test_dr4_is_not_mixed_with_dr3_while_no_relation_is_known():
    magnitude, error, observed = stars()
    with pytest.raises(ModelError, match="gaia=dr4.*no relation between the two is known"):
        move_magnitudes(magnitude, error, observed, of_table=make_scale("gaia=dr4"), to=archive_scale())
    observed[:, :3] = False  # without a Gaia magnitude there is nothing to mix
    move_magnitudes(magnitude, error, observed, of_table=make_scale("gaia=dr4"), to=archive_scale())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ps1", "must name each survey once"),
        ("ps1=archive,ps1=archive", "must name each survey once"),
        ("ps2=archive", "'ps2' is no survey"),
        ("ps1=dr2", "knows archive, pre-release"),
        ("", "must name each survey once"),
    ],
)
def test_a_scale_that_makes_no_sense_is_refused_with_what_there_is(text, message):
    with pytest.raises(InputError, match=message):
        make_scale(text)


def raw(**changes) -> Table:
    sky = redflower.simulate(40, seed=3, preset="one-cloud", g_faint_mag=18.0)
    table = Table(sky)
    for name, value in changes.items():
        table[name] = value
    return table


def test_simulated_stars_keep_their_scale_through_every_format_that_keeps_provenance(tmp_path: Path):
    sky = raw()
    for ending in ("parquet", "fits", "ecsv", "vot"):
        path = tmp_path / f"sky.{ending}"
        redflower.write_table(sky, path)
        prepared = redflower.prepare(path, purpose="inference").table
        redflower.write_table(prepared, tmp_path / f"prepared.{ending}")
        again = redflower.read_table(tmp_path / f"prepared.{ending}")
        assert table_scale(again) == make_scale(MOCK_SKY_SCALE), ending


@pytest.mark.parametrize(("population", "scale"), [("mock", MOCK_SKY_SCALE), ("sky", None)])
def test_simulated_stars_that_lost_their_scale_are_known_by_their_columns(tmp_path: Path, population, scale):
    sky = redflower.simulate(40, seed=3, preset="one-cloud", g_faint_mag=18.0, population=population)
    redflower.write_table(sky, tmp_path / "sky.csv")
    result = redflower.prepare(tmp_path / "sky.csv", purpose="inference")
    assert table_scale(result.table) == make_scale(scale)
    assert any("as redflower simulates such stars" in note for note in result.report.notes)
    redflower.write_table(result.table, tmp_path / "prepared.csv")
    assert table_scale(redflower.read_table(tmp_path / "prepared.csv")) == make_scale(scale)


def without_scale(table: Table) -> Table:
    bare = table.copy()
    bare.meta[META_KEY] = {k: v for k, v in table.meta[META_KEY].items() if k != "photometry"}
    bare.remove_column("true_ebv")  # simulated stars would be known by it
    return bare


def test_a_users_table_is_taken_to_be_on_the_archives_scale_and_the_report_says_so():
    sky = raw()
    sky.meta.clear()
    sky.remove_column("true_ebv")
    result = redflower.prepare(sky, purpose="inference")
    assert table_scale(result.table) == archive_scale()
    assert any("photometric scale" in note and "assumed" in note for note in result.report.notes)


def test_a_column_map_states_the_scale(tmp_path: Path):
    (tmp_path / "map.toml").write_text('[photometry]\ngaia = "dr2"\n')
    sky = raw()
    sky.meta.clear()
    sky.remove_columns(
        ["true_ebv", "nu_eff_used_in_astrometry"]
    )  # DR2 has no such column, and a table with it is refused
    table = redflower.prepare(sky, purpose="inference", columns=tmp_path / "map.toml").table
    assert table_scale(table) == make_scale("gaia=dr2")
    (tmp_path / "bad.toml").write_text('[photometry]\ngaia = "edr9"\n')
    with pytest.raises(InputError, match=r"\[photometry\].*knows dr3"):
        redflower.prepare(sky, purpose="inference", columns=tmp_path / "bad.toml")


def test_magnitudes_reach_the_model_on_its_scale_whatever_the_scale_of_the_table():
    model = load_model("mock-sky")
    table = redflower.prepare(raw(), purpose="inference").table
    prior = default_distance_prior()
    as_is = to_stars(table, prior, scale=model.scale())
    # The same sky as the archive would have it: fainter, and said to be so.
    archive = table.copy()
    for name, shift in {
        "ps1_g": 0.020,
        "ps1_r": 0.033,
        "ps1_i": 0.024,
        "ps1_z": 0.028,
        "ps1_y": 0.011,
    }.items():
        archive[name] = archive[name] + shift
    scale = make_scale("ps1=archive", default=model.scale())
    archive.meta[META_KEY] = {**table.meta[META_KEY], "photometry": scale.as_dict()}
    moved = to_stars(archive, prior, scale=model.scale())
    # Float32 holds magnitudes of 20 to 1e-6.
    np.testing.assert_allclose(moved.stars.magnitude_mag, as_is.stars.magnitude_mag, atol=3e-6)


def test_what_states_no_scale_is_refused_by_every_verb(tmp_path: Path):
    table = without_scale(redflower.prepare(raw(), purpose="inference").table)
    with pytest.raises(InputError, match="does not state its photometric scale"):
        redflower.infer(table, "mock-sky")
    with pytest.raises(InputError, match="does not state its photometric scale"):
        redflower.validate(table, "mock-sky")
    training = without_scale(redflower.prepare(raw(), purpose="training").table)
    with pytest.raises(InputError, match="does not state its photometric scale"):
        redflower.train(training, name="none")
    path = save_model(dataclasses.replace(load_model("mock-sky"), photometry=None), tmp_path / "old")
    with pytest.raises(ModelError, match="does not state the photometric scale of its training stars"):
        redflower.infer(redflower.prepare(raw(), purpose="inference").table, path)


def test_stating_another_scale_than_the_table_does_is_refused():
    table = redflower.prepare(raw(), purpose="inference").table
    with pytest.raises(InputError, match="but the table says gaia=dr2-no-drift"):
        redflower.infer(table, "mock-sky", photometry="ps1=archive")


def test_a_model_keeps_its_scale_and_older_programs_refuse_it(tmp_path: Path):
    model = load_model("mock-sky")
    assert model.photometry == make_scale(MOCK_SKY_SCALE)
    changed = dataclasses.replace(model, photometry=archive_scale())
    again = load_model(save_model(changed, tmp_path / "m"))
    assert again.photometry == archive_scale()
    assert again.model_id != model.model_id
    with safe_open(tmp_path / "m.safetensors", framework="numpy") as file:
        # Redflower 0.1 reads up to 4, and would not move magnitudes.
        assert json.loads(file.metadata()["redflower"])["format_version"] == 5
