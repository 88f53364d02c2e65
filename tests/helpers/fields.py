"""A table of posteriors of stars all over a small field of dust, as `redflower.infer` writes it."""

import numpy as np
from astropy.table import Table
from scipy.special import gammainccinv

from redflower.simulate.dust_field import DustField
from redflower.validate.mock_sightlines import SightlineStars, mock_densities


def field_table(
    n_stars: int,
    dust: DustField,
    *,
    seed: int = 0,
    zero_point_mag: float = 0.0,
    zero_point_per_modulus: float = 0.0,
    places_deg: tuple[np.ndarray, np.ndarray] | None = None,
    kind: SightlineStars | None = None,
) -> Table:
    """Posteriors of stars on the patch of a dust field, uniform unless their l and b are given.

    Their population is that of `mock_sightline`, but that each has one solution, unless another is given.
    """
    rng, kind = np.random.default_rng(seed), kind or SightlineStars(ambiguous_share=0.0)
    shape = (kind.beta + 1.0) / kind.alpha
    distance = np.maximum(
        kind.length_pc * gammainccinv(shape, rng.random(n_stars)) ** (1.0 / kind.alpha), 20.0
    )
    l_deg, b_deg = places_deg or dust.patch.draw(n_stars, rng)
    ebv = dust.ebv_mag(l_deg, b_deg, distance)
    density = mock_densities(
        ebv,
        distance,
        rng,
        stars=kind,
        zero_point_mag=zero_point_mag,
        zero_point_per_modulus=zero_point_per_modulus,
    )
    weight = np.exp(density.log_density()).sum(axis=1)
    weight /= weight.sum(axis=1, keepdims=True)
    nodes = density.ebv_nodes_mag()
    mean = (weight * nodes).sum(axis=1)
    table = Table(
        {"source_id": np.arange(n_stars, dtype=np.int64) + 10**15 + seed * 10**6, "l": l_deg, "b": b_deg}
    )
    table["ebv_mean"] = mean
    table["ebv_std"] = np.sqrt((weight * (nodes - mean[:, None]) ** 2).sum(axis=1))
    # Of the right size, which is all that a field's grid takes of it.
    table["distance_mean"] = distance
    table["status"], table["flags"] = np.full(n_stars, "ok", dtype="<U16"), np.zeros(n_stars, dtype=int)
    for name in ("ebv_start", "ebv_step", "modulus_start", "modulus_step"):
        table[f"density_{name}"] = getattr(density, f"{name}_mag")
    table["density"] = density.steps_below_peak
    table.meta["redflower"] = {"stage": "posteriors", "ebv_prior_mag": [-0.05, 0.5]}
    return table
