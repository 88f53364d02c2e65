"""Inference of a catalogue of LSDB as a catalogue of LSDB: nothing is computed until it is asked for."""

import hashlib
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
from astropy.table import Table

from redflower.api import inference as api
from redflower.catalogue import DistancePrior
from redflower.catalogue.io.arrow import column_to_arrow
from redflower.catalogue.io.hats import SPATIAL_INDEX
from redflower.catalogue.prepared import table_scale
from redflower.catalogue.reading.prepared_stars import clean_prepared
from redflower.errors import InputError
from redflower.flow import Model, load_model
from redflower.photometric_offsets import PhotometricOffsets
from redflower.photometric_scales import PhotometricScale
from redflower.posterior import InferenceSettings
from redflower.scale.hats.inference import InferPartition, columns_for_inference
from redflower.scale.hats.source import PartitionReader, is_lsdb, open_input, without_margin
from redflower.scale.part_work import FileJob

#: Jobs of this process by their digest, so that programs are compiled once, however often a job arrives.
_JOBS: Final[dict[str, "LazyInference"]] = {}


class LazyInference:
    """What is done with the frame of a partition; it is sent to workers as bytes, and each keeps one.

    Parameters
    ----------
    packed : the pickled job, the reader of the catalogue, and the frame of no rows that says what comes out.
    """

    def __init__(self, packed: bytes) -> None:
        self._packed, self.digest = packed, hashlib.sha256(packed).hexdigest()
        self.job, self.reader, self.meta = pickle.loads(packed)

    def __reduce__(self) -> tuple[Any, ...]:
        return _kept, (self._packed,)

    def __dask_tokenize__(self) -> str:
        return self.digest

    def __call__(self, frame: Any) -> Any:
        """Infer a partition, and return its rows with the index and the positions of the frame."""
        if not len(frame):
            return self.meta
        rows = self.job.rows(self.reader.table(frame), 0, self.reader.where, None)
        return _frame(rows.table, frame, self.reader)


def infer_lsdb(
    catalog: Any,
    model: "Model | str | Path",
    *,
    settings: InferenceSettings | None = None,
    distance_prior: DistancePrior | None = None,
    photometry: PhotometricScale | str | None = None,
    offsets: PhotometricOffsets | None = None,
    keep: Sequence[str] = (),
    without: Sequence[str] = (),
) -> Any:
    """Infer the stars of a prepared catalogue of LSDB, as a catalogue of LSDB (extra ``scale``).

    Nothing is computed but the first partition's columns, until LSDB computes or writes the result, by the Dask client that
    is there. The rows are those of `redflower.infer`, to the last digit. Units and provenance do not pass through LSDB:
    ``redflower infer`` on a HATS catalogue writes both.

    Parameters
    ----------
    catalog : a catalogue of LSDB with the columns that `redflower.prepare` makes. Its margin is left out: the stars in it are
        their own partitions'.
    model, settings, distance_prior, photometry, offsets, keep, without : as of `redflower.infer`. A catalogue that states no
        photometric scale wants ``photometry``.

    Returns
    -------
    A catalogue with the same partitions, index and positions, and the columns of `redflower.infer`.

    Raises
    ------
    InputError : it is no catalogue of LSDB, is not prepared, or states no photometric scale.
    ModelError : as of `redflower.infer`.

    Examples
    --------
    >>> import redflower
    >>> redflower.infer_lsdb("stars.parquet", "mock-sky")
    Traceback (most recent call last):
    redflower.errors.InputError: infer_lsdb takes a catalogue of LSDB (lsdb.open_catalog), not str. ...
    """
    if not is_lsdb(catalog):
        raise InputError(
            f"infer_lsdb takes a catalogue of LSDB (lsdb.open_catalog), not {type(catalog).__name__}. `redflower.infer` takes "
            "tables, and `redflower infer` also folders and addresses of HATS catalogues."
        )
    settings = settings or InferenceSettings()
    model = model if isinstance(model, Model) else load_model(model)
    chosen = model
    source = open_input(catalog, lambda names: columns_for_inference(names, chosen, keep), "infer_lsdb")
    frame = source.first_frames(1)[0].iloc[:1]
    first = clean_prepared(source.reader.table(frame), source.reader.where)
    table_scale(first, photometry)
    job = InferPartition(
        api.make_job(
            FileJob, model, first.colnames, settings=settings, distance_prior=distance_prior, photometry=photometry,
            offsets=offsets, keep=keep, without=without,
        )
    )  # fmt: skip
    empty = _frame(job.job.failed(first), frame, source.reader).iloc[:0]
    work = LazyInference(pickle.dumps((job, source.reader, empty), protocol=pickle.HIGHEST_PROTOCOL))
    return without_margin(source.catalog).map_partitions(work, meta=empty)


def _kept(packed: bytes) -> LazyInference:
    digest = hashlib.sha256(packed).hexdigest()
    if digest not in _JOBS:
        _JOBS[digest] = LazyInference(packed)
    return _JOBS[digest]


def _frame(table: Table, frame: Any, reader: PartitionReader) -> Any:
    """Return posteriors as a frame of LSDB's, with the index and the positions of the one that they were made of."""
    from nested_pandas.nestedframe.io import from_pyarrow

    names = [name for name in table.colnames if name != SPATIAL_INDEX]
    made = from_pyarrow(pa.table({name: column_to_arrow(table[name]) for name in names}))
    made.index = frame.index
    for name in (reader.ra, reader.dec):
        made[name] = frame[name]
    return made
