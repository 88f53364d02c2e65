"""Prepare the stars of a HATS catalogue, partition by partition, into another."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Final

from astropy.table import Table

from redflower.catalogue.io.hats import SPATIAL_INDEX
from redflower.catalogue.prepare import prepare_stars
from redflower.catalogue.prepare_request import PrepareRequest
from redflower.catalogue.quality.cuts import BandCut
from redflower.catalogue.quality.lindegren import solution_kind
from redflower.catalogue.quality.report import Cut, CutReport
from redflower.catalogue.reading.column_map import ColumnMap, choose_columns, read_column_map
from redflower.catalogue.reading.reader import read_stars
from redflower.catalogue.reading.release import designation_columns
from redflower.catalogue.reading.schema import read_surveys
from redflower.errors import InputError, WorkerError
from redflower.provenance import META_KEY, VERSION
from redflower.scale.hats.cluster import hats_workers
from redflower.scale.hats.partitions import CatalogueRun
from redflower.scale.hats.source import open_input
from redflower.scale.hats.work import PartitionRows, Tell
from redflower.scale.part_record import Failure
from redflower.scale.run_record import summed

_WHAT: Final = "prepare"
#: So many rows show what the columns hold; a partition of fewer is not judged by itself.
JUDGED_BY: Final = 1000
#: What a star takes of a core, about. [ms]
_STAR_MS: Final = 0.05


@dataclass(frozen=True)
class PreparePartition:
    """The preparation of a partition.

    Attributes
    ----------
    request : what is asked.
    origin : of the catalogue, for the provenance.
    """

    request: PrepareRequest
    origin: dict[str, Any]

    def rows(self, part: Table, number: int, name: str, tell: Tell | None) -> PartitionRows:
        """Prepare a partition, of which no star may be left."""
        prepared = prepare_stars(part, self._opened, judged=len(part) >= JUDGED_BY)
        meta = prepared.table.meta[META_KEY]
        meta["input"] = {**self.origin, "partition": name, "rows": len(part)}
        told = {"report": meta["report"], "repeated_rows": int(meta.get("repeated_rows", 0))}
        return PartitionRows(prepared.table, (), told)

    def is_told(self, told: dict[str, Any]) -> bool:
        """Return whether a partition of this run can have told that."""
        try:
            CutReport.from_dict(told["report"])
        except (KeyError, ValueError):
            return False
        return True

    @cached_property
    def _opened(self) -> PrepareRequest:
        """Return the request with its dust map read, once in a process."""
        return self.request.with_map_open()

    def __getstate__(self) -> dict[str, Any]:
        return {"request": self.request, "origin": self.origin}


@dataclass(frozen=True)
class PreparedCatalogue:
    """A catalogue of prepared stars and the report of how it came about.

    Attributes
    ----------
    path : of the catalogue.
    report : of all partitions together.
    failures : partitions that could not be prepared.
    n_workers : processes that worked.
    """

    path: Path
    report: CutReport
    failures: tuple[Failure, ...]
    n_workers: int


def prepare_hats(
    raw: Any,
    out: "str | Path",
    request: PrepareRequest,
    *,
    resume: bool = False,
    overwrite: bool = False,
    workers: int | None = None,
    scheduler: str | None = None,
    progress: Callable[..., None] | None = None,
) -> PreparedCatalogue:
    """Prepare every star of a HATS catalogue, and write a HATS catalogue with the same partitions (extra ``scale``).

    Whether columns hold what their names and units say is judged by the first stars, and again in every partition of a thousand
    stars or more. A partition of which no star is left is not in the output.

    Parameters
    ----------
    raw : folder or address of a HATS catalogue, or a catalogue of LSDB.
    out : folder to write.
    request : what is asked, as of `redflower.prepare`.
    resume, overwrite, workers, scheduler, progress : as of `redflower.scale.infer_hats`.

    Raises
    ------
    InputError : bad input, no LSDB, no star is left, no scheduler at the address, or another run is writing this output.
    WorkerError : what was done cannot be kept (a full disk), or the scheduler has gone.
    """
    out = Path(out)
    surveys = read_surveys(request.surveys)
    if isinstance(request.columns, (str, Path)):
        given = read_column_map(request.columns, surveys)
    else:
        given = replace(request.columns or ColumnMap(), surveys=surveys)
    request = replace(request, columns=given)
    if isinstance(request.ebv_map, (str, Path)) and Path(request.ebv_map).is_file():
        request = replace(request, ebv_map=Path(request.ebv_map).resolve())  # workers are in other folders
    source = open_input(raw, partial(_columns, given=given, keep=request.keep), _WHAT)
    first = _joined(source.first_rows(JUDGED_BY))
    judged = read_stars(first, given, duplicates=request.duplicates)
    asked = replace(
        request, keep=(*request.keep, SPATIAL_INDEX), solutions_told=bool(solution_kind(judged).any())
    )
    origin = {"file": source.reader.where, "sha256": None, "catalogue": source.identity}
    n_workers = hats_workers(workers, scheduler, source.n_rows, _STAR_MS)
    told = {
        "input": source.reader.where, "sha256": source.identity, "columns": list(source.catalog.columns), "model": "none",
        "request": repr(replace(asked, ebv_map=str(asked.ebv_map))),
    }  # fmt: skip
    run = CatalogueRun(
        _WHAT, source, out, PreparePartition(asked, origin), told, n_workers, scheduler, progress
    )
    with run.opened(resume=resume, overwrite=overwrite) as kept:
        records = run.records(kept)
        failures = tuple(failure for record in records for failure in record.failures)
        reports = [CutReport.from_dict(record.told["report"]) for record in records if record.told]
        if not any(record.n_rows for record in records):
            raise _none_left(reports, failures, source.reader.where)
        report = _joined_report(reports)
        base = run.provenance_of(next(record for record in records if record.n_rows))
        n_raw = report.n_before
        meta = {**base, "input": {**origin, "rows": n_raw}, "report": report.as_dict()}
        stated = {
            "redflower_version": VERSION,
            "redflower_stage": "prepared",
            "redflower_purpose": request.purpose,
        }
        n_stars = sum(record.n_rows for record in records)
        run.finish(kept, records, meta, stated, summed([{"kept": n_stars, "cut": n_raw - n_stars}]))
    return PreparedCatalogue(out, report, failures, run.n_workers)


def _columns(names: Sequence[str], given: ColumnMap, keep: Sequence[str]) -> list[str]:
    """Return the columns of a raw catalogue that preparation looks at or passes on."""
    there = [name for name in names if name != SPATIAL_INDEX]
    choice = choose_columns(there, given, "the catalogue")
    if "source_id" not in choice.source:
        raise InputError(
            f"{_WHAT}: a HATS catalogue must have source_id, by which stars are known in every partition. Name the column that "
            "holds it in a column map (--columns MAP.toml)."
        )
    wanted = {*choice.source.values(), *choice.extra.values(), *designation_columns(there), *keep}
    return [name for name in there if name in wanted]


def _joined(tables: Sequence[Table]) -> Table:
    from astropy.table import vstack

    return tables[0] if len(tables) == 1 else vstack(tables, metadata_conflicts="silent")


def _joined_report(reports: Sequence[CutReport]) -> CutReport:
    """Add up the reports of partitions; notes that not all of them have are of single partitions, and stay with these.

    Raises
    ------
    WorkerError : they are of different cuts or bands.
    """
    first = reports[0]
    if any(_counted_in(one) != _counted_in(first) for one in reports):
        raise WorkerError(
            f"{_WHAT}: the records of finished partitions state different cuts or bands. Another program has changed them; "
            "remove the folder of the parts, and run again."
        )

    def added(of: Callable[[CutReport], Sequence[Cut | BandCut]], k: int) -> tuple[int, int]:
        return sum(of(one)[k].before for one in reports), sum(of(one)[k].after for one in reports)

    cuts = [Cut(cut.name, cut.condition, *added(lambda r: r.cuts, k)) for k, cut in enumerate(first.cuts)]
    bands = [
        BandCut(cut.name, cut.condition, cut.survey, *added(lambda r: r.band_cuts, k))
        for k, cut in enumerate(first.band_cuts)
    ]
    common = set(first.notes).intersection(*(one.notes for one in reports))
    alone = sum(len(set(one.notes) - common) for one in reports)
    more = [f"{alone:,} notes on single partitions stand in the provenance of their files"] if alone else []
    zero = first.zero_point if all(one.zero_point == first.zero_point for one in reports) else _ZERO
    return CutReport(
        purpose=first.purpose, cuts=tuple(cuts),
        bands={label: sum(one.bands[label] for one in reports) for label in first.bands},
        zero_point=zero, notes=(*(note for note in first.notes if note in common), *more), band_cuts=tuple(bands),
    )  # fmt: skip


def _counted_in(report: CutReport) -> list[str]:
    names = [cut.name for cut in report.cuts] + [cut.name for cut in report.band_cuts]
    return names + sorted(report.bands)


_ZERO: Final = "as the files of the partitions say, each for its parallaxes"


def _none_left(reports: Sequence[CutReport], failures: Sequence[Failure], where: str) -> InputError:
    """Make the error for a catalogue of which no star is left."""
    if not reports:
        why = failures[0].message if failures else "It has no rows."
        return InputError(f"{_WHAT}: no partition of {where} can be prepared. {why}")
    return InputError(f"{_WHAT}: no star of {where} is left.\n{_joined_report(reports).text()}")
