"""The rules of CONTRIBUTING for plain English that a program can check: how docstrings begin, and retired words."""

import ast
import re
from pathlib import Path

import redflower

SOURCE = Path(redflower.__file__).parent
ROOT = SOURCE.parents[1]
#: A function *does*: these begin a noun phrase or an aside.
NO_VERBS = {
    "A", "All", "An", "Any", "Draws", "Each", "Every", "How", "If", "It", "Log", "No", "Number", "The", "This", "What",
    "When", "Where", "Whether", "Which", "Who",
}  # fmt: skip
#: (b) and (c) of the rules, and words that stood for others: injected, separated, enough stars, costlier, minus.
RETIRED = (
    r"of whose", r"so many at once as", r"parted by", r"stars enough", r"dearer", r"goes on from", r"were put in",
    r"for want of", r"the more so", r"; [^.;]* without it\.$",
)  # fmt: skip


def functions(source: str) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    """The functions and methods of a source; a property is a value, and may be a noun."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return [
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, kinds) and not any(ast.unparse(d) == "property" for d in node.decorator_list)
    ]


def test_docstrings_of_functions_begin_with_a_verb() -> None:
    bad = []
    for path in SOURCE.rglob("*.py"):
        for node in functions(path.read_text("utf-8")):
            text = ast.get_docstring(node)
            if text and (text.split()[0].strip(".,:;`") in NO_VERBS or text[0].islower()):
                bad.append(f"{path.relative_to(SOURCE)}: {node.name}: {text.splitlines()[0]}")
    assert not bad, "\n".join(bad)


def test_retired_words_stay_retired() -> None:
    """In what users and developers read: code, pages and the README; decisions and the list of changes tell what was."""
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *SOURCE.rglob("*.py")]
    told = [path for path in pages if not {"decisions", "results", "_build"} & set(path.parts)]
    assert len(told) > 100
    bad = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in told
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if re.search("|".join(RETIRED), line)
    ]
    assert not bad, "\n".join(bad)


def test_the_rules_find_what_they_are_for() -> None:
    source = 'def f():\n    """The rows."""\n\n@property\ndef g():\n    """The rows."""\n'
    assert [node.name for node in functions(source)] == ["f"]
    assert re.search("|".join(RETIRED), "what messages call each star; its row without it.")
