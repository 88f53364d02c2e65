"""Synthetic reddening of dust-free stars, as in section 5.1.1 of the paper."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from redflower.physics import ExtinctionLaw, extinction_mag
from redflower.physics.correlated_errors import correlated_noise
from redflower.star import Star

#: The reddenings of the paper's experiment. [mag]
EBV_STEPS_MAG: Final = (0.0, 0.1, 0.2, 0.3, 0.4)
RANDOM: Final = "random"
#: The name of the trial without reddening.
AS_THEY_ARE: Final = "0"


@dataclass(frozen=True)
class Trial:
    """One set of stars, reddened.

    Attributes
    ----------
    name : the reddening as text, or ``random``.
    n_bands : leading bands that are kept.
    stars : reddened stars, a row each.
    rows : of the stars that were given.
    true_ebv_mag : injected reddening. [mag]
    """

    name: str
    n_bands: int
    stars: Star
    rows: np.ndarray
    true_ebv_mag: Float[np.ndarray, " star"]


def redden(
    stars: Star,
    law: ExtinctionLaw,
    ebv_mag: Float[np.ndarray, " star"],
    bp_rp_mag: Float[np.ndarray, " star"],
    rng: np.random.Generator | None = None,
) -> Star:
    """Redden stars as they would be seen behind dust.

    Equation: EP8 (docs/explanation/model.md). The observed magnitudes of a star free of dust get the extinction added: their
    noise is in them once. With ``rng`` noise is drawn again around them and around the parallaxes, as the paper does; the stars
    then carry it twice.

    Parameters
    ----------
    stars : free of dust.
    law : of extinction.
    ebv_mag : reddening of each. [mag]
    bp_rp_mag : intrinsic BP - RP, on which the law depends. [mag]
    rng : random numbers, to draw noise again.
    """
    at = jax.vmap(lambda e, c: extinction_mag(law, e, c))
    added = np.asarray(at(jnp.asarray(ebv_mag, jnp.float32), jnp.asarray(bp_rp_mag, jnp.float32)))
    magnitude = np.asarray(stars.magnitude_mag) + added  # EP8
    parallax = np.asarray(stars.parallax_mas)
    if rng is not None:
        noise = correlated_noise(stars.error_whitener, rng.standard_normal(magnitude.shape))
        magnitude = magnitude + noise * np.asarray(stars.magnitude_error_mag)
        parallax = parallax + rng.standard_normal(parallax.shape) * np.asarray(stars.parallax_error_mas)
    observed = np.asarray(stars.observed)
    return replace(
        stars,
        magnitude_mag=np.where(observed, magnitude, stars.magnitude_mag).astype(np.float32),
        parallax_mas=np.where(np.asarray(stars.has_parallax), parallax, stars.parallax_mas).astype(
            np.float32
        ),
    )


def trials(
    stars: Star,
    law: ExtinctionLaw,
    bp_rp_mag: Float[np.ndarray, " star"],
    rng: np.random.Generator,
    *,
    n_bands: Sequence[int] = (8, 11),
    ebv_steps_mag: Sequence[float] = EBV_STEPS_MAG,
    random_max_mag: float = 0.4,
    resample: bool = False,
    without: Sequence[int] = (),
) -> Iterator[Trial]:
    """Yield every set of stars of the experiment: each number of bands with each reddening, then with random ones.

    A star enters with every number of leading bands that it has complete.

    Parameters
    ----------
    stars : free of dust, none used in training.
    law : of extinction.
    bp_rp_mag : intrinsic BP - RP. [mag]
    rng : random numbers.
    n_bands : numbers of leading bands.
    ebv_steps_mag : the reddenings. [mag]
    random_max_mag : random reddenings are uniform between 0 and this. [mag]
    resample : whether noise is drawn again, see `redden`.
    without : places of bands that are left out of every star: none needs them.
    """
    observed = np.asarray(stars.observed)
    for bands in n_bands:
        needed = [k for k in range(bands) if k not in without]
        rows = np.flatnonzero(observed[:, needed].all(axis=1) & np.isfinite(bp_rp_mag))
        if len(rows) == 0:
            continue
        part = jax.tree.map(lambda a, rows=rows: np.asarray(a)[rows], stars)
        kept = np.asarray(part.observed).copy()
        kept[:, bands:] = False
        part = replace(part, observed=kept)
        steps: list[float | str] = [*ebv_steps_mag, RANDOM]
        for step in steps:
            drawn = rng.uniform(0.0, random_max_mag, len(rows))
            ebv = drawn if step == RANDOM else np.full(len(rows), step, dtype=float)
            reddened = redden(part, law, ebv, np.asarray(bp_rp_mag)[rows], rng if resample else None)
            name = step if isinstance(step, str) else f"{step:g}"
            yield Trial(name=name, n_bands=bands, stars=reddened, rows=rows, true_ebv_mag=ebv)
