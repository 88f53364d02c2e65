"""The one log density of a star's reddening, distance and intrinsic magnitudes, and its whitened form.

Every engine and every test uses `log_posterior`. `Whitening` is a change of variables around it, chosen so that
the posterior is near a standard normal: the reddened magnitudes that the model predicts are kept at the
observed ones, apart from a noise vector in units of the errors.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from redflower.bands import BP, RP, G
from redflower.flow.conditional import PreparedFlow, needed_bands
from redflower.flow.model import Model
from redflower.physics import (
    ExtinctionLaw,
    SelectionFunction,
    absolute_to_colour,
    colour_to_absolute,
    distance_pc_of_modulus,
    extinction_mag,
    flow_condition,
    intrinsic_bp_rp,
    log_distance_prior,
    log_parallax_likelihood,
    log_photometric_likelihood,
    log_reddening_prior,
    log_selection,
    log_within_limits,
)
from redflower.star import Star

LOG_LN10_OVER_5 = -0.7754548897852702
#: BP - RP about which the whitening of a star without BP or RP begins; it moves the centre only, not the density. [mag]
TYPICAL_BP_RP_MAG = 0.9
#: Scatter about the linear relations between bands that the whitening takes observed magnitudes to have. [mag]
PREDICTION_NOISE_MAG = 0.01


class Target(eqx.Module):
    """What the posterior needs beside the star: the flow, the law, the limits, and the selection function."""

    flow: PreparedFlow
    law: ExtinctionLaw
    g_bright_mag: float = eqx.field(static=True)
    g_faint_mag: float = eqx.field(static=True)
    ebv_min_mag: float = eqx.field(static=True)
    ebv_max_mag: float = eqx.field(static=True)
    selection: SelectionFunction | None = None

    @property
    def n_bands(self) -> int:
        return self.flow.n_bands


def make_target(model: Model, *, ebv_min_mag: float, ebv_max_mag: float) -> Target:
    """The target of a model with given ends of the uniform reddening prior [mag]."""
    return Target(
        model.flow.prepared(),
        model.law,
        model.g_bright_mag,
        model.g_faint_mag,
        ebv_min_mag,
        ebv_max_mag,
        model.selection,
    )


def log_in_sample(
    target: Target, star: Star, g_mag: Float[Array, ""], g_rp_mag: Float[Array, ""]
) -> Float[Array, ""]:
    """ln I(M | mu) + ln P(S = 1) of G and G - RP without dust (D12). Equations: E9, E12 (docs/model.md)."""
    log_limits = log_within_limits(g_mag, target.g_bright_mag, target.g_faint_mag)
    if target.selection is None:
        return log_limits
    return log_limits + log_selection(target.selection, star.selection_pixel, g_mag, g_rp_mag)


def brightening(extinction_mag: Float[Array, "*node"]) -> Float[Array, "*node"]:
    """What of an extinction stays on a star whose magnitudes without dust are asked for: none, or all of a negative one.

    A negative reddening is an error that the prior allows for, of the colours or of their zero points, and no dust that could be
    taken away: a star cannot have come into the sample by being brighter than without it.

    Equation: D12 (docs/model.md).
    """
    return jnp.minimum(extinction_mag, 0.0)  # D12


def log_parallax_of(star: Star, distance_pc: Float[Array, ""]) -> Float[Array, ""]:
    """ln of the parallax likelihood, 0 without a parallax. Equation: E6 (docs/model.md)."""
    return jnp.where(
        star.has_parallax,
        log_parallax_likelihood(star.parallax_mas, star.parallax_error_mas, distance_pc),
        0.0,
    )


def log_prior_of_modulus(star: Star, distance_pc: Float[Array, ""]) -> Float[Array, ""]:
    """ln of the star's distance prior, per mag of distance modulus: p(d) dd/dmu."""
    return (
        log_distance_prior(distance_pc, star.prior_log_length_pc, star.prior_alpha, star.prior_beta)
        + jnp.log(distance_pc)
        + LOG_LN10_OVER_5
    )


def log_posterior(
    target: Target,
    star: Star,
    ebv_mag: Float[Array, ""],
    distance_modulus_mag: Float[Array, ""],
    absolute_mag: Float[Array, "band"],
) -> Float[Array, ""]:
    """ln of the unnormalised posterior density in (E(B-V), distance modulus, intrinsic absolute magnitudes).

    Equation: E16, D11 (docs/model.md), with p(d) dd/dmu for p(d). Source: O'Callaghan et al. (2025), eq. 16.

    Bands that the star lacks have no likelihood; if an observed band follows them, their flow factors stay and
    they are integrated over by the engine. Factors after the last observed band integrate to one and are left
    out. A star without the leading band G is in no sample that was cut in G: neither limits nor selection apply
    (docs/decisions/0011-stars-without-the-leading-band.md).
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
    )
    terms = target.flow.log_prob_terms(
        absolute_to_colour(absolute_mag), flow_condition(distance_pc, star.l_deg, star.b_deg)
    )
    log_intrinsic = jnp.sum(jnp.where(needed_bands(observed), terms, 0.0))
    asked_g_mag, asked_rp_mag = (absolute_mag[i] + brightening(reddening_mag[i]) for i in (G, RP))
    log_sample = log_in_sample(target, star, asked_g_mag + distance_modulus_mag, asked_g_mag - asked_rp_mag)
    log_sample = jnp.where(observed[G], log_sample, 0.0)  # D11
    log_reddening = log_reddening_prior(ebv_mag, target.ebv_min_mag, target.ebv_max_mag)
    log_parallax, log_distance = log_parallax_of(star, distance_pc), log_prior_of_modulus(star, distance_pc)
    return log_likelihood + log_parallax + log_intrinsic + log_sample + log_distance + log_reddening  # E16


class Position(eqx.Module):
    """A point of the posterior in physical variables."""

    ebv_mag: Float[Array, ""]
    distance_modulus_mag: Float[Array, ""]
    absolute_mag: Float[Array, "band"]


class Whitening(eqx.Module):
    """Map from R^(band + 2) to (E, distance modulus, absolute magnitudes) for one star.

    theta[0] is the logit of E within its limits, theta[1] the distance modulus in units of its prior spread
    about its prior centre, theta[2:] the noise in the bands in units of the errors. For a band without a
    magnitude, G too, the centre is its linear prediction from all observed bands and the unit its spread about
    that; bp_rp_mag is the intrinsic colour so predicted at the lower end, the middle and the upper end of the limits
    of E.
    """

    modulus_centre_mag: Float[Array, ""]
    modulus_scale_mag: Float[Array, ""]
    predict: Float[Array, "band band"]
    offset_mag: Float[Array, "band"]
    scale_mag: Float[Array, "band"]
    bp_rp_mag: Float[Array, "level"]

    def __call__(
        self, target: Target, star: Star, theta: Float[Array, "theta"]
    ) -> tuple[Position, Float[Array, ""]]:
        """The position and ln |d position / d theta|. Equation: E16b (docs/model.md)."""
        width_mag = target.ebv_max_mag - target.ebv_min_mag
        ebv_mag = target.ebv_min_mag + width_mag * jax.nn.sigmoid(theta[0])
        log_jacobian = jnp.log(width_mag) + jax.nn.log_sigmoid(theta[0]) + jax.nn.log_sigmoid(-theta[0])
        modulus_mag = self.modulus_centre_mag + self.modulus_scale_mag * theta[1]
        noise_mag = self.scale_mag * theta[2:]
        observed = star.observed[: target.n_bands]
        centre_mag = self._unreddened(target, star, ebv_mag) - modulus_mag
        seen = jnp.where(observed, centre_mag + noise_mag, 0.0)
        absolute_mag = jnp.where(observed, seen, self.predict @ seen + self.offset_mag + noise_mag)
        log_jacobian += jnp.sum(jnp.log(self.scale_mag)) + jnp.log(self.modulus_scale_mag)  # E16b
        return Position(ebv_mag, modulus_mag, absolute_mag), log_jacobian

    def _unreddened(self, target: Target, star: Star, ebv_mag: Float[Array, ""]) -> Float[Array, "band"]:
        """Observed magnitudes without the extinction of a star of a likely colour: the centre, not a model."""
        has_colour = star.observed[BP] & star.observed[RP]
        colour_mag = jnp.where(has_colour, star.magnitude_mag[BP] - star.magnitude_mag[RP], TYPICAL_BP_RP_MAG)
        # Between the ends of the reddening prior the predicted colour runs as a parabola through three values.
        t = (ebv_mag - target.ebv_min_mag) / (target.ebv_max_mag - target.ebv_min_mag)
        basis = jnp.stack([(1.0 - t) * (1.0 - 2.0 * t), 4.0 * t * (1.0 - t), t * (2.0 * t - 1.0)])
        intrinsic_mag = jnp.where(
            has_colour, intrinsic_bp_rp(target.law, colour_mag, ebv_mag), basis @ self.bp_rp_mag
        )
        reddening_mag = extinction_mag(target.law, ebv_mag, intrinsic_mag)
        return (star.magnitude_mag - reddening_mag)[: target.n_bands]


def make_whitening(
    target: Target,
    star: Star,
    modulus_centre_mag: Float[Array, ""],
    modulus_scale_mag: Float[Array, ""],
) -> Whitening:
    """The whitening of one star; centre and scale of the distance modulus come from its distance posterior."""
    n = target.n_bands
    observed, error_mag = star.observed[:n], star.magnitude_error_mag[:n]
    standard = target.flow.standardisation
    mean_mag = colour_to_absolute(standard.x_mean[:n])
    # Column j: what one unit of the standardised coordinate j does to the magnitudes. Forward substitution.
    inverse, x_root = standard.x_inverse_cholesky[:n, :n], jnp.zeros((n, n))
    for k in range(n):
        x_root = x_root.at[k].set((jnp.eye(n)[k] - inverse[k] @ x_root) / inverse[k, k])
    root = jax.vmap(colour_to_absolute, 1, 1)(x_root)
    # Kalman's filter for one normal distribution of magnitudes, a band at a time.
    covariance, predict = root @ root.T, jnp.zeros((n, n))
    for k in range(n):
        variance = covariance[k, k] + error_mag[k] ** 2 + PREDICTION_NOISE_MAG**2
        gain = jnp.where(observed[k], covariance[:, k] / variance, 0.0)
        predict = predict + gain[:, None] * (jnp.eye(n)[k] - predict[k])
        covariance = covariance - gain[:, None] * covariance[k]
    spread_mag = jnp.sqrt(jnp.maximum(jnp.diagonal(covariance), PREDICTION_NOISE_MAG**2))
    offset_mag = mean_mag - predict @ mean_mag

    def predicted_bp_rp(ebv_mag: Float[Array, ""]) -> Float[Array, ""]:
        """The colour that the observed bands have once the extinction of a star of that colour is taken off."""
        bp_rp_mag = jnp.asarray(TYPICAL_BP_RP_MAG)
        for _ in range(3):
            reddening_mag = extinction_mag(target.law, ebv_mag, bp_rp_mag)[:n]
            seen = jnp.where(observed, star.magnitude_mag[:n] - reddening_mag - modulus_centre_mag, 0.0)
            whole = jnp.where(observed, seen, predict @ seen + offset_mag)
            bp_rp_mag = jnp.clip(whole[BP] - whole[RP], 0.0, 3.0)
        return bp_rp_mag

    levels_mag = jnp.linspace(target.ebv_min_mag, target.ebv_max_mag, 3)
    return Whitening(
        modulus_centre_mag,
        modulus_scale_mag,
        predict,
        offset_mag,
        jnp.where(observed, error_mag, spread_mag),
        jax.vmap(predicted_bp_rp)(levels_mag),
    )


def log_whitened(
    target: Target, star: Star, whitening: Whitening, theta: Float[Array, "theta"]
) -> Float[Array, ""]:
    """ln posterior density in theta, with a standard normal for coordinates that nothing constrains."""
    position, log_jacobian = whitening(target, star, theta)
    value = log_posterior(
        target, star, position.ebv_mag, position.distance_modulus_mag, position.absolute_mag
    )
    idle = ~needed_bands(star.observed[: target.n_bands])
    # Idle coordinates get a normalised standard normal in place of their (absent) factor and Jacobian.
    dummy = -0.5 * theta[2:] ** 2 - 0.9189385332046727 - jnp.log(whitening.scale_mag)
    return value + log_jacobian + jnp.sum(jnp.where(idle, dummy, 0.0))
