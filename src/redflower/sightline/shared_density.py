"""The density of ln distance that clouds of neighbouring sightlines share: a mixture of kernels and what shares nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float
from scipy.special import ndtr, perm

from redflower.errors import InputError

#: Width of the bins in which densities of ln distance are tabulated: a fifth of the narrowest kernel.
BIN: Final = 0.01
#: Shorter common ranges of distance leave no room for a kernel beside another. [ratio of distances]
RANGE_MIN: Final = 2.0


@dataclass(frozen=True)
class SharingSettings:
    """What is believed of the shared density of distance beforehand, and the effort of its sampler.

    Attributes
    ----------
    widths : standard deviations of the kernels in ln distance: how much the distance of a sheet changes over a region.
    spacing : of kernels of one width, in widths.
    apart : a sheet crosses a sightline once, so that shared clouds of one sightline are at least so far apart in ln distance.
    own_count : pseudo-count of the clouds that share nothing.
    shared_count : pseudo-count of all kernels together.
    n_chains : independent chains.
    n_warmup, n_kept : steps of each chain that are dropped, and that are averaged over.
    """

    widths: tuple[float, ...] = (0.05, 0.15)
    spacing: float = 0.5
    apart: float = 0.25
    own_count: float = 1.0
    shared_count: float = 1.0
    n_chains: int = 4
    n_warmup: int = 100
    n_kept: int = 500

    def __post_init__(self) -> None:
        if not self.widths or min(self.widths) < 2.0 * BIN or max(self.widths) > 1.0:
            raise InputError(
                f"SharingSettings needs widths of {2.0 * BIN:g} to 1 in ln distance; got {self.widths}."
            )
        if not (0.1 <= self.spacing <= 1.0 and 0.0 <= self.apart <= 1.0):
            raise InputError(
                f"SharingSettings needs a spacing of 0.1 to 1 and clouds 0 to 1 apart; got {self.spacing} and {self.apart}."
            )
        if not (self.own_count > 0 and self.shared_count > 0):
            raise InputError(
                f"SharingSettings needs positive own_count and shared_count; got {self.own_count} and {self.shared_count}."
            )
        if self.n_chains < 2 or self.n_warmup < 0 or self.n_kept < 1:
            raise InputError(
                "SharingSettings needs at least 2 n_chains and 1 n_kept, and no negative n_warmup; got "
                f"{self.n_chains}, {self.n_kept} and {self.n_warmup}."
            )


@dataclass(frozen=True)
class Kernels:
    """The components of the shared density, tabulated in bins of ln distance.

    Attributes
    ----------
    edges : of the bins, from the near to the far end of the common range.
    density : of each kernel in each bin, per unit of ln distance; each has an integral of 1.
    log_density : its natural log.
    count : pseudo-count of each.
    gap : shared clouds of a sightline are so many bins apart, or more.
    """

    edges: Float[np.ndarray, " edge"]
    density: Float[np.ndarray, "kernel bin"]
    log_density: Float[np.ndarray, "kernel bin"]
    count: Float[np.ndarray, " kernel"]
    gap: int


def common_range_pc(ranges_pc: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Return the distances in which all fits have looked for clouds. [pc]

    Raises
    ------
    InputError
        If the far end is less than twice as far as the near one.
    """
    near, far = max(near for near, _ in ranges_pc), min(far for _, far in ranges_pc)
    if far < RANGE_MIN * near:
        told = ", ".join(f"{low:.0f} to {high:.0f}" for low, high in ranges_pc)
        raise InputError(
            f"the fits must have looked for clouds at common distances, out to at least {RANGE_MIN:g} times the nearest; "
            f"they looked at {told} pc. Leave out the fit whose stars are elsewhere, or take cones of like depth."
        )
    return near, far


def make_kernels(distance_pc: tuple[float, float], settings: SharingSettings) -> Kernels:
    """Tabulate normal kernels of ln distance, cut at the ends of the common range and normalised between them.

    Equation: ES18 (docs/explanation/model.md).

    Parameters
    ----------
    distance_pc : the common range. [pc]
    settings : widths, spacing and pseudo-counts.
    """
    near, far = np.log(distance_pc)
    edges = np.linspace(near, far, int(np.ceil((far - near) / BIN)) + 1)
    densities, counts = [], []
    for width in settings.widths:
        n_kernels = int(np.ceil((far - near) / (settings.spacing * width))) + 1
        middle = np.linspace(near, far, n_kernels)
        mass = np.diff(ndtr((edges - middle[:, None]) / width), axis=1)
        densities.append(mass / mass.sum(axis=1, keepdims=True) / np.diff(edges))  # ES18
        counts.append(np.full(n_kernels, settings.shared_count / len(settings.widths) / n_kernels))
    density = np.concatenate(densities)
    return Kernels(
        edges=edges,
        density=density,
        log_density=np.log(np.maximum(density, 1e-300)),
        count=np.concatenate(counts),
        gap=max(1, round(settings.apart / (edges[1] - edges[0]))),
    )


def normalisers(
    own_share: float, density: Float[np.ndarray, " bin"], kernels: Kernels, most: int
) -> Float[np.ndarray, " number"]:
    """Return the integral of the shared prior of 0, 1, ... ``most`` clouds; were shared clouds not kept apart, it would be 1.

    Equation: ES19 (docs/explanation/model.md).

    Parameters
    ----------
    own_share : of the clouds that share nothing.
    density : of the others in each bin, per unit of ln distance; its integral is 1 - `own_share`.
    kernels : whose bins these are.
    most : largest number of clouds.
    """
    each = density * np.diff(kernels.edges)
    last, ordered = each, [1.0]
    for _ in range(most):
        # Sets of shared clouds in order, by the bin of the farthest: the next is at least the gap farther.
        ordered.append(float(last.sum()))
        reached = np.concatenate([np.zeros(kernels.gap), np.cumsum(last)])[: len(each)]
        last = each * reached
    numbers = np.arange(most + 1)
    n_own = numbers[:, None] - numbers
    chosen = perm(numbers[:, None], numbers) * own_share ** np.maximum(n_own, 0)
    return np.where(n_own >= 0, chosen, 0.0) @ np.array(ordered)  # ES19
