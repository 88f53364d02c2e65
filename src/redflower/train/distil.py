"""Distil the emulator of the fast engine from a trained flow: unlimited data, minutes of work.

Noise-free stars are drawn from the flow once, at positions of its training coverage and with magnitudes within its
limits. Every training step reddens them with fresh E(B-V), gives them fresh errors and missing bands, both drawn
*independently of the star*, and maximises the likelihood of the noisy magnitudes (density network) and of the
noise-free ones given the noisy (denoiser).
"""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from redflower.bands import BP, RP
from redflower.errors import TrainingError
from redflower.flow.conditional import needed_bands
from redflower.flow.emulator import Emulator, Noise, make_noise
from redflower.flow.emulator_networks import EmulatorStructure, density_masks, initial_networks
from redflower.flow.model import Model
from redflower.flow.noise_filter import population_moments
from redflower.physics import (
    absolute_to_colour,
)
from redflower.platforms import compute_platform
from redflower.random_streams import Stream, stream_key
from redflower.train.config import EmulatorConfig
from redflower.train.distil_stars import (
    Batch,
    draw_batch,
    draw_errors,
    draw_observed,
    draw_population,
    error_ranges_mag,
    reddened_magnitudes,
)


class DistilStep(NamedTuple):
    """Progress of the distillation: both losses are mean negative log likelihoods on held-out stars. [nat]"""

    step: int
    n_steps: int
    density_loss: float
    denoiser_loss: float
    seconds: float


def structure_of(config: EmulatorConfig) -> EmulatorStructure:
    """Return the sizes of a configuration's networks."""
    return EmulatorStructure(*(getattr(config, name) for name in EmulatorStructure._fields))


def distil(
    model: Model,
    config: EmulatorConfig | None = None,
    *,
    start_from: Emulator | None = None,
    progress: Callable[[DistilStep], None] | None = None,
) -> Emulator:
    """Distil the emulator of a model's flow, for `redflower.posterior`'s fast engine.

    Equations: EF1, EF3 (docs/explanation/model.md).

    Parameters
    ----------
    model : with a trained flow, coverage, limits and law.
    config : sizes and lengths.
    start_from : an emulator to start from, of a flow that was near this one. One of another size or range is not used.
    progress : called every few hundred steps.

    Raises
    ------
    TrainingError : the flow has fewer than three bands, or the losses are not finite.
    """
    compute_platform()
    config = config or EmulatorConfig()
    n_bands = model.n_bands
    if n_bands <= RP:
        raise TrainingError(f"distil needs a model with at least {RP + 1} bands; it has {n_bands}.")
    rng = np.random.default_rng(config.seed)
    x, condition = draw_population(model, config.n_stars, rng)
    emulator = _untrained(model, config, x, condition)
    if start_from is not None and _serves(start_from, model, config):
        emulator = start_from
    error_mag = draw_errors(config.n_patterns, n_bands, rng)
    patterns = make_noise(emulator, error_mag, draw_observed(config.n_patterns, n_bands, rng))
    n_held_out = len(x) // 20
    held_out = jnp.asarray(x[:n_held_out]), jnp.asarray(condition[:n_held_out])
    stars = jnp.asarray(x[n_held_out:]), jnp.asarray(condition[n_held_out:])
    patterns = jax.tree.map(jnp.asarray, patterns)
    masks = density_masks(n_bands, structure_of(config))

    def losses(emulator: Emulator, batch: Batch) -> tuple[Array, Array]:
        return _losses(emulator, batch, masks)

    schedule = optax.warmup_cosine_decay_schedule(
        0.0, config.learning_rate, min(300, config.n_steps // 4), config.n_steps, 0.003 * config.learning_rate
    )
    optimiser = optax.chain(optax.clip_by_global_norm(5.0), optax.adam(schedule, b2=0.99))
    networks = (emulator.density, emulator.denoiser)
    opt_state = optimiser.init(networks)
    check_key, steps_key = (
        stream_key(config.seed, stream) for stream in (Stream.EMULATOR_CHECK, Stream.EMULATOR_STEPS)
    )

    @eqx.filter_jit
    def step(
        networks: Any, opt_state: Any, stars: Any, patterns: Noise, key: PRNGKeyArray
    ) -> tuple[Any, Any]:
        batch = draw_batch(model.law, emulator, stars, patterns, key, config.batch_size)

        def loss(networks: Any) -> Array:
            return sum(losses(_with_networks(emulator, networks), batch), start=jnp.asarray(0.0))

        gradient = jax.grad(loss)(networks)
        updates, opt_state = optimiser.update(gradient, opt_state)
        return optax.apply_updates(networks, updates), opt_state

    @eqx.filter_jit
    def validate(networks: Any, stars: Any, patterns: Noise) -> tuple[Array, Array]:
        batch = draw_batch(model.law, emulator, stars, patterns, check_key, 16_384)
        return losses(_with_networks(emulator, networks), batch)

    started = time.monotonic()
    every = max(1, config.n_steps // 12)
    for i in range(config.n_steps):
        networks, opt_state = step(networks, opt_state, stars, patterns, jax.random.fold_in(steps_key, i))
        if (i + 1) % every == 0 or i + 1 == config.n_steps:
            values = [float(v) for v in validate(networks, held_out, patterns)]
            if not np.isfinite(values).all():
                raise TrainingError(
                    f"distil: the losses are not finite after {i + 1} steps. Lower learning_rate "
                    f"({config.learning_rate})."
                )
            if progress is not None:
                progress(DistilStep(i + 1, config.n_steps, values[0], values[1], time.monotonic() - started))
    return _with_networks(emulator, networks)


def _with_networks(emulator: Emulator, networks: Any) -> Emulator:
    return eqx.tree_at(lambda e: (e.density, e.denoiser), emulator, networks)


def _serves(emulator: Emulator, model: Model, config: EmulatorConfig) -> bool:
    """Tell whether an emulator has the sizes and the range of reddening of a configuration."""
    limits = np.array([emulator.ebv_low_mag, emulator.ebv_high_mag])
    return (
        emulator.structure == structure_of(config)
        and len(emulator.reference) == model.n_bands
        and np.allclose(limits, [config.ebv_min_mag, config.ebv_max_mag], atol=1e-6)
    )


def _untrained(model: Model, config: EmulatorConfig, x: np.ndarray, condition: np.ndarray) -> Emulator:
    n_bands = model.n_bands
    rng = np.random.default_rng((config.seed, 1))
    sample = rng.choice(len(x), size=min(len(x), 50_000), replace=False)
    ebv_mag = rng.uniform(config.ebv_min_mag, config.ebv_max_mag, len(sample)).astype(np.float32)
    typical_mag = float(np.median(x[:, BP] - x[:, RP]))
    middle_mag = 0.5 * (config.ebv_min_mag + config.ebv_max_mag)
    reference = np.asarray(model.law.coefficients(jnp.asarray(middle_mag), jnp.asarray(typical_mag)))[
        :n_bands
    ]
    reddened = jax.vmap(lambda x, e: reddened_magnitudes(model.law, jnp.asarray(reference), x, e))(
        jnp.asarray(x[sample]), jnp.asarray(ebv_mag)
    )
    y = np.asarray(jax.vmap(absolute_to_colour)(reddened))
    density, denoiser = initial_networks(
        stream_key(config.seed, Stream.EMULATOR_WEIGHTS), n_bands, structure_of(config)
    )
    low, high = error_ranges_mag(n_bands)
    moments = population_moments(y)

    def single(values: Any) -> Array:
        return jnp.asarray(values, dtype=jnp.float32)

    return Emulator(
        density=density,
        denoiser=denoiser,
        reference=single(reference),
        log_error_low=single(np.log(low)),
        log_error_high=single(np.log(high)),
        ebv_low_mag=single(config.ebv_min_mag),
        ebv_high_mag=single(config.ebv_max_mag),
        y_centre=single(np.median(y, axis=0)),
        y_scale=single(y.std(axis=0)),
        condition_centre=single(condition.mean(axis=0)),
        condition_scale=single(np.maximum(condition.std(axis=0), 1e-3)),
        intercept=single(moments.intercept),
        slope=single(moments.slope),
        covariance=single(moments.covariance),
        structure=structure_of(config),
    )


def _losses(
    emulator: Emulator, batch: Batch, masks: tuple[np.ndarray, ...]
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    def one(
        y: Array, ebv_mag: Array, condition: Array, noise: Noise, magnitude_mag: Array
    ) -> tuple[Array, Array]:
        seen = emulator.see(y, ebv_mag, condition, noise)
        needed = needed_bands(noise.observed)
        log_density = jnp.sum(emulator.log_factors(seen, noise, masks))
        log_proposal = jnp.sum(jnp.where(needed, emulator.log_proposal(y, seen, noise, magnitude_mag), 0.0))
        return -log_density, -log_proposal

    density, denoiser = jax.vmap(one)(
        batch.y, batch.ebv_mag, batch.condition, batch.noise, batch.magnitude_mag
    )
    return jnp.mean(density), jnp.mean(denoiser)
