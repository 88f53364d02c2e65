"""Tables of stars: gathered at once, they hold what every cell of the common grid, one by one, adds up to."""

import numpy as np
import pytest

from redflower.field.star_tables import N_NODES, SCATTERS_MAG, level_kernel, tabulate_stars
from redflower.posterior.density import EMPTY
from redflower.sightline.cells import MODULUS_RANGE_MAG, CellGrid, star_cells
from redflower.validate.mock_densities import SightlineStars, mock_densities
from tests.field.test_field_model import LIMITS

SHARES = np.array([0.0, 0.02, 0.1, 0.22, 0.36, 0.5, 0.64, 0.78, 0.9, 0.98, 1.0])


@pytest.fixture(scope="module")
def density():
    """Stars, some with two solutions, one that reaches beyond the last cell, one without a density.

    None is so near that one cell holds all of it: half of it would be a border between two parts, and rounding would choose.
    """
    rng = np.random.default_rng(4)
    distance = np.append(rng.uniform(300.0, 3000.0, 40), 19_000.0)
    made = mock_densities(
        rng.uniform(0.0, 0.3, len(distance)), distance, rng, stars=SightlineStars(ambiguous_share=0.3)
    )
    made.steps_below_peak[5] = EMPTY
    return made


def cell_by_cell(density, p_outlier):
    """The tables from all cells of distance and reddening of every star, summed as they stand."""
    edges = np.linspace(*MODULUS_RANGE_MAG, 271)
    grid = CellGrid(edges, np.linspace(*LIMITS, 56))
    levels = np.arange(LIMITS[0] - 0.03, LIMITS[1] + 0.055, 0.01)
    kernel = level_kernel(levels, np.array(SCATTERS_MAG), grid)
    cells = star_cells(density, grid, p_outlier=p_outlier).astype(float)
    mass = cells @ np.diff(grid.ebv_edges_mag) / (LIMITS[1] - LIMITS[0])
    share = np.cumsum(mass, axis=1) - 0.5 * mass
    node = np.clip(np.searchsorted(SHARES, share, side="right") - 1, 0, N_NODES - 1)
    member = (node[:, None, :] == np.arange(N_NODES)[:, None]).astype(float)
    value = np.einsum("snc,ckl->snkl", member @ cells, kernel)
    middle = 0.5 * (edges[1:] + edges[:-1])
    held = member @ mass[:, :, None]
    with np.errstate(invalid="ignore"):
        modulus = (member @ (mass * middle)[:, :, None] / held)[:, :, 0]
    typical = (mass @ middle)[:, None]
    # No share may be so near a border that rounding decides on which side its cell is.
    assert np.abs(share[:, :, None] - SHARES[1:-1]).min() > 2e-7
    return value, np.where(held[:, :, 0] > 0, modulus, typical)


@pytest.mark.equation("ES10")
@pytest.mark.parametrize("outliers", [False, True])
def test_tables_are_what_the_cells_of_every_star_add_up_to(density, outliers) -> None:
    """`star_cells` rounds to single precision, and so do tables: some roundings of 6e-8 each, of a star's highest value."""
    p_outlier = np.linspace(0.0, 0.3, len(density.ebv_start_mag)) if outliers else None
    wanted, modulus = cell_by_cell(density, p_outlier)
    tables = tabulate_stars(density, LIMITS, p_outlier=p_outlier)
    peak = wanted.max(axis=(1, 2, 3), keepdims=True)
    assert (np.delete(peak, 5) > 0.1).all()
    np.testing.assert_allclose(
        tables.value / np.maximum(peak, 1e-9), wanted / np.maximum(peak, 1e-9), atol=1e-6
    )
    np.testing.assert_allclose(tables.modulus_mag, modulus, atol=1e-5)
    assert (tables.value[5] == 0).all()
