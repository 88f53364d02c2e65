"""Pages are where code and other pages say that they are."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = [
    path
    for path in (ROOT / "docs").rglob("*.md")
    if not {"_build", "generated", "results"} & set(path.relative_to(ROOT).parts)
]
#: Where pages are named, and in which files.
FOLDERS = {"src": (".py", ".toml"), "benchmarks": (".py", ".md"), "configs": (".toml",), "scripts": (".py",)}
#: Only there where tables of two shipped priors, whose checksums models record, name it.
OLD = {"docs/model.md"}


def test_every_page_that_code_names_exists() -> None:
    named = {}
    for folder, endings in FOLDERS.items():
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in endings:
                for page in re.findall(r"\bdocs/[\w./-]+\.md\b", path.read_text("utf-8")):
                    named.setdefault(page, path.relative_to(ROOT))
    assert len(named) > 10
    missing = {page: where for page, where in named.items() if page not in OLD and not (ROOT / page).exists()}
    assert not missing


def test_every_link_between_pages_leads_somewhere() -> None:
    for page in PAGES:
        for link in re.findall(
            r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.S)
        ):
            assert (page.parent / link).exists(), f"{page.relative_to(ROOT)} links to {link}"


def test_every_fragment_that_a_page_includes_exists() -> None:
    included = [
        (page, name) for page in PAGES for name in re.findall(r"\{include\} (\S+)", page.read_text("utf-8"))
    ]
    assert len(included) > 20
    for page, name in included:
        assert (page.parent / name).exists(), f"{page.relative_to(ROOT)} includes {name}"
