"""Magnitudes, colours relative to G, and their errors."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


def absolute_to_colour(absolute_mag: Float[Array | np.ndarray, "band *shape"]) -> Float[Array, "band *shape"]:
    r"""Convert absolute magnitudes to the flow's vector: M_G, then every other magnitude minus M_G.

    .. math:: x = \Lambda M,\qquad
       \Lambda = \begin{bmatrix}1 & 0 & \cdots\\ -1 & 1 & \\ \vdots & & \ddots\end{bmatrix}

    Equations: E3, E4 (docs/explanation/model.md). Source: O'Callaghan et al. (2025), eqs 3, 4.

    Parameters
    ----------
    absolute_mag : absolute magnitudes in the order of a set of bands. [mag]

    Returns
    -------
    M_G and the colours relative to G. [mag]
    """
    return jnp.concatenate([absolute_mag[:1], absolute_mag[1:] - absolute_mag[0]])  # E3, E4


def colour_to_absolute(x: Float[Array, " band"]) -> Float[Array, " band"]:
    r"""Convert a colour-magnitude vector back to absolute magnitudes, :math:`M = \Lambda^{-1} x`.

    Equations: E3, E4 (docs/explanation/model.md).

    Parameters
    ----------
    x : M_G and the colours relative to G. [mag]

    Returns
    -------
    Absolute magnitudes. [mag]
    """
    return jnp.concatenate([x[:1], x[1:] + x[0]])  # E3, E4


def colour_covariance(magnitude_error_mag: Float[Array, " band"]) -> Float[Array, "band band"]:
    r"""Return the error covariance of the colour-magnitude vector: the colours share the error of G.

    .. math:: \Lambda \Sigma \Lambda^T,\qquad \Sigma = \mathrm{diag}(\sigma^2)

    Equation: EP3 (docs/explanation/model.md).

    Parameters
    ----------
    magnitude_error_mag : standard errors of the magnitudes, independent of each other, >= 0. [mag]

    Returns
    -------
    Covariance of M_G and the colours; every off-diagonal element is plus or minus the variance of G. [mag^2]
    """
    variance_mag2 = magnitude_error_mag**2
    first_column = jnp.ones_like(variance_mag2).at[1:].set(-1.0)
    own = jnp.diag(variance_mag2.at[0].set(0.0))
    return variance_mag2[0] * jnp.outer(first_column, first_column) + own  # EP3
