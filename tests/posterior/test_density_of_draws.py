"""Joint densities from draws: the kernel, its width across a ridge, and the ends of the reddening prior."""

import numpy as np
import pytest

from redflower.posterior import joint_density
from redflower.posterior.density import density_of_draws, kernel_density

LIMITS = (-0.05, 0.5)


def ridge(
    n: int, correlation: float, seed: int = 0, *, ebv_mag: float = 0.2
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draws of a normal distribution of E, 0.03 mag wide, and of distance modulus, 0.3 mag wide, and equal weights."""
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, n))
    across = correlation * a + np.sqrt(1 - correlation**2) * b
    return ebv_mag + 0.03 * a, 9.0 + 0.3 * across, np.zeros(n)


@pytest.mark.parametrize("correlation", [0.0, 0.9, -0.97])
def test_the_kernel_has_the_covariance_of_the_draws(correlation: float) -> None:
    """Against the sum over all draws of a normal density with n^(-1/3) of their covariance, in float64."""
    rng = np.random.default_rng(1)
    e, mu, _ = ridge(600, correlation, ebv_mag=-0.02)
    e = np.where(e < LIMITS[0], 2 * LIMITS[0] - e, e)
    log_weight = rng.normal(size=600)
    weight = np.exp(log_weight) / np.exp(log_weight).sum()
    (modulus, ebv), log_density = kernel_density(e, mu, log_weight, LIMITS)
    inverse = np.linalg.inv(
        np.cov(np.stack([e, mu]), aweights=weight, bias=True) * np.cbrt((weight**2).sum())
    )
    expected = np.zeros(log_density.shape)
    for at in (ebv, 2 * LIMITS[0] - ebv, 2 * LIMITS[1] - ebv):
        grid_mu, grid_e = np.meshgrid(modulus, at, indexing="ij")
        off = np.stack([grid_e[..., None] - e, grid_mu[..., None] - mu])
        expected += (weight * np.exp(-0.5 * np.einsum("aijn,ab,bijn->ijn", off, inverse, off))).sum(axis=-1)
    # Draws further than 7.2 widths, which are left out, count e^-26; compared is what the stored density can hold.
    there = expected > np.exp(-20.0) * expected.max()
    np.testing.assert_allclose(log_density[there], np.log(expected[there]), atol=0.01)


@pytest.mark.parametrize("n", [400, 4000])
def test_sigma_of_e_at_fixed_distance_is_as_little_too_wide_as_sigma_of_e(n: int) -> None:
    """At a correlation of 0.9 the ridge is 0.44 sigma across; a kernel along the axes made it half as wide again."""
    e, mu, log_weight = ridge(n, 0.9)
    density = joint_density(density_of_draws(e[None], mu[None], log_weight[None], LIMITS))
    mass, nodes = np.exp(density.log_density()[0]), density.ebv_nodes_mag()[0]
    ratios = []
    for row in mass[5:11] / mass[5:11].sum(axis=1, keepdims=True):
        ratios.append(np.sqrt(row @ nodes**2 - (row @ nodes) ** 2) / (0.03 * np.sqrt(1 - 0.9**2)))
    # The kernel widens everything by sqrt(1 + n^(-1/3)), 7 % at 400 draws; a row holds a sixth of the draws at least,
    # whose deviation scatters by 9 %, and six rows are averaged.
    assert np.mean(ratios) == pytest.approx(np.sqrt(1 + n ** (-1 / 3)), rel=0.06)


def test_draws_of_one_place_and_of_one_reddening_have_a_density() -> None:
    for e, mu in ((np.full(50, 0.1), np.full(50, 9.0)), (np.full(50, 0.1), np.linspace(8.0, 10.0, 50))):
        density = joint_density(density_of_draws(e[None], mu[None], np.zeros((1, 50)), LIMITS))
        assert np.isfinite(density.log_density()).any()
        assert (density.ebv_step_mag > 0).all()
