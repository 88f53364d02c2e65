"""The list of columns: made from the schema, the same in the command and in the documentation."""

from pathlib import Path

import redflower
from redflower.catalogue.reading.schema import INPUT_COLUMNS
from redflower.posterior.columns import OUTPUT_COLUMNS
from redflower.products.columns import columns_page, input_rows, output_rows
from tests.cli.test_commands import run
from tests.helpers.raw_stars import raw_stars

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "columns.md"


def test_the_page_of_the_documentation_is_what_the_schema_says() -> None:
    """Made by `python -m scripts.columns_page`."""
    assert PAGE.read_text("utf-8") == columns_page()


def test_every_column_is_listed_with_its_unit() -> None:
    assert [row[0] for row in input_rows()] == list(INPUT_COLUMNS)
    assert {name: unit for name, unit, _ in output_rows()}["distance_mean"] == "pc"
    assert set(OUTPUT_COLUMNS) <= {row[0] for row in output_rows()}
    assert all(text for _, _, text in output_rows())


def test_columns_lists_them_and_says_which_of_a_table_are_known(tmp_path, capsys, monkeypatch) -> None:
    code, out, _ = run(capsys, monkeypatch, "columns")
    assert code == 0
    assert "phot_g_mean_mag [mag]: apparent magnitude in G" in out
    assert "also called Gmag" in out
    assert "ebv_mean [mag]: E(B-V), posterior mean" in out
    table = raw_stars()
    table.rename_columns(["parallax", "ks_m"], ["Plx", "Ksmag"])
    path = redflower.write_table(table, tmp_path / "raw.parquet")
    code, out, _ = run(capsys, monkeypatch, "columns", path, "--write-columns", tmp_path / "map.toml")
    assert code == 0
    assert "parallax: 'Plx'" in out
    assert "10 of 11 bands found" in out
    assert "not used: Ksmag" in out
    assert 'parallax = "Plx"' in (tmp_path / "map.toml").read_text()
