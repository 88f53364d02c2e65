"""Map the dust of a field, every place borrowing from its neighbours."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from astropy.table import Table
from jaxtyping import Float, Int

from redflower.api.map_arguments import checked_distances
from redflower.api.posteriors import ebv_prior_mag, open_posteriors
from redflower.api.sightlines import outlier_probabilities, sightline_rows
from redflower.calibrate.verdict import Verdict, verdict_of
from redflower.catalogue.io.sources import TableSource
from redflower.distances import modulus_from_distance
from redflower.errors import InputError
from redflower.field.agreement import agreement_of
from redflower.field.grid import SHELL_MAG, FieldGrid, make_field_grid
from redflower.field.pixels import LADDER, fitting_nside, pixel_field
from redflower.field.posterior import field_data
from redflower.field.prior import FieldPrior
from redflower.field.result import FieldFit
from redflower.field.sampler import FieldSettings, sample_field
from redflower.field.star_tables import tabulate_stars
from redflower.platforms import compute_platform
from redflower.posterior.density import JointDensity, joint_density
from redflower.products.field_map import NOT_CONVERGED, OK, FieldMap
from redflower.progress import ShowProgress, shown
from redflower.provenance import META_KEY
from redflower.seeds import check_seed
from redflower.sky_patch import patch_around

#: Fewer stars than this are no field.
MIN_STARS: Final = 20
#: Stars must lie in this many cells at least.
MIN_CELLS: Final = 4
#: Shells begin and end where all but these shares of the stars lie.
_NEAR_SHARE, _FAR_SHARE = 0.005, 0.03
_ALL: Final = "ALL"


@dataclass(frozen=True)
class FieldStars:
    """Stars of a field, ready to be fitted.

    Attributes
    ----------
    density : joint densities.
    ebv_range_mag : limits of their reddening prior. [mag]
    l_deg, b_deg : positions. [deg]
    distance_pc, ebv_error_mag : posterior mean distance, and standard deviation of E(B-V). [pc, mag]
    group : number of the group whose zero point each has.
    groups : names of the groups.
    p_outlier : probability of each to be no star of the population, or None.
    """

    density: JointDensity
    ebv_range_mag: tuple[float, float]
    l_deg: Float[np.ndarray, " star"]
    b_deg: Float[np.ndarray, " star"]
    distance_pc: Float[np.ndarray, " star"]
    ebv_error_mag: Float[np.ndarray, " star"]
    group: Int[np.ndarray, " star"]
    groups: tuple[str, ...]
    p_outlier: Float[np.ndarray, " star"] | None


def make_field_map(
    posteriors: TableSource,
    *,
    distance_pc: Sequence[float] | None = None,
    nside: int | None = None,
    cell_deg: float | None = None,
    shell_mag: float = SHELL_MAG,
    zero_point_of: str | None = None,
    prior: FieldPrior | None = None,
    settings: FieldSettings | None = None,
    seed: int = 0,
    progress: ShowProgress = None,
) -> FieldMap:
    """Infer the dust of a field from all its stars at once, with a correlated prior whose correlation is learnt.

    Parameters
    ----------
    posteriors : of the stars of one region of up to 60 degrees, from `redflower.infer` with densities, or the path of the table.
    distance_pc : rising distances out to which E(B-V) is given. If None, edges and middles of the shells. [pc]
    nside : of the map's pixels, a power of 2. If None, from 512 downwards as the number of stars allows.
    cell_deg : side of a cell of the inference. If None, so that a cell has 1.5 stars in the mean. [deg]
    shell_mag : width of the shells of the inference in distance modulus. [mag]
    zero_point_of : name of a column: stars with the same value in it share a zero point of their reddenings. If None, all do.
    prior : of the dust; see `redflower.field.prior.FieldPrior`.
    settings : effort of the sampler.
    seed : of the random numbers.
    progress : whether to show it, or what to call with the number of draws done. Defaults to showing it on a terminal and in a
        notebook.

    Returns
    -------
    Samples of E(B-V) [mag] of the dust alone in every pixel, out to the distances; zero points apart.

    Raises
    ------
    InputError
        If the stars are too few, lie all in one place or too far apart, lack densities or positions, or an argument is out of
        range.

    Examples
    --------
    >>> import redflower
    >>> from redflower.field.sampler import FieldSettings
    >>> quick = FieldSettings(n_bursts=1, n_burst=2, n_draws=4, n_chains=1, n_steps=2)
    >>> field = redflower.field_map("posteriors.parquet", settings=quick, cell_deg=0.1)
    >>> field.query(field.coordinates(), mode="percentile", pct=[16, 84]).shape == (*field.ebv_mag.shape, 2)
    True
    """
    compute_platform()
    check_seed(seed)
    if nside is not None and (nside < 1 or nside & (nside - 1) or nside > LADDER[0]):
        raise InputError(f"a field map needs nside as a power of 2 of up to {LADDER[0]}; got {nside}.")
    asked = None if distance_pc is None else checked_distances(distance_pc, "a field map")
    stars, verdict = open_field_stars(posteriors, zero_point_of)
    settings, prior = settings or FieldSettings(), prior or FieldPrior()
    with shown(progress, "draws", settings.n_all) as call:
        fit = fit_field(
            stars,
            cell_deg=cell_deg,
            shell_mag=shell_mag,
            prior=prior,
            settings=settings,
            seed=seed,
            progress=call,
        )
    if asked is None:
        edges = fit.grid.modulus_edges_mag
        asked = 10.0 ** (1.0 + np.sort(np.concatenate([edges, 0.5 * (edges[1:] + edges[:-1])])) / 5.0)
    nside = nside or fitting_nside(fit.grid.cell_deg)
    pixels = pixel_field(fit, nside, asked, stars.l_deg, stars.b_deg, stars.distance_pc, stars.ebv_error_mag)
    numbers = fit.numbers()
    shared = {
        name: (float(getattr(numbers, name).mean()), float(getattr(numbers, name).std()))
        for name in ("slope", "alike", "drift", "scatter_mag", "outlier_share")
    }
    agreement = agreement_of(pixels.samples_mag, numbers.zero_point_mag, fit.draws.chain)
    shared |= {"r_hat": (agreement.r_hat, 0.0), "ess": (agreement.ess, 0.0)}
    return FieldMap(
        nside=nside,
        distance_pc=asked,
        zero_point_mag=numbers.zero_point_mag,
        groups=stars.groups,
        numbers=shared,
        r_hat=agreement.r_hat_of_pixels,
        status=OK if agreement.converged else NOT_CONVERGED,
        verdict=verdict,
        **vars(pixels),
    )


def fit_field(
    stars: FieldStars,
    *,
    cell_deg: float | None,
    shell_mag: float,
    prior: FieldPrior,
    settings: FieldSettings,
    seed: int,
    progress: ShowProgress = None,
) -> FieldFit:
    """Fit the dust to stars; parameters as in `make_field_map`."""
    grid = field_grid(stars, cell_deg, shell_mag)
    tables = tabulate_stars(stars.density, stars.ebv_range_mag, p_outlier=stars.p_outlier)
    data = field_data(tables, stars.l_deg, stars.b_deg, stars.group, grid)
    draws = sample_field(
        data, prior, grid.n_shells, grid.shell_mag, len(stars.groups), settings, seed,
        progress if callable(progress) else None,
    )  # fmt: skip
    return FieldFit(grid, prior, draws, len(stars.l_deg))


def field_grid(stars: FieldStars, cell_deg: float | None, shell_mag: float) -> FieldGrid:
    """Make the grid for the stars; refuse stars that lie in too few cells."""
    if cell_deg is not None and not cell_deg > 0:
        raise InputError(f"a field map needs a positive cell_deg; got {cell_deg}.")
    if not 0.05 <= shell_mag <= 2.0:
        raise InputError(f"a field map needs 0.05 <= shell_mag <= 2; got {shell_mag}.")
    near, far = modulus_from_distance(np.quantile(stars.distance_pc, [_NEAR_SHARE, 1.0 - _FAR_SHARE]))
    patch = patch_around(stars.l_deg, stars.b_deg)
    grid = make_field_grid(
        patch,
        len(stars.l_deg),
        (float(near), float(max(far, near + 2 * shell_mag))),
        cell_deg=cell_deg,
        shell_mag=shell_mag,
    )
    cells = np.unique(grid.corners(stars.l_deg, stars.b_deg)[0][:, 0])
    if len(cells) < MIN_CELLS:
        raise InputError(
            f"a field map needs stars in several places; these {len(stars.l_deg)} lie in {len(cells)} cell(s) of "
            f"{grid.cell_deg:.3g} deg. For one line of sight take `redflower sightline`, or choose smaller cells (cell_deg)."
        )
    return grid


def open_field_stars(
    posteriors: TableSource, zero_point_of: str | None = None
) -> tuple[FieldStars, Verdict | None]:
    """Open posteriors and choose the stars that enter a field; return them and the verdict on them.

    Raises
    ------
    InputError
        If too few are left, or columns are missing.
    """
    what = str(posteriors) if isinstance(posteriors, (str, Path)) else "the field's input"
    table = open_posteriors(posteriors, what)
    if not {"l", "b"} <= set(table.colnames):
        raise InputError(
            f"{what}: a field map needs the columns l and b. Infer the stars again, and keep them."
        )
    density = joint_density(table)
    l_deg, b_deg, distance, error = (
        np.asarray(table[name], dtype=float) for name in ("l", "b", "distance_mean", "ebv_std")
    )
    rows = sightline_rows(table, density) & np.isfinite([l_deg, b_deg, distance, error]).all(axis=0)
    if rows.sum() < MIN_STARS:
        raise InputError(
            f"{what}: a field map needs {MIN_STARS} stars with a density and a position; {rows.sum()} of {len(table)} have both "
            "and a status of ok or edge_of_prior."
        )
    group, groups = _groups(table, zero_point_of, rows, what)
    stars = FieldStars(
        density=density.rows(rows),
        ebv_range_mag=ebv_prior_mag(table),
        l_deg=l_deg[rows],
        b_deg=b_deg[rows],
        distance_pc=distance[rows],
        ebv_error_mag=np.maximum(error[rows], 1e-3),
        group=group,
        groups=groups,
        p_outlier=outlier_probabilities(table, rows),
    )
    return stars, verdict_of(table.meta.get(META_KEY, {}))


def _groups(
    table: Table, name: str | None, rows: np.ndarray, what: str
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return the number of every star's group, and the groups' names."""
    if name is None:
        return np.zeros(int(rows.sum()), np.int64), (_ALL,)
    if name not in table.colnames:
        raise InputError(
            f"{what} has no column {name!r} to tell the samples apart whose zero points may differ. Keep it through inference "
            f"with `redflower infer --keep {name}`."
        )
    words = np.asarray(table[name]).astype(str)[rows]
    groups, number = np.unique(words, return_inverse=True)
    few = [f"'{g}' ({n})" for g, n in zip(groups, np.bincount(number), strict=True) if n < MIN_STARS]
    if few:
        raise InputError(
            f"{what}: every sample with a zero point of its own needs {MIN_STARS} stars; column {name!r} has "
            f"{', '.join(few[:5])}."
        )
    return number, tuple(str(g).upper() for g in groups)
