"""What weighted draws of a sightline say: the odds of numbers of clouds, each cloud, and how many draws that rests on."""

from typing import Final

import numpy as np
from jaxtyping import Float

from redflower.quantiles import LEVELS, QUANTILES
from redflower.sightline.fit_draws import SightlineDraws

#: Quantiles of fewer effective draws are not to be trusted.
EFFECTIVE_MIN: Final = 50.0
#: Nor are odds whose probabilities have larger errors.
PROBABILITY_ERROR_MAX: Final = 0.05

Weight = Float[np.ndarray, " draw"]


def number_probabilities(draws: SightlineDraws, weight: Weight) -> Float[np.ndarray, " number"]:
    """Return the probability of 0, 1, 2, ... clouds."""
    return np.bincount(draws.n_clouds, weights=weight)


def effective_draws(draws: SightlineDraws, weight: Weight) -> Float[np.ndarray, " number"]:
    """Return how many equally weighted draws those of each number of clouds are worth: (sum w)^2 / sum w^2."""
    squares = np.bincount(draws.n_clouds, weights=weight**2)
    return number_probabilities(draws, weight) ** 2 / np.maximum(squares, 1e-300)


def probability_errors(draws: SightlineDraws, weight: Weight) -> Float[np.ndarray, " number"]:
    """Return the standard errors of the probabilities of numbers of clouds, for so few draws stand for each.

    Each number's evidence is a mean over its draws; the errors of all go through to the probabilities. An error of the
    fit's own evidences comes on top.
    """
    probability = number_probabilities(draws, weight)
    n_draws = np.maximum(np.bincount(draws.n_clouds), 1)
    effective = np.maximum(effective_draws(draws, weight), 1e-300)
    variance = np.where(probability > 0, np.maximum(1.0 / effective - 1.0 / n_draws, 0.0), 0.0)
    others = probability**2 @ variance - probability**2 * variance
    return probability * np.sqrt((1.0 - probability) ** 2 * variance + others)


def is_trusted(draws: SightlineDraws, weight: Weight) -> bool:
    """Tell whether enough draws of the most probable number of clouds are left, and errors of probabilities are small."""
    best = int(number_probabilities(draws, weight).argmax())
    enough = best == 0 or effective_draws(draws, weight)[best] >= EFFECTIVE_MIN
    return bool(enough and probability_errors(draws, weight).max() <= PROBABILITY_ERROR_MAX)


def weighted_clouds(draws: SightlineDraws, weight: Weight, number: int) -> list[dict[str, float]]:
    """Summarise each cloud's distance [pc] and E(B-V) [mag] for one number of clouds: mean, deviation, quantiles.

    In every draw, clouds are identified by their order in distance, which is that of `SightlineDraws`.

    Parameters
    ----------
    draws : of the sightline.
    weight : of them, whose sum over this number of clouds is not 0.
    number : of clouds.
    """
    here = draws.n_clouds == number
    share = weight[here] / weight[here].sum()
    clouds = {"distance_pc": np.exp(draws.log_distance[here]), "ebv_mag": draws.ebv_mag[here]}
    rows = []
    for k in range(number):
        row: dict[str, float] = {}
        for name, values in clouds.items():
            mean = float(share @ values[:, k])
            row[name] = mean
            row[f"{name}_std"] = float(np.sqrt(share @ (values[:, k] - mean) ** 2))
            found = np.quantile(values[:, k], LEVELS, weights=share, method="inverted_cdf")
            row |= {f"{name}_{label}": float(value) for label, value in zip(QUANTILES, found, strict=True)}
        rows.append(row)
    return rows
