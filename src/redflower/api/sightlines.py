"""Fit the dust along a line of sight to a table of posteriors."""

from collections import Counter as Counts
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from astropy.table import Column, Table

from redflower.api.polarisation import polarisation_of
from redflower.api.posteriors import ebv_prior_mag, open_posteriors
from redflower.catalogue.io.sources import TableSource
from redflower.catalogue.reading.prepared_stars import open_prepared
from redflower.errors import InputError
from redflower.platforms import compute_platform
from redflower.posterior import Flag, Status
from redflower.posterior.columns import PRIOR_COLUMNS
from redflower.posterior.density import JointDensity, joint_density
from redflower.posterior.density_nodes import usable_densities
from redflower.products.compare import join
from redflower.products.photometry import add_photometry
from redflower.products.sightline import SightlineResult
from redflower.products.sightline_tables import (
    bin_table,
    cloud_table,
    draw_table,
    profile_table,
    summary_of_fit,
)
from redflower.progress import Counter, ShowProgress, TimeLeft, shown
from redflower.provenance import META_KEY, VERSION
from redflower.seeds import check_seed
from redflower.sightline import (
    DustPrior,
    TemperingSettings,
    fit_sightline,
    flat_distance_log_weight,
)
from redflower.sightline.fit import MIN_SIGHTLINE_STARS

#: Statuses whose densities are what the model says. At an edge of the reddening prior a density is cut off, which the
#: fit knows; leaving such stars out would bias it.
_STATUSES: Final = (Status.OK.value, Status.EDGE_OF_PRIOR.value)
#: What the non-decreasing profile takes, where a fit of no cloud takes 1.2: about.
_PROFILE_WORK: Final = 5.0
_PASSED_ON: Final = (
    "source_id", "l", "b", "ebv_mean", "ebv_std", "distance_mean", "distance_std", "ebv_distance_corr", "status", "flags",
)  # fmt: skip


def sightline_rows(posteriors: Table, density: JointDensity) -> np.ndarray:
    """Choose the stars that enter the fit: a usable density, status ``ok`` or ``edge_of_prior``, not unlike all training stars.

    No star is chosen by its posterior mean: the fit takes the density as it is, cut off by its prior or not.

    Parameters
    ----------
    density : of the same stars, from `redflower.posterior.joint_density`.
    """
    words = np.asarray(posteriors["status"]).astype(str)
    unlike_all = (np.asarray(posteriors["flags"]) & int(Flag.LOW_FLOW_PROBABILITY)) != 0
    return usable_densities(density) & np.isin(words, _STATUSES) & ~unlike_all


def _too_few(posteriors: Table, density: JointDensity, n_used: int) -> str:
    """Say how many stars may enter the fit, why the others may not, and what to do."""
    words = np.asarray(posteriors["status"]).astype(str)
    there = usable_densities(density)
    counts = Counts(words[there & ~np.isin(words, _STATUSES)])
    reasons = [f"{n} of status {word}" for word, n in counts.most_common()]
    unlike = int((there & np.isin(words, _STATUSES)).sum()) - n_used
    reasons += (
        [f"{unlike} unlike nearly every training star (flag {int(Flag.LOW_FLOW_PROBABILITY)})"]
        if unlike
        else []
    )
    reasons += [f"{int((~there).sum())} without a density"] if not there.all() else []
    return (
        f"a sightline needs at least {MIN_SIGHTLINE_STARS} stars that may enter the fit (with a density, status "
        f"{' or '.join(_STATUSES)}, not unlike nearly every training star); {n_used} of {len(posteriors)} may. The others: "
        f"{', '.join(reasons) or 'there are none'}. Take a wider cone; where many are of status low_ess, infer without "
        "--no-hand-on; where many are outliers or unlike the training stars, the model is not for these stars."
    )


def outlier_probabilities(posteriors: Table, rows: np.ndarray) -> np.ndarray | None:
    """Return the probabilities that some stars are not of the population; None of a table made before there were any."""
    if "p_outlier" not in posteriors.colnames:
        return None
    return np.asarray(posteriors["p_outlier"], dtype=float)[rows]


def _with_time_left(call: Callable[..., None], max_clouds: int) -> Callable[[int], None]:
    """Return what tells of the models done with the time left: more clouds take longer, and the profile of no clouds as well."""
    work = [1.2 + 0.3 * n_clouds**2 for n_clouds in range(max_clouds + 1)] + [_PROFILE_WORK]
    left = TimeLeft(sum(work))

    def tell(n_done: int) -> None:
        left_s = left.after(work[n_done - 1])
        if isinstance(call, Counter):
            call(n_done, len(work), left_s=left_s)
        else:
            call(n_done)

    return tell


def fit_posteriors(
    posteriors: TableSource,
    *,
    max_clouds: int = 4,
    prior: DustPrior | None = None,
    flat_distances: bool = False,
    settings: TemperingSettings | None = None,
    seed: int = 0,
    comparisons: Sequence[Table] = (),
    prepared: TableSource | None = None,
    polarisation: TableSource | None = None,
    progress: ShowProgress = None,
) -> SightlineResult:
    """Fit the dust along the line of sight of a table of posteriors: the odds of each number of clouds, and each cloud.

    Parameters
    ----------
    posteriors : of the stars of one cone, from `redflower.infer` with densities, or the path of their table.
    max_clouds : the largest number of clouds to compare.
    prior : of the dust; see `redflower.sightline.DustPrior`.
    flat_distances : divide each star's own distance prior out, so that all distances are equally likely per distance
        modulus. By default that prior counts once.
    settings : effort of the sampler.
    seed : of the random numbers.
    comparisons : reddening from elsewhere, to be drawn and tabulated beside; see
        `redflower.products.compare.read_comparison`.
    prepared : the table that was inferred, for the colour-magnitude diagram.
    polarisation : a table of starlight polarisation as further data, with the columns ``source_id``, ``q``, ``u``, ``q_error``
        and ``u_error`` (shares of a star's light), or its path. It need not have all stars.
    progress : whether to show it, or what to call with the number of models done. Defaults to showing it on
        a terminal and in a notebook.

    Returns
    -------
    The fit, tables of clouds, profile and stars (distances in pc, E(B-V) in mag), and a summary in plain numbers.

    Raises
    ------
    InputError
        If the table has no densities, or too few stars with one; or if polarisation is asked for and cannot be had.

    Examples
    --------
    >>> import redflower
    >>> from redflower.sightline import TemperingSettings
    >>> quick = TemperingSettings(n_particles=40, n_moves=2, n_final=4)
    >>> result = redflower.sightline("posteriors.parquet", max_clouds=1, settings=quick)
    >>> sorted(result.summary["probability"])
    ['0', '1']
    """
    check_seed(seed)
    compute_platform()
    posteriors = open_posteriors(posteriors, "sightline's input")
    if prepared is not None:
        prepared = open_prepared(prepared, "sightline's prepared table")
    density = joint_density(posteriors)
    rows = sightline_rows(posteriors, density)
    if rows.sum() < MIN_SIGHTLINE_STARS:
        raise InputError(_too_few(posteriors, density, int(rows.sum())))
    used = density.rows(rows)
    log_weight = None
    if flat_distances:
        lacking = [name for name in PRIOR_COLUMNS if name not in posteriors.colnames]
        if lacking:
            raise InputError(
                f"to divide the distance prior out the table needs the columns {', '.join(lacking)}."
            )
        log_weight = flat_distance_log_weight(
            used, *(np.asarray(posteriors[name], dtype=float)[rows] for name in PRIOR_COLUMNS)
        )
    stars_polarised = None
    if polarisation is not None:
        stars_polarised = polarisation_of(polarisation, np.asarray(posteriors["source_id"])[rows])
    meta = posteriors.meta.get(META_KEY, {})
    with shown(progress, "models fitted", max_clouds + 2) as call:
        fit = fit_sightline(
            used,
            ebv_prior_mag(posteriors),
            np.random.default_rng(seed),
            max_clouds=max_clouds,
            prior=prior,
            settings=settings,
            log_weight=log_weight,
            p_outlier=outlier_probabilities(posteriors, rows),
            polarisation=stars_polarised,
            progress=None if call is None else _with_time_left(call, max_clouds),
        )
    stars = Table()
    for name in _PASSED_ON:
        if name in posteriors.colnames:
            stars[name] = posteriors[name]
    for name in posteriors.colnames:
        if name.startswith("true_"):
            stars[name] = posteriors[name]
    if prepared is not None:
        add_photometry(stars, prepared)
    stars["in_fit"] = Column(rows, description="whether the star entered the fit")
    provenance = {
        "stage": "sightline",
        "redflower": VERSION,
        "seed": seed,
        "max_clouds": max_clouds,
        "flat_distances": flat_distances,
        "prior": vars(fit.prior).copy(),
        "n_polarised": 0 if stars_polarised is None else int(stars_polarised.measured.sum()),
        "input": meta,
    }
    summary = summary_of_fit(fit, stars, provenance)
    tables = {
        "clouds": cloud_table(fit),
        "profile": profile_table(fit, stars),
        "bins": bin_table(stars, density, ebv_prior_mag(posteriors)),
        "stars": stars,
        "draws": draw_table(fit),
        "comparisons": join(comparisons),
    }
    for table in tables.values():
        table.meta[META_KEY] = provenance
    tables["clouds"].meta["probability_of_number_of_clouds"] = summary["probability"]
    return SightlineResult(fit, summary=summary, **tables)
