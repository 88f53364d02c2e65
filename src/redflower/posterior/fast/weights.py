"""Importance weights: their effective number, the shape of their tail, and the moments of weighted draws."""

import numpy as np
from jaxtyping import Float

from redflower.distances import distance_from_modulus
from redflower.posterior.fast.check import WeightedDraws
from redflower.posterior.log_density import is_any


def pareto_k(log_weight: Float[np.ndarray, "star draw"]) -> Float[np.ndarray, " star"]:
    """Fit the shape k of a generalised Pareto distribution to each star's largest weights.

    Source: Vehtari et al. (2024, JMLR 25, 72), with the estimator of Zhang & Stephens (2009, Technometrics 51, 316) and its
    weak prior towards 0.5. Below 0.7 means of the weighted draws are reliable. NaN where weights are not finite.

    Parameters
    ----------
    log_weight : ln weights, a row per star.
    """
    log_weight = np.asarray(log_weight, dtype=np.float64)
    n_draws = log_weight.shape[1]
    n_tail = int(np.ceil(min(0.2 * n_draws, 3.0 * np.sqrt(n_draws))))
    ordered = np.sort(log_weight, axis=1)
    finite = np.isfinite(ordered).all(axis=1)
    ordered = np.where(finite[:, None], ordered, 0.0)
    weight = np.exp(ordered - ordered[:, -1:])
    excess = weight[:, -n_tail:] - weight[:, -n_tail - 1 : -n_tail]
    flat = excess[:, -1] <= 1e-12
    excess = np.where(flat[:, None], np.linspace(0.1, 1.0, n_tail), np.maximum(excess, 1e-12))
    n_grid = 30 + int(np.sqrt(n_tail))
    quartile = excess[:, int(n_tail / 4 + 0.5) - 1]
    step = 1.0 - np.sqrt(n_grid / (np.arange(1, n_grid + 1) - 0.5))
    b = 1.0 / excess[:, -1:] + step / 3.0 / quartile[:, None]
    k = np.log1p(-b[:, :, None] * excess[:, None, :]).mean(axis=2)
    log_likelihood = n_tail * (np.log(-b / k) - k - 1.0)
    posterior = np.exp(log_likelihood - log_likelihood.max(axis=1, keepdims=True))
    posterior /= posterior.sum(axis=1, keepdims=True)
    b_mean = (b * posterior).sum(axis=1)
    shape = np.log1p(-b_mean[:, None] * excess).mean(axis=1)
    shape = (n_tail * shape + 5.0) / (n_tail + 10.0)
    return np.where(finite, np.where(flat, -np.inf, shape), np.nan)


def normalised_weights(draws: WeightedDraws) -> np.ndarray:
    """Normalise weights to add up to one, a row per star."""
    log_weight = np.asarray(draws.log_weight, dtype=np.float64)
    weight = np.exp(log_weight - log_weight.max(axis=1, keepdims=True))
    return np.asarray(weight / weight.sum(axis=1, keepdims=True))


def weighted_summary(draws: WeightedDraws, levels: np.ndarray) -> dict[str, np.ndarray]:
    """Compute moments and quantiles of weighted draws, a row per star."""
    weight = normalised_weights(draws)
    ebv = np.asarray(draws.ebv_mag, dtype=np.float64)
    distance = distance_from_modulus(np.asarray(draws.modulus_mag, dtype=np.float64))
    out: dict[str, np.ndarray] = {}
    centred = {}
    for name, values in (("ebv", ebv), ("distance", distance)):
        mean = (weight * values).sum(axis=1)
        centred[name] = values - mean[:, None]
        out[f"{name}_mean"] = mean
        out[f"{name}_std"] = np.sqrt((weight * centred[name] ** 2).sum(axis=1))
        order = np.argsort(values, axis=1, kind="stable")
        sorted_values = np.take_along_axis(values, order, axis=1)
        cumulative = np.cumsum(np.take_along_axis(weight, order, axis=1), axis=1)
        cumulative -= 0.5 * np.take_along_axis(weight, order, axis=1)
        out[f"{name}_quantiles"] = np.stack(
            [np.interp(levels, c, v) for c, v in zip(cumulative, sorted_values, strict=True)]
        )
    covariance = (weight * centred["ebv"] * centred["distance"]).sum(axis=1)
    out["ebv_distance_corr"] = covariance / np.maximum(out["ebv_std"] * out["distance_std"], 1e-30)
    return out


def log_node_weights(
    log_weight: Float[np.ndarray, "star draw"], n_per_node: int
) -> Float[np.ndarray, "star node"]:
    """Return ln of the summed weights of each node's draws.

    The draws of a node share its place, and so the grid's error there. They count as one draw, not as ``n_per_node``.
    """
    by_node = np.asarray(log_weight, dtype=np.float64).reshape(len(log_weight), -1, n_per_node)
    return np.asarray(np.logaddexp.reduce(by_node, axis=2))


def effective_number(log_weight: Float[np.ndarray, "star weight"]) -> Float[np.ndarray, " star"]:
    """Return (sum w)^2 / sum w^2 of each star's weights, of nodes or of draws; 0 where none of them has a weight."""
    peak = log_weight.max(axis=1, keepdims=True)
    weight = np.exp(np.asarray(log_weight, np.float64) - peak)
    return np.where(is_any(peak[:, 0]), weight.sum(axis=1) ** 2 / (weight**2).sum(axis=1), 0.0)
