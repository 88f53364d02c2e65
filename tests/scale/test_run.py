"""One command from a table to a page: what it leaves, which model it takes, and that its commands do the same by hand."""

import json
import shlex
from pathlib import Path

import numpy as np
import pytest

import redflower
from redflower.errors import InputError
from redflower.products import redraw
from redflower.scale.run import bin_edges_pc
from tests.cli.test_commands import run as run_command

N_STARS = 70


@pytest.fixture(scope="module")
def table(tmp_path_factory) -> Path:
    sky = redflower.simulate(N_STARS, seed=3, preset="two-cloud", g_faint_mag=17.5)
    return redflower.write_table(sky, tmp_path_factory.mktemp("run") / "stars.csv")


@pytest.fixture(scope="module")
def result(table: Path):
    return redflower.run(table, table.parent / "out", progress=False)


def test_a_run_leaves_tables_and_one_page_with_the_facts_first(result) -> None:
    folder = result.folder
    assert {path.name for path in folder.iterdir()} == {
        "index.html", "stars.parquet", "posteriors.parquet", "bins.ecsv", "cuts.json", "run.json",
        "posteriors.parquet.run.json", "reddening-distance.png",
    }  # fmt: skip
    page = (folder / "index.html").read_text()
    facts = [
        page.index(text)
        for text in ("Is the model right", "How many stars can be used", "How much dust", "<img")
    ]
    assert facts == sorted(facts)
    usable = redflower.usable_rows(result.posteriors).sum()
    assert f"{usable:,} of {N_STARS}" in page
    assert page.count("data:image/png;base64") == 4
    assert "src='http" not in page
    assert all(
        shlex.quote(part) in page or part in page for line in result.commands for part in shlex.split(line)
    )
    assert len(repr(result)) < 400


def test_mock_stars_get_the_model_of_the_mock_sky_and_others_that_of_the_archives(result) -> None:
    assert result.numbers["model"].startswith("mock-sky")
    assert "trained on" in result.numbers["model_why"]


def test_the_commands_of_a_run_do_the_same_by_hand(result, tmp_path, capsys, monkeypatch) -> None:
    for line in result.commands:
        arguments = shlex.split(line.replace(str(result.folder), str(tmp_path)))
        assert arguments[0] == "redflower"
        code, _, said = run_command(capsys, monkeypatch, *arguments[1:])
        assert code in (0, 1), said
    whole, by_hand = (
        redflower.read_table(folder / "posteriors.parquet") for folder in (result.folder, tmp_path)
    )
    assert list(whole["source_id"]) == list(by_hand["source_id"])
    for name in ("ebv_mean", "distance_mean", "density"):
        np.testing.assert_array_equal(np.asarray(whole[name]), np.asarray(by_hand[name]))


def test_the_mean_is_that_of_redflower_and_of_its_bins(result) -> None:
    mean = redflower.mean_reddening(result.folder / "posteriors.parquet")
    stated = json.loads((result.folder / "run.json").read_text())["mean_reddening"]
    assert stated["n_stars"] <= mean.n_stars
    assert stated["ebv_mag"] == pytest.approx(mean.ebv_mag, abs=mean.ebv_error_mag)
    bins = redflower.read_table(result.folder / "bins.ecsv")
    assert bins["n_stars"].sum() == stated["n_stars"]
    assert bins["ebv_mean"].unit == "mag"


def test_plot_draws_the_page_of_a_run_again(result, capsys, monkeypatch) -> None:
    before = (result.folder / "index.html").read_bytes()
    (result.folder / "index.html").unlink()
    redraw(result.folder)
    assert (result.folder / "index.html").read_bytes() == before


def test_a_run_overwrites_nothing(result, table) -> None:
    with pytest.raises(InputError, match="exists already and is not empty"):
        redflower.run(table, result.folder, progress=False)


def test_edges_hold_all_stars_and_rise() -> None:
    rng = np.random.default_rng(0)
    distance = rng.lognormal(np.log(900.0), 0.3, 1000)
    edges = bin_edges_pc(distance)
    assert (np.diff(edges) > 0).all()
    assert edges[0] <= distance.min()
    assert edges[-1] > distance.max()
    assert len(bin_edges_pc(np.full(30, 850.0))) == 2


@pytest.mark.slow
def test_m67_as_vizier_delivers_it_takes_one_command(shared_data, tmp_path) -> None:
    from benchmarks.speed.first_figure import PHOTOMETRY, vizier_table

    table = vizier_table(shared_data / "m67_gaiadr2_ps1_2mass.fits")
    result = redflower.run(table, tmp_path / "m67", photometry=PHOTOMETRY, progress=False)
    assert result.numbers["model"].startswith("archive-sky")
    assert all(n > 0 for n in result.numbers["bands"].values())
    # The literature has 0.04 mag; archive-sky is good to 0.01 mag on such stars (docs/measured/archive-sky.md).
    assert result.numbers["mean_reddening"]["ebv_mag"] == pytest.approx(0.04, abs=0.015)
