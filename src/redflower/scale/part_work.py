"""What is done with a part of a file: its posteriors inferred and kept, and stars that raise errors found out and named."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
from astropy.table import Table

from redflower.api.pace import TimedSteps
from redflower.api.parts import InferenceJob, joined
from redflower.errors import RedflowerError
from redflower.posterior import Status
from redflower.scale.parts import Failure, PartRecord, keep_part
from redflower.workers import Work

#: When so many stars of a part have failed one by one, the cause is not one star: what fails next is not divided further.
_FAILED_ALONE: Final = 4

Tell = Callable[[int], None]


class PartJob(Protocol):
    """What makes the rows of a part."""

    def table(self, part: Table, progress: Tell | None = None) -> Table:
        """Return its posteriors."""

    def failed(self, part: Table) -> Table:
        """Return its rows with nothing inferred."""


@dataclass(frozen=True)
class FileJob(InferenceJob):
    """The inference of a part of a file."""

    def failed(self, part: Table) -> Table:
        """Return the part's rows with nothing inferred: made by the same code with every magnitude hidden."""
        hidden = part.copy()
        for name in self.model.band_names:
            if name in hidden.colnames:
                hidden[name] = np.full(len(hidden), np.nan)
        table = self.table(hidden)
        table["status"] = np.full(len(table), Status.FAILED.value)
        table["bands"] = np.full(len(table), "")
        return table


def start_parts(job: PartJob, folder: Path) -> Work:
    """Make what a worker does with a part: infer it and keep it."""

    compiled: set[str] = set()

    def work(numbered: tuple[int, Table], tell: Callable[[Any], None]) -> PartRecord:
        number, part = numbered
        table, failures = without_failures(job, number, part, TimedSteps(tell, compiled))
        return keep_part(folder, number, table, failures)

    return work


def without_failures(
    job: PartJob, number: int, part: Table, tell: Tell | None = None
) -> tuple[Table, list[Failure]]:
    """Infer a part; where that raises an error, infer its halves, down to the stars that raise it, which are named.

    Raises
    ------
    RedflowerError : what the user asked for is wrong, and no star is at fault.
    """
    failures: list[Failure] = []

    def rows(some: Table, *, whole: bool) -> Table:
        try:
            return job.table(some, tell if whole else None)
        except RedflowerError:
            raise
        except Exception as error:
            message = f"{type(error).__name__}: {error}"
        if len(some) > 1 and len(failures) < _FAILED_ALONE:
            half = len(some) // 2
            return joined([rows(some[:half], whole=False), rows(some[half:], whole=False)])
        failures.append(failure_of(number, some, message))
        return job.failed(some)

    return rows(part, whole=True), failures


def failure_of(number: int, part: Table, message: str) -> Failure:
    """Name the stars of a part that failed."""
    return Failure(number, tuple(int(one) for one in part["source_id"]), message)


def keep_failed(job: PartJob, folder: Path, number: int, part: Table, message: str) -> PartRecord:
    """Keep a part all of which failed, with its stars named."""
    return keep_part(folder, number, job.failed(part), [failure_of(number, part, message)])


def failures_as_dict(failures: "tuple[Failure, ...] | list[Failure]") -> list[dict[str, Any]]:
    """Return failures as JSON has them."""
    return [{"part": f.part, "source_id": list(f.source_id), "message": f.message} for f in failures]
