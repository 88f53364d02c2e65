"""What is done with a part of a file: its posteriors inferred and kept, and stars that raise errors found out and named."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
from astropy.table import Table

from redflower.api.pace import TimedSteps
from redflower.api.parts import InferenceJob, joined
from redflower.api.posterior_rows import passed_on
from redflower.calibrate.verdict import SampleFit, judge
from redflower.catalogue.prepared import table_scale, unused_bands
from redflower.errors import RedflowerError
from redflower.flow import Model
from redflower.photometric_offsets import offsets_content
from redflower.photometric_scales import PhotometricScale, describe_move
from redflower.posterior import Status
from redflower.posterior.columns import DENSITY_COLUMNS, EBV_PRIOR_COLUMNS, OUTPUT_COLUMNS, PRIOR_COLUMNS
from redflower.provenance import META_KEY
from redflower.scale.part_record import Failure, PartRecord
from redflower.scale.parts import keep_part
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

    def asked(self) -> dict[str, Any]:
        """Return what was asked, as JSON has it: by it, and by its input, a resumed run knows its own parts."""
        return {
            "model": self.model.model_id,
            "settings": json.loads(json.dumps(asdict(self.settings))),
            "photometry": None if self.photometry is None else str(self.photometry),
            "offsets": None if self.offsets is None else offsets_content(self.offsets),
            "keep": list(self.keep),
            **({"without": list(self.without)} if self.without else {}),
        }

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


def looked_at(
    first: Table, model: Model, photometry: PhotometricScale | str | None, keep: Sequence[str],
    names: Sequence[str] | None = None,
) -> list[str]:  # fmt: skip
    """Look at the first stars of an input: say what will be done to their magnitudes, and what the model has no use for.

    Parameters
    ----------
    first : prepared stars.
    model, photometry, keep : as of `redflower.infer`.
    names : of all columns, where only some were read.

    Raises
    ------
    InputError : they state no photometric scale, or a column to be kept is not there or has a name that inference writes.
    """
    said = describe_move(table_scale(first, photometry), model.scale(), model.bands)
    passed_on(first, keep, {*OUTPUT_COLUMNS, *DENSITY_COLUMNS, *PRIOR_COLUMNS, *EBV_PRIOR_COLUMNS})
    unused = unused_bands(first, model.bands, names)
    if unused:
        said.append(f"model {model.name!r} does not use {' '.join(unused)}, which the table has")
    return said


def start_parts(job: PartJob, folder: Path) -> Work:
    """Make what a worker does with a part: infer it and keep it."""

    compiled: set[str] = set()

    def work(numbered: tuple[int, Table], tell: Callable[[Any], None]) -> PartRecord:
        number, part = numbered
        table, failures = without_failures(job, number, part, TimedSteps(tell, compiled))
        return keep_part(folder, number, table, failures, told=told_of(table))

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
    table = job.failed(part)
    return keep_part(folder, number, table, [failure_of(number, part, message)], told=told_of(table))


def told_of(table: Table) -> dict[str, Any]:
    """Return what the posteriors of a part tell the whole: the sums by which all stars are judged together."""
    return {"fit": table.meta[META_KEY]["fit"]}


def is_told(told: dict[str, Any] | None, model: Model) -> bool:
    """Return whether that is what a part tells the whole: its record may be damaged, or a stranger's."""
    try:
        return told is not None and SampleFit.from_dict(told["fit"]).labels == list(model.bands.labels)[1:]
    except (KeyError, ValueError):
        return False


def judged(meta: dict[str, Any], records: Sequence[PartRecord]) -> dict[str, Any]:
    """Return the provenance of all parts together, with the verdict on all of their stars.

    Parameters
    ----------
    meta : the provenance of one of them.
    records : of all that have rows.
    """
    total = reduce(add, (SampleFit(**(record.told or {})["fit"]) for record in records))
    return {**meta, "fit": total.as_dict(), "verdict": judge(total).as_dict()}
