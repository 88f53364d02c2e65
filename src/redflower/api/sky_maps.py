"""Fit every pixel of a map of the sky as a sightline of its own."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import astropy.units as u
import numpy as np
from astropy_healpix import HEALPix

from redflower.api.kept import KeptPieces, checksum
from redflower.api.map_arguments import checked_distances
from redflower.api.posteriors import ebv_prior_mag, open_posteriors
from redflower.api.processes import said_size, said_time, shared_out, worker_count
from redflower.api.sightlines import outlier_probabilities, sightline_rows
from redflower.calibrate.verdict import verdict_of
from redflower.catalogue.io.sources import TableSource
from redflower.errors import InputError
from redflower.platforms import compute_platform
from redflower.posterior.density import JointDensity, joint_density
from redflower.products.skymap import SkyMap
from redflower.progress import Counter, ShowProgress, TimeLeft, shown
from redflower.provenance import META_KEY
from redflower.seeds import check_seed
from redflower.sightline import TemperingSettings, fit_sightline
from redflower.workers import Work

#: Fewer stars than this leave a pixel empty.
MIN_STARS: Final = 20
#: What a pixel takes of a core, about: so much for each of its stars, and for a hundred more. [ms]
STAR_MS, FURTHER_STARS = 9.0, 100
#: What the file and the picture take of a pixel, about. [byte]
PIXEL_BYTES: Final = 120
_WORK: Final = "map"
_QUICK: Final = TemperingSettings(n_particles=200, n_moves=5, n_final=16)


def make_sky_map(
    posteriors: TableSource,
    *,
    nside: int,
    distance_pc: Sequence[float],
    max_clouds: int = 2,
    seed: int = 0,
    workers: int | None = None,
    kept: KeptPieces | None = None,
    estimate: Callable[[str], None] | None = None,
    progress: ShowProgress = None,
) -> SkyMap:
    """Fit every pixel that has 20 stars or more.

    Parameters
    ----------
    posteriors : from `redflower.infer` with densities, with ``l`` and ``b``.
    nside : a power of 2.
    distance_pc : rising distances. [pc]
    max_clouds : largest number of clouds of a pixel; its profile is averaged over the numbers of clouds.
    seed : of the random numbers; each pixel has its own.
    workers : number of processes that share the pixels; the map does not depend on it. If None, one for every core where there
        are pixels enough to pay for their start, else none beside this one.
    kept : keeps finished pixels, so that a stopped run can go on; see `redflower.api.kept.KeptPieces`. If None, they are lost
        when it is stopped.
    estimate : called with a sentence on the time that it should take, before the first pixel.
    progress : whether to show it, or what to call with the number of pixels done. Defaults to showing it on
        a terminal and in a notebook.

    Returns
    -------
    Mean E(B-V) and its standard deviation [mag] at the distances, in every pixel with enough stars.

    Raises
    ------
    InputError
        If no pixel has enough stars, or an argument is out of range.

    Examples
    --------
    >>> from redflower.api import make_sky_map
    >>> sky = make_sky_map("posteriors.parquet", nside=1, distance_pc=[500.0, 1000.0], max_clouds=1)
    >>> sky.ebv_mag.shape
    (1, 2)
    """
    compute_platform()
    check_seed(seed)
    if nside < 1 or nside & (nside - 1):
        raise InputError(f"a sky map needs nside as a power of 2; got {nside}.")
    distance = checked_distances(distance_pc, "a sky map")
    what = str(posteriors) if isinstance(posteriors, (str, Path)) else "map's input"
    posteriors = open_posteriors(posteriors, what)
    if not {"l", "b"} <= set(posteriors.colnames):
        raise InputError("a sky map needs the columns l and b.")
    density = joint_density(posteriors)
    rows = sightline_rows(posteriors, density)
    l_deg, b_deg = (np.asarray(posteriors[name], dtype=float) for name in ("l", "b"))
    placed = np.isfinite(l_deg) & np.isfinite(b_deg)
    pixel = np.full(len(placed), -1)
    grid = HEALPix(nside=nside, order="nested")
    pixel[placed] = grid.lonlat_to_healpix(l_deg[placed] * u.deg, b_deg[placed] * u.deg)
    rows &= placed
    wanted, counts = np.unique(pixel[rows], return_counts=True)
    wanted, counts = wanted[counts >= MIN_STARS], counts[counts >= MIN_STARS]
    if len(wanted) == 0:
        raise InputError(
            f"no pixel of nside {nside} has {MIN_STARS} stars with a density; take a smaller nside or more stars."
        )
    job = _PixelJob(tuple(distance), ebv_prior_mag(posteriors), max_clouds, seed)
    mean, std = (np.full((len(wanted), len(distance)), np.nan) for _ in range(2))
    work = counts + FURTHER_STARS
    finished = np.zeros(len(wanted), bool)
    if kept is not None:
        stars = [pixel[rows], outlier_probabilities(posteriors, rows), *vars(density.rows(rows)).values()]
        kept.begin(_WORK, {**asdict(job), "stars": checksum(stars)})
        for k, one in enumerate(wanted):
            piece = kept.get(_WORK, int(one), {"mean": mean[k], "std": std[k]})
            if piece is not None:
                mean[k], std[k], finished[k] = piece["mean"], piece["std"], True
    to_do = np.flatnonzero(~finished)
    tasks = (
        (int(k), (int(wanted[k]), density.rows(here), outlier_probabilities(posteriors, here)))
        for k in to_do
        for here in (rows & (pixel == wanted[k]),)
    )
    core_ms = STAR_MS * float(work[to_do].mean()) if len(to_do) else 0.0
    n_workers = max(1, min(worker_count(workers, len(to_do), core_ms), len(to_do)))
    if estimate is not None:
        said = f"{len(to_do):,} pixels" if len(to_do) != 1 else "one pixel"
        took = said_time(len(to_do) * core_ms / 1e3 / n_workers)
        size = said_size(len(wanted) * (PIXEL_BYTES + 16 * len(distance)))
        estimate(f"{said} to fit, with {int(counts[to_do].sum()):,} stars: {took}; {size}")
    with shown(progress, "pixels", len(wanted)) as call:
        n_done, left = int(finished.sum()), TimeLeft(float(work[to_do].sum()))
        if call is not None and n_done:
            call(n_done, len(wanted))
        for k, (mean_mag, std_mag) in shared_out(
            _start_pixels, (job,), tasks, n_workers, _silent, lambda k: f"map: pixel {wanted[k]}"
        ):
            mean[k], std[k] = mean_mag, std_mag
            if kept is not None:
                kept.put(_WORK, int(wanted[k]), {"mean": mean_mag, "std": std_mag})
            n_done += 1
            left_s = left.after(float(work[k]))
            if isinstance(call, Counter):
                call(n_done, len(wanted), left_s=left_s)
            elif call is not None:
                call(n_done, len(wanted))
    verdict = verdict_of(posteriors.meta.get(META_KEY, {}))
    return SkyMap(
        nside=nside,
        pixel=wanted.astype(np.int64),
        distance_pc=distance,
        ebv_mag=mean,
        ebv_std_mag=std,
        n_stars=counts.astype(np.int64),
        verdict=verdict,
    )


@dataclass(frozen=True)
class _PixelJob:
    """What is asked of every pixel; it can be sent to another process."""

    distance_pc: tuple[float, ...]
    ebv_range_mag: tuple[float, float]
    max_clouds: int
    seed: int

    def fit(
        self, stars_of_pixel: tuple[int, JointDensity, np.ndarray | None], tell: Callable[[Any], None]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and standard deviation of E(B-V) out to the distances. [mag]"""
        pixel, density, p_outlier = stars_of_pixel
        fit = fit_sightline(
            density, self.ebv_range_mag, np.random.default_rng([self.seed, pixel]), max_clouds=self.max_clouds,
            settings=_QUICK, monotone=False, p_outlier=p_outlier,
        )  # fmt: skip
        distance = np.array(self.distance_pc)
        band = fit.profile(distance, with_foreground=True)
        near, far = fit.prior.distance_pc
        inside = (distance >= near) & (distance <= far)
        return np.where(inside, band["mean"], np.nan), np.where(inside, band["std"], np.nan)


def _start_pixels(job: _PixelJob) -> Work:
    """Make what a worker does with a pixel: the dust along it."""
    return job.fit


def _silent(*_: Any) -> None:
    pass
