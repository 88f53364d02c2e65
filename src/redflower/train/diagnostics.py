"""What a training report shows of the stars: where they lie, and the density that the flow gives them."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from redflower.bands import BP, RP
from redflower.flow.conditional import ConditionalFlow, leading_observed
from redflower.train.dataset import CHUNK, point_estimates
from redflower.train.loss.training_star import TrainingStar

#: A plot shows no more.
MAX_STARS = 100_000


@dataclass(frozen=True)
class Diagnostics:
    """Stars of the sample at the median of their distance given parallax and prior, magnitudes as measured.

    Attributes
    ----------
    m_g_mag, bp_rp_mag : M_G, and BP - RP (NaN without BP or RP). [mag]
    l_deg, b_deg : Galactic position. [deg]
    condition : (log10 R/pc, log10 Z/pc).
    log_density : ln p(x | R, Z) of the noisy x over the bands before the first missing one, divided by their number,
        so that stars of 3, 8 and 11 bands can share a scale. [nat per band]
    ruwe : renormalised unit weight error; NaN where unknown.
    """

    m_g_mag: Float[np.ndarray, " star"]
    bp_rp_mag: Float[np.ndarray, " star"]
    l_deg: Float[np.ndarray, " star"]
    b_deg: Float[np.ndarray, " star"]
    condition: Float[np.ndarray, "star cond"]
    log_density: Float[np.ndarray, " star"]
    ruwe: Float[np.ndarray, " star"]


def make_diagnostics(
    flow: ConditionalFlow, data: TrainingStar, ruwe: Float[np.ndarray, " star"], *, seed: int = 0
) -> Diagnostics:
    """Evaluate the flow on the stars, or on `MAX_STARS` of them drawn at random."""
    n_stars = len(data.star.parallax_mas)
    rows = np.sort(np.random.default_rng(seed).permutation(n_stars)[:MAX_STARS])
    some = jax.tree.map(lambda a: np.asarray(a[rows]), data)
    x, _, condition = point_estimates(some, flow.n_bands)
    observed = some.star.observed[:, : flow.n_bands]

    @jax.jit
    def mean_term(
        x: Float[Array, "star band"], observed: Bool[Array, "star band"], condition: Float[Array, "star cond"]
    ) -> Float[Array, " star"]:
        prepared = flow.prepared()
        leading = jax.vmap(leading_observed)(observed)
        terms = jax.vmap(prepared.log_prob_terms)(x, condition)
        return jnp.sum(jnp.where(leading, terms, 0.0), axis=1) / jnp.sum(leading, axis=1)

    parts = [
        np.asarray(mean_term(*(jnp.asarray(a[start : start + CHUNK]) for a in (x, observed, condition))))
        for start in range(0, len(rows), CHUNK)
    ]
    has_colour = some.star.observed[:, BP] & some.star.observed[:, RP]
    bp_rp = some.star.magnitude_mag[:, BP] - some.star.magnitude_mag[:, RP]
    return Diagnostics(
        m_g_mag=x[:, 0],
        bp_rp_mag=np.where(has_colour, bp_rp, np.nan),
        l_deg=some.star.l_deg,
        b_deg=some.star.b_deg,
        condition=condition,
        log_density=np.concatenate(parts),
        ruwe=np.asarray(ruwe)[rows],
    )
