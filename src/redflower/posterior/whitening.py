"""Coordinates in which a star's posterior is near a standard normal distribution, for the reference engine."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from redflower.bands import BP, RP
from redflower.constants import LOG_SQRT_2PI
from redflower.flow.conditional import needed_bands
from redflower.physics import colour_to_absolute, extinction_mag, intrinsic_bp_rp
from redflower.posterior.log_density import Target, log_posterior
from redflower.star import Star

#: BP - RP about which the whitening of a star without BP or RP begins; it moves the centre only, not the density. [mag]
TYPICAL_BP_RP_MAG = 0.9
#: Scatter about the linear relations between bands that the whitening takes observed magnitudes to have. [mag]
PREDICTION_NOISE_MAG = 0.01


class Position(eqx.Module):
    """A point of the posterior in physical variables."""

    ebv_mag: Float[Array, ""]
    distance_modulus_mag: Float[Array, ""]
    absolute_mag: Float[Array, " band"]


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
    offset_mag: Float[Array, " band"]
    scale_mag: Float[Array, " band"]
    bp_rp_mag: Float[Array, " level"]

    def __call__(
        self, target: Target, star: Star, theta: Float[Array, " theta"]
    ) -> tuple[Position, Float[Array, ""]]:
        """Return the position and ln |d position / d theta|. Equation: E16b (docs/explanation/model.md)."""
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

    def _unreddened(self, target: Target, star: Star, ebv_mag: Float[Array, ""]) -> Float[Array, " band"]:
        """Remove the extinction of a star of a likely colour from the observed magnitudes: this sets the centre, it is no
        model.
        """
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
    """Make the whitening of one star; centre and scale of the distance modulus come from its distance posterior."""
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
        """Solve for the intrinsic colour: the observed bands' colour, minus the extinction of a star of that same colour."""
        bp_rp_mag = jnp.asarray(TYPICAL_BP_RP_MAG)
        for _ in range(3):
            reddening_mag = extinction_mag(target.law, ebv_mag, bp_rp_mag)[:n]
            seen = jnp.where(observed, star.magnitude_mag[:n] - reddening_mag - modulus_centre_mag, 0.0)
            whole = jnp.where(observed, seen, predict @ seen + offset_mag)
            bp_rp_mag = jnp.clip(whole[BP] - whole[RP], 0.0, 3.0)
        return bp_rp_mag

    levels_mag = jnp.linspace(target.ebv_min_mag, target.ebv_max_mag, 3)
    return Whitening(
        modulus_centre_mag=modulus_centre_mag,
        modulus_scale_mag=modulus_scale_mag,
        predict=predict,
        offset_mag=offset_mag,
        scale_mag=jnp.where(observed, error_mag, spread_mag),
        bp_rp_mag=jax.vmap(predicted_bp_rp)(levels_mag),
    )


def log_whitened(
    target: Target, star: Star, whitening: Whitening, theta: Float[Array, " theta"]
) -> Float[Array, ""]:
    """Evaluate ln posterior density in theta, with a standard normal for coordinates that nothing constrains."""
    position, log_jacobian = whitening(target, star, theta)
    value = log_posterior(
        target, star, position.ebv_mag, position.distance_modulus_mag, position.absolute_mag
    )
    idle = ~needed_bands(star.observed[: target.n_bands])
    # Idle coordinates get a normalised standard normal in place of their (absent) factor and Jacobian.
    dummy = -0.5 * theta[2:] ** 2 - LOG_SQRT_2PI - jnp.log(whitening.scale_mag)
    return value + log_jacobian + jnp.sum(jnp.where(idle, dummy, 0.0))
