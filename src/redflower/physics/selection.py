"""What a survey holds: the Malmquist cut in the leading band, and the selection function of position and photometry."""

from typing import Any, Final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import log_ndtr
from jaxtyping import Array, ArrayLike, Float, Int

from redflower.physics._types import ScalarLike
from redflower.physics.selection_parts import SELECTION_ARRAYS

#: Width of the two edges, the standard deviation of a normal distribution function (docs/explanation/model.md, D2). [mag]
EDGE_WIDTH_MAG: Final = 0.01


def log_within_limits(
    magnitude_mag: ScalarLike, bright_mag: ScalarLike, faint_mag: ScalarLike
) -> Float[Array, ""]:
    r"""Evaluate the log of the Malmquist term: about 0 between the limits, falling without bound outside them.

    .. math:: \ln I(M \mid \mu) = \ln \mathcal N\!\left(\frac{m - m_\mathrm{bright}}{w}\right)
       + \ln \mathcal N\!\left(\frac{m_\mathrm{faint} - m}{w}\right),\qquad m = M + \mu,

    with the normal distribution function :math:`\mathcal N` and the width w of `EDGE_WIDTH_MAG`.

    Equation: E9 (docs/explanation/model.md). Source: O'Callaghan et al. (2025), eq. 9. There the edges are hard, which
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


class SelectionFunction(eqx.Module):
    """The probability that a star would be in a sample, on cells of position, magnitude and colour (E12).

    Attributes
    ----------
    log_probability : natural log of it, finite, at the centres of the cells; both factors of E11.
    log_mean_probability : natural log of its mean over the colours of the parent's stars of a pixel and magnitude.
    uncertainty : standard deviation of the probability itself in each cell.
    g_centre_mag, g_rp_centre_mag : centres of the cells in unextinguished G and G - RP, rising. [mag]
    nside : HEALPix resolution of the positions, nested, ICRS; 1 row of cells per pixel.
    """

    log_probability: Float[Array, "pixel g g_rp"]
    log_mean_probability: Float[Array, "pixel g"]
    uncertainty: Float[Array, "pixel g g_rp"]
    g_centre_mag: Float[Array, " g"]
    g_rp_centre_mag: Float[Array, " g_rp"]
    nside: int = eqx.field(static=True)


def log_subsample_selection(
    log_selection_within_parent: Float[Array, "..."] | ScalarLike,
    log_parent_selection: Float[Array, "..."] | ScalarLike,
) -> Float[Array, "..."]:
    r"""Return the log of the probability that a star is in a subsample of a catalogue.

    .. math:: \ln\mathfrak S^\mathrm{subsample}(q) = \ln\mathfrak S(q \mid q \in \mathrm{parent})
       + \ln\mathfrak S^\mathrm{parent}(q)

    Equation: E11 (docs/explanation/model.md). Source: O'Callaghan et al. (2025), eq. 11; Rix et al. (2021), AJ 162, 142.

    Parameters
    ----------
    log_selection_within_parent : log of the probability that a star of the parent catalogue is in the subsample.
    log_parent_selection : log of the probability that a star is in the parent catalogue.

    Returns
    -------
    Natural log of a probability; broadcast over the arguments.
    """
    return jnp.asarray(log_selection_within_parent) + jnp.asarray(log_parent_selection)  # E11


def log_selection(
    selection: SelectionFunction, pixel: Int[ArrayLike, ""], g_mag: ScalarLike, g_rp_mag: ScalarLike
) -> Float[Array, ""]:
    r"""Return the log of the probability that a star with this photometry and position would be in the sample.

    .. math:: \ln P(S = 1 \mid m^\mathrm{unext}, l, b) = \ln\mathfrak S(m^\mathrm{unext}, l, b)

    Equation: E12 (docs/explanation/model.md). Source: O'Callaghan et al. (2025), eq. 12.

    Bilinear in G and G - RP between the centres of the cells, so that samplers get a gradient, and constant outside the
    outermost centres; constant within a pixel, for the position of a star is exact.

    Parameters
    ----------
    selection : the cells.
    pixel : the star's nested ICRS pixel at ``selection.nside``.
    g_mag, g_rp_mag : *unextinguished* apparent G, M_G + mu, and intrinsic G - RP. [mag]

    Returns
    -------
    Natural log of a number above 0 and up to 1; finite for finite magnitudes.
    """
    cells = selection.log_probability[pixel]
    i, f = _between(selection.g_centre_mag, g_mag)
    j, h = _between(selection.g_rp_centre_mag, g_rp_mag)
    i1, j1 = jnp.minimum(i + 1, cells.shape[0] - 1), jnp.minimum(j + 1, cells.shape[1] - 1)
    low = (1 - h) * cells[i, j] + h * cells[i, j1]
    high = (1 - h) * cells[i1, j] + h * cells[i1, j1]
    return (1 - f) * low + f * high  # E12


def log_mean_selection(
    selection: SelectionFunction, pixel: Int[Array, ""] | int, g_mag: ScalarLike
) -> Float[Array, ""]:
    r"""Return the log of `log_selection`'s probability averaged over the colours of the parent's stars there.

    Equation: E12b (docs/explanation/model.md). What the normaliser of E24 needs: it integrates over colour, for which the
    parent's own counts stand.

    Parameters
    ----------
    selection, pixel, g_mag : as in `log_selection`.

    Returns
    -------
    Natural log of a number above 0 and up to 1, linear in G between the centres of the cells.
    """
    row = selection.log_mean_probability[pixel]
    i, f = _between(selection.g_centre_mag, g_mag)
    return (1 - f) * row[i] + f * row[jnp.minimum(i + 1, len(row) - 1)]  # E12b


def selection_from_parts(arrays: dict[str, np.ndarray], settings: dict[str, Any]) -> SelectionFunction:
    """Make a selection function from the parts of `selection_to_parts`.

    Raises
    ------
    ValueError
        If an array is absent, of another shape, or not finite.
    """
    try:
        parts = {name: np.asarray(arrays[name], np.float32) for name in SELECTION_ARRAYS}
        nside = int(settings["nside"])
    except (KeyError, TypeError) as problem:
        raise ValueError(f"a selection function lacks {problem}") from None
    shape = (12 * nside**2, len(parts["g_centre_mag"]), len(parts["g_rp_centre_mag"]))
    shapes = {"log_probability": shape, "uncertainty": shape, "log_mean_probability": shape[:2]}
    if any(parts[name].shape != wanted for name, wanted in shapes.items()):
        raise ValueError(f"a selection function must have cells of the shape (pixel, g, g_rp) = {shape}")
    logs = (parts["log_probability"], parts["log_mean_probability"])
    if not all(np.isfinite(part).all() for part in parts.values()) or any((log > 1e-6).any() for log in logs):
        raise ValueError("a selection function must be finite, and no probability above 1")
    return SelectionFunction(**jax.device_put(parts), nside=nside)


def _between(centre: Float[Array, " n"], value: ScalarLike) -> tuple[Int[Array, ""], Float[Array, ""]]:
    """Return the centre at or below a value, and how far the value is on the way to the next, 0 to 1."""
    n = centre.shape[0]
    if n == 1:
        return jnp.zeros((), jnp.int32), jnp.zeros(())
    i = jnp.clip(jnp.searchsorted(centre, value, side="right") - 1, 0, n - 2)
    return i, jnp.clip((value - centre[i]) / (centre[i + 1] - centre[i]), 0.0, 1.0)
