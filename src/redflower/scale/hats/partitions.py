"""A run over the partitions of a catalogue: resumed where it was stopped, its catalogue put in place whole."""

import hashlib
import os
import pickle
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from redflower.catalogue import read_table
from redflower.errors import RedflowerError, WorkerError
from redflower.files import check_replaced, folder_bytes, folder_sha256
from redflower.progress import Counter
from redflower.provenance import META_KEY, VERSION
from redflower.scale.hats.catalogue import (
    check_new_catalogue,
    is_catalogue,
    partitions_alone,
    write_catalogue,
)
from redflower.scale.hats.cluster import Ended, dask_client, on_cluster
from redflower.scale.hats.source import HatsInput, partitions_of, path_in_catalogue
from redflower.scale.hats.task import PartitionTask
from redflower.scale.hats.work import PartitionJob, TaskDone, digest_of, do_task
from redflower.scale.part_record import Failure, PartRecord
from redflower.scale.parts import CATALOGUE, PartsFolder
from redflower.scale.run_record import check_record, run_content, write_record

#: Partitions that are damaged between their writing and the end are done again so often.
_MENDS: Final = 2


@dataclass
class CatalogueRun:
    """What is to be done with every partition of a catalogue, by whom, and where the result goes.

    Attributes
    ----------
    what : the command, for messages.
    source, out : the catalogue that is read, and the folder of the one that is written.
    job : what is done with a partition.
    request : what was asked, as JSON has it; by it a resumed run knows its own.
    n_workers, scheduler : processes of this machine, or the address of a cluster's scheduler.
    progress : called with the number of stars done, and of all stars where it is known.
    peak_bytes : the most memory that a worker has held. [byte]
    """

    what: str
    source: HatsInput
    out: Path
    job: PartitionJob
    request: dict[str, Any]
    n_workers: int
    scheduler: str | None
    progress: Callable[..., None] | None
    peak_bytes: int = 0
    _began_s: float = 0.0
    _done: dict[int, int] = field(default_factory=dict)
    _n_failed: int = 0

    @property
    def folder(self) -> Path:
        """Where the parts are until all is done."""
        return self.out.with_name(f"{self.out.name}.parts")

    @property
    def building(self) -> Path:
        """The catalogue while it is not whole."""
        return self.folder / CATALOGUE

    def path_of(self, number: int) -> Path:
        """Return the file of a partition."""
        return self.building / path_in_catalogue(self.source.pixels[number])

    @contextmanager
    def opened(self, *, resume: bool, overwrite: bool) -> Iterator[PartsFolder]:
        """Take the folder of the run, and bring back a catalogue of it in which partitions failed.

        After an error, a folder without any finished partition goes.

        Raises
        ------
        InputError : another run is at work, or something is in the way.
        """
        if not (resume and self.folder.is_dir()):
            check_new_catalogue(self.out, self.what, overwrite=overwrite)
        with PartsFolder(
            self.folder,
            self.request,
            resume=resume,
            path_of=self.path_of,
            is_good=self._is_good,
            what=self.what,
        ) as kept:
            if not resume:
                shutil.rmtree(self.building, ignore_errors=True)
            self._bring_back(kept, overwrite=overwrite)
            check_record(self.out, self.what)
            self._began_s = time.monotonic()
            try:
                yield kept
            except RedflowerError:
                if not any(record.n_rows for record in kept.records().values()):
                    kept.remove()
                raise

    def records(self, kept: PartsFolder) -> list[PartRecord]:
        """Do what is not done yet, and return the record of every partition.

        Raises
        ------
        WorkerError : the scheduler has gone, a partition cannot be kept, or is read back otherwise.
        """
        records = {number: record for number, record in kept.records().items() if not record.failures}
        self._done = {number: record.n_rows for number, record in records.items()}
        for _ in range(_MENDS):
            missing = [number for number in range(len(self.source.pixels)) if number not in records]
            for record in self._do(missing) if missing else ():
                records[record.number] = record
            damaged = [number for number, record in records.items() if not kept.is_whole(record)]
            if not damaged:
                return [records[number] for number in sorted(records)]
            for number in damaged:
                del records[number]
        raise WorkerError(
            f"{self.what}: {partitions_of(self.source.pixels)(damaged[0])} was written to {self.folder} and read back otherwise "
            f"{_MENDS} times. The disk or the file system loses data; write to another one."
        )

    def finish(
        self,
        kept: PartsFolder,
        records: list[PartRecord],
        provenance: dict[str, Any],
        stated: dict[str, str],
        statuses: dict[str, int],
    ) -> None:
        """Make the catalogue whole, put it in its place, and leave the record of the run beside it.

        Parameters
        ----------
        kept, records : the folder of the run, and what it holds of every partition.
        provenance, stated : of the catalogue: its own, and further properties.
        statuses : stars by what became of them.

        Raises
        ------
        WorkerError : it cannot be written.
        """
        with_rows = [record.number for record in records if record.n_rows]
        lost = [self.source.pixels[record.number] for record in records if _lost_whole(record)]
        if lost:
            stated = {**stated, "redflower_missing_partitions": " ".join(f"{o}/{n}" for o, n in lost)}
        try:
            partitions_alone(self.building, {self.path_of(number) for number in with_rows})
            write_catalogue(self.building, self.source, with_rows, provenance, stated, self.out.name)
            kept.note("joining", overwrite=self.out.exists())
            if self.out.exists():
                os.replace(self.out, self.folder / "replaced")
            os.replace(self.building, self.out)
            check_replaced(self.out)
            shutil.rmtree(self.folder / "replaced", ignore_errors=True)
        except OSError as problem:
            raise WorkerError(
                f"{self.what}: {self.out} cannot be written: {problem}. All partitions are finished and kept beside it: make "
                "room, then go on with --resume."
            ) from problem

        # Partitions were compared with their checksums when all of them were done.
        known = {
            path_in_catalogue(self.source.pixels[one.number]): one.sha256 for one in records if one.n_rows
        }
        checksum = folder_sha256(self.out, known)
        content = run_content(
            self.request, records, n_workers=self.n_workers, peak_bytes=self.peak_bytes,
            seconds=time.monotonic() - self._began_s, statuses=statuses,
        )  # fmt: skip
        write_record(self.out, content, n_bytes=folder_bytes(self.out), sha256=checksum)
        if any(record.failures for record in records):
            kept.note("finished", out_sha256=checksum)
        else:
            kept.remove()

    def provenance_of(self, record: PartRecord) -> dict[str, Any]:
        """Return what the file of a partition records."""
        meta: dict[str, Any] = read_table(self.path_of(record.number), columns=["source_id"]).meta[META_KEY]
        return meta

    def _is_good(self, record: PartRecord) -> bool:
        """Return whether a partition of this run can have such a record."""
        if record.number >= len(self.source.pixels):
            return False
        return not record.n_rows if record.told is None else self.job.is_told(record.told)

    def _bring_back(self, kept: PartsFolder, *, overwrite: bool) -> None:
        """Go on with a catalogue that this run has written, or refuse what stands in its place."""
        noted = kept.noted()
        own = (
            noted.get("state") in ("joining", "finished")
            and not self.building.exists()
            and is_catalogue(self.out)
            and (noted["state"] == "joining" or noted.get("out_sha256") == folder_sha256(self.out))
        )
        if own:
            os.replace(self.out, self.building)
            kept.note("running")
        check_new_catalogue(self.out, self.what, overwrite=overwrite or bool(noted.get("overwrite")))
        self.building.mkdir(exist_ok=True)

    def _do(self, missing: list[int]) -> Iterator[PartRecord]:
        """Do partitions, here or on a cluster; yield the record of each as it ends."""
        pixels, name = self.source.pixels, partitions_of(self.source.pixels)
        job = pickle.dumps((self.job, self.source.reader), protocol=pickle.HIGHEST_PROTOCOL)
        digest, request = hashlib.sha256(job).hexdigest(), digest_of(self.request)
        folder = self.folder.resolve()

        def task(number: int, topic: str | None) -> PartitionTask:
            path = folder / CATALOGUE / path_in_catalogue(pixels[number])
            return PartitionTask(
                number=number, name=name(number), job=job, job_digest=digest, graph=self.source.graph(number),
                folder=str(folder), path=str(path), request_digest=request, what=self.what, topic=topic, version=VERSION,
            )  # fmt: skip

        if self.n_workers == 1 and self.scheduler is None:
            for number in missing:
                yield self._taken(number, do_task(task(number, None), lambda n, k=number: self._tell(k, n)))  # type: ignore[misc]
            return
        topic = f"redflower-{digest[:12]}-{time.time_ns()}"
        with dask_client(min(self.n_workers, len(missing)), self.scheduler, self.what) as client:
            heard: dict[int, int] = {}
            # In the thread of the event loop, which any error would end: what is heard is shown in this one.
            client.subscribe_topic(topic, lambda event: heard.update([event[1]]))

            def look() -> None:
                for number in list(heard):
                    if (n_done := heard.pop(number)) > self._done.get(number, 0):
                        self._tell(number, n_done)

            tasks = ((number, pickle.dumps(task(number, topic))) for number in missing)
            for number, outcome in on_cluster(client, tasks, self.what, look):
                self.n_workers = max(1, len(client.nthreads()) if self.scheduler else self.n_workers)
                yield self._taken(number, outcome)

    def _taken(self, number: int, outcome: "TaskDone | Ended") -> PartRecord:
        """Take up how a partition ended.

        Raises
        ------
        RedflowerError : what the user asked for is wrong, or nothing can be kept.
        """
        if isinstance(outcome, Ended):
            failure = Failure(number, (), f"{partitions_of(self.source.pixels)(number)}: {outcome.problem}")
            record = PartRecord(number, 0, 0, "", {}, {}, (failure,))
        elif outcome.record is None:
            raise outcome.refused or RedflowerError(self.what)
        else:
            record = outcome.record
            self.peak_bytes = max(self.peak_bytes, outcome.peak_bytes)
        self._n_failed += sum(len(failure.source_id) or 1 for failure in record.failures)
        self._tell(number, record.n_rows)
        return record

    def _tell(self, number: int, n_done: int) -> None:
        self._done[number] = n_done
        if self.progress is None:
            return
        more = {"n_failed": self._n_failed} if isinstance(self.progress, Counter) else {}
        self.progress(sum(self._done.values()), self.source.n_rows, **more)


def _lost_whole(record: PartRecord) -> bool:
    return any(not failure.source_id for failure in record.failures)
