"""The equations of a field of dust, each against an account of its own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.interpolate import CubicHermiteSpline
from scipy.special import ndtr

from redflower.field.geometry import Coordinates, Field, Geometry, Place
from redflower.field.grid import make_field_grid
from redflower.field.pixels import effective_resolution, side_deg
from redflower.field.posterior import (
    dust_of_shells,
    field_data,
    levels,
    log_density_map,
    log_likelihoods,
    log_posterior,
    total,
    towards_stars,
)
from redflower.field.prior import (
    FieldPrior,
    hartley,
    log_prior_of_numbers,
    log_spectrum,
    n_numbers,
    numbers_of,
    share_in_front,
    start_of_means,
)
from redflower.field.star_tables import SCATTERS_MAG, StarTables, tabulate_stars
from redflower.field.whitening import matrices, sampled, whitened, whitening
from redflower.posterior.density import N_EBV_NODES, N_MODULUS_NODES, JointDensity, quantise_log_density
from redflower.sky_patch import SkyPatch

LIMITS = (-0.05, 0.5)
PRIOR = FieldPrior(drift_std=0.01)
GRID = make_field_grid(SkyPatch(120.0, 50.0, 3.0), 60, (6.0, 9.0), cell_deg=0.5, shell_mag=1.0)


def normal_stars(ebv_mag, sigma_mag, modulus_mag, modulus_sigma_mag) -> JointDensity:
    """Stars with independent normal densities in E and distance modulus."""
    e, s, m, t = (
        np.atleast_1d(np.asarray(a, float)) for a in (ebv_mag, sigma_mag, modulus_mag, modulus_sigma_mag)
    )
    low = np.maximum(e - 5 * s, LIMITS[0])
    step = (np.minimum(e + 5 * s, LIMITS[1]) - low) / (N_EBV_NODES - 1)
    near, width = m - 4 * t, 8 * t / (N_MODULUS_NODES - 1)
    ebv = low[:, None] + step[:, None] * np.arange(N_EBV_NODES)
    modulus = near[:, None] + width[:, None] * np.arange(N_MODULUS_NODES)
    log_density = (
        -0.5 * ((ebv - e[:, None]) / s[:, None])[:, None, :] ** 2
        - 0.5 * ((modulus - m[:, None]) / t[:, None])[:, :, None] ** 2
    )
    return JointDensity(
        ebv_start_mag=low,
        ebv_step_mag=step,
        modulus_start_mag=near,
        modulus_step_mag=width,
        steps_below_peak=quantise_log_density(log_density),
    )


@pytest.fixture(scope="module")
def some():
    """Twenty stars on a small grid, and a place of the sampler drawn from the prior."""
    rng = np.random.default_rng(2)
    n = 20
    density = normal_stars(
        rng.uniform(0.0, 0.2, n), np.full(n, 0.04), rng.uniform(6.2, 8.8, n), np.full(n, 0.1)
    )
    tables = tabulate_stars(density, LIMITS)
    l_deg, b_deg = GRID.patch.draw(n, rng)
    data = field_data(tables, l_deg, b_deg, np.arange(n) % 2, GRID)
    # Far enough from the middle that the coordinates differ.
    z = jnp.asarray(rng.standard_normal(n_numbers(GRID.n_shells, 2)) * 0.3, jnp.float32)
    white = jnp.asarray(rng.standard_normal((GRID.n_shells, GRID.n_cells, GRID.n_cells)), jnp.float32)
    return tables, data, z, white


@pytest.mark.equation("ES10")
def test_a_table_holds_the_integral_of_density_and_kernel() -> None:
    """A normal star and a normal kernel: the ratio of two normal densities of sums of variances, cut at the limits.

    Steps of 0.1 nat in the density are 3 % each; two cells of 0.01 mag that share a kernel widen a density of 0.04 mag by 1 %.
    """
    sigma, mean = 0.04, 0.2
    tables = tabulate_stars(normal_stars(mean, sigma, 8.0, 0.1), LIMITS)
    levels = tables.level_start_mag + 0.01 * np.arange(tables.value.shape[3])
    inside = (levels > 0.1) & (levels < 0.3)
    for k, scatter in enumerate(SCATTERS_MAG):
        width = np.hypot(sigma, scatter)
        kernel_inside = ndtr((LIMITS[1] - levels) / scatter) - ndtr((LIMITS[0] - levels) / scatter)
        wanted = (
            0.55 * np.exp(-0.5 * ((levels - mean) / width) ** 2) / width / np.sqrt(2 * np.pi) / kernel_inside
        )
        np.testing.assert_allclose(tables.value[0, :, k].sum(axis=0)[inside], wanted[inside], rtol=0.04)
    # Parts of its distances, in order, where there is a cell for each.
    there = tables.value[0, :, 0, 25] > 0
    assert there.sum() >= 6
    assert (np.diff(tables.modulus_mag[0][there]) > 0).all()
    assert np.average(tables.modulus_mag[0], weights=tables.value[0, :, 0, 25]) == pytest.approx(
        8.0, abs=0.01
    )


@pytest.mark.equation("ES11")
def test_dust_adds_up_along_the_shells_and_within_one_rises_from_none_to_all(some) -> None:
    density = np.log(np.array([[[0.02, 0.1]], [[0.05, 0.0001]]]))
    dust = np.asarray(dust_of_shells(jnp.asarray(density), 0.5))
    np.testing.assert_allclose(dust, [[0.01, 0.025], [0.05, 0.00005]], rtol=1e-5)
    _, data, z, _ = some
    numbers = numbers_of(z, PRIOR, data.behind, GRID.shell_mag)
    sharp = numbers._replace(place=jnp.array([0.6, 1.2, 0.5]), thickness=jnp.array([0.01, 0.01, 0.5]))
    share = np.asarray(share_in_front(jnp.array([0.4, 0.8, 2.0, 2.4]), sharp))
    # The second shell's sheet has moved beyond its far edge, 2.
    np.testing.assert_allclose(share[:, :2], [[0, 0], [1, 0], [1, 0], [1, 1]], atol=1e-4)
    np.testing.assert_allclose(
        share[:, 2], 1 / (1 + np.exp(-(np.array([0.4, 0.8, 2.0, 2.4]) - 2.5) / 0.5)), rtol=1e-5
    )


@pytest.mark.equation("ES12")
def test_drawn_fields_have_the_scatter_and_the_scale_of_their_numbers(some) -> None:
    """Means over 300 draws of 8 x 8 cells and more: 2 % in the variance."""
    _, data, z, _ = some
    numbers = numbers_of(z, PRIOR, data.behind, GRID.shell_mag)
    draw = jax.jit(jax.vmap(lambda w: log_density_map(w, numbers, data.waves.wave_number)))
    white = np.random.default_rng(4).standard_normal((300, 3, GRID.n_cells, GRID.n_cells)).astype(np.float32)
    maps = np.asarray(draw(white))
    np.testing.assert_allclose(maps.std(axis=(0, 2, 3)), numbers.log_scatter, rtol=0.05)
    mean_density = np.exp(maps).mean(axis=(0, 2, 3))
    np.testing.assert_allclose(mean_density, np.exp(numbers.log_mean), rtol=0.1)
    modes = np.asarray(jax.vmap(hartley)(maps - maps.mean(axis=(2, 3), keepdims=True)))
    power = (modes**2).mean(axis=0)[0].ravel()[1:]
    wanted = np.exp(np.asarray(log_spectrum(numbers, data.waves.wave_number)))[0].ravel()[1:]
    assert np.corrcoef(power, wanted)[0, 1] > 0.95
    twice = np.asarray(hartley(hartley(jnp.asarray(maps[0]))))
    np.testing.assert_allclose(twice, maps[0], atol=1e-4)


@pytest.mark.equation("ES12")
def test_the_mean_of_a_shell_has_its_prior_in_whichever_coordinate(some) -> None:
    """The density of the number that stands for a mean, integrated: that of a normal logarithm, to the steps of the sum."""
    _, data, _, _ = some
    y = np.concatenate([np.linspace(-30.0, 29.9, 3000), np.geomspace(30.0, 1e6, 2000)])
    z = np.zeros((len(y), n_numbers(GRID.n_shells, 1)), np.float32)
    z[:, : GRID.n_shells] = start_of_means(PRIOR, GRID.shell_mag)
    z[:, 0] = y
    # The zero point is held at 0, so that it adds nothing.
    z[:, -1] = (
        jax.vmap(lambda one: -numbers_of(one, PRIOR, data.behind, GRID.shell_mag).zero_point_mag[0])(z) / 0.02
    )
    numbers = jax.vmap(lambda one: numbers_of(one, PRIOR, data.behind, GRID.shell_mag))(z)
    density = np.exp(
        np.asarray(jax.vmap(lambda a, b: log_prior_of_numbers(a, b, PRIOR))(z, numbers)).astype(float)
    )
    log_mean = np.asarray(numbers.log_mean)[:, 0].astype(float)
    mass = density * np.gradient(y)
    share = (np.cumsum(mass) - 0.5 * mass) / mass.sum()
    for level, normal in ((0.159, -1.0), (0.5, 0.0), (0.841, 1.0)):
        assert np.interp(level, share, log_mean) == pytest.approx(np.log(0.001) + 2.5 * normal, abs=0.03)


@pytest.mark.equation("ES13")
def test_stars_are_asked_at_their_own_zero_point_and_distances(some) -> None:
    """Against a sum in plain numpy, with scipy's cubics through the tables; in single precision they agree to 1e-3."""
    tables, data, z, white = some
    numbers = numbers_of(z, PRIOR, data.behind, GRID.shell_mag)
    dust = np.asarray(towards_stars(white, numbers, data, GRID.shell_mag))
    found = np.asarray(
        jax.jit(lambda d: log_likelihoods(levels(d, numbers, data), numbers, data))(jnp.asarray(dust))
    )
    squares = np.array(SCATTERS_MAG) ** 2
    place, thickness = np.asarray(numbers.place, float), np.asarray(numbers.thickness, float)
    for s in range(len(found)):
        whole = 0.0
        for w, modulus in enumerate(tables.modulus_mag[s]):
            share = 1.0 / (1.0 + np.exp(-(modulus - 6.0 - np.arange(3) - place) / thickness))
            level = dust[s] @ share
            level += float(numbers.zero_point_mag[s % 2]) + float(numbers.drift) * (modulus - 6.0)
            at = (level - tables.level_start_mag) / 0.01
            value = [CubicHermiteSpline(np.arange(len(t)), t, np.gradient(t))(at) for t in tables.value[s, w]]
            whole += np.interp(float(numbers.scatter_mag) ** 2, squares, value)
        share = float(numbers.outlier_share)
        assert found[s] == pytest.approx(np.log((1 - share) * whole + share), abs=2e-3)


@pytest.mark.equation("ES14")
def test_the_same_field_is_as_likely_in_other_coordinates(some) -> None:
    """Densities differ by the logarithm of the Jacobian alone; in single precision 1e-3 of some hundreds."""
    _, data, z, white = some
    told = jnp.array([[2.0, 1.0, 0.5], [1.0, 3.0, 1.0], [0.5, 1.0, 1.0]])
    numbers = numbers_of(z, PRIOR, data.behind, GRID.shell_mag)
    matrix = whitening(numbers, data.waves, told)
    other = sampled(white, matrix)
    back, factor = whitened(other, matrix)
    np.testing.assert_allclose(back, white, atol=1e-4)
    here = float(log_posterior(z, white, data, 0.0 * told, PRIOR, GRID.shell_mag))
    there = float(log_posterior(z, other, data, told, PRIOR, GRID.shell_mag))
    _, log_volume = np.linalg.slogdet(np.asarray(matrices(matrix), float))
    assert float(total(factor)) == pytest.approx(log_volume.sum(), abs=2e-2)
    assert abs(log_volume.sum()) > 10.0
    assert there - here == pytest.approx(float(total(factor)), abs=3e-2)


@pytest.mark.equation("ES14")
def test_modes_that_stars_know_have_their_posterior_width_in_the_coordinates(some) -> None:
    """Measured directly, modes have a normal posterior: in the coordinates it is of unit width, between knots to 10 %."""
    _, data, z, _ = some
    told = jnp.array([[40.0, 20.0, 10.0], [20.0, 30.0, 10.0], [10.0, 10.0, 20.0]])
    numbers = numbers_of(z, PRIOR, data.behind, GRID.shell_mag)
    matrix = np.asarray(matrices(whitening(numbers, data.waves, told)), float)
    deviation = np.exp(0.5 * np.asarray(log_spectrum(numbers, data.waves.wave_number), float)).reshape(3, -1)
    for mode in (1, 7, len(matrix) // 2, len(matrix) - 1):
        to_log_density = np.diag(deviation[:, mode])
        precision = np.eye(3) + to_log_density @ np.asarray(told, float) @ to_log_density
        width = np.linalg.inv(matrix[mode].T @ precision @ matrix[mode])
        np.testing.assert_allclose(np.linalg.eigvalsh(width), 1.0, atol=0.1)


def test_modes_answer_to_the_numbers_as_the_middle_of_the_posterior_does(some) -> None:
    """Of what is known of the numbers the modes take a part back, and never all; a number moves the modes by its answer."""
    _, data, z, white = some
    geometry = Geometry(PRIOR, GRID.shell_mag, GRID.n_shells, 2)
    # Dust of 0.05 mag a shell, so that its pattern is seen.
    z = z.at[: GRID.n_shells].set(16.0)
    field = Field(0.3 * white, z)
    view = geometry.stars_view(field, data)
    told = geometry.told(field, data, view)
    answer, lost, held = geometry.answer(field, data, view, told)
    first = np.r_[: GRID.n_shells, len(z) - 2 : len(z)]
    lost, held = (np.asarray(a, float)[np.ix_(first, first)] for a in (lost, held))
    gone = np.linalg.eigvals(np.linalg.solve(held + 1e-6 * np.eye(len(first)), lost)).real
    assert gone.max() > 0.01
    assert -1e-3 < gone.min() <= gone.max() < 1.0
    c = Coordinates(told=told, root=jnp.eye(len(z)), back=jnp.eye(len(z)), middle=z, answer=answer)
    place = geometry.place(field, data, c)
    again = geometry.field(place, data, c)
    np.testing.assert_allclose(again.modes, field.modes, atol=1e-3)
    moved = Place(place.white, place.u.at[-1].add(1.0))
    modes, _ = geometry.modes_and_numbers(moved, c)
    before, _ = geometry.modes_and_numbers(place, c)
    np.testing.assert_allclose(modes - before, answer[-1], atol=1e-4)
    assert np.abs(answer[-1]).max() > 1e-3


def test_the_slope_of_the_density_is_that_of_its_differences(some) -> None:
    """In single precision a difference of 0.02 about values of some hundreds is good to a few per cent."""
    _, data, z, white = some
    told = jnp.eye(GRID.n_shells)

    def at(x):
        return log_posterior(x, white, data, told, PRIOR, GRID.shell_mag)

    slope = np.asarray(jax.jit(jax.grad(at))(z))
    some = np.arange(0, len(z), 3)
    step = 0.02 * np.eye(len(z), dtype=np.float32)[some]
    value = jax.jit(jax.vmap(at))
    found = (np.asarray(value(z + step)) - np.asarray(value(z - step))) / 0.04
    np.testing.assert_allclose(found, slope[some], rtol=0.03, atol=0.05)


@pytest.mark.equation("ES15")
def test_the_resolution_is_finer_where_there_are_more_stars_behind() -> None:
    """Pixels of nside 64 with scatter 0.02 mag: 100 stars of 0.04 mag tell the mean of one to 0.004, a single one to 0.04."""
    rng = np.random.default_rng(5)
    pixel = np.arange(64) + 64 * 5
    samples = 0.05 + 0.02 * rng.standard_normal((1, 64, 2)) + 0.001 * rng.standard_normal((10, 64, 2))
    from astropy_healpix import HEALPix

    lon, lat = HEALPix(64, order="nested").healpix_to_lonlat(np.repeat(pixel[:1], 100))
    lone, lone_lat = HEALPix(64, order="nested").healpix_to_lonlat(pixel[-1:])
    l_deg = np.concatenate([lon.deg, lone.deg])
    b_deg = np.concatenate([lat.deg, lone_lat.deg])
    distance = np.full(101, 500.0)
    found = effective_resolution(
        samples, pixel, 64, np.array([300.0, 900.0]), l_deg, b_deg, distance, np.full(101, 0.04)
    )
    assert found[0, 0] == pytest.approx(side_deg(64))
    assert found[-1, 0] > side_deg(64)
    assert (found[:, 1] == side_deg(8)).all()


def test_a_table_of_stars_is_read_where_it_ends_too() -> None:
    """A mean far outside is as good as the last of the table, and not an error."""
    tables = StarTables(np.ones((1, 10, 3, 12), np.float32), np.full((1, 10), 7.0), -0.08)
    data = field_data(tables, np.array([120.0]), np.array([50.0]), np.zeros(1, int), GRID)
    numbers = numbers_of(jnp.zeros(n_numbers(GRID.n_shells, 1)), PRIOR, data.behind, GRID.shell_mag)
    found = jax.jit(log_likelihoods)(jnp.full((1, 10), 9.0), numbers, data)
    assert float(found[0]) == pytest.approx(np.log(10 * (1 - 0.02) + 0.02), rel=1e-4)
