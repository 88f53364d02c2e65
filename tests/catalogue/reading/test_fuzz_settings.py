"""Random files of settings: column maps, training configurations, offsets. Read, or refused in one line that names the file.

`REDFLOWER_FUZZ=N` tries N times as many.
"""

import json
import os

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from redflower.catalogue.reading.column_map import read_column_map
from redflower.catalogue.reading.schema import INPUT_COLUMNS
from redflower.errors import InputError
from redflower.photometric_offsets import FORMAT, read_offsets
from redflower.train.config import read_config

TIMES = int(os.environ.get("REDFLOWER_FUZZ", "1"))
SETTINGS = {
    "deadline": None,
    "derandomize": TIMES == 1,
    "database": None,
    "suppress_health_check": list(HealthCheck),
    "max_examples": 60 * TIMES,
}

#: Values as TOML spells them, sensible and not.
VALUES = st.sampled_from(
    ['"parallax"', '"mas"', '"dr2"', '""', "1", "-1", "1e400", "nan", "inf", "true", "[]", "[1, 2]", "{}", "{a = 1}",
     "1979-05-27"]
)  # fmt: skip
KEYS = st.sampled_from(
    [
        *list(INPUT_COLUMNS)[:8],
        "gaia",
        "ps1",
        "seed",
        "stages",
        "learning_rate",
        "emulator",
        "x",
        '"a.b"',
        "a.b",
    ]
)
SECTIONS = st.sampled_from(
    ["columns", "units", "constants", "extra", "photometry", "stages", "contrast", "x", "[stages]"]
)


def check_named(refused: InputError, name: str) -> None:
    assert name in str(refused)
    assert "Traceback" not in str(refused)


def toml(draw) -> bytes:
    """Some sections of some keys, at times with bytes changed or the end cut off."""
    lines = []
    for section in draw(st.lists(SECTIONS, max_size=3)):
        lines.append(f"[{section}]")
        lines += [f"{draw(KEYS)} = {draw(VALUES)}" for _ in range(draw(st.integers(0, 3)))]
    content = bytearray("\n".join(lines).encode())
    for _ in range(draw(st.integers(0, 2)) if content else 0):
        content[draw(st.integers(0, len(content) - 1))] = draw(st.integers(0, 255))
    return bytes(content[: draw(st.integers(len(content) // 2, len(content)))])


@pytest.mark.parametrize("reader", [read_column_map, read_config])
def test_any_toml_is_read_or_refused_in_a_line(reader, tmp_path):
    path = tmp_path / "settings.toml"

    @settings(**SETTINGS)
    @given(st.data())
    def check(data):
        path.write_bytes(toml(data.draw))
        try:
            reader(path)
        except InputError as refused:
            check_named(refused, "settings.toml")

    check()


GOOD = {
    "format": FORMAT, "format_version": 1, "model": "m", "bands": ["gaia_g", "gaia_bp"], "offset_mag": [0.01, -0.02],
    "covariance_mag2": [[1e-6, 0.0], [0.0, 1e-6]], "provenance": {},
}  # fmt: skip


def test_any_offsets_are_finite_or_refused_in_a_line(tmp_path):
    path = tmp_path / "offsets.json"
    numbers = [1, -1, True, 10**30, [[1]], [1e400, 0], [float("nan"), 0]]
    odd = st.sampled_from([None, "x", [], {}, ["gaia_g"], ["gaia_g"] * 2, ["a", "b"], *numbers])

    @settings(**SETTINGS)
    @given(st.data())
    def check(data):
        content = dict(GOOD)
        for key in data.draw(st.lists(st.sampled_from([*GOOD, "more"]), max_size=2)):
            if data.draw(st.booleans()):
                content.pop(key, None)
            else:
                content[key] = data.draw(odd)
        whole = data.draw(st.sampled_from([content, [content], None, "text", 3]))
        text = json.dumps(whole)
        path.write_text(text[: data.draw(st.sampled_from([len(text), len(text), len(text) // 2]))])
        try:
            found = read_offsets(path)
        except InputError as refused:
            check_named(refused, "offsets.json")
            return
        assert np.isfinite(found.offset_mag).all()
        assert np.isfinite(found.error_mag).all()
        assert len(found.bands) == len(found.offset_mag)

    check()
