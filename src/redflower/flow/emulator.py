"""The emulator: the density of *noisy, reddened* stars, distilled from the flow of noise-free, dust-free ones.

The flow gives p(x | R, Z) without noise. A posterior needs it convolved with each star's own errors, at every
reddening: an integral over as many dimensions as there are bands. The emulator is a second, autoregressive density
that has learnt the result of this integral from draws of the flow (`redflower.train.distil`). What is known is not left
to learn:

- the noise of a band is independent of everything before it, so that each factor is a mixture of normal distributions
  convolved with the band's own error *exactly*; the network only sees the errors of the bands before;
- the errors enter training independently of the star, or the network would read a star's magnitude off its errors;
- linear prediction under noise, missing bands included, is the filter's (`redflower.flow.noise_filter`).

A second network, the denoiser, proposes noise-free magnitudes given the noisy ones, for importance weights against the
exact density.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from redflower.constants import LOG_SQRT_2PI
from redflower.flow.emulator_networks import (
    EmulatorStructure,
    Network,
    column_for,
    density_masks,
    initial_networks,
)
from redflower.flow.noise_filter import (
    NoiseFilter,
    PopulationMoments,
    make_correlated_filter,
    make_noise_filter,
)

#: Beyond this many predicted standard deviations an innovation is compressed before the networks see it.
SOFT_CLIP = 6.0


class Noise(NamedTuple):
    """What a star's errors mean for the networks: constant over its (E, distance) grid."""

    log_error_scaled: Float[Array | np.ndarray, "*star band"]
    error_mag: Float[Array | np.ndarray, "*star band"]
    observed: Bool[Array | np.ndarray, "*star band"]
    filter: NoiseFilter


class Seen(NamedTuple):
    """A star at one reddening and distance, or at those of many nodes, as the networks see it."""

    features: Float[Array, "feature *node"]
    innovation_mag: Float[Array, "colour *node"]


class Emulator(eqx.Module):
    """Density of a noisy star given its reddening, place and errors, for any subset of the bands that has G.

    The methods take one star, at one (reddening, distance) or at those of any number of nodes at once, which are then the
    last axis of every array: what is done to all nodes alike runs along contiguous memory.

    Attributes
    ----------
    density : network of the mixtures, autoregressive by its masks.
    denoiser : network of the proposal of noise-free magnitudes.
    reference : coefficients taken off before the networks, one per band; any choice would do.
    log_error_low, log_error_high : range of ln error [mag] in training, band by band.
    ebv_low_mag, ebv_high_mag : range of E(B-V) in training. [mag]
    y_centre, y_scale, condition_centre, condition_scale : scales of the features.
    intercept, slope, covariance : moments of the reddened population, for the filter.
    """

    density: Network
    denoiser: Network
    reference: Float[Array, " band"]
    log_error_low: Float[Array, " band"]
    log_error_high: Float[Array, " band"]
    ebv_low_mag: Float[Array, ""]
    ebv_high_mag: Float[Array, ""]
    y_centre: Float[Array, " band"]
    y_scale: Float[Array, " band"]
    condition_centre: Float[Array, " cond"]
    condition_scale: Float[Array, " cond"]
    intercept: Float[Array, " colour"]
    slope: Float[Array, " colour"]
    covariance: Float[Array, "colour colour"]
    structure: EmulatorStructure = eqx.field(static=True)

    @property
    def n_bands(self) -> int:
        return len(self.reference)

    @property
    def moments(self) -> PopulationMoments:
        return PopulationMoments(*(np.asarray(a) for a in (self.intercept, self.slope, self.covariance)))

    def with_masks_applied(self) -> "Emulator":
        """Return the same emulator with the masks multiplied into the weights, so that inner loops need not."""
        masks = density_masks(self.n_bands, self.structure)
        applied = tuple(w * m for w, m in zip(self.density.weights, masks, strict=True))
        return eqx.tree_at(lambda e: e.density.weights, self, applied)

    def see(
        self,
        y: Float[Array, "band *node"],
        ebv_mag: Float[Array, "*node"],
        condition: Float[Array, "cond *node"],
        noise: Noise,
    ) -> Seen:
        """Compute the features of a star: y = noisy (M_G, colours) minus ``reference`` * E."""

        def column(values: Array | np.ndarray) -> Array:
            return column_for(values, y)

        z = y[1:] - column(self.intercept) - column(self.slope) * y[0]
        innovation_mag = _apply(noise.filter.innovation, z)
        total_mag = jnp.sqrt(noise.filter.prediction_std_mag**2 + noise.error_mag[1:] ** 2)
        scaled = innovation_mag / column(total_mag)
        scaled = scaled / jnp.sqrt(1.0 + (scaled / SOFT_CLIP) ** 2)
        seen = column(noise.observed).astype(y.dtype)
        middle = 0.5 * (self.ebv_low_mag + self.ebv_high_mag)
        half = 0.5 * (self.ebv_high_mag - self.ebv_low_mag)
        features = jnp.concatenate(
            [
                seen * (y - column(self.y_centre)) / column(self.y_scale),
                seen[1:] * scaled,
                jnp.broadcast_to(seen * column(noise.log_error_scaled), y.shape),
                jnp.broadcast_to(seen, y.shape),
                ((ebv_mag - middle) / half)[None],
                (condition - column(self.condition_centre)) / column(self.condition_scale),
            ]
        )
        return Seen(features, innovation_mag)

    def mixtures(
        self, seen: Seen, noise: Noise, masks: tuple[np.ndarray, ...] | None
    ) -> tuple[
        Float[Array, "component colour *node"],
        Float[Array, "component colour *node"],
        Float[Array, "component colour *node"],
    ]:
        """Return mean [mag], variance [mag^2] and ln weight (not normalised) of each component of every innovation."""

        def column(values: Array | np.ndarray) -> Array:
            return column_for(values, seen.innovation_mag)

        out = self.density(seen.features, masks)
        out = out.reshape(3, self.structure.components, *seen.innovation_mag.shape)
        spread_mag = column(noise.filter.prediction_std_mag)
        variance = (jnp.exp(out[1]) * spread_mag) ** 2 + column(noise.error_mag[1:]) ** 2  # EF1
        return out[0] * spread_mag, variance, out[2]

    def log_factors(
        self, seen: Seen, noise: Noise, masks: tuple[np.ndarray, ...] | None = None
    ) -> Float[Array, "colour *node"]:
        """Evaluate ln p(y_k | y_1..y_(k-1), E, R, Z, errors) of every band after G; 0 where a band is missing.

        Equation: EF1 (docs/explanation/model.md).
        """

        mean_mag, variance, log_weight = self.mixtures(seen, noise, masks)
        exponent = log_weight - 0.5 * (seen.innovation_mag - mean_mag) ** 2 / variance
        # The sums of both mixtures about their peaks, so that one logarithm a band is all it takes.
        peak, weight_peak = jnp.max(exponent, axis=0), jnp.max(log_weight, axis=0)
        mixture = jnp.sum(jnp.exp(exponent - peak) * jax.lax.rsqrt(variance), axis=0)
        weights = jnp.sum(jnp.exp(log_weight - weight_peak), axis=0)
        log_factor = peak - weight_peak + jnp.log(mixture / weights)
        return jnp.where(column_for(noise.observed[1:], log_factor), log_factor - LOG_SQRT_2PI, 0.0)

    def expected_state(
        self, y: Float[Array, "band *node"], seen: Seen, noise: Noise
    ) -> Float[Array, "band *node"]:
        """Return the filter's expectation of the noise-free state: (noise of G, magnitudes minus the observed G). [mag]"""
        innovation_mag = jnp.where(column_for(noise.observed[1:], y), seen.innovation_mag, 0.0)
        linear = column_for(self.intercept, y) + column_for(self.slope, y) * y[0]
        return jnp.concatenate([jnp.zeros_like(y[:1]), linear]) + _apply(
            noise.filter.smoother, innovation_mag
        )

    def propose(
        self, y: Float[Array, "band *node"], seen: Seen, noise: Noise, normal: Float[Array, "band draw *node"]
    ) -> tuple[Float[Array, "band draw *node"], Float[Array, "band draw *node"]]:
        """Draw noise-free magnitudes (still minus ``reference`` * E and the distance modulus); return them and ln of their
        density.

        Equation: EF3 (docs/explanation/model.md). The density is given factor by factor: the sum over the first k is that of the
        first k bands.

        Parameters
        ----------
        normal : standard normal numbers.
        """
        n = self.n_bands
        out = self.denoiser(seen.features, None)
        spread = jnp.exp(out[n : 2 * n])
        inner = [
            out[k] + spread[k] * normal[k] + sum(w * normal[j] for j, w in enumerate(_row(out, n, k)))
            for k in range(n)
        ]
        shift = _apply(noise.filter.factor_mag, jnp.stack(inner))
        state = self.expected_state(y, seen, noise)[:, None] + shift
        magnitude_mag = jnp.concatenate([y[0] - state[:1], y[0] + state[1:]])
        log_scale = self._log_scale(out, noise)[:, None]
        return magnitude_mag, -0.5 * normal**2 - LOG_SQRT_2PI - log_scale

    def log_proposal(
        self,
        y: Float[Array, "band *node"],
        seen: Seen,
        noise: Noise,
        magnitude_mag: Float[Array, "band *node"],
    ) -> Float[Array, "band *node"]:
        """Evaluate ln density, factor by factor, of given noise-free magnitudes under `propose`. Equation: EF3."""
        n = self.n_bands
        out = self.denoiser(seen.features, None)
        state = jnp.concatenate([y[:1] - magnitude_mag[:1], magnitude_mag[1:] - y[0]])
        inner = _apply(noise.filter.factor_inverse, state - self.expected_state(y, seen, noise)) - out[:n]
        normal: list[Array] = []
        for k in range(n):  # forward substitution, unrolled: no LAPACK in compiled code
            before = sum((w * normal[j] for j, w in enumerate(_row(out, n, k))), start=jnp.asarray(0.0))
            normal.append((inner[k] - before) * jnp.exp(-out[n + k]))
        return -0.5 * jnp.stack(normal) ** 2 - LOG_SQRT_2PI - self._log_scale(out, noise)  # EF3

    def _log_scale(self, out: Float[Array, "out *node"], noise: Noise) -> Float[Array, "band *node"]:
        """Return ln of the diagonal of the proposal's factor. [ln mag]"""
        own = out[self.n_bands : 2 * self.n_bands]
        return column_for(jnp.log(jnp.diagonal(noise.filter.factor_mag)), own) + own


def _apply(
    matrix: Float[Array | np.ndarray, "row column"], vector: Float[Array, "column *node"]
) -> Float[Array, "row *node"]:
    # A product and a sum: XLA fuses them, where its batched products of small matrices are slow on a CPU.
    return jnp.sum(jnp.asarray(matrix).reshape(*matrix.shape, *[1] * (vector.ndim - 1)) * vector, axis=1)


def _row(out: Float[Array, "out *node"], n: int, k: int) -> list[Float[Array, "*node"]]:
    """Return row k of the denoiser's strictly lower triangular factor."""
    start = 2 * n + k * (k - 1) // 2
    return [out[start + j] for j in range(k)]


def make_noise(
    emulator: Emulator,
    error_mag: Float[np.ndarray, "star band"],
    observed: Bool[np.ndarray, "star band"],
    whitener: Float[np.ndarray, "star band band"] | None = None,
) -> Noise:
    """Make the `Noise` of every star of a batch, as host arrays.

    Parameters
    ----------
    emulator : whose noise.
    error_mag, observed : of the stars' magnitudes. [mag]
    whitener : of correlated errors (`redflower.physics.correlated_errors`). If None, errors are independent.
    """
    low, high = np.asarray(emulator.log_error_low), np.asarray(emulator.log_error_high)
    error_mag = np.where(observed, error_mag, 1.0)
    scaled = np.where(observed, (np.log(error_mag) - low) / (high - low), 0.0)
    if whitener is None:
        made = make_noise_filter(emulator.moments, error_mag, observed)
    else:
        made, error_mag = make_correlated_filter(emulator.moments, error_mag, observed, whitener)
    return Noise(
        log_error_scaled=scaled.astype(np.float32),
        error_mag=error_mag.astype(np.float32),
        observed=np.asarray(observed),
        filter=made,
    )


def empty_emulator(n_bands: int, structure: EmulatorStructure) -> Emulator:
    """Make an emulator of the right shapes, for reading one from a file."""
    density, denoiser = initial_networks(jax.random.key(0), n_bands, structure)
    band, colour, scalar = jnp.zeros(n_bands), jnp.zeros(n_bands - 1), jnp.zeros(())
    return Emulator(
        density=density,
        denoiser=denoiser,
        reference=band,
        log_error_low=band,
        log_error_high=band,
        ebv_low_mag=scalar,
        ebv_high_mag=scalar,
        y_centre=band,
        y_scale=band,
        condition_centre=jnp.zeros(2),
        condition_scale=jnp.zeros(2),
        intercept=colour,
        slope=colour,
        covariance=jnp.zeros((n_bands - 1, n_bands - 1)),
        structure=structure,
    )
