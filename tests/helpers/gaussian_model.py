"""A model whose population is one normal distribution, with an emulator that knows it: posteriors in closed form."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from redflower.bands import N_BANDS
from redflower.flow import BlockAutoregressiveNetwork, ConditionalFlow, Model, Standardisation, fit_coverage
from redflower.flow.emulator import Emulator, EmulatorStructure, empty_emulator
from redflower.flow.noise_filter import PopulationMoments
from redflower.physics import ConstantLaw
from redflower.star import Star

#: So small that tanh is its argument: the flow is linear to one part in 10^5 over five deviations.
SMALL = 1e-3
EBV_LIMITS_MAG = (-0.3, 0.9)
DISTANCE_PC = 1000.0
MODULUS_MAG = 10.0


class Gaussian(NamedTuple):
    """The model, with mean and covariance of the absolute magnitudes, and R of its bands."""

    model: Model
    mean_mag: np.ndarray
    covariance_mag2: np.ndarray
    coefficients: np.ndarray

    def posterior_of_ebv(self, magnitude_mag, error_covariance_mag2) -> tuple[float, float, float]:
        """Mean and deviation of E, and ln evidence per unit of E's prior, of a star whose distance is known."""
        total = self.covariance_mag2 + error_covariance_mag2
        weight = np.linalg.solve(total, self.coefficients)
        precision = weight @ self.coefficients
        residual = magnitude_mag - MODULUS_MAG - self.mean_mag
        mean = weight @ residual / precision
        left = residual - mean * self.coefficients
        log_peak = -0.5 * (left @ np.linalg.solve(total, left) + np.linalg.slogdet(2.0 * np.pi * total)[1])
        return mean, precision**-0.5, log_peak + 0.5 * np.log(2.0 * np.pi / precision)


def gaussian_model(n_bands: int = 6) -> Gaussian:
    """Stars that differ by one number more than by their brightness, with little scatter besides."""
    rng = np.random.default_rng(11)
    network = BlockAutoregressiveNetwork(jax.random.key(0), dim=n_bands, cond_dim=2, depth=1, block_dim=1)
    diagonal = jnp.eye(n_bands, dtype=jnp.float32)
    network = eqx.tree_at(
        lambda n: (n.weights, n.log_norms, n.biases, n.condition),
        network,
        (
            (diagonal, diagonal),
            (jnp.full(n_bands, np.log(SMALL)), jnp.full(n_bands, -np.log(1.01 * SMALL))),
            (jnp.zeros(n_bands), jnp.zeros(n_bands)),
            jnp.zeros_like(network.condition),
        ),
    )
    colour = np.linspace(0.6, -0.6, n_bands)
    root = np.concatenate([np.ones((n_bands, 1)), 0.15 * colour[:, None], 0.02 * np.eye(n_bands)], axis=1)
    covariance = root @ root.T
    mean = 6.0 + colour + 0.05 * rng.normal(size=n_bands)
    to_colour = np.eye(n_bands)
    to_colour[1:, 0] = -1.0
    x_covariance = to_colour @ covariance @ to_colour.T
    standardisation = Standardisation(
        x_mean=jnp.asarray(to_colour @ mean, jnp.float32),
        x_inverse_cholesky=jnp.asarray(np.linalg.inv(np.linalg.cholesky(x_covariance)), jnp.float32),
        condition_mean=jnp.array([3.9, 2.7], jnp.float32),
        condition_std=jnp.array([0.1, 0.3], jnp.float32),
    )
    r = np.concatenate([[2.4, 3.0, 1.7], np.linspace(3.2, 0.3, 8)])
    model = Model(
        name="gaussian", description="one normal distribution", flow=ConditionalFlow(network, standardisation),
        law=ConstantLaw(r), g_bright_mag=-50.0, g_faint_mag=80.0,
        coverage=fit_coverage(rng.normal(size=(1000, 2)) * 0.1 + np.array([3.9, 2.7])), provenance={"n_stars": 1},
        emulator=_emulator(to_colour @ mean, x_covariance, r[:n_bands]),
    )  # fmt: skip
    return Gaussian(model, mean, covariance, r[:n_bands])


def _emulator(x_mean: np.ndarray, x_covariance: np.ndarray, reference: np.ndarray) -> Emulator:
    """An emulator whose networks say nothing: its filter is exact for independent errors."""
    n_bands = len(x_mean)
    slope = x_covariance[1:, 0] / x_covariance[0, 0]
    moments = PopulationMoments(
        intercept=x_mean[1:] - slope * x_mean[0], slope=slope,
        covariance=x_covariance[1:, 1:] - np.outer(slope, x_covariance[0, 1:]),
    )  # fmt: skip
    silent = jax.tree.map(
        lambda a: jnp.zeros_like(a),
        empty_emulator(
            n_bands, EmulatorStructure(hidden=8, layers=1, components=2, denoiser_hidden=8, denoiser_layers=1)
        ),
    )

    def row(value: float) -> jnp.ndarray:
        return jnp.full(n_bands, value, jnp.float32)

    return eqx.tree_at(
        lambda e: (
            e.reference, e.log_error_low, e.log_error_high, e.ebv_low_mag, e.ebv_high_mag, e.y_scale, e.condition_scale,
            e.intercept, e.slope, e.covariance,
        ),
        silent,
        (
            jnp.asarray(reference, jnp.float32), row(np.log(0.005)), row(np.log(0.3)), jnp.float32(EBV_LIMITS_MAG[0]),
            jnp.float32(EBV_LIMITS_MAG[1]), row(1.0), jnp.ones(2),
            *(jnp.asarray(a, jnp.float32) for a in moments),
        ),
    )  # fmt: skip


def gaussian_stars(
    gaussian: Gaussian, ebv_mag: np.ndarray, error_mag: np.ndarray, noise_mag: np.ndarray, rng: np.random.Generator,
    whitener: np.ndarray | None = None, observed: np.ndarray | None = None,
) -> Star:  # fmt: skip
    """Stars of the model at a distance that is known, with given noise. Bands beyond the model's are missing."""
    n, n_bands = noise_mag.shape
    absolute = rng.multivariate_normal(gaussian.mean_mag, gaussian.covariance_mag2, n)
    magnitude = absolute + MODULUS_MAG + ebv_mag[:, None] * gaussian.coefficients + noise_mag
    there = np.zeros((n, N_BANDS), dtype=bool)
    there[:, :n_bands] = True if observed is None else observed
    whole = np.tile(np.eye(N_BANDS), (n, 1, 1))
    if whitener is not None:
        whole[:, :n_bands, :n_bands] = whitener

    def f(values: np.ndarray) -> np.ndarray:
        return np.asarray(values, dtype=np.float32)

    def filled(values: np.ndarray, filler: float) -> np.ndarray:
        out = np.full((n, N_BANDS), filler, dtype=np.float32)
        out[:, :n_bands] = values
        return np.where(there, out, np.float32(filler))

    return Star(
        magnitude_mag=filled(magnitude, 0.0),
        magnitude_error_mag=filled(np.broadcast_to(error_mag, (n, n_bands)), 1.0),
        observed=there,
        parallax_mas=f(np.full(n, 1000.0 / DISTANCE_PC)),
        parallax_error_mas=f(np.full(n, 3e-4)),
        has_parallax=np.ones(n, dtype=bool),
        l_deg=f(np.full(n, 104.0)),
        b_deg=f(np.full(n, 30.0)),
        prior_log_length_pc=f(np.full(n, np.log(400.0))),
        prior_alpha=f(np.ones(n)),
        prior_beta=f(np.full(n, 2.0)),
        selection_pixel=np.zeros(n, dtype=np.int32),
        error_whitener=None if whitener is None else f(whole),
    )
