"""What `redflower sightline` and `redflower plot` leave, and what they refuse."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import redflower
from redflower.api.sightlines import sightline_rows
from redflower.calibrate.verdict import Verdict
from redflower.errors import InputError
from redflower.plot.sightline import sightline_figure
from redflower.posterior import Flag, joint_density
from redflower.products import redraw, write_sightline
from redflower.products.sightline import SightlineResult
from redflower.products.words_clouds import cloud_facts, clouds_sentence, percent
from redflower.sightline import TemperingSettings
from tests.cli.test_commands import run
from tests.helpers.open_everywhere import check_folder_opens
from tests.helpers.sightlines import posterior_table

QUICK = TemperingSettings(n_particles=100, n_moves=3, n_final=8)


@pytest.fixture(scope="module")
def result() -> SightlineResult:
    table = posterior_table(120, [(400.0, 0.2)])
    table["density_ebv_start"][7] = np.nan
    table["ebv_mean"][7] = np.nan
    return redflower.sightline(table, max_clouds=2, settings=QUICK)


@pytest.fixture(scope="module")
def folder(result: SightlineResult, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sightline") / "out"
    write_sightline(result, path)
    return path


def test_the_folder_holds_tables_with_units_figures_and_one_page(folder: Path) -> None:
    numbers = json.loads((folder / "clouds.json").read_text())
    assert numbers["n_stars"] == 119
    assert sum(numbers["probability"].values()) == pytest.approx(1.0)
    assert numbers["provenance"]["input"]["stage"] == "posteriors"
    clouds = redflower.read_table(folder / "clouds.ecsv")
    assert len(clouds) == numbers["most_probable_number"] >= 1
    for name in ("distance_pc", "ebv_mag"):
        assert {name, f"{name}_std", f"{name}_q16", f"{name}_q84"} <= set(clouds.colnames)
    assert clouds["distance_pc"].unit == "pc"
    assert clouds["ebv_mag"].unit == "mag"
    assert np.sum(clouds["ebv_mag"]) == pytest.approx(0.2, abs=0.04)
    profile = redflower.read_table(folder / "profile.ecsv")
    assert profile["ebv_q50"].unit == "mag"
    bins = redflower.read_table(folder / "bins.ecsv")
    assert np.sum(bins["n_stars"]) == pytest.approx(119, abs=3)
    assert {"ebv_mean", "ebv_error", "ebv_mean_of_means"} <= set(bins.colnames)
    many = bins["n_stars"] > 10
    # The prior draws posterior means inward by a few hundredths of a magnitude at most.
    np.testing.assert_allclose(bins["ebv_mean"][many], bins["ebv_mean_of_means"][many], atol=0.03)
    stars = redflower.read_table(folder / "stars.parquet")
    assert len(stars) == 120
    assert not stars["in_fit"][7]
    for name in ("reddening-distance", "reddening-distance-bins", "clouds", "odds", "histogram", "sky"):
        for ending in ("png", "pdf", "svg"):
            assert (folder / f"{name}.{ending}").stat().st_size > 2000
    page = (folder / "report.html").read_text()
    assert page.count("data:image/png;base64") == 6
    assert "src='http" not in page
    assert "119 of 120 stars were fitted" in page


def judged(good: bool) -> dict[str, Any]:
    text = "these stars are not on this model's photometric scale: i is +24 +- 1.0 mmag off"
    return Verdict(((good, text), (True, "parallaxes are fine")), {"i": 0.024}, {"i": 0.001}).as_dict()


@pytest.mark.parametrize(("good", "words"), [(True, "the model is right"), (False, "THE MODEL IS NOT RIGHT")])
def test_the_page_begins_with_the_verdict_on_its_stars(result, folder, tmp_path, good, words) -> None:
    provenance = result.summary["provenance"]
    told = provenance | {"input": provenance["input"] | {"verdict": judged(good)}}
    write_sightline(replace(result, summary=result.summary | {"provenance": told}), tmp_path / "out")
    page = (tmp_path / "out" / "report.html").read_text()
    assert 0 < page.index(f"Verdict: {words}") < page.index("119 of 120 stars were fitted")
    assert ("class='verdict wrong'" in page) != good
    assert "Verdict: none came with these stars" in (folder / "report.html").read_text()


def test_a_red_verdict_is_printed_again_by_sightline_and_map(tmp_path, capsys, monkeypatch) -> None:
    table = posterior_table(60, [(400.0, 0.2)])
    for good in (False, True):
        table.meta["redflower"]["verdict"] = judged(good)
        stars = redflower.write_table(table, tmp_path / f"stars-{good}.parquet")
        for command in ("sightline", "map"):
            out = tmp_path / f"{command}-{good}{'.fits' if command == 'map' else ''}"
            options = [
                "--max-clouds",
                "1",
                *(["--nside", "1", "--distances", "1000"] if command == "map" else []),
            ]
            code, _, said = run(capsys, monkeypatch, command, stars, out, *options)
            assert code == 0
            assert ("BAD these stars are not on this model's photometric scale: i is" in said) != good


def test_every_program_opens_what_a_sightline_leaves(folder: Path) -> None:
    # Six tables, clouds.json, six figures of three kinds each, the page.
    assert check_folder_opens(folder) == 6 + 1 + 6 * 3 + 1


def test_plot_says_what_another_program_has_changed(result: SightlineResult, tmp_path: Path) -> None:
    write_sightline(result, tmp_path / "out")
    path = tmp_path / "out" / "profile.ecsv"
    spoilt = redflower.read_table(path)
    spoilt.remove_column("ebv_q50")
    redflower.write_table(spoilt, path, overwrite=True)
    with pytest.raises(InputError, match="lacks 'ebv_q50'"):
        redraw(tmp_path / "out")
    (tmp_path / "out" / "clouds.json").write_text("{")
    with pytest.raises(InputError, match=r"clouds\.json is damaged"):
        redraw(tmp_path / "out")


def test_plot_draws_the_same_figures_from_what_was_saved(folder: Path, capsys, monkeypatch) -> None:
    before = (folder / "odds.png").read_bytes()
    for path in (*folder.glob("*.png"), folder / "report.html"):
        path.unlink()
    code, _, _ = run(capsys, monkeypatch, "plot", folder)
    assert code == 0
    assert (folder / "odds.png").read_bytes() == before
    assert (folder / "report.html").exists()
    assert not list(folder.glob(".*"))


def test_stars_are_not_chosen_by_their_reddening() -> None:
    table = posterior_table(6, [])
    table["status"] = ["ok", "edge_of_prior", "edge_of_prior", "bright_limit", "not_converged", "ok"]
    table["ebv_mean"] = [0.1, -0.03, 0.48, 0.1, 0.1, 0.3]
    table["flags"][5] = int(Flag.LOW_FLOW_PROBABILITY)
    assert sightline_rows(table, joint_density(table)).tolist() == [True, True, True, False, False, False]


def test_the_sentence_says_what_was_found(result: SightlineResult) -> None:
    text = clouds_sentence(result.summary)
    assert "most probable answer" in text
    assert text.startswith("Clouds of at least 0.02 mag: "), "what matters first"
    assert "68 % ranges: " in text
    assert "1 - " not in text
    assert "e-0" not in text
    assert "--scatter" not in text
    assert "per magnitude" not in text


@pytest.mark.parametrize(
    ("share", "words"),
    [
        (1.0, "more than 99.9 %"),
        (0.9992, "99.9 %"),
        (0.997, "99.7 %"),
        (0.66, "66 %"),
        (0.012, "1 %"),
        (0.004, "0.4 %"),
        (8e-5, "less than 0.1 %"),
    ],
)
def test_probabilities_are_said_in_words(share: float, words: str) -> None:
    assert percent(share) == words


def test_the_odds_of_clouds_that_matter_come_first(result: SightlineResult) -> None:
    """M67 as it was: a cloud of 0.009 mag is the most probable answer, and none of 0.02 mag stands there."""
    numbers = json.loads(json.dumps(result.summary, default=float))
    numbers["probability_of_clouds_above_mag"]["0.02"] = [0.99915, 0.0008, 0.00005]
    count, _ = cloud_facts(numbers)
    assert count.value == "no cloud (99.9 %)"
    assert count.question == "How many clouds of at least 0.02 mag?"


def test_more_clouds_are_said_to_be_a_limit_on_weak_ones(result: SightlineResult) -> None:
    """One cloud is most probable; odds of 0.4 for more say only that weak ones cannot be excluded. A folder of before has the
    odds alone."""
    numbers = json.loads(json.dumps(result.summary, default=float)) | {
        "most_probable_number": 1,
        "at_least": {"1": 1.0, "2": 0.4},
        "further_cloud_below_mag": 0.0123,
    }
    text = clouds_sentence(numbers)
    assert (
        "A further cloud is weaker than 0.012 mag, at 95 % (more clouds, of any weakness, have 40 %)" in text
    )
    del numbers["further_cloud_below_mag"]
    assert "more clouds, weak ones that nothing rules out, have 40 %" in clouds_sentence(numbers)


def test_the_profile_has_shortest_intervals_with_units(result: SightlineResult) -> None:
    """They are no longer than the intervals between quantiles, but for one draw of hundreds at either end."""
    profile = result.profile
    for prefix in ("ebv", "ebv_monotone"):
        for low, high, q_low, q_high in (
            ("low68", "high68", "q16", "q84"),
            ("low90", "high90", "q05", "q95"),
        ):
            width = profile[f"{prefix}_{high}"] - profile[f"{prefix}_{low}"]
            assert (width <= profile[f"{prefix}_{q_high}"] - profile[f"{prefix}_{q_low}"] + 0.005).all()
            assert (width >= 0).all()
            assert profile[f"{prefix}_{low}"].unit == "mag"


def test_the_sentence_warns_of_a_scatter_at_its_limit_and_tells_the_drift(result: SightlineResult) -> None:
    numbers = json.loads(json.dumps(result.summary, default=float)) | {"scatter_mag": 0.028}
    assert "0.028 mag more than their errors, about all that the prior allows (0.03 mag)" in clouds_sentence(
        numbers
    )
    numbers |= {"drift_mag_per_mag": 0.012, "drift_mag_per_mag_std": 0.003}
    assert "changing by +0.0120 ± 0.0030 mag per magnitude of distance modulus" in clouds_sentence(numbers)


def test_the_curves_of_the_figure_follow_the_zero_point(result: SightlineResult) -> None:
    """0.012 mag per mag between the distances searched: what the stars show and the profile leaves out."""
    numbers = result.summary | {"drift_mag_per_mag": 0.012, "searched_pc": [200.0, 2000.0]}
    names = ("stars", "profile", "bins", "clouds", "comparisons")
    figure = sightline_figure(*(getattr(result, name) for name in names), numbers, log=True)
    (line,) = (one for one in figure.axes[0].get_lines() if str(one.get_label()).startswith("clouds: median"))
    distance_pc, shown = (np.asarray(values) for values in line.get_data())
    shift = shown - np.asarray(result.profile["ebv_q50"]) - numbers["foreground_mag"]
    expected = 0.012 * 5.0 * np.log10(np.clip(distance_pc, 200.0, 2000.0) / 200.0)
    np.testing.assert_allclose(shift, expected, atol=1e-12)
    assert shift.max() > 0.05


def test_the_same_seed_gives_the_same_clouds() -> None:
    table = posterior_table(30, [(400.0, 0.2)], seed=1)
    first, again = (
        redflower.sightline(table, max_clouds=1, settings=QUICK, seed=3).summary for _ in range(2)
    )
    assert first["clouds"] == again["clouds"]


@pytest.mark.parametrize(
    ("damage", "message"),
    [("no density", "--density"), ("csv", "csv"), ("folder", "not empty"), ("no parent", "Make it first")],
)
def test_bad_input_is_one_message(tmp_path: Path, capsys, monkeypatch, damage: str, message: str) -> None:
    table = posterior_table(10, [])
    stars, out = tmp_path / "posteriors.parquet", tmp_path / "out"
    if damage == "no density":
        table.remove_column("density")
    if damage == "folder":
        out.mkdir()
        (out / "mine.txt").write_text("keep me")
    if damage == "no parent":
        out = tmp_path / "none" / "out"
    if damage == "csv":
        stars = tmp_path / "posteriors.csv"
        stars.write_text("")
    else:
        redflower.write_table(table, stars)
    code, _, err = run(capsys, monkeypatch, "sightline", stars, out)
    assert code == 2
    assert message in " ".join(err.split())
    assert "Traceback" not in err
    if damage == "folder":
        assert [p.name for p in out.iterdir()] == ["mine.txt"]
    else:
        assert not out.exists()


def test_plot_refuses_a_folder_without_results(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"clouds\.json or .*summary\.json"):
        redraw(tmp_path)
