"""Where the grids of the fast engine end."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from redflower.flow import load_model
from redflower.posterior.fast.grid import (
    Box,
    FastTarget,
    Grid,
    bounding_box,
    cut_drop,
    defended,
    next_box,
    whole_box,
)
from redflower.posterior.fast.grid_summaries import node_masses
from redflower.posterior.fast.steps import make_fast_target
from redflower.posterior.log_density import make_target
from redflower.star import Star
from tests.helpers.model_stars import draw_model_stars


def normal_grid(
    box: Box, n: tuple[int, int], centre: tuple[float, float], sigma: tuple[float, float]
) -> Grid:
    """A normal posterior in (E, distance modulus) on a grid of a box."""
    mu = jnp.linspace(box.modulus_low_mag, box.modulus_high_mag, n[0])
    e = jnp.linspace(box.ebv_low_mag, box.ebv_high_mag, n[1])
    chi2 = ((e - centre[0]) / sigma[0])[None, :] ** 2 + ((mu - centre[1]) / sigma[1])[:, None] ** 2
    return Grid(
        modulus_mag=mu,
        ebv_mag=e,
        log_density=-0.5 * chi2,
        g_extinction_mag=jnp.zeros(n[1]),
        bp_rp_mag=jnp.zeros(n[1]),
    )


def box(modulus: tuple[float, float], ebv: tuple[float, float]) -> Box:
    single = jnp.float32
    return Box(
        modulus_low_mag=jnp.asarray(modulus[0], single),
        modulus_high_mag=jnp.asarray(modulus[1], single),
        ebv_low_mag=jnp.asarray(ebv[0], single),
        ebv_high_mag=jnp.asarray(ebv[1], single),
    )


def test_a_narrow_peak_between_nodes_gets_a_box_of_its_own_size() -> None:
    """Nodes are four deviations apart, the peak in the middle between them: the box reaches 11 nat and a quarter cell or two."""
    spacing = 0.55 / 7
    centre, sigma = (-0.05 + 3.5 * spacing, 10.0), (spacing / 4, 0.5)
    found = bounding_box(normal_grid(box((6.0, 14.0), (-0.05, 0.5)), (9, 8), centre, sigma))
    reach = np.sqrt(2 * 11.0)
    low, high = ((float(end) - centre[0]) / sigma[0] for end in (found.ebv_low_mag, found.ebv_high_mag))
    # Cells of the interpolation are one deviation wide: one beyond what is kept, and what is kept ends within one.
    assert -reach - 2 < low < -reach + 1
    assert reach - 1 < high < reach + 2


@pytest.fixture(scope="module")
def target_and_star() -> tuple[FastTarget, Star]:
    model = load_model("mock-sky")
    stars = draw_model_stars(model, 2, 1, n_observed=11)[0]
    fast = make_fast_target(model, make_target(model, ebv_min_mag=-0.05, ebv_max_mag=0.5))
    return fast, jax.tree.map(lambda a: jnp.asarray(a[0]), stars)


def test_a_side_that_cuts_the_density_off_is_seen_and_moves_out(target_and_star) -> None:
    fast, star = target_and_star
    whole = whole_box(fast, star)
    middle = float(0.5 * (whole.modulus_low_mag + whole.modulus_high_mag))
    sigma = (0.02, float(whole.modulus_high_mag - whole.modulus_low_mag) / 40)
    modulus = (middle - 6 * sigma[1], middle + 6 * sigma[1])
    # The box ends two deviations above the peak in E.
    cut = normal_grid(box(modulus, (0.1, 0.24)), (12, 14), (0.2, middle), sigma)
    assert float(cut_drop(fast, star, cut)) == pytest.approx(2.0, abs=0.3)
    after = next_box(fast, star, cut)
    assert float(after.ebv_high_mag) > 0.2 + 4 * sigma[0]
    # What is whole is not moved, and nothing goes beyond the prior.
    assert 0.2 - 7 * sigma[0] < float(after.ebv_low_mag) < 0.2 - 4 * sigma[0]
    assert float(after.modulus_low_mag) >= float(whole.modulus_low_mag)
    # An end of the prior cuts nothing off.
    at_end = normal_grid(box(modulus, (-0.05, 0.1)), (12, 14), (-0.04, middle), sigma)
    assert float(cut_drop(fast, star, at_end)) > 6.0


def test_the_defence_takes_a_few_draws_in_a_hundred() -> None:
    """A normal posterior in a box of 4.7 deviations: 88 / (2 pi) * exp(-7) = 1.3 % of its mass is uniform."""
    plain = normal_grid(box((-4.7, 4.7), (-4.7, 4.7)), (60, 60), (0.0, 0.0), (1.0, 1.0))
    mass, log_total = node_masses(plain)
    more = node_masses(defended(plain))[1]
    assert float(jnp.exp(more - log_total) - 1.0) == pytest.approx(88.4 / (2 * np.pi) * np.exp(-7.0), rel=0.1)
    assert float(mass.sum()) == pytest.approx(1.0, abs=1e-5)
