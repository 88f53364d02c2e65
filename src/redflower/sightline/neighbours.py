"""Clouds of neighbouring sightlines whose distances share one density: draws of finished fits, weighted anew.

Each sightline was fitted by itself, under a prior in which a cloud may be at any distance. Sheets of dust cross many
sightlines of a region, so that clouds of neighbours tell where more of them are. Draws of the single fits are kept and
weighted by the ratio of a shared density of distance, which all sightlines teach, to the prior under which they were
drawn (Hogg, Myers & Bovy 2010, ApJ 725, 2166). No star is looked at again.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float, Int
from scipy.special import gammaln

from redflower.sightline.fit_draws import SightlineDraws
from redflower.sightline.shared_density import (
    Kernels,
    SharingSettings,
    common_range_pc,
    make_kernels,
    normalisers,
)

#: Shares that are proposed for each choice of draws: about one in five is accepted, and choosing draws takes longer.
_PROPOSALS: Final = 4


@dataclass(frozen=True)
class PlacedDraws:
    """Draws of a fit in the bins of the kernels.

    Attributes
    ----------
    weight, n_clouds : of each draw; numbers of clouds rise.
    first : of each cloud, the first draw that has it: further ones have it too.
    places : bin of every cloud, the nearest first; one more than there are where all fits did not look, two more where there
        is no cloud.
    log_length : of the distances in which the fit looked: over it, its prior is uniform.
    """

    weight: Float[np.ndarray, " draw"]
    n_clouds: Int[np.ndarray, " draw"]
    first: Int[np.ndarray, " cloud"]
    places: Int[np.ndarray, "cloud draw"]
    log_length: float


def placed(draws: SightlineDraws, kernels: Kernels) -> PlacedDraws:
    """Put the clouds of a fit's draws into the bins of the kernels."""
    n_bins = len(kernels.edges) - 1
    places = np.searchsorted(kernels.edges, draws.log_distance.T, side="right") - 1
    places[(places < 0) | (places >= n_bins)] = n_bins
    places[np.isnan(draws.log_distance.T)] = n_bins + 1
    length = float(np.log(draws.distance_pc[1] / draws.distance_pc[0]))
    first = np.searchsorted(draws.n_clouds, 1 + np.arange(len(places)))
    return PlacedDraws(
        weight=draws.weight, n_clouds=draws.n_clouds, first=first, places=places, log_length=length
    )


def shared_terms(
    draws: PlacedDraws, own_share: float, density: Float[np.ndarray, " bin"], gap: int
) -> Float[np.ndarray, "cloud draw"]:
    """Sum up, for each cloud, the sets of shared clouds of its draw in which it is the farthest; farther ones do not count.

    Equation: ES19 (docs/explanation/model.md).

    Parameters
    ----------
    draws : of a fit.
    own_share : of the clouds that share nothing.
    density : of the others in each bin, per unit of ln distance.
    gap : shared clouds of a sightline are so many bins apart, or more.
    """
    ratio = np.concatenate([draws.log_length * density, [0.0, 0.0]])  # ES19
    terms = np.zeros(draws.places.shape)
    for c, start in enumerate(draws.first):
        place = draws.places[c, start:]
        sets = np.full(len(place), own_share**c)
        for b in range(c):
            apart = place - draws.places[b, start:] >= gap
            sets += terms[b, start:] * own_share ** (c - b - 1) * apart
        terms[c, start:] = ratio[place] * sets
    return terms


def weigh_anew(
    draws: PlacedDraws,
    terms: Float[np.ndarray, "cloud draw"],
    own_share: float,
    normaliser: Float[np.ndarray, " number"],
) -> Float[np.ndarray, " draw"]:
    """Return the weights of draws under the shared density; their sum is the evidence over what it was.

    Equation: ES19 (docs/explanation/model.md).

    Parameters
    ----------
    draws : of a fit.
    terms : of their clouds, from `shared_terms`.
    own_share : of the clouds that share nothing.
    normaliser : of each number of clouds, from `redflower.sightline.shared_density.normalisers`.
    """
    powers = own_share ** np.arange(len(normaliser))
    ratio = powers[draws.n_clouds]
    for c, start in enumerate(draws.first):
        ratio[start:] += terms[c, start:] * powers[draws.n_clouds[start:] - 1 - c]  # ES19
    return draws.weight * ratio / normaliser[draws.n_clouds]  # ES19


@dataclass(frozen=True)
class SharedClouds:
    """What the sightlines of a region say together.

    Attributes
    ----------
    weight : of the draws of each sightline; the sum of each is 1.
    own_share : share of the clouds that share nothing, a draw of its posterior each.
    edges : of bins of ln distance, over the common range.
    shared_density : of the other clouds in these bins, per unit of ln distance, a draw each; its integral is 1 - `own_share`.
    chain_probability : of each number of clouds of each sightline, chain by chain: how far the sampler has converged.
    """

    weight: tuple[Float[np.ndarray, " _"], ...]
    own_share: Float[np.ndarray, " sample"]
    edges: Float[np.ndarray, " edge"]
    shared_density: Float[np.ndarray, "sample bin"]
    chain_probability: Float[np.ndarray, "chain sightline number"]

    @property
    def chains_differ(self) -> float:
        """The largest difference of a chain's probability of a number of clouds from the mean of all chains."""
        return float(np.abs(self.chain_probability - self.chain_probability.mean(axis=0)).max())


def share_distances(
    sightlines: Sequence[SightlineDraws],
    rng: np.random.Generator,
    settings: SharingSettings | None = None,
    progress: Callable[[int], None] | None = None,
) -> SharedClouds:
    """Let sightlines share a density of the distance of their clouds, which they teach together.

    Equations: ES18 and ES19 (docs/explanation/model.md). Gibbs sampling in turns: a draw of every sightline, a component of the
    density for each of its clouds, then other kernels and the shares of all components, which are accepted by the ratio of the
    normalisers. A sightline's new weights are the means of the probabilities with which its draws were chosen.

    Parameters
    ----------
    sightlines : draws of finished fits.
    rng : random numbers.
    settings : of the density and the sampler.
    progress : called with the number of chains done.

    Raises
    ------
    InputError
        If the fits have not looked for clouds at common distances.
    """
    settings = settings or SharingSettings()
    kernels = make_kernels(common_range_pc([one.distance_pc for one in sightlines]), settings)
    lines = [placed(one, kernels) for one in sightlines]
    numbers = np.arange(1 + max(int(one.n_clouds.max()) for one in sightlines))
    mean = [np.zeros((settings.n_chains, len(one.weight))) for one in sightlines]
    own_share, shared_density = [], []
    for chain in range(settings.n_chains):
        # From the mean of the prior: from a draw of it, most kernels would begin with no share at all.
        shares = np.concatenate([[settings.own_count], kernels.count])
        shares /= shares.sum()
        for step in range(-settings.n_warmup, settings.n_kept):
            own, density = float(shares[0]), shares[1:] @ kernels.density
            normaliser = normalisers(own, density, kernels, len(numbers) - 1)
            chosen: list[np.ndarray] = []
            number: list[int] = []
            for k, line in enumerate(lines):
                terms = shared_terms(line, own, density, kernels.gap)
                cumulative = np.cumsum(weigh_anew(line, terms, own, normaliser))
                if step >= 0:
                    mean[k][chain] += np.diff(cumulative, prepend=0.0) / cumulative[-1] / settings.n_kept
                draw = _drawn(cumulative, rng)
                number.append(int(line.n_clouds[draw]))
                clouds = line.places[: number[-1], draw]
                chosen.append(clouds[_shared(terms[: number[-1], draw], clouds, own, kernels.gap, rng)])
            if step >= 0:
                own_share.append(own)
                shared_density.append(density)
            bins = np.concatenate(chosen)
            kernel = _kernels_of(bins, shares, kernels, rng)
            n_own = settings.own_count + sum(number) - len(bins)
            for _ in range(_PROPOSALS):
                moved = _moved(kernel, bins, kernels, rng)
                found = np.bincount(moved, minlength=len(kernels.count))
                new = rng.dirichlet(np.concatenate([[n_own], kernels.count + found]))
                other = normalisers(float(new[0]), new[1:] @ kernels.density, kernels, len(numbers) - 1)
                if np.log(rng.random()) < np.sum(np.log(normaliser[number] / other[number])):
                    kernel, shares, normaliser = moved, new, other
        if progress is not None:
            progress(chain + 1)
    probability = [w @ (one.n_clouds[:, None] == numbers) for one, w in zip(sightlines, mean, strict=True)]
    return SharedClouds(
        weight=tuple(w.mean(axis=0) for w in mean),
        own_share=np.array(own_share),
        edges=kernels.edges,
        shared_density=np.array(shared_density),
        chain_probability=np.stack(probability, axis=1),
    )


def _drawn(cumulative: np.ndarray, rng: np.random.Generator) -> int:
    """Draw one of several by the running sum of their chances."""
    return min(int(np.searchsorted(cumulative, rng.random() * cumulative[-1])), len(cumulative) - 1)


def _shared(
    terms: np.ndarray, places: np.ndarray, own_share: float, gap: int, rng: np.random.Generator
) -> list[int]:
    """Draw which clouds of a draw are shared, the farthest first: none has a farther one within the gap."""
    chosen: list[int] = []
    end = len(places)
    while True:
        before = np.arange(end)
        chance = terms[:end] * own_share ** (end - 1 - before)
        if chosen:
            chance = chance * (places[end] - places[:end] >= gap)
        pick = _drawn(np.cumsum(np.concatenate([[own_share**end], chance])), rng)
        if pick == 0:
            return chosen
        end = pick - 1
        chosen.append(end)


def _kernels_of(
    bins: np.ndarray, shares: np.ndarray, kernels: Kernels, rng: np.random.Generator
) -> np.ndarray:
    """Draw a kernel for each shared cloud."""
    cumulative = np.cumsum(shares[1:, None] * kernels.density[:, bins], axis=0)
    return np.array([_drawn(column, rng) for column in cumulative.T], dtype=int)


def _moved(kernel: np.ndarray, bins: np.ndarray, kernels: Kernels, rng: np.random.Generator) -> np.ndarray:
    """Give all clouds of a kernel together another without any, the shares integrated out, for all kernels in any order.

    A kernel without clouds has hardly any share, so that clouds which move to it one by one take hundreds of steps.
    """
    kernel = kernel.copy()
    for one in rng.permutation(np.unique(kernel)):
        group = kernel == one
        n = group.sum()
        log_chance = kernels.log_density[:, bins[group]].sum(axis=1)
        log_chance += gammaln(kernels.count + n) - gammaln(kernels.count)
        log_chance[np.unique(kernel[~group])] = -np.inf
        kernel[group] = _drawn(np.cumsum(np.exp(log_chance - log_chance.max())), rng)
    return kernel
