"""The shape of the upper tail of importance weights: may their mean be trusted?"""

import numpy as np
from jaxtyping import Float


def pareto_k(log_weight: Float[np.ndarray, "star draw"]) -> Float[np.ndarray, " star"]:
    """Shape k of a generalised Pareto distribution fitted to each star's largest weights.

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
