"""How much effort a field is worth."""

from dataclasses import dataclass
from typing import Final

from redflower.errors import InputError

#: Fewer draws of a chain than this have no halves to compare.
_DRAWS_MIN: Final = 4


@dataclass(frozen=True)
class FieldSettings:
    """Effort of the sampler.

    Attributes
    ----------
    n_bursts, n_burst : rounds of warm-up, after each of which the coordinates are chosen anew, and draws in each.
    n_draws : draws that are kept, of each chain.
    n_chains : independent chains.
    n_steps : leapfrog steps of a draw, in the mean.
    n_longer : chains that do not agree go on, twice as long each time, up to so many times the draws that are kept.
    """

    n_bursts: int = 3
    n_burst: int = 40
    n_draws: int = 150
    n_chains: int = 2
    n_steps: int = 20
    n_longer: int = 8

    def __post_init__(self) -> None:
        if min(vars(self).values()) < 1:
            raise InputError("FieldSettings needs whole numbers of at least 1.")
        if self.n_draws < _DRAWS_MIN:
            raise InputError(
                f"FieldSettings needs n_draws of at least {_DRAWS_MIN}: the halves of a chain are compared; got {self.n_draws}."
            )

    @property
    def n_all(self) -> int:
        """Number of draws of all chains that agree at once, those of the warm-up included."""
        return self.n_chains * (self.n_bursts * self.n_burst + self.n_draws)
