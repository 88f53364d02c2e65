"""Whether chains have come to agree on a map: on what its users read, not on what only the sampler knows."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Int
from numpyro.diagnostics import effective_sample_size, split_gelman_rubin

#: Split R-hat above which chains do not agree.
R_HAT_MAX: Final = 1.1
#: Fewer independent draws than this of the field's mean tell no interval.
ESS_MIN: Final = 40.0
#: A map has converged if fewer of its values than this do not agree, and the field's means and zero points do.
_SHARE_MAX: Final = 0.02
#: R-hat and effective number of draws that are enough by a margin.
_SURE_R_HAT: Final = 1.07
_SURE_ESS: Final = 60.0
#: A scatter of the draws below this is none: of a map of nothing every chain says nothing. [mag]
_SMALL_MAG: Final = 1e-4


@dataclass(frozen=True)
class Agreement:
    """How far the chains of a map agree.

    Attributes
    ----------
    r_hat_of_pixels : the worst split R-hat of each pixel's E(B-V) over the distances.
    r_hat : the worst of the field's mean E(B-V) out to each distance, and of the zero points.
    ess : the least effective number of draws of those.
    """

    r_hat_of_pixels: Float[np.ndarray, " pixel"]
    r_hat: float
    ess: float

    @property
    def apart(self) -> Bool[np.ndarray, " pixel"]:
        """Pixels in which the chains do not agree."""
        return self.r_hat_of_pixels > R_HAT_MAX

    @property
    def converged(self) -> bool:
        """Whether the samples may be taken for the posterior."""
        return self.r_hat <= R_HAT_MAX and self.ess >= ESS_MIN and float(self.apart.mean()) <= _SHARE_MAX

    @property
    def clearly_converged(self) -> bool:
        """The same by a margin, so that other pixels of the same field will say so too."""
        sure = self.r_hat <= _SURE_R_HAT and self.ess >= _SURE_ESS
        return sure and float(self.apart.mean()) <= 0.5 * _SHARE_MAX


def agreement_of(
    samples_mag: Float[np.ndarray, "draw pixel distance"],
    zero_point_mag: Float[np.ndarray, "draw group"],
    chain: Int[np.ndarray, " draw"],
) -> Agreement:
    """Compare the chains of a map.

    Parameters
    ----------
    samples_mag : E(B-V) of the map. [mag]
    zero_point_mag : of the stars. [mag]
    chain : of every draw; all have as many, one after another.
    """
    n_chains = len(np.unique(chain))

    def by_chain(values: np.ndarray) -> np.ndarray:
        return values.reshape(n_chains, -1, *values.shape[1:]).astype(float)

    finite = np.isfinite(samples_mag).all(axis=(0, 1))
    values = by_chain(samples_mag[:, :, finite])
    of_pixels = _r_hat(values).max(axis=1, initial=1.0)
    shared = np.concatenate([values.mean(axis=2), by_chain(zero_point_mag)], axis=2)
    moves = shared.std(axis=(0, 1)) > _SMALL_MAG
    ess = effective_sample_size(shared[:, :, moves]) if moves.any() else np.array([float(len(chain))])
    return Agreement(of_pixels, float(_r_hat(shared).max()), float(np.min(ess)))


def _r_hat(values: Float[np.ndarray, "chain draw *shape"]) -> Float[np.ndarray, "*shape"]:
    with np.errstate(invalid="ignore", divide="ignore"):
        found = split_gelman_rubin(values)
    return np.where(values.std(axis=(0, 1)) > _SMALL_MAG, np.nan_to_num(found, nan=np.inf), 1.0)
