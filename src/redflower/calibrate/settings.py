"""Settings of a calibration."""

from dataclasses import dataclass
from typing import Final

from redflower.seeds import check_seed

#: How far a band's offset may be from the others beforehand, one sigma. [mag]
PRIOR_MAG: Final = 0.05
#: More stars than this make offsets no better than the model is.
MAX_STARS: Final = 2000


@dataclass(frozen=True)
class CalibrationSettings:
    """How offsets are fitted.

    Attributes
    ----------
    prior_mag : one sigma of every offset beforehand. [mag]
    max_passes : most passes over the sample.
    tolerance_mag : a fit is done when no offset changes by more. [mag]
    seed : of the draws.
    """

    prior_mag: float = PRIOR_MAG
    max_passes: int = 20
    tolerance_mag: float = 2e-4
    seed: int = 0

    def __post_init__(self) -> None:
        check_seed(self.seed)
