"""Any survey's table comes out in redflower's names and units, or with one message that says what to mend."""

import tracemalloc

import astropy.units as u
import numpy as np
import pytest
from astropy.table import MaskedColumn, QTable, Table

from redflower.bands import BANDS
from redflower.catalogue import INPUT_COLUMNS, ColumnMap, prepare, read_stars, write_table
from redflower.catalogue.reading.schema import magnitude_error_column
from redflower.errors import InputError, TableError
from redflower.provenance import META_KEY
from tests.helpers.raw_stars import raw_stars


def notes(stars: Table) -> str:
    return "\n".join(stars.meta[META_KEY]["notes"])


# ---------------------------------------------------------------- the schema itself


def test_every_column_is_described():
    for name, column in INPUT_COLUMNS.items():
        assert column.name == name
        assert column.description
        assert column.required or column.without, f"{name}: say what is lost without it"
        if (
            column.kind == "float"
            and name not in ("ruwe", "phot_bp_rp_excess_factor")
            and not name.endswith("_over_error")
        ):
            assert column.unit is not None, f"{name} has no unit"
            u.Unit(column.unit)
        assert column.kind == "text" or name == "source_id" or column.valid is not None


def test_the_columns_of_every_band_are_in_the_schema():
    for band in BANDS:
        assert INPUT_COLUMNS[band.magnitude_column].unit == "mag"
        assert magnitude_error_column(band) in INPUT_COLUMNS
        if band.flux_column:
            assert {band.flux_column, band.flux_error_column} <= set(INPUT_COLUMNS)


def test_no_alias_stands_for_two_columns():
    aliases = [alias for column in INPUT_COLUMNS.values() for alias in column.aliases]
    assert len(aliases) == len(set(aliases))
    assert not set(aliases) & set(INPUT_COLUMNS)


# ---------------------------------------------------------------- reading


def test_an_archive_table_is_read_as_it_is(tmp_path):
    raw = raw_stars()
    stars = read_stars(write_table(raw, tmp_path / "raw.parquet"))
    for name in INPUT_COLUMNS:
        if name in raw.colnames and name != "ph_qual":
            assert np.array_equal(stars[name], raw[name], equal_nan=True), name
    assert stars["parallax"].unit == "mas"
    assert np.array_equal(stars["true_ebv"], raw["true_ebv"])
    assert len(stars.meta[META_KEY]["input"]["sha256"]) == 64
    assert notes(stars) == ""


def test_the_order_of_columns_and_rows_does_not_matter():
    raw = raw_stars()
    shuffled = raw[sorted(raw.colnames, reverse=True)][::-1]
    a, b = read_stars(raw), read_stars(shuffled)
    assert a.colnames[:-1] == b.colnames[:-1]
    b.sort("source_id")
    for name in a.colnames:
        assert np.array_equal(np.asarray(a[name]), np.asarray(b[name]), equal_nan=name != "ph_qual")


def test_reading_twice_changes_nothing():
    stars = read_stars(raw_stars())
    assert read_stars(stars) is stars


def test_the_users_table_is_left_as_it_was():
    raw = raw_stars()
    before = raw.copy()
    stars = read_stars(raw, ColumnMap(extra={"first": "phot_g_mean_mag", "again": "phot_g_mean_mag"}))
    assert np.array_equal(stars["first"], before["phot_g_mean_mag"])
    for name in ("first", "again", "phot_g_mean_mag", "true_ebv"):
        stars[name][:] = -1.0
    prepare(raw, purpose="training")
    assert raw.colnames == before.colnames
    for name in raw.colnames:
        assert np.array_equal(raw[name], before[name], equal_nan=raw[name].dtype.kind == "f"), name


def test_a_file_is_not_held_twice(tmp_path):
    """Ten million stars weigh 4 GB: the file's columns are let go as they are used."""
    path = write_table(raw_stars(30_000), tmp_path / "raw.parquet")
    read_stars(path)  # what is loaded once does not count
    tracemalloc.start()
    try:
        stars = read_stars(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1.7 * sum(stars[name].nbytes for name in stars.colnames)


def test_quantities_and_data_frames_are_read():
    raw = raw_stars()
    from_quantities = read_stars(QTable(raw))
    from_frame = read_stars(raw.to_pandas())
    assert np.array_equal(from_quantities["phot_g_mean_mag"], raw["phot_g_mean_mag"])
    assert np.array_equal(from_frame["source_id"], raw["source_id"])
    assert "no unit is stated" in notes(from_frame)
    with pytest.raises(InputError, match="must be the path of a table file"):
        read_stars([1, 2, 3])


def test_every_mark_of_a_missing_value_becomes_nan():
    raw = raw_stars(10)
    marks = [-999.0, 99.9, 999.0, np.inf, -9.9, np.nan, 1e10, -np.inf]
    raw["g_mean_psf_mag"][:8] = marks
    raw["g_mean_psf_mag"] = raw["g_mean_psf_mag"].astype(np.float32)  # 99.9 is not 99.9 in float32
    raw["j_m"] = MaskedColumn(raw["j_m"], mask=np.arange(10) < 3)
    raw["ruwe"][0] = -999
    raw["phot_g_n_obs"][0] = -999
    raw["phot_g_n_obs"][1] = 999
    stars = read_stars(raw)
    assert np.isnan(stars["g_mean_psf_mag"]).tolist() == [True] * 8 + [False] * 2
    assert np.isnan(stars["j_m"]).sum() == 3
    assert np.isnan(stars["ruwe"][0])
    assert stars["phot_g_n_obs"][0] is np.ma.masked
    assert stars["phot_g_n_obs"][1] == 999, "999 observations are possible"
    assert "g_mean_psf_mag: 5 values are marks of missing values" in notes(stars)


def test_errors_outside_their_range_are_missing_and_counted():
    raw = raw_stars(10)
    raw["ks_msigcom"][:2] = 9.995
    raw["ks_msigcom"][2] = 0.0
    stars = read_stars(raw)
    assert np.isnan(stars["ks_msigcom"]).sum() == 3
    assert "ks_msigcom: 3 values outside 0 to 5" in notes(stars)


@pytest.mark.parametrize("lost", [("l", "b"), ("ra", "dec")])
def test_the_other_coordinates_are_computed(lost):
    raw = raw_stars()
    less = raw.copy()
    less.remove_columns(lost)
    stars = read_stars(less)
    for name in lost:
        # Two rotations in float64: a few hundred epsilon of a degree at most.
        assert np.allclose(stars[name], raw[name], rtol=0, atol=1e-9)
    assert f"{lost[0]} and {lost[1]} are computed" in notes(stars)


def test_longitudes_from_minus_180_are_understood():
    raw = raw_stars()
    expected = np.array(raw["l"])
    raw["l"] = np.where(expected > 180, expected - 360, expected)
    assert np.allclose(read_stars(raw)["l"], expected, rtol=0, atol=1e-12)


def test_aliases_are_taken_and_said_aloud():
    raw = raw_stars()
    raw.rename_columns(
        ["ks_m", "ks_msigcom", "g_mean_psf_mag", "g_mean_psf_mag_error", "source_id", "ra"],
        ["k_m", "k_msigcom", "gMeanPSFMag", "gMeanPSFMagErr", "SOURCE_ID", "RA"],
    )
    stars = read_stars(raw)
    for ours, theirs in (("ks_m", "k_m"), ("g_mean_psf_mag", "gMeanPSFMag"), ("source_id", "SOURCE_ID")):
        assert np.array_equal(stars[ours], raw[theirs])
        assert f"column {theirs!r} is read as {ours!r}" in notes(stars)


def test_a_magnitude_b_is_no_latitude():
    raw = raw_stars()
    raw.remove_columns(["l", "b"])
    raw["B"] = np.full(len(raw), 15.0)
    assert (read_stars(raw)["b"] > 29).all()


def test_missing_optional_columns_are_said_with_what_they_cost():
    raw = raw_stars()
    raw.remove_columns(["ruwe", "ph_qual", "y_mean_psf_mag", "parallax", "parallax_error"])
    text = notes(read_stars(raw))
    assert "no ruwe: no cut on RUWE" in text
    assert "no ph_qual: 2MASS bands are kept on their errors alone" in text
    assert "no y_mean_psf_mag: band y is missing for every star" in text
    assert "no parallax: no training" in text


def test_a_table_without_identifiers_is_numbered():
    raw = raw_stars(5)
    raw.remove_column("source_id")
    stars = read_stars(raw)
    assert list(stars["source_id"]) == [0, 1, 2, 3, 4]
    assert "rows are numbered" in notes(stars)


# ---------------------------------------------------------------- units


def test_units_that_convert_are_converted():
    raw = raw_stars()
    expected = np.array(raw["parallax"])
    raw["parallax"] = raw["parallax"].to(u.arcsec)
    raw["parallax_error"] = raw["parallax_error"].to(u.arcsec)
    raw["ra"] = raw["ra"].to(u.rad)
    stars = read_stars(raw)
    assert np.allclose(stars["parallax"], expected, rtol=1e-14)
    assert stars["parallax"].unit == "mas"
    assert np.allclose(stars["ra"], np.rad2deg(raw["ra"]), rtol=1e-14)
    assert "parallax is converted from arcsec to mas" in notes(stars)


@pytest.mark.parametrize(
    ("column", "unit", "message"),
    [
        ("phot_g_mean_mag", "Jy", r"'phot_g_mean_mag' must be in mag|phot_g_mean_mag must be in mag"),
        ("l", "h", r"l must be in deg .* the table says 'h'"),
        ("parallax", "mag", "parallax must be in mas"),
        ("phot_g_mean_flux", "mag", "must be in a unit of flux"),
        ("phot_g_mean_mag", "mag(AB)", "must hold Vega magnitudes"),
        ("phot_bp_mean_flux_error", "W / m2", "must be in one unit"),
    ],
)
def test_a_wrong_unit_is_one_clear_error(column, unit, message):
    raw = raw_stars()
    raw[column].unit = unit
    with pytest.raises(InputError, match=message):
        read_stars(raw)


def test_a_parallax_in_arcsec_without_a_unit_is_noticed():
    raw = raw_stars()
    for name in ("parallax", "parallax_error"):
        raw[name] = np.asarray(raw[name]) / 1000
    with pytest.raises(
        InputError, match=r"looks like arcsec.*\[units\] parallax_error = \"arcsec\""
    ) as caught:
        read_stars(raw)
    assert "\n" not in str(caught.value)
    # Also where the table claims to be in mas; and the remedy works.
    raw["parallax_error"].unit = "mas"
    with pytest.raises(InputError, match="as the table says"):
        read_stars(raw)
    raw["parallax_error"].unit = None
    stars = read_stars(raw, ColumnMap(units={"parallax": "arcsec", "parallax_error": "arcsec"}))
    assert np.allclose(stars["parallax"], raw_stars()["parallax"], rtol=1e-12)


def test_a_statement_of_the_user_is_believed():
    raw = raw_stars()
    raw["parallax_error"] = np.full(len(raw), 1e-4)  # a simulation may be that precise
    stars = read_stars(raw, ColumnMap(units={"parallax_error": "mas"}))
    assert stars["parallax_error"][0] == 1e-4


def test_the_map_may_not_contradict_the_table():
    with pytest.raises(InputError, match="table says mas and the column map"):
        read_stars(raw_stars(), ColumnMap(units={"parallax": "arcsec"}))


# ---------------------------------------------------------------- what is refused


def test_an_empty_table_is_refused(tmp_path):
    with pytest.raises(InputError, match="has no rows"):
        read_stars(raw_stars()[:0])
    with pytest.raises(InputError, match=r"none.fits has no rows"):
        read_stars(write_table(raw_stars()[:0], tmp_path / "none.fits"))


def test_a_missing_required_column_names_the_nearest(tmp_path):
    raw = raw_stars()
    raw.rename_column("phot_g_mean_mag", "phot_g_mag_mean")
    path = write_table(raw, tmp_path / "raw.parquet")
    with pytest.raises(TableError, match=r"lacks 'phot_g_mean_mag'.*Did you mean 'phot_g_mag_mean'\?"):
        read_stars(path)
    raw = raw_stars()
    raw.remove_columns([name for name in raw.colnames if "phot_g_mean" in name])
    assert "no phot_g_mean_mag: band G is missing for every star" in notes(read_stars(raw))
    with pytest.raises(InputError, match="training needs G"):
        prepare(raw, purpose="training")
    raw = raw_stars()
    raw.remove_column("parallax_error")
    with pytest.raises(TableError, match="lacks 'parallax_error'"):
        read_stars(raw)
    raw = raw_stars()
    raw.remove_columns(["ra", "b"])
    with pytest.raises(TableError, match="lacks 'ra'"):
        read_stars(raw)
    raw = raw_stars()
    raw.remove_column("phot_g_mean_flux_error")
    with pytest.raises(TableError, match="lacks 'phot_g_mean_flux_error'"):
        read_stars(raw)


def test_bands_without_a_value():
    raw = raw_stars()
    raw["phot_bp_mean_mag"] = np.nan
    assert "phot_bp_mean_mag has no usable value: band BP" in notes(read_stars(raw))
    raw["phot_g_mean_mag"] = np.nan
    with pytest.raises(InputError, match="'phot_g_mean_mag' has no usable value in 50 rows"):
        read_stars(raw)


def test_repeated_identifiers_are_refused_or_said():
    raw = raw_stars()
    raw["source_id"][7] = raw["source_id"][3]
    with pytest.raises(
        InputError, match=rf"1 of 50 rows repeat an earlier one \(such as {raw['source_id'][3]}\)"
    ):
        read_stars(raw)
    stars = read_stars(raw, duplicates="keep_first")
    assert len(stars) == 49
    assert stars["parallax"][3] == raw["parallax"][3]
    assert "1 rows repeat a source_id" in notes(stars)


def test_identifiers_that_lost_digits_are_refused():
    raw = raw_stars()
    raw["source_id"] = np.asarray(raw["source_id"], dtype=float)
    with pytest.raises(
        InputError, match="stored as float64, which holds whole numbers to 9007199254740992 alone"
    ):
        read_stars(raw)
    raw["source_id"] = np.full(len(raw), 2**63, dtype=np.uint64)
    with pytest.raises(InputError, match="signed 64-bit"):
        read_stars(raw)
    raw["source_id"] = np.asarray(raw_stars()["source_id"]).astype(str)
    assert np.array_equal(read_stars(raw)["source_id"], raw_stars()["source_id"])


def test_swapped_columns_are_noticed():
    raw = raw_stars()
    raw.rename_columns(["l", "b"], ["b_", "l"])
    raw.rename_column("b_", "b")
    with pytest.raises(
        InputError, match="'b' must lie within -90 to 90 deg|must be the Galactic coordinates"
    ):
        read_stars(raw)
    raw = raw_stars()
    raw["l"] = np.asarray(raw["l"]) / 15  # hours, without a unit
    with pytest.raises(InputError, match="must be the Galactic coordinates of ra and dec"):
        read_stars(raw)
    raw = raw_stars()
    columns = {"phot_bp_mean_flux": "phot_rp_mean_flux", "phot_rp_mean_flux": "phot_bp_mean_flux"}
    stars = read_stars(raw, ColumnMap(columns=columns))  # of one shape here: only a constant offset
    assert len(stars) == 50
    raw["phot_rp_mean_flux"] = np.asarray(raw["phot_rp_mean_flux"])[::-1]
    with pytest.raises(InputError, match="must be of one band"):
        read_stars(raw)


def test_text_in_a_column_of_numbers_is_refused():
    raw = raw_stars()
    raw["parallax"] = ["1.0"] * 48 + ["n/a", "1,5"]
    with pytest.raises(InputError, match="holds the text '1,5' in row 50"):
        read_stars(raw)
    raw["parallax"] = ["1.0"] * 49 + ["n/a"]
    assert np.isnan(read_stars(raw)["parallax"][49])
