"""Records of arrays are built by name in tests: by position, two arrays of one shape can change places unseen."""

import ast
from pathlib import Path

import redflower

SOURCE = Path(redflower.__file__).parent
TESTS = Path(__file__).parent
#: A record with fewer fields can be read by position.
N_FIELDS = 4


def records() -> set[str]:
    """The names of all data classes, named tuples and modules of Equinox with so many fields."""
    found = set()
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ClassDef):
                kinds = [ast.unparse(kind) for kind in (*node.bases, *node.decorator_list)]
                fields = [part for part in node.body if isinstance(part, ast.AnnAssign)]
                is_record = any("dataclass" in kind or kind in ("NamedTuple", "eqx.Module") for kind in kinds)
                if is_record and len(fields) >= N_FIELDS:
                    found.add(node.name)
    return found


def built_by_position(source: str, names: set[str]) -> list[tuple[int, str]]:
    """The lines of a source that build one of these records by position, and which."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names:
            spread = any(isinstance(argument, ast.Starred) for argument in node.args)
            if spread or len(node.args) >= N_FIELDS:
                found.append((node.lineno, node.func.id))
    return found


def test_tests_build_records_by_name() -> None:
    names = records()
    assert {"JointDensity", "Dust", "SelectionFunction", "Objective", "Grid"} <= names
    bad = [
        (path.relative_to(TESTS), *where)
        for path in TESTS.rglob("*.py")
        for where in built_by_position(path.read_text("utf-8"), names)
    ]
    assert not bad


def test_the_walk_sees_positions_and_spread_sequences() -> None:
    source = "Dust(a, b, c, d)\nDust(*shared, drift=0)\nDust(a, ebv_mag=b)\nOther(a, b, c, d)\n"
    assert built_by_position(source, {"Dust"}) == [(1, "Dust"), (2, "Dust")]
