"""Is a set of posteriors calibrated? Ranks of the truths, coverage of regions about random points, and coverage cell by cell."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
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
    log_likelihood : the same of the likelihood: that density over the distance prior, as the reddening prior is uniform.
    region : share of the draws nearer than the truth to a random point of the plane (TARP; Lemos et al. 2023, ICML 202, 19256).
    """

    used: Bool[np.ndarray, " all"]
    ebv: Float[np.ndarray, " star"]
    modulus: Float[np.ndarray, " star"]
    log_density: Float[np.ndarray, " star"]
    log_likelihood: Float[np.ndarray, " star"]
    region: Float[np.ndarray, " star"]


def ranks_of(
    density: JointDensity,
    ebv_mag: Float[np.ndarray, " star"],
    modulus_mag: Float[np.ndarray, " star"],
    rng: np.random.Generator,
    log_distance_prior: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None,
) -> Ranks:
    """Rank the truths among draws from the stars' joint densities (Talts et al. 2018, arXiv:1804.06788).

    Parameters
    ----------
    density : of the stars.
    ebv_mag, modulus_mag : true reddenings and distance moduli. [mag]
    rng : random numbers.
    log_distance_prior : from rows of stars and their distance moduli, of shape (star, draw), ln density of the distance prior in
        distance modulus, up to a constant of each star. If None, it is uniform.
    """
    prior = log_distance_prior or (lambda rows, modulus: np.zeros(modulus.shape))
    used = usable_densities(density)
    rows = np.flatnonzero(used)
    found: list[np.ndarray] = []
    for start in range(0, len(rows), _CHUNK):
        here = rows[start : start + _CHUNK]
        found.append(_ranks(density.rows(here), ebv_mag[here], modulus_mag[here], rng, partial(prior, here)))
    ebv, modulus, log_density, log_likelihood, region = (
        np.concatenate(found, axis=1) if found else np.zeros((5, 0))
    )
    return Ranks(
        used=used,
        ebv=ebv,
        modulus=modulus,
        log_density=log_density,
        log_likelihood=log_likelihood,
        region=region,
    )


def _ranks(
    density: JointDensity,
    ebv_mag: np.ndarray,
    modulus_mag: np.ndarray,
    rng: np.random.Generator,
    log_prior: Callable[[np.ndarray], np.ndarray],
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
    at_draws = _interpolated(log_value, places)
    lower = (at_draws < at_truth[:, None]).mean(axis=1)
    drawn_mag = density.modulus_start_mag[:, None] + places[0] * steps[0][:, None]
    of_truth_prior = log_prior(modulus_mag[:, None])[:, 0]
    less_likely = (at_draws - log_prior(drawn_mag) < (at_truth - of_truth_prior)[:, None]).mean(axis=1)
    # In units of the posterior's own scatter a random point within a few of them: near enough to tell, blind to the truth.
    scale = places.std(axis=2) + 1e-9
    reference = places.mean(axis=2) + 3.0 * scale * rng.uniform(-1.0, 1.0, scale.shape)
    distances = (((places - reference[:, :, None]) / scale[:, :, None]) ** 2).sum(axis=0)
    of_truth = (((truth - reference) / scale) ** 2).sum(axis=0)
    nearer = (distances < of_truth[:, None]).mean(axis=1)
    return np.stack([below[1], below[0], lower, less_likely, nearer])


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


def data_averaged(
    density: JointDensity, ebv_mag: Float[np.ndarray, " star"], edges_mag: Float[np.ndarray, " edge"]
) -> dict[str, Any]:
    """Compare the mean of all posteriors of the reddening with the prior that the stars were drawn from.

    The posteriors' mean is the prior if they are right (the data-averaged posterior; Geweke 2004, JASA 99, 799). Which stars
    come into the sample depends on their dust, so the prior is that of the true reddenings.

    Parameters
    ----------
    density : of the stars; those without a usable density are left out.
    ebv_mag : true reddenings. [mag]
    edges_mag : rising edges of the cells in which they are compared. [mag]

    Returns
    -------
    ``edges_mag``; ``posterior`` and ``prior``: the share of each cell; ``error``: the standard error of their difference;
    ``worst``: the largest difference in units of it.
    """
    used = np.flatnonzero(usable_densities(density))
    shares = []
    for start in range(0, len(used), _CHUNK):
        part = density.rows(used[start : start + _CHUNK])
        nodes = part.ebv_nodes_mag()
        mass = np.exp(np.maximum(part.log_density(), _NOTHING_NAT)).sum(axis=1)
        middle = 0.5 * (mass[:, 1:] + mass[:, :-1])
        below = np.concatenate([np.zeros((len(mass), 1)), np.cumsum(middle, axis=1)], axis=1)
        below /= below[:, -1:]
        shares += [
            np.diff(np.interp(edges_mag, n, b, left=0.0, right=1.0))
            for n, b in zip(nodes, below, strict=True)
        ]
    true = np.stack([np.histogram([e], edges_mag)[0] for e in ebv_mag[used]]).astype(float)
    difference = np.stack(shares) - true
    error = difference.std(axis=0) / np.sqrt(len(used))
    return {
        "edges_mag": [float(e) for e in edges_mag],
        "posterior": np.mean(shares, axis=0).tolist(),
        "prior": true.mean(axis=0).tolist(),
        "error": error.tolist(),
        "worst": float(np.max(np.abs(difference.mean(axis=0)) / np.maximum(error, 1e-12))),
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
