"""Mean reddening in bins of distance: a description of the stars, not a model of the clouds."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True)
class Profile:
    """Mean E(B-V) of the stars in each bin of distance.

    Attributes
    ----------
    edges_pc : edges of the bins. [pc]
    ebv_mag, ebv_error_mag : weighted mean and its standard error; NaN in an empty bin. [mag]
    n_stars : stars in each bin.
    """

    edges_pc: Float[np.ndarray, "edge"]
    ebv_mag: Float[np.ndarray, "bin"]
    ebv_error_mag: Float[np.ndarray, "bin"]
    n_stars: np.ndarray


def binned_profile(
    ebv_mean_mag: Float[np.ndarray, "star"],
    ebv_std_mag: Float[np.ndarray, "star"],
    distance_pc: Float[np.ndarray, "star"],
    edges_pc: Float[np.ndarray, "edge"],
) -> Profile:
    """Inverse-variance weighted mean reddening of the stars between consecutive edges of distance.

    The weights are 1 / (std^2 + spread^2) with the spread of the bin about its median, so that a few stars of tiny
    quoted error do not decide a bin. Stars with a value that is not finite are left out, one by one.

    Parameters
    ----------
    ebv_mean_mag, ebv_std_mag : posterior mean and standard deviation of each star. [mag]
    distance_pc : posterior mean distance of each star. [pc]
    edges_pc : rising edges of the bins. [pc]
    """
    finite = np.isfinite(ebv_mean_mag) & (ebv_std_mag > 0) & np.isfinite(distance_pc)
    ebv, std, distance = ebv_mean_mag[finite], ebv_std_mag[finite], distance_pc[finite]
    n_bins = len(edges_pc) - 1
    which = np.digitize(distance, edges_pc) - 1
    mean, error, count = np.full(n_bins, np.nan), np.full(n_bins, np.nan), np.zeros(n_bins, dtype=int)
    for k in range(n_bins):
        here = which == k
        count[k] = here.sum()
        if count[k] == 0:
            continue
        excess = np.median((ebv[here] - np.median(ebv[here])) ** 2) / 0.4549 - np.median(std[here] ** 2)
        weight = 1.0 / (std[here] ** 2 + max(excess, 0.0))
        mean[k] = np.average(ebv[here], weights=weight)
        error[k] = 1.0 / np.sqrt(weight.sum())
    return Profile(np.asarray(edges_pc), mean, error, count)
