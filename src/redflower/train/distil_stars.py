"""Stars to distil the emulator from: drawn from the flow, with errors and gaps as surveys have them."""

from typing import Final, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from redflower.bands import BP, RP, STANDARD_SURVEYS, BandSet, G
from redflower.constants import LATITUDE_MIN_DEG, Z_SUN_PC
from redflower.flow.emulator import Emulator, Noise
from redflower.flow.flow_draws import draw_given_first
from redflower.flow.model import Model
from redflower.physics import (
    ExtinctionLaw,
    absolute_to_colour,
    colour_to_absolute,
    distance_modulus,
    extinction_mag,
)
from redflower.survey import Survey
from redflower.surveys import shipped_surveys

#: Which of the standard surveys a training star has, and how often.
SURVEY_PATTERNS: Final = (
    (("gaia", "ps1", "2mass"), 0.45),
    (("gaia", "ps1"), 0.30),
    (("gaia", "2mass"), 0.10),
    (("gaia",), 0.15),
)
#: The chance of each further survey to be there where a star has all standard ones, and where it lacks some.
FURTHER_CHANCE: Final = (0.8, 0.5)
#: Share of the stars that lose single bands on top, and the chance of each of theirs to be lost.
GAPS_SHARE, GAP_CHANCE = 0.35, 0.2
#: Brightest and faintest M_G to which the draws are spread. [mag]
M_G_RANGE_MAG: Final = (-3.0, 14.0)
DRAW_CHUNK = 16_384


class Batch(NamedTuple):
    """Noisy stars, what the networks may know of them, and their noise-free magnitudes."""

    y: Float[Array, "star band"]
    ebv_mag: Float[Array, " star"]
    condition: Float[Array, "star cond"]
    noise: Noise
    magnitude_mag: Float[Array, "star band"]


def error_ranges_mag(bands: BandSet) -> tuple[np.ndarray, np.ndarray]:
    """Return the lowest and highest training error of every band. [mag]"""
    low, high = np.array([band.error_range_mag for band in bands]).T
    return low, high


def draw_errors(n: int, bands: BandSet, rng: np.random.Generator) -> Float[np.ndarray, "pattern band"]:
    """Draw errors independently of the star: log-uniform, correlated between the bands of a survey. [mag]"""
    low, high = np.log(error_ranges_mag(bands))
    surveys = [band.survey for band in bands]
    level = rng.random((n, 1))
    own = {survey: rng.standard_normal((n, 1)) for survey in sorted(set(surveys))}
    common = np.concatenate([own[survey] for survey in surveys], axis=1)
    place = np.clip(level + 0.25 * common + 0.12 * rng.standard_normal((n, len(bands))), 0.0, 1.0)
    return np.exp(low + place * (high - low))


def draw_observed(n: int, bands: BandSet, rng: np.random.Generator) -> Bool[np.ndarray, "pattern band"]:
    """Draw which bands are observed: the surveys' patterns, and gaps. G always is."""
    surveys = np.array([band.survey for band in bands])
    patterns = np.stack([np.isin(surveys, names) for names, _ in SURVEY_PATTERNS])
    shares = np.array([share for _, share in SURVEY_PATTERNS])
    observed = patterns[rng.choice(len(shares), size=n, p=shares)]
    further = np.array([survey not in STANDARD_SURVEYS for survey in bands.surveys])
    if further.any():
        there = observed[:, np.isin(surveys, STANDARD_SURVEYS)].all(axis=1)
        chance = np.where(there, *FURTHER_CHANCE)[:, None]
        drawn = (rng.random((n, len(bands.surveys))) < chance) & further
        observed |= drawn[:, [bands.surveys.index(survey) for survey in surveys]]
    for survey in replacing_surveys():
        own = np.isin(surveys, survey.survey)
        # As `prepare` leaves them: where a star has bands of such a survey, it lacks those that these replace.
        observed[np.ix_(observed[:, own].any(axis=1), np.isin(bands.names, survey.replaces))] = False
    gaps = (rng.random((n, len(bands))) < GAP_CHANCE) & (rng.random((n, 1)) < GAPS_SHARE)
    observed &= ~gaps
    observed[:, G] = True
    return observed


def replacing_surveys() -> tuple[Survey, ...]:
    """Return the shipped surveys whose bands take the place of others in inference."""
    return tuple(survey for survey in shipped_surveys().values() if survey.replaces)


def draw_population(
    model: Model, n: int, rng: np.random.Generator
) -> tuple[Float[np.ndarray, "star band"], Float[np.ndarray, "star cond"]]:
    """Draw noise-free stars of the model: x = (M_G, colours) and (log10 R/pc, log10 Z/pc).

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
    reference: Float[Array, " band"],
    x: Float[Array, " band"],
    ebv_mag: Float[Array, ""],
) -> Float[Array, " band"]:
    """Return absolute magnitudes with extinction, minus ``reference`` * E: the emulator's noise-free magnitudes. [mag]"""
    absolute_mag = colour_to_absolute(x)
    extinction = extinction_mag(law, ebv_mag, absolute_mag[BP] - absolute_mag[RP])[: len(x)]
    return absolute_mag + extinction - reference * ebv_mag


def draw_batch(
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
    return Batch(
        y=jax.vmap(absolute_to_colour)(noisy),
        ebv_mag=ebv_mag,
        condition=condition,
        noise=noise,
        magnitude_mag=magnitude_mag,
    )
