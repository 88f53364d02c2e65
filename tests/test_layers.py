"""Imports go one way: no room imports what stands above it, and no two files import each other."""

import ast
import re
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import redflower

ROOT = Path(redflower.__file__).parent
CONTRIBUTING = ROOT.parents[1] / "CONTRIBUTING.md"
#: Lower layers first; a package may import from layers before its own, or from itself.
LAYERS = [
    {
        "cards",
        "compile_cache",
        "constants",
        "errors",
        "lazy",
        "provenance",
        "quantiles",
        "random_streams",
        "star",
        "triangular",
    },
    {"band", "entries"},
    {"survey"},
    {"survey_file"},
    {"surveys"},
    {"bands"},
    {
        "citations",
        "distances",
        "files",
        "photometric_offsets",
        "photometric_scales",
        "platforms",
        "progress",
        "seeds",
        "sky_patch",
        "workers",
    },
    {"programs"},
    {"physics"},
    {"flow"},
    {"train", "posterior"},
    {"calibrate", "sightline", "validate"},
    {"field"},
    {"simulate"},
    {"catalogue"},
    {"plot"},
    {"products"},
    {"api"},
    {"scale"},
    {"cli"},
]
LEVEL = {name: i for i, layer in enumerate(LAYERS) for name in layer}
EDGE = {"catalogue", "plot", "products", "api", "scale", "cli"}
CORE = set(LEVEL) - EDGE


def module_name(path: Path) -> str:
    parts = ("redflower", *path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts).removesuffix(".__init__")


MODULES = {module_name(path): path for path in ROOT.rglob("*.py")}


def imports_of(source: str, modules: "set[str] | dict[str, Path]" = MODULES) -> set[str]:
    """The modules of redflower that a source imports, wherever: at the top, in a function, under TYPE_CHECKING."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "redflower":
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found.add(inner if inner in modules else node.module)
        elif isinstance(node, ast.Import):
            found |= {a.name for a in node.names if a.name.split(".")[0] == "redflower"}
    return found


IMPORTS = {name: imports_of(path.read_text("utf-8")) for name, path in MODULES.items()}


def room_of(module: str) -> str:
    return module.split(".")[1]


def test_every_package_imports_only_layers_below_it() -> None:
    for name, imported in IMPORTS.items():
        if name == "redflower":
            continue
        own = room_of(name)
        assert own in LEVEL, f"{own} belongs to no layer; add it to LAYERS"
        for other in imported - {"redflower"}:
            there = room_of(other)
            assert there == own or LEVEL[there] < LEVEL[own], f"{name} imports {other}"


def test_nothing_imports_the_bare_package() -> None:
    """The package imports nearly everything: who imports it back depends on the order in which it does."""
    assert not [name for name, imported in IMPORTS.items() if "redflower" in imported]


def test_no_two_files_import_each_other_not_even_in_a_round() -> None:
    """The package's own page of public names is left out: nothing imports it."""
    graph = {name: IMPORTS[name] & set(MODULES) - {name} for name in MODULES}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"a circle of imports: {' <- '.join(error.args[1])}")


def test_the_core_never_imports_the_edge() -> None:
    for name in MODULES:
        if name != "redflower" and room_of(name) in CORE:
            assert not {room_of(other) for other in IMPORTS[name]} & EDGE, name


def test_names_with_an_underscore_stay_in_their_file() -> None:
    for name, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("redflower"):
                private = [a.name for a in node.names if a.name.startswith("_")]
                assert not private, f"{name} imports {private} from {node.module}"


def test_the_walk_sees_imports_in_functions_and_for_types_alone() -> None:
    source = (
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from redflower.cli.app import main\n"
        "def f():\n    import redflower.bands\n    from redflower.flow import model, load_model\n"
    )
    assert imports_of(source) == {
        "redflower.cli.app",
        "redflower.bands",
        "redflower.flow.model",
        "redflower.flow",
    }


def rooms_in(cell: str) -> set[str]:
    return {name.removesuffix("/").removesuffix(".py") for name in re.findall(r"`([\w./]+)`", cell)}


def test_the_table_of_contributing_is_the_layers() -> None:
    """Every room stands in one row; rows stand in the order of imports; what a row may import is what it does import."""
    lines = re.findall(r"^\| (`.*?) \| .*? \| (.*?) \|$", CONTRIBUTING.read_text("utf-8"), re.MULTILINE)
    rows = [rooms_in(cell) for cell, _ in lines]
    assert set().union(*rows) == set(LEVEL)
    assert sum(map(len, rows)) == len(LEVEL)
    place = {room: i for i, row in enumerate(rows) for room in row}
    for (_, allowed), row in zip(lines, rows, strict=True):
        may = rooms_in(allowed)
        for name, imported in IMPORTS.items():
            if name == "redflower" or room_of(name) not in row:
                continue
            for other in map(room_of, imported):
                assert place[other] <= place[room_of(name)], (
                    f"{name} imports {other}, which stands below it in the table"
                )
                if "vocabulary" in allowed:
                    may |= rows[0]
                assert other in row | may or "above" in allowed, (
                    f"CONTRIBUTING does not let {name} import {other}"
                )
