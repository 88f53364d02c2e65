"""Scores of posteriors whose truth is known."""

from dataclasses import asdict, dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Int

from redflower.quantiles import QUANTILES

#: The share of the stars whose truth belongs between two neighbouring quantiles, or outside the first or last.
INTERVAL_SHARES: Final = (0.05, 0.11, 0.34, 0.34, 0.11, 0.05)


@dataclass(frozen=True)
class Scores:
    """How a set of posteriors does.

    Attributes
    ----------
    n_stars, n_used : stars given, and those with a usable posterior, over which all else is taken.
    residual_mean, residual_median, residual_rms : posterior mean minus truth. At one reddening near an end of the uniform prior
        they hold its pull inward, some 0.01 mag at none, by design; at reddenings drawn from the prior they do not. [mag]
    sigma_mean : mean posterior standard deviation. [mag]
    z_mean, z_std : of the residual over the standard deviation.
    inside_68, inside_90 : share of the stars whose 68 % and 90 % intervals hold the truth.
    intervals : share of the stars whose truth lies below the 5 % quantile, between the 5 % and 16 % ones, and so on: a
        PIT histogram with the expected shares `INTERVAL_SHARES`.
    """

    n_stars: int
    n_used: int
    residual_mean: float
    residual_median: float
    residual_rms: float
    sigma_mean: float
    z_mean: float
    z_std: float
    inside_68: float
    inside_90: float
    intervals: tuple[float, ...]

    def as_dict(self) -> dict[str, object]:
        """Return the scores as plain numbers."""
        return asdict(self)


def truth_interval(
    columns: dict[str, np.ndarray], name: str, truth: Float[np.ndarray, " star"]
) -> Int[np.ndarray, " star"]:
    """Return which interval of the quantiles q05 q16 q50 q84 q95 holds the truth: 0 below all, 5 above all."""
    levels = np.stack([np.asarray(columns[f"{name}_{label}"], dtype=float) for label in QUANTILES], axis=1)
    return (np.asarray(truth)[:, None] > levels).sum(axis=1)


def score(
    columns: dict[str, np.ndarray], truth_mag: Float[np.ndarray, " star"], used: Bool[np.ndarray, " star"]
) -> Scores:
    """Score the reddenings of a set of stars.

    Parameters
    ----------
    columns : ``ebv_mean ebv_std ebv_q05 ... ebv_q95``. [mag]
    truth_mag : true reddening. [mag]
    used : the stars to take; those without a finite posterior are left out as well.
    """
    mean, std = (np.asarray(columns[f"ebv_{k}"], dtype=float) for k in ("mean", "std"))
    fine = np.asarray(used) & np.isfinite(mean) & (std > 0)
    if not fine.any():
        nan = float("nan")
        return Scores(
            n_stars=len(mean),
            n_used=0,
            residual_mean=nan,
            residual_median=nan,
            residual_rms=nan,
            sigma_mean=nan,
            z_mean=nan,
            z_std=nan,
            inside_68=nan,
            inside_90=nan,
            intervals=(nan,) * 6,
        )
    residual = (mean - truth_mag)[fine]
    z = residual / std[fine]
    place = truth_interval(columns, "ebv", truth_mag)[fine]
    shares = np.bincount(place, minlength=6) / len(place)
    return Scores(
        n_stars=len(mean),
        n_used=int(fine.sum()),
        residual_mean=float(residual.mean()),
        residual_median=float(np.median(residual)),
        residual_rms=float(np.sqrt(np.mean(residual**2))),
        sigma_mean=float(std[fine].mean()),
        z_mean=float(z.mean()),
        z_std=float(z.std(ddof=1)) if len(z) > 1 else float("nan"),
        inside_68=float(shares[2:4].sum()),
        inside_90=float(shares[1:5].sum()),
        intervals=tuple(float(v) for v in shares),
    )
