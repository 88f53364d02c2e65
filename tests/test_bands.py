"""Bands are data: sets of bands, the files that describe surveys, and models that carry their bands with them."""

import dataclasses
import json

import jax.numpy as jnp
import numpy as np
import pytest

import redflower
from redflower.band import BandSet, band_from_spec
from redflower.bands import STANDARD, band_set, star_bands
from redflower.catalogue.prepared import table_bands, table_scale, unused_bands
from redflower.catalogue.stars import to_stars
from redflower.errors import InputError
from redflower.flow.model import model_from_parts, model_to_parts
from redflower.physics import ConstantLaw, Zhang23Law, law_of_name
from redflower.survey_file import make_survey, published_coefficients
from redflower.surveys import shipped_surveys, survey_named, survey_text

DEMO = {
    "survey": "demo", "release": "one", "title": "A demonstration", "source": "nobody",
    "bands": [
        {
            "name": "demo_g", "label": "g_demo", "passband": "CTIO/DECam.g", "magnitude": "demo_g_mag", "error": "demo_g_err",
            "system": "AB", "error_floor_mag": 0.01, "error_range_mag": [0.01, 0.2],
            "extinction": {"basis": "E(B-V), Schlegel et al. 1998", "single": 3.2},
        },
    ],
}  # fmt: skip


def demo_file() -> str:
    """The demonstration as a user writes it: the head of a shipped file, and a band."""
    head = survey_text("decam").split("[[bands]]")[0].replace('"decam"', '"demo"').replace("draft", "# draft")
    return head + (
        '[[bands]]\nname = "demo_g"\nlabel = "g_demo"\npassband = "CTIO/DECam.g"\nmagnitude = "demo_g_mag"\n'
        'error = "demo_g_err"\nsystem = "AB"\nerror_floor_mag = 0.01\nerror_range_mag = [0.01, 0.2]\n'
        'extinction = { basis = "E(B-V), Schlegel et al. 1998", single = 3.2 }\n'
    )


def changed(**entries):
    """The demonstration with entries of its band changed; None takes one out."""
    band = {key: value for key, value in {**DEMO["bands"][0], **entries}.items() if value is not None}
    return {**DEMO, "bands": [band]}


def test_every_shipped_survey_reads_and_says_where_it_is_from() -> None:
    surveys = shipped_surveys()
    assert list(surveys)[:4] == ["gaia", "ps1", "2mass", "allwise"]
    assert {"sdss", "skymapper", "decam", "galex", "gspc", "catwise"} <= set(surveys)
    for survey in surveys.values():
        assert survey.source
        assert survey_named(survey.name) is survey
        assert all(band.survey == survey.survey for band in survey.bands)


def test_the_coefficients_are_those_of_22_bands_and_none_is_made_up() -> None:
    published = published_coefficients()
    assert len(published) == 22
    for survey in shipped_surveys().values():
        for band in survey.bands:
            if survey.name == "decam":
                assert band.extinction is None
            elif survey.name not in (
                "xp",
                "skymapper",
            ):  # whose are integrated: tests/catalogue/test_passband_law.py
                assert band.extinction in published.values()
    with pytest.raises(InputError, match=r"decam_g.*--law FILE"):
        Zhang23Law(band_set(["gaia", "decam"]))


def test_a_law_of_more_bands_gives_the_standard_ones_what_it_gave_them() -> None:
    more = band_set(["gaia", "ps1", "2mass", "allwise"])
    for name in ("zhang23", "zhang23-corrected"):
        law = law_of_name(name)
        r = np.asarray(law.of_bands(more).coefficients(jnp.float32(0.1), jnp.float32(0.9)))
        assert r.shape == (13,)
        np.testing.assert_array_equal(
            r[:11], np.asarray(law.coefficients(jnp.float32(0.1), jnp.float32(0.9)))
        )
        # Far in the infrared dust dims little: W1 by 0.19 and W2 by 0.14 of E(B-V), less than Ks by 0.31.
        assert 0.0 < r[12] < r[11] < r[10]
    constant = ConstantLaw(np.arange(13.0), more)
    assert constant.of_bands(band_set(["gaia", "allwise"])).values == (0.0, 1.0, 2.0, 11.0, 12.0)
    with pytest.raises(InputError, match="none for wise_w1"):
        ConstantLaw(np.arange(11.0)).of_bands(more)


def test_a_set_begins_with_gaia_and_holds_each_band_once() -> None:
    assert band_set(["gaia", "skymapper", "2mass", "allwise"]).survey_ends == {
        "gaia": 3, "skymapper": 9, "2mass": 12, "wise": 14,
    }  # fmt: skip
    with pytest.raises(InputError, match="must begin with gaia_g"):
        band_set(["ps1", "gaia"])
    with pytest.raises(InputError, match="of one release; wise_w1 is there twice"):
        band_set(["gaia", "allwise", "catwise"])
    both = BandSet((*STANDARD.bands, dataclasses.replace(STANDARD[3], name="demo_g")))
    assert both.labels[3] == "ps1_g"
    assert both.labels[-1] == "demo_g"


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"passband": "Bessell.V"}, "passband 'Bessell.V' is none that redflower knows"),
        ({"system": "Vega"}, "system must be 'AB'"),
        ({"error": "demo_g_fluxerr"}, "must be the column of an error in mag"),
        ({"error": None, "flux_error": "x"}, "An error of a flux alone"),
        ({"extinction": {"basis": "A_V", "single": 1.2}}, "got 'A_V'. A / A_V is multiplied by 2.742"),
        ({"extinction": {"basis": "E(B-V), Schlegel et al. 1998", "single": 3.2, "a": 1.0}}, "a polynomial needs"),
        ({"extinction": "nobody_g"}, "'nobody_g' is no published set"),
        ({"colour": "red"}, "unknown entries: colour"),
        ({"label": None}, "absent: label"),
        ({"error_range_mag": [0.2, 0.1]}, "must rise"),
        ({"error_floor_mag": "small"}, "must be a number from 0 to 1"),
    ],
)  # fmt: skip
def test_a_file_that_says_what_cannot_be_is_refused_in_one_message(entries, message) -> None:
    with pytest.raises(InputError) as refused:
        make_survey(changed(**entries), "demo", "--survey demo.toml")
    assert message in str(refused.value)
    assert str(refused.value).startswith("--survey demo.toml, [[bands]] 1")


def test_a_band_comes_back_from_its_specification() -> None:
    for survey in shipped_surveys().values():
        for band in survey.bands:
            assert band_from_spec(json.loads(json.dumps(band.as_spec()))) == band


def test_a_model_carries_its_bands_and_old_ones_are_what_they_were() -> None:
    model = redflower.load_model("mock-sky")
    arrays, header = model_to_parts(model)
    assert "band_set" not in header
    assert header["format_version"] == 5
    assert model.bands == STANDARD
    other = band_set(["gaia", "sdss", "2mass", "galex"])  # as many bands as before, less one
    three = band_set(["gaia"])
    assert star_bands(three) is STANDARD
    # A flow knows no bands: here those of the first twelve are given names of others.
    of = BandSet(other.bands[:11])
    renamed = dataclasses.replace(model, law=law_of_name("zhang23", of))
    arrays, header = model_to_parts(renamed)
    back = model_from_parts(arrays, json.loads(json.dumps(header)))
    assert header["format_version"] == 6
    assert back.bands == of
    assert back.band_names[3] == "sdss_u"
    assert back.model_id == renamed.model_id != model.model_id


@pytest.fixture(scope="module")
def with_wise():
    return redflower.simulate(400, seed=3, population="sky", clouds=[], surveys=("allwise",))


def test_further_surveys_change_nothing_of_what_the_others_see(with_wise) -> None:
    plain = redflower.simulate(400, seed=3, population="sky", clouds=[])
    for name in plain.colnames:
        np.testing.assert_array_equal(np.asarray(with_wise[name]), np.asarray(plain[name]))
    # Stars without metal bands in the way: Ks - W1 is within 0.15 mag of nought for all but the coolest stars.
    seen = np.isfinite(with_wise["ks_m"]) & np.isfinite(with_wise["w1mpro"])
    assert seen.sum() > 50
    assert abs(float(np.median(np.asarray(with_wise["ks_m"] - with_wise["w1mpro"])[seen]))) < 0.1


def test_w1_and_w2_are_cut_by_the_flags_of_allwise(with_wise) -> None:
    raw = with_wise.copy()
    seen = np.flatnonzero(np.isfinite(raw["w2mpro"]))
    first, second, third, fourth = seen[:4]
    flags = np.asarray(raw["wise_cc_flags"]).astype("U4")
    quality = np.asarray(raw["wise_ph_qual"]).astype("U4")
    flags[first], quality[second] = "0H00", "CAUU"
    raw["wise_cc_flags"], raw["wise_ph_qual"] = flags, quality
    raw["wise_ext_flag"][third] = 1
    prepared = redflower.prepare(raw, purpose="inference").table
    assert table_bands(prepared).labels == (*STANDARD.labels, "W1", "W2")
    w1, w2 = (np.isfinite(prepared[name]) for name in ("wise_w1", "wise_w2"))
    assert [w1[first], w2[first]] == [True, False]
    assert [w1[second], w2[second]] == [False, True]
    assert [w1[third], w2[third]] == [False, False]
    assert [w1[fourth], w2[fourth]] == [True, True]
    assert str(table_scale(prepared)).endswith("wise=allwise")


def test_an_old_model_leaves_the_bands_that_it_does_not_know(with_wise) -> None:
    table = redflower.prepare(with_wise, purpose="inference").table
    plain = redflower.prepare(
        with_wise[[n for n in with_wise.colnames if not n.startswith(("w1", "w2", "wise"))]],
        purpose="inference",
    ).table
    model = redflower.load_model("archive-sky")
    assert unused_bands(table, model.bands) == ("W1", "W2")
    from redflower.catalogue import default_distance_prior

    with_them, without = (
        to_stars(t, default_distance_prior(), scale=model.scale()).stars for t in (table, plain)
    )
    np.testing.assert_array_equal(np.asarray(with_them.magnitude_mag), np.asarray(without.magnitude_mag))


def test_a_users_survey_is_prepared_without_touching_code(with_wise, tmp_path) -> None:
    raw = with_wise.copy()
    raw["demo_g_mag"], raw["demo_g_err"] = raw["g_mean_psf_mag"], raw["g_mean_psf_mag_error"]
    path = tmp_path / "demo.toml"
    path.write_text(demo_file())
    prepared = redflower.prepare(raw, purpose="training", surveys=[path]).table
    bands = table_bands(prepared)
    assert bands.names[-1] == "demo_g"
    assert bands.bands[-1].extinction.single == 3.2
    assert "demo" in str(table_scale(prepared))
    told = redflower.prepare(raw, purpose="training", surveys=["gspc"]).report.notes
    assert any(note.startswith("survey gspc: the catalogue has no covariance") for note in told)
    of_model = band_set(["gaia", path, "allwise"])
    from redflower.catalogue import default_distance_prior

    stars = to_stars(prepared, default_distance_prior(), bands=of_model).stars
    assert stars.magnitude_mag.shape[1] == 6
    seen = np.asarray(stars.observed)[:, 3]
    np.testing.assert_allclose(
        np.asarray(stars.magnitude_mag)[seen, 3], np.asarray(raw["g_mean_psf_mag"])[seen], rtol=1e-6
    )


def test_a_magnitude_in_the_wrong_system_and_an_error_in_flux_are_refused_in_the_table_too(with_wise) -> None:
    import astropy.units as u

    raw = with_wise.copy()
    raw["w1mpro"] = np.asarray(raw["w1mpro"]) * u.ABmag
    with pytest.raises(InputError, match="must hold Vega magnitudes"):
        redflower.prepare(raw, purpose="inference")
    raw = with_wise.copy()
    raw["w1mpro_error"] = np.asarray(raw["w1mpro_error"]) * u.Jy
    with pytest.raises(InputError, match="w1mpro_error"):
        redflower.prepare(raw, purpose="inference")
    with pytest.raises(InputError, match="are releases of one survey"):
        redflower.prepare(with_wise, purpose="inference", surveys=["allwise", "catwise"])


def test_the_command_lists_surveys_describes_one_and_checks_a_file(tmp_path) -> None:
    from typer.testing import CliRunner

    from redflower.cli.app import app

    run = CliRunner()
    listed = run.invoke(app, ["surveys"]).output
    assert "allwise: W1 W2" in listed
    assert "skymapper: u_sm v_sm g_sm r_sm i_sm z_sm" in listed
    told = run.invoke(app, ["surveys", "decam"]).output
    assert "no extinction coefficient" in told
    shown = run.invoke(app, ["surveys", "allwise", "--show"]).output
    assert shown == survey_text("allwise")
    path = tmp_path / "mine.toml"
    path.write_text(shown)
    assert run.invoke(app, ["surveys", str(path)]).output.startswith("mine: AllWISE")
    path.write_text(shown.replace('system = "Vega"', 'system = "AB"'))
    assert isinstance(run.invoke(app, ["surveys", str(path)]).exception, InputError)
    assert isinstance(run.invoke(app, ["surveys", "nobody"]).exception, InputError)


@pytest.mark.slow
def test_a_users_survey_goes_from_its_file_to_posteriors(with_wise, tmp_path) -> None:
    """Prepared, trained behind Gaia's bands without Pan-STARRS1, and inferred by chains, all with the survey's file alone."""
    from redflower.posterior import InferenceSettings, NutsSettings
    from redflower.train import EmulatorConfig, FlowConfig, StageConfig, TrainConfig

    raw = redflower.simulate(900, seed=3, population="sky", clouds=[], g_faint_mag=18.0, surveys=("allwise",))
    raw["demo_g_mag"], raw["demo_g_err"] = raw["g_mean_psf_mag"], raw["g_mean_psf_mag_error"]
    path = tmp_path / "demo.toml"
    path.write_text(demo_file())
    prepared = redflower.prepare(raw, purpose="training", surveys=[path]).table
    quick = TrainConfig(
        flow=FlowConfig(depth=1, block_dim=2),
        stages=(StageConfig(n_draws=2, batch_size=128, max_epochs=2),),
        emulator=EmulatorConfig(n_steps=0),
    )
    model, _ = redflower.train(
        prepared, name="demo", surveys=["gaia", path, "2mass", "allwise"], config=quick
    )
    assert model.bands.labels == ("G", "BP", "RP", "g_demo", "J", "H", "Ks", "W1", "W2")
    back = redflower.load_model(redflower.save_model(model, tmp_path / "demo-model"))
    assert back.model_id == model.model_id
    settings = InferenceSettings(
        engine="nuts", nuts=NutsSettings(n_chains=2, n_warmup=60, n_draws=60), batch_size=4
    )
    post = redflower.infer(prepared[:4], back, settings=settings, workers=1)
    assert np.isfinite(post["ebv_mean"]).all()
    assert "g_demo" in str(post["bands"][0])
    # A model of all of these bands grows from one of the first ones; another order is refused.
    grown, result = redflower.train(
        prepared,
        name="grown",
        surveys=["gaia", path, "2mass", "allwise", "ps1"],
        config=quick,
        start_from=back,
    )
    assert grown.n_bands == 14
    assert np.isfinite(result.validation_log_evidence)
    with pytest.raises(InputError, match="must begin with them"):
        redflower.train(prepared, surveys=["gaia", "ps1", path, "2mass"], config=quick, start_from=back)
