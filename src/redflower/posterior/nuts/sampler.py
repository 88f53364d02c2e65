"""The reference engine: NumPyro's No-U-Turn sampler on the whitened posterior, many stars at once."""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key, PRNGKeyArray
from numpyro.infer.hmc import hmc

from redflower.bands import BP, RP, G
from redflower.flow.conditional import needed_bands
from redflower.physics import (
    absolute_to_colour,
    distance_modulus,
    distance_pc_of_modulus,
    distance_posterior_quantiles,
    flow_condition,
)
from redflower.posterior.log_density import LOG_NONE, Target
from redflower.posterior.settings import NutsSettings
from redflower.posterior.whitening import Position, Whitening, log_whitened, make_whitening
from redflower.programs import kept_program
from redflower.random_streams import folded
from redflower.star import Star

#: Grid of starting points: levels of E within its limits, and of the distance posterior.
START_EBV_LEVELS = 24
START_DISTANCE_LEVELS = 16
#: The starting points are drawn from the density to this power, so that they are more dispersed than it.
START_TEMPER = 0.2
#: Pilot runs, and those of a second try for stars whose chains failed: each pilot's frame is that of the one before.
FIRST_TRY_PILOTS = 1
SECOND_TRY_PILOTS = 3


class ChainDraws(eqx.Module):
    """Posterior draws of one star; a batch has a leading ``star`` axis.

    Attributes
    ----------
    ebv_mag, distance_modulus_mag : the draws. [mag]
    bp_rp_mag : intrinsic BP - RP of the draws. [mag]
    unreddened_g_mag : apparent G without the dust, at the draws. [mag]
    flow_chi2 : squared length of the draws in the flow's normal coordinates, over the bands that count.
    theta : the draws in whitened coordinates.
    log_density : ln posterior density in theta at the draws.
    diverging : whether the trajectory that ended there diverged.
    n_leapfrog : leapfrog steps of that trajectory.
    whitening : the change of variables of the star.
    """

    ebv_mag: Float[Array, "*star chain draw"]
    distance_modulus_mag: Float[Array, "*star chain draw"]
    bp_rp_mag: Float[Array, "*star chain draw"]
    unreddened_g_mag: Float[Array, "*star chain draw"]
    flow_chi2: Float[Array, "*star chain draw"]
    theta: Float[Array, "*star chain draw theta"]
    log_density: Float[Array, "*star chain draw"]
    diverging: Bool[Array, "*star chain draw"]
    n_leapfrog: Int[Array, "*star chain draw"]
    whitening: Whitening


def star_whitening(target: Target, star: Star) -> tuple[Whitening, Float[Array, " level"]]:
    """Return the whitening of a star, and quantiles of its distance modulus given parallax and prior alone [mag]."""
    levels = (jnp.arange(START_DISTANCE_LEVELS) + 0.5) / START_DISTANCE_LEVELS
    quantiles_pc = distance_posterior_quantiles(
        levels,
        star.parallax_mas,
        star.parallax_error_mas,
        star.has_parallax,
        star.prior_log_length_pc,
        star.prior_alpha,
        star.prior_beta,
    ).quantiles_pc
    moduli_mag = distance_modulus(quantiles_pc)
    middle = START_DISTANCE_LEVELS // 2
    spread_mag = jnp.maximum(0.6 * (moduli_mag[-3] - moduli_mag[2]), 1e-3)
    return make_whitening(target, star, moduli_mag[middle], spread_mag), moduli_mag


def starting_points(
    target: Target,
    star: Star,
    whitening: Whitening,
    moduli_mag: Float[Array, " level"],
    keys: Key[Array, " key"],
) -> Float[Array, "chain theta"]:
    """Draw one point per key from the tempered density on a grid of (E, distance modulus) with zero noise."""
    levels = (jnp.arange(START_EBV_LEVELS) + 0.5) / START_EBV_LEVELS
    logits = jnp.log(levels) - jnp.log1p(-levels)
    scaled = (moduli_mag - whitening.modulus_centre_mag) / whitening.modulus_scale_mag
    grid = jnp.stack([a.ravel() for a in jnp.meshgrid(logits, scaled, indexing="ij")], axis=-1)
    theta = jnp.concatenate([grid, jnp.zeros((len(grid), target.n_bands))], axis=-1)
    log_density = jax.vmap(lambda t: log_whitened(target, star, whitening, t))(theta)
    log_density = jnp.where(jnp.isfinite(log_density), log_density, LOG_NONE)
    best = jnp.max(log_density)
    tempered = START_TEMPER * jnp.maximum(log_density - best, -1e4)
    chosen = jax.vmap(lambda key: jax.random.categorical(key, tempered))(keys)
    return theta[chosen]


class PilotFrame(eqx.Module):
    """An affine frame of theta, in which the chains run: theta = centre + factor @ phi."""

    centre: Float[Array, "*star theta"]
    factor: Float[Array, "*star theta theta"]

    def to_theta(self, phi: Float[Array, " theta"]) -> Float[Array, " theta"]:
        """Transform a point of the frame back to theta."""
        return self.centre + self.factor @ phi


def sample_chain(
    target: Target,
    star: Star,
    whitening: Whitening,
    frame: PilotFrame,
    start: Float[Array, " theta"],
    key: PRNGKeyArray,
    settings: NutsSettings,
) -> tuple[Array, Array, Array, Array]:
    """Run one chain of one star by NUTS, in a given frame with a diagonal mass matrix.

    Equation: E16, E16b (docs/explanation/model.md).

    Returns
    -------
    Of every draw: phi, -ln density, whether its trajectory diverged, and its leapfrog steps.
    """
    init_kernel, sample_kernel = hmc(
        # Compiled as a function of its own: traced once, and not once for each use by the sampler.
        potential_fn_gen=lambda star, whitening, frame: jax.jit(
            lambda phi: -log_whitened(target, star, whitening, frame.to_theta(phi))
        ),
        algo="NUTS",
    )
    model_args = (star, whitening, frame)
    state = init_kernel(
        start,
        settings.n_warmup,
        step_size=0.3,
        dense_mass=False,
        target_accept_prob=settings.target_accept,
        max_tree_depth=(settings.max_tree_depth_warmup, settings.max_tree_depth),
        model_args=model_args,
        rng_key=key,
    )

    def step(state, _):
        state = sample_kernel(state, model_args)
        return state, (state.z, state.potential_energy, state.diverging, state.num_steps)

    # One scan for warm-up and draws, so that the kernel is compiled once.
    _, steps = jax.lax.scan(step, state, length=settings.n_warmup + settings.n_draws)
    return jax.tree.map(lambda values: values[settings.n_warmup :], steps)


def describe(
    target: Target, star: Star, whitening: Whitening, theta: Float[Array, " theta"]
) -> tuple[Position, Float[Array, ""]]:
    """Return a draw in magnitudes, and its squared length in the flow's normal coordinates."""
    position = whitening(target, star, theta)[0]
    condition = flow_condition(distance_pc_of_modulus(position.distance_modulus_mag), star.l_deg, star.b_deg)
    u = target.flow.forward(absolute_to_colour(position.absolute_mag), condition)[0]
    return position, jnp.sum(jnp.where(needed_bands(star.observed[: target.n_bands]), u * u, 0.0))


def sample_stars(
    target: Target,
    stars: Star,
    keys: Key[Array, " key"],
    settings: NutsSettings,
    n_pilots: int = FIRST_TRY_PILOTS,
) -> ChainDraws:
    """Draw from the posteriors of a batch of stars: pilot runs, then the chains in the frame of their covariance.

    Every pilot after the first runs in the frame of the one before; more than one is for stars whose chains did not
    converge. Compiled once per batch size, structure of the target, and settings.
    """
    n_stars, dim = len(keys), target.n_bands + 2
    unit = np.broadcast_to(np.eye(dim, dtype=np.float32), (n_stars, dim, dim))
    frame = PilotFrame(*jax.device_put((np.zeros((n_stars, dim), np.float32), unit)))
    for number in range(n_pilots):
        pilot = _sample_batch(target, stars, folded(keys, number), frame, settings, _whether(number == 0))
        frame = _covariance_frame(pilot)
    return _sample_batch(target, stars, folded(keys, n_pilots), frame, settings, _whether(False))  # noqa: FBT003


def _whether(is_so: bool) -> Bool[Array, ""]:  # noqa: FBT001
    return jax.device_put(np.bool_(is_so))


def _covariance_frame(draws: ChainDraws) -> PilotFrame:
    """Return the frame of the mean and the covariance of each star's draws.

    The linear algebra is numpy's, in float64. (A dense mass matrix inside the compiled program would do as well, but XLA's
    batched LAPACK calls have been seen to wait for themselves for ever on two threads.)
    """
    n_stars, dim = draws.theta.shape[0], draws.theta.shape[-1]
    theta = np.asarray(draws.theta, dtype=np.float64).reshape(n_stars, -1, dim)
    centre = theta.mean(axis=1)
    centred = theta - centre[:, None]
    covariance = centred.transpose(0, 2, 1) @ centred / (theta.shape[1] - 1) + 1e-4 * np.eye(dim)
    covariance[~np.isfinite(covariance).all(axis=(1, 2))] = np.eye(dim)
    frames = (np.nan_to_num(centre), np.linalg.cholesky(covariance))
    return PilotFrame(*(jax.device_put(a.astype(np.float32)) for a in frames))


@kept_program
def _sample_batch(
    target: Target,
    stars: Star,
    keys: Key[Array, " key"],
    frames: PilotFrame,
    settings: NutsSettings,
    pilot: Array,
) -> ChainDraws:
    n_stars, n_chains = len(keys), settings.n_chains

    def prepare(
        star: Star, key: PRNGKeyArray, frame: PilotFrame
    ) -> tuple[Whitening, Array, Key[Array, " chain"]]:
        whitening, moduli_mag = star_whitening(target, star)
        start_key, chain_key = jax.random.split(key)
        start_keys = jax.random.split(start_key, n_chains)
        # The pilot starts all over the posterior's support; the chains that count, dispersed about what it found.
        dispersed = 1.5 * jax.vmap(lambda k: jax.random.normal(k, frame.centre.shape))(start_keys)
        starts = jnp.where(pilot, starting_points(target, star, whitening, moduli_mag, start_keys), dispersed)
        return whitening, starts, jax.random.split(chain_key, n_chains)

    whitenings, starts, chain_keys = jax.vmap(prepare)(stars, keys, frames)
    # Chains of all stars on one axis: the sampler's nested loops are batched once and not twice.
    per_star = (stars, whitenings, frames)
    star, whitening, frame = jax.tree.map(lambda a: jnp.repeat(a, n_chains, axis=0), per_star)
    start, key = (a.reshape(n_stars * n_chains, *a.shape[2:]) for a in (starts, chain_keys))
    chains = jax.vmap(partial(sample_chain, target, settings=settings))(star, whitening, frame, start, key)
    phi, potential, diverging, n_leapfrog = (a.reshape(n_stars, n_chains, *a.shape[1:]) for a in chains)
    theta = jax.vmap(lambda frame, phi: jax.vmap(jax.vmap(frame.to_theta))(phi))(frames, phi)
    position, flow_chi2 = jax.vmap(
        lambda star, whitening, theta: jax.vmap(jax.vmap(lambda t: describe(target, star, whitening, t)))(
            theta
        )
    )(stars, whitenings, theta)
    return ChainDraws(
        ebv_mag=position.ebv_mag,
        distance_modulus_mag=position.distance_modulus_mag,
        bp_rp_mag=position.absolute_mag[..., BP] - position.absolute_mag[..., RP],
        unreddened_g_mag=position.absolute_mag[..., G] + position.distance_modulus_mag,
        flow_chi2=flow_chi2,
        theta=theta,
        log_density=-potential,
        diverging=diverging,
        n_leapfrog=n_leapfrog,
        whitening=whitenings,
    )
