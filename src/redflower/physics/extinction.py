"""Extinction laws: how much fainter each band gets per unit of reddening."""

from typing import Final

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from redflower.bands import BP, RP
from redflower.physics._types import ScalarLike
from redflower.physics.extinction_laws import ExtinctionLaw

#: Newton steps of `intrinsic_bp_rp`; what is left after them is the rounding of float32.
N_NEWTON_STEPS: Final = 4


def extinction_mag(law: ExtinctionLaw, ebv_mag: ScalarLike, bp_rp_mag: ScalarLike) -> Float[Array, " band"]:
    r"""Return the extinction of every band, :math:`A = R(E, C)\,E`.

    Equation: EP8 (docs/explanation/model.md). Source: O'Callaghan et al. (2025), section 2.8.

    Parameters
    ----------
    law : the extinction law.
    ebv_mag : reddening E(B-V); may be negative, as the prior allows it to be. [mag]
    bp_rp_mag : *intrinsic* BP-RP. [mag]

    Returns
    -------
    A of every band. [mag]
    """
    return law.coefficients(ebv_mag, bp_rp_mag) * ebv_mag  # EP8


def intrinsic_bp_rp(
    law: ExtinctionLaw, observed_bp_rp_mag: ScalarLike, ebv_mag: ScalarLike
) -> Float[Array, ""]:
    r"""Solve for the intrinsic BP-RP of a star of known reddening, given its observed BP-RP.

    .. math:: C + [R_\mathrm{BP}(E, C) - R_\mathrm{RP}(E, C)]\,E = C_\mathrm{obs}

    Equation: EP6 (docs/explanation/model.md). By `N_NEWTON_STEPS` Newton steps from a first guess at the observed colour:
    plain substitution contracts by only 0.8 per step for hot stars at E = 0.5. The gradient is that of the
    solution (implicit function theorem), not of the steps.

    Parameters
    ----------
    law : the extinction law; its colour excess may change with colour by less than 1/E per mag.
    observed_bp_rp_mag : observed BP-RP. [mag]
    ebv_mag : reddening E(B-V). [mag]

    Returns
    -------
    Intrinsic BP-RP. [mag]
    """
    return unredden(law, observed_bp_rp_mag, ebv_mag)[0]


def unredden(
    law: ExtinctionLaw, observed_bp_rp_mag: ScalarLike, ebv_mag: ScalarLike
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Return the intrinsic BP-RP, and the derivative of the reddened colour with respect to it.

    Returns
    -------
    Intrinsic BP-RP [mag], and d(reddened BP-RP) / d(intrinsic BP-RP) there, without a gradient of its own.
    """

    def excess_of(colour_mag: Float[Array, ""]) -> Float[Array, ""]:
        coefficients = law.coefficients(ebv_mag, colour_mag)
        return colour_mag + (coefficients[BP] - coefficients[RP]) * ebv_mag - observed_bp_rp_mag

    def residual_and_slope(colour_mag: Float[Array, ""]) -> tuple[Float[Array, ""], Float[Array, ""]]:
        return jax.jvp(excess_of, (colour_mag,), (jnp.ones_like(colour_mag),))

    colour_mag = jnp.asarray(observed_bp_rp_mag, dtype=jnp.result_type(observed_bp_rp_mag, ebv_mag, 0.0))
    for _ in range(N_NEWTON_STEPS):
        residual_mag, slope = residual_and_slope(colour_mag)
        colour_mag = colour_mag - residual_mag / slope
    # One more step whose start and slope are held fixed: its derivative is the derivative of the root.
    colour_mag = jax.lax.stop_gradient(colour_mag)
    slope = jax.lax.stop_gradient(residual_and_slope(colour_mag)[1])
    return colour_mag - excess_of(colour_mag) / slope, slope  # EP6
