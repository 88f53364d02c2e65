"""The emulator's structure: what each factor may depend on, that densities are normalised, that proposals are theirs."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from redflower.flow.emulator import Emulator, Noise, empty_emulator, make_noise
from redflower.flow.emulator_networks import EmulatorStructure, density_masks
from redflower.flow.noise_filter import make_noise_filter

STRUCTURE = EmulatorStructure(hidden=40, layers=3, components=3)
N = 5


def random_emulator(seed: int = 0) -> Emulator:
    """Random networks and plausible scales, masks applied."""
    rng = np.random.default_rng(seed)
    factor = 0.2 * np.tril(rng.normal(size=(N - 1, N - 1))) + 0.05 * np.eye(N - 1)
    f = jnp.float32
    return eqx.tree_at(
        lambda e: (
            e.log_error_low, e.log_error_high, e.ebv_low_mag, e.ebv_high_mag, e.y_scale, e.condition_scale,
            e.intercept, e.slope, e.covariance,
        ),
        empty_emulator(N, STRUCTURE),
        (
            jnp.full(N, -6.0), jnp.full(N, -1.0), f(-0.05), f(0.5), jnp.ones(N), jnp.ones(2),
            jnp.asarray(rng.normal(size=N - 1), f), jnp.asarray(0.1 * rng.normal(size=N - 1), f),
            jnp.asarray(factor @ factor.T, f),
        ),
    ).with_masks_applied()  # fmt: skip


def noise(emulator: Emulator, error_mag, observed=None) -> Noise:
    observed = np.ones(N, dtype=bool) if observed is None else np.asarray(observed)
    batch = make_noise(emulator, np.asarray(error_mag, dtype=float)[None], observed[None])
    return jax.tree.map(lambda a: jnp.asarray(a)[0], batch)


Y = jnp.array([5.0, 0.7, -0.4, 0.9, 0.2])
ERRORS = np.array([0.003, 0.02, 0.05, 0.01, 0.03])
CONDITION = jnp.array([0.2, -0.3])


def factors(emulator: Emulator, y, errors=ERRORS, observed=None, ebv=0.1):
    star = noise(emulator, errors, observed)
    seen = emulator.see(jnp.asarray(y, jnp.float32), jnp.float32(ebv), CONDITION, star)
    return emulator.log_factors(seen, star)


@pytest.mark.equation("EF1")
def test_a_factor_sees_only_the_bands_before_it_and_its_own_error() -> None:
    emulator = random_emulator()
    base = np.asarray(factors(emulator, Y))
    for k in range(1, N):
        y, errors = np.array(Y), ERRORS.copy()
        y[k] += 0.1
        errors[k] *= 2.0
        moved = np.asarray(factors(emulator, y, errors))
        np.testing.assert_allclose(moved[: k - 1], base[: k - 1], atol=1e-5)
        assert abs(moved[k - 1] - base[k - 1]) > 1e-3
        if k < N - 1:
            assert np.abs(moved[k:] - base[k:]).max() > 1e-4


@pytest.mark.equation("EF1")
def test_every_factor_integrates_to_one() -> None:
    emulator = random_emulator(1)
    for k in range(1, N):
        # A step of a tenth of the smallest error, over a range of many standard deviations.
        offsets = np.arange(-4.0, 4.0, 0.002)
        values = jax.vmap(lambda t, k=k: factors(emulator, Y.at[k].add(t))[k - 1])(
            jnp.asarray(offsets, jnp.float32)
        )
        assert np.exp(np.asarray(values, dtype=float)).sum() * 0.002 == pytest.approx(1.0, abs=2e-3)


def test_a_missing_band_has_no_say() -> None:
    emulator = random_emulator(2)
    observed = np.array([True, True, False, True, True])
    base = np.asarray(factors(emulator, Y, observed=observed))
    y, errors = np.array(Y), ERRORS.copy()
    y[2], errors[2] = 7.0, 0.4
    np.testing.assert_allclose(np.asarray(factors(emulator, y, errors, observed)), base, atol=1e-4)
    assert base[1] == 0.0


@pytest.mark.equation("EF3")
def test_proposal_states_the_density_of_its_draws() -> None:
    """The density of the draws, evaluated at them; and its Jacobian against autodiff."""
    emulator = random_emulator(3)
    star = noise(emulator, ERRORS)
    seen = emulator.see(Y, jnp.float32(0.2), CONDITION, star)
    normal = jax.random.normal(jax.random.key(0), (N, 7))
    magnitudes, log_factors = emulator.propose(Y, seen, star, normal)
    again = jax.vmap(lambda m: emulator.log_proposal(Y, seen, star, m), in_axes=1, out_axes=1)(magnitudes)
    # The factors of float32 magnitudes of 5 mag, known to 5e-7, over factors as small as 1e-3 mag.
    np.testing.assert_allclose(again, log_factors, atol=5e-3)
    jacobian = jax.jacfwd(lambda z: emulator.propose(Y, seen, star, z[:, None])[0][:, 0])(normal[:, 0])
    expected = -0.5 * jnp.sum(normal[:, 0] ** 2) - N * 0.9189385 - jnp.linalg.slogdet(jacobian)[1]
    assert float(jnp.sum(log_factors[:, 0])) == pytest.approx(float(expected), abs=2e-3)


def test_masks_are_autoregressive_and_leave_no_band_blind() -> None:
    masks = density_masks(11, EmulatorStructure())
    reach = masks[-1]
    for mask in masks[-2::-1]:
        reach = reach @ mask
    bands = np.arange(1, 12)
    feature = np.concatenate([bands, bands[1:], bands, bands, np.zeros(3)])
    out = np.tile(bands[1:], 3 * EmulatorStructure().components)
    np.testing.assert_array_equal(reach > 0, out[:, None] > feature[None, :])


def test_filters_of_a_batch_are_those_of_its_stars() -> None:
    emulator = random_emulator(4)
    errors = np.exp(np.random.default_rng(0).uniform(-6, -2, (3, N)))
    observed = np.ones((3, N), dtype=bool)
    observed[1, 3] = False
    whole = make_noise_filter(emulator.moments, errors, observed)
    for i in range(3):
        one = make_noise_filter(emulator.moments, errors[i : i + 1], observed[i : i + 1])
        for a, b in zip(whole, one, strict=True):
            np.testing.assert_allclose(a[i], b[0], rtol=1e-6, atol=1e-7)
