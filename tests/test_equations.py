"""The specification docs/explanation/model.md against the code and the tests: every equation has both, and none is unknown."""

import importlib
import io
import re
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SPEC = ROOT / "docs" / "explanation" / "model.md"

#: E13, E9b, EA3, EP4, EF1, ES1, EX1, D2.
ID = r"(?:E\d+[a-z]?|EA\d+[a-z]?|EP\d+|EF\d+|ES\d+|EX\d+|CA\d+|D\d+)"
HEADING = re.compile(rf"^### ({ID}) \S", re.MULTILINE)
#: A comment that begins with one or more IDs: `# E13`, `# E1, E2: why`.
COMMENT = re.compile(rf"^#:?\s*({ID}(?:\s*,\s*{ID})*)\b(?!\.\w)")
DOCSTRING = re.compile(rf"Equations?: ({ID}(?:(?:\s*,\s*|\s+and\s+|-| by ){ID})*)")
MARKER = re.compile(rf'\bequation\("({ID})"\)')


def spec_text() -> str:
    return SPEC.read_text("utf-8")


def section_ids(title: str) -> set[str]:
    """The IDs listed under a heading of the second level."""
    text = spec_text().split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]
    return set(re.findall(rf"\b{ID}\b", text))


def comment_ids(source: str) -> set[str]:
    """The IDs that the comments of a source begin with."""
    found: set[str] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT and (match := COMMENT.match(token.string)):
            found.update(re.findall(ID, match.group(1)))
    return found


def ids_in(folder: str, pattern: re.Pattern[str] | None) -> dict[str, set[str]]:
    """For every ID cited in a folder, the files that cite it; by comment where no pattern is given."""
    cited: dict[str, set[str]] = {}
    for path in sorted((ROOT / folder).rglob("*.py")):
        source = path.read_text("utf-8")
        if pattern is None:
            ids = comment_ids(source)
        else:
            ids = {name for match in pattern.findall(source) for name in re.findall(ID, match)}
        for name in ids:
            cited.setdefault(name, set()).add(str(path.relative_to(ROOT)))
    return cited


KNOWN = HEADING.findall(spec_text())
WITHOUT_CODE = section_ids("Without code of their own")
PENDING = section_ids("Not yet in code")
IN_CODE = ids_in("src", None)
IN_TESTS = ids_in("tests", MARKER)


def test_the_specification_names_every_equation_once_and_lists_only_its_own() -> None:
    assert len(KNOWN) == len(set(KNOWN)), "an ID is a heading twice in docs/explanation/model.md"
    assert {f"E{n}" for n in range(1, 26)} | {f"EA{n}" for n in range(1, 7)} <= set(KNOWN)
    assert set(KNOWN) >= WITHOUT_CODE | PENDING
    assert not WITHOUT_CODE & PENDING
    cited = set(re.findall(rf"\b{ID}\b", re.sub(r"\$[^$]*\$", "", spec_text())))
    assert cited <= set(KNOWN), (
        f"docs/explanation/model.md cites unknown equations: {sorted(cited - set(KNOWN))}"
    )


@pytest.mark.parametrize("name", [name for name in KNOWN if name not in WITHOUT_CODE | PENDING])
def test_every_equation_is_on_a_code_line_and_on_a_test(name: str) -> None:
    assert name in IN_CODE, f"no code line under src/ ends with '# {name}'"
    assert name in IN_TESTS, f'no test is marked @pytest.mark.equation("{name}")'


def test_nothing_cites_an_unknown_equation() -> None:
    for where, cited in (
        ("comments of src", IN_CODE),
        ("docstrings of src", ids_in("src", DOCSTRING)),
        ("test markers", IN_TESTS),
    ):
        unknown = {name: files for name, files in cited.items() if name not in KNOWN}
        assert not unknown, f"{where} cite equations that docs/explanation/model.md does not know: {unknown}"


def test_the_list_of_equations_to_come_is_up_to_date() -> None:
    there = sorted(name for name in PENDING if name in IN_CODE and name in IN_TESTS)
    assert not there, f"in code and tested: take {there} off 'Not yet in code' in docs/explanation/model.md"


def test_every_name_of_the_code_in_the_specification_exists() -> None:
    names = set(re.findall(r"`(redflower(?:\.\w+)+)`", spec_text()))
    assert len(names) > 30
    for name in names:
        parts = name.split(".")
        for n_module in range(len(parts), 0, -1):
            try:
                target = importlib.import_module(".".join(parts[:n_module]))
            except ModuleNotFoundError:
                continue
            break
        for attribute in parts[n_module:]:
            assert hasattr(target, attribute), f"docs/explanation/model.md names {name}, which is not there"
            target = getattr(target, attribute)


def test_links_of_the_specification_and_the_decisions_lead_somewhere() -> None:
    for page in (SPEC, *(ROOT / "docs" / "decisions").glob("*.md")):
        text = page.read_text("utf-8")
        for link in re.findall(r"\]\(([^)#:]+)\)", text):
            assert (page.parent / link).exists(), f"{page.name} links to {link}, which is not there"
        for path in re.findall(r"`((?:src|tests|docs)/[\w/.]+\.\w+)`", text):
            assert (ROOT / path).exists(), f"{page.name} names {path}, which is not there"


def test_the_walk_sees_what_it_looks_for() -> None:
    source = 'a = 1  # E13, D5: why\n# E2\nb = "# E3"  # the E4 of it\nc = 2  # E9b\n'
    assert comment_ids(source) == {"E13", "D5", "E2", "E9b"}
    assert set(re.findall(ID, DOCSTRING.findall("Equations: E17-E19, E23 and E24 (docs/explanation/model.md)")[0])) == {
        "E17", "E19", "E23", "E24",
    }  # fmt: skip
