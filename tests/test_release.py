"""What goes out: wheel and sdist in an empty environment, and the check before a release."""

import json
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from benchmarks.__main__ import RUNS
from scripts.check_release import RESULTS, STEPS, Step, check, page, wanted_steps

ROOT = Path(__file__).parents[1]


def test_a_release_check_says_what_held_and_goes_on(tmp_path) -> None:
    counted = tmp_path / "count"
    good = Step(
        "good", "nothing", (sys.executable, "-c", f"open(r'{counted}', 'a').write('x'); print('fine')")
    )
    bad = Step("bad", "nothing", (sys.executable, "-c", "import sys; print('<broken>'); sys.exit(3)"))
    out = tmp_path / "out"
    outcomes = check(out, (good, bad), "c" * 40, clean=True, again=False)
    assert outcomes["good"].held
    assert not outcomes["bad"].held
    assert json.loads((out / "results.json").read_text())["bad"]["last"] == "<broken>"
    text = page(outcomes, (good, bad))
    assert "Not to be released: bad did not hold." in text
    assert "&lt;broken&gt;" in text
    check(out, (good, bad), "c" * 40, clean=True, again=False)
    assert counted.read_text() == "x", "what held at this commit is not run again"
    check(out, (good,), "d" * 40, clean=True, again=False)
    assert counted.read_text() == "xx", "at another commit it is"
    assert "1 of 2 did not run yet (bad)" in page({"good": outcomes["good"]}, (good, bad))
    assert "All held." in page({"good": outcomes["good"]}, (good,))
    assert (out / "good.log").read_text().strip() == "fine"


def test_every_step_of_a_release_check_is_a_command_of_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for step in STEPS:
        assert step.command[0] == "make"
        assert f"\n{step.command[1]}:" in makefile, step.name
        assert step.minutes > 0, "whoever starts it should know how long it takes"


def test_a_release_check_measures_every_figure_of_the_docs_and_can_be_asked_for_some() -> None:
    results = {step.name.removeprefix("result-") for step in wanted_steps([RESULTS], [])}
    assert results == {run.name for run in RUNS}
    quick = wanted_steps([], ["test-slow", RESULTS])
    assert [step.name for step in quick] == ["lint", "test", "docs", "check-dist", "bench"]


@pytest.mark.slow
def test_wheel_and_sdist_install_into_an_empty_environment_and_run_the_demo(tmp_path) -> None:
    """The wheel is built from the sdist, so that the sdist is whole; the demo runs where there is no repository."""
    dist = tmp_path / "dist"
    tools = _environment(tmp_path / "tools")
    _run(tools / "python", "-m", "pip", "install", "--quiet", "build")
    _run(tools / "python", "-m", "build", "--outdir", dist, ROOT)
    (wheel,), (sdist,) = dist.glob("*.whl"), dist.glob("*.tar.gz")
    assert wheel.stat().st_size < 30e6
    assert sdist.stat().st_size < 60e6
    empty = _environment(tmp_path / "empty")
    _run(empty / "python", "-m", "pip", "install", "--quiet", "--constraint", ROOT / "constraints.txt", wheel)
    _run(empty / "redflower", "demo", tmp_path / "demo", cwd=tmp_path)
    assert (tmp_path / "demo" / "report.html").stat().st_size > 1e5
    said = _run(empty / "python", "-c", "import redflower; print(redflower.__file__)", cwd=tmp_path)
    assert str(tmp_path / "empty") in said


def _environment(folder: Path) -> Path:
    venv.create(folder, with_pip=True)
    return folder / "bin"


def _run(*parts: object, cwd: Path | None = None) -> str:
    # The environment's own packages alone: no path of the run that tests.
    done = subprocess.run(
        [str(part) for part in parts],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        env=_clean_environment(),
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def _clean_environment() -> dict[str, str]:
    import os

    return {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
