"""Is a set of posteriors calibrated? Ranks of the truths, coverage of regions about random points, and coverage cell by cell."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from jaxtyping import Bool, Float
from scipy import stats

from redflower.posterior.density import JointDensity
from redflower.posterior.density_nodes import on_finer_nodes, usable_densities

#: Draws of each posterior that its truth is compared with.
N_DRAWS: Final = 400
#: Stars whose refined densities are in memory together.
_CHUNK: Final = 256
_NOTHING_NAT: Final = -40.0
#: Chance that all ranks of one quantity lie within the band.
BAND_LEVEL: Final = 0.95
#: Cells of fewer stars are not judged.
MIN_IN_CELL: Final = 100


@dataclass(frozen=True)
class Ranks:
    """Where the truth lies among the draws of each posterior: uniform between 0 and 1 if the posteriors are calibrated.

    Attributes
    ----------
    used : which stars have a density.
    ebv, modulus : share of the draws below the true reddening, and below the true distance modulus.
    log_density : share of the draws at which the posterior density is lower than at the truth.
    region : share of the draws nearer than the truth to a random point of the plane (TARP; Lemos et al. 2023, ICML 202, 19256).
    """

    used: Bool[np.ndarray, " all"]
    ebv: Float[np.ndarray, " star"]
    modulus: Float[np.ndarray, " star"]
    log_density: Float[np.ndarray, " star"]
    region: Float[np.ndarray, " star"]


def ranks_of(
    density: JointDensity,
    ebv_mag: Float[np.ndarray, " star"],
    modulus_mag: Float[np.ndarray, " star"],
    rng: np.random.Generator,
) -> Ranks:
    """Rank the truths among draws from the stars' joint densities (Talts et al. 2018, arXiv:1804.06788).

    Parameters
    ----------
    density : of the stars.
    ebv_mag, modulus_mag : true reddenings and distance moduli. [mag]
    rng : random numbers.
    """
    used = usable_densities(density)
    rows = np.flatnonzero(used)
    found: list[np.ndarray] = []
    for start in range(0, len(rows), _CHUNK):
        here = rows[start : start + _CHUNK]
        found.append(_ranks(density.rows(here), ebv_mag[here], modulus_mag[here], rng))
    ebv, modulus, log_density, region = np.concatenate(found, axis=1) if found else np.zeros((4, 0))
    return Ranks(used=used, ebv=ebv, modulus=modulus, log_density=log_density, region=region)


def _ranks(
    density: JointDensity, ebv_mag: np.ndarray, modulus_mag: np.ndarray, rng: np.random.Generator
) -> Float[np.ndarray, "quantity star"]:
    log_value = on_finer_nodes(np.maximum(density.log_density(), _NOTHING_NAT))
    n_stars, n_modulus, n_ebv = log_value.shape
    steps = [
        (density.modulus_step_mag * (density.steps_below_peak.shape[1] - 1) / (n_modulus - 1)),
        (density.ebv_step_mag * (density.steps_below_peak.shape[2] - 1) / (n_ebv - 1)),
    ]
    starts = [density.modulus_start_mag, density.ebv_start_mag]
    mass = np.exp(log_value - log_value.max(axis=(1, 2), keepdims=True)).reshape(n_stars, -1)
    total = np.cumsum(mass, axis=1)
    places = np.empty((2, n_stars, N_DRAWS))
    for i in range(n_stars):
        node = np.searchsorted(total[i], rng.random(N_DRAWS) * total[i, -1])
        places[:, i] = np.array(np.unravel_index(np.minimum(node, mass.shape[1] - 1), (n_modulus, n_ebv)))
    # Anywhere in the cell about the node; at an end half of it is outside the grid.
    places += rng.random(places.shape) - 0.5
    places[0], places[1] = np.abs(places[0]), np.abs(places[1])
    ends = np.array([n_modulus - 1.0, n_ebv - 1.0])[:, None, None]
    places = ends - np.abs(ends - places)
    truth = np.stack(
        [
            (value - start) / step
            for value, start, step in zip((modulus_mag, ebv_mag), starts, steps, strict=True)
        ]
    )
    below = (places < truth[:, :, None]).mean(axis=2)
    at_truth = _interpolated(log_value, truth[:, :, None])[:, 0]
    outside = ((truth < 0) | (truth > ends[:, :, 0])).any(axis=0)
    at_truth = np.where(outside, _NOTHING_NAT, at_truth)
    lower = (_interpolated(log_value, places) < at_truth[:, None]).mean(axis=1)
    # In units of the posterior's own scatter a random point within a few of them: near enough to tell, blind to the truth.
    scale = places.std(axis=2) + 1e-9
    reference = places.mean(axis=2) + 3.0 * scale * rng.uniform(-1.0, 1.0, scale.shape)
    distances = (((places - reference[:, :, None]) / scale[:, :, None]) ** 2).sum(axis=0)
    of_truth = (((truth - reference) / scale) ** 2).sum(axis=0)
    nearer = (distances < of_truth[:, None]).mean(axis=1)
    return np.stack([below[1], below[0], lower, nearer])


def _interpolated(
    log_value: Float[np.ndarray, "star modulus ebv"], place: Float[np.ndarray, "2 star draw"]
) -> Float[np.ndarray, "star draw"]:
    """Interpolate bilinearly at places in units of the nodes; beyond the grid its edge holds."""
    top = np.array(log_value.shape[1:]) - 1
    at = np.clip(place, 0.0, top[:, None, None] - 1e-9)
    cell = at.astype(int)
    part = at - cell
    star = np.arange(len(log_value))[:, None]
    value = np.zeros(place.shape[1:])
    for i in (0, 1):
        for j in (0, 1):
            weight = np.abs(1 - i - part[0]) * np.abs(1 - j - part[1])
            value += weight * log_value[star, cell[0] + i, cell[1] + j]
    return value


def uniformity(rank: Float[np.ndarray, " star"]) -> dict[str, Any]:
    """Judge whether ranks are uniform: their distribution function against a band that holds all of it with 95 %.

    The band is Kolmogorov's; ``deviation`` is the largest distance from the diagonal.
    """
    n = len(rank)
    rank = np.sort(rank)
    upper, lower = np.arange(1, n + 1) / n - rank, rank - np.arange(n) / n
    deviation = float(max(upper.max(initial=0.0), lower.max(initial=0.0)))
    band = float(stats.kstwo.ppf(BAND_LEVEL, n)) if n else float("nan")
    return {
        "n": n,
        "deviation": deviation,
        "band": band,
        "inside": bool(deviation < band),
        "mean": float(rank.mean()) if n else float("nan"),
        "inside_68": float((np.abs(rank - 0.5) < 0.34).mean()) if n else float("nan"),
        "curve": (np.interp(np.linspace(0, 1, 51), rank, np.arange(1, n + 1) / n, left=0.0, right=1.0))
        .round(4)
        .tolist()
        if n
        else [],
    }


def coverage_by_cell(
    rank: Float[np.ndarray, " star"],
    residual_mag: Float[np.ndarray, " star"],
    cells: dict[str, tuple[Float[np.ndarray, " star"], tuple[float, ...]]],
) -> list[dict[str, Any]]:
    """Find how often the central 68 % hold the truth, and the mean residual, in cells of several quantities.

    Parameters
    ----------
    rank : of the true reddening.
    residual_mag : posterior mean less true reddening. [mag]
    cells : by the quantity's name, its values and the edges of its cells.

    Returns
    -------
    A record a cell of at least `MIN_IN_CELL` stars: ``quantity``, ``low``, ``high``, ``n``, ``inside_68``, ``error`` of it by the
    binomial distribution, ``residual_mean`` and ``residual_error``.
    """
    out = []
    for name, (values, edges) in cells.items():
        for low, high in zip(edges[:-1], edges[1:], strict=True):
            here = (values >= low) & (values < high)
            n = int(here.sum())
            if n < MIN_IN_CELL:
                continue
            out.append(
                {
                    "quantity": name, "low": float(low), "high": float(high), "n": n,
                    "inside_68": float((np.abs(rank[here] - 0.5) < 0.34).mean()),
                    "error": float(np.sqrt(0.68 * 0.32 / n)),
                    "residual_mean": float(residual_mag[here].mean()),
                    "residual_error": float(residual_mag[here].std() / np.sqrt(n)),
                }
            )  # fmt: skip
    return out
