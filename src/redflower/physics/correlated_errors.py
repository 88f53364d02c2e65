"""Correlated errors of a star's magnitudes: what turns them into independent ones of unit variance, and back."""

import numpy as np
from jaxtyping import Array, Bool, Float


def error_whitener(
    correlation: Float[np.ndarray, "star band band"], observed: Bool[np.ndarray, "star band"]
) -> Float[np.ndarray, "star band band"]:
    """Return W, lower triangular, with W C W^T = 1 for the correlation C of the errors of the observed bands.

    A band that is missing has a row and a column of the unit matrix. As W is triangular, its leading part is that of the leading
    bands, and what follows a star's last band may be left out.

    Equation: E5b (docs/explanation/model.md).

    Parameters
    ----------
    correlation : of the errors, 1 on the diagonal. Elements of missing bands are not read.
    observed : which bands count.

    Raises
    ------
    numpy.linalg.LinAlgError
        If a matrix is not positive.
    """
    n_bands = correlation.shape[-1]
    both = observed[:, :, None] & observed[:, None, :]
    matrix = np.where(both, correlation, np.eye(n_bands))
    return np.asarray(np.tril(np.linalg.inv(np.linalg.cholesky(matrix))))  # E5b


def correlated_noise(
    whitener: Float[Array | np.ndarray, "star band band"] | None, normal: Float[np.ndarray, "star band"]
) -> Float[np.ndarray, "star band"]:
    """Return noise with the correlation of the errors, in their units, from independent standard normal numbers.

    Parameters
    ----------
    whitener : of `error_whitener`, of as many bands or more; None where the errors are independent.
    normal : the numbers.
    """
    if whitener is None:
        return normal
    n_bands = normal.shape[1]
    leading = np.asarray(whitener, dtype=np.float64)[:, :n_bands, :n_bands]
    return np.asarray(np.linalg.solve(leading, normal[:, :, None])[:, :, 0])
