"""Tables as HATS catalogues in small partitions, and what is in a catalogue."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from astropy.table import Table, vstack

import redflower
from redflower.catalogue.io.hats import SPATIAL_INDEX

#: Wide enough that a star of few over the sky is in the margin of another partition.
MARGIN_ARCSEC = 7_200.0


def write_hats(
    table: Table,
    folder: Path,
    partition_rows: int,
    *,
    order: int = 5,
    margin_arcsec: float | None = MARGIN_ARCSEC,
) -> Path:
    """Write a table as a HATS catalogue, by LSDB, in partitions of so many stars at most, and of an order at most."""
    import lsdb

    catalogue = lsdb.from_dataframe(
        table.to_pandas(), ra_column="ra", dec_column="dec", catalog_name=folder.name, partition_rows=partition_rows,
        highest_order=order, margin_threshold=margin_arcsec,
    )  # fmt: skip
    catalogue.write_catalog(folder, catalog_name=folder.name, progress_bar=False)
    return folder


def partition_files(folder: Path) -> list[Path]:
    """The files of the partitions of a catalogue, without those of its margin."""
    main = folder / folder.name if (folder / "collection.properties").is_file() else folder
    return sorted((main / "dataset").rglob("*.parquet"))


def all_rows(folder: Path) -> Table:
    """All stars of a catalogue that redflower wrote, without the spatial index, by source_id."""
    table = vstack(
        [redflower.read_table(path) for path in partition_files(folder)], metadata_conflicts="silent"
    )
    table.remove_column(SPATIAL_INDEX)
    return table[np.argsort(np.asarray(table["source_id"]))]


#: Columns of a raw table that are carried along; LSDB, which wrote the raw catalogue, keeps no units of them.
CARRIED = ("true_ebv", "true_distance", "name")


def check_same_rows(found: Table, expected: Table) -> None:
    """The same stars once each, with the same numbers to the last bit, units and descriptions."""
    expected = expected[np.argsort(np.asarray(expected["source_id"]))]
    assert found.colnames == expected.colnames
    for name in expected.colnames:
        one, other = found[name], expected[name]
        np.testing.assert_array_equal(np.ma.filled(one), np.ma.filled(other), err_msg=name)
        if name in CARRIED:
            continue
        assert (one.dtype.kind, one.unit, one.description) == (
            other.dtype.kind,
            other.unit,
            other.description,
        ), name


def common_schema(folder: Path):
    return pq.read_schema(folder / "dataset" / "_common_metadata")
