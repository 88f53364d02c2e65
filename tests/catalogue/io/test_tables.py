"""Tables survive every format; damaged files end in one clear message."""

import gzip
import logging
import shutil
import subprocess

import astropy.units as u
import numpy as np
import pandas
import pytest
from astropy.table import Column, MaskedColumn, QTable, Table

from redflower.catalogue import ENDINGS, read_table, write_table
from redflower.errors import TableError
from redflower.provenance import META_KEY

WITH_UNITS = [ending for ending in ENDINGS if ending != ".csv"]
PROVENANCE = {"stage": "stars", "nested": [1, 2.5, {"text": 'it\'s "quoted" & / long ' * 40}], "none": None}


def example() -> Table:
    table = Table()
    table["source_id"] = np.array([2**62 + 1, -(2**63) + 1, 3], dtype=np.int64)
    table["parallax"] = MaskedColumn([0.1, -2.5, 9.0], mask=[0, 0, 1], unit="mas", description="a parallax")
    # 999999 is the default marker of missing integers in FITS: it must stay a value.
    table["n_obs"] = MaskedColumn([7, 999999, 3], mask=[0, 0, 1], description="a count")
    table["flux"] = Column(np.array([1.0, 1 / 3, 1e-30]), unit="electron / s")
    table["single"] = Column(np.array([1 / 3, 2.5, -1e9], dtype=np.float32), unit="mag")
    table["ph_qual"] = ["AAA", "ABC", "x, y"]
    table.meta[META_KEY] = PROVENANCE
    return table


@pytest.mark.parametrize("ending", ENDINGS)
def test_values_and_missing_values_round_trip(tmp_path, ending):
    table = example()
    path = write_table(table, tmp_path / f"stars{ending}")
    back = read_table(path)
    assert back.colnames == table.colnames
    assert back["source_id"].dtype == np.int64
    assert np.array_equal(back["source_id"], table["source_id"])
    for name in ("flux", "single"):
        # repr of a float, or its bytes, give it back exactly in its own precision.
        assert np.array_equal(np.asarray(back[name], table[name].dtype), table[name])
    assert list(back["ph_qual"]) == ["AAA", "ABC", "x, y"]
    for name in ("parallax", "n_obs"):
        assert list(back[name].mask) == [False, False, True]
        assert list(back[name][:2]) == list(table[name][:2])
    assert np.isnan(np.asarray(back["parallax"])[2]), "a missing float must not leak its old value"
    assert back["parallax"].dtype.isnative


@pytest.mark.parametrize("ending", WITH_UNITS)
def test_units_descriptions_and_provenance_round_trip(tmp_path, ending):
    back = read_table(write_table(example(), tmp_path / f"stars{ending}"))
    assert back["parallax"].unit == "mas"
    assert back["flux"].unit == "electron / s"
    assert back["parallax"].description == "a parallax"
    assert back["n_obs"].description == "a count"
    assert back.meta[META_KEY] == PROVENANCE


@pytest.mark.parametrize("ending", WITH_UNITS)
def test_missing_text_comes_back_without_its_old_value(tmp_path, ending):
    table = Table({"quality": MaskedColumn(["AAA", "BBB"], mask=[False, True])})
    back = read_table(write_table(table, tmp_path / f"stars{ending}"))
    assert list(np.ma.filled(back["quality"], "")) == ["AAA", ""]


def test_csv_says_what_it_loses(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        write_table(example(), tmp_path / "stars.csv")
    assert "keeps no units" in caplog.text


@pytest.mark.parametrize("ending", [".parquet", ".fits", ".ecsv", ".vot"])
def test_columns_of_arrays_round_trip(tmp_path, ending):
    table = Table({"log_density": np.arange(24, dtype=np.float32).reshape(2, 3, 4)})
    back = read_table(write_table(table, tmp_path / f"density{ending}"))
    assert np.array_equal(back["log_density"], table["log_density"])


@pytest.mark.parametrize("ending", WITH_UNITS)
def test_provenance_is_written_as_json_has_it(tmp_path, ending):
    """A tuple in ECSV would be a Python object, and no other program would read the table."""
    table = Table(
        {"x": Column([1.0], unit="mas")}, meta={META_KEY: {"range": (1.0, 2.0), "deep": [{"a": (1,)}]}}
    )
    path = write_table(table, tmp_path / f"a{ending}")
    assert read_table(path).meta[META_KEY] == {"range": [1.0, 2.0], "deep": [{"a": [1]}]}
    assert b"!!python" not in path.read_bytes()


@pytest.mark.skipif(
    shutil.which("stilts") is None, reason="STILTS is not installed (Debian's package stilts)"
)
@pytest.mark.parametrize("ending", [".fits", ".ecsv", ".vot"])
def test_stilts_reads_units_and_rows(tmp_path, ending):
    """The library that TOPCAT reads with."""
    table = example()
    table.meta[META_KEY] = {"range": (1.0, 2.0)}
    path = write_table(table, tmp_path / f"stars{ending}")
    done = subprocess.run(
        ["stilts", "tpipe", f"in={path}", "cmd=meta name units", "ofmt=csv"],
        capture_output=True,
        text=True,
        check=True,
    )
    units = dict(line.split(",")[:2] for line in done.stdout.splitlines() if "," in line)
    for name in table.colnames:
        unit = table[name].unit
        assert u.Unit(units[name].replace(".", " ")) == (unit or ""), name  # VOTable has "electron.s**-1"


@pytest.mark.parametrize("ending", ENDINGS)
def test_no_rows_round_trip(tmp_path, ending):
    back = read_table(write_table(example()[:0], tmp_path / f"none{ending}"))
    assert len(back) == 0
    assert back.colnames == example().colnames


def test_true_and_false_round_trip_in_csv(tmp_path):
    table = Table({"ok": [True, False], "n": [1, 2]})
    back = read_table(write_table(table, tmp_path / "a.csv"))
    assert back["ok"].dtype == bool
    assert list(back["ok"]) == [True, False]


def test_parquet_reads_what_pandas_and_astropy_write_and_astropy_reads_ours(tmp_path):
    frame = pandas.DataFrame({"source_id": [2**62 + 1, 2], "ra": [1.5, None], "q": ["AAA", None]})
    frame.to_parquet(tmp_path / "pandas.parquet")
    back = read_table(tmp_path / "pandas.parquet")
    assert back["source_id"][0] == 2**62 + 1
    assert np.isnan(np.asarray(back["ra"])[1])
    assert list(np.ma.filled(back["q"], "")) == ["AAA", ""]

    theirs = Table({"x": Column([1.0], unit="mas", description="d")}, meta={META_KEY: {"a": 1}})
    theirs.write(tmp_path / "astropy.parquet")
    back = read_table(tmp_path / "astropy.parquet")
    assert (back["x"].unit, back["x"].description, back.meta[META_KEY]) == ("mas", "d", {"a": 1})

    ours = Table({"x": Column([1.0], unit="mas"), "s": ["ab"]}, meta={META_KEY: {"a": 1}})
    read_by_astropy = Table.read(write_table(ours, tmp_path / "ours.parquet"))
    assert read_by_astropy["x"].unit == "mas"
    assert read_by_astropy.meta[META_KEY] == {"a": 1}


def test_parquet_reads_only_the_columns_asked_for(tmp_path):
    path = write_table(example(), tmp_path / "a.parquet")
    assert read_table(path, ["flux", "source_id"]).colnames == ["flux", "source_id"]


def test_parquet_tells_a_name_with_a_dot_from_its_beginning(tmp_path):
    table = Table({"a.b": [1.0], "a": [2.0], "c": [3.0]})
    path = write_table(table, tmp_path / "t.parquet")
    assert read_table(path, ["a"]).colnames == ["a"]
    assert [float(read_table(path)[name][0]) for name in table.colnames] == [1.0, 2.0, 3.0]
    with pytest.raises(TableError, match="no column 'd'"):
        read_table(path, ["a", "d"])


def test_quantities_are_written_with_their_unit(tmp_path):
    table = QTable({"distance": [1.0, 2.0] * u.kpc})
    assert read_table(write_table(table, tmp_path / "q.ecsv"))["distance"].unit == "kpc"


@pytest.mark.parametrize("ending", [".fits", ".ecsv", ".vot", ".csv"])
def test_gzipped_downloads_are_read(tmp_path, ending):
    path = write_table(example(), tmp_path / f"a{ending}")
    packed = tmp_path / f"a{ending}.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert np.array_equal(read_table(packed)["source_id"], example()["source_id"])


def test_the_archives_word_for_missing_is_read(tmp_path):
    path = tmp_path / "gaia.csv"
    path.write_text("source_id,ruwe\n1,null\n2,1.5\n")
    back = read_table(path)
    assert list(back["ruwe"].mask) == [True, False]
    assert back["ruwe"].dtype.kind == "f"


# ---------------------------------------------------------------- damage


@pytest.mark.parametrize("ending", [".parquet", ".fits", ".ecsv", ".vot"])
@pytest.mark.parametrize("fraction", [0.3, 0.6, 0.95])
def test_a_file_cut_short_is_refused(tmp_path, ending, fraction):
    table = Table({"a": np.arange(2000), "b": np.linspace(0, 1, 2000)})
    path = write_table(table, tmp_path / f"whole{ending}")
    content = path.read_bytes()
    cut = tmp_path / f"cut{ending}"
    cut.write_bytes(content[: int(len(content) * fraction)])
    with pytest.raises(TableError, match="cut"):
        read_table(cut)


def test_a_text_table_that_lost_whole_rows_is_refused(tmp_path):
    path = write_table(example(), tmp_path / "a.ecsv")
    path.write_text("\n".join(path.read_text().splitlines()[:-1]) + "\n")
    with pytest.raises(TableError, match="written with 3 rows and holds 2"):
        read_table(path)


def test_a_csv_cut_within_a_line_is_refused(tmp_path):
    path = write_table(example(), tmp_path / "a.csv")
    path.write_text(path.read_text()[:-30])
    with pytest.raises(TableError, match="last line has . of 6 cells"):
        read_table(path)


@pytest.mark.parametrize("ending", ENDINGS)
def test_noise_and_nothing_are_refused(tmp_path, ending):
    empty, noise = tmp_path / f"empty{ending}", tmp_path / f"noise{ending}"
    empty.write_bytes(b"")
    with pytest.raises(TableError, match="is empty"):
        read_table(empty)
    if ending == ".csv":
        return  # any bytes are a CSV of some sort
    noise.write_bytes(np.random.default_rng(0).bytes(5000))
    with pytest.raises(TableError, match="cannot be read"):
        read_table(noise)


def test_other_files_are_refused(tmp_path):
    with pytest.raises(TableError, match=r"'\.txt' is not known; tables end in one of \.parquet"):
        read_table(tmp_path / "a.txt")
    with pytest.raises(TableError, match="does not exist"):
        read_table(tmp_path / "a.fits")
    (tmp_path / "d.fits").mkdir()
    with pytest.raises(TableError, match="is a folder"):
        read_table(tmp_path / "d.fits")


def test_a_truncated_query_result_is_refused(tmp_path):
    path = write_table(Table({"a": [1, 2]}), tmp_path / "a.vot")
    text = path.read_text()
    whole = text.replace("</RESOURCE>", '<INFO name="QUERY_STATUS" value="OK"/></RESOURCE>')
    path.write_text(whole)
    assert len(read_table(path)) == 2
    path.write_text(whole.replace('value="OK"', 'value="OVERFLOW"'))
    with pytest.raises(TableError, match="OVERFLOW"):
        read_table(path)


def test_a_fits_image_is_no_table(tmp_path):
    from astropy.io import fits

    fits.PrimaryHDU(np.zeros((4, 4))).writeto(tmp_path / "image.fits")
    with pytest.raises(TableError, match="holds no table"):
        read_table(tmp_path / "image.fits")


# ---------------------------------------------------------------- writing


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    path = write_table(Table({"a": [1]}), tmp_path / "a.csv")
    before = path.read_bytes()
    with pytest.raises(TableError, match="exists already"):
        write_table(Table({"a": [2]}), path)
    with pytest.raises(TableError, match="cannot hold columns of arrays"):
        write_table(Table({"a": np.zeros((1, 2))}), path, overwrite=True)
    assert path.read_bytes() == before
    write_table(Table({"a": [2]}), path, overwrite=True)
    assert read_table(path)["a"][0] == 2
    assert [p.name for p in tmp_path.iterdir()] == ["a.csv"], "nothing may be left behind"


def test_a_failed_write_leaves_nothing(tmp_path):
    bad = Table({"a": [1]}, meta={META_KEY: {"not JSON": object()}})
    for ending in (".fits", ".vot"):
        with pytest.raises(TableError, match="provenance cannot be written as JSON"):
            write_table(bad, tmp_path / f"a{ending}")
    assert list(tmp_path.iterdir()) == []


def test_what_no_format_can_hold_is_refused(tmp_path):
    from astropy.coordinates import SkyCoord

    with pytest.raises(TableError, match="'where' holds a SkyCoord"):
        write_table(Table({"where": SkyCoord([1], [2], unit="deg")}), tmp_path / "a.fits")
    with pytest.raises(TableError, match="no folder"):
        write_table(Table({"a": [1]}), tmp_path / "absent" / "a.fits")


def test_the_real_cross_match_round_trips_in_fits_and_parquet(shared_data, tmp_path):
    table = read_table(shared_data / "m67_gaiadr2_ps1_2mass.fits")
    for ending in (".fits", ".parquet"):
        back = read_table(write_table(table, tmp_path / f"m67{ending}"))
        for name in table.colnames:
            assert back[name].dtype.kind == table[name].dtype.kind
            if table[name].dtype.kind == "f":
                assert np.array_equal(np.asarray(back[name]), np.asarray(table[name]), equal_nan=True)
            else:
                blank = "" if table[name].dtype.kind == "U" else 0
                assert np.array_equal(np.ma.filled(back[name], blank), np.ma.filled(table[name], blank))
