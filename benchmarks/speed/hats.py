"""What does the way over HATS, LSDB and Dask cost, beside plain inference of the same stars from one table?

Usage: python -m benchmarks.speed.hats [--realistic 49152 16384 2] [--small 9216 1024 8]

Runs of `redflower infer` on the mock sky behind two clouds, from a table and from a HATS catalogue, one after another. The parts
of the table have as many rows as the partitions have on average. Each is run on all stars, and on those of some partitions: in
the difference the start cancels, for also in some of them every worker comes to every engine, whose programs it reads once.
Twice: with partitions as large as those of a survey's catalogue, and with very small ones. Processor time is of all processes
of a run; the load tells what else the machine did.
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


def some_partitions(catalogue: Path, folder: Path, n_partitions: int) -> tuple[Path, Path]:
    """Write the first partitions of a catalogue as one of its own, and as a table; return both."""
    import lsdb
    import pyarrow as pa
    import pyarrow.parquet as pq

    whole = lsdb.open_catalog(catalogue)
    pixels = whole.get_healpix_pixels()[:n_partitions]
    whole.pixel_search([(pixel.order, pixel.pixel) for pixel in pixels]).write_catalog(
        folder, catalog_name=folder.name, progress_bar=False, as_collection=False
    )
    schema = pq.read_schema(catalogue / "dataset" / "_common_metadata")
    pq.write_metadata(schema, folder / "dataset" / "_common_metadata")
    parts = [pq.ParquetFile(path).read() for path in partitions_of(folder)]
    stars = folder.with_suffix(".parquet")
    pq.write_table(
        pa.concat_tables(parts).drop_columns(SPATIAL_INDEX).replace_schema_metadata(schema.metadata), stars
    )
    return folder, stars


def rows_in(stars: Path) -> int:
    """Return how many stars a table has."""
    import pyarrow.parquet as pq

    return int(pq.ParquetFile(stars).metadata.num_rows)


def partitions_of(catalogue: Path) -> list[Path]:
    """Return the files of a catalogue's partitions."""
    return sorted((catalogue / "dataset").rglob("Npix=*.parquet"))


def out_of(stars: Path, workers: int) -> Path:
    """Where the rows of a run go."""
    return stars.with_name(f"out-{stars.stem}-{workers}" + ("" if stars.is_dir() else ".parquet"))


def timed(stars: Path, workers: int, part_rows: int | None = None) -> InferRun:
    """Run `infer` once on a table, in parts of so many rows, or on a catalogue."""
    more = () if part_rows is None else ("--part-rows", str(part_rows))
    return timed_infer(stars, out_of(stars, workers), workers, more=more)


def rows_of(out: Path) -> Table:
    """All rows that a run wrote, by source_id."""
    files = partitions_of(out) if out.is_dir() else [out]
    found = vstack([redflower.read_table(path) for path in files], metadata_conflicts="silent")
    if SPATIAL_INDEX in found.colnames:
        found.remove_column(SPATIAL_INDEX)
    return found[np.argsort(np.asarray(found["source_id"]))]


@dataclass(frozen=True)
class Division:
    """How a sky is divided: its stars, the rows of a partition at most, and the partitions of the smaller run."""

    n_stars: int
    partition_rows: int
    few: int


def main() -> None:
    """Time what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    said = "stars, rows of a partition at most, and partitions of the smaller run"
    parser.add_argument("--realistic", type=int, nargs=3, default=[49_152, 16_384, 2], help=said)
    parser.add_argument("--small", type=int, nargs=3, default=[9216, 1024, 8], help=said)
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
        stars = Path(place) / "first.parquet"
        write_stars(stars, divisions[1].n_stars // 3)
        for workers in (1, 2):
            timed(stars, workers)  # compiles what is not kept yet
        same = [run(Path(place), division, lines.row) for division in divisions]
        say("The rows of the catalogues are those of the tables to the last bit: {same}.", same=all(same))
        say("Load at the end: {load_end}.", load_end=round(os.getloadavg()[0], 1))


@dataclass(frozen=True)
class Kind:
    """An input, some of it, and the rows of its parts; None where it has partitions."""

    name: str
    few: Path
    many: Path
    part_rows: int | None = None


def run(folder: Path, division: Division, row: Callable[..., None]) -> bool:
    """Time a table and a catalogue, and parts of both, with one process and with two; return whether the rows are the same."""
    stars = folder / f"{division.n_stars}.parquet"
    write_stars(stars, division.n_stars)
    catalogue = as_catalogue(stars, folder / f"hats-{division.n_stars}", division.partition_rows)
    few, few_stars = some_partitions(catalogue, folder / f"some-{division.n_stars}", division.few)
    n_few, n_more = rows_in(few_stars), division.n_stars - rows_in(few_stars)
    part_rows = -(-division.n_stars // len(partitions_of(catalogue)))
    kinds = (Kind("one table", few_stars, stars, part_rows), Kind("HATS", few, catalogue))
    for workers in (1, 2):
        small = {kind.name: timed(kind.few, workers, kind.part_rows) for kind in kinds}
        # The other way round, so that what the machine does beside it slowly does not count for one of them alone.
        large = {kind.name: timed(kind.many, workers, kind.part_rows) for kind in reversed(kinds)}
        core_ms = {name: 1e3 * (large[name].cpu_s - small[name].cpu_s) / n_more for name in small}
        for name in small:
            one = large[name]
            beside = None if name == kinds[0].name else core_ms[name] / core_ms[kinds[0].name] - 1
            parts = one.record["n_parts"]
            row(
                division.n_stars, name, workers, parts, division.n_stars / parts, core_ms[name], beside,
                small[name].cpu_s - core_ms[name] * n_few / 1e3, one.record["peak_bytes"] / 1e9,
            )  # fmt: skip
    by_table, by_hats = (rows_of(out_of(kind.many, workers=2)) for kind in kinds)
    return by_table.colnames == by_hats.colnames and all(
        np.array_equal(
            np.asarray(by_table[name]), np.asarray(by_hats[name]), equal_nan=by_table[name].dtype.kind == "f"
        )
        for name in by_table.colnames
    )


if __name__ == "__main__":
    main()
