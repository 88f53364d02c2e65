"""Files that are not what their names say, or whose rows are not whole: one line that says what they are."""

import gzip
import os
import zipfile

import numpy as np
import pandas
import pytest
from astropy.table import Table

from redflower.catalogue import read_stars, read_table, write_table
from redflower.catalogue.io.tables import column_names, read_table_parts
from redflower.errors import TableError
from redflower.files import check_new_file, check_new_files, check_new_folder, check_outputs

TABLE = Table({"source_id": np.arange(5) + 10**15, "x": np.arange(5) + 0.5})
CSV = "a,b,c\n" + "".join(f"{k},{k}.5,word\n" for k in range(4))


def written(tmp_path, ending: str) -> bytes:
    return write_table(TABLE, tmp_path / f"whole{ending}").read_bytes()


@pytest.mark.parametrize("ending", [".parquet", ".fits", ".vot", ".ecsv"])
@pytest.mark.parametrize("other", [".parquet", ".fits", ".vot", ".ecsv", ".csv"])
def test_a_table_under_another_ending_is_told(ending, other, tmp_path):
    if ending == other or (ending, other) == (".ecsv", ".csv"):  # the Gaia archive's files are ECSV in .csv
        pytest.skip("read")
    (tmp_path / f"t{other}").write_bytes(written(tmp_path, ending))
    with pytest.raises(TableError, match=rf"Let its name end in \{ending}"):
        read_table(tmp_path / f"t{other}")


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"<!DOCTYPE html><html>Error 500, sorry</html>", "a web page"),
        (b'{"a": 1, "b": 2}', "JSON"),
        (b'[{"a": 1, "b": 2}]', "JSON"),
        (CSV.encode("utf-16"), "UTF-16"),
        (b"PK\x03\x04 and more", "a zip archive"),
        (b"\x89HDF\r\n\x1a\n", "HDF5"),
        (gzip.compress(CSV.encode(), mtime=0), "packed by gzip"),
        (b"BZh91AY and more", "packed by bzip2"),
    ],
    # By content they would be other tests in every process.
    ids=["page", "object", "list", "UTF-16", "zip", "HDF5", "gzip", "bzip2"],
)
@pytest.mark.parametrize("ending", [".csv", ".ecsv", ".fits", ".vot"])
def test_other_kinds_of_files_are_told(content, kind, ending, tmp_path):
    (tmp_path / f"t{ending}").write_bytes(content)
    with pytest.raises(TableError, match=kind) as caught:
        read_table(tmp_path / f"t{ending}")
    assert "\n" not in str(caught.value)


def test_gz_says_packed(tmp_path):
    (tmp_path / "t.csv.gz").write_text(CSV)
    with pytest.raises(TableError, match="is not packed by gzip"):
        read_table(tmp_path / "t.csv.gz")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (CSV.replace("1,1.5,word", "1,1.5"), r"row 2 has 2 of 3 cells \('1,1.5'\)"),
        (CSV.replace("1,1.5,word", "1,1.5,word,6"), "row 2 has 4 of 3 cells"),
        (CSV + "# the end\n", "was cut short: its last line has 1 of 3 cells"),
        (CSV[:-7], "was cut short: its last line has 2 of 3 cells"),
        (CSV.replace("1.5", "1\0.5"), "holds a NUL byte in row 2"),
        (CSV.replace("word\n", '"word\n', 1), "a quote that was opened in row 1 is not closed"),
        (CSV.partition("\n")[2].replace("word", "7"), "has no line of names"),
        (CSV.replace(",", " "), "has blanks between its cells"),
    ],
)
def test_rows_that_are_not_whole_are_refused(text, message, tmp_path):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(TableError, match=message):
        read_table(tmp_path / "t.csv")


def test_text_that_is_not_utf8_is_told(tmp_path):
    (tmp_path / "t.csv").write_bytes(CSV.replace("word", "Ångström").encode("latin-1"))
    with pytest.raises(TableError, match="byte 0xc5 is no text in UTF-8"):
        read_table(tmp_path / "t.csv")


def test_line_breaks_commas_and_long_texts_within_quotes_are_read(tmp_path):
    frame = pandas.DataFrame({"a": [1, 2, 3], "b": ["two\nlines", 'a, "b", c', "x" * 1_000_000]})
    frame.to_csv(tmp_path / "t.csv", index=False)
    assert list(read_table(tmp_path / "t.csv")["b"]) == list(frame["b"])


def test_python_s_underscores_are_no_digits(tmp_path):
    (tmp_path / "t.csv").write_text("a,b\n1_000,1\n2,2\n")
    assert read_table(tmp_path / "t.csv")["a"].dtype.kind == "U"


@pytest.mark.parametrize("start", [0, 1000])
def test_an_index_of_pandas_that_only_counts_is_a_column(start, tmp_path):
    """It stands in the metadata alone; stars would be numbered anew without it."""
    frame = pandas.DataFrame(
        {"x": np.arange(4.0)}, index=pandas.RangeIndex(start, start + 8, 2, name="source_id")
    )
    path = tmp_path / "t.parquet"
    frame.to_parquet(path)
    ids = list(frame.index)
    assert "source_id" in column_names(path)
    assert list(read_table(path)["source_id"]) == ids
    assert list(read_table(path, ["source_id"])["source_id"]) == ids
    assert [int(i) for part in read_table_parts(path, 3) for i in part["source_id"]] == ids


def test_a_column_of_structures_is_refused_where_it_is_needed(tmp_path):
    from ...helpers.raw_stars import raw_stars

    frame = raw_stars(4).to_pandas()
    frame["source_id"] = [{"id": int(value)} for value in frame["source_id"]]
    frame.to_parquet(tmp_path / "t.parquet")
    with pytest.raises(TableError, match="column 'source_id' is of type struct"):
        read_stars(tmp_path / "t.parquet")


def test_what_is_no_file_is_refused_and_never_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "loop.fits").symlink_to("loop.fits")
    (tmp_path / "lost.csv").symlink_to("nowhere.csv")
    for name in ("pipe.csv", "loop.fits", "lost.csv", "n" * 300 + ".csv"):
        with pytest.raises(ValueError, match=r"no file that can be read|cannot be a file"):
            read_table(tmp_path / name)


def test_outputs_are_tried_before_work(tmp_path):
    (tmp_path / "lost.fits").symlink_to("nowhere.fits")
    (tmp_path / "loop").symlink_to("loop")
    here, long = tmp_path / "a.fits", tmp_path / ("n" * 300 + ".fits")
    check_outputs({"OUT": here}, {"RAW": tmp_path / "loop"})
    check_new_file(tmp_path / ("n" * 250 + ".fits"))
    assert not here.exists()
    for path in (tmp_path / "lost.fits", long, tmp_path / "none" / "a.fits", tmp_path):
        with pytest.raises(ValueError, match=r"exists already|cannot be a file|no folder|is a folder"):
            check_new_file(path, "OUT")
    for check in (check_new_folder, lambda folder: check_new_files("--figures", folder, ["a.png"])):
        with pytest.raises(ValueError, match="a folder is needed"):
            check(tmp_path / "loop")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["loop", "lost.fits"]


def test_a_zip_of_a_table_is_told(tmp_path):
    with zipfile.ZipFile(tmp_path / "t.csv", "w") as file:
        file.writestr("t.csv", CSV)
    with pytest.raises(TableError, match="a zip archive"):
        read_table(tmp_path / "t.csv")
