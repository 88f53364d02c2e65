"""How well a star fits the model: pivotal residuals at one draw of its posterior, and its pull on every band's zero point.

If data are the model's own, a posterior draw of (E, distance) and the
data have the joint law of the true (E, distance) and the data. So what is exactly standard normal at the truth is so at one
posterior draw, although the draw has seen the data: the residual of each band given the bands before it, and that of the
parallax (Johnson 2007, Bayesian Analysis 2, 719). Their squares add up to chi-square, and ``p_fit`` is its tail.
"""

from typing import Final, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import log_ndtr, ndtri
from jaxtyping import Array, Bool, Float, PRNGKeyArray
from scipy.special import chdtrc

from redflower.bands import G
from redflower.flow.emulator import Emulator, Noise, Seen, column_for
from redflower.physics import distance_pc_of_modulus, flow_condition
from redflower.posterior.fast.grid import FastTarget, Grid, noisy_y
from redflower.posterior.fast.grid_summaries import drawn_nodes
from redflower.star import Star

#: Draws over which a star's pull is averaged.
PULL_DRAWS: Final = 16
#: A star fits poorly below this tail probability.
POOR_FIT: Final = 0.01
#: A residual in float32 cannot be told from infinity from this many sigmas on.
RESIDUAL_MAX: Final = 5.0


class Fit(NamedTuple):
    """How one star fits the model.

    Attributes
    ----------
    residual : standard normal residual of each band after G given the bands before it; 0 where the band is missing.
    residual_mag : each band minus what the bands before it predict; 0 where it is missing. [mag]
    parallax_residual : parallax minus that of the drawn distance, in its errors; 0 without a parallax.
    """

    residual: Float[Array, "*star colour"]
    residual_mag: Float[Array, "*star colour"]
    parallax_residual: Float[Array, "*star"]


def tail_probability(
    residual: Float[np.ndarray, "star colour"], observed: Bool[np.ndarray, "star band"]
) -> Float[np.ndarray, " star"]:
    """Return ``p_fit``: the tail probability of the stars' residuals; NaN for stars without a colour."""
    n = observed[:, 1:].sum(axis=1)
    total = (np.asarray(residual, dtype=np.float64) ** 2).sum(axis=1)
    return np.where(n > 0, chdtrc(np.maximum(n, 1), total), np.nan)


class FitRecord:
    """How the stars of a run fit, filled as they are inferred.

    Parameters
    ----------
    observed : which of the model's bands each star has.

    Attributes
    ----------
    done : which stars have been judged.
    residual, residual_mag, parallax_residual : see `Fit`.
    """

    def __init__(self, observed: np.ndarray) -> None:
        n_stars, n_bands = observed.shape
        self.observed = observed
        self.done = np.zeros(n_stars, dtype=bool)
        self.residual = np.zeros((n_stars, n_bands - 1), np.float32)
        self.residual_mag = np.zeros((n_stars, n_bands - 1), np.float32)
        self.parallax_residual = np.zeros(n_stars, np.float32)

    def add(self, rows: np.ndarray, fit: Fit) -> None:
        """Fill the first of a batch's stars in; what follows them is padding."""
        self.done[rows] = True
        for name in ("residual", "residual_mag", "parallax_residual"):
            getattr(self, name)[rows] = np.asarray(getattr(fit, name))[: len(rows)]


def band_residuals(
    emulator: Emulator, seen: Seen, noise: Noise
) -> tuple[Float[Array, "colour *node"], Float[Array, "colour *node"]]:
    """Return two residuals of each band given those before it: its normal score, and what it lies from its mean [mag].

    The normal score is Phi^-1 of the conditional distribution function. Equation: EF7 (docs/explanation/model.md).
    """
    mean_mag, variance, log_weight = emulator.mixtures(seen, noise, None)
    scaled = (seen.innovation_mag - mean_mag) * jax.lax.rsqrt(variance)
    total = jax.nn.logsumexp(log_weight, axis=0)
    below = jax.nn.logsumexp(log_weight + log_ndtr(scaled), axis=0) - total
    above = jax.nn.logsumexp(log_weight + log_ndtr(-scaled), axis=0) - total
    # From the smaller of the two tails, where float32 has its digits.
    smaller = jnp.exp(jnp.minimum(below, above))
    score = jnp.where(below < above, 1.0, -1.0) * ndtri(jnp.clip(smaller, 1e-7, 0.5))  # EF7
    score = jnp.clip(score, -RESIDUAL_MAX, RESIDUAL_MAX)
    predicted_mag = jnp.sum(jnp.exp(log_weight - total) * mean_mag, axis=0)
    observed = column_for(noise.observed[1:], score)
    return jnp.where(observed, score, 0.0), jnp.where(observed, seen.innovation_mag - predicted_mag, 0.0)


class _Draws(NamedTuple):
    """Places drawn from a star's quadrature by its mass."""

    modulus_mag: Float[Array, " draw"]
    ebv_mag: Float[Array, " draw"]
    g_extinction_mag: Float[Array, " draw"]
    distance_pc: Float[Array, " draw"]
    condition: Float[Array, "cond draw"]


def _draw_places(star: Star, grid: Grid, key: PRNGKeyArray, n_draws: int) -> _Draws:
    row, column = drawn_nodes(grid, key, n_draws)
    distance_pc = distance_pc_of_modulus(grid.modulus_mag[row])
    return _Draws(
        modulus_mag=grid.modulus_mag[row],
        ebv_mag=grid.ebv_mag[column],
        g_extinction_mag=grid.g_extinction_mag[column],
        distance_pc=distance_pc,
        condition=flow_condition(distance_pc, star.l_deg, star.b_deg),
    )


def _see_draws(emulator: Emulator, star: Star, noise: Noise, draws: _Draws) -> Seen:
    y = noisy_y(emulator, star, noise, draws.ebv_mag, draws.modulus_mag)
    return emulator.see(y, draws.ebv_mag, draws.condition, noise)


def star_fit(fast: FastTarget, star: Star, noise: Noise, grid: Grid, key: PRNGKeyArray) -> Fit:
    """Return how a star fits the model, from one draw of its quadrature."""
    draws = _draw_places(star, grid, key, 1)
    residual, residual_mag = band_residuals(
        fast.emulator, _see_draws(fast.emulator, star, noise, draws), noise
    )
    parallax = (star.parallax_mas - 1e3 / draws.distance_pc[0]) / star.parallax_error_mas
    return Fit(
        residual=residual[:, 0],
        residual_mag=residual_mag[:, 0],
        parallax_residual=jnp.where(star.has_parallax, parallax, 0.0),
    )


def zero_point_pull(
    fast: FastTarget, star: Star, noise: Noise, grid: Grid, key: PRNGKeyArray
) -> Float[Array, " band"]:
    """Return d ln evidence / d magnitude of every band, by draws of a star's quadrature; 0 where a band is missing. [1 / mag]

    Equation: CA2 (docs/explanation/model.md).
    """
    emulator, first = fast.emulator, fast.exact.flow.leading(1)
    draws = _draw_places(star, grid, key, PULL_DRAWS)

    def mean_log_density(magnitude_mag: Float[Array, " band"]) -> Float[Array, ""]:
        moved = eqx.tree_at(lambda s: s.magnitude_mag, star, magnitude_mag)
        m_g = magnitude_mag[G] - draws.g_extinction_mag - draws.modulus_mag
        log_first = jax.vmap(lambda m, c: first.log_prob_terms(m[None], c)[0], in_axes=(0, 1))(
            m_g, draws.condition
        )
        seen = _see_draws(emulator, moved, noise, draws)
        return jnp.mean(log_first + jnp.sum(emulator.log_factors(seen, noise), axis=0))

    pull = jax.grad(mean_log_density)(star.magnitude_mag)[: emulator.n_bands]
    return jnp.where(noise.observed, pull, 0.0)  # CA2
