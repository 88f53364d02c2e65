"""Figures on pages come from the records that benchmarks write, and from nowhere else."""

import json
import re
from pathlib import Path

import pytest
from benchmarks.__main__ import RUNS
from benchmarks.results import FORMAT, RESULTS, ROOT, Record, Table, recording, render, say, table

DOCS = ROOT / "docs"
MEASURED = sorted(path for path in (DOCS / "measured").glob("*.md") if path.name != "index.md")
RECORDS = sorted(RESULTS.glob("*.json"))
#: What was given and not found: literature, limits, goals.
GIVEN = re.compile(r":::\{admonition\} Given\n.*?\n:::\n", re.DOTALL)
INCLUDE = re.compile(r"```\{include\} \.\./results/([\w.-]+)\.md\n```")
#: A number with a decimal point, which no page states but as a result: 0.03, 1.5, 2.66. Counts and years are left alone.
DECIMAL = re.compile(r"(?<![\w.])\d[\d,]*\.\d+(?![\w.]*\d)")
#: Not said of a run: code, and the numbers of sections.
CODE = re.compile(r"```.*?```|`[^`\n]*`|^ {4}[^\n]*$|sections? \d+\.\d+", re.DOTALL | re.MULTILINE)
#: What README states by definition, and not by a run: versions, and the limits that users choose or the paper sets.
DEFINED = {"3.11"}


def numbers(text: str) -> set[str]:
    """The numbers of a Markdown text outside code."""
    return set(re.findall(r"(?<![\w.])\d[\d,]*(?:\.\d+)?", CODE.sub(" ", text)))


def rows(text: str) -> list[str]:
    """The lines of the tables of a Markdown text."""
    return [line for line in CODE.sub(" ", text).splitlines() if line.lstrip().startswith("|")]


def held(names: list[str]) -> set[str]:
    """The numbers that some fragments hold."""
    return set().union(*(numbers((RESULTS / f"{name}.md").read_text("utf-8")) for name in names))


def not_held(page: str, known: set[str]) -> list[str]:
    """What a page says by itself that no record holds: any number in a table, any number with decimals elsewhere."""
    own = GIVEN.sub("", INCLUDE.sub("", page))
    said = {number for row in rows(own) for number in numbers(row)} | set(DECIMAL.findall(CODE.sub(" ", own)))
    return sorted(said - known)


@pytest.mark.parametrize("page", MEASURED, ids=lambda path: path.name)
def test_a_measured_page_states_no_figure_that_its_records_do_not_hold(page: Path) -> None:
    text = page.read_text("utf-8")
    names = INCLUDE.findall(text)
    assert names, f"{page.name} includes no record"
    assert not_held(text, held(names)) == [], f"{page.name}: let a benchmark say these"


def test_the_readme_states_no_figure_that_no_record_holds() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    known = held([path.stem for path in RECORDS if path.with_suffix(".md").exists()]) | DEFINED
    assert not_held(text, known) == []


def test_a_figure_typed_into_a_page_is_seen() -> None:
    page = "```{include} ../results/a.md\n```\n\n| stars | sigma |\n|---|---|\n| 17 | 0.041 |\n\nIt is 0.043 mag in `0.9`.\n"
    assert not_held(page, {"17", "0.041", "0.043"}) == []
    assert not_held(page, {"17", "0.041"}) == ["0.043"]
    assert not_held(page, {"0.043"}) == ["0.041", "17"]


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_a_fragment_is_what_its_record_says(path: Path) -> None:
    content = json.loads(path.read_text("utf-8"))
    if content.get("format") != FORMAT:
        pytest.skip("a record with a fragment of its own form")
    assert path.with_suffix(".md").read_text("utf-8") == render(content), "run python -m benchmarks.results"
    assert content["name"] == path.stem
    if content["origin"] == "run":
        assert content["date"]
        assert content["machine"]
        assert content["versions"]["redflower"]
    else:
        assert content["origin"].startswith("transcribed from"), "a record says where its figures are from"


def test_every_benchmark_is_run_by_make_results_and_every_result_is_on_its_page() -> None:
    modules = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in (ROOT / "benchmarks").glob("*/*.py")
    }
    assert {run.module for run in RUNS} == modules
    assert len({run.name for run in RUNS}) == len(RUNS)
    readme = (ROOT / "benchmarks" / "README.md").read_text("utf-8")
    for run in RUNS:
        assert f"`{run.name}`" in readme, f"benchmarks/README.md does not say what {run.name} answers"
        if (RESULTS / f"{run.name}.json").exists():
            page = (DOCS / run.page).read_text("utf-8")
            assert run.name in INCLUDE.findall(page), f"docs/{run.page} does not include {run.name}"


def test_what_a_benchmark_says_is_recorded_and_nothing_is_after_an_error(
    tmp_path, monkeypatch, capsys
) -> None:
    monkeypatch.setattr(Record.write, "__defaults__", (tmp_path,))
    monkeypatch.setattr("benchmarks.results.ROOT", tmp_path)
    with recording("some", seed=3):
        say("Of {n} stars:", n=5)
        lines = table({"stars": ",", "shift": "+.2f", "what": ""})
        lines.row(1234, 0.5, "a")
        lines.row(7, None, None)
    content = json.loads((tmp_path / "some.json").read_text("utf-8"))
    assert content["values"] == {"n": 5}
    assert content["seed"] == 3
    assert content["blocks"][1]["table"]["rows"] == [[1234, 0.5, "a"], [7, None, None]]
    assert "| 1,234 | +0.50 | a |\n| 7 |  |  |" in (tmp_path / "some.md").read_text("utf-8")
    assert "| 1,234 | +0.50 | a |" in capsys.readouterr().out
    with pytest.raises(ZeroDivisionError), recording("broken"):
        raise ZeroDivisionError
    assert not (tmp_path / "broken.json").exists()
    with pytest.raises(ValueError, match="a row has 1 cells, and the table 2"):
        Table({"a": "", "b": ""}).row(1)
