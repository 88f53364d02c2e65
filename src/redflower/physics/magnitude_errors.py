"""Errors of magnitudes from fluxes, for arrays of numpy or of JAX."""

from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from redflower.constants import MAG_PER_RELATIVE_FLUX

if TYPE_CHECKING:
    import jax

    AnyArray = TypeVar("AnyArray", jax.Array, np.ndarray)
else:
    AnyArray = Any  # of NumPy or of JAX, which is not imported for the former


def magnitude_error_mag(flux: AnyArray, flux_error: AnyArray, floor_mag: float | AnyArray) -> AnyArray:
    r"""Compute the standard error of a magnitude from a flux and its error, with a floor in quadrature.

    .. math:: \sigma_m = \sqrt{\left(\frac{2.5}{\ln 10}\,\frac{\sigma_F}{F}\right)^2 + \sigma_0^2}

    Equation: EP2 (docs/explanation/model.md). It divides by the *flux*, never by the magnitude.

    Works alike on NumPy arrays (a catalogue) and on JAX arrays (a simulation), of any shape.

    Parameters
    ----------
    flux : flux in any unit. Where it is not > 0 it has no magnitude, and the result is NaN.
    flux_error : its standard error in the same unit, >= 0.
    floor_mag : systematic error of the survey, >= 0. [mag]

    Returns
    -------
    Standard errors of the shape of the flux. [mag]
    """
    xp: Any = np
    if not isinstance(flux, (np.ndarray, np.generic, float, int)):
        import jax.numpy

        xp = jax.numpy
    positive = flux > 0
    relative = MAG_PER_RELATIVE_FLUX * flux_error / xp.where(positive, flux, 1.0)
    return xp.where(positive, xp.sqrt(relative**2 + floor_mag**2), xp.nan)  # EP2
