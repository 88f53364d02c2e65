"""Files from strangers are refused in one message before they take memory, time, or what is not theirs."""

import gzip
import json
import struct
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from benchmarks.validation import strangers

import redflower
from redflower.catalogue.reading.column_map import read_column_map
from redflower.catalogue.releases_file import read_releases
from redflower.errors import InputError, ModelError, TableError
from redflower.flow.model_file import shipped_models

DEEP = "[" * 100_000


def with_header(path: Path, change) -> Path:
    """A shipped model with another header."""
    good = shipped_models()["mock-sky"].read_bytes()
    (size,) = struct.unpack("<Q", good[:8])
    header = json.loads(good[8 : 8 + size])
    inner = json.loads(header["__metadata__"]["redflower"])
    change(inner)
    header["__metadata__"]["redflower"] = json.dumps(inner)
    packed = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(packed)) + packed + good[8 + size :])
    return path


@pytest.mark.parametrize(
    ("part", "name", "size"),
    [
        ("network", "depth", 10**9), ("network", "block_dim", 10**6), ("emulator", "layers", 10**9),
        ("emulator", "components", 10**9), ("emulator", "hidden", -1), ("network", "depth", "3"), ("network", "depth", True),
    ],
)  # fmt: skip
def test_networks_that_no_file_has_room_for_are_refused_before_they_are_made(
    tmp_path: Path, part: str, name: str, size: object
) -> None:
    path = with_header(tmp_path / "m.safetensors", lambda header: header[part].update({name: size}))
    with pytest.raises(ModelError, match=f"{name} is .*must be a whole number from 1 to"):
        redflower.load_model(path)


def test_what_a_model_says_is_shown_in_a_line_without_control_characters(tmp_path: Path) -> None:
    path = with_header(
        tmp_path / "m.safetensors", lambda header: header.update(bands="\x1b[31m" + "x" * 9000)
    )
    with pytest.raises(ModelError) as refused:
        redflower.load_model(path)
    assert len(str(refused.value)) < 1000
    assert str(refused.value).isprintable()


@pytest.mark.parametrize(
    ("reader", "content"),
    [(redflower.read_offsets, DEEP), (read_column_map, f"a = {DEEP}"), (read_releases, f"a = {DEEP}")],
)
def test_what_is_nested_without_end_is_refused_in_a_line(tmp_path: Path, reader, content: str) -> None:
    (tmp_path / "file").write_text(content)
    with pytest.raises(InputError):
        reader(tmp_path / "file")


def test_a_small_file_of_very_many_rows_is_refused_before_it_is_read(tmp_path: Path, monkeypatch) -> None:
    """A million rows that are all alike, of 16 bytes each, where 10 MB are there; one column of them fits."""
    rows = np.zeros(1_000_000, np.int64)
    pq.write_table(pa.table({"source_id": rows, "ra": rows.astype(float)}), tmp_path / "many.parquet")
    assert (tmp_path / "many.parquet").stat().st_size < 100_000
    monkeypatch.setattr("redflower.catalogue.io.parquet.available_bytes", lambda: 10_000_000)
    with pytest.raises(TableError, match=r"1,000,000 rows, which take 0.0 GB or more in memory"):
        redflower.read_table(tmp_path / "many.parquet")
    assert len(redflower.read_table(tmp_path / "many.parquet", columns=["ra"])) == 1_000_000


def test_a_packed_file_that_is_too_large_unpacked_is_refused(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "stars.csv.gz"
    path.write_bytes(gzip.compress(b"source_id,ra\n" + b"1,2.0\n" * 100_000))
    monkeypatch.setattr("redflower.catalogue.io.content.available_bytes", lambda: 500_000)
    with pytest.raises(TableError, match="larger when it is unpacked than"):
        redflower.read_table(path)
    monkeypatch.setattr("redflower.catalogue.io.content.available_bytes", lambda: 700_000)
    assert len(redflower.read_table(path)) == 100_000


@pytest.mark.slow
def test_no_spoilt_file_does_more_than_be_refused(tmp_path: Path) -> None:
    """Of every kind a few; `make results ONLY=strangers` tries more."""
    strangers.make_good(tmp_path)
    for kind in [*strangers.readers(), "by hand"]:
        found = strangers.tried(kind, tmp_path, 40)
        assert len(found) >= 20, kind
        assert not [(kind, what, why) for what, state, why in found if state == "fault"]
