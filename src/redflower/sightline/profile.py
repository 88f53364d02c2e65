"""Mean reddening of many stars, their reddening prior divided out; alone and in bins of distance."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float
from scipy.special import ndtr

from redflower.posterior.density import JointDensity
from redflower.sightline.cells import MODULUS_RANGE_MAG, CellGrid, make_grid, star_cells

#: Steps of the mean over the limits of the prior; scatters from star to star [mag]; shares of stars whose reddening says nothing.
_N_MEANS: Final = 276
_SCATTERS_MAG: Final = np.geomspace(0.003, 0.2, 13)
_OUTLIER_SHARES: Final = np.array([0.0, 0.01, 0.03, 0.1])


@dataclass(frozen=True)
class MeanReddening:
    """The mean E(B-V) of some stars.

    Attributes
    ----------
    ebv_mag, ebv_error_mag : the mean and its standard error, of the posterior given the stars; NaN without stars. [mag]
    n_stars : stars with a density.
    """

    ebv_mag: float
    ebv_error_mag: float
    n_stars: int


@dataclass(frozen=True)
class Profile:
    """Mean E(B-V) of the stars in each bin of distance.

    Attributes
    ----------
    edges_pc : edges of the bins. [pc]
    ebv_mag, ebv_error_mag : mean and its standard error; NaN in an empty bin. [mag]
    n_stars : stars in each bin.
    """

    edges_pc: Float[np.ndarray, " edge"]
    ebv_mag: Float[np.ndarray, " bin"]
    ebv_error_mag: Float[np.ndarray, " bin"]
    n_stars: np.ndarray


def mean_reddening(density: JointDensity, ebv_range_mag: tuple[float, float]) -> MeanReddening:
    """Compute the mean reddening of stars from their joint densities, with each star's uniform prior divided out.

    Equation: ES9 (docs/explanation/model.md). It differs from the mean of posterior means. The prior's limits pull each
    posterior mean inwards, so that dust-free stars, near the lower limit, come out about 0.01 mag too red.

    Parameters
    ----------
    density : of the stars.
    ebv_range_mag : limits of their uniform reddening prior. [mag]
    """
    # One cell holds all distances.
    grid = CellGrid(np.array(MODULUS_RANGE_MAG), make_grid(ebv_range_mag).ebv_edges_mag)
    likelihood = star_cells(density, grid).sum(axis=1, dtype=np.float64)
    likelihood = likelihood[likelihood.any(axis=1)]
    if not len(likelihood):
        return MeanReddening(np.nan, np.nan, 0)
    means_mag = np.linspace(*ebv_range_mag, _N_MEANS)
    level, scatter = np.meshgrid(means_mag, _SCATTERS_MAG, indexing="ij")
    below = ndtr((grid.ebv_edges_mag - level[..., None]) / scatter[..., None])
    inside = below[..., -1] - below[..., 0]
    kernel = np.diff(below, axis=2) / inside[..., None]  # ES2
    # Of a normal distribution cut at the limits, which counts where its scatter is large.
    edge = np.exp(-0.5 * ((np.array(ebv_range_mag) - level[..., None]) / scatter[..., None]) ** 2)
    mean_of_kernel = level + scatter * (edge[..., 0] - edge[..., 1]) / np.sqrt(2.0 * np.pi) / inside
    inlier = likelihood @ kernel.reshape(-1, kernel.shape[-1]).T
    log_likelihood = np.stack(
        [np.log(np.maximum((1.0 - share) * inlier + share, 1e-300)).sum(axis=0) for share in _OUTLIER_SHARES]
    )
    weight = np.exp(log_likelihood - log_likelihood.max()).reshape(len(_OUTLIER_SHARES), *level.shape)
    weight = weight.sum(axis=0) / weight.sum()  # ES9
    mean_mag = float((weight * mean_of_kernel).sum())
    error_mag = float(np.sqrt((weight * (mean_of_kernel - mean_mag) ** 2).sum()))
    return MeanReddening(mean_mag, error_mag, len(likelihood))


def binned_profile(
    density: JointDensity,
    ebv_range_mag: tuple[float, float],
    distance_pc: Float[np.ndarray, " star"],
    edges_pc: Float[np.ndarray, " edge"],
) -> Profile:
    """Compute `mean_reddening` of the stars between consecutive edges of distance.

    Parameters
    ----------
    density, ebv_range_mag : as there.
    distance_pc : posterior mean distance of each star; those that are not finite are left out. [pc]
    edges_pc : rising edges of the bins. [pc]
    """
    which = np.where(np.isfinite(distance_pc), np.digitize(distance_pc, edges_pc) - 1, -1)
    found = [mean_reddening(density.rows(which == k), ebv_range_mag) for k in range(len(edges_pc) - 1)]
    return Profile(
        edges_pc=np.asarray(edges_pc),
        ebv_mag=np.array([one.ebv_mag for one in found]),
        ebv_error_mag=np.array([one.ebv_error_mag for one in found]),
        n_stars=np.array([one.n_stars for one in found]),
    )
