"""Imports go one way: the core never imports the edge."""

import ast
from pathlib import Path

import redflower

ROOT = Path(redflower.__file__).parent
#: Lower layers first; a package may import from layers before its own, or from itself.
LAYERS = [
    {"bands", "constants", "errors", "star"},
    {"physics"},
    {"flow"},
    {"train", "posterior"},
    {"sightline", "validate"},
    {"simulate"},
    {"catalogue"},
    {"plot", "report"},
    {"products"},
    {"api"},
    {"experiment", "scale"},
    {"cli"},
]
CORE = set().union(*LAYERS[:6])
EDGE = {"catalogue", "plot", "report", "products", "api", "experiment", "scale", "cli"}


def imported_packages(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("redflower."):
            names.add(node.module.split(".")[1])
        elif isinstance(node, ast.Import):
            names |= {a.name.split(".")[1] for a in node.names if a.name.startswith("redflower.")}
    return names


def test_every_package_imports_only_layers_below_it() -> None:
    level = {name: i for i, layer in enumerate(LAYERS) for name in layer}
    seen = set()
    for path in ROOT.rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        own = parts[0]
        if own == "__init__":
            continue
        assert own in level, f"{own} belongs to no layer; add it to LAYERS"
        for other in imported_packages(path):
            assert other == own or level[other] < level[own], f"{path} imports {other}"
            seen.add(own)
    assert {"posterior", "train", "catalogue", "cli"} <= seen


def test_the_core_never_imports_the_edge() -> None:
    for package in CORE & {p.name for p in ROOT.iterdir() if p.is_dir()}:
        for path in (ROOT / package).rglob("*.py"):
            assert not imported_packages(path) & EDGE, path
