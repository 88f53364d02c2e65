"""What a command writes is checked before it works: nothing is overwritten, and nothing is left that blocks the next run."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import redflower
from redflower.catalogue import prepare, write_table

from ..helpers.raw_stars import raw_stars
from ..helpers.sightlines import posterior_table
from .test_commands import run


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a raw table, a prepared one, one of posteriors, and a file that nobody may touch."""
    monkeypatch.chdir(tmp_path)
    raw = raw_stars(8)
    write_table(raw, tmp_path / "raw.parquet")
    write_table(prepare(raw, purpose="inference").table, tmp_path / "prepared.parquet")
    write_table(posterior_table(30, []), tmp_path / "post.parquet")
    (tmp_path / "precious.json").write_text("{}")
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "sky.png").write_text("mine")
    return tmp_path


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


PREPARE = ("prepare", "raw.parquet", "out.fits", "--for", "inference")
INFER = ("infer", "prepared.parquet")
MODEL = ("--model", "mock-sky")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("prepare", "raw.parquet", "raw.parquet", "--for", "inference"), "exists already"),
        ((*PREPARE, "--report", "raw.parquet"), "--report raw.parquet is also RAW"),
        ((*PREPARE, "--report", "./raw.parquet"), "is also RAW"),
        ((*PREPARE, "--report", "out.fits"), "--report out.fits is also OUT"),
        ((*PREPARE, "--report", "precious.json"), "precious.json exists already"),
        ((*PREPARE, "--report", "none/r.json"), "no folder none"),
        ((*PREPARE, "--report", "figures"), "is a folder"),
        ((*PREPARE, "--selection", "s.safetensors", "--report", "s.safetensors"), "is also --report"),
        ((*PREPARE, "--figures", "precious.json"), "a folder is needed"),
        ((*PREPARE, "--figures", "figures"), "holds sky.png already"),
        ((*PREPARE, "--figures", "out.fits"), "written twice"),
        (("prepare", "raw.parquet", "table-1.ecsv", "--for", "inference", "--figures", "."), "written twice"),
        ((*PREPARE[:2], "none/out.fits", *PREPARE[3:]), "no folder"),
        ((*INFER, "out.csv", *MODEL, "--density"), "CSV has no columns of arrays"),
        ((*INFER, "prepared.parquet", *MODEL), "exists already"),
        ((*INFER, "out.csv.gz", *MODEL), "is not known"),
        (
            ("train", "prepared.parquet", "precious.json.safetensors", "--selection", "none.safetensors"),
            "none",
        ),
        (("map", "post.parquet", "out.parquet"), "written as .fits"),
        (("sightline", "post.parquet", "figures"), "is not empty"),
        (("validate", "prepared.parquet", "figures", *MODEL), "is not empty"),
        ((*INFER, "out.fits", *MODEL, "--seed", "-1"), "seed must be a whole number from 0"),
        (("simulate", "out.fits", "--seed", "-1"), "seed must be a whole number from 0"),
        (("sightline", "post.parquet", "out", "--seed", "-3"), "seed must be a whole number from 0"),
        (("map", "post.parquet", "out.fits", "--seed", "-3"), "seed must be a whole number from 0"),
        (
            ("calibrate", "prepared.parquet", "out", *MODEL, "--seed", "-1"),
            "seed must be a whole number from 0",
        ),
        (("field", "post.parquet", "out.fits", "--seed", "-3"), "seed must be a whole number from 0"),
        (("field", "post.parquet", "out.fits", "--compare", "map.fits*abc"), "'abc' is not a number"),
        (
            ("validate", "prepared.parquet", "out", *MODEL, "--seed", "-1"),
            "seed must be a whole number from 0",
        ),
        (("infer", "raw.parquet", "out.fits", *MODEL), "not a prepared table"),
        (("sightline", "prepared.parquet", "out"), "is a prepared table"),
        (("map", "raw.parquet", "out.fits"), "is no table of posteriors"),
        (("field", "raw.parquet", "out.fits"), "is no table of posteriors"),
        (("field", "post.parquet", "out.parquet"), "written as .fits"),
        (("field", "post.parquet", "out.fits", "--distances", "near"), "give distances in pc"),
        (("field", "post.parquet", "out.fits", "--clouds", "0"), "must be a positive E(B-V)"),
        (("field", "post.parquet", "out.fits", "--zero-point-of", "survey"), "no column 'survey'"),
        (("plot", "figures"), "holds no results"),
    ],
)
def test_a_request_that_cannot_end_well_ends_at_once(folder, capsys, monkeypatch, arguments, message) -> None:
    before = content(folder)
    code, _, err = run(capsys, monkeypatch, *arguments)
    assert code == 2
    assert message in err
    assert "Traceback" not in err
    errors = [line for line in err.splitlines() if line.startswith("error:")]
    assert len(errors) == 1
    assert content(folder) == before


def test_what_is_wrong_in_the_last_part_is_found_before_the_first_is_inferred(
    folder, capsys, monkeypatch
) -> None:
    spoilt = redflower.read_table("prepared.parquet")
    spoilt["gaia_g"] = np.asarray(spoilt["gaia_g"]).astype(str)
    spoilt["gaia_g"][len(spoilt) - 1] = "oops"
    write_table(spoilt, folder / "spoilt.parquet")
    before = content(folder)
    monkeypatch.setattr(
        "redflower.api.posterior_rows.posterior_table", lambda *_, **__: pytest.fail("a part was inferred")
    )
    code, _, err = run(capsys, monkeypatch, "infer", "spoilt.parquet", "out.fits", *MODEL, "--part-rows", 3)
    assert code == 2
    assert "'oops'" in err
    assert content(folder) == before


def test_a_model_that_is_there_is_not_trained_over(folder, capsys, monkeypatch) -> None:
    (folder / "m.safetensors").write_text("a model")
    code, _, err = run(capsys, monkeypatch, "train", "prepared.parquet", "m")
    assert code == 2
    assert "m.safetensors exists already" in err
    (folder / "m.safetensors").unlink()
    (folder / "m.report").mkdir()
    code, _, err = run(capsys, monkeypatch, "train", "prepared.parquet", "m")
    assert code == 2
    assert "m.report" in err


@pytest.mark.parametrize("platform", ["cuda", "nonsense"])
def test_a_platform_that_is_not_there_is_one_line(folder, platform) -> None:
    """In a process of its own, for JAX looks for its platforms once."""
    import jax

    if platform == jax.default_backend() or (platform == "cuda" and jax.default_backend() == "gpu"):
        pytest.skip("this platform is there")
    code = "import sys; from redflower.cli import main; sys.argv[0] = 'redflower'; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, *INFER, "out.fits", *MODEL],
        capture_output=True, text=True, check=False, env={**os.environ, "JAX_PLATFORMS": platform},
    )  # fmt: skip
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert f"JAX has no platform '{platform}'" in done.stderr


def test_figures_are_those_of_no_matplotlibrc(folder) -> None:
    """The same bytes under settings that ask for TeX, another backend and other colours."""
    (folder / "matplotlibrc").write_text(
        "text.usetex: True\nfont.family: serif\naxes.labelcolor: red\nsavefig.bbox: tight\nbackend: TkAgg\n"
    )
    code = (
        "import hashlib, io, sys\n"
        "import redflower\n"
        "from redflower.plot import ruwe_figure, sky_figure\n"
        "from redflower.plot.style import save_figure\n"
        "table = redflower.read_table('prepared.parquet')\n"
        "for figure in (ruwe_figure(table, limit=2.0), sky_figure(table)):\n"
        "    buffer = io.BytesIO()\n"
        "    save_figure(figure, buffer, format='png')\n"
        "    print(hashlib.sha256(buffer.getvalue()).hexdigest())\n"
    )
    (folder / "plain").write_text("")
    drawn = []
    for name in ("matplotlibrc", "plain"):
        settings = {**os.environ, "MATPLOTLIBRC": str(folder / name)}
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=settings
        )
        drawn.append(done.stdout)
    assert len(drawn[0].split()) == 2
    assert drawn[0] == drawn[1]
