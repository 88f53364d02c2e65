"""A HATS catalogue as the input of a run: its partitions, the columns that are wanted of them, and what its schema says."""

import hashlib
import pickle
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
from astropy.table import Column, Table

from redflower.catalogue.io.hats import SPATIAL_INDEX, column_names, is_hats, lsdb_module, open_hats
from redflower.catalogue.io.parquet import table_from_arrow
from redflower.catalogue.io.plain import tidied
from redflower.errors import InputError

#: Columns that repeat the path of a partition; older catalogues have them.
_OF_THE_PATH: Final = ("Norder", "Dir", "Npix")


@dataclass(frozen=True)
class PartitionReader:
    """What a worker must know of a catalogue beside the graph of one partition.

    Attributes
    ----------
    where : how messages call the catalogue.
    ra, dec : its columns of positions.
    schema : of all of its columns, with units and provenance; None where it states none.
    """

    where: str
    ra: str
    dec: str
    schema: pa.Schema | None

    def table(self, frame: Any) -> Table:
        """Convert the frame of a partition to a table, with the units and the provenance of the catalogue."""
        import pandas as pd

        index = frame.index if frame.index.name == SPATIAL_INDEX else None
        frame = pd.DataFrame(frame).reset_index(drop=True)
        frame = frame.drop(columns=[name for name in (*_OF_THE_PATH, SPATIAL_INDEX) if name in frame.columns])
        arrow = pa.Table.from_pandas(frame, preserve_index=False)
        stated = self.schema
        if stated is not None:
            fields = [
                field.with_metadata(stated.field(field.name).metadata)
                if field.name in stated.names
                else field
                for field in arrow.schema
            ]
            arrow = pa.Table.from_arrays(arrow.columns, schema=pa.schema(fields, stated.metadata))
        table = tidied(table_from_arrow(arrow, self.where, counted=False), self.where)
        values = self._spatial_index(table) if index is None else np.asarray(index, dtype=np.int64)
        table[SPATIAL_INDEX] = Column(values, description="HEALPix pixel of order 29, nested")
        return table

    def _spatial_index(self, table: Table) -> np.ndarray:
        """Return the pixels of positions, for a catalogue that does not hold them."""
        from hats.pixel_math.spatial_index import compute_spatial_index

        return np.asarray(compute_spatial_index(np.asarray(table[self.ra]), np.asarray(table[self.dec])))


@dataclass(frozen=True)
class HatsInput:
    """A catalogue that is read partition by partition.

    Attributes
    ----------
    catalog : of LSDB, without its margin, with the wanted columns alone.
    reader : what workers need.
    names : of all columns.
    pixels : order and pixel of every partition.
    n_rows : as the catalogue states them; None where it does not.
    identity : by which a resumed run knows its input.
    """

    catalog: Any
    reader: PartitionReader
    names: tuple[str, ...]
    pixels: tuple[tuple[int, int], ...]
    n_rows: int | None
    identity: str

    def graph(self, number: int) -> bytes:
        """Return what computes a partition, to be sent to a worker: the tasks that it needs alone, and the key of the last."""
        import cloudpickle
        from dask.optimization import cull

        delayed = self._delayed[number]
        tasks, _ = cull(dict(delayed.dask), [delayed.key])
        packed: bytes = cloudpickle.dumps((dict(tasks), delayed.key))
        return packed

    @property
    def _delayed(self) -> list[Any]:
        kept: list[Any] | None = self.__dict__.get("_kept_delayed")
        if kept is None:
            kept = self.catalog.to_delayed()
            object.__setattr__(self, "_kept_delayed", kept)
        return kept

    def first_rows(self, n_rows: int) -> list[Table]:
        """Return the rows of `first_frames` as tables."""
        return [self.reader.table(frame) for frame in self.first_frames(n_rows)]

    def first_frames(self, n_rows: int, partitions: int = 30) -> list[Any]:
        """Read the first partitions that can be read, until there are so many rows, to see what the columns hold.

        Raises
        ------
        InputError
            If none of the first can be read.
        """
        found: list[Any] = []
        problem = "it has no rows"
        for number in range(min(len(self.pixels), partitions)):
            try:
                frame = computed(self.graph(number))
            except Exception as error:
                problem = reason_of(error)
                continue
            if len(frame):
                found.append(frame)
            if sum(map(len, found)) >= n_rows:
                break
        if not found:
            raise InputError(f"{self.reader.where}: none of its first partitions can be read: {problem}.")
        return found


def computed(graph: bytes) -> Any:
    """Compute the frame of a partition from what `HatsInput.graph` returned, in this thread."""
    import dask

    tasks, key = pickle.loads(graph)
    return dask.get(tasks, key)


def reason_of(error: Exception) -> str:
    """Say in a line what went wrong, as whoever raised it did."""
    lines = [line for line in str(error).strip().splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:300] if lines else 'it does not say why'}".rstrip(". ")


def is_lsdb(source: Any) -> bool:
    """Tell whether something is a catalogue of LSDB."""
    return type(source).__module__.partition(".")[0] == "lsdb" and hasattr(source, "map_partitions")


def without_margin(catalog: Any) -> Any:
    """Return a catalogue of LSDB without its margin, whose stars are its neighbours'; the one given keeps it."""
    alone = copy(catalog)
    alone.margin = None
    return alone


def open_input(source: Any, wanted: Callable[[Sequence[str]], Sequence[str]], what: str) -> HatsInput:
    """Open a catalogue for a run.

    Parameters
    ----------
    source : folder or address of a HATS catalogue, or a catalogue of LSDB.
    wanted : of the names of all columns returns those that are read.
    what : the command, for messages.

    Raises
    ------
    InputError
        If it is none, cannot be opened, has no partitions, or lacks a column.
    """
    lsdb_module()
    if is_lsdb(source):
        catalog, names = without_margin(source), list(source.columns)
        where = f"the LSDB catalogue {source.name}"
        catalog = catalog[list(wanted(names))]
        identity = None
    elif is_hats(source):
        where = str(source)
        there, properties = column_names(source)
        names = [name for name in there if name not in _OF_THE_PATH]
        catalog = open_hats(source, wanted(names), margin=False)
        identity = repr((properties, there))
    else:
        raise InputError(
            f"{what}: {source} is no HATS catalogue: no folder with hats.properties in it, no address such as hats://..., and "
            "no catalogue of LSDB."
        )
    pixels = tuple((int(p.order), int(p.pixel)) for p in catalog.partitions.healpix_pixels)
    if not pixels:
        raise InputError(f"{what}: {where} has no partitions.")
    info = catalog.hc_structure.catalog_info
    reader = PartitionReader(where, info.ra_column, info.dec_column, _schema(catalog))
    said = identity if identity is not None else repr(catalog.to_delayed()[0].key)
    digest = hashlib.sha256(repr((said, pixels)).encode()).hexdigest()
    return HatsInput(catalog, reader, tuple(names), pixels, info.total_rows, digest)


def _schema(catalog: Any) -> pa.Schema | None:
    try:
        schema = catalog.original_schema
    except ValueError:
        return None
    return schema if isinstance(schema, pa.Schema) else None


def partitions_of(pixels: Sequence[tuple[int, int]]) -> Callable[[int], str]:
    """Return how messages call partitions, by their number."""
    return lambda number: "partition Norder={}, Npix={}".format(*pixels[number])


def path_in_catalogue(pixel: tuple[int, int]) -> Path:
    """Return where the rows of a pixel are in a HATS catalogue."""
    order, number = pixel
    folder = Path("dataset") / f"Norder={order}" / f"Dir={10_000 * (number // 10_000)}"
    return folder / f"Npix={number}.parquet"
