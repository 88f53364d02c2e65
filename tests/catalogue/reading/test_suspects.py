"""Identifiers under other names, and parallaxes in another unit than their errors: asked for, named, or refused."""

import numpy as np
import pytest

from redflower.catalogue import prepare, read_stars
from redflower.catalogue.reading.prepared_stars import open_prepared
from redflower.errors import InputError, TableError

from ...helpers.raw_stars import raw_stars
from ...helpers.spoilt import renamed


@pytest.mark.parametrize(
    "name", ["gaia_id", "dr3_source_id", "SourceID", "designation", "gaia_dr3_source_id", "DESIGNATION"]
)
def test_identifiers_of_gaia_under_another_name_are_asked_for(name):
    with pytest.raises(TableError, match=f"lacks 'source_id', but has '{name}'. Did you mean"):
        read_stars(renamed(raw_stars(8), "source_id", name))


@pytest.mark.parametrize("name", ["id", "objID", "star_id", "TIC", "name"])
def test_other_identifiers_are_named(name, caplog):
    stars = read_stars(renamed(raw_stars(8), "source_id", name))
    assert list(stars["source_id"]) == list(range(8))
    assert f"may be identifiers: {name!r}" in caplog.text


def test_a_table_with_identifiers_names_none(caplog):
    table = raw_stars(8)
    table["id"] = np.arange(8)
    read_stars(table)
    assert "may be identifiers" not in caplog.text


@pytest.mark.parametrize("factor", [1e-3, 1e3], ids=["arcsec", "uas"])
@pytest.mark.parametrize("kind", ["raw", "prepared"])
def test_parallaxes_in_another_unit_than_their_errors_are_refused(factor, kind):
    table = raw_stars(40)
    if kind == "prepared":
        table = prepare(table, purpose="inference").table
    table["parallax"] = np.asarray(table["parallax"]) * factor
    with pytest.raises(InputError, match="parallax and parallax_error must be in one unit"):
        read_stars(table) if kind == "raw" else open_prepared(table, "the table")


def test_magnitudes_that_are_all_impossible_are_refused():
    table = prepare(raw_stars(8), purpose="inference").table
    table["gaia_g"] = np.asarray(table["gaia_g"]) * 1000.0  # mmag, of which nothing tells
    with pytest.raises(InputError, match="none of its 8 values does"):
        open_prepared(table, "the table")
