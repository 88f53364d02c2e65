"""The correction of the quadrature by what the exact weights say.

The ratio of exact to emulated density varies smoothly over a posterior. Fitted by a polynomial of second degree to the
weights at the nodes drawn, it corrects mean and width of the whole grid with far less noise than the weighted draws
themselves have; for the moments this acts as a control variate. Coefficients have a prior about zero, so that noise alone moves
little.
"""

from typing import Final, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from redflower.posterior.fast.check import WeightedDraws
from redflower.posterior.fast.grid import Grid
from redflower.posterior.fast.grid_summaries import MomentFrame, moment_frame

#: Prior deviations of the coefficients of first and second degree, in nat per standardised coordinate: what an emulator leaves,
#: also of stars with gaps between their bands (decision 31). A narrower one leaves deviations too wide there.
LINEAR_PRIOR: Final = 0.3
QUADRATIC_PRIOR: Final = 0.3
#: Node weights further than this from their median do not pull the fit. [nat]
CLIP_NAT: Final = 3.0
#: Standardised coordinates end here, and the correction is constant from there on. In a long tail, towards a second mode or
#: an end of the prior, few nodes support the fit, and a parabola that continued would multiply the tail by noise.
COORDINATE_CLIP: Final = 2.0
#: Steps of Newton's method for the coefficients, from a fit to the logarithms.
NEWTON_STEPS: Final = 4


class Tilt(NamedTuple):
    """A fitted correction.

    Attributes
    ----------
    coefficients : of 1, a, b, (a^2 - 1)/sqrt 2, a b, (b^2 - 1)/sqrt 2 in standardised, decorrelated (E, distance modulus).
    frame : what they are standardised by.
    scatter : deviation of the nodes' weights about the fit, over its root: of a weight of one, its relative deviation.
    """

    coefficients: Float[Array, "*star coefficient"]
    frame: MomentFrame
    scatter: Float[Array, "*star"]

    @property
    def shift(self) -> Float[np.ndarray, "*star"]:
        """Return how far the correction moves the mean, in deviations, to first order; the larger of the two coordinates."""
        return np.asarray(np.abs(np.asarray(self.coefficients)[..., 1:3]).max(axis=-1))


def features(
    frame: MomentFrame, ebv_mag: Float[Array, "*node"], modulus_mag: Float[Array, "*node"]
) -> Float[Array, "*node coefficient"]:
    """Evaluate the polynomials of `Tilt`, which are orthonormal if the posterior is normal."""
    a = (ebv_mag - frame.ebv_mean_mag) / frame.ebv_std_mag
    m = (modulus_mag - frame.modulus_mean_mag) / frame.modulus_std_mag
    b = (m - frame.correlation * a) / jnp.sqrt(1.0 - frame.correlation**2)
    a, b = (jnp.clip(v, -COORDINATE_CLIP, COORDINATE_CLIP) for v in (a, b))
    root2 = jnp.sqrt(2.0)
    return jnp.stack([jnp.ones_like(a), a, b, (a * a - 1) / root2, a * b, (b * b - 1) / root2], axis=-1)


def fit_tilt(grid: Grid, draws: WeightedDraws, n_per_node: int) -> Tilt:
    """Fit the correction to one star's draws.

    Equation: EF6 (docs/explanation/model.md): the exponential of the polynomial meets the moments of each node's mean weight.
    """
    frame = moment_frame(grid)
    by_node = draws.log_weight.reshape(-1, n_per_node)
    peak = jnp.max(by_node, axis=1, keepdims=True)
    log_weight = peak[:, 0] + jnp.log(jnp.mean(jnp.exp(by_node - peak), axis=1))
    middle = jnp.median(log_weight)
    log_weight = middle + jnp.clip(log_weight - middle, -CLIP_NAT, CLIP_NAT)
    scale = logmeanexp(log_weight)
    log_weight = log_weight - scale
    x = features(frame, draws.ebv_mag[::n_per_node], draws.modulus_mag[::n_per_node])
    n_nodes, n_coefficients = x.shape
    n_free = max(n_nodes - n_coefficients, 1)
    prior = jnp.diag(jnp.array([10.0, *[LINEAR_PRIOR] * 2, *[QUADRATIC_PRIOR] * 3]) ** -2)
    variance = jnp.var(log_weight) + 1e-4
    # The logarithms begin: they are near, whatever the weights. Their fit alone would be too low where they scatter more.
    coefficients = solve_spd(x.T @ x / variance + prior, x.T @ log_weight / variance)

    def newton(
        _: Int[Array, ""] | int, state: tuple[Float[Array, " coefficient"], Float[Array, ""]]
    ) -> tuple[Float[Array, " coefficient"], Float[Array, ""]]:
        coefficients, variance = state
        fitted = jnp.exp(jnp.clip(x @ coefficients, -2.0 * CLIP_NAT, 2.0 * CLIP_NAT))
        residual = jnp.exp(log_weight) - fitted
        slope = x.T @ residual / variance - prior @ coefficients
        step = solve_spd((x.T * fitted) @ x / variance + prior, slope)  # EF6
        return coefficients + step, jnp.sum(residual**2 / fitted) / n_free + 1e-4

    coefficients, variance = jax.lax.fori_loop(0, NEWTON_STEPS, newton, (coefficients, variance))
    return Tilt(coefficients.at[0].add(scale), frame, jnp.sqrt(variance))


def logmeanexp(values: Float[Array, " value"]) -> Float[Array, ""]:
    """Return ln of the mean of exponentials."""
    peak = jnp.max(values)
    return peak + jnp.log(jnp.mean(jnp.exp(values - peak)))


def tilted(grid: Grid, tilt: Tilt) -> Grid:
    """Apply a correction to a grid, be it the one that the correction was fitted on or another of the same star."""
    modulus_mag, ebv_mag = jnp.meshgrid(grid.modulus_mag, grid.ebv_mag, indexing="ij")
    x = features(tilt.frame, ebv_mag, modulus_mag)
    correction = jnp.clip(x @ tilt.coefficients, -2.0 * CLIP_NAT, 2.0 * CLIP_NAT)
    return grid._replace(log_density=grid.log_density + correction)


def widening(before: Grid, after: Grid) -> Float[Array, ""]:
    """Return how much the correction changed ln of a standard deviation: of E or of the distance modulus, the larger."""
    old, new = moment_frame(before), moment_frame(after)
    return jnp.maximum(
        jnp.abs(jnp.log(new.ebv_std_mag / old.ebv_std_mag)),
        jnp.abs(jnp.log(new.modulus_std_mag / old.modulus_std_mag)),
    )


def solve_spd(matrix: Float[Array, "n n"], vector: Float[Array, " n"]) -> Float[Array, " n"]:
    """Solve a small positive definite system by unrolled elimination: no LAPACK in compiled code."""
    n = len(vector)
    rows = [jnp.concatenate([matrix[i], vector[i : i + 1]]) for i in range(n)]
    for i in range(n):
        rows[i] = rows[i] / rows[i][i]
        for j in range(n):
            if j != i:
                rows[j] = rows[j] - rows[j][i] * rows[i]
    return jnp.stack([row[n] for row in rows])
