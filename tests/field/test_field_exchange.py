"""Exchanges of neighbouring shells: the same map, by a rule that leaves the posterior as it is."""

import jax.numpy as jnp
import numpy as np
import pytest

from redflower.field.exchange import coordinates_in_order, exchanges, field_in_order
from redflower.field.geometry import Coordinates, Field, Geometry
from redflower.field.posterior import field_data, levels, log_posterior, towards_stars
from redflower.field.prior import n_numbers, numbers_of, shell_rows
from redflower.field.star_tables import tabulate_stars
from tests.field.test_field_model import GRID, LIMITS, PRIOR, normal_stars

ORDER = np.array([1, 2, 0])


@pytest.fixture(scope="module")
def some():
    """Twenty stars of two groups, and a field with dust in its first shells."""
    rng = np.random.default_rng(2)
    density = normal_stars(
        rng.uniform(0.0, 0.2, 20), np.full(20, 0.04), rng.uniform(6.2, 8.8, 20), np.full(20, 0.1)
    )
    l_deg, b_deg = GRID.patch.draw(20, rng)
    data = field_data(tabulate_stars(density, LIMITS), l_deg, b_deg, np.arange(20) % 2, GRID)
    z = rng.standard_normal(n_numbers(GRID.n_shells, 2)) * 0.5
    z[: GRID.n_shells] = [16.0, 3.0, -2.0]
    modes = rng.standard_normal((GRID.n_shells, GRID.n_cells, GRID.n_cells))
    return data, Field(jnp.asarray(modes, jnp.float32), jnp.asarray(z, jnp.float32))


@pytest.mark.equation("ES12")
def test_a_field_in_another_order_is_the_same_map_and_as_likely_but_for_its_places(some) -> None:
    """In single precision levels agree to 1e-5 mag, log densities of some hundreds to 1e-2."""
    data, field = some
    other = field_in_order(field, ORDER, PRIOR, np.asarray(data.behind))
    seen, density = [], []
    for one in (field, other):
        numbers = numbers_of(one.z, PRIOR, data.behind, GRID.shell_mag)
        seen.append(
            np.asarray(levels(towards_stars(one.modes, numbers, data, GRID.shell_mag), numbers, data))
        )
        told = jnp.zeros((GRID.n_shells, GRID.n_shells))
        density.append(float(log_posterior(one.z, one.modes, data, told, PRIOR, GRID.shell_mag)))
    assert seen[0].std() > 0.02
    np.testing.assert_allclose(seen[1], seen[0], atol=1e-5)
    places = shell_rows(GRID.n_shells)[3]
    by_place = 0.5 * (np.asarray(field.z)[places] ** 2 - np.asarray(other.z)[places] ** 2).sum()
    assert abs(by_place) > 1.0
    assert density[1] - density[0] == pytest.approx(by_place, abs=2e-2)
    back = field_in_order(other, np.argsort(ORDER), PRIOR, np.asarray(data.behind))
    np.testing.assert_allclose(back.z, field.z, atol=1e-4)


def test_exchanges_leave_the_prior_of_places_as_it_is() -> None:
    """12,000 draws of the prior, exchanged: still standard normal, its mean to 0.01 and its width to 0.7 %."""
    rng = np.random.default_rng(3)
    z = np.zeros(n_numbers(4, 1))
    row, moved, found = shell_rows(4)[3], 0, []
    for _ in range(12_000):
        z[row] = rng.standard_normal(4)
        order = exchanges(z, PRIOR, 4, rng)
        moved += int((order != np.arange(4)).any())
        found.append(z[row][order] + (order - np.arange(4)) / PRIOR.place[1])
    assert moved > 1000
    np.testing.assert_allclose(np.mean(found, axis=0), 0.0, atol=0.037)
    np.testing.assert_allclose(np.std(found, axis=0), 1.0, atol=0.026)


@pytest.mark.equation("ES14")
def test_coordinates_go_with_an_exchange(some) -> None:
    """Told of the stars by shells, they suit the same dust under its other name: its place in them is the same, renamed."""
    data, field = some
    geometry = Geometry(PRIOR, GRID.shell_mag, GRID.n_shells, 2)
    rng = np.random.default_rng(4)
    told = rng.standard_normal((GRID.n_shells, GRID.n_shells))
    answer = rng.standard_normal((GRID.n_shells + 2, *field.modes.shape))
    root = np.linalg.cholesky(np.cov(rng.standard_normal((len(field.z), 200))))
    c = Coordinates(
        told=jnp.asarray(told @ told.T, jnp.float32),
        root=jnp.asarray(root, jnp.float32),
        back=jnp.asarray(np.linalg.inv(root), jnp.float32),
        middle=jnp.asarray(field.z, jnp.float32),
        answer=jnp.asarray(answer, jnp.float32),
    )
    other = field_in_order(field, ORDER, PRIOR, np.asarray(data.behind))
    renamed = coordinates_in_order(c, ORDER, other.z)
    np.testing.assert_array_equal(renamed.told, np.asarray(c.told)[np.ix_(ORDER, ORDER)])
    np.testing.assert_array_equal(renamed.answer[3:], np.asarray(c.answer)[3:, ORDER])
    np.testing.assert_array_equal(renamed.answer[0, 0], np.asarray(c.answer)[1, 1])
    # With no answer but of numbers that have not moved, whitening alone is left: a shell's own mode, at its own width.
    alone = c._replace(told=jnp.diag(jnp.arange(1.0, 4.0)))
    before, after = (
        geometry.place(f, data, k)
        for f, k in ((field, alone), (other, coordinates_in_order(alone, ORDER, other.z)))
    )
    np.testing.assert_allclose(after.white, np.asarray(before.white)[ORDER], atol=1e-4)
    np.testing.assert_allclose(renamed.root @ after.u, other.z, atol=1e-4)
