"""Column maps: what they can say, and one clear error for what makes no sense."""

from pathlib import Path

import numpy as np
import pytest

from redflower.catalogue import ColumnMap, read_column_map, read_stars
from redflower.errors import InputError, TableError
from redflower.provenance import META_KEY
from tests.helpers.raw_stars import raw_stars


def write_map(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "map.toml"
    path.write_text(text)
    return path


def test_a_map_renames_states_units_fills_constants_and_carries_extras(tmp_path):
    raw = raw_stars()
    raw.rename_column("parallax", "my.plx")
    raw.remove_column("astrometric_params_solved")
    raw["member"] = np.arange(50)
    text = """
        [columns]
        parallax = "my.plx"
        [constants]
        astrometric_params_solved = 31
        [extra]
        membership = "member"
    """
    stars = read_stars(raw, write_map(tmp_path, text))
    assert np.array_equal(stars["parallax"], raw["my.plx"])
    assert (stars["astrometric_params_solved"] == 31).all()
    assert np.array_equal(stars["membership"], raw["member"])
    assert stars.meta[META_KEY]["columns"] == {"parallax": "my.plx"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[columns]\nparalax = "plx"', r"key 'paralax'.*Did you mean 'parallax'\?"),
        ('[colums]\nparallax = "plx"', r"unknown section or key 'colums'\. Did you mean 'columns'\?"),
        ('columns = "x"', "must be a section"),
        ("[columns]\nparallax = 3", "must be a text in quotes"),
        ("[columns]\nparallax = gaia.plx", "is not valid TOML"),
        ('[columns]\nparallax = "a"\nruwe = "a"', "maps 'a' to both 'parallax' and 'ruwe'"),
        ('[units]\nparallax = "parsecs per hour"', "is no unit that astropy knows"),
        ('[columns]\nruwe = "a"\n[constants]\nruwe = 1', r"under \[columns\] and \[constants\]"),
        ("[constants]\nruwe = [1]", "must be one number or text"),
        ('[extra]\nparallax = "a"', "put it under"),
        ('[columns.gaia]\nra = "x"', "put a name with a dot in it in quotes"),
    ],
)
def test_a_map_that_makes_no_sense_is_one_clear_error(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        read_column_map(write_map(tmp_path, text))


def test_a_mapped_column_that_is_absent_names_the_nearest(tmp_path):
    with pytest.raises(TableError, match=r"no column 'Ruve'\. Did you mean 'ruwe'\?"):
        read_stars(raw_stars(), ColumnMap(columns={"ruwe": "Ruve"}))
    with pytest.raises(InputError, match="cannot be read"):
        read_stars(raw_stars(), tmp_path / "absent.toml")
