"""What does the way over HATS, LSDB and Dask cost, beside plain inference of the same stars from one table?

Usage: python -m benchmarks.speed.hats [--stars 2048 8192] [--partition-rows 1024]

Runs of `redflower infer` on the mock sky behind two clouds, from a table and from a HATS catalogue, one after another; between
the sizes the start cancels. Processor time is of all processes of a run; the load tells what else the machine did.
"""

import argparse
import os
import tempfile
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


def timed(stars: Path, workers: int) -> InferRun:
    """Run `infer` once on a table or a catalogue."""
    out = stars.with_name(f"out-{stars.stem}-{workers}" + ("" if stars.is_dir() else ".parquet"))
    return timed_infer(stars, out, workers)


def rows_of(out: Path) -> Table:
    """All rows that a run wrote, by source_id."""
    files = sorted((out / "dataset").rglob("*.parquet")) if out.is_dir() else [out]
    found = vstack([redflower.read_table(path) for path in files], metadata_conflicts="silent")
    if SPATIAL_INDEX in found.colnames:
        found.remove_column(SPATIAL_INDEX)
    return found[np.argsort(np.asarray(found["source_id"]))]


def main() -> None:
    """Time what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stars", type=int, nargs=2, default=[2048, 8192])
    parser.add_argument("--partition-rows", type=int, default=1024)
    arguments = parser.parse_args()
    with recording("hats", seed=8), tempfile.TemporaryDirectory() as place:
        run(Path(place), arguments.stars, arguments.partition_rows)


def run(folder: Path, sizes: list[int], partition_rows: int) -> None:
    """Time tables and catalogues of both sizes, with one process and with two."""
    inputs: dict[str, list[Path]] = {"one table": [], "HATS": []}
    for n in sizes:
        stars = folder / f"{n}.parquet"
        write_stars(stars, n)
        inputs["one table"].append(stars)
        inputs["HATS"].append(as_catalogue(stars, folder / f"hats-{n}", partition_rows))
    for workers in (1, 2):
        timed(inputs["one table"][0], workers)  # compiles what is not kept yet
    say("Load of the machine at the start: {load} processes on {cores} cores.",
        load=round(os.getloadavg()[0], 1), cores=len(os.sched_getaffinity(0)))  # fmt: skip
    lines = table(
        {
            "input": "", "workers": "d", "parts": "d", "core-ms a star": ".2f", "beside one table": "+.0%",
            "start [core-s]": ".1f",
            "peak memory of a process [GB]": ".2f",
        }
    )  # fmt: skip
    n_more = sizes[1] - sizes[0]
    plain: dict[int, float] = {}
    for workers in (1, 2):
        for kind, (few, many) in inputs.items():
            small, large = timed(few, workers), timed(many, workers)
            core_ms = 1e3 * (large.cpu_s - small.cpu_s) / n_more
            plain.setdefault(workers, core_ms)
            start_s = small.cpu_s - core_ms * sizes[0] / 1e3
            beside = None if kind == "one table" else core_ms / plain[workers] - 1
            lines.row(
                kind,
                workers,
                large.record["n_parts"],
                core_ms,
                beside,
                start_s,
                large.record["peak_bytes"] / 1e9,
            )
    by_table, by_hats = (
        rows_of(folder / f"out-{sizes[1]}-2.parquet"),
        rows_of(folder / f"out-hats-{sizes[1]}-2"),
    )
    same = by_table.colnames == by_hats.colnames and all(
        np.array_equal(
            np.asarray(by_table[name]), np.asarray(by_hats[name]), equal_nan=by_table[name].dtype.kind == "f"
        )
        for name in by_table.colnames
    )
    say("The rows of the catalogue are those of the table to the last bit: {same}.", same=same)
    say("Load at the end: {load_end}.", load_end=round(os.getloadavg()[0], 1))


if __name__ == "__main__":
    main()
