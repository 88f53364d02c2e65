"""Which stars calibrate, and what is known of their dust beforehand."""

from dataclasses import dataclass
from typing import Final

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

from redflower.errors import InputError
from redflower.flow.model import Model
from redflower.posterior.whitening import TYPICAL_BP_RP_MAG

#: Fewer stars than this say nothing about offsets of 0.01 mag.
MIN_CALIBRATION_STARS: Final = 200
#: Stars behind more dust than this do not calibrate: their extinction coefficients are off by more than the offsets. [mag]
LOW_DUST_MAX_MAG: Final = 0.1
#: Error of a dust map: a floor, and a share of its value for dust behind the star and the map's own scale. [mag]
MAP_FLOOR_MAG: Final = 0.01
MAP_SHARE: Final = 0.2


@dataclass(frozen=True)
class DustHold:
    """What holds the direction in which dust moves all bands together.

    Attributes
    ----------
    ebv_mag, ebv_error_mag : each star's reddening beforehand; an infinite error for nothing. [mag]
    description : in words, for reports.
    """

    ebv_mag: Float[np.ndarray, " star"]
    ebv_error_mag: Float[np.ndarray, " star"]
    description: str

    @classmethod
    def by_map(cls, ebv_mag: Float[np.ndarray, " star"], name: str) -> "DustHold":
        """Hold each star at the map's value, with the map's error; stars outside the map are not held."""
        inside = np.isfinite(ebv_mag)
        error = np.where(inside, np.hypot(MAP_FLOOR_MAG, MAP_SHARE * np.where(inside, ebv_mag, 0.0)), np.inf)
        return cls(
            ebv_mag=np.where(inside, ebv_mag, 0.0),
            ebv_error_mag=error,
            description=f"each star's E(B-V) is held at {name}, to {MAP_FLOOR_MAG:g} mag and {MAP_SHARE:.0%} of its value",
        )

    @classmethod
    def by_prior(cls, n_stars: int) -> "DustHold":
        """Hold nothing: only the prior of the offsets keeps them apart from dust."""
        return cls(
            ebv_mag=np.zeros(n_stars),
            ebv_error_mag=np.full(n_stars, np.inf),
            description="no dust map is given: what the bands have in common with dust is taken for dust, "
            "and the offsets have none of it",
        )

    def at(self, rows: Int[np.ndarray, " some"]) -> "DustHold":
        """Return that of some stars."""
        return DustHold(self.ebv_mag[rows], self.ebv_error_mag[rows], self.description)


def choose_stars(
    usable: Bool[np.ndarray, " star"],
    hold: DustHold,
    *,
    max_stars: int,
    seed: int,
) -> Int[np.ndarray, " some"]:
    """Return rows of stars that calibrate: usable, behind little dust, and no more than `max_stars`, chosen at random.

    Raises
    ------
    InputError
        If too few are left.
    """
    low = usable & (hold.ebv_mag < LOW_DUST_MAX_MAG)
    if low.sum() < MIN_CALIBRATION_STARS:
        raise InputError(
            f"calibrate needs at least {MIN_CALIBRATION_STARS} stars within the model's limits behind less than "
            f"{LOW_DUST_MAX_MAG:g} mag of dust; "
            f"of {len(usable)} stars {int(usable.sum())} are within its limits and {int(low.sum())} of these behind so "
            "little. Give a larger field, or one at higher latitude."
        )
    rows = np.flatnonzero(low)
    if len(rows) > max_stars:
        rows = np.sort(np.random.default_rng(seed).choice(rows, max_stars, replace=False))
    return rows


def typical_dust(model: Model) -> Float[np.ndarray, " band"]:
    """Return how much a little dust dims each band of a typical star, per E(B-V)."""
    coefficients = model.law.coefficients(jnp.asarray(0.0), jnp.asarray(TYPICAL_BP_RP_MAG))
    return np.asarray(coefficients, dtype=np.float64)[: model.n_bands]
