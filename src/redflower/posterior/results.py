"""What a run of inference is asked, and its columns as they fill up."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Array, Float, Int, Key

from redflower.flow.model import Model
from redflower.posterior.batches import take
from redflower.posterior.columns import FLOAT_COLUMNS
from redflower.posterior.density import density_of_draws, empty_density
from redflower.posterior.fast.fit import Fit, FitRecord, tail_probability
from redflower.posterior.flags import unusable_status
from redflower.posterior.keys import star_keys
from redflower.posterior.log_density import Target
from redflower.posterior.settings import InferenceSettings
from redflower.posterior.status import IMPORTANCE, Flag, Status
from redflower.progress import Steps
from redflower.random_streams import Stream
from redflower.star import Star


@dataclass(frozen=True)
class Request:
    """The stars of a run, and all that its engines need to know of them.

    Attributes
    ----------
    model, target : the model, and the exact density that it gives.
    stars : host arrays with a leading ``star`` axis.
    source_id : of each star; the seed of its random draws.
    settings : of the run.
    ebv_limit_mag : all the dust towards each star. [mag]
    """

    model: Model
    target: Target
    stars: Star
    source_id: Int[np.ndarray, " star"]
    settings: InferenceSettings
    ebv_limit_mag: Float[np.ndarray, " star"]

    def part(self, rows: np.ndarray) -> Star:
        """Return some stars, on the device."""
        part: Star = take(self.stars, rows)
        return part

    def keys(self, rows: np.ndarray, stream: Stream) -> Key[Array, " key"]:
        """Return the random keys of some stars for one use."""
        return star_keys(self.source_id[rows], self.settings.seed, stream)


def empty_columns(n_stars: int, *, density: bool) -> dict[str, np.ndarray]:
    """Return the columns of stars that are not inferred yet.

    Parameters
    ----------
    n_stars : rows.
    density : whether the joint densities are among the columns.
    """
    columns: dict[str, np.ndarray] = {name: np.full(n_stars, np.nan) for name in FLOAT_COLUMNS}
    columns |= {name: np.zeros(n_stars, np.int64) for name in ("divergences", "flags")}
    columns |= {name: np.full(n_stars, "", f"<U{len(IMPORTANCE)}") for name in ("bands", "status", "engine")}
    return columns | (empty_density(n_stars) if density else {})


class Results:
    """The columns of a run: a row per star whatever happens to it.

    Parameters
    ----------
    request : what is asked.
    progress : called with the number of stars done.
    """

    def __init__(self, request: Request, progress: Callable[[int], None] | None) -> None:
        n_stars = len(request.source_id)
        observed = np.asarray(request.stars.observed)[:, : request.target.n_bands]
        status = unusable_status(request.model, request.stars)
        columns = empty_columns(n_stars, density=request.settings.density)
        # A name for each kind of star: there are few, and many stars.
        kinds, kind = np.unique(observed, axis=0, return_inverse=True)
        names = np.array([request.model.bands.shown(one) for one in kinds], dtype=str)
        columns["bands"] = names[kind]
        columns["status"] = status
        columns["flags"] = np.where(observed.all(axis=1), 0, int(Flag.MISSING_BAND)).astype(np.int64)
        self.columns = columns
        self.record = FitRecord(observed)
        self._with_density = request.settings.density
        self._ebv_range_mag = (request.settings.ebv_min_mag, request.settings.ebv_max_mag)
        self._progress = progress
        self._n_done = n_stars - len(self.open_rows())

    def open_rows(self) -> Int[np.ndarray, " row"]:
        """Return the rows that have no status yet."""
        return np.flatnonzero(self.columns["status"] == "")

    def store(self, rows: np.ndarray, values: dict[str, np.ndarray], engine: str) -> None:
        """Fill the columns of some rows, and record which engine settled them."""
        self.store_columns(rows, values)
        self.columns["engine"][rows] = engine

    def store_columns(self, rows: np.ndarray, values: dict[str, np.ndarray]) -> None:
        """Fill columns of some rows."""
        for name, column in values.items():
            self.columns[name][rows] = column

    def store_density_of_draws(
        self, rows: np.ndarray, ebv_mag: Any, modulus_mag: Any, log_weight: Any, *, n_together: int = 1
    ) -> None:
        """Fill the density columns of some rows from draws, if densities are wanted; see `density_of_draws`."""
        if self._with_density and len(rows):
            columns = density_of_draws(
                ebv_mag, modulus_mag, log_weight, self._ebv_range_mag, n_together=n_together
            )
            self.store_columns(rows, columns)

    def store_fit(self, rows: np.ndarray, fit: Fit) -> None:
        """Fill in how the first of a batch's stars fit, whichever engine will settle them."""
        self.record.add(rows, fit)
        residual = self.record.residual[rows]
        parallax = self.record.parallax_residual[rows].astype(float)
        self.store_columns(
            rows,
            {
                "p_fit": tail_probability(residual, self.record.observed[rows]),
                "parallax_residual": np.where(parallax == 0.0, np.nan, parallax),
            },
        )

    def done(self, engine: str, n_tried: int, n_settled: int) -> None:
        """Report that an engine has tried some stars, and that so many of them are done."""
        self._n_done += n_settled
        if isinstance(self._progress, Steps):
            self._progress.step(engine, n_tried, n_settled)
        if self._progress is not None:
            self._progress(self._n_done)

    def table(self) -> dict[str, np.ndarray]:
        """Return the columns, with NaN for every number of a star whose density is not finite."""
        failed = self.columns["status"] == Status.NONFINITE.value
        for name in FLOAT_COLUMNS:
            self.columns[name][failed] = np.nan
        return self.columns
