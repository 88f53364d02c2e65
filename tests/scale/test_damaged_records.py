"""Records that a resumed run reads back: whatever stands in them, the part is done again, or there is one message."""

import json
from collections.abc import Callable
from contextlib import suppress
from copy import deepcopy
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from redflower.api.kept import KeptPieces
from redflower.api.star_pieces import _SUMS, _kept_piece
from redflower.calibrate.verdict import SampleFit, judge, verdict_of
from redflower.catalogue.quality.cuts import BandCut
from redflower.catalogue.quality.report import Cut, CutReport
from redflower.errors import InputError, WorkerError
from redflower.flow import load_model
from redflower.posterior.results import empty_columns
from redflower.scale.lock import Lock
from redflower.scale.part_record import Failure, PartRecord, read_record, record_path
from redflower.scale.part_work import is_told
from redflower.scale.parts import MANIFEST, PartsFolder
from redflower.scale.run_record import record_path as run_record_path
from redflower.scale.run_record import write_record
from redflower.scale.run_states import read_runs
from redflower.train.checkpoint import State, load_checkpoint

#: Lists within lists as deep as JSON is still read, and as Python does not write it any more.
DEEP: Any = []
for _ in range(900):
    DEEP = [DEEP]
#: JSON that is of another type, or a number of no star, than any entry that matters here.
WRONG: dict[str, Any] = {
    "none": None, "true": True, "text": "x", "negative": -1, "half": 0.5, "huge": 10**30, "infinite": float("inf"),
    "no number": float("nan"), "empty list": [], "empty object": {}, "list": [[1]], "object": {"a": {"b": None}}, "deep": DEEP,
}  # fmt: skip
LABELS = ["BP", "RP"]
FIT = SampleFit(
    labels=LABELS, n_stars=60, n_poor=1, n_outliers=0.5, n_bands=[60, 59], residual=[1.0, 2.0], residual_mag=[0.1, 0.2],
    squares_mag2=[0.1, 0.3], parallax=[60.0, 1.5, 59.0],
)  # fmt: skip
REPORT = CutReport(
    purpose="inference", cuts=(Cut("position", "known", before=9, after=8),), bands={"G": 8}, zero_point="none",
    notes=("a note",), band_cuts=(BandCut(name="blend", condition="none", survey="ps1", before=8, after=7),),
)  # fmt: skip
PART = PartRecord(
    number=0, n_rows=3, n_bytes=7, sha256="ab" * 32, statuses={"ok": 3}, engines={"fast": 3},
    failures=(Failure(0, (5,), "it broke"),), told={"fit": {}},
)  # fmt: skip


def entries(content: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths to all entries of a tree of JSON."""
    inner = (
        content.items()
        if isinstance(content, dict)
        else enumerate(content)
        if isinstance(content, list)
        else ()
    )
    return [one for key, value in inner for one in ((*path, key), *entries(value, (*path, key)))]


def changed(content: Any, path: tuple[Any, ...], change: Callable[[Any, Any], None]) -> Any:
    """A tree of JSON with a change at one of its entries."""
    content = deepcopy(content)
    place = content
    for key in path[:-1]:
        place = place[key]
    change(place, path[-1])
    return content


def all_changes(good: Any) -> list[tuple[str, Any]]:
    """Every entry of a record taken out, or replaced by everything that is wrong; with what was done, for the message."""
    good = json.loads(json.dumps(good))
    found = [
        (f"without {path}", changed(good, path, lambda place, key: place.pop(key))) for path in entries(good)
    ]
    for path in entries(good):
        for name, value in WRONG.items():
            found.append(
                (
                    f"{name} as {path}",
                    changed(good, path, lambda place, key, v=value: place.__setitem__(key, v)),
                )
            )
    return found


def check_told(read: Callable[[Any], Any], good: Any, same: Callable[[Any], Any]) -> None:
    """Each change is refused by ValueError, or is one that cannot be seen to be wrong, and stays what it is."""
    assert same(read(json.loads(json.dumps(good)))) == json.loads(json.dumps(good))
    n_refused = 0
    for what, content in all_changes(good):
        try:
            found = read(content)
        except ValueError:
            n_refused += 1
            continue
        assert json.dumps(same(found)) == json.dumps(content), what  # so that NaN is as NaN
    assert n_refused > 0.5 * len(all_changes(good))
    for value in WRONG.values():
        with pytest.raises(ValueError, match="."):
            read(value)


def test_sums_of_a_sample_are_what_was_written_or_refused() -> None:
    check_told(SampleFit.from_dict, FIT.as_dict(), asdict)
    for _, content in all_changes(FIT.as_dict()):
        try:
            fit = SampleFit.from_dict(content)
        except ValueError:
            continue
        judge(fit)
        if fit.labels == LABELS:
            judge(fit + FIT)


def test_a_report_of_cuts_is_what_was_written_or_refused() -> None:
    good = {name: value for name, value in REPORT.as_dict().items() if name != "summary"}

    def told(report: CutReport) -> Any:
        return json.loads(json.dumps({name: report.as_dict()[name] for name in good}))

    check_told(CutReport.from_dict, good, told)


def test_a_record_of_a_part_is_what_was_written_or_none(tmp_path: Path) -> None:
    path = record_path(tmp_path, 0)

    def read(content: Any) -> PartRecord:
        path.write_text(json.dumps(content))
        found = read_record(path)
        if found is None:
            raise ValueError("none")
        return found

    def same(record: PartRecord) -> Any:  # `asdict` goes less deep than JSON
        return json.loads(json.dumps({**vars(record), "failures": [asdict(one) for one in record.failures]}))

    check_told(read, asdict(PART), same)
    path.write_text(json.dumps(asdict(PART)))
    assert read_record(path) == PART
    path.rename(record_path(tmp_path, 1))
    assert read_record(record_path(tmp_path, 1)) is None, "a record under another part's name"


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "9" * 5000, '{"number": 1e999}', "\udcff"])
def test_what_is_no_json_is_no_record(tmp_path: Path, text: str) -> None:
    path = record_path(tmp_path, 0)
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    assert read_record(path) is None


def test_a_part_tells_the_sums_of_the_bands_of_its_model() -> None:
    model = load_model("mock-sky")
    fit = replace(SampleFit(labels=list(model.bands.labels)[1:]), parallax=[0.0] * 3)
    for name in ("n_bands", "residual", "residual_mag", "squares_mag2"):
        setattr(fit, name, [0 if name == "n_bands" else 0.0] * len(fit.labels))
    assert is_told({"fit": fit.as_dict()}, model)
    for wrong in (None, {}, {"fit": None}, {"fit": FIT.as_dict()}, {"fit": {"labels": [1]}}):
        assert not is_told(wrong, model)


def test_a_folder_of_parts_forgets_records_that_cannot_be_of_its_run(tmp_path: Path) -> None:
    request = {"input": "a"}
    empty = PartRecord(number=0, n_rows=0, n_bytes=0, sha256="", statuses={}, engines={})
    with PartsFolder(tmp_path / "parts", request, resume=False):
        for number in (0, 1):
            record_path(tmp_path / "parts", number).write_text(
                json.dumps({**asdict(empty), "number": number})
            )
    with PartsFolder(
        tmp_path / "parts", request, resume=True, is_good=lambda record: record.number != 1
    ) as kept:
        assert set(kept.records()) == {0}
        assert not record_path(tmp_path / "parts", 1).exists()


@pytest.mark.parametrize("text", ["", "[]", "[" * 100_000, "3"])
def test_a_manifest_that_is_changed_during_a_run_is_one_message(tmp_path: Path, text: str) -> None:
    with PartsFolder(tmp_path / "parts", {"input": "a"}, resume=False, what="infer") as kept:
        (tmp_path / "parts" / MANIFEST).write_text(text)
        with pytest.raises(WorkerError, match="infer: .*manifest.json is damaged or gone"):
            kept.noted()
        with pytest.raises(WorkerError, match="is damaged or gone"):
            kept.note("joining")


@pytest.mark.parametrize(
    "text", ["", "[" * 100_000, '{"process": 1e999}', '{"process": {}, "host": 1, "since": 2}', "\x1b"]
)
def test_a_lock_whose_holder_is_not_said_is_one_message(tmp_path: Path, text: str) -> None:
    lock = Lock(tmp_path / "lock", "a run")
    (tmp_path / "lock").write_text(text)
    with pytest.raises(InputError, match="another run is writing this now .it does not say who"):
        Lock(tmp_path / "lock", "another")
    lock.release()


def test_records_of_finished_runs_are_listed_whatever_they_hold(tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    out.write_bytes(b"rows")
    content = {
        "request": {"input": "stars.parquet", "sha256": "ab" * 32, "model": "mock-sky-1"}, "n_stars": 3, "n_parts": 1,
        "n_workers": 2, "seconds": 1.5, "statuses": {"ok": 3}, "engines": {"fast": 3},
        "failures": [{"part": 4, "source_id": [17], "message": "it broke"}],
    }  # fmt: skip
    whole = json.loads(write_record(out, content).read_text())
    states = set()
    for _, changed_content in all_changes(whole):
        run_record_path(out).write_text(json.dumps(changed_content))
        states |= {run.state for run in read_runs(tmp_path)}
    assert states == {"whole", "changed", "unreadable"}


def test_a_verdict_that_redflower_did_not_write_is_one_message() -> None:
    good = judge(FIT).as_dict()
    found = verdict_of({"verdict": good})
    assert found is not None
    assert found.as_dict() == good
    for _, content in all_changes({"verdict": good}):
        with suppress(InputError):
            verdict_of(content)
    for wrong in WRONG.values():
        if not isinstance(wrong, dict):
            with pytest.raises(InputError, match="did not write"):
                verdict_of(wrong)


@pytest.mark.parametrize(
    "sums", ["", "[]", "[" * 100_000, json.dumps({**FIT.as_dict(), "labels": ["J", "H"]})]
)
def test_kept_stars_with_other_sums_are_done_again(tmp_path: Path, sums: str) -> None:
    job: Any = SimpleNamespace(
        settings=SimpleNamespace(density=False),
        model=SimpleNamespace(bands=SimpleNamespace(labels=("G", *LABELS))),
    )
    with KeptPieces(tmp_path / "out.parts", "validate", resume=False) as kept:
        kept.begin("validate", {})
        for key, text in enumerate((json.dumps(FIT.as_dict()), sums)):
            kept.put("validate", key, {**empty_columns(2, density=False), _SUMS: np.array(text)})
    kept = KeptPieces(tmp_path / "out.parts", "validate", resume=True)
    piece = _kept_piece(kept, "validate", 0, 2, job)
    assert piece is not None
    assert piece[1] == SampleFit.from_dict(json.loads(json.dumps(FIT.as_dict())))
    assert _kept_piece(kept, "validate", 1, 2, job) is None
    assert _kept_piece(kept, "validate", 0, 3, job) is None, "columns of other stars"
    assert kept.n_kept == 0


@pytest.mark.parametrize(
    "piece",
    [
        {"mean": np.zeros(3)},
        {"mean": np.zeros(2), "std": np.zeros(3)},
        {"mean": np.zeros(3), "std": np.array(["a"] * 3)},
    ],
)
def test_kept_pixels_of_another_shape_are_done_again(tmp_path: Path, piece: dict[str, np.ndarray]) -> None:
    with KeptPieces(tmp_path / "map.fits.parts", "map", resume=False) as kept:
        kept.begin("map", {})
        kept.put("map", 7, piece)
    kept = KeptPieces(tmp_path / "map.fits.parts", "map", resume=True)
    assert kept.get("map", 7, {"mean": np.zeros(3), "std": np.zeros(3)}) is None


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff\xfe\n", b"[]\n", b"{}\n", b"3\n", b"[" * 100_000 + b"\n", b'{"fingerprint": "a"}\n',
     b'{"fingerprint": "a", "config": {}, "history": [{"stage": 0}], "stage": 0}\n',
     b'{"fingerprint": "a", "config": {}, "history": [], "best": 1, "stage": "x"}\n'],
)  # fmt: skip
def test_a_damaged_checkpoint_is_one_message(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "checkpoint").write_bytes(content)
    state = object.__new__(State)
    state.flow = SimpleNamespace(network=None, standardisation=None)  # type: ignore[assignment]
    with pytest.raises(InputError, match=r"train --resume: the checkpoint .* is damaged"):
        load_checkpoint(tmp_path / "checkpoint", state, "a")
