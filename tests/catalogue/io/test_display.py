"""How columns are shown, and what VOTables call them."""

import numpy as np
import pytest
from astropy.io.votable.ucd import check_ucd
from astropy.table import Table

from redflower.catalogue import read_table, write_table
from redflower.catalogue.io import display
from redflower.catalogue.io.display import ucd_of, with_formats
from redflower.posterior.columns import OUTPUT_COLUMNS
from redflower.products.columns import output_rows


@pytest.mark.parametrize("ending", ["ecsv", "csv", "fits", "vot", "parquet"])
def test_formats_shorten_what_is_shown_and_not_what_is_written(tmp_path, ending) -> None:
    value = 0.08759346604347229
    table = Table(
        {"ebv_mean": [value]}, units={"ebv_mean": "mag"}, meta={"redflower": {"stage": "posteriors"}}
    )
    with_formats(table)
    assert "0.0876" in str(table)
    assert "0.08759" not in str(table)
    back = read_table(write_table(table, tmp_path / f"t.{ending}"))
    assert np.asarray(back["ebv_mean"])[0] == value
    assert table["ebv_mean"].info.format == ".4f"


def test_every_ucd_is_one_of_the_vocabulary() -> None:
    assert all(check_ucd(ucd, check_controlled_vocabulary=True) for _, ucd in display._UCDS)
    with_one = [name for name, _, _ in output_rows() if ucd_of(name)]
    assert {name for name in OUTPUT_COLUMNS if name.startswith(("ebv", "distance"))} <= set(with_one)
    assert ucd_of("ebv_q16") == "phot.color.excess"
    assert ucd_of("ps1_g_error") == "stat.error;phot.mag"
    assert ucd_of("somebodys_column") is None
