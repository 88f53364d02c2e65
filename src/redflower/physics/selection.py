"""The Malmquist cut: which apparent magnitudes of the leading band a survey holds."""

from typing import Final

from jax.scipy.special import log_ndtr
from jaxtyping import Array, Float

from redflower.physics._types import ScalarLike

#: Width of the two edges, the standard deviation of a normal distribution function (docs/model.md, D2). [mag]
EDGE_WIDTH_MAG: Final = 0.01


def log_within_limits(
    magnitude_mag: ScalarLike, bright_mag: ScalarLike, faint_mag: ScalarLike
) -> Float[Array, ""]:
    r"""Log of the Malmquist term: about 0 between the limits, falling without bound beyond them.

    .. math:: \ln I(M \mid \mu) = \ln \mathcal N\!\left(\frac{m - m_\mathrm{bright}}{w}\right)
       + \ln \mathcal N\!\left(\frac{m_\mathrm{faint} - m}{w}\right),\qquad m = M + \mu,

    with the normal distribution function :math:`\mathcal N` and the width w of `EDGE_WIDTH_MAG`.

    Equation: E9 (docs/model.md). Source: O'Callaghan et al. (2025), eq. 9. There the edges are hard, which
    leaves a sampler without a gradient; w -> 0 gives them back (D2). The constant 1/(m_faint - m_bright) of
    the paper's uniform density is left out, for it cancels against the normaliser (D7).

    Parameters
    ----------
    magnitude_mag : model apparent magnitude of the leading band, without extinction. [mag]
    bright_mag, faint_mag : limits of the survey; infinite where there is none. [mag]

    Returns
    -------
    Log of a number between 0 and 1. Outside it falls as the square of the distance to the limit, so its
    gradient leads back inside from any finite magnitude.
    """
    above_bright = log_ndtr((magnitude_mag - bright_mag) / EDGE_WIDTH_MAG)  # D2
    below_faint = log_ndtr((faint_mag - magnitude_mag) / EDGE_WIDTH_MAG)
    return above_bright + below_faint  # E9, D7
