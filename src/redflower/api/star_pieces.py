"""Stars that are in no table, inferred in pieces that processes share."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import reduce
from operator import add
from typing import Any, Final

import jax
import numpy as np

from redflower.api.kept import KeptPieces, checksum
from redflower.api.pace import Pace, TimedSteps
from redflower.api.parts import ModelJob, slices
from redflower.api.processes import inference_ms, shared_out, worker_count
from redflower.calibrate.sample_fit import sample_fit
from redflower.calibrate.verdict import SampleFit
from redflower.posterior import infer_stars
from redflower.posterior.fast.fit import FitRecord
from redflower.posterior.results import empty_columns
from redflower.progress import Counter
from redflower.star import Star
from redflower.workers import Work

#: Stars that a process infers at a time.
PIECE_ROWS: Final = 1024
#: Under which the sums of a piece are kept among its columns.
_SUMS: Final = "sums by which they are judged"


@dataclass(frozen=True)
class StarsJob(ModelJob):
    """The inference of stars that are in no table."""

    def columns(
        self, stars_and_ids: tuple[Star, np.ndarray], progress: Callable[[int], None] | None = None
    ) -> tuple[dict[str, np.ndarray], SampleFit]:
        """Return the columns of some stars, and the sums by which they are judged."""
        stars, source_id = stars_and_ids
        records: list[FitRecord] = []
        columns = infer_stars(
            self.model, stars, source_id, self.settings, progress=progress, judged=records.append
        )
        return columns, sample_fit(self.model, records[0], columns)


def start_stars(job: StarsJob) -> Work:
    """Make what a worker does with stars: their columns."""
    compiled: set[str] = set()

    def work(
        stars_and_ids: tuple[Star, np.ndarray], tell: Callable[[Any], None]
    ) -> tuple[dict[str, np.ndarray], SampleFit]:
        return job.columns(stars_and_ids, TimedSteps(tell, compiled))

    return work


def inferred_stars(
    job: StarsJob,
    batches: Sequence[tuple[Star, np.ndarray]],
    workers: int | None,
    progress: Callable[..., None] | None,
    what: str,
    kept: KeptPieces | None = None,
) -> list[tuple[dict[str, np.ndarray], SampleFit]]:
    """Infer batches of stars; return the columns and the sums of each.

    Parameters
    ----------
    job : the model and the settings.
    batches : stars, host arrays with a leading ``star`` axis, and their identifiers, which seed their random draws.
    workers : processes; None leaves the number to `worker_count`.
    progress : called with the number of stars done.
    what : how a message calls the work.
    kept : keeps finished pieces under that name. If None, they are lost when the work is stopped.

    Raises
    ------
    WorkerError : stars that a worker was given failed twice.
    InputError : the kept pieces are of other stars, or another model or setting.
    """
    pieces = [(n, rows) for n, (_, ids) in enumerate(batches) for rows in slices(len(ids), PIECE_ROWS)]
    sizes = [min(rows.stop, len(batches[n][1])) - rows.start for n, rows in pieces]
    found: dict[int, tuple[dict[str, np.ndarray], SampleFit]] = {}
    if kept is not None:
        arrays = (a for stars, ids in batches for a in (*jax.tree.leaves(stars), ids))
        settings = json.dumps(asdict(job.settings))
        kept.begin(what, {"model": job.model.model_id, "settings": settings, "stars": checksum(arrays)})
        all_of = {key: _kept_piece(kept, what, key, size, job) for key, size in enumerate(sizes)}
        found = {key: piece for key, piece in all_of.items() if piece is not None}
    done = {key: size if key in found else 0 for key, size in enumerate(sizes)}
    n_stars, n_before = sum(sizes), sum(done.values())
    n_workers = worker_count(workers, n_stars - n_before, inference_ms(job.settings))
    n_workers = max(1, min(n_workers, len(pieces) - len(found)))
    pace = Pace(n_stars - n_before, job.settings.engine, n_workers)
    if progress is not None and n_before:
        progress(n_before)

    def tell(key: int, word: Any) -> None:
        if not isinstance(word, int):
            pace.step(*word)
            return
        done[key] = word
        if isinstance(progress, Counter):
            progress(sum(done.values()), n_stars, left_s=pace.left_s())
        elif progress is not None:
            progress(sum(done.values()))

    def payload(number: int, rows: slice) -> tuple[Star, np.ndarray]:
        stars, source_id = batches[number]
        return jax.tree.map(lambda a: np.asarray(a)[rows], stars), source_id[rows]

    def named(key: int) -> str:
        number, rows = pieces[key]
        return f"{what}: stars {rows.start} to {rows.stop} of batch {number}"

    tasks = ((key, payload(*piece)) for key, piece in enumerate(pieces) if key not in found)
    for key, value in shared_out(start_stars, (job,), tasks, n_workers, tell, named):
        found[key] = value
        if kept is not None:
            kept.put(what, key, _packed(*value))
    together = []
    for number in range(len(batches)):
        mine = [found[key] for key, piece in enumerate(pieces) if piece[0] == number]
        columns = {name: np.concatenate([one[name] for one, _ in mine]) for name in mine[0][0]}
        together.append((columns, reduce(add, (fit for _, fit in mine))))
    return together


def _packed(columns: dict[str, np.ndarray], fit: SampleFit) -> dict[str, np.ndarray]:
    """Return a piece as arrays alone, as it is kept."""
    return {**columns, _SUMS: np.array(json.dumps(asdict(fit)))}


def _kept_piece(
    kept: KeptPieces, what: str, key: int, n_stars: int, job: StarsJob
) -> tuple[dict[str, np.ndarray], SampleFit] | None:
    """Return a piece that is kept; None if there is none, or it is damaged."""
    like = {**empty_columns(n_stars, density=job.settings.density), _SUMS: np.array("")}
    piece = kept.get(what, key, like)
    if piece is None:
        return None
    try:
        fit = SampleFit.from_dict(json.loads(str(piece[_SUMS])))
        if fit.labels != list(job.model.bands.labels)[1:]:
            raise ValueError("sums of other bands")
    except (ValueError, RecursionError):
        kept.forget(what, key)
        return None
    return {name: values for name, values in piece.items() if name != _SUMS}, fit
