"""Infer any number of stars in batches of one size: quadrature, then importance weights, then chains."""

from collections.abc import Callable
from typing import Final

import numpy as np

from redflower.bands import G
from redflower.errors import RedflowerError
from redflower.flow.model import Model
from redflower.platforms import compute_platform
from redflower.posterior.fast.fit import FitRecord
from redflower.posterior.fast.rounds import importance
from redflower.posterior.fast.run import quadrature, read_ahead
from redflower.posterior.fast.steps import make_fast_target
from redflower.posterior.log_density import make_target
from redflower.posterior.outliers import Outliers
from redflower.posterior.results import Request, Results
from redflower.posterior.settings import InferenceSettings
from redflower.posterior.status import Status
from redflower.star import Star, blank_stars

#: So many stars come to all steps of the fast engine, nearly always: their programs are made, or read, side by side.
READ_AHEAD_STARS: Final = 16


def read_programs_ahead(model: Model, settings: InferenceSettings, n_stars: int) -> None:
    """Start to make or read the programs that `infer_stars` will want: a table is read meanwhile.

    Few stars may do without some: for them only what is kept is read. Stars with correlated errors have programs of their own,
    which wait until there are such stars.
    """
    if settings.engine != "fast":
        return
    compute_platform()
    try:
        target = make_target(model, ebv_min_mag=settings.ebv_min_mag, ebv_max_mag=settings.ebv_max_mag)
        fast = make_fast_target(model, target)
    except RedflowerError:  # it is said where stars are inferred
        return
    stars = blank_stars(1, len(model.star_bands))
    request = Request(model, target, stars, np.zeros(1, np.int64), settings, np.zeros(1))
    read_ahead(request, fast, or_make=n_stars >= READ_AHEAD_STARS)


def infer_stars(
    model: Model,
    stars: Star,
    source_id: np.ndarray,
    settings: InferenceSettings,
    *,
    ebv_limit_mag: np.ndarray | None = None,
    progress: Callable[[int], None] | None = None,
    judged: Callable[[FitRecord], None] | None = None,
) -> dict[str, np.ndarray]:
    """Infer a batch of stars: a row each, in its order, whether or not the star could be inferred.

    Parameters
    ----------
    model : the trained model; the fast engine needs its emulator.
    stars : the batch, host arrays with a leading ``star`` axis.
    source_id : integer per star; the seed of its random draws.
    settings : prior limits, engine, chain lengths, batch size.
    ebv_limit_mag : all the dust towards each star, for the flag ``ENTERED_BY_EXTINCTION``; the end of the reddening prior
        where it is NaN. If None, that end for every star. [mag]
    progress : called with the number of stars done after every batch.
    judged : called at the end with how the stars fit the model, which the fast engine alone finds out.

    Returns
    -------
    One array per column of `redflower.posterior.columns.OUTPUT_COLUMNS` but ``model``. Stars that cannot be inferred
    have NaN and a status that says why.

    Raises
    ------
    ModelError, InputError : see `redflower.posterior.fast.steps.make_fast_target`.
    """
    compute_platform()
    target = make_target(model, ebv_min_mag=settings.ebv_min_mag, ebv_max_mag=settings.ebv_max_mag)
    fast = make_fast_target(model, target) if settings.engine == "fast" else None
    limit_mag = np.full(len(source_id), np.nan) if ebv_limit_mag is None else np.asarray(ebv_limit_mag, float)
    request = Request(
        model=model,
        target=target,
        stars=stars,
        source_id=source_id,
        settings=settings,
        ebv_limit_mag=np.where(np.isfinite(limit_mag), limit_mag, settings.ebv_max_mag),
    )
    if fast is not None and len(source_id) >= READ_AHEAD_STARS:
        read_ahead(request, fast, or_make=True)
    results = Results(request, progress)
    rows = results.open_rows()
    outliers = Outliers(request, rows)
    if fast is not None:
        # The emulator's first band is the observed G; a star without it is for the reference engine.
        led = np.asarray(stars.observed)[rows, G]
        unsettled = quadrature(request, fast, rows[led], results)
        left = importance(request, fast, unsettled, results, outliers)  # none where nothing is passed on
        if not settings.hand_on:
            results.columns["status"][rows[~led]] = Status.NO_BANDS.value
        # In one go, so that batches are full.
        rows = np.concatenate([rows[~led], left]) if settings.hand_on else left
    if len(rows):
        from redflower.posterior.nuts.run import chains  # NumPyro, which few stars need

        chains(request, rows, results)
    outliers.judge(results.columns)
    if judged is not None:
        judged(results.record)
    return results.table()
