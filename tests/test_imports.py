"""What an import or a command brings in: no more than it needs, and always the public name."""

import subprocess
import sys
from pathlib import Path

import pytest

import redflower
from redflower.sightline import TemperingSettings
from tests.helpers.raw_stars import raw_stars
from tests.helpers.sightlines import posterior_table

#: All that `redflower --help` may import beside Python's own: its command line, and numpy for the defaults that it shows.
FOR_HELP = {
    "annotated_doc", "attr", "click", "jaxtyping", "markdown_it", "mdurl", "numpy", "pygments", "redflower", "rich",
    "shellingham", "typer", "typing_extensions", "wadler_lindig",
}  # fmt: skip
#: Put by the interpreter and its site packages at the start of every process.
AT_START = {"__main__", "__mp_main__", "_distutils_hack", "sitecustomize", "usercustomize"}
RUN = """
import sys, time
sys.argv = ["redflower", *sys.argv[1:]]
from redflower.cli import main
try:
    main()
except SystemExit as end:
    code = end.code
else:
    code = 0
print("SECONDS", time.process_time())
print("MODULES", *sorted({name.split(".")[0] for name in sys.modules} - set(sys.stdlib_module_names)))
sys.exit(code)
"""


def run(*arguments: str | Path) -> tuple[set[str], float]:
    """The packages that a command leaves imported, and the processor time that it took. [s]"""
    command = [sys.executable, "-c", RUN, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = {
        line.split(" ")[0]: line.split(" ")[1:]
        for line in done.stdout.splitlines()
        if line[:7] in ("SECONDS", "MODULES")
    }
    return set(lines["MODULES"]), float(lines["SECONDS"][0])


def test_help_imports_the_command_line_and_little_else() -> None:
    """Processor time: the clock on the wall says what else the machine does. It is 0.4 s; JAX alone would take 1 s more."""
    modules, seconds = run("--help")
    assert modules - AT_START <= FOR_HELP
    assert seconds < 1.0


def test_importing_the_package_takes_no_time() -> None:
    code = "import time, redflower, sys; print(time.process_time(), 'jax' in sys.modules, 'numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    seconds, *heavy = done.stdout.split()
    assert heavy == ["False", "False"]
    assert float(seconds) < 1.0


def test_preparing_fetching_and_plotting_need_no_jax(tmp_path: Path) -> None:
    redflower.write_table(raw_stars(20), tmp_path / "raw.ecsv")
    selected = ("--selection", tmp_path / "selected.safetensors", "--g-bright", "10")
    table = posterior_table(40, [], seed=1)
    quick = TemperingSettings(n_particles=40, n_moves=2, n_final=4)
    from redflower.products import write_sightline

    write_sightline(redflower.sightline(table, max_clouds=1, settings=quick), tmp_path / "los")
    for arguments in (
        ("prepare", tmp_path / "raw.ecsv", tmp_path / "stars.ecsv", "--for", "training", *selected),
        (
            "prepare",
            tmp_path / "raw.ecsv",
            tmp_path / "seen.ecsv",
            "--for",
            "inference",
            "--figures",
            tmp_path / "figures",
        ),
        ("plot", tmp_path / "los"),
        ("fetch", "--help"),
    ):
        assert "jax" not in run(*arguments)[0], arguments[0]


@pytest.mark.parametrize("name", ["calibrate", "train", "simulate", "sightline", "validate"])
def test_a_public_name_is_the_function_whatever_was_imported_before(name: str) -> None:
    """The packages of these names are imported first, which would put them in the functions' place."""
    code = (
        f"import importlib; importlib.import_module('redflower.{name}'); import redflower; from redflower import {name}; "
        f"assert callable({name}) and redflower.{name} is {name}; from redflower.catalogue.prepare import PreparedStars; "
        "from redflower.catalogue import prepare; assert callable(prepare)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_names_that_are_not_there_are_refused_and_all_that_are_listed_exist() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'absent'"):
        redflower.absent  # noqa: B018
    for package in (redflower, redflower.api, redflower.catalogue, redflower.physics, redflower.posterior):
        for name in dir(package):
            assert getattr(package, name) is not None or name.startswith("__")
