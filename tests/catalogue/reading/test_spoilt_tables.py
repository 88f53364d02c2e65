"""Raw and prepared tables spoilt as programs spoil them, in every format: read right, or refused once, never read wrong.

The tables are written by pandas and astropy. What a table must give is the unspoilt one, row by row on ``source_id``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from astropy.table import MaskedColumn, Table

from redflower.catalogue import prepare, read_stars
from redflower.catalogue.reading.prepared_stars import open_prepared
from redflower.errors import InputError

from ...helpers.raw_stars import raw_stars
from ...helpers.spoilt import (
    BAD_IDENTIFIERS,
    FORMATS,
    GOOD_IDENTIFIERS,
    PACKED,
    renamed,
    replaced,
    without_units,
    write_as_others_do,
    write_twice,
)

N, ROW = 12, 3
Spoil = Callable[[Table], Table]


def slim_raw() -> Table:
    """A raw table of few columns; identifiers of Gaia's form, of which no float keeps all digits."""
    raw = raw_stars(N)
    kept = ["source_id", "ra", "dec", "l", "b", "parallax", "parallax_error", "ecl_lat"]
    kept += [
        name for name in raw.colnames if name.startswith(("phot_g", "phot_bp", "phot_rp", "i_mean", "nu_eff"))
    ]
    raw = raw[kept]
    raw["source_id"] = (
        (np.asarray(raw["source_id"]) & ~np.int64(2**35 - 1)) + 128 * (2 * np.arange(N) + 1) + 2**34
    )
    return raw


@dataclass(frozen=True)
class Kind:
    """One of the two kinds of tables: a good one, what opens it, and a band's column of it."""

    good: Table
    open: Callable[[Path], Table]
    band: str


RAW = Kind(slim_raw(), read_stars, "i_mean_psf_mag")
PREPARED = Kind(
    prepare(slim_raw(), purpose="inference").table, lambda path: open_prepared(path, "the table"), "ps1_i"
)
KINDS = {"raw": RAW, "prepared": PREPARED}
both = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
every_format = pytest.mark.parametrize("ending", FORMATS)
#: Every format of raw tables, and of prepared ones a typed and an untyped format: files are read by the same code.
cells = pytest.mark.parametrize(
    ("kind", "ending"),
    [*((RAW, ending) for ending in FORMATS), (PREPARED, ".parquet"), (PREPARED, ".csv")],
    ids=[*(f"raw{ending}" for ending in FORMATS), "prepared.parquet", "prepared.csv"],
)


def check_right(kind: Kind, found: Table, *, missing: slice = slice(0), column: str = "parallax") -> None:
    """The found table is the good one, but for rows of one column that must be missing."""
    assert np.array_equal(found["source_id"], kind.good["source_id"])
    for name in ("ra", "dec", "parallax", kind.band):
        expected = np.array(kind.good[name], dtype=float)
        if name == column:
            expected[missing] = np.nan
        # Text of floats is exact to the last digit; degrees through radians and back to a few.
        np.testing.assert_allclose(np.asarray(found[name], float), expected, rtol=1e-13)


def opened(kind: Kind, spoilt: Table, tmp_path: Path, ending: str) -> Table:
    return kind.open(write_as_others_do(spoilt, tmp_path / f"t{ending}"))


# ---------------------------------------------------------------- identifiers


@cells
@pytest.mark.parametrize("how", BAD_IDENTIFIERS)
def test_identifiers_that_may_be_off_are_refused(kind, ending, how, tmp_path):
    if ending == ".csv" and how == "float32 of 25 bits":
        pytest.skip("a CSV does not tell float32 from float64, and these are whole in it")
    ids = np.asarray(kind.good["source_id"])
    with pytest.raises(InputError, match="source_id"):
        opened(kind, replaced(kind.good, "source_id", BAD_IDENTIFIERS[how](ids)), tmp_path, ending)


@pytest.mark.parametrize(
    ("kind", "ending"),
    [*((RAW, ending) for ending in (*FORMATS, *PACKED)), *((PREPARED, ending) for ending in FORMATS)],
)
@pytest.mark.parametrize("how", GOOD_IDENTIFIERS)
def test_identifiers_with_every_digit_are_read_whole(kind, ending, how, tmp_path):
    if ending.startswith(".vot") and how == "uint64":
        pytest.skip("a VOTable has no unsigned 64-bit integers")
    ids = np.asarray(kind.good["source_id"])
    check_right(
        kind, opened(kind, replaced(kind.good, "source_id", GOOD_IDENTIFIERS[how](ids)), tmp_path, ending)
    )


@both
def test_small_whole_floats_are_identifiers(kind, tmp_path):
    """Made-up identifiers that a float holds whole are no one else's."""
    spoilt = replaced(kind.good, "source_id", np.arange(N) + 1.0)
    assert list(opened(kind, spoilt, tmp_path, ".fits")["source_id"]) == list(range(1, N + 1))


def test_a_prepared_table_without_identifiers_is_refused_and_a_raw_one_is_numbered(tmp_path):
    for kind in (RAW, PREPARED):
        spoilt = Table(kind.good, copy=True)
        spoilt.remove_column("source_id")
        if kind is PREPARED:
            with pytest.raises(InputError, match="lacks 'source_id'"):
                opened(kind, spoilt, tmp_path, ".fits")
        else:
            assert list(opened(kind, spoilt, tmp_path, ".csv")["source_id"]) == list(range(N))


# ---------------------------------------------------------------- names


@cells
@pytest.mark.parametrize("mark", ["\ufeff", "#", "# ", "  ", '"', "\ufeff#"], ids=repr)
def test_names_lose_what_stands_around_them(kind, ending, mark, tmp_path):
    if ending == ".fits" and "\ufeff" in mark:
        pytest.skip("a FITS header is ASCII")
    spoilt = renamed(renamed(kind.good, "source_id", f"{mark}source_id"), "parallax", f"{mark}parallax")
    check_right(kind, opened(kind, spoilt, tmp_path, ending))


def test_a_csv_begins_after_its_comments(tmp_path):
    text = write_as_others_do(RAW.good, tmp_path / "a.csv").read_text()
    for k, head in enumerate(("# a comment, of two cells\n", "# one\n\n# two\n", "#", "\ufeff# a comment\n")):
        path = tmp_path / f"{k}.csv"
        path.write_text(head + text, encoding="utf-8")
        check_right(RAW, read_stars(path))


def test_the_archives_bulk_file_is_ecsv_in_csv(tmp_path):
    for name in ("GaiaSource_000000-003111.csv", "GaiaSource_000000-003111.csv.gz"):
        path = write_as_others_do(RAW.good, tmp_path / name.replace(".csv", ".ecsv"))
        text = path.rename(tmp_path / name)
        stars = read_stars(text)
        check_right(RAW, stars)
        assert not any("no unit" in note for note in stars.meta["redflower"]["notes"])


@cells
@pytest.mark.parametrize(
    "other", ["parallax_1", "parallax_x", "parallax_gaia", "parallax (mas)", "gaia.parallax", "paralax"]
)
def test_a_column_that_looks_like_an_absent_one_is_asked_for(kind, ending, other, tmp_path):
    with pytest.raises(InputError, match=r"lacks 'parallax'.*Did you mean") as caught:
        opened(kind, renamed(kind.good, "parallax", other), tmp_path, ending)
    assert repr(other) in str(caught.value)


def test_a_column_map_or_another_name_settles_a_lookalike(tmp_path):
    spoilt = renamed(RAW.good, "parallax", "parallax_1")
    for text in (
        '[columns]\nparallax = "parallax_1"\n',
        '[extra]\nother = "parallax_1"\n[constants]\nparallax = 1.0\n',
    ):
        (tmp_path / "map.toml").write_text(text)
        assert np.isfinite(read_stars(spoilt, tmp_path / "map.toml")["parallax"]).all()


@both
@pytest.mark.parametrize("ending", [".parquet", ".ecsv", ".csv"])
def test_names_that_differ_by_case_alone_are_asked_for(kind, ending, tmp_path):
    spoilt = Table(kind.good, copy=True)
    spoilt["PARALLAX"] = 2 * np.asarray(spoilt["parallax"])
    with pytest.raises(InputError, match="differ by case alone: 'parallax' and 'PARALLAX'"):
        opened(kind, spoilt, tmp_path, ending)


@both
@every_format
def test_names_in_capitals_are_read(kind, ending, tmp_path):
    spoilt = Table(kind.good, copy=True)
    spoilt.rename_columns(spoilt.colnames, [n if n in ("l", "b") else n.upper() for n in spoilt.colnames])
    check_right(kind, opened(kind, spoilt, tmp_path, ending))


@cells
@pytest.mark.parametrize("name", ["parallax", "source_id", "b"])
def test_a_column_that_stands_twice_is_refused(kind, ending, name, tmp_path):
    if name == "b" and ending not in (".csv", ".parquet"):
        pytest.skip("a name of one letter cannot be written twice by changing bytes of the file")
    with pytest.raises(InputError, match=rf"2 columns of the name '{name}'"):
        kind.open(write_twice(kind.good, name, tmp_path / f"t{ending}"))


# ---------------------------------------------------------------- missing values


@both
@every_format
def test_words_for_no_value_are_missing_values(kind, ending, tmp_path):
    text = np.asarray(kind.good[kind.band]).astype("U30")
    text[1:-1] = ["NA", "--", "None", "\\N", "null", "NaN", "N/A", "<NA>", " - ", ""]
    found = opened(kind, replaced(kind.good, kind.band, text), tmp_path, ending)
    check_right(kind, found, missing=slice(1, -1), column=kind.band)


@both
@every_format
def test_a_text_that_is_no_number_is_quoted(kind, ending, tmp_path):
    text = np.asarray(kind.good["parallax"]).astype("U30")
    text[ROW], text[ROW + 1] = "NA", "oops"
    with pytest.raises(InputError, match=rf"'oops' in row {ROW + 2}"):
        opened(kind, replaced(kind.good, "parallax", text), tmp_path, ending)


@both
@every_format
def test_marks_of_missing_magnitudes_are_missing_values(kind, ending, tmp_path):
    values = np.array(kind.good[kind.band])
    values[1:8] = [99.0, 999.0, -999.0, 99.9, -9.9, np.inf, 1e10]
    found = opened(kind, replaced(kind.good, kind.band, values), tmp_path, ending)
    check_right(kind, found, missing=slice(1, 8), column=kind.band)


@cells
@pytest.mark.parametrize("kind_of_mask", [bool, np.int16])
def test_a_column_that_masks_another_is_its_mask(kind, ending, kind_of_mask, tmp_path):
    spoilt = Table(kind.good, copy=True)
    values = np.array(spoilt["parallax"])
    values[ROW] = 7.5  # what stands under a mask must never be used
    spoilt = replaced(spoilt, "parallax", values)
    spoilt["parallax.mask"] = (np.arange(N) == ROW).astype(kind_of_mask)
    check_right(kind, opened(kind, spoilt, tmp_path, ending), missing=slice(ROW, ROW + 1))
    spoilt["source_id.mask"] = np.arange(N) == ROW
    with pytest.raises(InputError, match="1 of 12 rows have no source_id"):
        opened(kind, spoilt, tmp_path, ending)


@both
def test_astropys_masked_parquet_is_read_with_its_masks(kind, tmp_path):
    spoilt = Table(kind.good, copy=True)
    spoilt.meta.clear()
    values = np.array(spoilt["parallax"])
    values[ROW] = 7.5
    spoilt.replace_column("parallax", MaskedColumn(values, mask=np.arange(N) == ROW, unit="mas"))
    spoilt.write(tmp_path / "astropy.parquet")
    check_right(kind, kind.open(tmp_path / "astropy.parquet"), missing=slice(ROW, ROW + 1))


# ---------------------------------------------------------------- positions

POSITIONS: dict[str, Spoil] = {
    "hours": lambda t: replaced(t, "ra", np.asarray(t["ra"]) / 15),
    "radians": lambda t: replaced(replaced(t, "ra", np.radians(t["ra"])), "dec", np.radians(t["dec"])),
    "Galactic": lambda t: replaced(replaced(t, "ra", np.asarray(t["l"])), "dec", np.asarray(t["b"])),
    "of other stars": lambda t: replaced(replaced(t, "ra", np.roll(t["ra"], 1)), "dec", np.roll(t["dec"], 1)),
}


@cells
@pytest.mark.parametrize("how", POSITIONS)
@pytest.mark.parametrize("alone", [True, False])
def test_positions_are_compared_with_the_pixel_in_the_identifier(kind, ending, how, alone, tmp_path):
    spoilt = POSITIONS[how](without_units(kind.good))
    if alone:
        spoilt.remove_columns(["l", "b"])
    with pytest.raises(InputError, match="must be"):
        opened(kind, spoilt, tmp_path, ending)


@both
@pytest.mark.parametrize("how", ["hours", "radians", "Galactic"])
def test_one_star_is_enough_to_tell(kind, how, tmp_path):
    spoilt = POSITIONS[how](without_units(kind.good))[:1]
    spoilt.remove_columns(["l", "b"])
    with pytest.raises(InputError, match="by the sky pixels in Gaia's source_id they are"):
        opened(kind, spoilt, tmp_path, ".csv")


@both
def test_galactic_positions_in_radians_are_noticed_without_equatorial_ones(kind, tmp_path):
    spoilt = without_units(kind.good)
    spoilt = replaced(replaced(spoilt, "l", np.radians(spoilt["l"])), "b", np.radians(spoilt["b"]))
    spoilt.remove_columns(["ra", "dec"])
    with pytest.raises(InputError, match="l and b must be Galactic positions in deg.*in radians"):
        opened(kind, spoilt, tmp_path, ".csv")


def test_ecliptic_latitudes_in_radians_are_noticed(tmp_path):
    spoilt = without_units(RAW.good)
    with pytest.raises(InputError, match="ecl_lat must be .* it is in radians"):
        opened(RAW, replaced(spoilt, "ecl_lat", np.radians(spoilt["ecl_lat"])), tmp_path, ".fits")


@both
@pytest.mark.parametrize("made_up", [np.arange(N), 10**15 + np.arange(N), 2**62 + np.arange(N) * 128])
def test_made_up_identifiers_tell_nothing_of_positions(kind, made_up, tmp_path):
    found = opened(kind, replaced(kind.good, "source_id", made_up), tmp_path, ".parquet")
    assert np.allclose(found["ra"], kind.good["ra"])
    if kind is RAW:
        assert any("not taken for Gaia's" in note for note in found.meta["redflower"]["notes"])


# ---------------------------------------------------------------- how many rows


@both
@every_format
def test_no_rows_are_refused_and_one_is_read(kind, ending, tmp_path):
    with pytest.raises(InputError, match="has no rows"):
        opened(kind, kind.good[:0], tmp_path, ending)
    assert len(opened(kind, kind.good[:1], tmp_path, ending)) == 1
