"""A table of stars in parts: how it is divided, what is done with a part, and by how many processes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any, Final

from astropy.table import Table, vstack

from redflower.api import posterior_rows
from redflower.calibrate.verdict import SampleFit, judge
from redflower.catalogue import DistancePrior
from redflower.flow import Model
from redflower.flow.model import model_from_parts, model_to_parts
from redflower.photometric_offsets import PhotometricOffsets
from redflower.photometric_scales import PhotometricScale
from redflower.posterior import InferenceSettings
from redflower.provenance import META_KEY
from redflower.workers import Work

#: Rows of a part: compiled batches of 128 are full, a part's last stars wait for nobody, and any memory will do.
LEAST_ROWS, MOST_ROWS, ROWS_STEP = 1024, 20_480, 128
#: Parts into which a table is divided that is neither short nor long.
N_PARTS: Final = 64


@dataclass(frozen=True)
class ModelJob:
    """What is asked of a model; it can be sent to another process."""

    model: Model
    settings: InferenceSettings

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "model": model_to_parts(self.model)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            object.__setattr__(self, name, model_from_parts(*value) if name == "model" else value)


@dataclass(frozen=True)
class InferenceJob(ModelJob):
    """What is asked of every part of a table.

    Attributes
    ----------
    model, settings, prior, photometry, offsets, keep, without : as of `redflower.api.posterior_rows.posterior_table`.
    """

    prior: DistancePrior
    photometry: PhotometricScale | str | None = None
    offsets: PhotometricOffsets | None = None
    keep: Sequence[str] = ()
    without: Sequence[str] = ()

    def table(self, part: Table, progress: Callable[[int], None] | None = None) -> Table:
        """Infer a part."""
        return posterior_rows.posterior_table(
            part, self.model, self.settings, self.prior, photometry=self.photometry, offsets=self.offsets, keep=self.keep,
            without=self.without, progress=progress,
        )  # fmt: skip


def rows_per_part(n_stars: int | None) -> int:
    """Return how many rows the parts of a table have: the same on every machine, whatever number of workers there is.

    Parameters
    ----------
    n_stars : rows of the table; None for as many as may be.
    """
    if n_stars is None:
        return MOST_ROWS
    share = -(-n_stars // N_PARTS)
    return min(max(-(-share // ROWS_STEP) * ROWS_STEP, LEAST_ROWS), MOST_ROWS)


def start_inference(job: InferenceJob) -> Work:
    """Make what a worker does with a part: its posteriors."""
    return job.table


def slices(n_rows: int, size: int) -> list[slice]:
    """Return the parts of a table in memory; one of no rows for a table of none."""
    return [slice(start, start + size) for start in range(0, max(n_rows, 1), size)]


def joined(tables: Sequence[Table]) -> Table:
    """Join the posteriors of parts, and judge all of them together."""
    if len(tables) == 1:
        return tables[0]
    table = vstack(tables, metadata_conflicts="silent")
    table.meta[META_KEY] = joined_provenance([one.meta[META_KEY] for one in tables])
    return table


def joined_provenance(metas: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the provenance of parts' posteriors together, with the verdict on all of their stars."""
    total = reduce(add, (SampleFit(**meta["fit"]) for meta in metas))
    return {**metas[0], "fit": total.as_dict(), "verdict": judge(total).as_dict()}
