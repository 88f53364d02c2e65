"""Files from strangers: do they run code, read what is not theirs, or take all memory, and is each refused in one sentence?

Usage: python -m benchmarks.validation.strangers [--inputs 300]

Good files of every kind that redflower reads are spoilt at random (bytes, numbers and names in headers), and files are made by
hand that attack: entities, YAML tags, pickles, and headers that promise more than there is. A process of limited memory reads
them, with an audit hook that sees every file opened, every process started, every pickled class and every connection.
"""

import argparse
import gzip
import json
import os
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.results import recording, say, table

#: A reader may take this much memory beyond what the process holds, and this long. [byte, s]
MEMORY, SECONDS = 3_000_000_000, 20
#: What no file may cause.
FORBIDDEN = (
    "pickle.find_class", "subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "socket.connect",
    "ctypes.dlopen",    "webbrowser.open", "urllib.Request",
)  # fmt: skip
SECRET = "not-for-strangers"
#: What the unfinished run was asked whose parts are taken up.
REQUEST = {"input": "a", "sha256": "b", "model": "c"}


def readers() -> dict[str, Callable[[Path], Any]]:
    """What reads each kind of file."""
    import redflower
    from redflower.catalogue.law_file import named_law
    from redflower.catalogue.maps.dust_map import read_dust_map
    from redflower.catalogue.maps.selection_file import read_selection
    from redflower.catalogue.reading.column_map import read_column_map
    from redflower.catalogue.releases_file import read_releases
    from redflower.scale.parts import PartsFolder
    from redflower.scale.run_states import read_runs
    from redflower.surveys import survey_named

    def resume(path: Path) -> None:
        """Take up the parts of an unfinished run."""
        with PartsFolder(path.parent, REQUEST, resume=True) as kept:
            kept.noted()
            kept.records()

    return {
        "model": redflower.load_model,
        **{
            f"table.{end}": redflower.read_table
            for end in ("parquet", "fits", "ecsv", "vot", "csv", "csv.gz", "fits.gz")
        },
        "offsets": redflower.read_offsets,
        "column map": read_column_map,
        "survey releases": read_releases,
        "survey": survey_named,
        "distance prior": redflower.read_distance_prior,
        "dust map": read_dust_map,
        "sky map": redflower.read_sky_map,
        "field map": redflower.read_field_map,
        "extinction law": named_law,
        "selection": read_selection,
        "run record": lambda path: read_runs(path.parent),
        "manifest of parts": resume,
        "record of a part": with_manifest(resume),
    }


NAMES = {
    "model": "m.safetensors", "offsets": "offsets.json", "column map": "columns.toml", "survey releases": "releases.toml",
    "survey": "survey.toml", "distance prior": "prior.csv", "dust map": "dust.fits",
    "sky map": "sky.fits", "selection": "selection.safetensors",
    "run record": "out.parquet.run.json", "field map": "field.fits", "extinction law": "law.toml",
    "manifest of parts": "manifest.json", "record of a part": "done-000000.json",
}  # fmt: skip


def with_manifest(reader: Callable[[Path], Any]) -> Callable[[Path], Any]:
    """Put a good manifest beside a file before it is read."""

    def read(path: Path) -> Any:
        (path.parent / NAMES["manifest of parts"]).write_text(json.dumps(manifest()))
        return reader(path)

    return read


def manifest() -> dict[str, Any]:
    """The manifest of an unfinished run."""
    from redflower.provenance import VERSION
    from redflower.scale.parts import FORMAT

    return {"format": FORMAT, "redflower": VERSION, "request": REQUEST}


def name_of(kind: str) -> str:
    """The name of a file of a kind."""
    return kind if kind.startswith("table.") else NAMES[kind]


def make_good(folder: Path) -> None:
    """Write a good file of every kind."""
    import astropy.units as u
    from astropy.io import fits
    from astropy.table import Table

    import redflower
    from redflower.bands import BANDS
    from redflower.catalogue.maps.selection import SelectionCounts, build_selection
    from redflower.catalogue.maps.selection_file import write_selection
    from redflower.flow.model_file import shipped_models
    from redflower.products.field_file import write_field_map
    from redflower.products.field_map import FieldMap
    from redflower.products.skymap import SkyMap, write_sky_map
    from redflower.scale.part_record import Failure, PartRecord
    from redflower.scale.run_record import write_record

    shutil.copy(shipped_models()["mock-sky"], folder / NAMES["model"])
    n_all = np.full((12, 1, 1), 100)
    counts = SelectionCounts(n_all, n_all // 2, np.array([14.0, 15.0]), np.array([0.0, 1.0]), 1)
    stars = Table(
        {"source_id": np.arange(1, 9), "ebv_mean": np.linspace(0, 0.3, 8) * u.mag, "status": ["ok"] * 8}
    )
    stars["density"] = np.zeros((8, 3, 2), np.uint8)
    stars.meta["redflower"] = {"stage": "posteriors", "seed": 1}
    for end in ("parquet", "fits", "ecsv", "vot"):
        redflower.write_table(stars, folder / f"table.{end}")
    stars.remove_column("density")
    redflower.write_table(stars, folder / "table.csv")
    for end in ("csv", "fits"):
        (folder / f"table.{end}.gz").write_bytes(gzip.compress((folder / f"table.{end}").read_bytes()))
    data = Path(redflower.__file__).parent / "data"
    shutil.copy(data / "gaia_releases.toml", folder / NAMES["survey releases"])
    shutil.copy(data / "surveys" / "allwise.toml", folder / NAMES["survey"])
    (folder / NAMES["distance prior"]).write_bytes((data / "mock_distance_prior.csv").read_bytes())
    (folder / NAMES["column map"]).write_text(
        '[columns]\nra = "RAJ2000"\ndec = "DEJ2000"\n\n[photometry]\nps1 = "archive"\n'
    )
    offsets = {
        "format": "redflower-offsets", "format_version": 1, "bands": ["ps1_g", "ps1_r"], "offset_mag": [0.01, -0.01],
        "covariance_mag2": [[1e-6, 0.0], [0.0, 1e-6]], "model": "mock-sky-1", "provenance": {"stars": 100},
    }  # fmt: skip
    (folder / NAMES["offsets"]).write_text(json.dumps(offsets))
    column = fits.Column("EBV", "E", unit="mag", array=np.full(12 * 16**2, 0.02, np.float32))
    hdu = fits.BinTableHDU.from_columns([column])
    hdu.header.update(
        {"PIXTYPE": "HEALPIX", "ORDERING": "NESTED", "COORDSYS": "G", "NSIDE": 16, "INDXSCHM": "IMPLICIT"}
    )
    hdu.writeto(folder / NAMES["dust map"])
    one = np.array([[0.03, 0.05]])
    write_sky_map(
        SkyMap(4, np.array([7]), np.array([300.0, 900.0]), one, 0.1 * one, np.array([40])),
        folder / NAMES["sky map"],
    )
    write_selection(build_selection(counts), folder / NAMES["selection"])
    write_field_map(
        FieldMap(
            nside=64, pixel=np.array([7]), distance_pc=np.array([300.0, 900.0]), samples_mag=np.full((3, 1, 2), 0.05),
            zero_point_mag=np.zeros((3, 1)), groups=("ALL",), n_star=np.array([40]), served=np.ones(1),
            resolution_deg=np.full((1, 2), 0.5), numbers={}, r_hat=np.ones(1),
        ),
        folder / NAMES["field map"],
    )  # fmt: skip
    coefficients = ", ".join(f"{band.label} = {2.0 - 0.1 * k}" for k, band in enumerate(BANDS))
    (folder / NAMES["extinction law"]).write_text(f"coefficients = {{{coefficients}}}\n")
    (folder / NAMES["manifest of parts"]).write_text(json.dumps(manifest()))
    part = PartRecord(
        0, 8, 1, "0" * 64, {"ok": 8}, {"fast": 8}, (Failure(0, (1, 2), "why"),), {"fit": {"n": 1}}
    )
    (folder / NAMES["record of a part"]).write_text(json.dumps(asdict(part)))
    out = folder / "out.parquet"
    out.write_bytes(b"x")
    content = {
        "request": {"input": "a", "sha256": "b", "model": "c"}, "n_stars": 1, "n_workers": 1, "seconds": 1.0,
        "statuses": {"ok": 1},        "engines": {"fast": 1}, "failures": [],
    }  # fmt: skip
    write_record(out, content)


HOSTILE = (
    -1, 0, 1, 2**31, 2**63, 10**9, 10**18, -(10**18), 1e308, float("nan"), True, None, "", "x" * 5000, "../../" + SECRET,
    "__import__('os').system('true')", [], {}, [[]], [1] * 1000, {"a": {"b": {}}}, "\x00", "\x1b[31m",
)  # fmt: skip


def spoilt_json(content: Any, rng: np.random.Generator) -> Any:
    """A tree of JSON with some of its values, or a whole branch, replaced by hostile ones."""
    if rng.random() < 0.08 or not isinstance(content, (dict, list)) or not content:
        return HOSTILE[rng.integers(len(HOSTILE))] if rng.random() < 0.5 else content
    if isinstance(content, dict):
        return {k: spoilt_json(v, rng) for k, v in content.items() if rng.random() > 0.03}
    return [spoilt_json(v, rng) for v in content]


def spoilt(good: bytes, kind: str, rng: np.random.Generator) -> bytes:
    """A good file spoilt at random."""
    how = rng.integers(4)
    if how == 0 and kind == "model":
        (size,) = struct.unpack("<Q", good[:8])
        header = json.loads(good[8 : 8 + size])
        if rng.random() < 0.7:
            inner = spoilt_json(json.loads(header["__metadata__"]["redflower"]), rng)
            header["__metadata__"]["redflower"] = json.dumps(inner)
        else:
            header = spoilt_json(header, rng)
        packed = json.dumps(header).encode()
        return struct.pack("<Q", len(packed)) + packed + good[8 + size :]
    if how == 0 and name_of(kind).endswith(".json"):
        return json.dumps(spoilt_json(json.loads(good), rng)).encode()
    if how == 0 and b"SIMPLE  =" in good[:10]:  # a card of the headers
        cards = [i for i in range(0, min(len(good), 20_000), 80) if good[i + 8 : i + 10] == b"= "]
        at = int(rng.choice(cards))
        value = str(
            rng.choice(
                [
                    "-1",
                    "0",
                    "99999999999",
                    "4294967296",
                    "'1000000000E'",
                    "'../x'",
                    "T",
                    "1E400",
                    "2147483647",
                ]
            )
        )
        return good[: at + 10] + value.rjust(20).encode()[:70].ljust(70) + good[at + 80 :]
    if how == 1 and kind not in ("table.parquet", "model"):  # numbers in text
        words = good.split(b"1") if rng.random() < 0.5 else good.split(b"0")
        at = int(rng.integers(1, len(words))) if len(words) > 1 else 0
        huge = rng.choice([b"99999999999999", b"-1", b"1e999", b"NaN", b""])
        return b"1".join(words[:at]) + bytes(huge) + b"1".join(words[at:])
    content = bytearray(good)
    if how == 2:
        return bytes(content[: int(rng.integers(len(content) + 1))])
    head = len(content) if rng.random() < 0.5 else min(len(content), 4000)
    for _ in range(int(rng.integers(1, 12))):
        content[int(rng.integers(max(head, 1))) if content else 0] = int(rng.integers(256))
    return bytes(content)


def attacks(folder: Path, good: Path) -> dict[str, tuple[str, bytes]]:
    """Files made by hand to attack: what they are -> the kind as which they are read, and their bytes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    model = (good / NAMES["model"]).read_bytes()

    def with_header(**values: Any) -> bytes:
        (size,) = struct.unpack("<Q", model[:8])
        header = json.loads(model[8 : 8 + size])
        inner = json.loads(header["__metadata__"]["redflower"])
        for name, value in values.items():
            place, _, key = name.rpartition("__")
            (inner[place] if place else inner)[key] = value
        header["__metadata__"]["redflower"] = json.dumps(inner)
        packed = json.dumps(header).encode()
        return struct.pack("<Q", len(packed)) + packed + model[8 + size :]

    many = pa.table(
        {"source_id": pa.array(np.zeros(1_000_000, np.int64)), "ebv": pa.array(np.zeros(1_000_000))}
    )
    bomb = folder / "bomb.parquet"
    with pq.ParquetWriter(bomb, many.schema, compression="zstd") as writer:
        for _ in range(1000):
            writer.write_table(many)
    zeros = gzip.compress(b"source_id,ra\n" + b"1,2\n" * 25_000_000)
    for _ in range(5):
        zeros += gzip.compress(b"1,2\n" * 50_000_000)
    votable = (good / "table.vot").read_bytes().decode()
    start = votable.index("?>") + 2
    laughs = (
        "<!DOCTYPE v [<!ENTITY a0 'ha'>"
        + "".join(f"<!ENTITY a{i} '{f'&a{i - 1};' * 10}'>" for i in range(1, 12))
        + "]>"
    )
    secret = f"<!DOCTYPE v [<!ENTITY s SYSTEM 'file://{folder / SECRET}'>]>"

    def voted(prolog: str, entity: str) -> bytes:
        return (
            votable[:start] + prolog + votable[start:].replace("<TABLE", f"<INFO>{entity}</INFO><TABLE", 1)
        ).encode()

    ecsv = (good / "table.ecsv").read_text()
    aliases = "".join(f"# x{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 4)}]\n" for i in range(1, 16))

    def headed(lines: str) -> bytes:
        return ecsv.replace("# meta:", lines + "# meta:", 1).encode()

    tags = {
        "python object": "!!python/object/apply:os.system ['true']",
        "python module": "!!python/name:os.system",
        "numpy array": "!numpy.ndarray {buffer: !!binary 'AAAA', dtype: object, order: C, shape: !!python/tuple [1000000000]}",
    }
    fits_table = (good / "table.fits").read_bytes()

    def card(content: bytes, name: str, value: str) -> bytes:
        at = content.rindex(name.ljust(8).encode() + b"=")
        return content[: at + 10] + value.rjust(20).encode().ljust(70) + content[at + 80 :]

    pickled = folder / "pickled.npz"
    np.savez(pickled, header=np.array([{"a": 1}], dtype=object))
    deep = "[" * 100_000
    deep_header = with_header(config="DEEP").replace(b'\\"DEEP\\"', deep.encode())
    dust, sky, field = ((good / NAMES[kind]).read_bytes() for kind in ("dust map", "sky map", "field map"))
    survey = (good / NAMES["survey"]).read_text()
    return {
        "a network of a billion layers": ("model", with_header(network__depth=10**9)),
        "blocks of a million": ("model", with_header(network__block_dim=10**6)),
        "an emulator of a billion layers": ("model", with_header(emulator__layers=10**9)),
        "an emulator of a billion components": ("model", with_header(emulator__components=10**9)),
        "a law of a file elsewhere": ("model", with_header(law={"name": "table", "path": str(folder / SECRET)})),
        "a header of 2^62 bytes": ("model", struct.pack("<Q", 2**62) + model[8:]),
        "a header of 1 GB": ("model", struct.pack("<Q", 10**9) + model[8:]),
        "deep JSON in the header": ("model", deep_header),
        "a pickle with a model's name": ("model", b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R."),
        "a billion rows in 30 MB of Parquet": ("table.parquet", bomb.read_bytes()),
        "1.1 GB of text in 1 MB": ("table.csv.gz", zeros),
        "ten to the eleventh laughs": ("table.vot", voted(laughs, "&a11;")),
        "a file elsewhere as an entity": ("table.vot", voted(secret, "&s;")),
        **{f"YAML: {what}": ("table.ecsv", headed(f"# x: {tag}\n")) for what, tag in tags.items()},
        "YAML: a billion aliases": ("table.ecsv", headed("# x: &a0 [x, x]\n" + aliases)),
        "a trillion rows by a FITS header": ("table.fits", card(fits_table, "NAXIS2", str(10**12))),
        "rows of a terabyte by a FITS header": ("table.fits", card(fits_table, "NAXIS1", str(10**12))),
        "a heap of a terabyte by a FITS header": ("table.fits", card(fits_table, "PCOUNT", str(10**12))),
        "a billion columns by a FITS header": ("table.fits", card(fits_table, "TFIELDS", str(10**9))),
        "a dust map of a billion columns": ("dust map", card(dust, "TFIELDS", str(10**9))),
        "a sky map of a billion columns": ("sky map", card(sky, "TFIELDS", str(10**9))),
        "a map of a field of a billion columns": ("field map", card(field, "TFIELDS", str(10**9))),
        "a passband in another folder": (
            "survey", survey.replace("[[bands]]", f"[[bands]]\npassband_table = '../{SECRET}'", 1).encode()
        ),
        "deep TOML as a survey": ("survey", b"a = " + deep.encode()),
        "a number of a million digits in a survey": ("survey", b"a = " + b"9" * 1_000_000),
        "a dust map of nside 2^29": ("dust map", card(dust, "NSIDE", str(2**29))),
        "a dust map of 10^12 rows": ("dust map", card(dust, "NAXIS2", str(10**12))),
        "a sky map of 10^12 rows": ("sky map", card(sky, "NAXIS2", str(10**12))),
        "a sky map of nside 10^18": ("sky map", card(sky, "NSIDE", str(10**18))),
        "pickled objects in a selection": ("selection", pickled.read_bytes()),
        "deep JSON as offsets": ("offsets", deep.encode()),
        "deep JSON as a record": ("run record", deep.encode()),
        "deep TOML as a column map": ("column map", b"a = " + deep.encode()),
        "deep TOML as an extinction law": ("extinction law", b"a = " + deep.encode()),
        "deep JSON as a manifest": ("manifest of parts", deep.encode()),
        "a number of a million digits": ("run record", b'{"format": "redflower-run-1", "n_stars": ' + b"9" * 1_000_000 + b"}"),
    }  # fmt: skip


class Watch:
    """Sees what a reader does that it may not do."""

    def __init__(self, folder: Path) -> None:
        self.secret = str(folder / SECRET)
        self.seen: list[str] = []
        self.on = False
        sys.addaudithook(self._hook)

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.on:
            return
        if event in FORBIDDEN:
            self.seen.append(event)
        elif (
            event == "open" and isinstance(arguments[0], (str, bytes)) and SECRET in os.fsdecode(arguments[0])
        ):
            self.seen.append("open of a file that is not its own")


def read_one(reader: Callable[[Path], Any], path: Path, watch: Watch) -> tuple[str, str]:
    """Read a file; return ``read``, ``refused`` or ``fault``, and what it was."""
    from redflower.errors import RedflowerError

    def too_long(*_: Any) -> None:
        raise TimeoutError(f"longer than {SECONDS} s")

    signal.signal(signal.SIGALRM, too_long)
    signal.alarm(SECONDS)
    watch.seen, watch.on = [], True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            reader(path)
        found = ("read", "")
    except RedflowerError as error:
        text = str(error)
        found = ("refused", "") if len(text) < 3000 else ("fault", "a message without end")
    except BaseException as error:
        found = ("fault", f"{type(error).__name__}: {str(error)[:120]}")
    finally:
        watch.on = False
        signal.alarm(0)
    return ("fault", ", ".join(sorted(set(watch.seen)))) if watch.seen else found


def child(kind: str, good: Path, first: int, n_inputs: int) -> None:
    """Read spoilt files of a kind, or those made by hand; print what became of them, a line each."""
    import logging

    logging.disable(logging.CRITICAL)
    by_kind = readers()
    if kind != "by hand":
        with warnings.catch_warnings():  # whatever is imported at the first reading is not the file's doing
            warnings.simplefilter("ignore")
            by_kind[kind](good / name_of(kind)) if kind not in (
                "offsets",
                "selection",
                "column map",
                "manifest of parts",  # these two take damaged parts away
                "record of a part",
            ) else None
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / SECRET).write_text("1")
        made = list(attacks(folder, good).items()) if kind == "by hand" else []
        watch = Watch(folder)
        held = (
            next(
                int(one.split()[1])
                for one in Path("/proc/self/status").read_text().splitlines()
                if "VmSize" in one
            )
            * 1024
        )
        resource.setrlimit(resource.RLIMIT_AS, (held + MEMORY, resource.RLIM_INFINITY))
        for number in range(first, min(n_inputs, len(made)) if made else n_inputs):
            what, (of_kind, content) = made[number] if made else ("", (kind, b""))
            inner = folder / str(number)
            inner.mkdir()
            path = inner / name_of(of_kind)
            if not made:
                content = spoilt(
                    (good / name_of(kind)).read_bytes(), kind, np.random.default_rng([number, len(kind)])
                )
            path.write_bytes(content)
            print(json.dumps({"start": number, "what": what}), flush=True)
            began = time.monotonic()
            state, why = read_one(by_kind[of_kind], path, watch)
            print(json.dumps({"state": state, "why": why, "s": time.monotonic() - began}), flush=True)
            shutil.rmtree(inner)
    print(json.dumps({"end": True}), flush=True)


def tried(kind: str, good: Path, n_inputs: int) -> list[tuple[str, str, str]]:
    """Let processes read files of a kind; return what each was, what became of it and why."""
    found: list[tuple[str, str, str]] = []
    first = 0
    while True:
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.validation.strangers", "--child", kind, "--good", str(good), "--first", str(first),
             "--inputs", str(n_inputs)],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        what = ""
        for line in lines:
            if "start" in line:
                first, what = line["start"] + 1, line["what"] or f"input {line['start']}"
            elif "state" in line:
                found.append((what, line["state"], line["why"]))
        if lines and lines[-1].get("end"):
            return found
        if not lines or "start" not in lines[-1]:
            raise SystemExit(f"strangers: the process for {kind} ended before it read anything")
        found.append((what, "fault", f"the process ended with code {done.returncode}"))


def main() -> None:
    """Try what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=300, help="spoilt files of every kind")
    parser.add_argument("--only", help="one kind alone; nothing is recorded then")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--good", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--first", type=int, default=0, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments.child, arguments.good, arguments.first, arguments.inputs)
        return
    with tempfile.TemporaryDirectory() as place:
        good = Path(place)
        make_good(good)
        if arguments.only:
            for what, state, why in tried(arguments.only, good, arguments.inputs):
                print(state, what, why)
            return
        with recording("strangers", seed=0):
            run(good, arguments.inputs)


def run(good: Path, n_inputs: int) -> None:
    """Try every kind, and record what became of them."""
    lines = table({"kind of file": "", "inputs": ",", "read": ",", "refused": ",", "faults": ","})
    faults: list[str] = []
    total = 0
    kinds = [*readers(), "by hand"]
    with ThreadPoolExecutor(4) as pool:
        of_kinds = list(pool.map(lambda kind: tried(kind, good, n_inputs), kinds))
    for kind, found in zip(kinds, of_kinds, strict=True):
        states = [state for _, state, _ in found]
        lines.row(kind, len(found), *(states.count(state) for state in ("read", "refused", "fault")))
        faults += [f"{kind}, {what}: {why}" for what, state, why in found if state == "fault"]
        total += len(found)
    say("Inputs tried: {tried}; faults left: {n_faults}.", tried=total, n_faults=len(faults))
    for fault in faults[:20]:
        say(f"  fault: {fault}")


if __name__ == "__main__":
    main()
