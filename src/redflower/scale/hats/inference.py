"""Infer the stars of a HATS catalogue, partition by partition, into another."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from astropy.table import Table

from redflower.api import inference as api
from redflower.api.parts import MOST_ROWS, joined, slices
from redflower.api.processes import inference_ms
from redflower.calibrate.verdict import verdict_of
from redflower.catalogue import DistancePrior
from redflower.catalogue.io.hats import SPATIAL_INDEX
from redflower.catalogue.prepared import is_known_to_prepare, prepared_error_name
from redflower.catalogue.reading.prepared_stars import clean_prepared
from redflower.errors import InputError
from redflower.flow import Model, load_model
from redflower.photometric_offsets import PhotometricOffsets
from redflower.photometric_scales import PhotometricScale
from redflower.posterior import InferenceSettings, Status
from redflower.provenance import VERSION
from redflower.scale.hats.cluster import hats_workers
from redflower.scale.hats.partitions import CatalogueRun
from redflower.scale.hats.source import open_input
from redflower.scale.hats.work import PartitionRows, Tell
from redflower.scale.part_record import Failure
from redflower.scale.part_work import FileJob, is_told, judged, looked_at, told_of, without_failures
from redflower.scale.run_record import summed
from redflower.scale.stream import StreamReport

_WHAT: Final = "infer"
#: Columns of a prepared table that inference looks at, beside magnitudes and their errors.
_LOOKED_AT: Final = frozenset({"source_id", "ra", "dec", "l", "b", "parallax", "parallax_error", "ebv_map"})


@dataclass(frozen=True)
class InferPartition:
    """The inference of a partition.

    Attributes
    ----------
    job : the inference of some of its rows.
    """

    job: FileJob

    def rows(self, part: Table, number: int, name: str, tell: Tell | None) -> PartitionRows:
        """Infer a partition, so many rows at a time as in a part of a file."""
        stars = clean_prepared(part, name, say=False)
        tables: list[Table] = []
        failures: list[Failure] = []
        for piece in slices(len(stars), MOST_ROWS):
            told = None if tell is None else lambda n, before=piece.start: tell(before + n)
            table, failed = without_failures(self.job, number, stars[piece], told)
            tables.append(table)
            failures += failed
        table = joined(tables)
        return PartitionRows(table, tuple(failures), told_of(table))

    def is_told(self, told: dict[str, Any]) -> bool:
        """Return whether a partition of this run can have told that."""
        return is_told(told, self.job.model)


def columns_for_inference(names: Sequence[str], model: Model, keep: Sequence[str]) -> list[str]:
    """Return the columns of a prepared catalogue that inference with a model looks at or passes on.

    Parameters
    ----------
    names : of all columns.
    model : whose bands are read.
    keep : further columns that the user wants.
    """
    wanted = {
        *_LOOKED_AT,
        *keep,
        *(band.name for band in model.bands),
        *map(prepared_error_name, model.bands),
    }
    return [
        name
        for name in names
        if name != SPATIAL_INDEX and (name.lower() in wanted or name in wanted or not is_known_to_prepare(name.lower()))
    ]  # fmt: skip


def infer_hats(
    stars: Any,
    out: "str | Path",
    model: "Model | str | Path",
    *,
    settings: InferenceSettings | None = None,
    distance_prior: DistancePrior | None = None,
    photometry: PhotometricScale | str | None = None,
    offsets: PhotometricOffsets | None = None,
    keep: Sequence[str] = (),
    without: Sequence[str] = (),
    resume: bool = False,
    overwrite: bool = False,
    workers: int | None = None,
    scheduler: str | None = None,
    progress: Callable[..., None] | None = None,
) -> StreamReport:
    """Infer every star of a prepared HATS catalogue, and write a HATS catalogue with the same partitions (extra ``scale``).

    Finished partitions wait in the folder ``OUT.parts`` beside the output, each with its checksum, so that a killed run loses at
    most those at work. A star that raises an error keeps its row, with NaN and the status ``failed``. A partition that cannot
    be read is left out, and named in the report, in the run's record and in the catalogue's properties. A resumed run tries both
    again.

    Parameters
    ----------
    stars : folder or address of a catalogue that `prepare_hats` wrote, or a catalogue of LSDB.
    out : folder to write.
    model, settings, distance_prior, photometry, offsets, keep, without : as in `redflower.infer`.
    resume : continue with the partitions of an earlier run.
    overwrite : whether to replace a HATS catalogue that is there, when all is done.
    workers : processes of this machine that share the partitions; the rows do not depend on it. If None, one for every core
        where there are enough stars to pay for their start, else this one alone.
    scheduler : address of the scheduler of a Dask cluster, whose workers are used in their place. They need this version of
        redflower, and must see ``out`` by the same path.
    progress : called with the number of stars done, and of all stars where it is known.

    Raises
    ------
    InputError : bad input, no LSDB, no scheduler at the address, or another run is writing this output.
    ModelError : as in `redflower.infer`.
    WorkerError : what was done cannot be kept (a full disk), or the scheduler has gone.
    """
    settings, out = settings or InferenceSettings(), Path(out)
    model = model if isinstance(model, Model) else load_model(model)
    chosen = model
    source = open_input(stars, lambda names: columns_for_inference(names, chosen, keep), _WHAT)
    first = clean_prepared(source.first_rows(1)[0], source.reader.where)
    moved = looked_at(first, model, photometry, keep, source.names)
    job = api.make_job(
        FileJob, model, first.colnames, settings=settings, distance_prior=distance_prior, photometry=photometry,
        offsets=offsets, keep=keep, without=without,
    )  # fmt: skip
    n_workers = hats_workers(workers, scheduler, source.n_rows, inference_ms(settings))
    request = {
        "input": source.reader.where, "sha256": source.identity, "columns": list(source.catalog.columns), **job.asked(),
    }  # fmt: skip
    run = CatalogueRun(_WHAT, source, out, InferPartition(job), request, n_workers, scheduler, progress)
    with run.opened(resume=resume, overwrite=overwrite) as kept:
        records = run.records(kept)
        statuses = summed([record.statuses for record in records])
        failures = tuple(failure for record in records for failure in record.failures)
        if not any(n for word, n in statuses.items() if word != Status.NO_BANDS):
            raise api.nothing_to_infer(model) if statuses else _nothing_done(source.reader.where, failures)
        with_rows = [record for record in records if record.n_rows]
        meta = judged(run.provenance_of(with_rows[0]), with_rows)
        verdict = verdict_of(meta)
        assert verdict is not None
        stated = {
            "redflower_version": VERSION, "redflower_stage": "posteriors", "redflower_model": model.model_id,
            "redflower_verdict": verdict.heading,
        }  # fmt: skip
        run.finish(kept, records, meta, stated, statuses)
    return StreamReport(
        n_stars=sum(record.n_rows for record in records), statuses=statuses,
        engines=summed([record.engines for record in records]), moved=tuple(moved), verdict=verdict, failures=failures,
        n_workers=run.n_workers, peak_bytes=run.peak_bytes,
    )  # fmt: skip


def _nothing_done(where: str, failures: Sequence[Failure]) -> InputError:
    """Make the error for a catalogue no partition of which could be inferred."""
    return InputError(
        f"{_WHAT}: no partition of {where} could be inferred. {failures[0].message if failures else ''}".strip()
    )
