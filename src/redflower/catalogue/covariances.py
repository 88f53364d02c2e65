"""Correlated errors between the bands of a survey: the column of their covariance, checked, and as matrices."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import numpy as np
from astropy.table import Table
from jaxtyping import Float

from redflower.band import BandSet
from redflower.catalogue.io.columns import as_floats
from redflower.errors import InputError
from redflower.provenance import COVARIANCE_KEY, META_KEY
from redflower.survey import Survey
from redflower.surveys import shipped_surveys

#: What may be lacking of a positive correlation matrix: single precision in a table of twenty bands.
_ROUNDING: Final = 1e-5


def covariance_columns(table: Table) -> dict[str, tuple[str, ...]]:
    """Return the covariance columns of a prepared table: name to the names of the bands whose lower triangle it holds.

    Where the table has lost its provenance, columns are known by their names in shipped surveys.
    """
    recorded = table.meta.get(META_KEY, {}).get(COVARIANCE_KEY)
    if recorded is None:
        recorded = {
            survey.covariance: [band.name for band in survey.bands]
            for survey in shipped_surveys().values()
            if survey.covariance is not None
        }
    return {str(name): tuple(bands) for name, bands in recorded.items() if name in table.colnames}


def check_covariances(raw: Table, surveys: Iterable[Survey]) -> tuple[dict[str, list[str]], list[str]]:
    """Check the covariances of a raw table; return what its prepared table records of them, and what to say.

    Parameters
    ----------
    raw : the columns of the surveys' magnitudes and errors, and of their covariance.
    surveys : whose bands were read.

    Raises
    ------
    InputError
        If an array has another length than the survey's bands need, is of no positive matrix, or disagrees with the errors.
    """
    recorded: dict[str, list[str]] = {}
    notes: list[str] = []
    for survey in surveys:
        name = survey.covariance
        if name is None or not any(band.magnitude_column in raw.colnames for band in survey.bands):
            continue
        if name not in raw.colnames:
            notes.append(
                f"{survey.name} has no column {name}: its errors are taken as independent, which they are not, and E(B-V) gets a "
                "wrong error; write the table in a format that holds arrays (.parquet .fits .ecsv .vot)"
            )
            continue
        covariance = lower_triangles(raw, name, len(survey.bands))
        errors = [as_floats(raw, str(band.error_column)) for band in survey.bands]
        _check(covariance, np.stack(errors, axis=1), name, np.asarray(raw["source_id"]))
        recorded[name] = [band.name for band in survey.bands]
    return recorded, notes


def lower_triangles(table: Table, name: str, n_bands: int) -> Float[np.ndarray, "star band band"]:
    """Return a covariance column as symmetric matrices. [mag^2]

    Raises
    ------
    InputError
        If its arrays are of another length.
    """
    values: np.ndarray = np.asarray(np.ma.filled(np.ma.asarray(table[name], dtype=float), np.nan))
    n_elements = n_bands * (n_bands + 1) // 2
    if values.ndim != 2 or values.shape[1] != n_elements:
        raise InputError(
            f"column {name} must hold {n_elements} numbers for each star, the lower triangle of {n_bands} bands with its "
            f"diagonal; got {'one number' if values.ndim < 2 else values.shape[1]}. Take it as `redflower spectra` writes it."
        )
    matrix = np.zeros((len(values), n_bands, n_bands))
    rows, columns = np.tril_indices(n_bands)
    matrix[:, rows, columns] = values
    matrix[:, columns, rows] = values
    return matrix


def correlations(
    table: Table,
    bands: BandSet,
    error_mag: Float[np.ndarray, "star band"],
) -> Float[np.ndarray, "star band band"] | None:
    """Return the correlation of the errors of a prepared table's magnitudes in some bands; None where all are independent.

    Floors and other independent errors, which the errors hold and the covariance does not, make correlations smaller.

    Parameters
    ----------
    table : from `prepare`.
    bands : of the arrays.
    error_mag : of those bands. [mag]
    """
    columns = covariance_columns(table)
    found: Mapping[str, Sequence[str]] = {
        name: names for name, names in columns.items() if sum(one in bands.index for one in names) > 1
    }
    if not found:
        return None
    whole = np.zeros((len(table), len(bands), len(bands)))
    for name, names in found.items():
        covariance = lower_triangles(table, name, len(names))
        inside = [i for i, one in enumerate(names) if one in bands.index]
        places = [bands.index[names[i]] for i in inside]
        whole[np.ix_(range(len(table)), places, places)] = covariance[
            np.ix_(range(len(table)), inside, inside)
        ]
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation = whole / (error_mag[:, :, None] * error_mag[:, None, :])
    correlation = np.where(np.isfinite(correlation), correlation, 0.0)
    diagonal = np.arange(len(bands))
    correlation[:, diagonal, diagonal] = 1.0
    return correlation


def _check(
    covariance: Float[np.ndarray, "star band band"],
    error_mag: Float[np.ndarray, "star band"],
    name: str,
    ids: np.ndarray,
) -> None:
    variance = np.diagonal(covariance, axis1=1, axis2=2)
    there = np.isfinite(variance) & np.isfinite(error_mag)
    # Single precision and a decimal or two that a text table lost.
    wrong = there & ~(np.abs(variance - error_mag**2) <= 0.02 * error_mag**2)
    if wrong.any():
        star, band = np.argwhere(wrong)[0]
        raise InputError(
            f"column {name}: the diagonal must be the squares of the errors; band {band + 1} of source_id {ids[star]} has the "
            f"variance {variance[star, band]:.3g} and the error {error_mag[star, band]:.3g} mag. "
            "Is it of fluxes, or in another order?"
        )
    scale = np.where(there, 1.0 / np.sqrt(np.where(there, variance, 1.0)), 0.0)
    correlation = np.nan_to_num(covariance) * scale[:, :, None] * scale[:, None, :]
    diagonal = np.arange(covariance.shape[1])
    correlation[:, diagonal, diagonal] = 1.0 + _ROUNDING
    try:
        np.linalg.cholesky(correlation)
    except np.linalg.LinAlgError:
        lowest = np.linalg.eigvalsh(correlation)[:, 0]
        star = int(lowest.argmin())
        raise InputError(
            f"column {name}: the covariance of source_id {ids[star]} is of no positive matrix (lowest eigenvalue of its "
            f"correlations {lowest[star]:.2g}). Its elements are in another order than stated, or damaged: run `redflower "
            "spectra` again."
        ) from None
