"""Joint densities between their nodes: which can be used, and the same on finer nodes."""

from typing import Final

import numpy as np
from jaxtyping import Bool, Float

from redflower.posterior.density import JointDensity

#: How often the spacing of a star's nodes is halved. Linear interpolation at spacing h adds h^2 / 6 to the variance of a
#: density: 5 % for nodes 0.55 sigma apart, 0.3 % after two halvings.
REFINEMENTS: Final = 2


def usable_densities(density: JointDensity) -> Bool[np.ndarray, " star"]:
    """Tell which stars have a density: a grid with finite, rising nodes and a value on it."""
    start_step = (
        density.ebv_start_mag,
        density.ebv_step_mag,
        density.modulus_start_mag,
        density.modulus_step_mag,
    )
    finite = np.all([np.isfinite(a) for a in start_step], axis=0)
    with np.errstate(invalid="ignore"):
        rising = (density.ebv_step_mag > 0) & (density.modulus_step_mag > 0)
    peaked = (density.steps_below_peak == 0).any(axis=(1, 2))
    return finite & rising & peaked


def on_finer_nodes(
    log_value: Float[np.ndarray, "star modulus ebv"],
) -> Float[np.ndarray, "star finer_modulus finer_ebv"]:
    """Interpolate log densities onto nodes whose spacing is halved `REFINEMENTS` times on both axes."""
    for _ in range(REFINEMENTS):
        log_value = np.swapaxes(_refined(np.swapaxes(_refined(log_value), 1, 2)), 1, 2)
    return log_value


def _refined(values: Float[np.ndarray, "star row node"]) -> Float[np.ndarray, "star row finer"]:
    """Insert a value in the middle of each interval of the last axis, by cubic interpolation."""
    middle = np.empty((*values.shape[:2], values.shape[2] - 1))
    v = [values[:, :, k : values.shape[2] - 3 + k] for k in range(4)]
    middle[:, :, 1:-1] = (9.0 * (v[1] + v[2]) - v[0] - v[3]) / 16.0
    for end, (near, mid, far) in ((0, (0, 1, 2)), (-1, (-1, -2, -3))):
        middle[:, :, end] = (3.0 * values[:, :, near] + 6.0 * values[:, :, mid] - values[:, :, far]) / 8.0
    finer = np.empty((*values.shape[:2], 2 * values.shape[2] - 1))
    finer[:, :, ::2], finer[:, :, 1::2] = values, middle
    return finer
