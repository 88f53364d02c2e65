"""Another extinction law, and bands left out: `--law`, `--without`."""

import json

import numpy as np
import pytest

import redflower
from redflower.bands import BANDS
from redflower.catalogue import to_stars
from redflower.catalogue.band_names import bands_named
from redflower.catalogue.law_file import named_law
from redflower.catalogue.maps.distance_prior import default_distance_prior
from redflower.errors import InputError
from redflower.physics import ConstantLaw, law_of_name
from redflower.scale import infer_file
from tests.cli.test_commands import run

N_STARS = 24


@pytest.fixture(scope="module")
def stars():
    sky = redflower.simulate(N_STARS, seed=5, clouds=[(100.0, 0.4)], g_faint_mag=17.0)
    return redflower.prepare(sky, purpose="inference").table


@pytest.fixture(scope="module")
def model():
    return redflower.load_model("mock-sky")


@pytest.fixture(scope="module")
def posteriors(stars, model):
    return redflower.infer(stars, model, progress=False)


def test_a_band_left_out_is_missing_in_every_star(stars) -> None:
    prior = default_distance_prior()
    plain, without = (to_stars(stars, prior, without=names).stars for names in ((), ("y", "ps1_g")))
    kept = np.ones(len(BANDS), dtype=bool)
    kept[[3, 7]] = False
    observed = np.asarray(plain.observed)
    assert observed[:, ~kept].any()
    np.testing.assert_array_equal(np.asarray(without.observed), observed & kept)
    np.testing.assert_array_equal(
        np.asarray(without.magnitude_mag)[:, kept], np.asarray(plain.magnitude_mag)[:, kept]
    )


@pytest.mark.slow
def test_inference_without_a_band_is_that_of_stars_without_it(
    stars, model, tmp_path, capsys, monkeypatch
) -> None:
    """The same rows to the last bit as without the magnitudes in the table, in Python, from a file and by the command."""
    bare = stars.copy()
    for name in ("ps1_y", "ps1_y_error"):
        bare[name] = np.nan
    wanted = redflower.infer(bare, model, progress=False)
    path = redflower.write_table(stars, tmp_path / "stars.parquet")
    found = redflower.infer(stars, model, without=["y"], progress=False)
    code, _, said = run(
        capsys,
        monkeypatch,
        "infer",
        path,
        tmp_path / "p.parquet",
        "--model",
        "mock-sky",
        "--without",
        "ps1_y",
    )
    assert code == 0, said
    for table in (found, redflower.read_table(tmp_path / "p.parquet")):
        np.testing.assert_array_equal(np.asarray(table["ebv_mean"]), np.asarray(wanted["ebv_mean"]))
        assert not any("y" in str(bands).split() for bands in table["bands"])
        assert table.meta["redflower"]["without_bands"] == ["y"]


@pytest.mark.slow
def test_a_law_with_more_extinction_finds_less_reddening(posteriors, stars, model) -> None:
    """E times R is what the stars tell: with R a quarter larger, E is a fifth smaller."""
    middle = np.asarray(model.law.coefficients(0.0, 0.8))
    plain, more = (
        redflower.infer(stars, model.with_law(ConstantLaw(factor * middle)), progress=False)
        for factor in (1.0, 1.25)
    )
    assert more.meta["redflower"]["model"]["law"]["name"] == "constant"
    assert more.meta["redflower"]["model"]["id"] != posteriors.meta["redflower"]["model"]["id"]
    both = redflower.usable_rows(plain) & redflower.usable_rows(more)
    ratio = np.median(np.asarray(more["ebv_mean"])[both] / np.asarray(plain["ebv_mean"])[both])
    # Each star's E moves within its own posterior, 0.03 of 0.4 mag, as the prior and the colours' width have it.
    assert ratio == pytest.approx(1 / 1.25, abs=0.03)


def test_a_law_comes_by_name_or_from_a_file(tmp_path) -> None:
    assert named_law("zhang23").name == "zhang23"
    by_band = {band.label: 1.0 + k / 10 for k, band in enumerate(BANDS)}
    lines = "\n".join(f"{label} = {value}" for label, value in by_band.items())
    (tmp_path / "law.toml").write_text(f"[coefficients]\n{lines}\n")
    (tmp_path / "law.json").write_text(
        json.dumps({"name": "constant", "coefficients": list(by_band.values())})
    )
    for name in ("law.toml", "law.json"):
        law = named_law(tmp_path / name)
        np.testing.assert_allclose(law.coefficients(0.3, 0.8), list(by_band.values()), rtol=1e-6)
    (tmp_path / "table.json").write_text(
        json.dumps({"name": "table", "bp_rp_mag": [0.5, 1.5], "coefficients": [[3.0] * 11, [1.0] * 11]})
    )
    np.testing.assert_allclose(named_law(tmp_path / "table.json").coefficients(0.0, 1.0), 2.0, rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("no-law", None, "must be one of zhang23-corrected, zhang23, or a file"),
        ("absent.toml", None, "cannot be read"),
        ("bad.json", "{", "is not JSON"),
        ("few.toml", "[coefficients]\nG = 2.0\nw1 = 0.2\n", "unknown: w1; lacking: BP, RP, g, r"),
        ("short.json", '{"coefficients": [1.0]}', "needs 11 numbers"),
    ],
)
def test_a_law_that_is_none_is_refused(tmp_path, name, content, message) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match=message):
        named_law(path if "." in name else name)


def test_bands_are_told_by_their_case() -> None:
    assert bands_named(["g", "gaia_g", "Ks"]) == (0, 3, 10)
    with pytest.raises(InputError, match="there is no band 'w1'"):
        bands_named(["w1"])


def test_too_few_bands_left_are_refused(stars, model, tmp_path) -> None:
    without = [band.label for band in BANDS[2:]]
    with pytest.raises(InputError, match="3 bands at least are needed; 2 would be left"):
        redflower.infer(stars, model, without=without)
    path = redflower.write_table(stars, tmp_path / "s.parquet")
    with pytest.raises(InputError, match="3 bands at least are needed"):
        infer_file(path, tmp_path / "p.parquet", model, without=without)
    assert law_of_name(None).name == "zhang23-corrected"
