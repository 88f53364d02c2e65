"""The commands as a user types them: what they write, and one clear message for bad input."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import redflower
from redflower.bands import BANDS
from redflower.cli.app import main


def run(
    capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch, *arguments: str
) -> tuple[int, str, str]:
    """Run the command line in this process; exit code, stdout and stderr."""
    monkeypatch.setattr(sys, "argv", ["redflower", *map(str, arguments)])
    with pytest.raises(SystemExit) as stopped:
        main()
    captured = capsys.readouterr()
    code = stopped.value.code
    return (0 if code is None else int(code)), captured.out, captured.err


@pytest.mark.parametrize(
    "command",
    [
        (),
        ("demo",),
        ("simulate",),
        ("fetch",),
        ("prepare",),
        ("train",),
        ("infer",),
        ("validate",),
        ("sightline",),
        ("neighbours",),
        ("map",),
        ("field",),
        ("plot",),
        ("models",),
    ],
)
def test_help_of_every_command(capsys, monkeypatch, command) -> None:
    code, out, _ = run(capsys, monkeypatch, *command, "--help")
    assert code == 0
    assert "Usage" in out


def test_help_keeps_units_in_brackets(capsys, monkeypatch) -> None:
    """Rich takes [mag] for markup and drops it, unless told not to."""
    _, out, _ = run(capsys, monkeypatch, "simulate", "--help")
    assert "true_ebv [mag]" in out
    assert "[pc]" in out


def test_simulate_prepare_infer(tmp_path: Path, capsys, monkeypatch) -> None:
    """The whole line on a few stars; one without bands keeps its row, NaN and a status, and exit code 1; one lacks G."""
    raw, stars, out = (tmp_path / name for name in ("raw.fits", "stars.parquet", "out.ecsv"))
    limits = ("--g-faint", "18.5")
    code, _, _ = run(capsys, monkeypatch, "simulate", raw, "--stars", "6", "--clouds", "300:0.2", *limits)
    assert code == 0
    assert run(capsys, monkeypatch, "prepare", raw, stars, "--for", "inference", *limits)[0] == 0
    prepared = redflower.read_table(stars)
    assert prepared["gaia_g"].unit == "mag"
    prepared["gaia_g"][0] = np.nan
    for band in BANDS[2:]:
        prepared[band.name][2] = np.nan
    broken = tmp_path / "broken.fits"
    redflower.write_table(prepared, broken)
    short = ("--model", "mock-sky", "--warmup", "80", "--draws", "60", "--chains", "2")
    code, _, err = run(capsys, monkeypatch, "infer", broken, out, *short, "--engine", "nuts")
    assert code == 1, err
    posteriors = redflower.read_table(out)
    assert len(posteriors) == 6
    assert posteriors["ebv_mean"].unit == "mag"
    assert posteriors["distance_mean"].unit == "pc"
    status = np.asarray(posteriors["status"]).astype(str)
    assert status[2] == "no_bands"
    assert np.isnan(posteriors["ebv_mean"][2])
    rest = np.delete(np.arange(6), 2)
    assert np.isfinite(posteriors["ebv_mean"][rest]).all()
    assert np.isfinite(posteriors["log_evidence"][rest]).all()
    assert (np.asarray(posteriors["ebv_std"])[rest] > 0).all()
    assert posteriors.meta["redflower"]["model"]["id"].startswith("mock-sky-")
    fast = tmp_path / "fast.parquet"
    code, _, err = run(capsys, monkeypatch, "infer", broken, fast, *short, "--density")
    assert code == 1, err
    assert "settled by" in err
    by_fast = redflower.read_table(fast)
    assert by_fast["density"].shape == (6, 16, 22)
    assert np.asarray(by_fast["status"]).astype(str)[2] == "no_bands"
    assert np.asarray(by_fast["engine"]).astype(str)[0] == "nuts", "the fast engine hands on a star without G"
    assert by_fast["bands"][0].startswith("BP RP")
    # Chains this short know a mean to a third of sigma or so.
    shift = (by_fast["ebv_mean"] - posteriors["ebv_mean"]) / posteriors["ebv_std"]
    assert (np.abs(np.asarray(shift)[rest]) < 1.5).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("infer", "none.fits", "out.fits", "--model", "mock-sky"), "none.fits"),
        (("simulate", "out.xyz"), ".xyz"),
        (("simulate", "out.fits", "--clouds", "near"), "DISTANCE_PC:EBV_MAG"),
        (("simulate", "out.fits", "--preset", "everywhere"), "everywhere"),
        (("models", "no-such-model"), "Shipped models"),
        (("train", "none.fits", "m", "--bands", "ugriz"), "ugriz"),
        (("prepare", "none.fits", "out.fits", "--for", "fun"), "fun"),
        (
            ("prepare", "none.fits", "out.fits", "--for", "training", "--selection", "s.npz"),
            "must end in .safetensors",
        ),
        (("fetch", "out.fits"), "--region is needed"),
        (("fetch", "out.fits", "--region", "nowhere"), "must be two-cloud"),
        (("fetch", "out.fits", "--region", "zero-extinction"), "doi.org/10.7910/DVN/AFJNWJ"),
        (("fetch", "out.fits", "--region", "two-cloud", "--surveys", "wise"), "unknown wise"),
        (("fetch", "out.fits", "--region", "two-cloud", "--tap", "ftp://x"), "must be the base URL"),
        (("fetch", "out.fits", "--region", "two-cloud", "--hats", "ps1=x"), "Gaia catalogue is needed"),
    ],
)
def test_bad_input_is_one_message_and_exit_code_2(tmp_path, capsys, monkeypatch, arguments, message) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, err = run(capsys, monkeypatch, *arguments)
    assert code == 2
    assert message in err
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_prints_the_query_and_an_estimate_and_asks_nobody(tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ("fetch", "out.fits", "--region", "two-cloud", "--dry-run", "--tap", "http://127.0.0.1:9/tap")
    code, out, _ = run(capsys, monkeypatch, *arguments)
    assert code == 0
    for text in (
        "LEFT OUTER JOIN gaiadr2.panstarrs1_original_valid",
        "CIRCLE('ICRS', 294.46007047",
        "COUNT(*)",
    ):
        assert text in out
    assert "4 tiles, 0.08 deg2, about" in out
    assert list(tmp_path.iterdir()) == []


def test_infer_refuses_a_raw_table(tmp_path: Path, capsys, monkeypatch) -> None:
    raw = tmp_path / "raw.fits"
    run(capsys, monkeypatch, "simulate", raw, "--stars", "3")
    code, _, err = run(capsys, monkeypatch, "infer", raw, tmp_path / "out.fits", "--model", "mock-sky")
    assert code == 2
    assert "redflower prepare" in " ".join(err.split())
    assert not (tmp_path / "out.fits").exists()


def test_infer_refuses_a_table_without_the_bands_of_the_model(tmp_path: Path, capsys, monkeypatch) -> None:
    sky = redflower.simulate(4, seed=1, g_faint_mag=19.0)
    stars = redflower.prepare(sky, purpose="inference").table
    for band in BANDS[2:]:
        stars[band.name] = np.nan
    redflower.write_table(stars, tmp_path / "stars.fits")
    arguments = ("infer", tmp_path / "stars.fits", tmp_path / "out.fits", "--model", "mock-sky")
    code, _, err = run(capsys, monkeypatch, *arguments)
    assert code == 2
    assert "needs at least 3 of gaia_g, gaia_bp" in " ".join(err.split())
    assert not (tmp_path / "out.fits").exists()


def test_the_program_is_installed() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from redflower.cli import main; main()", "--version"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0
    assert "redflower" in done.stdout
