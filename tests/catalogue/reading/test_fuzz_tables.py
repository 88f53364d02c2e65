"""Random tables of the kinds that people have: whatever is read is right, and everything else is one clear refusal.

`REDFLOWER_FUZZ=N` tries N times as many inputs as `make test`; docs/howto/tables.md says how many were tried and what was found.
"""

import os
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pytest
from astropy.table import MaskedColumn
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from redflower.api.posteriors import open_posteriors
from redflower.catalogue import prepare, read_stars
from redflower.catalogue.io.words import MISSING_WORDS
from redflower.catalogue.reading.prepared_stars import open_prepared
from redflower.errors import InputError

from ...api.test_spoilt_posteriors import good_posteriors
from ...helpers.spoilt import BAD_IDENTIFIERS, FORMATS, GOOD_IDENTIFIERS, PACKED, write_as_others_do
from .test_spoilt_tables import slim_raw

TIMES = int(os.environ.get("REDFLOWER_FUZZ", "1"))
SETTINGS = {
    "deadline": None,
    "derandomize": TIMES == 1,
    "database": None,
    "suppress_health_check": list(HealthCheck),
}

GOOD = {
    "raw": (slim_raw(), read_stars, ("ra", "dec", "parallax", "i_mean_psf_mag", "phot_g_mean_mag")),
    "prepared": (
        prepare(slim_raw(), purpose="inference").table,
        lambda path: open_prepared(path, "the table"),
        ("ra", "dec", "parallax", "ps1_i", "gaia_g"),
    ),
    "posteriors": (
        good_posteriors(8),
        lambda path: open_posteriors(path, "the table"),
        ("l", "b", "ebv_mean", "distance_mean", "density_ebv_start"),
    ),
}
MARKS = ("", "\ufeff", "#", " ", "# ", "\u200b", '"')
WORDS = sorted(MISSING_WORDS - {"unknown", "empty", "blank"}) + ["NA", "NaN", "NULL", " -- "]


def check_one_line(refused: InputError) -> None:
    assert str(refused)
    assert "\n" not in str(refused)


def spoilt_column(draw: st.DrawFn, values: np.ndarray) -> tuple[object, np.ndarray]:
    """Numbers spoilt in one of several ways, and which of them are missing afterwards."""
    gone = np.array(draw(st.lists(st.booleans(), min_size=len(values), max_size=len(values))), dtype=bool)
    how = draw(st.sampled_from(["text", "mask", "nan", "mark", "none"]))
    if how == "text":
        words = draw(st.lists(st.sampled_from(WORDS), min_size=len(values), max_size=len(values)))
        return np.where(gone, words, values.astype("U30")), gone
    if how == "mask":
        return MaskedColumn(np.where(gone, 7.0, values), mask=gone), gone
    if how == "nan":
        return np.where(gone, np.nan, values), gone
    if how == "mark":
        return np.where(gone, draw(st.sampled_from([999.0, -999.0, -9999.0])), values), gone
    return values, np.zeros(len(values), dtype=bool)


@pytest.mark.parametrize("kind", GOOD)
def test_what_is_read_of_a_spoilt_table_is_right(kind):
    good, opener, names = GOOD[kind]

    @settings(max_examples=40 * TIMES, **SETTINGS)
    @given(st.data())
    def check(data):
        draw = data.draw
        endings = [e for e in (*FORMATS, *PACKED) if kind != "posteriors" or "csv" not in e]
        ending = draw(st.sampled_from(endings))
        rows = draw(st.lists(st.integers(0, len(good) - 1), unique=True, max_size=6))
        table = good[rows] if rows else good[:0]
        ids = np.asarray(table["source_id"])
        missing: dict[str, np.ndarray] = {}
        if rows:
            # A CSV does not tell float32 from float64: such numbers are whole in it, and pass for made-up identifiers.
            bad = [
                how
                for how in BAD_IDENTIFIERS
                if not (ending.startswith(".csv") and how == "float32 of 25 bits")
            ]
            how = draw(st.sampled_from([*GOOD_IDENTIFIERS, *bad]))
            # Spoilt only at times, or nothing else would be reached.
            if how in GOOD_IDENTIFIERS or draw(st.integers(0, 4)) == 0:
                spoil = GOOD_IDENTIFIERS.get(how) or BAD_IDENTIFIERS[how]
                table["source_id"] = spoil(ids)
            for name in draw(st.lists(st.sampled_from(names[2:]), unique=True, max_size=3)):
                may_mark = kind != "posteriors"
                values, gone = spoilt_column(draw, np.asarray(table[name], dtype=float))
                if not may_mark and not isinstance(values, MaskedColumn) and values.dtype.kind == "f":
                    values = np.where(gone, np.nan, values)
                table.replace_column(
                    name, values if isinstance(values, MaskedColumn) else MaskedColumn(values)
                )
                missing[name] = gone
        renames = {}
        for name in draw(st.lists(st.sampled_from(table.colnames), unique=True, max_size=2)):
            mark = draw(st.sampled_from(MARKS))
            if not (".fits" in ending and not mark.isascii()):
                renames[name] = mark + (name.upper() if len(name) > 1 and draw(st.booleans()) else name)
        if draw(st.integers(0, 5)) == 0:
            name = draw(st.sampled_from(("source_id", *names)))
            if name not in renames:
                renames[name] = name + draw(st.sampled_from(("_1", "_2", "_x", ".1", "_gaia")))
        for name, other in renames.items():
            table.rename_column(name, other)
        order = draw(st.permutations(table.colnames))
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                path = write_as_others_do(table[order], Path(folder) / f"t{ending}")
            except (TypeError, ValueError, UnicodeError):
                event("not written by the other program")
                return
            try:
                found = opener(path)
            except InputError as refused:
                event("refused")
                check_one_line(refused)
                return
        event("read")
        assert len(found) == len(rows) > 0
        assert np.array_equal(found["source_id"], ids)
        for name in names:
            expected = np.array(good[name][rows], dtype=float)
            expected[missing.get(name, np.zeros(len(rows), dtype=bool))] = np.nan
            got = np.ma.filled(np.ma.asarray(found[name]).astype(float), np.nan)
            # Degrees that went through another frame and back.
            np.testing.assert_allclose(got, expected, rtol=1e-12, err_msg=name)

    check()


@pytest.mark.parametrize("ending", FORMATS)
def test_damaged_bytes_end_in_a_table_or_one_refusal(ending, tmp_path):
    """Of changed digits nobody can tell; but no file may end in another error than ours."""
    whole = write_as_others_do(slim_raw()[:3], tmp_path / f"whole{ending}").read_bytes()

    @settings(max_examples=25 * TIMES, **SETTINGS)
    @given(st.data())
    def check(data):
        content = bytearray(whole)
        if data.draw(st.booleans()) or ending == ".parquet":
            # Parquet only cut short: Arrow does not promise to survive changed pages.
            content = content[: data.draw(st.integers(0, len(content) - 1))]
        else:
            for _ in range(data.draw(st.integers(1, 3))):
                content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
        path = tmp_path / f"t{ending}"
        path.write_bytes(bytes(content))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                read_stars(path)
            except InputError as refused:
                check_one_line(refused)

    check()
