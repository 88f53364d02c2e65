"""`redflower.combine_sightlines` and `redflower neighbours`: what they leave, and what they refuse."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import redflower
from redflower.errors import InputError
from redflower.products import redraw, write_sightline
from redflower.products.sightline import SightlineResult
from redflower.sightline import DustPrior, SharingSettings, TemperingSettings

from ..cli.test_commands import run
from ..helpers.sightlines import posterior_table

QUICK = TemperingSettings(n_particles=60, n_moves=2, n_final=8)
SHORT = SharingSettings(n_chains=2, n_warmup=20, n_kept=40)


def table_of(number: int):
    """Stars of one of several sightlines, half a degree from the next, behind a cloud that all share."""
    table = posterior_table(60, [(450.0, 0.15)], seed=number)
    table["source_id"] += 1000 * number
    table["l"] += 0.5 * number
    return table


@pytest.fixture(scope="module")
def fits() -> list[SightlineResult]:
    return [redflower.sightline(table_of(k), max_clouds=2, settings=QUICK) for k in range(3)]


@pytest.fixture(scope="module")
def folders(fits, tmp_path_factory) -> list[Path]:
    place = tmp_path_factory.mktemp("region")
    paths = [place / name for name in ("north", "middle", "south")]
    for fit, path in zip(fits, paths, strict=True):
        write_sightline(fit, path)
    return paths


def test_fits_are_combined_from_results_and_from_folders_alike(fits, folders) -> None:
    one = redflower.combine_sightlines(fits, settings=SHORT, seed=3)
    two = redflower.combine_sightlines(folders, settings=SHORT, seed=3)
    np.testing.assert_allclose(one.odds["probability"], two.odds["probability"], rtol=1e-6)
    assert set(two.odds["sightline"]) == {"north", "middle", "south"}
    assert len(two.odds) == 9
    for name in ("probability", "probability_before"):
        np.testing.assert_allclose(np.asarray(two.odds[name]).reshape(3, 3).sum(axis=1), 1.0, rtol=1e-9)
    stated = [fit.summary["probability"][str(n)] for fit in fits for n in range(3)]
    np.testing.assert_allclose(two.odds["probability_before"], stated, rtol=1e-9)
    other = redflower.combine_sightlines(folders, settings=SHORT, seed=4)
    assert not np.array_equal(other.odds["probability"], two.odds["probability"])


def test_tables_have_units_provenance_and_what_was_before(fits) -> None:
    result = redflower.combine_sightlines(fits, settings=SHORT)
    for name in ("distance_pc_q50", "distance_pc_q50_before", "distance_pc_std"):
        assert result.clouds[name].unit == "pc"
    assert result.clouds["ebv_mag_q16_before"].unit == "mag"
    assert result.density["distance"].unit == result.draws["distance"].unit == "pc"
    for table in (result.clouds, result.odds, result.density, result.draws):
        provenance = table.meta["redflower"]
        assert provenance["stage"] == "neighbours"
        assert set(provenance["inputs"]) == {"sightline 1", "sightline 2", "sightline 3"}
        assert provenance["settings"]["widths"] == (0.05, 0.15)
    # One draw's clouds share its weight, and draws of no clouds have the rest.
    first = result.draws[result.draws["sightline"] == "sightline 1"]
    first = first[first["cloud"] == 1]
    none = result.summary["sightlines"][0]["probability"]["0"]
    assert np.sum(first["weight"]) + none == pytest.approx(1.0)
    assert result.summary["provenance"]["largest_separation_deg"] == pytest.approx(0.93, abs=0.05)
    assert "sightlines 3" in repr(result)
    assert "<table>" in result._repr_html_()


def changed(fit: SightlineResult, **provenance) -> SightlineResult:
    """A fit that says it was made otherwise."""
    made = {**fit.summary["provenance"], **provenance}
    return replace(fit, summary={**fit.summary, "provenance": made})


def placed(fit: SightlineResult, l_deg: float | None) -> SightlineResult:
    return replace(fit, summary={**fit.summary, "l_deg": l_deg})


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda fits: fits[:1], r"at least two sightlines; got 1\. Fit further cones"),
        (lambda fits: [fits[0], fits[1], fits[0]], "no star may be in two fits.* share 60 of 60 and 60 stars.*Leave one fit out"),
        (lambda fits: [fits[0], placed(fits[1], 124.0)], r"within 10 deg of each other; .* are 1\d\.\d deg apart.*--within"),
        (lambda fits: [fits[0], placed(fits[1], None)], "the stars of sightline 2 have none"),
        (
            lambda fits: [fits[0], changed(fits[1], prior=vars(DustPrior(ebv_scale_mag=0.1)))],
            "the same prior of the dust; sightline 1 has ebv_scale_mag = 0.05, sightline 2 has ebv_scale_mag = 0.1",
        ),
        (lambda fits: [fits[0], changed(fits[1], max_clouds=4)], "largest number of clouds; sightline 1 has 2, .* has 4"),
        (lambda fits: [fits[0], changed(fits[1], flat_distances=True)], r"the same distance prior of the stars \(--flat"),
        (lambda fits: [fits[0], changed(fits[1], input={"model": {"id": "other"}})], "the same model; .* has None, .* has other"),
        (lambda fits: [fits[0], changed(fits[1], input={"photometry": {"gaia": "dr2"}})], "the same photometric scale"),
        (lambda fits: [fits[0], changed(fits[1], prior=7)], "provenance of every fit must say its prior of the dust"),
        (
            lambda fits: [fits[0], replace(fits[1], summary={**fits[1].summary, "searched_pc": [50.0, 90.0]})],
            "the fit sightline 2 must hold what `redflower sightline` wrote",
        ),
        (
            lambda fits: [fits[0], replace(fits[1], draws=fits[1].draws[:-4])],
            "the fit sightline 2 must hold what `redflower sightline` wrote",
        ),
    ],
)  # fmt: skip
def test_fits_that_cannot_be_combined_are_refused(fits, spoil, message) -> None:
    with pytest.raises(InputError, match=message):
        redflower.combine_sightlines(spoil(fits), settings=SHORT)


def test_fits_without_clouds_have_nothing_to_share() -> None:
    none = [redflower.sightline(table_of(k), max_clouds=0, settings=QUICK) for k in range(2)]
    with pytest.raises(InputError, match=r"was fitted with none \(--max-clouds 0\)"):
        redflower.combine_sightlines(none)


def test_a_seed_and_a_separation_must_be_possible(fits) -> None:
    with pytest.raises(InputError, match="seed must be a whole number"):
        redflower.combine_sightlines(fits, seed=-1)
    with pytest.raises(InputError, match="within_deg must be above 0 and at most 180 deg; got 0"):
        redflower.combine_sightlines(fits, within_deg=0.0)


def test_the_command_writes_a_folder_that_is_drawn_again(folders, tmp_path, capsys, monkeypatch) -> None:
    out = tmp_path / "region"
    code, told, err = run(capsys, monkeypatch, "neighbours", *folders, out, "--steps", 40)
    assert code == 0, err
    assert "How many clouds are at shared distances?" in told
    names = {path.name for path in out.iterdir()}
    assert names >= {
        "neighbours.json", "clouds.ecsv", "odds.ecsv", "density.ecsv", "draws.parquet", "neighbours.png", "report.html",
    }  # fmt: skip
    numbers = json.loads((out / "neighbours.json").read_text())
    assert [one["name"] for one in numbers["sightlines"]] == ["north", "middle", "south"]
    clouds = redflower.read_table(out / "clouds.ecsv")
    assert clouds["distance_pc_q50_before"].unit == "pc"
    page = (out / "report.html").read_text()
    assert "Dust of 3 neighbouring sightlines" in page
    (out / "report.html").unlink()
    assert len(redraw(out)) == 4
    assert (out / "report.html").read_text() == page


def test_the_command_refuses_before_it_works(folders, tmp_path, capsys, monkeypatch) -> None:
    spoilt = tmp_path / "spoilt"
    shutil.copytree(folders[0], spoilt)
    (spoilt / "draws.parquet").unlink()
    for arguments, message in (
        ((folders[0], tmp_path / "out"), "at least two sightlines; got 1"),
        ((*folders[:2], folders[2]), "exists already and is not empty"),
        (
            (folders[1], spoilt, tmp_path / "out"),
            "must hold draws.parquet, as `redflower sightline` writes it",
        ),
        (
            (folders[1], tmp_path / "absent", tmp_path / "out"),
            "must be a folder that `redflower sightline` wrote",
        ),
        ((*folders, tmp_path / "out", "--within", "0.1"), "must be within 0.1 deg of each other"),
    ):
        code, _, err = run(capsys, monkeypatch, "neighbours", *arguments)
        assert code == 2
        assert message in err
        assert len([line for line in err.splitlines() if line.startswith("error:")]) == 1
        assert not (tmp_path / "out").exists()
