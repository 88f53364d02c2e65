"""What `redflower runs` says of a folder: runs that are whole, unfinished, changed or gone, and records from strangers."""

import json
from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from redflower.api.kept import KeptPieces
from redflower.errors import InputError
from redflower.files import file_sha256
from redflower.scale.part_record import Failure
from redflower.scale.parts import PartsFolder, keep_part
from redflower.scale.run_record import (
    FORMAT,
    check_record,
    command_content,
    record_path,
    write_record,
)
from redflower.scale.run_states import read_runs
from tests.cli.test_commands import run as run_command

CONTENT = {
    "request": {"input": "stars.parquet", "sha256": "ab" * 32, "model": "mock-sky-1"},
    "n_stars": 3, "n_parts": 1, "n_workers": 2, "seconds": 1.5, "statuses": {"ok": 3}, "engines": {"fast": 3}, "failures": [],
}  # fmt: skip


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    out = tmp_path / "out.parquet"
    out.write_bytes(b"rows")
    write_record(out, CONTENT)
    return out


def test_a_run_that_is_whole_is_said_to_be_and_one_that_changed_is_not(finished: Path) -> None:
    (found,) = read_runs(finished.parent)
    assert (found.out, found.state, found.good) == ("out.parquet", "whole", True)
    assert found.facts[0].startswith("3 stars by model mock-sky-1 in 2 s, 2 processes")
    finished.write_bytes(b"rowt")
    assert read_runs(finished.parent)[0].state == "changed"
    finished.unlink()
    assert read_runs(finished.parent)[0].state == "gone"


def test_an_unfinished_run_says_what_its_parts_hold(tmp_path: Path) -> None:
    folder = tmp_path / "out.parquet.parts"
    table = Table({"source_id": [1, 2], "status": ["ok", "failed"], "engine": ["fast", ""]})
    with PartsFolder(folder, {"input": "x"}, resume=False):
        keep_part(folder, 0, table, [Failure(0, (2,), "it broke")])
    (found,) = read_runs(tmp_path)
    assert found.state == "unfinished"
    assert found.facts[0].startswith("2 stars in 1 finished parts; go on")
    assert found.n_failed == 1


def test_other_commands_leave_records_too(finished: Path, tmp_path: Path) -> None:
    source = tmp_path / "posteriors.parquet"
    source.write_bytes(b"stars")
    write_record(
        finished, command_content("map", source, {"nside": 8}, {"pixels": 1200, "stars": 9}, seconds=3.2)
    )
    (found,) = read_runs(tmp_path)
    assert (found.state, found.good) == ("whole", True)
    assert found.facts[0].startswith("1,200 pixels, 9 stars by redflower map in 3 s")
    assert found.facts[1] == f"input posteriors.parquet, SHA-256 {file_sha256(source)}"
    finished.write_bytes(b"other")
    assert read_runs(tmp_path)[0].state == "changed"


def test_unfinished_work_of_other_commands_is_listed(tmp_path: Path) -> None:
    with KeptPieces(tmp_path / "map.fits.parts", "map", resume=False) as kept:
        kept.begin("pixels", {"nside": 8})
        kept.put("pixels", 7, {"n": np.array(4)})
    (found,) = read_runs(tmp_path)
    assert (found.out, found.state, found.good) == ("map.fits", "unfinished", False)
    assert found.facts == ("finished work in 1 files; go on: the same command with --resume",)
    (tmp_path / "map.fits.parts" / "requests.json").write_text("[]")
    assert read_runs(tmp_path)[0].state == "unreadable"


def test_stars_that_failed_are_named(finished: Path) -> None:
    failures = [{"part": 4, "source_id": [17], "message": "it \x1b[31mbroke"}]
    write_record(finished, {**CONTENT, "failures": failures})
    (found,) = read_runs(finished.parent)
    assert not found.good
    assert found.facts[-1] == "star 17 of part 4 failed: it ?[31mbroke"


def test_the_command_lists_all_and_its_exit_code_tells(finished: Path, capsys, monkeypatch) -> None:
    code, out, _ = run_command(capsys, monkeypatch, "runs", finished.parent)
    assert code == 0
    assert out.startswith("out.parquet: whole\n  3 stars")
    finished.write_bytes(b"other")
    assert run_command(capsys, monkeypatch, "runs", finished.parent)[0] == 1
    assert run_command(capsys, monkeypatch, "runs", finished)[0] == 2


def test_another_programs_file_is_not_replaced_by_a_record(tmp_path: Path) -> None:
    record_path(tmp_path / "out.parquet").write_text("mine")
    with pytest.raises(InputError, match="is another file"):
        check_record(tmp_path / "out.parquet", "infer")


def test_a_record_reads_no_file_but_the_one_beside_it(finished: Path) -> None:
    """The name within a record is not followed."""
    secret = finished.parent / "secret"
    secret.write_bytes(b"rows")
    content = json.loads(record_path(finished).read_text())
    content["out"]["name"] = str(secret)
    record_path(finished).write_text(json.dumps(content))
    finished.unlink()
    assert read_runs(finished.parent)[0].state == "gone"


OF_MAP = {
    "command": "map", "request": {"input": "posteriors.parquet", "sha256": "ab" * 32}, "counts": {"pixels": 3}, "seconds": 1.5,
    "redflower": "0", "ended": "now", "out": {"name": "map.fits", "bytes": 4, "sha256": "ab" * 32},
}  # fmt: skip

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(sorted({*CONTENT, *OF_MAP})), value=JSON, whole=JSON)
def test_no_record_from_a_stranger_does_more_than_be_unreadable(finished: Path, name, value, whole) -> None:
    for good in (CONTENT, OF_MAP, whole):
        content = {**good, name: value, "format": FORMAT} if good is not whole else whole
        record_path(finished).write_text(json.dumps(content))
        assert {run.state for run in read_runs(finished.parent)} <= {"whole", "changed", "gone", "unreadable"}
