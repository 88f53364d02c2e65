"""Coefficients of BP and RP spectra and their covariance, from a row as the archive, its mirrors or GaiaXPy deliver it.

The sizes of the bases are those of the row: 55 and 55 in Gaia DR3, 51 for BP in DR4.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from jaxtyping import Float

from redflower.errors import InputError

PHOTOMETERS: Final = ("bp", "rp")
#: What is added to the diagonal of a correlation matrix before it must be positive: archives round its elements to single
#: precision (6e-8), and the sum over a row of up to a hundred of them moves an eigenvalue by less than this.
CORRELATION_ROUNDING: Final = 1e-5


@dataclass(frozen=True)
class Spectrum:
    """One photometer's mean spectrum of one star: f(u) = sum of coefficients times the basis functions.

    Attributes
    ----------
    coefficients : in the order of the basis. [electron / s]
    covariance : of the coefficients, scaled by the solution's unit weight variance as the archive's errors are.
    basis : the archive's number of the basis; None where the file does not tell.
    """

    coefficients: Float[np.ndarray, " basis"]
    covariance: Float[np.ndarray, "basis basis"]
    basis: int | None


def source_id(row: Mapping[str, Any], where: str) -> int:
    """Return the identifier of a row's star.

    Raises
    ------
    InputError
        If there is none.
    """
    value = row.get("source_id")
    try:
        if isinstance(value, str):
            return int(value.strip())
        if isinstance(value, (int, np.integer)):
            return int(value)
        raise ValueError(value)  # a float has lost the last digits
    except ValueError:
        raise InputError(
            f"{where}: every row needs a whole number in the column source_id; got {value!r:.60}."
        ) from None


def spectrum_of(row: Mapping[str, Any], photometer: str, where: str) -> Spectrum | None:
    """Return a row's spectrum of one photometer; None where the row has none.

    Parameters
    ----------
    row : column to value: ``bp_coefficients`` with ``bp_coefficient_errors`` and ``bp_coefficient_correlations`` (the lower
        triangle without its diagonal, row by row, or the whole matrix), or with ``bp_coefficient_covariances`` and
        ``bp_standard_deviation``; the same for ``rp``. Arrays may be text.
    photometer : ``bp`` or ``rp``.
    where : how messages call the row.

    Raises
    ------
    InputError
        If lengths do not agree, an error is not positive, or the correlations are those of no positive matrix.
    """
    values = numbers_of(row.get(f"{photometer}_coefficients"), f"{where}, {photometer}_coefficients")
    if values is None:
        return None
    n = len(values)
    stated = _number(row.get(f"{photometer}_n_parameters"))
    if stated is not None and int(stated) != n:
        raise InputError(
            f"{where}: {photometer}_n_parameters says {int(stated)} coefficients, and {photometer}_coefficients has {n}. "
            "The row is damaged, or put together from two releases; fetch it again."
        )
    covariance = _covariance(row, photometer, n, where)
    if covariance is None:
        return None
    if not (np.isfinite(values).all() and np.isfinite(covariance).all()):
        return None
    _check_positive(covariance, f"{where}, {photometer}")
    basis = _number(row.get(f"{photometer}_basis_function_id"))
    return Spectrum(values, covariance, None if not basis else int(basis))


def _covariance(
    row: Mapping[str, Any], photometer: str, n: int, where: str
) -> Float[np.ndarray, "basis basis"] | None:
    name = f"{photometer}_coefficient_covariances"
    covariances = numbers_of(row.get(name), f"{where}, {name}")
    if covariances is not None:
        deviation = _number(row.get(f"{photometer}_standard_deviation"))
        if deviation is None or not deviation > 0:
            raise InputError(
                f"{where}: {name} is that of the fit, to be scaled by {photometer}_standard_deviation squared, which must be "
                f"positive; got {row.get(f'{photometer}_standard_deviation')!r:.40}."
            )
        return _symmetric(covariances, n, f"{where}, {name}") * deviation**2
    name = f"{photometer}_coefficient_errors"
    errors = numbers_of(row.get(name), f"{where}, {name}")
    correlations_name = f"{photometer}_coefficient_correlations"
    correlations = numbers_of(row.get(correlations_name), f"{where}, {correlations_name}")
    if errors is None or correlations is None:
        raise InputError(
            f"{where}: {photometer}_coefficients need {name} and {correlations_name}; without them a magnitude has no error. "
            "Ask the archive for XP_CONTINUOUS in its RAW form, which has all three."
        )
    if len(errors) != n:
        raise InputError(
            f"{where}: {photometer}_coefficients has {n} numbers and {name} {len(errors)}; both must have the length of the "
            "basis. The row is damaged, or put together from two releases; fetch it again."
        )
    if not (errors > 0).all():
        raise InputError(f"{where}: {name} must be positive; got {float(np.min(errors)):g}.")
    matrix = _symmetric(correlations, n, f"{where}, {correlations_name}")
    if np.abs(matrix).max() > 1.0 + CORRELATION_ROUNDING:
        raise InputError(
            f"{where}: {correlations_name} must lie between -1 and 1; got {float(matrix.flat[np.abs(matrix).argmax()]):g}. "
            "Covariances belong in the column " + f"{photometer}_coefficient_covariances."
        )
    return matrix * np.outer(errors, errors)


def _symmetric(values: np.ndarray, n: int, where: str) -> Float[np.ndarray, "basis basis"]:
    """Return the symmetric matrix of its lower triangle, row by row, without or with the diagonal, or of all its elements."""
    below, with_diagonal = n * (n - 1) // 2, n * (n + 1) // 2
    if values.size == n * n and n > 1:
        return values.reshape(n, n)
    if values.size not in (below, with_diagonal):
        raise InputError(
            f"{where}: {n} coefficients have {below} correlations ({with_diagonal} with the diagonal); got {values.size}. The "
            "row is damaged, or put together from two releases; fetch it again."
        )
    matrix = np.eye(n)
    matrix[np.tril_indices(n, -1 if values.size == below else 0)] = values
    return np.tril(matrix) + np.tril(matrix, -1).T


def _check_positive(covariance: Float[np.ndarray, "basis basis"], where: str) -> None:
    """Refuse a covariance whose correlations are those of no positive matrix."""
    variance = np.diag(covariance)
    if (variance > 0).all():
        scale = 1.0 / np.sqrt(variance)
        correlation = covariance * np.outer(scale, scale)
        try:
            np.linalg.cholesky(correlation + CORRELATION_ROUNDING * np.eye(len(variance)))
        except np.linalg.LinAlgError:
            lowest = f"its lowest eigenvalue is {float(np.linalg.eigvalsh(correlation)[0]):.2g}"
        else:
            return
    else:
        lowest = f"its smallest variance is {float(variance.min()):.2g}"
    raise InputError(
        f"{where}: the covariance of the coefficients must be positive; {lowest}. Correlations in another order than the "
        "archive's (lower triangle, row by row) do this, and a damaged row; fetch it again."
    )


def _number(value: Any) -> float | None:
    """Return a cell's number; None where it is missing."""
    if value is None or value is np.ma.masked:
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if np.isfinite(number) else None


def numbers_of(value: Any, where: str) -> Float[np.ndarray, " number"] | None:
    """Return the numbers of a cell, which may be text such as ``(1.0, 2.0)``, ``[1.0 2.0]`` or ``{1.0,2.0}``; None if missing."""
    if value is None or value is np.ma.masked:
        return None
    try:
        if isinstance(value, (bytes, str)):
            text = value.decode() if isinstance(value, bytes) else value
            words = text.strip().strip("()[]{}").replace(",", " ").split()
            if not words or words[0].lower() in ("null", "nan", "none", "--"):
                return None
            return np.array(words, dtype=np.float64)
        numbers = np.ma.filled(np.ma.asarray(value, dtype=np.float64), np.nan)
    except (TypeError, ValueError):
        raise InputError(f"{where}: an array of numbers is needed; got {value!r:.60}.") from None
    if numbers.ndim == 0 or not numbers.size or np.isnan(numbers).all():
        return None
    return numbers if numbers.ndim == 1 else numbers.reshape(-1)
