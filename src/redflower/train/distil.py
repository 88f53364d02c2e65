"""Distil the emulator of the fast engine from a trained flow: unlimited data, minutes of work.

Noise-free stars are drawn from the flow once, at positions of its training coverage and with magnitudes within its
limits. Every training step reddens them with fresh E(B-V), gives them fresh errors and missing bands, both drawn
*independently of the star*, and maximises the likelihood of the noisy magnitudes (density network) and of the
noise-free ones given the noisy (denoiser).
"""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from redflower.bands import BP, RP, BandSet
from redflower.errors import TrainingError
from redflower.flow.emulator import Emulator, make_noise
from redflower.flow.emulator_networks import initial_networks
from redflower.flow.model import Model
from redflower.flow.noise_filter import population_moments
from redflower.physics import absolute_to_colour
from redflower.platforms import compute_platform
from redflower.random_streams import Stream, stream_key
from redflower.train.config import EmulatorConfig
from redflower.train.distil_stars import (
    DRAW_CHUNK,
    draw_errors,
    draw_observed,
    draw_population,
    error_ranges_mag,
    reddened_magnitudes,
)
from redflower.train.distil_steps import (
    Clock,
    DistilData,
    DistilSteps,
    emulator_rate,
    emulator_structure,
    with_networks,
)
from redflower.train.plan import EmulatorCosts
from redflower.train.stopwatch import mean_seconds


class DistilStep(NamedTuple):
    """Progress of the distillation: both losses are mean negative log likelihoods on held-out stars. [nat]"""

    step: int
    n_steps: int
    density_loss: float
    denoiser_loss: float
    seconds: float


def make_distil_data(
    emulator: Emulator,
    config: EmulatorConfig,
    bands: BandSet,
    x: np.ndarray,
    condition: np.ndarray,
    rng: np.random.Generator,
) -> DistilData:
    """Hold out a twentieth of the stars, and draw errors and gaps."""
    error_mag = draw_errors(config.n_patterns, bands, rng)
    patterns = make_noise(emulator, error_mag, draw_observed(config.n_patterns, bands, rng))
    n_held_out = len(x) // 20
    return DistilData(
        stars=(jnp.asarray(x[n_held_out:]), jnp.asarray(condition[n_held_out:])),
        held_out=(jnp.asarray(x[:n_held_out]), jnp.asarray(condition[:n_held_out])),
        patterns=jax.tree.map(jnp.asarray, patterns),
    )


def distil(
    model: Model,
    config: EmulatorConfig | None = None,
    *,
    start_from: Emulator | None = None,
    max_seconds: float | None = None,
    steps: DistilSteps | None = None,
    progress: Callable[[DistilStep], None] | None = None,
) -> Emulator:
    """Distil the emulator of a model's flow, for `redflower.posterior`'s fast engine.

    Equations: EF1, EF3 (docs/explanation/model.md).

    Parameters
    ----------
    model : with a trained flow, coverage, limits and law.
    config : sizes and lengths.
    start_from : an emulator to start from, of a flow that was near this one. One of another size or range is not used.
    max_seconds : end in about this time: where the steps take longer than they should, fewer are made, but some
        hundreds, and the rate still falls to its end. [s]
    steps : compiled for this configuration, law and number of bands. Compiled here by default.
    progress : called every few hundred steps.

    Raises
    ------
    TrainingError : the flow has fewer than three bands, or the losses are not finite.
    """
    began = time.monotonic()
    compute_platform()
    config = config or EmulatorConfig()
    n_bands = model.n_bands
    if n_bands <= RP:
        raise TrainingError(f"distil needs a model with at least {RP + 1} bands; it has {n_bands}.")
    rng = np.random.default_rng(config.seed)
    x, condition = draw_population(model, config.n_stars, rng)
    emulator = untrained_emulator(model, config, x, condition)
    if start_from is not None and _serves(start_from, model, config):
        emulator = start_from
    data = make_distil_data(emulator, config, model.bands, x, condition, rng)
    steps = steps or DistilSteps(config, model.law, n_bands)
    networks = (emulator.density, emulator.denoiser)
    opt_state = steps.optimiser.init(networks)
    check_key, steps_key = (
        stream_key(config.seed, stream) for stream in (Stream.EMULATOR_CHECK, Stream.EMULATOR_STEPS)
    )
    clock = Clock(config.n_steps, None if max_seconds is None else began + max_seconds)
    started = time.monotonic()
    every = max(1, config.n_steps // 12)
    n_done = 0
    while n_done < clock.n_steps:
        rate = jnp.float32(emulator_rate(config, n_done, clock.n_steps))
        key = jax.random.fold_in(steps_key, n_done)
        networks, opt_state = steps.step(networks, opt_state, rate, emulator, data, key)
        n_done += 1
        if clock.is_due(n_done):
            jax.block_until_ready(networks)
            clock.look(n_done)
        if n_done % every == 0 or n_done == clock.n_steps:
            values = [float(v) for v in steps.check(networks, emulator, data, check_key)]
            if not np.isfinite(values).all():
                raise TrainingError(
                    f"distil: the losses are not finite after {n_done} steps. Lower learning_rate "
                    f"({config.learning_rate})."
                )
            if progress is not None:
                elapsed_s = time.monotonic() - started
                progress(
                    DistilStep(
                        step=n_done,
                        n_steps=clock.n_steps,
                        density_loss=values[0],
                        denoiser_loss=values[1],
                        seconds=elapsed_s,
                    )
                )
    return with_networks(emulator, networks)


def time_distil(model: Model, config: EmulatorConfig, steps: DistilSteps) -> EmulatorCosts:
    """Draw some stars of a model, and make a few real steps; nothing of it is kept.

    Parameters
    ----------
    model
        With a flow of the shape that will be distilled; it need not be trained.
    config
        Of the emulator.
    steps
        Compiled for it; `distil` can use them again.
    """
    rng = np.random.default_rng(config.seed)
    draw_population(model, 1, rng)  # compiles
    began = time.monotonic()
    x, condition = draw_population(model, DRAW_CHUNK // 2, rng)
    chunk_s = time.monotonic() - began
    # The arrays have the size that they will have, so that what is compiled serves again.
    rows = np.arange(config.n_stars) % len(x)
    x, condition = x[rows], condition[rows]
    began = time.monotonic()
    emulator = untrained_emulator(model, config, x, condition)
    data = make_distil_data(emulator, config, model.bands, x, condition, rng)
    made_s = time.monotonic() - began
    networks = (emulator.density, emulator.denoiser)
    opt_state = steps.optimiser.init(networks)
    key = stream_key(config.seed, Stream.EMULATOR_STEPS)
    return EmulatorCosts(
        draw_s=chunk_s * config.n_stars / DRAW_CHUNK + made_s,
        step_s=mean_seconds(lambda: steps.step(networks, opt_state, jnp.float32(0.0), emulator, data, key)),
    )


def _serves(emulator: Emulator, model: Model, config: EmulatorConfig) -> bool:
    """Tell whether an emulator has the sizes and the range of reddening of a configuration."""
    limits = np.array([emulator.ebv_low_mag, emulator.ebv_high_mag])
    return (
        emulator.structure == emulator_structure(config)
        and len(emulator.reference) == model.n_bands
        and np.allclose(limits, [config.ebv_min_mag, config.ebv_max_mag], atol=1e-6)
    )


def untrained_emulator(
    model: Model, config: EmulatorConfig, x: np.ndarray, condition: np.ndarray
) -> Emulator:
    """Return an emulator of random networks, scaled to noise-free stars of the model."""
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
        stream_key(config.seed, Stream.EMULATOR_WEIGHTS), n_bands, emulator_structure(config)
    )
    low, high = error_ranges_mag(model.bands)
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
        structure=emulator_structure(config),
    )
