"""What does the way over HATS, LSDB and Dask cost, beside plain inference of the same stars from one table?

Usage: python -m benchmarks.speed.hats [--realistic 8192 24576 8192] [--small 2048 8192 1024]

Runs of `redflower infer` on the mock sky behind two clouds, from a table and from a HATS catalogue, one after another; between
the sizes the start cancels. Twice: with partitions as large as a test can be, and with very small ones. Processor time is of all
processes of a run; the load tells what else the machine did.
"""

import argparse
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.table import Table, vstack
from benchmarks.infer_runs import InferRun, timed_infer
from benchmarks.results import recording, say, table
from benchmarks.speed.many_stars import write_stars

import redflower
from redflower.catalogue.io.hats import SPATIAL_INDEX


def as_catalogue(stars: Path, folder: Path, partition_rows: int) -> Path:
    """Write a prepared table as a HATS catalogue, by LSDB, with redflower's schema in its metadata."""
    import lsdb
    import pyarrow.parquet as pq

    prepared = redflower.read_table(stars)
    made = lsdb.from_dataframe(
        prepared.to_pandas(), ra_column="ra", dec_column="dec", catalog_name=folder.name, partition_rows=partition_rows,
        highest_order=12, margin_threshold=None,
    )  # fmt: skip
    made.write_catalog(folder, catalog_name=folder.name, progress_bar=False, as_collection=False)
    common = folder / "dataset" / "_common_metadata"
    pq.write_metadata(pq.read_schema(common).with_metadata(pq.read_schema(stars).metadata), common)
    return folder


def out_of(stars: Path, workers: int) -> Path:
    """Where the rows of a run go."""
    return stars.with_name(f"out-{stars.stem}-{workers}" + ("" if stars.is_dir() else ".parquet"))


def timed(stars: Path, workers: int) -> InferRun:
    """Run `infer` once on a table or a catalogue."""
    return timed_infer(stars, out_of(stars, workers), workers)


def rows_of(out: Path) -> Table:
    """All rows that a run wrote, by source_id."""
    files = sorted((out / "dataset").rglob("*.parquet")) if out.is_dir() else [out]
    found = vstack([redflower.read_table(path) for path in files], metadata_conflicts="silent")
    if SPATIAL_INDEX in found.colnames:
        found.remove_column(SPATIAL_INDEX)
    return found[np.argsort(np.asarray(found["source_id"]))]


@dataclass(frozen=True)
class Division:
    """How a sky is divided: stars of the two runs, and rows of a partition at most."""

    few: int
    many: int
    partition_rows: int


def main() -> None:
    """Time what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    said = "stars of the smaller and of the larger run, and rows of a partition at most"
    parser.add_argument("--realistic", type=int, nargs=3, default=[8192, 24_576, 8192], help=said)
    parser.add_argument("--small", type=int, nargs=3, default=[2048, 8192, 1024], help=said)
    arguments = parser.parse_args()
    with recording("hats", seed=8), tempfile.TemporaryDirectory() as place:
        say(
            "Load of the machine at the start: {load} processes on {cores} cores.",
            load=round(os.getloadavg()[0], 1),
            cores=len(os.sched_getaffinity(0)),
        )
        lines = table(
            {
                "stars": ",", "input": "", "workers": "d", "parts": "d", "rows of a part": ",.0f", "core-ms a star": ".2f",
                "beside one table": "+.0%", "start [core-s]": ".1f", "peak memory of a process [GB]": ".2f",
            }
        )  # fmt: skip
        divisions = [Division(*arguments.realistic), Division(*arguments.small)]
        same = [run(Path(place), division, lines.row) for division in divisions]
        say("The rows of the catalogues are those of the tables to the last bit: {same}.", same=all(same))
        say("Load at the end: {load_end}.", load_end=round(os.getloadavg()[0], 1))


def run(folder: Path, division: Division, row: Callable[..., None]) -> bool:
    """Time a table and a catalogue of both sizes, with one process and with two; return whether the rows are the same."""
    inputs: dict[str, list[Path]] = {"one table": [], "HATS": []}
    for n in (division.few, division.many):
        stars = folder / f"{n}.parquet"
        if not stars.exists():
            write_stars(stars, n)
        inputs["one table"].append(stars)
        inputs["HATS"].append(
            as_catalogue(stars, folder / f"hats-{n}-{division.partition_rows}", division.partition_rows)
        )
    for workers in (1, 2):
        timed(inputs["one table"][0], workers)  # compiles what is not kept yet
    n_more = division.many - division.few
    for workers in (1, 2):
        plain: float | None = None
        for kind, (few, many) in inputs.items():
            small, large = timed(few, workers), timed(many, workers)
            core_ms = 1e3 * (large.cpu_s - small.cpu_s) / n_more
            beside = None if plain is None else core_ms / plain - 1
            plain = plain or core_ms
            start_s = small.cpu_s - core_ms * division.few / 1e3
            parts = large.record["n_parts"]
            row(division.many, kind, workers, parts, division.many / parts, core_ms, beside, start_s,
                large.record["peak_bytes"] / 1e9)  # fmt: skip
    by_table, by_hats = (rows_of(out_of(inputs[kind][1], workers=2)) for kind in ("one table", "HATS"))
    return by_table.colnames == by_hats.colnames and all(
        np.array_equal(
            np.asarray(by_table[name]), np.asarray(by_hats[name]), equal_nan=by_table[name].dtype.kind == "f"
        )
        for name in by_table.colnames
    )


if __name__ == "__main__":
    main()
