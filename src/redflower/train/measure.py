"""The loss of stars at a given flow, for judging it: of those held out, and of all before a run begins."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from redflower.errors import TrainingError
from redflower.flow.conditional import ConditionalFlow
from redflower.train.batches import gather_rows
from redflower.train.dataset import CHUNK
from redflower.train.loss.objective import Objective
from redflower.train.loss.training_star import TrainingStar

#: Stars per compiled call; the last call is padded.
VALIDATION_CHUNK = 2048
GAP_CHUNK = 256
#: Streams of random numbers: a check of every star, the validation, and from here on a stream per epoch.
CHECK_STREAM, VALIDATION_STREAM, EPOCH_STREAM = 0, 1, 2

#: A function of (flow, rows, stream) that gives ln L_s and ln C_s of every row.
Measure = Callable[[ConditionalFlow, np.ndarray, int], tuple[np.ndarray, np.ndarray]]


def make_measure(
    objective: Objective, data: TrainingStar, gaps: np.ndarray, n_draws: int, magnitudes: str | None
) -> Measure:
    """Compile the two terms of the loss for stars of a sample.

    Parameters
    ----------
    gaps : which stars of the sample have gaps.
    n_draws : importance draws of a star.
    magnitudes : how true magnitudes are drawn. If None, as the run's configuration says.
    """
    contrast = objective.config.contrast.strength > 0.0

    @eqx.filter_jit
    def terms(flow, batch, rows, stream, has_gaps):
        return objective.terms(
            flow,
            batch,
            rows,
            stream,
            n_draws=n_draws,
            gaps=has_gaps,
            contrast=contrast,
            magnitudes=magnitudes,
        )

    def measure(flow: ConditionalFlow, rows: np.ndarray, stream: int) -> tuple[np.ndarray, np.ndarray]:
        out = np.zeros((2, len(rows)))
        for has_gaps, chunk in ((False, VALIDATION_CHUNK), (True, GAP_CHUNK)):
            group = np.flatnonzero(gaps[rows] == has_gaps)
            # A few stars need no whole chunk.
            size = min(chunk, 1 << max(0, len(group) - 1).bit_length())
            for start in range(0, len(group), size):
                place = group[np.minimum(np.arange(start, start + size), len(group) - 1)]
                values = terms(
                    flow, gather_rows(data, rows[place]), jnp.asarray(rows[place], jnp.uint32), jnp.uint32(stream), has_gaps
                )  # fmt: skip
                out[:, place] = np.asarray(values)
        return out[0], out[1]

    return measure


def check_data(data: TrainingStar, names: np.ndarray | None) -> None:
    """Refuse a sample with data that are not numbers: nothing can be fitted to it, not even a standardisation."""
    n_stars = len(data.star.parallax_mas)
    bad: list[np.ndarray] = []
    for start in range(0, n_stars, CHUNK):
        part = [np.asarray(leaf[start : start + CHUNK]) for leaf in jax.tree.leaves(data)]
        finite = [np.isfinite(a).reshape(len(a), -1).all(axis=1) for a in part if a.dtype.kind == "f"]
        bad.append(start + np.flatnonzero(~np.all(finite, axis=0)))
    refuse(np.concatenate(bad), n_stars, names)


def check_finite(measure: Measure, flow: ConditionalFlow, n_stars: int, names: np.ndarray | None) -> None:
    """Refuse a sample in which some star has no finite evidence, before hours are spent on it."""
    evidence, contrast = measure(flow, np.arange(n_stars), CHECK_STREAM)
    refuse(np.flatnonzero(~np.isfinite(evidence + contrast)), n_stars, names)


def refuse(bad: np.ndarray, n_stars: int, names: np.ndarray | None) -> None:
    """Refuse a sample in which some stars are bad, naming the first of them."""
    if len(bad):
        words = bad[:10] if names is None else np.asarray(names)[bad[:10]]
        raise TrainingError(
            f"train: the evidence of {len(bad)} of {n_stars} stars is not finite; the first are "
            f"{', '.join(map(str, words))}. Check their magnitudes, errors and parallaxes, or leave them out."
        )
