"""Random files from strangers, read in this process: whatever is read is sound, and all else is one message that ends.

`benchmarks.validation.strangers` and `fuzz` try far more, of more kinds, in processes of their own. `REDFLOWER_FUZZ=N` tries N
times as many here.
"""

import dataclasses
import json
import os
import resource
import struct
import tomllib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.table import Table
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import redflower
from redflower.api.kept import KeptPieces
from redflower.catalogue.maps.dust_map import read_dust_map
from redflower.errors import InputError, RedflowerError
from redflower.flow.model_file import shipped_models
from redflower.products.skymap import SkyMap, write_sky_map
from redflower.scale.part_record import Failure, PartRecord
from redflower.scale.parts import PartsFolder
from redflower.scale.run_folder import RunFolder
from redflower.scale.run_states import read_runs
from redflower.surveys import make_survey, survey_named, survey_text

TIMES = int(os.environ.get("REDFLOWER_FUZZ", "1"))
SETTINGS = settings(
    deadline=None, derandomize=TIMES == 1, database=None, suppress_health_check=list(HealthCheck), max_examples=100 * TIMES
)  # fmt: skip
#: What a reader may take beside what this process holds. [byte]
MEMORY = 1_000_000_000
#: A message may quote a stranger, and ends.
LONGEST = 3000

ODD = st.sampled_from(
    [-1, 0, 1, 2**63, 10**30, 16**9000, 1e308, float("nan"), float("inf"), True, None, "", "x" * 5000, "../../secret", "/secret",
     "\x1b[31m", [], {}, [[]], [1] * 300, ["x"] * 300, {"a": {"b": {}}}, "gaia_g", "letter", "number"]
)  # fmt: skip


def spoilt(draw: st.DrawFn, content: object, share: float = 0.06) -> object:
    """A tree with some of its values, or whole branches, replaced or absent."""
    if draw(st.floats(0, 1)) < share:
        return draw(ODD)
    if isinstance(content, dict):
        return {k: spoilt(draw, v, share) for k, v in content.items() if draw(st.floats(0, 1)) > share / 3}
    if isinstance(content, list):
        return [spoilt(draw, v, share) for v in content]
    return content


def spoilt_bytes(draw: st.DrawFn, content: bytes, first: int = 0) -> bytes:
    """A file with some of its bytes changed, or cut off."""
    some = bytearray(content)
    for _ in range(draw(st.integers(0, 6))):
        some[draw(st.integers(first, len(some) - 1))] = draw(st.integers(0, 255))
    return bytes(some[: draw(st.sampled_from([len(some)] * 3 + [len(some) // 2]))])


def check_message(refused: RedflowerError) -> None:
    assert 0 < len(str(refused)) < LONGEST
    assert str(refused).replace("\n", "").isprintable()


@contextmanager
def little_memory() -> Iterator[None]:
    """Let the process have little more memory than it has."""
    held = next(
        1024 * int(line.split()[1])
        for line in Path("/proc/self/status").read_text().splitlines()
        if line.startswith("VmSize")
    )
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (held + MEMORY, before[1]))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.mark.parametrize("name", ["allwise", "gaia"])
def test_any_survey_is_sound_or_refused_in_a_message(name: str, tmp_path: Path) -> None:
    good = tomllib.loads(survey_text(name))

    @SETTINGS
    @given(st.data())
    def check(data: st.DataObject) -> None:
        content = spoilt(data.draw, good)
        try:
            survey = make_survey(content, "odd", "--survey odd.toml", tmp_path)  # type: ignore[arg-type]
        except InputError as refused:
            check_message(refused)
            return
        for band in survey.bands:
            assert 0 <= band.error_floor_mag <= 1
            assert (band.name + band.label + band.magnitude_column).isprintable()
        assert all(Path(path).is_relative_to(tmp_path) for _, path in survey.passband_tables)
        json.dumps([band.as_spec() for band in survey.bands])

    check()


def test_any_text_of_a_survey_is_read_or_refused_in_a_message(tmp_path: Path) -> None:
    good, path = survey_text("allwise").encode(), tmp_path / "odd.toml"

    @SETTINGS
    @given(st.data())
    def check(data: st.DataObject) -> None:
        odd = data.draw(
            st.sampled_from(
                [b"", b"\nx = " + b"9" * 5000, b"\nx = 0x" + b"f" * 9000, b"\na = " + b"[" * 99_999]
            )
        )
        path.write_bytes(odd[1:] + b"\n" + spoilt_bytes(data.draw, good))
        try:
            survey_named(path)
        except InputError as refused:
            check_message(refused)

    check()


@pytest.mark.parametrize("line", ["'../p.csv'", "'/etc/p.csv'", "'a/../../p.csv'", "5", "''"])
def test_a_survey_names_no_passband_outside_its_folder(tmp_path: Path, line: str) -> None:
    text = survey_text("sdss").replace("[[bands]]", f"[[bands]]\npassband_table = {line}", 1)
    (tmp_path / "odd.toml").write_text(text)
    with pytest.raises(InputError, match="passband_table must"):
        survey_named(tmp_path / "odd.toml")


REQUEST = {"input": "a", "sha256": "b", "model": "c"}
MANIFEST = {"format": "redflower-parts-1", "redflower": "0", "request": REQUEST, "state": "running"}
PART = dataclasses.asdict(
    PartRecord(
        number=0,
        n_rows=2,
        n_bytes=3,
        sha256="0" * 64,
        statuses={"ok": 2},
        engines={"fast": 2},
        failures=(Failure(0, (1,), "it broke"),),
        told={"fit": {"n": 1}},
    )  # fmt: skip
)


def test_any_unfinished_run_is_taken_up_or_refused_and_listed(tmp_path: Path) -> None:
    """Manifest and records of parts, of a run of which nothing is true."""
    folder = tmp_path / "out.parquet.parts"
    folder.mkdir()

    @SETTINGS
    @given(st.data())
    def check(data: st.DataObject) -> None:
        written = {
            "manifest.json": spoilt(data.draw, MANIFEST, 0.03),
            "done-000000.json": spoilt(data.draw, PART),
        }
        for name, content in written.items():
            (folder / name).write_text(_json(content))
        assert {run.state for run in read_runs(tmp_path)} <= {"unfinished", "unreadable"}
        try:
            with PartsFolder(
                folder, REQUEST, resume=True, path_of=lambda number: [folder / "one"][number]
            ) as kept:
                assert kept.noted()["format"] == MANIFEST["format"]
                assert not any(record.n_rows for record in kept.records().values())
        except InputError as refused:
            check_message(refused)

    check()


def test_any_pieces_are_taken_up_or_done_again(tmp_path: Path) -> None:
    folder = tmp_path / "map.fits.parts"
    with KeptPieces(folder, "map", resume=False) as kept:
        kept.begin("pixels", {"nside": 64, "seed": 0})
        kept.put("pixels", 7, {"mean": np.arange(3.0), "n": np.array(4)})
    request = json.loads((folder / "requests.json").read_text())
    block = (folder / "block-000000.npz").read_bytes()
    name = st.sampled_from(
        ["block-000000.npz", "block-x.npz", "block-.npz", "block-99999999999999999999.npz"]
    )

    @SETTINGS
    @given(st.data())
    def check(data: st.DataObject) -> None:
        for path in folder.iterdir():
            path.unlink()
        (folder / "requests.json").write_text(_json(spoilt(data.draw, request)))
        (folder / data.draw(name)).write_bytes(spoilt_bytes(data.draw, block))
        try:
            with little_memory():
                kept = KeptPieces(folder, "map", resume=True)
                kept.begin("pixels", {"nside": 64, "seed": 0})
        except InputError as refused:
            check_message(refused)

    check()


def test_pieces_that_are_packed_are_not_unpacked(tmp_path: Path) -> None:
    """Those that redflower writes are not, so that none is larger than its file."""
    folder = tmp_path / "map.fits.parts"
    with KeptPieces(folder, "map", resume=False) as kept:
        kept.begin("pixels", {})
        kept.put("pixels", 7, {"n": np.array(4)})
    np.savez_compressed(folder / "block-000001.npz", **{'["pixels", "8", "n"]': np.zeros(10_000_000)})
    kept = KeptPieces(folder, "map", resume=True)
    assert kept.get("pixels", 7, {"n": np.array(0)}) is not None
    assert kept.get("pixels", 8, {"n": np.zeros(10_000_000)}) is None
    assert not (folder / "block-000001.npz").exists()


@pytest.mark.parametrize("text", ["[]", "3", '"x"', "[" * 99_999, "9" * 5000, "{", ""])
def test_a_folder_of_a_run_with_another_request_is_refused_in_a_message(tmp_path: Path, text: str) -> None:
    (tmp_path / "request.json").write_text(text)
    with pytest.raises(InputError) as refused:
        RunFolder(tmp_path, resume=True)
    check_message(refused.value)


def _json(content: object) -> str:
    """JSON, with what it cannot write as text."""
    return json.dumps(content, default=str) if not _has_huge(content) else "9" * 5000


def _has_huge(content: object) -> bool:
    if isinstance(content, dict):
        return any(map(_has_huge, content.values()))
    if isinstance(content, list):
        return any(map(_has_huge, content))
    return isinstance(content, int) and abs(content) > 10**4000


def test_a_model_whose_header_claims_any_shape_is_refused_in_little_memory(tmp_path: Path) -> None:
    good, path = shipped_models()["mock-sky"].read_bytes(), tmp_path / "odd.safetensors"
    (size,) = struct.unpack("<Q", good[:8])
    header = json.loads(good[8 : 8 + size])
    names = [name for name in header if name != "__metadata__"]
    numbers = st.sampled_from([0, 1, 2**20, 10**9, 2**40, 2**62, 2**63, 2**64, 10**30, -1])

    @settings(SETTINGS, max_examples=30 * TIMES)
    @given(st.data())
    def check(data: st.DataObject) -> None:
        odd = json.loads(json.dumps(header))
        for name in data.draw(st.lists(st.sampled_from(names), min_size=1, max_size=3)):
            key = data.draw(st.sampled_from(["shape", "data_offsets", "dtype"]))
            odd[name][key] = (
                data.draw(st.sampled_from(["F64", "U8", "BOOL", "F4_X", "", 5]))
                if key == "dtype"
                else data.draw(st.lists(numbers, max_size=4))
            )
        packed = json.dumps(odd).encode()
        path.write_bytes(struct.pack("<Q", len(packed)) + packed + good[8 + size :])
        with little_memory():
            try:
                redflower.load_model(path)
            except RedflowerError as refused:
                check_message(refused)

    redflower.load_model("mock-sky")  # what it imports is not the file's doing
    check()


def _with_card(content: bytes, name: str, value: str) -> bytes:
    at = content.rindex(name.ljust(8).encode() + b"=")
    return content[: at + 10] + value.rjust(20).encode().ljust(70) + content[at + 80 :]


def test_a_table_whose_header_claims_any_size_is_refused_in_little_memory(tmp_path: Path) -> None:
    """FITS by its cards; Parquet by the bytes of its footer, where the numbers of rows, columns and bytes are."""
    stars = Table(
        {
            "source_id": np.arange(1, 9),
            "ra": np.linspace(0.0, 1.0, 8),
            "name": [f"star {k}" for k in range(8)],
        }
    )
    good = {
        end: redflower.write_table(stars, tmp_path / f"good{end}").read_bytes()
        for end in (".fits", ".parquet")
    }
    (footer,) = struct.unpack("<I", good[".parquet"][-8:-4])
    first = len(good[".parquet"]) - 8 - footer
    sizes = st.sampled_from(
        ["-1", "0", "10000000", str(10**9), str(2**31), str(10**12), str(2**63), str(10**30), "1E400", "T"]
    )
    cards = st.sampled_from(["NAXIS", "NAXIS1", "NAXIS2", "PCOUNT", "GCOUNT", "TFIELDS", "BITPIX"])

    @SETTINGS
    @given(st.data())
    def check(data: st.DataObject) -> None:
        end = data.draw(st.sampled_from([".fits", ".parquet"]))
        if end == ".fits":
            odd = _with_card(good[end], data.draw(cards), data.draw(sizes))
        else:
            odd = spoilt_bytes(data.draw, good[end], first)
        path = tmp_path / f"odd{end}"
        path.write_bytes(odd)
        with little_memory():
            try:
                redflower.read_table(path)
            except RedflowerError as refused:
                check_message(refused)

    for end in good:
        redflower.read_table(tmp_path / f"good{end}")
    check()


@pytest.mark.parametrize("value", ["1000000000", "-1", "T", "1E400"])
def test_maps_and_tables_of_very_many_columns_are_refused_before_they_are_made(
    tmp_path: Path, value: str
) -> None:
    one = np.array([[0.03]])
    write_sky_map(
        SkyMap(
            nside=4, pixel=np.array([7]), distance_pc=np.array([300.0]), ebv_mag=one, ebv_std_mag=0.1 * one,
            n_stars=np.array([40]),
        ),
        tmp_path / "sky.fits",
    )  # fmt: skip
    redflower.write_table(Table({"source_id": [1, 2]}), tmp_path / "table.fits")
    for name, read in (
        ("sky", redflower.read_sky_map), ("sky", read_dust_map), ("sky", redflower.read_field_map),
        ("table", redflower.read_table),
    ):  # fmt: skip
        path = tmp_path / f"odd-{name}.fits"
        path.write_bytes(_with_card((tmp_path / f"{name}.fits").read_bytes(), "TFIELDS", value))
        with little_memory(), pytest.raises(RedflowerError) as refused:
            read(path)
        check_message(refused.value)


def test_a_file_of_parquet_that_has_fewer_rows_than_it_says_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "odd.parquet"
    pq.write_table(pa.table({"source_id": np.arange(100)}), path)
    path.write_bytes(path.read_bytes()[:4] + path.read_bytes()[200:])
    with little_memory(), pytest.raises(RedflowerError):
        redflower.read_table(path)
