"""Draws of a field of dust from its posterior: Hamiltonian Monte Carlo in coordinates that are nearly independent."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

import jax
import numpy as np
from jaxtyping import Float, Int
from scipy.special import expit

from redflower.field.agreement import Agreement, agreement_of
from redflower.field.chain import Chain
from redflower.field.engine import make_engine
from redflower.field.posterior import FieldData
from redflower.field.prior import FieldPrior, Numbers
from redflower.field.settings import FieldSettings as FieldSettings
from redflower.field.side_by_side import side_by_side

#: Cells by which it is judged whether chains agree.
_N_JUDGED: Final = 400


@dataclass(frozen=True)
class Draws:
    """Draws of the posterior, chain after chain.

    Attributes
    ----------
    log_density : natural logarithm of the dust's density in every shell and cell, in mag per mag.
    numbers : the other numbers of the field, an array over the draws for each.
    chain : of every draw.
    n_steps : leapfrog steps in all.
    accepted : mean acceptance.
    times : how many draws were taken for each that is kept.
    """

    log_density: Float[np.ndarray, "draw shell row column"]
    numbers: Numbers
    chain: np.ndarray
    n_steps: int
    accepted: float
    times: int = 1


def sample_field(
    data: FieldData,
    prior: FieldPrior,
    n_shells: int,
    shell_mag: float,
    n_groups: int,
    settings: FieldSettings,
    seed: int,
    progress: Callable[[int, int], None] | None = None,
) -> Draws:
    """Draw fields of dust from the posterior.

    Parameters
    ----------
    data : of the stars, from `field_data`.
    prior : beliefs beforehand.
    n_shells, shell_mag : of the grid.
    n_groups : groups of stars with a zero point each.
    settings : effort.
    seed : of the random numbers.
    progress : called with the number of draws done, warm-up included, and of those that are planned so far.
    """
    engine = make_engine(prior, n_shells, shell_mag, n_groups)
    chains = [Chain(engine, data, settings, [seed, chain]) for chain in range(settings.n_chains)]
    total, done = settings.n_all, 0

    def tell(n: int) -> None:
        nonlocal done
        done += n
        if n and progress is not None:
            progress(done, total)

    def first(chain: Chain, tell: Callable[[int], None]) -> None:
        chain.warm_up(tell)
        chain.draw(settings.n_draws, tell)

    side_by_side(first, chains, tell)
    cells, times = _cells_of_stars(data), 1
    while 2 * times <= settings.n_longer and not _seen(chains, cells, shell_mag).clearly_converged:
        total += times * settings.n_chains * settings.n_draws
        for chain in chains:
            chain.thin()
        side_by_side(partial(_draw, times * settings.n_draws), chains, tell)
        times *= 2
    return Draws(
        np.concatenate([c.log_density for c in chains]),
        _stacked([one for c in chains for one in c.numbers]),
        np.repeat(np.arange(settings.n_chains), settings.n_draws),
        sum(c.n_steps for c in chains),
        float(np.mean([a for c in chains for a in c.accepted])),
        times,
    )


def _draw(n: int, chain: Chain, tell: Callable[[int], None]) -> None:
    chain.draw(n, tell)


def _stacked(numbers: list[Numbers]) -> Numbers:
    stacked: Numbers = jax.tree.map(lambda *a: np.array(a), *numbers)
    return stacked


def _cells_of_stars(data: FieldData) -> Int[np.ndarray, " cell"]:
    """Return some cells that have stars, by which it is judged whether chains agree."""
    cells = np.unique(np.asarray(data.corner)[:, 0])
    return cells[np.linspace(0, len(cells) - 1, min(len(cells), _N_JUDGED)).astype(int)]


def _seen(chains: list[Chain], cells: Int[np.ndarray, " cell"], shell_mag: float) -> Agreement:
    """Compare chains in E(B-V) of some cells out to every shell's far edge, and in their zero points."""
    numbers = _stacked([one for c in chains for one in c.numbers])
    density = np.array([one.reshape(len(one), -1)[:, cells] for c in chains for one in c.log_density])
    n_shells = density.shape[1]
    edge, shell = np.arange(1, n_shells + 1)[:, None], np.arange(n_shells)
    past = (edge - shell - numbers.place[:, None, :]) / numbers.thickness[:, None, :]
    out_to = np.einsum("dek,dkc->dce", expit(past), shell_mag * np.exp(density))  # ES11
    chain = np.repeat(np.arange(len(chains)), len(density) // len(chains))
    return agreement_of(out_to, numbers.zero_point_mag, chain)
