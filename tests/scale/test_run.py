"""One command from a table to a page: what it leaves, which model it takes, and that its commands do the same by hand."""

import json
import shlex
import shutil
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from astropy.table import vstack

import redflower
from redflower.errors import InputError
from redflower.products import redraw
from redflower.products.words_clouds import cloud_facts
from redflower.scale.run_dust import bin_edges_pc
from redflower.scale.run_states import read_runs
from tests.cli.test_commands import run as run_command

N_GOOD, N_FAINT = 70, 8
#: Rows of the table: two stars have no position, and one row is there twice.
N_ROWS = N_GOOD + N_FAINT + 3
#: Of the clouds of the preset ``two-cloud`` together.
TOTAL_EBV_MAG = 0.12 + 0.08


@pytest.fixture(scope="module")
def table(tmp_path_factory) -> Path:
    sky = redflower.simulate(N_GOOD + 2, seed=3, preset="two-cloud", g_faint_mag=17.5)
    sky.remove_columns(["l", "b"])
    sky["ra"][:2] = np.nan
    faint = redflower.simulate(N_FAINT, seed=4, preset="two-cloud", g_bright_mag=19.2, g_faint_mag=20.0)
    faint.remove_columns(["l", "b"])
    rows = vstack([sky, faint, sky[5:6]], metadata_conflicts="silent")
    return redflower.write_table(rows, tmp_path_factory.mktemp("run") / "stars.csv")


@pytest.fixture(scope="module")
def result(table: Path):
    return redflower.run(table, table.parent / "out", duplicates="keep_first", progress=False)


def test_a_run_leaves_tables_and_one_page_with_the_facts_first(result) -> None:
    folder = result.folder
    assert {path.name for path in folder.iterdir()} == {
        "index.html", "stars.parquet", "posteriors.parquet", "bins.ecsv", "cuts.json", "run.json", "request.json",
        "posteriors.parquet.run.json", "reddening-distance.png", "left_out.parquet",
    }  # fmt: skip
    page = (folder / "index.html").read_text()
    facts = [
        page.index(text)
        for text in ("Is the model right", "How many stars can be used", "How much dust", "<img")
    ]
    assert facts == sorted(facts)
    usable = redflower.usable_rows(result.posteriors).sum()
    assert f"{usable:,} of {N_ROWS}" in page
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


@pytest.mark.parametrize(
    "change",
    [None, [], {"provenance": []}, {"provenance": {"verdict": 3}}, {"mean_reddening": 1}, {"statuses": 3}, {"clouds": {}}],
)  # fmt: skip
def test_numbers_of_a_run_that_others_changed_are_one_message(result, tmp_path, change) -> None:
    for name in ("run.json", "posteriors.parquet", "stars.parquet", "bins.ecsv"):
        shutil.copy(result.folder / name, tmp_path)
    numbers = json.loads((tmp_path / "run.json").read_text())
    (tmp_path / "run.json").write_text(
        json.dumps({**numbers, **change} if isinstance(change, dict) else change)
    )
    with pytest.raises(InputError, match="another program changed them|is damaged|did not write"):
        redraw(tmp_path)


def test_no_star_vanishes_without_a_word(result, table) -> None:
    """Every row of the table is inferred, or counted on the page and in the command's words, and named in a file."""
    left_out = redflower.read_table(result.folder / "left_out.parquet")
    assert Counter(np.asarray(left_out["cut"]).astype(str)) == {"position": 2, "faint limit": N_FAINT}
    raw = np.genfromtxt(table, delimiter=",", names=True, dtype=None, encoding=None)["source_id"]
    ids = [*np.asarray(result.posteriors["source_id"]), *np.asarray(left_out["source_id"])]
    assert sorted(ids) == sorted(set(raw))
    page = (result.folder / "index.html").read_text()
    usable = int(redflower.usable_rows(result.posteriors).sum())
    assert f"{usable:,} of {N_ROWS}" in page
    assert "1 row repeats a star" in page
    assert f"{2 + N_FAINT} were cut: 2 by position" in page
    assert f"{N_FAINT} by faint limit (G &lt; 19 mag)" in page
    assert "left_out.parquet" in page
    if usable < N_GOOD:
        assert f"{N_GOOD - usable} more cannot be used" in page


def test_a_stopped_run_goes_on_to_the_same_tables(result, table, tmp_path, monkeypatch) -> None:
    out = tmp_path / "again"

    def stopped(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(sys.modules["redflower.scale.run"], "dust_of", stopped)
        with pytest.raises(KeyboardInterrupt):
            redflower.run(table, out, duplicates="keep_first", progress=False)
    with pytest.raises(InputError, match="Go on with it by --resume"):
        redflower.run(table, out, progress=False)
    for other, differs in (({"seed": 1}, "seed"), ({"zero_point": "none"}, "stars_sha256")):
        with pytest.raises(InputError, match=f"differs from what is asked now in {differs}"):
            redflower.run(table, out, duplicates="keep_first", resume=True, progress=False, **other)
    before = (out / "posteriors.parquet").stat().st_mtime_ns
    again = redflower.run(table, out, duplicates="keep_first", resume=True, progress=False)
    assert (out / "posteriors.parquet").stat().st_mtime_ns == before
    np.testing.assert_array_equal(again.posteriors["ebv_mean"], result.posteriors["ebv_mean"])
    assert again.numbers["mean_reddening"] == result.numbers["mean_reddening"]


@pytest.mark.slow
def test_a_run_finds_the_clouds_and_maps_the_sky(result, table, capsys, monkeypatch, tmp_path) -> None:
    """Asked for afterwards, by `--resume`: the page has both, and the stars are not inferred again."""
    out = tmp_path / "out"
    shutil.copytree(result.folder, out)
    before = (out / "posteriors.parquet").stat().st_mtime_ns
    again = ("run", table, out, "--keep-first", "--resume", "--map", "--nside", "1")
    code, told, said = run_command(capsys, monkeypatch, *again, "--sightline")
    assert code == 0, said
    assert (out / "posteriors.parquet").stat().st_mtime_ns == before
    page = (out / "index.html").read_text()
    assert "clouds/report.html" in page
    assert page.count("data:image/png;base64") == 5
    clouds = json.loads((out / "clouds" / "clouds.json").read_text())
    fact = cloud_facts(clouds)[0].value
    assert fact in page
    assert fact in told
    assert (out / "clouds" / "report.html").is_file()
    sky_map = redflower.read_sky_map(out / "sky.fits")
    assert len(sky_map.pixel) == 1
    # Both clouds of the preset are nearer than 2 kpc. Some 20 stars lie behind, each good to 0.05 mag: three of their errors.
    behind = sky_map.ebv_mag[0, list(sky_map.distance_pc).index(2000.0)]
    assert behind == pytest.approx(TOTAL_EBV_MAG, abs=3 * 0.05 / 20**0.5)
    runs = {one.out: one for one in read_runs(out)}
    assert set(runs) == {"posteriors.parquet", "sky.fits"}
    assert runs["sky.fits"].state == "whole"
    assert runs["sky.fits"].facts[0].startswith("1 pixels, ")
    assert "by redflower run --map in" in runs["sky.fits"].facts[0]
    written = (out / "sky.fits").stat().st_mtime_ns
    assert run_command(capsys, monkeypatch, *again)[0] == 0
    assert (out / "sky.fits").stat().st_mtime_ns == written


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
    # The literature has 0.04 mag. A mean that is further off than archive-sky is good for must not come with a green verdict:
    # Gaia's DR2 has RP of this cluster some 0.02 mag off what the model expects.
    off_mag = abs(result.numbers["mean_reddening"]["ebv_mag"] - 0.04)
    assert off_mag < 0.015 or not result.verdict.good
    assert off_mag < 0.03
