"""The small cases beside the project, by every command that reads such a table, as a user types it: right, or refused once.

What each must give stands in their README: as the unspoilt table, row by row on ``source_id``, or one line and nothing left.
"""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.table import Table

import redflower
from redflower.errors import InputError

from ..cli.test_commands import run

CASES = Path(__file__).resolve().parents[3] / "shared" / "cases" / "inputs"
pytestmark = pytest.mark.skipif(not CASES.is_dir(), reason=f"the cases are not at {CASES}")

MODEL = ("--model", "mock-sky")
#: Raw tables that must be read as the unspoilt one, but for what they hold as missing.
READ = (
    "raw.parquet",
    "01_bom_source_id_first.csv",
    "02_hash.csv",
    "03_GaiaSource_000000-003111.csv.gz",
    "04_masked.parquet",
    "18_word.csv",
)
#: Raw tables that must be refused, and what the one line says.
REFUSED = {
    "10_two_source_ids.parquet": "lacks 'source_id', but has 'source_id_1'. Did you mean",
    "10_parallax_1_but_parallax_error.parquet": "lacks 'parallax', but has 'parallax_1'. Did you mean",
    "12_parallax_twice.csv": "2 columns of the name 'parallax'",
    "12_parallax_twice.parquet": "2 columns of the name 'parallax'",
    "16_hours_without_a_unit.parquet": "in hours (ra)",
    "16_radians_without_a_unit.parquet": "in radians",
}
#: Prepared tables that must be refused.
PREPARED_REFUSED = {
    "05_prepared_float_ids.parquet": "stored as float64",
    "07_text_ids.parquet": "holds the text 'TIC 0'",
    "07_missing_id.parquet": "1 of 20 rows have no source_id",
    "07_no_ids.parquet": "lacks 'source_id'",
    "30_prepared_no_rows.parquet": "has no rows",
}
#: What each command is given after a prepared table.
ON_PREPARED: dict[str, tuple[str, ...]] = {
    "infer": ("out.parquet", *MODEL),
    "infer --density": ("out.fits", *MODEL, "--density"),
    "train": ("out.safetensors",),
    "validate": ("out", *MODEL),
    "calibrate": ("out", *MODEL),
    "sightline": ("out",),
    "map": ("out.fits",),
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def put(folder: Path, name: str) -> str:
    shutil.copy(CASES / name, folder / name)
    return name


def check_refused(folder: Path, result: tuple[int, str, str], message: str) -> None:
    """Exit code 2, one line, and nothing but the input in the folder."""
    before = sorted(path.name for path in folder.iterdir())
    code, _, err = result
    assert code == 2
    assert message in err
    assert "Traceback" not in err
    assert sum(line.startswith("error:") for line in err.splitlines()) == 1
    assert all((CASES / name).is_file() for name in before), before


def raw_as_it_should_be(name: str) -> Table:
    """The unspoilt table without the values that the case holds as missing, found without redflower's readers."""
    raw = pandas.read_parquet(CASES / "raw.parquet").set_index("source_id")
    if name == "04_masked.parquet":
        spoilt = pq.read_table(CASES / name).to_pandas()
        for column in spoilt.columns:
            if f"{column}.mask" in spoilt.columns:
                gone = spoilt.loc[spoilt[f"{column}.mask"], "source_id"]
                raw[column] = raw[column].astype(float)
                raw.loc[gone, column] = np.nan
    elif name == "18_word.csv":
        spoilt = pandas.read_csv(CASES / name, dtype=str, keep_default_na=False).set_index("source_id")
        raw = raw[[column for column in raw.columns if column in spoilt.columns]]
        for column in raw.select_dtypes("number").columns:
            numbers = pandas.to_numeric(spoilt[column], errors="coerce")
            gone = numbers.index[numbers.isna()].astype(np.int64)
            if len(gone):
                raw[column] = raw[column].astype(float)
                raw.loc[gone, column] = np.nan
    return Table.from_pandas(raw.reset_index())


def check_same(found: Table, expected: Table) -> None:
    place = {int(name): row for row, name in enumerate(expected["source_id"])}
    assert len(found) == len(expected)
    rows = [place[int(name)] for name in found["source_id"]]
    assert len(set(rows)) == len(rows)
    for name in expected.colnames:
        one, other = found[name], expected[name][rows]
        if other.dtype.kind == "f":
            one, other = (np.ma.filled(np.ma.asarray(c).astype(float), np.nan) for c in (one, other))
            # A CSV holds every digit of a float; degrees through another frame lose a few.
            np.testing.assert_allclose(one, other, rtol=1e-12, err_msg=name)
        else:
            assert list(map(str, one)) == list(map(str, other)), name


@pytest.mark.parametrize("purpose", ["inference", "training"])
@pytest.mark.parametrize("name", READ)
def test_a_raw_table_is_read_right(folder, capsys, monkeypatch, name, purpose) -> None:
    code, _, err = run(capsys, monkeypatch, "prepare", put(folder, name), "out.parquet", "--for", purpose)
    assert code == 0, err
    expected = redflower.prepare(raw_as_it_should_be(name), purpose=purpose).table
    found = redflower.read_table("out.parquet")
    check_same(found, expected)
    if name == "04_masked.parquet":
        assert np.isnan(np.ma.filled(found["tmass_ks"], np.nan)).sum() > 13


@pytest.mark.parametrize("purpose", ["inference", "training"])
@pytest.mark.parametrize("name", REFUSED)
def test_a_raw_table_is_refused(folder, capsys, monkeypatch, name, purpose) -> None:
    result = run(capsys, monkeypatch, "prepare", put(folder, name), "out.fits", "--for", purpose)
    check_refused(folder, result, REFUSED[name])


@pytest.mark.parametrize("command", ON_PREPARED)
@pytest.mark.parametrize("name", [*READ, *REFUSED])
def test_a_raw_table_is_no_prepared_one(folder, capsys, monkeypatch, name, command) -> None:
    """One line from every command: what it is, or what is wrong with it; never a result."""
    verb, *options = command.split()
    result = run(capsys, monkeypatch, verb, put(folder, name), *ON_PREPARED[command], *options)
    check_refused(folder, result, "error:")


@pytest.mark.parametrize("command", ON_PREPARED)
@pytest.mark.parametrize("name", PREPARED_REFUSED)
def test_a_prepared_table_is_refused(folder, capsys, monkeypatch, name, command) -> None:
    result = run(capsys, monkeypatch, command.split()[0], put(folder, name), *ON_PREPARED[command])
    message = PREPARED_REFUSED[name]
    if command in ("sightline", "map") and message != "has no rows":
        message = "is a prepared table"
    check_refused(folder, result, message)
    assert name in result[2] or "source_id" in result[2]


@pytest.mark.parametrize("name", [*PREPARED_REFUSED, "18_prepared_99.parquet", "prepared.parquet"])
def test_a_prepared_table_is_not_prepared_again(folder, capsys, monkeypatch, name) -> None:
    result = run(capsys, monkeypatch, "prepare", put(folder, name), "out.fits", "--for", "inference")
    check_refused(folder, result, "is a prepared table already")


def test_marks_in_a_prepared_table_are_missing_values(folder, capsys, monkeypatch) -> None:
    """Inferred as the unspoilt table with nothing there."""
    name = put(folder, "18_prepared_99.parquet")
    marked = pandas.read_parquet(name)
    plain = redflower.read_table(CASES / "prepared.parquet")
    assert list(marked["source_id"]) == list(plain["source_id"])
    n_marks = 0
    for column in marked.select_dtypes("float").columns:
        marks = np.isin(marked[column], (99.0, 999.0, -999.0, -99.0))
        n_marks += int(marks.sum())
        values = np.array(np.ma.filled(plain[column], np.nan), dtype=float)
        values[marks] = np.nan
        plain[column] = values
    assert n_marks
    redflower.write_table(plain, "unmarked.parquet")
    found = []
    for table in (name, "unmarked.parquet"):
        code, _, err = run(capsys, monkeypatch, "infer", table, f"post_{table}", *MODEL)
        assert code == 0, err
        found.append(redflower.read_table(f"post_{table}"))
    check_same(found[0], found[1])


@pytest.mark.parametrize("command", ["prepare", "fetch", "calibrate"])
def test_the_map_of_several_columns_is_read_by_its_name(folder, capsys, monkeypatch, command) -> None:
    """Its EBV is 0.05 mag everywhere, and its first column a few millionths."""
    dust = put(folder, "08_planck_like.fits")
    if command == "prepare":
        arguments = ("prepare", put(folder, "raw.parquet"), "out.parquet", "--for", "inference")
    elif command == "fetch":
        arguments = ("fetch", "out.parquet", "--region", "zero-extinction", "--dry-run", "--ebv-max", 0.06)
    else:
        arguments = ("calibrate", put(folder, "prepared.parquet"), "out", *MODEL)
    code, out, err = run(capsys, monkeypatch, *arguments, "--ebv-map", dust)
    if command == "calibrate":  # 40 stars are too few, whatever the map says
        assert (code, "calibrate needs at least" in err) == (2, True)
    else:
        assert code == 0, err
        assert "column 'EBV'" in out + err
    if command == "prepare":
        assert np.allclose(redflower.read_table("out.parquet")["ebv_map"], 0.05, atol=0.01)


def sources(path: Path) -> list[object]:
    """A table as everything that Python users have."""
    table = redflower.read_table(path)
    hdu = fits.table_to_hdu(Table(table, meta={}))
    frame = table.to_pandas()
    kinds = [
        str(path),
        table,
        frame,
        frame.set_index("source_id"),
        hdu,
        hdu.data,
        fits.HDUList([fits.PrimaryHDU(), hdu]),
    ]
    return [*kinds, pq.read_table(path)] if path.suffix == ".parquet" else kinds


@pytest.mark.parametrize("name", ["raw.parquet", "01_bom_source_id_first.csv", "04_masked.parquet"])
def test_python_reads_the_same_from_whatever_holds_the_table(name) -> None:
    expected = redflower.prepare(CASES / name, purpose="inference").table
    for source in sources(CASES / name):
        check_same(redflower.prepare(source, purpose="inference").table, expected)


@pytest.mark.parametrize("name", PREPARED_REFUSED)
def test_python_refuses_what_the_commands_refuse(name) -> None:
    path = CASES / name
    calls: list[Callable[[object], object]] = [
        lambda stars: redflower.infer(stars, "mock-sky"),
        lambda stars: redflower.train(stars, name="m"),
        lambda stars: redflower.validate(stars, "mock-sky"),
        lambda stars: redflower.calibrate(stars, "mock-sky"),
    ]
    for call in calls:
        for given in (path, str(path), pandas.read_parquet(path), pq.read_table(path)):
            with pytest.raises(InputError, match=PREPARED_REFUSED[name]) as caught:
                call(given)
            assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("prepare", "raw.parquet", "o.fits", "--for", "inference", "--report", "raw.parquet"),
            "is also RAW",
        ),
        (("prepare", "raw.parquet", "o.fits", "--for", "inference", "--report", "o.fits"), "is also OUT"),
        (
            ("prepare", "raw.parquet", "o.fits", "--for", "inference", "--report", "prepared.parquet"),
            "exists already",
        ),
        (("infer", "prepared.parquet", "o.csv", *MODEL, "--density"), "CSV has no columns of arrays"),
        (("infer", "prepared.parquet", "o.fits", *MODEL, "--seed", "-1"), "must be a whole number from 0"),
    ],
)
def test_outputs_and_seeds_are_checked_before_any_work(folder, capsys, monkeypatch, arguments, message):
    put(folder, "raw.parquet"), put(folder, "prepared.parquet")
    check_refused(folder, run(capsys, monkeypatch, *arguments), message)
