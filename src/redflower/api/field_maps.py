"""Map the dust of a field, every place borrowing from its neighbours."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from redflower.api.field_stars import MIN_STARS, FieldStars, open_field_stars
from redflower.api.map_arguments import checked_distances
from redflower.catalogue.io.sources import TableSource
from redflower.distances import modulus_from_distance
from redflower.errors import InputError
from redflower.field.agreement import agreement_of
from redflower.field.grid import SHELL_MAG, FieldGrid, make_field_grid
from redflower.field.pixels import LADDER, fitting_nside, hole_deg2, pixel_field
from redflower.field.posterior import field_data
from redflower.field.prior import FieldPrior
from redflower.field.result import FieldFit
from redflower.field.sampler import FieldSettings, sample_field
from redflower.field.star_tables import tabulate_stars
from redflower.field.tiles import Tile, joined, make_tiles
from redflower.platforms import compute_platform
from redflower.products.field_map import FieldMap
from redflower.products.sampled_map import NOT_CONVERGED, OK
from redflower.progress import Counter, ShowProgress, shown
from redflower.seeds import check_seed
from redflower.sky_patch import SkyPatch, patch_around

#: Stars must lie in this many cells at least.
MIN_CELLS: Final = 4
#: Shells begin and end where all but these shares of the stars lie.
_NEAR_SHARE, _FAR_SHARE = 0.005, 0.03
#: Tiles reach into their neighbours by so many cells.
_OVERLAP_CELLS: Final = 6.0


def make_field_map(
    posteriors: TableSource,
    *,
    distance_pc: Sequence[float] | None = None,
    nside: int | None = None,
    cell_deg: float | None = None,
    shell_mag: float = SHELL_MAG,
    tile_deg: float | None = None,
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
    tile_deg : largest side of the tiles into which the region is divided; they overlap, and each has its own zero point. If None,
        it is fitted as a whole. [deg]
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
    >>> quick = FieldSettings(n_bursts=1, n_burst=2, n_draws=4, n_chains=1, n_steps=2, n_longer=1)
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
    whole = field_grid(stars, cell_deg, shell_mag)
    if asked is None:
        edges = whole.modulus_edges_mag
        asked = 10.0 ** (1.0 + np.sort(np.concatenate([edges, 0.5 * (edges[1:] + edges[:-1])])) / 5.0)
    nside = nside or fitting_nside(whole.cell_deg)
    tiles: list[Tile | None] = [None] if tile_deg is None else _tiles(whole, tile_deg)
    chosen = [
        np.ones(len(stars.l_deg), bool) if t is None else t.holds(stars.l_deg, stars.b_deg) for t in tiles
    ]
    used = [k for k, rows in enumerate(chosen) if rows.sum() >= MIN_STARS]
    grids = _grids(tiles, whole)
    n_rows = max(int(chosen[k].sum()) for k in used)
    parts, fits, before = [], [], 0
    with shown(progress, "draws", settings.n_all * len(used)) as call:
        for n, k in enumerate(used):
            some = stars.rows(chosen[k])
            after = None if call is None else _counted(call, before, settings.n_all * (len(used) - n - 1))
            fit = fit_field(some, grids[k], prior, settings, seed + 1000 * k, progress=after, n_rows=n_rows)
            before += settings.n_all + (fit.draws.times - 1) * settings.n_chains * settings.n_draws
            fits.append(fit)
            parts.append(
                pixel_field(fit, nside, asked, some.l_deg, some.b_deg, some.distance_pc, some.ebv_error_mag)
            )
    pixels, groups, shared = parts[0], stars.groups, {}
    if tile_deg is not None:
        pixels, seams = joined(parts, [t for k in used if (t := tiles[k])], nside, stars.l_deg, stars.b_deg)
        groups = tuple(f"{group}_{k}" for k in used for group in stars.groups)
        shared = {
            "tiles": (float(len(used)), 0.0),
            "tiles_empty": (float(len(tiles) - len(used)), 0.0),
            "seam_mag": (seams.difference_mag, 0.0),
            "seam_in_errors": (seams.in_errors, 0.0),
        }
    shared |= {
        "stars_left_out": (float(stars.n_left_out), 0.0),
        "hole_deg2": (hole_deg2(pixels.pixel, nside, whole.patch), 0.0),
    }
    zero = np.concatenate([fit.numbers().zero_point_mag for fit in fits], axis=1)
    for name in ("slope", "drift", "scatter_mag", "outlier_share"):
        values = np.concatenate([getattr(fit.numbers(), name) for fit in fits])
        shared[name] = (float(values.mean()), float(values.std()))
    agreement = agreement_of(pixels.samples_mag, zero, fits[0].draws.chain)
    times = max(fit.draws.times for fit in fits)
    shared |= {"r_hat": (agreement.r_hat, 0.0), "ess": (agreement.ess, 0.0), "times": (float(times), 0.0)}
    return FieldMap(
        nside=nside,
        distance_pc=asked,
        zero_point_mag=zero,
        groups=groups,
        numbers=shared,
        r_hat=agreement.r_hat_of_pixels,
        status=OK if agreement.converged else NOT_CONVERGED,
        verdict=verdict,
        **vars(pixels),
    )


def _counted(call: Callable[..., None], before: int, later: int) -> Callable[[int, int], None]:
    """Return what tells of the draws of one tile: those of others come before and later."""

    def tell(done: int, total: int) -> None:
        # A counter may be told that the work has grown; a caller's own is told the number alone.
        call(before + done, before + total + later) if isinstance(call, Counter) else call(before + done)

    return tell


def _tiles(whole: FieldGrid, tile_deg: float) -> list[Tile | None]:
    """Return the tiles of a field; refuse those that are little more than what they share."""
    overlap = _OVERLAP_CELLS * whole.cell_deg
    if not tile_deg >= 2.0 * overlap:
        raise InputError(
            f"a field map needs tile_deg of at least {2 * overlap:.2g}, twice what tiles share with their neighbours "
            f"({_OVERLAP_CELLS:.0f} cells of {whole.cell_deg:.2g} deg); got {tile_deg}."
        )
    return list(make_tiles(whole.patch, tile_deg, overlap))


def _grids(tiles: list[Tile | None], whole: FieldGrid) -> list[FieldGrid]:
    """Return the grid of every tile: cells and shells as the whole's, all of one size."""
    patches, size = [], 0.0
    for tile in tiles:
        if tile is None:
            return [whole]
        reach = tile.side_deg / 2.0 + tile.overlap_deg
        x, y = (
            tile.x_deg + reach * np.array([0, -1, -1, 1, 1]),
            tile.y_deg + reach * np.array([0, -1, 1, -1, 1]),
        )
        l_deg, b_deg = whole.patch.to_sky(x, y)
        patch = SkyPatch(float(l_deg[0]), float(b_deg[0]), 1.0)
        # About a pole a tile may be turned against the whole by any angle.
        size = max(size, 2.0 * float(np.abs(patch.to_plane(l_deg, b_deg)).max()))
        patches.append(patch)
    edges = whole.modulus_edges_mag
    return [
        make_field_grid(
            replace(patch, size_deg=size),
            1,
            (float(edges[0]), float(edges[-1])),
            cell_deg=whole.cell_deg,
            shell_mag=whole.shell_mag,
        )
        for patch in patches
    ]


def fit_field(
    stars: FieldStars,
    grid: FieldGrid,
    prior: FieldPrior,
    settings: FieldSettings,
    seed: int,
    *,
    progress: Callable[[int, int], None] | None = None,
    n_rows: int | None = None,
) -> FieldFit:
    """Fit the dust to stars on a grid.

    Parameters
    ----------
    stars : that are fitted.
    grid : cells and shells.
    prior, settings, seed : as in `make_field_map`.
    progress : called with the number of draws done, and of those that are planned so far.
    n_rows : rows of the compiled program; tiles with fewer stars share it. If None, as many as stars.
    """
    tables = tabulate_stars(stars.density, stars.ebv_range_mag, p_outlier=stars.p_outlier)
    data = field_data(tables, stars.l_deg, stars.b_deg, stars.group, grid, n_rows=n_rows)
    draws = sample_field(
        data, prior, grid.n_shells, grid.shell_mag, len(stars.groups), settings, seed, progress
    )
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
            f"{grid.cell_deg:.3g} deg. For one line of sight take `redflower sightline`, or choose smaller cells "
            "(--cell, cell_deg)."
        )
    return grid
