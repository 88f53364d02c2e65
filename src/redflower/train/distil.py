"""Distil the emulator of the fast engine from a trained flow: unlimited data, minutes of work.

Noise-free stars are drawn from the flow once, at positions of its training coverage and with magnitudes within its
limits. Every training step reddens them with fresh E(B-V), gives them fresh errors and missing bands, both drawn
*independently of the star*, and maximises the likelihood of the noisy magnitudes (density network) and of the
noise-free ones given the noisy (denoiser).
"""

import time
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from redflower.bands import BANDS, BP, RP, G
from redflower.constants import LATITUDE_MIN_DEG, Z_SUN_PC
from redflower.errors import TrainingError
from redflower.flow.conditional import needed_bands
from redflower.flow.emulator import (
    Emulator,
    EmulatorStructure,
    Noise,
    density_masks,
    initial_networks,
    make_noise,
)
from redflower.flow.flow_draws import draw_given_first
from redflower.flow.model import Model
from redflower.flow.noise_filter import population_moments
from redflower.physics import (
    ExtinctionLaw,
    absolute_to_colour,
    colour_to_absolute,
    distance_modulus,
    extinction_mag,
)
from redflower.platforms import compute_platform
from redflower.random_streams import Stream, stream_key
from redflower.train.config import EmulatorConfig

#: Range of the errors that the emulator learns, survey by survey: floor to what is still worth using. [mag]
ERROR_RANGE_MAG: Final = {
    "gaia_g": (0.0026, 0.03),
    "gaia": (0.0027, 0.45),
    "ps1": (0.0045, 0.20),
    "2mass": (0.015, 0.25),
}
#: Which surveys a training star has, and how often.
SURVEY_PATTERNS: Final = (
    (("gaia", "ps1", "2mass"), 0.45),
    (("gaia", "ps1"), 0.30),
    (("gaia", "2mass"), 0.10),
    (("gaia",), 0.15),
)
#: Share of the stars that lose single bands on top, and the chance of each of theirs to be lost.
GAPS_SHARE, GAP_CHANCE = 0.35, 0.2
#: Brightest and faintest M_G to which the draws are spread. [mag]
M_G_RANGE_MAG: Final = (-3.0, 14.0)
DRAW_CHUNK = 16_384


class DistilStep(NamedTuple):
    """Progress of the distillation: both losses are mean negative log likelihoods on held-out stars. [nat]"""

    step: int
    n_steps: int
    density_loss: float
    denoiser_loss: float
    seconds: float


class Batch(NamedTuple):
    """Noisy stars, what the networks may know of them, and their noise-free magnitudes."""

    y: Float[Array, "star band"]
    ebv_mag: Float[Array, " star"]
    condition: Float[Array, "star cond"]
    noise: Noise
    magnitude_mag: Float[Array, "star band"]


def structure_of(config: EmulatorConfig) -> EmulatorStructure:
    """Sizes of the networks of a configuration."""
    return EmulatorStructure(*(getattr(config, name) for name in EmulatorStructure._fields))


def error_ranges_mag(n_bands: int) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest error of every band in training. [mag]"""
    ranges = [ERROR_RANGE_MAG.get(band.name) or ERROR_RANGE_MAG[band.survey] for band in BANDS[:n_bands]]
    low, high = np.array(ranges).T
    return low, high


def draw_errors(n: int, n_bands: int, rng: np.random.Generator) -> Float[np.ndarray, "pattern band"]:
    """Errors that know nothing of a star: log-uniform, correlated between the bands of a survey. [mag]"""
    low, high = np.log(error_ranges_mag(n_bands))
    surveys = [band.survey for band in BANDS[:n_bands]]
    level = rng.random((n, 1))
    own = {survey: rng.standard_normal((n, 1)) for survey in sorted(set(surveys))}
    common = np.concatenate([own[survey] for survey in surveys], axis=1)
    place = np.clip(level + 0.25 * common + 0.12 * rng.standard_normal((n, n_bands)), 0.0, 1.0)
    return np.exp(low + place * (high - low))


def draw_observed(n: int, n_bands: int, rng: np.random.Generator) -> Bool[np.ndarray, "pattern band"]:
    """Which bands are there: the surveys' patterns, and gaps. G always is."""
    surveys = np.array([band.survey for band in BANDS[:n_bands]])
    patterns = np.stack([np.isin(surveys, names) for names, _ in SURVEY_PATTERNS])
    shares = np.array([share for _, share in SURVEY_PATTERNS])
    observed = patterns[rng.choice(len(shares), size=n, p=shares)]
    gaps = (rng.random((n, n_bands)) < GAP_CHANCE) & (rng.random((n, 1)) < GAPS_SHARE)
    observed &= ~gaps
    observed[:, G] = True
    return observed


def draw_population(
    model: Model, n: int, rng: np.random.Generator
) -> tuple[Float[np.ndarray, "star band"], Float[np.ndarray, "star cond"]]:
    """Noise-free stars of the model: x = (M_G, colours) and (log10 R/pc, log10 Z/pc).

    Positions follow the square root of the coverage. Half of the stars have M_G from the flow and half spread evenly
    over what the limits allow there, so that rare stars are learnt as well: all factors of the emulator are conditional
    on M_G, whose distribution may therefore be chosen.
    """
    xs: list[np.ndarray] = []
    conditions: list[np.ndarray] = []
    n_drawn = 0
    while n_drawn < n:
        condition = _draw_conditions(model, DRAW_CHUNK, rng)
        height_pc = np.maximum(10.0 ** condition[:, 1] - Z_SUN_PC, 1.0)
        sin_b = rng.uniform(np.sin(np.radians(LATITUDE_MIN_DEG)), 1.0, DRAW_CHUNK)
        modulus_mag = np.asarray(jax.vmap(distance_modulus)(jnp.asarray(height_pc / sin_b)))
        low_mag = np.maximum(model.g_bright_mag - modulus_mag, M_G_RANGE_MAG[0])
        high_mag = np.maximum(np.minimum(model.g_faint_mag - modulus_mag, M_G_RANGE_MAG[1]), low_mag + 0.1)
        x = draw_given_first(
            model.flow, condition.astype(np.float32), low_mag, high_mag, rng.random(DRAW_CHUNK) < 0.5, rng
        )
        good = np.isfinite(x).all(axis=1) & (np.abs(x[:, 1:]) < 8.0).all(axis=1)
        xs.append(x[good])
        conditions.append(condition[good])
        n_drawn += int(good.sum())
    return np.concatenate(xs)[:n], np.concatenate(conditions)[:n].astype(np.float32)


def _draw_conditions(model: Model, n: int, rng: np.random.Generator) -> Float[np.ndarray, "star cond"]:
    coverage = model.coverage
    weight = np.sqrt(np.asarray(coverage.counts, dtype=np.float64))
    chosen = rng.choice(weight.size, size=n, p=weight.ravel() / weight.sum())
    columns = []
    for cell, edges in zip(
        np.unravel_index(chosen, weight.shape), (coverage.log10_r_edges, coverage.log10_z_edges), strict=True
    ):
        at = np.asarray(edges, dtype=np.float64)
        columns.append(at[cell] + rng.random(n) * (at[cell + 1] - at[cell]))
    return np.stack(columns, axis=1)


def reddened_magnitudes(
    law: ExtinctionLaw,
    reference: Float[Array, "band"],
    x: Float[Array, "band"],
    ebv_mag: Float[Array, ""],
) -> Float[Array, "band"]:
    """Absolute magnitudes with extinction, less ``reference`` * E: what the emulator calls noise-free. [mag]"""
    absolute_mag = colour_to_absolute(x)
    extinction = extinction_mag(law, ebv_mag, absolute_mag[BP] - absolute_mag[RP])[: len(x)]
    return absolute_mag + extinction - reference * ebv_mag


def distil(
    model: Model,
    config: EmulatorConfig | None = None,
    *,
    start_from: Emulator | None = None,
    progress: Callable[[DistilStep], None] | None = None,
) -> Emulator:
    """The emulator of a model's flow, for `redflower.posterior`'s fast engine.

    Equations: EF1, EF3 (docs/model.md).

    Parameters
    ----------
    model : with a trained flow, coverage, limits and law.
    config : sizes and lengths.
    start_from : an emulator to go on from, of a flow that was near this one; one of another size or range is not used.
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
        batch = _draw_batch(model.law, emulator, stars, patterns, key, config.batch_size)

        def loss(networks: Any) -> Array:
            return sum(losses(_with_networks(emulator, networks), batch), start=jnp.asarray(0.0))

        gradient = jax.grad(loss)(networks)
        updates, opt_state = optimiser.update(gradient, opt_state)
        return optax.apply_updates(networks, updates), opt_state

    @eqx.filter_jit
    def validate(networks: Any, stars: Any, patterns: Noise) -> tuple[Array, Array]:
        batch = _draw_batch(model.law, emulator, stars, patterns, check_key, 16_384)
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
    """Whether an emulator has the sizes and the range of reddening of a configuration."""
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


def _draw_batch(
    law: ExtinctionLaw,
    emulator: Emulator,
    stars: tuple[Array, Array],
    patterns: Noise,
    key: PRNGKeyArray,
    size: int,
) -> Batch:
    star_key, pattern_key, ebv_key, noise_key = jax.random.split(key, 4)
    rows = jax.random.randint(star_key, (size,), 0, len(stars[0]))
    x, condition = stars[0][rows], stars[1][rows]
    which = jax.random.randint(pattern_key, (size,), 0, len(patterns.error_mag))
    noise = jax.tree.map(lambda a: a[which], patterns)
    width_mag = emulator.ebv_high_mag - emulator.ebv_low_mag
    ebv_mag = emulator.ebv_low_mag + width_mag * jax.random.uniform(ebv_key, (size,))
    magnitude_mag = jax.vmap(lambda x, e: reddened_magnitudes(law, emulator.reference, x, e))(x, ebv_mag)
    noisy = magnitude_mag + noise.error_mag * jax.random.normal(noise_key, x.shape)
    # A missing band must not leak: its magnitude is set to that of G.
    noisy = jnp.where(noise.observed, noisy, noisy[:, :1])
    return Batch(jax.vmap(absolute_to_colour)(noisy), ebv_mag, condition, noise, magnitude_mag)


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
