"""Whatever holds a table is read as one: whole numbers whole, masks kept, everything else refused in a line."""

from decimal import Decimal

import astropy.units as u
import numpy as np
import pandas
import pyarrow as pa
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import MaskedColumn, QTable, Table

from redflower.catalogue import read_table, write_table
from redflower.catalogue.io.sources import as_table
from redflower.errors import InputError, TableError

#: Odd and beyond 2^53: a float would lose the last digit.
ID = 2263934951722320001


def test_whole_numbers_stay_whole_in_every_kind_of_table(tmp_path):
    plain = Table({"source_id": [ID, ID + 2], "x": [1.5, 2.5]})
    hdu = fits.table_to_hdu(plain)
    frame = plain.to_pandas()
    sources = [
        plain,
        QTable(plain),
        write_table(plain, tmp_path / "a.fits"),
        str(write_table(plain, tmp_path / "a.csv")),
        frame,
        frame.set_index("source_id"),
        frame.set_index(["source_id", "x"]),
        frame.astype({"source_id": "Int64", "x": "Float64"}),
        frame.astype({"source_id": "int64[pyarrow]"}),
        frame.astype(object),
        frame.assign(source_id=[Decimal(ID), Decimal(ID + 2)]),
        pa.Table.from_pandas(frame),
        pa.RecordBatch.from_pandas(frame),
        pa.table({"source_id": pa.array([Decimal(ID), Decimal(ID + 2)]), "x": [1.5, 2.5]}),
        hdu,
        hdu.data,
        fits.HDUList([fits.PrimaryHDU(), hdu]),
        plain.as_array(),
        {"source_id": np.array([ID, ID + 2]), "x": [1.5, 2.5]},
    ]
    for source in sources:
        found = as_table(source)
        assert found["source_id"].dtype == np.int64
        assert list(found["source_id"]) == [ID, ID + 2]
        assert list(found["x"]) == [1.5, 2.5]


def test_missing_values_stay_missing():
    masked = Table(
        {"n": MaskedColumn([ID, 7], mask=[False, True]), "x": MaskedColumn([1.0, 2.0], mask=[True, False])}
    )
    hdu = fits.table_to_hdu(masked)
    frame = pandas.DataFrame({"n": pandas.array([ID, None], dtype="Int64"), "x": [np.nan, 2.0]})
    objects = pandas.DataFrame({"n": [ID, None], "x": [None, 2.0]}, dtype=object)
    for source in (masked, hdu, hdu.data, frame, objects, pa.Table.from_pandas(frame)):
        found = as_table(source)
        assert list(np.ma.getmaskarray(found["n"])) == [False, True]
        assert found["n"][0] == ID
        assert np.isnan(np.asarray(found["x"], float)[0])
        assert found["x"][1] == 2.0


def test_columns_that_are_no_numbers_or_text_are_left_out_by_name(caplog):
    table = Table({"x": [1.0], "where": SkyCoord([1], [2], unit="deg")})
    assert as_table(table).colnames == ["x"]
    assert "'where', a SkyCoord, is left out" in caplog.text
    frame = pandas.DataFrame({"x": [1.0], "when": pandas.to_datetime(["2016-01-01"])})
    assert as_table(frame)["when"][0].startswith("2016-01-01")


def test_masked_quantities_are_masked_columns_with_units():
    from astropy.utils.masked import Masked

    found = as_table(QTable({"x": Masked([1.0, 2.0] * u.mas, mask=[True, False])}))
    assert found["x"].unit == u.mas
    assert list(found["x"].mask) == [True, False]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (5, "got int"),
        ([1, 2], "got list"),
        (None, "got NoneType"),
        (pandas.DataFrame([[1, 2]], columns=["a", "a"]), "2 columns of the name 'a'"),
        ({"a": [1], "\ufeffa": [2]}, "2 columns of the name 'a'"),
        (fits.HDUList([fits.PrimaryHDU()]), "holds no table"),
        ({"a": [1, 2], "b": [1]}, "cannot be read as a table"),
        ("none.fits", "does not exist"),
    ],
)
def test_what_holds_no_table_is_one_line(source, message):
    with pytest.raises(InputError, match=message) as caught:
        as_table(source)
    assert "\n" not in str(caught.value)


def test_text_numbers_beyond_64_bits_keep_their_digits(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(f"n,x\n{ID}{ID},1\n{ID},2\n")
    assert str(read_table(path)["n"][0]) == f"{ID}{ID}"


def test_a_csv_with_other_separators_says_so(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("source_id;ra;dec\n1;2;3\n")
    with pytest.raises(TableError, match="has semicolons between its cells"):
        read_table(path)
