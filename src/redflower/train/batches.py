"""The stars of a run, the batches of an epoch, and stars gathered from a sample."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from redflower.train.loss.objective import Group
from redflower.train.loss.training_star import TrainingStar


@dataclass(frozen=True)
class Sample:
    """The stars of a run.

    Attributes
    ----------
    data : all stars, tabulated.
    gaps : which have gaps that are integrated over.
    training_rows, validation_rows : those to train on, and those held out.
    """

    data: TrainingStar
    gaps: np.ndarray
    training_rows: np.ndarray
    validation_rows: np.ndarray


class Batches:
    """The batches of one epoch: every batch has its share of the stars with gaps, in a group of its own.

    Only that group pays for drawing missing bands. It has one size, so that the step is compiled once; where the
    share is not whole, the last place is a repeated star of weight zero.

    Parameters
    ----------
    rows : of the stars to train on.
    gaps : which stars of the sample have gaps.
    batch_size : stars of a step.
    rng : puts them in their order.
    n_steps : steps of the epoch, which then takes as many stars as they need, and of those with gaps their share; as many
        as the stars allow when None.
    """

    def __init__(
        self,
        rows: np.ndarray,
        gaps: np.ndarray,
        batch_size: int,
        rng: np.random.Generator,
        n_steps: int | None = None,
    ) -> None:
        order = rng.permutation(rows)
        self._gappy, self._complete = order[gaps[order]], order[~gaps[order]]
        self.n_steps = len(rows) // batch_size
        if n_steps is not None and n_steps < self.n_steps:
            # The same number of each kind in every epoch, so that a step has one shape.
            n_stars, self.n_steps = n_steps * batch_size, n_steps
            n_gappy = round(len(self._gappy) * n_stars / len(rows))
            self._gappy = self._gappy[:n_gappy]
            self._complete = self._complete[: n_stars - n_gappy]
        self._edges = np.round(np.linspace(0, len(self._gappy), self.n_steps + 1)).astype(int)
        self._n_gappy = int(np.max(np.diff(self._edges)))
        self._n_complete = min(batch_size - self._n_gappy, len(self._complete) // self.n_steps)

    def groups(self, step: int) -> list[tuple[bool, np.ndarray, np.ndarray]]:
        """Return (with gaps, rows, weights) of every group of a step.

        Rows are sorted, so that memory-mapped files are read in order.
        """
        out = []
        if self._n_complete:
            rows = np.sort(self._complete[step * self._n_complete : (step + 1) * self._n_complete])
            out.append((False, rows, np.ones(len(rows), np.float32)))
        if self._n_gappy:
            rows = np.sort(self._gappy[self._edges[step] : self._edges[step + 1]])
            weights = (np.arange(self._n_gappy) < len(rows)).astype(np.float32)
            padded = np.concatenate([rows, np.repeat(self._gappy[:1], self._n_gappy - len(rows))])
            out.append((True, padded, weights))
        return out

    def gathered(self, data: TrainingStar, step: int) -> tuple[Group, ...]:
        """Return the groups of a step with their stars."""
        return tuple(
            Group(
                has_gaps=has_gaps,
                data=gather_rows(data, rows),
                rows=jnp.asarray(rows, jnp.uint32),
                weights=jnp.asarray(weights),
            )
            for has_gaps, rows, weights in self.groups(step)
        )

    def rows(self, step: int) -> np.ndarray:
        """Return all rows of a step."""
        return np.unique(np.concatenate([rows for _, rows, _ in self.groups(step)]))


def gather_rows(data: TrainingStar, rows: np.ndarray) -> TrainingStar:
    """Gather some stars of a sample from memory or from files."""
    return jax.tree.map(lambda a: jnp.asarray(a[rows]), data)


def rows_with_gaps(data: TrainingStar, n_bands: int) -> np.ndarray:
    """Return which stars lack a band before their last one."""
    observed = np.asarray(data.star.observed)[:, :n_bands]
    last = n_bands - 1 - np.argmax(observed[:, ::-1], axis=1)
    return observed.sum(axis=1) <= last
