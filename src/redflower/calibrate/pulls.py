"""The pull of every star of a sample on every band's zero point, at given offsets."""

from typing import Final, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key, PRNGKeyArray

from redflower.flow.emulator import Noise
from redflower.posterior.batches import batches, map_stars, take
from redflower.posterior.fast.fit import Fit, star_fit, zero_point_pull
from redflower.posterior.fast.grid import FINER_EBV_NODES, FINER_MODULUS_NODES, FastTarget, posterior_grid
from redflower.posterior.fast.grid_summaries import node_masses, summarise_grid
from redflower.posterior.fast.steps import QUADRATURE_AT_ONCE, noise_inputs
from redflower.posterior.keys import star_keys
from redflower.random_streams import Stream
from redflower.star import Star

#: Stars in one compiled call.
BATCH: Final = 256


class Pulls(NamedTuple):
    """What a pass over the sample found, a row per star; see `redflower.posterior.fast.fit`."""

    fit: Fit
    pull: Float[Array, "star band"]
    log_evidence: Float[Array, " star"]
    ebv_mean_mag: Float[Array, " star"]
    distance_mean_pc: Float[Array, " star"]


@eqx.filter_jit
def _batch(
    fast: FastTarget,
    stars: Star,
    noise: Noise,
    keys: Key[Array, " star"],
    ebv_mag: Float[Array, " star"],
    ebv_error_mag: Float[Array, " star"],
) -> Pulls:
    def one(
        star: Star, noise: Noise, key: PRNGKeyArray, ebv: Float[Array, ""], error: Float[Array, ""]
    ) -> Pulls:
        fit_key, pull_key = jax.random.split(key)
        # No second look mends what a small grid loses here, and what is known of E makes the posterior narrow in its box.
        grid = posterior_grid(fast, star, noise, (FINER_MODULUS_NODES, FINER_EBV_NODES))
        held = -0.5 * ((grid.ebv_mag - ebv) / error) ** 2  # CA2
        grid = grid._replace(log_density=grid.log_density + held[None, :])
        summary = summarise_grid(grid)
        return Pulls(
            fit=star_fit(fast, star, noise, grid, fit_key),
            pull=zero_point_pull(fast, star, noise, grid, pull_key),
            log_evidence=node_masses(grid)[1],
            ebv_mean_mag=summary.ebv_mean_mag,
            distance_mean_pc=summary.distance_mean_pc,
        )

    return map_stars(one, stars, noise, keys, ebv_mag, ebv_error_mag, at_once=QUADRATURE_AT_ONCE)


def sample_pulls(
    fast: FastTarget,
    stars: Star,
    source_id: np.ndarray,
    offset_mag: Float[np.ndarray, " band"],
    ebv_mag: Float[np.ndarray, " star"],
    ebv_error_mag: Float[np.ndarray, " star"],
    seed: int,
) -> Pulls:
    """Return pulls and residuals of every star with the offsets taken off its magnitudes.

    Equation: CA2 (docs/explanation/model.md).

    Parameters
    ----------
    fast : the fast engine's target.
    stars, source_id : the sample, host arrays.
    offset_mag : offsets of the model's bands. [mag]
    ebv_mag, ebv_error_mag : what is known of each star's reddening beforehand; an infinite error for nothing. [mag]
    seed : of the draws; the same for every pass, so that passes differ by the offsets alone.
    """
    n = fast.emulator.n_bands
    magnitude = np.array(stars.magnitude_mag, dtype=np.float32)
    magnitude[:, :n] -= offset_mag.astype(np.float32)
    moved = eqx.tree_at(lambda s: s.magnitude_mag, stars, magnitude)
    parts = []
    for batch, padded in batches(np.arange(len(source_id)), BATCH):
        part = take(moved, padded)
        noise = jax.device_put(noise_inputs(fast.emulator, part))
        found = _batch(
            fast, part, noise, star_keys(source_id[padded], seed, Stream.FIT_OF_STARS),
            jnp.asarray(ebv_mag[padded], jnp.float32), jnp.asarray(ebv_error_mag[padded], jnp.float32),
        )  # fmt: skip
        parts.append(jax.tree.map(lambda a: np.asarray(a)[: len(batch)], found))  # noqa: B023
    return jax.tree.map(lambda *a: np.concatenate(a), *parts)
