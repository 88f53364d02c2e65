"""From a file of stars to a file of posteriors, part by part, by as many processes as there are cores."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from astropy.table import Table

from redflower.api import inference as api
from redflower.api.pace import Pace
from redflower.api.parts import rows_per_part
from redflower.api.processes import inference_ms, said_work, started, worker_count
from redflower.calibrate.verdict import Verdict, verdict_of
from redflower.catalogue import (
    DistancePrior,
    check_writable,
    count_rows,
    file_sha256,
    join_tables,
    read_table,
    read_table_parts,
)
from redflower.catalogue.reading.prepared_stars import clean_prepared
from redflower.errors import InputError, RedflowerError, WorkerError
from redflower.flow import Model, load_model
from redflower.photometric_offsets import PhotometricOffsets
from redflower.photometric_scales import PhotometricScale
from redflower.posterior import InferenceSettings, Status, read_programs_ahead
from redflower.progress import Counter
from redflower.provenance import META_KEY
from redflower.scale.part_record import Failure, PartRecord, read_record
from redflower.scale.part_work import FileJob, is_told, judged, keep_failed, looked_at, start_parts
from redflower.scale.parts import PartsFolder, part_path
from redflower.scale.run_record import check_record, run_content, summed, write_record

_LOG: Final = logging.getLogger(__name__)
#: Parts that are damaged between their writing and their joining are done again so often.
_MENDS: Final = 2


@dataclass(frozen=True)
class StreamReport:
    """What a run did.

    Attributes
    ----------
    n_stars : rows written.
    statuses, engines : stars by status word and by engine.
    moved : what was done to the magnitudes to bring them to the model's photometric scale, a sentence per survey.
    verdict : whether the stars are of the model's sky.
    failures : stars that failed because of an error, part by part; their rows have the status ``failed``.
    n_workers : processes that worked.
    peak_bytes : the most memory that one of them held; 0 where all was done in this one. [byte]
    """

    n_stars: int
    statuses: dict[str, int]
    engines: dict[str, int]
    moved: tuple[str, ...]
    verdict: Verdict
    failures: tuple[Failure, ...]
    n_workers: int = 1
    peak_bytes: int = 0


def infer_file(
    stars: "str | Path",
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
    part_rows: int | None = None,
    workers: int | None = None,
    estimate: Callable[[str], None] | None = None,
    progress: Callable[[int, int | None], None] | None = None,
) -> StreamReport:
    """Infer every star of a prepared table and write the posteriors, one part at a time.

    Finished parts wait in the folder ``OUT.parts`` beside the output, each with its checksum, so that a killed run loses at
    most those at work. At the end they become the one output table, and the folder goes. A star that raises an error keeps its
    row, with NaN and the status ``failed``; then the folder stays, and a resumed run tries its part again.

    Parameters
    ----------
    stars : file of a prepared table; Parquet is never held in memory whole.
    out : file to write.
    model, settings, distance_prior, photometry, offsets, keep, without : as in `redflower.infer`.
    resume : continue with the parts of an earlier run.
    overwrite : whether to replace a table that is there, when all is done.
    part_rows : rows of a part. If None, a 64th of the table, 1,024 at least and 20,480 at most.
    workers : processes that share the parts; the rows do not depend on it. If None, one for every core where there are stars
        enough to pay for their start, else this one alone.
    estimate : called with a sentence on time and size, before the first part.
    progress : called with the number of stars done, and of all stars where it is known.

    Raises
    ------
    InputError : bad input, or parts of another run are in the way, or another run is writing this output.
    ModelError : as in `redflower.infer`.
    WorkerError : what was done cannot be kept (a full disk), or worker processes cannot be started.
    """
    stars, out = Path(stars), Path(out)
    settings = settings or InferenceSettings()
    folder = out.with_name(f"{out.name}.parts")
    if not (resume and folder.is_dir()):  # a resumed run may complete its own output, see `_check_own`
        check_writable(out, overwrite=overwrite)
    if out.resolve() == stars.resolve():
        raise InputError(
            f"infer: {out} is also the table of stars, which would be lost; choose another name."
        )
    if settings.density and out.suffix.lower() == ".csv":
        raise InputError(
            f"infer: {out} cannot hold densities, for CSV has no columns of arrays. Write .parquet, .fits, .ecsv or "
            ".vot, or leave --density out."
        )
    model = model if isinstance(model, Model) else load_model(model)
    n_rows = count_rows(stars)
    size = part_rows or rows_per_part(n_rows)
    # Every part is looked at before the first is inferred: what is wrong in the last one should not be found after hours.
    sizes: list[int] = []
    for part in _parts(stars, size, say=True):
        if not sizes:
            moved, names = looked_at(part, model, photometry, keep), part.colnames
            # Not before: what is refused should not wait for the reading to end.
            if n_rows is not None and worker_count(workers, n_rows, inference_ms(settings)) == 1:
                read_programs_ahead(model, settings, n_rows)
        sizes.append(len(part))
    n_stars, n_parts = sum(sizes), len(sizes)
    job = api.make_job(
        FileJob, model, names, settings=settings, distance_prior=distance_prior, photometry=photometry, offsets=offsets,
        keep=keep, without=without,
    )  # fmt: skip
    n_workers = worker_count(workers, n_stars, inference_ms(settings))

    def is_good(record: PartRecord) -> bool:
        fits = record.number < n_parts and record.n_rows == sizes[record.number]
        return fits and is_told(record.told, job.model)

    with PartsFolder(folder, _request(stars, job, size), resume=resume, is_good=is_good) as kept:
        _check_own(out, kept, overwrite=overwrite)
        check_record(out, "infer")
        began = time.monotonic()
        run = _Run(stars, size, n_stars, job, kept, n_workers, progress)
        if estimate is not None:
            estimate(said_work(n_stars, run.n_left(), settings, n_workers))
        records = run.records(n_parts)
        if not any(n for record in records for word, n in record.statuses.items() if word != Status.NO_BANDS):
            kept.remove()
            raise api.nothing_to_infer(model)
        paths = [part_path(folder, record.number) for record in records]
        kept.note("joining")
        meta = judged(read_table(paths[0], columns=["status"]).meta[META_KEY], records)
        _join(paths, out, meta, n_stars)
        failures = tuple(failure for record in records for failure in record.failures)
        verdict = verdict_of(meta)
        assert verdict is not None
        report = StreamReport(
            n_stars, summed([r.statuses for r in records]), summed([r.engines for r in records]), tuple(moved), verdict,
            failures, run.n_workers, run.peak_bytes,
        )  # fmt: skip
        content = run_content(
            kept.noted()["request"], records, n_workers=run.n_workers, peak_bytes=run.peak_bytes,
            seconds=time.monotonic() - began, statuses=report.statuses,
        )  # fmt: skip
        write_record(out, content)
        if failures:
            kept.note("finished", out_sha256=file_sha256(out))
        else:
            kept.remove()
    return report


def rows_kept(out: "str | Path") -> tuple[int, Path]:
    """Return how many stars the finished parts of an unfinished run hold, and their folder."""
    folder = Path(out).with_name(f"{Path(out).name}.parts")
    records = [read_record(path) for path in folder.glob("done-*.json")]
    return sum(record.n_rows for record in records if record is not None), folder


class _Run:
    """The parts of a file that are still to be done, and who does them."""

    def __init__(
        self, stars: Path, size: int, n_stars: int, job: FileJob, kept: PartsFolder, n_workers: int,
        progress: Callable[[int, int | None], None] | None,
    ) -> None:  # fmt: skip
        self.stars, self.size, self.n_stars, self.job, self.kept = stars, size, n_stars, job, kept
        self.n_workers, self.peak_bytes, self._progress = n_workers, 0, progress
        self._done: dict[int, int] = {}
        self._n_failed = 0
        self._pace = Pace(n_stars, job.settings.engine, n_workers)

    def n_left(self) -> int:
        """Return how many stars are still to be done."""
        return self.n_stars - sum(one.n_rows for one in self.kept.records().values() if not one.failures)

    def records(self, n_parts: int) -> list[PartRecord]:
        """Do what is not done yet, and return the record of every part.

        Raises
        ------
        WorkerError : a part that was written is damaged, again and again.
        """
        records = {number: record for number, record in self.kept.records().items() if not record.failures}
        self._done = {number: record.n_rows for number, record in records.items()}
        self._pace.skip(sum(self._done.values()))
        for _ in range(_MENDS):
            missing = set(range(n_parts)) - set(records)
            if missing:
                self._do(missing, records)
            damaged = [k for k, record in records.items() if not self.kept.is_whole(record)]
            if not damaged:
                return [records[number] for number in range(n_parts)]
            for number in damaged:
                del records[number]
        raise WorkerError(
            f"infer: part {damaged[0]} was written to {self.kept.folder} and read back otherwise {_MENDS} times. The disk or the "
            "file system loses data; write to another one."
        )

    def _do(self, missing: set[int], records: dict[int, PartRecord]) -> None:
        """Do some parts, here or in workers."""
        tasks = (
            (k, (k, part)) for k, part in enumerate(_parts(self.stars, self.size, say=False)) if k in missing
        )
        arguments = (self.job, self.kept.folder)
        self.n_workers = self._pace.n_workers = min(self.n_workers, len(missing))
        if self.n_workers == 1:
            work = start_parts(*arguments)
            try:
                for number, payload in tasks:
                    self._finish(work(payload, lambda word, number=number: self._tell(number, word)), records)  # type: ignore[misc]
            except RedflowerError:
                self._forget_if_nothing_is_done(records)
                raise
            return
        lost: dict[int, str] = {}
        try:
            with started(start_parts, arguments, self.n_workers) as pool:
                for outcome in pool.run(tasks, self._tell):
                    if outcome.problem is None:
                        self._finish(outcome.value, records)
                    else:
                        lost[outcome.key] = outcome.problem
                self.peak_bytes = max(self.peak_bytes, pool.peak_bytes)
        except RedflowerError:
            self._forget_if_nothing_is_done(records)
            raise
        for number, part in enumerate(_parts(self.stars, self.size, say=False)) if lost else ():
            if number in lost:
                self._finish(keep_failed(self.job, self.kept.folder, number, part, lost[number]), records)

    def _finish(self, record: PartRecord, records: dict[int, PartRecord]) -> None:
        records[record.number] = record
        self._n_failed += sum(len(failure.source_id) for failure in record.failures)
        _LOG.info("part %d: %d stars done", record.number, record.n_rows)
        self._tell(record.number, record.n_rows)

    def _tell(self, number: int, word: Any) -> None:
        """Take up word of a part: how many of its stars are done, or a step of an engine."""
        if not isinstance(word, int):
            self._pace.step(*word)
            return
        self._done[number] = word
        n_done = sum(self._done.values())
        if isinstance(self._progress, Counter):
            self._progress(n_done, self.n_stars, left_s=self._pace.left_s(), n_failed=self._n_failed)
        elif self._progress is not None:
            self._progress(n_done, self.n_stars)

    def _forget_if_nothing_is_done(self, records: dict[int, PartRecord]) -> None:
        """Leave no folder behind where the first part shows that the request is wrong."""
        if not records:
            self.kept.remove()


def _join(paths: list[Path], out: Path, meta: dict[str, Any], n_stars: int) -> None:
    """Write the output of the parts, and see that it has every star."""
    try:
        join_tables(paths, out, meta, overwrite=True)
        found = count_rows(out)
    except OSError as problem:
        raise WorkerError(
            f"infer: {out} cannot be written: {problem}. All parts are finished and kept beside it: make room, then go on with "
            "--resume."
        ) from problem
    if found not in (None, n_stars):
        raise WorkerError(
            f"infer: {out} has {found:,} rows where {n_stars:,} were written. The disk or the file system loses data; the parts "
            "are kept beside it."
        )


def _check_own(out: Path, kept: PartsFolder, *, overwrite: bool) -> None:
    """Refuse an output that is there, unless this run has written it."""
    noted = kept.noted()
    is_own = noted.get("state") == "joining" or (
        noted.get("state") == "finished" and out.is_file() and noted.get("out_sha256") == file_sha256(out)
    )
    check_writable(out, overwrite=overwrite or is_own)


def _parts(stars: Path, size: int, *, say: bool) -> Iterator[Table]:
    """Read the parts of a prepared table and clean them."""
    for part in read_table_parts(stars, size):
        yield clean_prepared(part, str(stars), say=say)


def _request(stars: Path, job: FileJob, size: int) -> dict[str, Any]:
    """Return what was asked, as JSON has it: by it a resumed run knows its own parts."""
    return {"input": stars.name, "sha256": file_sha256(stars), "part_rows": size, **job.asked()}
