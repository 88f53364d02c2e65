"""The triangular standardisation that stands before and after the network.

Colours of stars follow a narrow locus, so that dividing each colour by its own spread would leave the network
to find a line a hundred times thinner than it is long. Instead the vector is multiplied by the inverse
Cholesky factor of its covariance, which is lower triangular with a positive diagonal: each coordinate becomes
its residual from the linear regression on the coordinates before it. A product of triangular maps is
triangular, so everything that rests on the order of the bands still holds
(docs/decisions/0003-triangular-standardisation.md).
"""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from redflower.errors import TrainingError


class Standardisation(eqx.Module):
    """Fixed affine maps of the colour-magnitude vector and of the condition.

    Attributes
    ----------
    x_mean : mean of x = (M_G, colours relative to G). [mag]
    x_inverse_cholesky : inverse of the lower Cholesky factor of the covariance of x. [1/mag]
    condition_mean, condition_std : mean and standard deviation of (log10 R/pc, log10 Z/pc).
    """

    x_mean: Float[Array, " band"]
    x_inverse_cholesky: Float[Array, "band band"]
    condition_mean: Float[Array, " cond"]
    condition_std: Float[Array, " cond"]

    def x(self, x: Float[Array, " band"]) -> Float[Array, " band"]:
        return self.x_inverse_cholesky[: len(x), : len(x)] @ (x - self.x_mean[: len(x)])

    def condition(self, condition: Float[Array, " cond"]) -> Float[Array, " cond"]:
        return (condition - self.condition_mean) / self.condition_std

    @property
    def slope(self) -> Float[Array, " band"]:
        """Return the diagonal of the Jacobian of the standardisation of x. [1/mag]"""
        return jnp.diagonal(self.x_inverse_cholesky)


def fit_standardisation(x: np.ndarray, observed: np.ndarray, condition: np.ndarray) -> Standardisation:
    """Fit a standardisation to a sample, robust to outliers, with colours that some stars lack.

    Coordinate k is regressed on the coordinates before it, over the stars that have all of them, twice, the
    second time without the residuals larger than four robust standard deviations.

    Parameters
    ----------
    x : (star, band) noisy colour-magnitude vectors. [mag]
    observed : (star, band) which of them exist.
    condition : (star, cond) values of (log10 R/pc, log10 Z/pc).

    Raises
    ------
    TrainingError : a band has fewer complete stars than ten times its regressors.
    """
    n_bands = x.shape[1]
    x = np.asarray(x, dtype=np.float64)
    mean = np.array(
        [np.median(x[observed[:, k], k]) if observed[:, k].any() else 0.0 for k in range(n_bands)]
    )
    inverse_cholesky = np.zeros((n_bands, n_bands))
    for k in range(n_bands):
        complete = observed[:, : k + 1].all(axis=1)
        if complete.sum() < 10 * (k + 1):
            raise TrainingError(
                f"The training sample has {complete.sum()} stars with the first {k + 1} bands; at least "
                f"{10 * (k + 1)} are needed to standardise band {k + 1}. Train with fewer bands or more stars."
            )
        before, target = x[complete, :k] - mean[:k], x[complete, k] - mean[k]
        keep = np.ones(len(target), dtype=bool)
        coefficients, scale = np.zeros(k), 1.0
        for _ in range(3):
            if k:
                coefficients = np.linalg.lstsq(before[keep], target[keep], rcond=None)[0]
            residual = target - before @ coefficients
            scale = 1.4826 * np.median(np.abs(residual - np.median(residual)))
            scale = max(scale, 1e-3)
            keep = np.abs(residual) < 4.0 * scale
        scale = max(float(np.std(residual[np.abs(residual) < 8.0 * scale])), 1e-3)
        inverse_cholesky[k, :k] = -coefficients / scale
        inverse_cholesky[k, k] = 1.0 / scale
    return Standardisation(
        x_mean=jnp.asarray(mean, dtype=jnp.float32),
        x_inverse_cholesky=jnp.asarray(inverse_cholesky, dtype=jnp.float32),
        condition_mean=jnp.asarray(condition.mean(axis=0), dtype=jnp.float32),
        condition_std=jnp.asarray(np.maximum(condition.std(axis=0), 1e-3), dtype=jnp.float32),
    )
