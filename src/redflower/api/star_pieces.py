"""Stars that are in no table, inferred in pieces that processes share."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Final

import jax
import numpy as np

from redflower.api.parts import ModelJob, slices
from redflower.api.processes import inference_ms, shared_out, worker_count
from redflower.calibrate.sample_fit import sample_fit
from redflower.calibrate.verdict import SampleFit
from redflower.posterior import infer_stars
from redflower.posterior.fast.fit import FitRecord
from redflower.star import Star
from redflower.workers import Work

#: Stars that a process infers at a time.
PIECE_ROWS: Final = 1024


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
    return job.columns


def inferred_stars(
    job: StarsJob,
    batches: Sequence[tuple[Star, np.ndarray]],
    workers: int | None,
    progress: Callable[..., None] | None,
    what: str,
) -> list[tuple[dict[str, np.ndarray], SampleFit]]:
    """Infer batches of stars; return the columns and the sums of each.

    Parameters
    ----------
    job : the model and the settings.
    batches : stars, host arrays with a leading ``star`` axis, and their identifiers, which seed their random draws.
    workers : processes; None leaves the number to `worker_count`.
    progress : called with the number of stars done.
    what : how a message calls the work.

    Raises
    ------
    WorkerError : stars that a worker was given failed twice.
    """
    pieces = [(n, rows) for n, (_, ids) in enumerate(batches) for rows in slices(len(ids), PIECE_ROWS)]
    n_workers = worker_count(workers, sum(len(ids) for _, ids in batches), inference_ms(job.settings))
    done = dict.fromkeys(range(len(pieces)), 0)

    def tell(key: int, n_done: int) -> None:
        done[key] = n_done
        if progress is not None:
            progress(sum(done.values()))

    def payload(number: int, rows: slice) -> tuple[Star, np.ndarray]:
        stars, source_id = batches[number]
        return jax.tree.map(lambda a: np.asarray(a)[rows], stars), source_id[rows]

    def named(key: int) -> str:
        number, rows = pieces[key]
        return f"{what}: stars {rows.start} to {rows.stop} of batch {number}"

    tasks = ((key, payload(*piece)) for key, piece in enumerate(pieces))
    found = dict(shared_out(start_stars, (job,), tasks, max(1, min(n_workers, len(pieces))), tell, named))
    together = []
    for number in range(len(batches)):
        mine = [found[key] for key, piece in enumerate(pieces) if piece[0] == number]
        columns = {name: np.concatenate([one[name] for one, _ in mine]) for name in mine[0][0]}
        together.append((columns, reduce(add, (fit for _, fit in mine))))
    return together
