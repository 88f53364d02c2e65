"""Stars drawn from a model's prior, with the positions, errors and bands of real ones: their posteriors must be calibrated."""

from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from redflower.bands import BP, RP, G
from redflower.distances import distance_from_modulus
from redflower.errors import InputError
from redflower.flow import Model
from redflower.flow.flow_draws import draw_given_first
from redflower.physics import (
    colour_to_absolute,
    distance_modulus,
    distance_posterior_quantiles,
    extinction_mag,
    flow_condition,
    log_distance_prior,
)
from redflower.physics.correlated_errors import correlated_noise
from redflower.posterior.log_density import Target, make_target
from redflower.star import Star

#: Distances among which one is drawn, uniform in ln d between these levels of the prior: 3 % apart, and uniform in between.
_N_DISTANCES = 400
_PRIOR_ENDS = np.array([1e-5, 1.0 - 1e-5], dtype=np.float32)


@dataclass(frozen=True)
class Simulations:
    """Simulated stars and what is true of them.

    Attributes
    ----------
    stars : a batch, as inference takes it.
    design : row of the star whose position, errors and bands each has.
    ebv_mag : reddening, uniform between the limits of the prior. [mag]
    modulus_mag : distance modulus. [mag]
    absolute_mag : intrinsic absolute magnitudes. [mag]
    """

    stars: Star
    design: np.ndarray
    ebv_mag: Float[np.ndarray, " star"]
    modulus_mag: Float[np.ndarray, " star"]
    absolute_mag: Float[np.ndarray, "star band"]

    def some(self, rows: np.ndarray) -> "Simulations":
        """Return some of the stars."""
        return Simulations(
            **{k: jax.tree.map(lambda a: np.asarray(a)[rows], v) for k, v in vars(self).items()}
        )

    @staticmethod
    def joined(parts: list["Simulations"]) -> "Simulations":
        """Join stars that were drawn one after another."""
        first = vars(parts[0])
        return Simulations(
            **{k: jax.tree.map(lambda *a: np.concatenate(a), *(vars(p)[k] for p in parts)) for k in first}
        )


def simulate_from_prior(
    model: Model,
    design: Star,
    n_simulations: int,
    rng: np.random.Generator,
    *,
    ebv_min_mag: float,
    ebv_max_mag: float,
) -> Simulations:
    """Draw stars from equation E16's own prior: reddening, distance, magnitudes, and then data with the errors of real stars.

    Errors are part of the design: a posterior that is given them is calibrated whatever they are. Stars whose G comes out beyond
    the limits of the model are drawn again, as none would be inferred: what is chosen by the data leaves posteriors calibrated.

    Parameters
    ----------
    model : the model; without a selection function, for that asks for magnitudes before they are drawn.
    design : the stars whose positions, distance priors, errors and observed bands are taken, at random.
    n_simulations : how many stars.
    rng : random numbers.
    ebv_min_mag, ebv_max_mag : limits of the uniform reddening prior. [mag]

    Raises
    ------
    InputError
        If the model has a selection function, or there is no star to take a design from.
    """
    if model.selection is not None:
        raise InputError(
            f"simulations from the prior need a model without a selection function; {model.name!r} has one."
        )
    n_stars = len(np.asarray(design.l_deg))
    if not n_stars:
        raise InputError("simulations from the prior need at least one star whose errors they can have.")
    limits_mag = dict(ebv_min_mag=ebv_min_mag, ebv_max_mag=ebv_max_mag)
    parts: list[Simulations] = []
    n_left = n_simulations
    while n_left > 0:
        # As many at a time, so that one size is compiled.
        made = _draw(model, design, rng.integers(n_stars, size=n_simulations), rng, **limits_mag)
        g_mag = np.asarray(made.stars.magnitude_mag)[:, G]
        inside = np.flatnonzero((g_mag > model.g_bright_mag) & (g_mag < model.g_faint_mag))[:n_left]
        parts.append(made.some(inside))
        n_left -= len(inside)
    return Simulations.joined(parts)


def _draw(
    model: Model,
    design: Star,
    rows: np.ndarray,
    rng: np.random.Generator,
    *,
    ebv_min_mag: float,
    ebv_max_mag: float,
) -> Simulations:
    """Draw a star for each row of the design."""
    n_simulations = len(rows)
    like: Star = jax.tree.map(lambda a: np.asarray(a)[rows], design)
    target = make_target(model, ebv_min_mag=ebv_min_mag, ebv_max_mag=ebv_max_mag)
    modulus = _draw_modulus(target, like, rng)
    distance_pc = jnp.asarray(distance_from_modulus(modulus), jnp.float32)
    condition = np.asarray(jax.vmap(flow_condition)(distance_pc, like.l_deg, like.b_deg))
    limits = (model.g_bright_mag - modulus, model.g_faint_mag - modulus)
    x = draw_given_first(model.flow, condition, *limits, np.zeros(n_simulations, dtype=bool), rng)
    absolute = np.asarray(jax.vmap(colour_to_absolute)(jnp.asarray(x)), dtype=np.float64)
    ebv = rng.uniform(ebv_min_mag, ebv_max_mag, n_simulations)
    at = jax.vmap(lambda e, c: extinction_mag(model.law, e, c))
    colour = absolute[:, BP] - absolute[:, RP]
    dust = np.asarray(at(jnp.asarray(ebv, jnp.float32), jnp.asarray(colour, jnp.float32)), dtype=np.float64)
    n = model.n_bands
    magnitude = np.array(like.magnitude_mag, dtype=np.float64)
    error = np.asarray(like.magnitude_error_mag, dtype=np.float64)[:, :n]
    noise = error * correlated_noise(like.error_whitener, rng.standard_normal(error.shape))
    magnitude[:, :n] = absolute + dust[:, :n] + modulus[:, None] + noise
    parallax_error = np.asarray(like.parallax_error_mas, dtype=np.float64)
    parallax = 10.0 ** (2.0 - modulus / 5.0) + parallax_error * rng.standard_normal(n_simulations)
    observed = np.asarray(like.observed)
    stars = eqx.tree_at(
        lambda s: (s.magnitude_mag, s.parallax_mas),
        like,
        (
            np.where(observed, magnitude, np.asarray(like.magnitude_mag)).astype(np.float32),
            np.where(like.has_parallax, parallax, np.asarray(like.parallax_mas)).astype(np.float32),
        ),
    )
    return Simulations(stars=stars, design=rows, ebv_mag=ebv, modulus_mag=modulus, absolute_mag=absolute)


def _draw_modulus(target: Target, stars: Star, rng: np.random.Generator) -> Float[np.ndarray, " star"]:
    """Draw distance moduli from the prior of each line of sight, times the share of stars there within the limits. [mag]"""
    log_edges, log_mass = (np.asarray(a, dtype=np.float64) for a in _masses(target, stars))
    total = np.cumsum(np.exp(log_mass - log_mass.max(axis=1, keepdims=True)), axis=1)
    wanted = rng.random(len(total)) * total[:, -1]
    cell = (total < wanted[:, None]).sum(axis=1)
    low, step = log_edges[:, 0], (log_edges[:, 1] - log_edges[:, 0]) / _N_DISTANCES
    log_distance = low + (cell + rng.random(len(cell))) * step
    return (log_distance / np.log(10.0) - 1.0) * 5.0


@eqx.filter_jit
def _masses(target: Target, stars: Star) -> tuple[Float[Array, "star 2"], Float[Array, "star node"]]:
    """Return the ends of ln d, and ln of the mass in every cell between: p(d) times the share within the limits (E9b, E13b)."""

    def one(star: Star) -> tuple[Array, Array]:
        prior = (star.prior_log_length_pc, star.prior_alpha, star.prior_beta)
        ends_pc = distance_posterior_quantiles(
            jnp.asarray(_PRIOR_ENDS), star.parallax_mas, star.parallax_error_mas,
            jnp.zeros_like(star.has_parallax), *prior,
        ).quantiles_pc  # fmt: skip
        low, high = jnp.log(ends_pc)
        log_distance = low + (jnp.arange(_N_DISTANCES) + 0.5) * (high - low) / _N_DISTANCES

        def log_mass(log_d: Array) -> Array:
            distance_pc = jnp.exp(log_d)
            mu = distance_modulus(distance_pc)
            condition = flow_condition(distance_pc, star.l_deg, star.b_deg)
            value = log_distance_prior(distance_pc, *prior) + log_d
            value += target.flow.log_mass_between(
                target.g_bright_mag - mu, target.g_faint_mag - mu, condition
            )  # E9b
            if target.prior_limit_mag is not None:
                value -= target.flow.log_mass_below(target.prior_limit_mag - mu, condition)  # E13b
            return value

        return jnp.stack([low, high]), jax.vmap(log_mass)(log_distance)

    return jax.vmap(one)(stars)
