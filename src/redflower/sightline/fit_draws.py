"""Draws of a finished fit of a sightline, of all its numbers of clouds together."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int


@dataclass(frozen=True)
class SightlineDraws:
    """Draws of one finished fit, of all its numbers of clouds.

    Attributes
    ----------
    n_clouds : of each draw, rising. Those without clouds are one draw.
    log_distance : ln of each cloud's distance in pc, the nearest first; NaN beyond the draw's number.
    ebv_mag : of the same clouds. [mag]
    weight : probability of each draw; the sum is 1.
    distance_pc : between these the fit looked for clouds, uniformly in ln distance. [pc]
    """

    n_clouds: Int[np.ndarray, " draw"]
    log_distance: Float[np.ndarray, "draw cloud"]
    ebv_mag: Float[np.ndarray, "draw cloud"]
    weight: Float[np.ndarray, " draw"]
    distance_pc: tuple[float, float]


def gather_draws(
    probability: Sequence[float],
    distance_pc: Sequence[Float[np.ndarray, "_ _"]],
    ebv_mag: Sequence[Float[np.ndarray, "_ _"]],
    searched_pc: tuple[float, float],
) -> SightlineDraws:
    """Gather the draws of 0, 1, 2, ... clouds of a fit, each number with its probability.

    Parameters
    ----------
    probability : of each number of clouds.
    distance_pc, ebv_mag : draws of each number, of shape (draw, number), equally weighted, clouds in any order. [pc, mag]
    searched_pc : between these the fit looked for clouds. [pc]
    """
    most = len(probability) - 1
    total = float(np.sum(probability))
    parts: list[tuple[np.ndarray, ...]] = []
    for number, (share, places, heights) in enumerate(zip(probability, distance_pc, ebv_mag, strict=True)):
        n_draws = len(places) if number else 1
        padded = np.full((2, n_draws, most), np.nan)
        if number:
            order = np.argsort(places, axis=1)
            padded[0, :, :number] = np.log(np.take_along_axis(places, order, axis=1))
            padded[1, :, :number] = np.take_along_axis(heights, order, axis=1)
        parts.append((np.full(n_draws, number), *padded, np.full(n_draws, share / total / max(n_draws, 1))))
    n_clouds, log_distance, ebv, weight = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    return SightlineDraws(
        n_clouds=n_clouds,
        log_distance=log_distance,
        ebv_mag=ebv,
        weight=weight,
        distance_pc=searched_pc,
    )
