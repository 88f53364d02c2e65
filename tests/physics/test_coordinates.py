"""Distance modulus and Galactic coordinates, against astropy and at the corners of their domain."""

import itertools

import astropy.units as u
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from astropy.coordinates import CartesianDifferential, Galactocentric, SkyCoord

from redflower.constants import R_SUN_PC, Z_SUN_PC
from redflower.physics import (
    DISTANCE_FLOOR_PC,
    distance_modulus,
    distance_pc_of_modulus,
    flow_condition,
    galactocentric_radius_pc,
    height_pc,
)


def random_stars(n: int = 2000) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distances (log-uniform, 1 pc to 100 kpc), longitudes and latitudes over the whole sphere."""
    rng = np.random.default_rng(0)
    return 10.0 ** rng.uniform(0, 5, n), rng.uniform(0, 360, n), np.degrees(np.arcsin(rng.uniform(-1, 1, n)))


def astropy_galactocentric(
    distance_pc: np.ndarray, l_deg: np.ndarray, b_deg: np.ndarray, z_sun_pc: float
) -> tuple[np.ndarray, np.ndarray]:
    """Cylindrical radius and signed height of astropy, with the Galactic centre at l = b = 0."""
    frame = Galactocentric(
        galcen_coord=SkyCoord(l=0 * u.deg, b=0 * u.deg, frame="galactic").icrs,
        galcen_distance=R_SUN_PC * u.pc,
        z_sun=z_sun_pc * u.pc,
        galcen_v_sun=CartesianDifferential([0, 0, 0] * u.km / u.s),
    )
    stars = SkyCoord(l=l_deg * u.deg, b=b_deg * u.deg, distance=distance_pc * u.pc, frame="galactic")
    place = stars.transform_to(frame)
    return np.hypot(place.x.to_value(u.pc), place.y.to_value(u.pc)), place.z.to_value(u.pc)


@pytest.mark.equation("E1")
@pytest.mark.equation("E2")
def test_radius_and_height_equal_astropy() -> None:
    distance_pc, l_deg, b_deg = random_stars()
    radius_pc, z_pc = astropy_galactocentric(distance_pc, l_deg, b_deg, z_sun_pc=0.0)
    with jax.enable_x64(True):
        ours_pc = np.asarray(jax.vmap(galactocentric_radius_pc)(distance_pc, l_deg, b_deg))
        height = np.asarray(jax.vmap(height_pc)(distance_pc, b_deg))
    # astropy's poles of the two frames agree to 1e-6 rad or so, which moves a star by that times its distance.
    np.testing.assert_array_less(np.abs(ours_pc - radius_pc), 5e-6 * (distance_pc + R_SUN_PC))
    np.testing.assert_array_less(np.abs(height - Z_SUN_PC - np.abs(z_pc)), 5e-6 * (distance_pc + R_SUN_PC))


@pytest.mark.equation("E1")
@pytest.mark.equation("D1")
def test_height_is_the_true_one_in_the_north_and_twice_z_sun_too_high_in_the_south() -> None:
    distance_pc, l_deg, b_deg = random_stars()
    # Within 1 kpc the Sun's own tilt, d Z_sun / R_sun, moves astropy's height by less than 3.2 pc.
    near = (distance_pc < 1000) & (distance_pc * np.abs(np.sin(np.radians(b_deg))) > 2 * Z_SUN_PC)
    _, z_pc = astropy_galactocentric(distance_pc, l_deg, b_deg, z_sun_pc=Z_SUN_PC)
    excess_pc = np.asarray(jax.vmap(height_pc)(distance_pc, b_deg)) - np.abs(z_pc)
    assert np.abs(excess_pc[near & (b_deg > 0)]).max() < 3.3
    assert np.abs(excess_pc[near & (b_deg < 0)] - 2 * Z_SUN_PC).max() < 3.3
    assert height_pc(300.0, 40.0) == height_pc(300.0, -40.0)


@pytest.mark.equation("E2")
def test_radius_in_float32_is_good_to_a_hundredth_of_a_parsec_near_the_axis() -> None:
    # 8000 pc has a spacing of 5e-4 pc in float32; the printed cosine rule would be off by 3 pc here.
    offset_pc = np.linspace(-30.0, 30.0, 61)
    distance_pc = (R_SUN_PC + offset_pc).astype(np.float32)
    for l_deg in (0.0, 0.01, 0.1):
        exact_pc = np.sqrt(
            R_SUN_PC**2
            + distance_pc.astype(float) ** 2
            - 2 * R_SUN_PC * distance_pc.astype(float) * np.cos(np.radians(l_deg))
        )
        ours_pc = jax.vmap(lambda d, l_deg=l_deg: galactocentric_radius_pc(d, l_deg, 0.0))(distance_pc)
        np.testing.assert_allclose(ours_pc, exact_pc, atol=0.01)


@pytest.mark.equation("EP1")
def test_distance_modulus_and_back() -> None:
    assert distance_modulus(10.0) == 0.0
    np.testing.assert_allclose(distance_modulus(1000.0), 10.0, rtol=1e-6)
    distance_pc = 10.0 ** np.linspace(-2, 6, 200)
    back_pc = jax.vmap(lambda d: distance_pc_of_modulus(distance_modulus(d)))(distance_pc)
    # ln(10)/5 times the float32 spacing at a modulus of 25 mag, a few operations over.
    np.testing.assert_allclose(back_pc, distance_pc, rtol=5e-6)


@pytest.mark.equation("E1")
@pytest.mark.equation("E2")
@pytest.mark.equation("D4")
@pytest.mark.equation("D5")
def test_values_and_gradients_are_finite_on_the_closed_domain() -> None:
    on_the_axis_pc = R_SUN_PC / np.cos(np.radians(20.0))
    distances_pc = (0.0, DISTANCE_FLOOR_PC, 1.0, R_SUN_PC, on_the_axis_pc, 1e5)
    corners = itertools.product(distances_pc, (0.0, 180.0, 360.0), (-90.0, -20.0, 0.0, 20.0, 90.0))
    d, l_deg, b_deg = jnp.array(list(corners)).T
    every = (0, 1, 2)
    for function in (galactocentric_radius_pc, flow_condition):
        assert jnp.isfinite(jax.jit(jax.vmap(function))(d, l_deg, b_deg)).all()
        for gradient in jax.jit(jax.vmap(jax.jacobian(function, every)))(d, l_deg, b_deg):
            assert jnp.isfinite(gradient).all()
    for gradient in jax.jit(jax.vmap(jax.grad(height_pc, (0, 1))))(d, b_deg):
        assert jnp.isfinite(gradient).all()
    assert jnp.isfinite(jax.vmap(jax.value_and_grad(distance_modulus))(d)[0]).all()
    assert jnp.isfinite(jax.vmap(jax.grad(distance_modulus))(d)).all()


@pytest.mark.equation("D4")
def test_condition_is_the_logarithms_wherever_stars_are() -> None:
    distance_pc, l_deg, b_deg = random_stars()
    condition = jax.vmap(flow_condition)(distance_pc, l_deg, b_deg)
    radius_pc = np.asarray(jax.vmap(galactocentric_radius_pc)(distance_pc, l_deg, b_deg))
    far = radius_pc > 300
    # Softening by 1 pc adds (1/R)^2 / (2 ln 10), 2.4e-6 at 300 pc; float32 adds a few 1e-7 of 4.
    np.testing.assert_allclose(condition[far, 0], np.log10(radius_pc[far]), atol=5e-6)
    np.testing.assert_allclose(
        condition[:, 1], np.log10(np.asarray(jax.vmap(height_pc)(distance_pc, b_deg))), atol=1e-6
    )
    assert flow_condition(R_SUN_PC, 0.0, 0.0)[0] == 0.0
