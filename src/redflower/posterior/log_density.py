"""The one log density of a star's reddening, distance and intrinsic magnitudes, and its whitened form.

Every engine and every test uses `log_posterior`. `Whitening` is a change of variables around it, chosen so that
the posterior is near a standard normal: the reddened magnitudes that the model predicts are kept at the
observed ones, apart from a noise vector in units of the errors.
"""

from typing import Any, Final

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from redflower.bands import BP, RP, G
from redflower.constants import LOG_LN10_OVER_5
from redflower.flow.conditional import PreparedFlow, needed_bands
from redflower.flow.model import Model
from redflower.physics import (
    ExtinctionLaw,
    SelectionFunction,
    absolute_to_colour,
    distance_modulus,
    distance_pc_of_modulus,
    extinction_mag,
    flow_condition,
    log_distance_prior,
    log_parallax_likelihood,
    log_photometric_likelihood,
    log_reddening_prior,
    log_selection,
    log_within_limits,
)
from redflower.physics._types import ScalarLike
from redflower.star import Star

#: ln of a density, or of a weight, where there is none: finite, so that sums and differences stay numbers.
LOG_NONE: Final = -1e30


def is_any(log_value: Any) -> Any:
    """Tell where there is any density or weight at all. A sum of several that are `LOG_NONE` is a little more than it."""
    return log_value > 0.5 * LOG_NONE


class Target(eqx.Module):
    """What the posterior needs beside the star: the flow, the law, the limits, and the selection function."""

    flow: PreparedFlow
    law: ExtinctionLaw
    g_bright_mag: float = eqx.field(static=True)
    g_faint_mag: float = eqx.field(static=True)
    ebv_min_mag: float = eqx.field(static=True)
    ebv_max_mag: float = eqx.field(static=True)
    selection: SelectionFunction | None = None
    prior_limit_mag: float | None = eqx.field(static=True, default=None)

    @property
    def n_bands(self) -> int:
        return self.flow.n_bands


def make_target(model: Model, *, ebv_min_mag: float, ebv_max_mag: float) -> Target:
    """Make the target of a model with given ends of the uniform reddening prior [mag]."""
    return Target(
        flow=model.flow.prepared(),
        law=model.law,
        g_bright_mag=model.g_bright_mag,
        g_faint_mag=model.g_faint_mag,
        ebv_min_mag=ebv_min_mag,
        ebv_max_mag=ebv_max_mag,
        selection=model.selection,
        prior_limit_mag=model.distance_prior.get("g_limit_mag"),
    )


def log_in_sample(
    target: Target, star: Star, g_mag: Float[Array, ""], g_rp_mag: Float[Array, ""]
) -> Float[Array, ""]:
    """Return ln I(M | mu) + ln P(S = 1) of G and G - RP without dust (D12). Equations: E9, E12 (docs/explanation/model.md)."""
    log_limits = log_within_limits(g_mag, target.g_bright_mag, target.g_faint_mag)
    if target.selection is None:
        return log_limits
    return log_limits + log_selection(target.selection, star.selection_pixel, g_mag, g_rp_mag)


def brightening(extinction_mag: Float[Array, "*node"]) -> Float[Array, "*node"]:
    """Return the part of an extinction that stays in magnitudes "without dust": none of it, or all of it where it is negative.

    A negative reddening stands for an error of the colours or of their zero points, which the prior allows for. It is not dust
    that could be taken away: no star has entered the sample by being brighter than without dust.

    Equation: D12 (docs/explanation/model.md).
    """
    return jnp.minimum(extinction_mag, 0.0)  # D12


def log_parallax_term(star: Star, distance_pc: Float[Array, ""]) -> Float[Array, ""]:
    """Return ln of the parallax likelihood, 0 without a parallax. Equation: E6 (docs/explanation/model.md)."""
    return jnp.where(
        star.has_parallax,
        log_parallax_likelihood(star.parallax_mas, star.parallax_error_mas, distance_pc),
        0.0,
    )


def log_prior_of_modulus(target: Target, star: Star, distance_pc: Float[Array, ""]) -> Float[Array, ""]:
    """Return ln of the star's distance prior, per mag of distance modulus: p(d) dd/dmu.

    Equation: E13b (docs/explanation/model.md), where the prior is that of the stars to a limit in G.
    """
    log_share: float | Array = 0.0
    if target.prior_limit_mag is not None:
        condition = flow_condition(distance_pc, star.l_deg, star.b_deg)
        log_share = target.flow.log_mass_below(
            target.prior_limit_mag - distance_modulus(distance_pc), condition
        )
    return (
        log_distance_prior(distance_pc, star.prior_log_length_pc, star.prior_alpha, star.prior_beta)
        + jnp.log(distance_pc)
        + LOG_LN10_OVER_5
        - log_share  # E13b
    )


def log_posterior(
    target: Target,
    star: Star,
    ebv_mag: ScalarLike,
    distance_modulus_mag: ScalarLike,
    absolute_mag: Float[Array, " band"],
) -> Float[Array, ""]:
    """Return ln of the unnormalised posterior density in (E(B-V), distance modulus, intrinsic absolute magnitudes).

    Equation: E16, D11 (docs/explanation/model.md), with p(d) dd/dmu for p(d). Source: O'Callaghan et al. (2025), eq. 16.

    Bands that the star lacks have no likelihood; if an observed band follows them, their flow factors stay and
    they are integrated over by the engine. Factors after the last observed band integrate to one and are left
    out. A star without the leading band G is in no sample that was cut in G: neither limits nor selection apply
    (docs/decisions/0011-stars-without-the-leading-band.md).
    """
    return log_posterior_and_chi2(target, star, ebv_mag, distance_modulus_mag, absolute_mag)[0]


def log_posterior_and_chi2(
    target: Target,
    star: Star,
    ebv_mag: ScalarLike,
    distance_modulus_mag: ScalarLike,
    absolute_mag: Float[Array, " band"],
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Return `log_posterior`, and the squared length in the flow's normal coordinates over the bands that count.

    Both in one, for the flow is what they cost.
    """
    n = target.n_bands
    observed = star.observed[:n]
    distance_pc = distance_pc_of_modulus(distance_modulus_mag)
    reddening_mag = extinction_mag(target.law, ebv_mag, absolute_mag[BP] - absolute_mag[RP])[:n]
    log_likelihood = log_photometric_likelihood(
        star.magnitude_mag[:n],
        star.magnitude_error_mag[:n],
        observed,
        absolute_mag + reddening_mag + distance_modulus_mag,
        None if star.error_whitener is None else star.error_whitener[:n, :n],
    )
    terms, normal = target.flow.log_prob_terms_and_normal(
        absolute_to_colour(absolute_mag), flow_condition(distance_pc, star.l_deg, star.b_deg)
    )
    needed = needed_bands(observed)
    log_intrinsic = jnp.sum(jnp.where(needed, terms, 0.0))
    asked_g_mag, asked_rp_mag = (absolute_mag[i] + brightening(reddening_mag[i]) for i in (G, RP))
    log_sample = log_in_sample(target, star, asked_g_mag + distance_modulus_mag, asked_g_mag - asked_rp_mag)
    log_sample = jnp.where(observed[G], log_sample, 0.0)  # D11
    log_reddening = log_reddening_prior(ebv_mag, target.ebv_min_mag, target.ebv_max_mag)
    log_parallax, log_distance = (
        log_parallax_term(star, distance_pc),
        log_prior_of_modulus(target, star, distance_pc),
    )
    total = log_likelihood + log_parallax + log_intrinsic + log_sample + log_distance + log_reddening  # E16
    return total, jnp.sum(jnp.where(needed, normal * normal, 0.0))
