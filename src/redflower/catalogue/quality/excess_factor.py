"""The excess of BP and RP fluxes over that of G, corrected for colour: a mark of blends, of background and of extended sources.

Source: Riello et al. (2021), A&A 649, A3, equation 6, table 2 and equation 18, for Gaia (E)DR3.
"""

from typing import Final

import numpy as np
from jaxtyping import Float

#: Upper ends in BP - RP, and coefficients of rising powers of it, of what the excess factor of an isolated star is. [mag]
_TABLE_2: Final = (
    (0.5, (1.154360, 0.033772, 0.032277)),
    (4.0, (1.162004, 0.011464, 0.049255, -0.005879)),
    (np.inf, (1.057572, 0.140537)),
)


def corrected_excess_factor(
    excess_factor: Float[np.ndarray, " star"], bp_rp_mag: Float[np.ndarray, " star"]
) -> Float[np.ndarray, " star"]:
    """Take from the excess factor what an isolated star of its colour has.

    Equation: EP10 (docs/explanation/model.md).

    Parameters
    ----------
    excess_factor
        ``phot_bp_rp_excess_factor`` of Gaia (E)DR3.
    bp_rp_mag
        Observed BP - RP. [mag]

    Returns
    -------
    array
        C*, near 0 for an isolated star; NaN where either is missing.

    Examples
    --------
    >>> corrected_excess_factor(np.array([1.3]), np.array([1.0])).round(6)
    array([0.083156])
    """
    expected = np.full(np.shape(bp_rp_mag), np.nan)
    low = -np.inf
    for high, coefficients in _TABLE_2:
        with np.errstate(invalid="ignore"):
            here = (bp_rp_mag >= low) & (bp_rp_mag < high)
        expected[here] = np.polynomial.polynomial.polyval(bp_rp_mag[here], coefficients)
        low = high
    return excess_factor - expected  # EP10


def excess_factor_sigma(g_mag: Float[np.ndarray, " star"]) -> Float[np.ndarray, " star"]:
    """Return the scatter of the corrected excess factor of isolated stars with good photometry.

    Equation: EP11 (docs/explanation/model.md).

    Parameters
    ----------
    g_mag
        Apparent G. [mag]

    Returns
    -------
    array
        One standard deviation.

    Examples
    --------
    >>> excess_factor_sigma(np.array([15.0])).round(5)
    array([0.01403])
    """
    return 0.0059898 + 8.817481e-12 * np.asarray(g_mag) ** 7.618399  # EP11
