"""Readers of strangers' files under a fuzzer that looks at the code they reach: does any input end other than in one message?

Usage: python -m benchmarks.validation.fuzz [--seconds 30] [--only KIND]

Needs atheris (Linux; `pip install 'redflower[fuzz]'`). Each kind of file of `benchmarks.validation.strangers` has a process of
its own, which begins with a good file, or with the header of a good model, and keeps inputs that reach new lines of redflower.
Anything but a message of redflower's, a process that ends, more than 3 GB or 20 seconds is a fault; its input is kept in
``fuzz-faults``.
"""

import argparse
import logging
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

from benchmarks.results import recording, say, table
from benchmarks.validation.strangers import make_good, name_of, readers

#: Readers that are in Python: what others read is in C, which atheris does not see into, and is spoilt at random by `strangers`.
KINDS = (
    "model", "table.csv", "table.ecsv", "table.vot", "offsets", "column map", "survey releases", "survey", "distance prior",
    "extinction law", "field map", "sky map", "run record", "manifest of parts", "record of a part",
)  # fmt: skip
FAULTS = Path("fuzz-faults")
MEMORY_MB, SECONDS_EACH = 3000, 20
_DONE = re.compile(r"Done (\d+) runs in (\d+) second")
_REACHED = re.compile(r"cov: (\d+)")


def child(kind: str, corpus: Path, seconds: int) -> None:
    """Fuzz a reader in this process, until the time is over or a fault ends it."""
    import atheris

    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    with atheris.instrument_imports(include=["redflower"]):  # what is imported later it does not see into
        import redflower.catalogue.law_file
        import redflower.catalogue.maps.distance_prior
        import redflower.catalogue.reading.column_map
        import redflower.catalogue.releases_file
        import redflower.flow.model_file
        import redflower.photometric_offsets
        import redflower.products.field_file
        import redflower.products.skymap
        import redflower.scale.part_record
        import redflower.scale.parts
        import redflower.scale.run_states
        import redflower.surveys  # noqa: F401
        from redflower.errors import RedflowerError
    reader = readers()[kind]
    place = Path(tempfile.mkdtemp())
    path = place / name_of(kind)
    rest = shipped_model()[1] if kind == "model" else None

    def one(content: bytes) -> None:
        for left in place.iterdir():
            left.unlink()
        path.write_bytes(content if rest is None else struct.pack("<Q", len(content)) + content + rest)
        try:
            reader(path)
        except RedflowerError as error:
            if len(str(error)) > 3000:
                raise RuntimeError("a message without end") from error

    for first in corpus.iterdir():  # imports JAX, which takes longer than many inputs
        one(first.read_bytes())
    atheris.Setup(
        [sys.argv[0], str(corpus), f"-max_total_time={seconds}", f"-rss_limit_mb={MEMORY_MB}", f"-timeout={SECONDS_EACH}",
         f"-report_slow_units={SECONDS_EACH}",
         f"-artifact_prefix={FAULTS.resolve()}/{kind.replace(' ', '-')}-", "-print_final_stats=0"],
        one,
    )  # fmt: skip
    atheris.Fuzz()


def shipped_model() -> tuple[bytes, bytes]:
    """The header of a model and the numbers after it: a change of these is rarely more than another number."""
    from redflower.flow.model_file import shipped_models

    content = shipped_models()["mock-sky"].read_bytes()
    (size,) = struct.unpack("<Q", content[:8])
    return content[8 : 8 + size], content[8 + size :]


def fuzzed(kind: str, good: Path, seconds: int) -> tuple[int, int, str]:
    """Fuzz a kind of file in a process of its own; return inputs tried, places reached, and the fault that was found."""
    FAULTS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        if kind == "model":
            (Path(place) / "header").write_bytes(shipped_model()[0])
        else:
            shutil.copy(good / name_of(kind), place)
        before = set(FAULTS.iterdir())
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.validation.fuzz", "--child", kind, "--corpus", place, "--seconds", str(seconds)],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace",
        )  # fmt: skip
    found = sorted(path.name for path in set(FAULTS.iterdir()) - before)
    runs, reached = _DONE.findall(done.stderr), _REACHED.findall(done.stderr)
    tried = (
        int(runs[-1][0])
        if runs
        else max((int(n) for n in re.findall(r"^#(\d+)", done.stderr, re.M)), default=0)
    )
    if not reached:
        raise SystemExit(
            f"fuzz: the process for {kind} ended before it read anything:\n{done.stderr[-2000:]}"
        )
    errors = re.findall(r"^(?:=+ )?([A-Za-z.]*(?:Error|Exception)[^\n]*)", done.stderr, re.M)
    why = (
        f"{found[0]}: {errors[-1][:120] if errors else f'code {done.returncode}'}"
        if found or done.returncode
        else ""
    )
    return tried, int(reached[-1]), why


def main() -> None:
    """Fuzz what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=30, help="for each kind of file")
    parser.add_argument("--only", choices=KINDS, help="one kind alone; nothing is recorded then")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--corpus", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments.child, arguments.corpus, arguments.seconds)
        return
    with tempfile.TemporaryDirectory() as place:
        good = Path(place)
        make_good(good)
        if arguments.only:
            print(*fuzzed(arguments.only, good, arguments.seconds))
            return
        with recording("fuzz"):
            run(good, arguments.seconds)
    if FAULTS.is_dir() and not any(FAULTS.iterdir()):
        FAULTS.rmdir()


def run(good: Path, seconds: int) -> None:
    """Fuzz every kind, and record what became of it."""
    from importlib.metadata import version

    say("atheris {atheris}, {seconds} s for every kind of file.", atheris=version("atheris"), seconds=seconds)
    lines = table({"kind of file": "", "inputs": ",", "places reached": ",", "faults": ","})
    total, faults = 0, []
    for kind in KINDS:
        tried, reached, why = fuzzed(kind, good, seconds)
        lines.row(kind, tried, reached, int(bool(why)))
        total += tried
        faults += [f"{kind}: {why}"] if why else []
    say("Inputs tried: {tried}; faults left: {n_faults}.", tried=total, n_faults=len(faults))
    for fault in faults:
        say(f"  fault: {fault}")


if __name__ == "__main__":
    main()
