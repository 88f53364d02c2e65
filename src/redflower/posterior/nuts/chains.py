"""The draws themselves of the reference engine, for those who want more than a row per star."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Array, Int, Shaped

from redflower.flow.model import Model
from redflower.platforms import compute_platform
from redflower.posterior.flags import unusable_status
from redflower.posterior.log_density import make_target
from redflower.posterior.nuts.run import two_tries
from redflower.posterior.nuts.sampler import ChainDraws
from redflower.posterior.results import Request
from redflower.posterior.settings import InferenceSettings
from redflower.star import Star


def chains_of_stars(
    model: Model,
    stars: Star,
    source_id: Int[np.ndarray, " star"],
    settings: InferenceSettings,
    *,
    progress: Callable[[int], None] | None = None,
) -> tuple[Int[np.ndarray, " usable"], dict[str, Shaped[np.ndarray, "usable chain draw"]]]:
    """Draw chains of every star that can be inferred, by NUTS: those from which `infer_stars` makes the star's row.

    Equations: E16, E16b (docs/explanation/model.md).

    Parameters
    ----------
    model, stars, source_id, settings, progress : as for `redflower.posterior.infer_stars`; the engine is ``nuts``.

    Returns
    -------
    The rows of the stars, and arrays of shape (star, chain, draw): ``ebv`` [mag], ``distance_modulus`` [mag], ``bp_rp``
    [mag] (intrinsic), ``unreddened_g`` [mag], ``flow_chi2``, ``lp`` (ln posterior density in whitened coordinates),
    ``diverging`` and ``n_steps`` (leapfrog steps of the trajectory).
    """
    compute_platform()
    target = make_target(model, ebv_min_mag=settings.ebv_min_mag, ebv_max_mag=settings.ebv_max_mag)
    request = Request(
        model=model,
        target=target,
        stars=stars,
        source_id=source_id,
        settings=settings,
        ebv_limit_mag=np.full(len(source_id), settings.ebv_max_mag),
    )
    rows = np.flatnonzero(unusable_status(model, stars) == "")
    found: dict[str, np.ndarray] = {}
    n_done = 0
    for tried in two_tries(request, rows):
        places = np.searchsorted(rows, tried.batch)
        for name, values in _named(tried.draws).items():
            kept = np.asarray(values)[: len(places)]
            found.setdefault(name, np.empty((len(rows), *kept.shape[1:]), kept.dtype))[places] = kept
        n_done += len(places) - int(tried.again.sum())
        if progress is not None:
            progress(n_done)
    return rows, found


def _named(draws: ChainDraws) -> dict[str, Array]:
    return {
        "ebv": draws.ebv_mag, "distance_modulus": draws.distance_modulus_mag, "bp_rp": draws.bp_rp_mag,
        "unreddened_g": draws.unreddened_g_mag, "flow_chi2": draws.flow_chi2, "lp": draws.log_density,
        "diverging": draws.diverging, "n_steps": draws.n_leapfrog,
    }  # fmt: skip
