"""Fit the packaged distance prior to the mock Galaxy: one generalised gamma (E13) per HEALPix pixel.

Usage: python scripts/fit_distance_prior.py

The target is the number density d^2 rho(R, Z) of all stars of the mock Galaxy along the sightline, before any
magnitude limit; the limits enter the flow's training through the normaliser of eq. 24. The fit minimises the
Kullback-Leibler divergence on a grid of distance. Writes src/redflower/data/mock_distance_prior.csv.
"""

from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from astropy_healpix import HEALPix
from scipy.optimize import minimize
from scipy.special import gammainc, gammaln

from redflower.simulate.galaxy import log_number_density

LEVEL = 4
LOG_DISTANCE = np.linspace(np.log(3.0), np.log(8e4), 500)
STARTS = (np.log([100.0, 0.5, 3.0]), np.array([5.0, -0.5, 1.0]))
OUT = Path(__file__).parents[1] / "src" / "redflower" / "data" / "mock_distance_prior.csv"


def target(l_deg: float, b_deg: float) -> np.ndarray:
    """Probability per step of log distance."""
    log_density = log_number_density(np.exp(LOG_DISTANCE), l_deg, b_deg) + LOG_DISTANCE
    weight = np.exp(log_density - log_density.max())
    return weight / weight.sum()


def loss(p: np.ndarray, weight: np.ndarray) -> float:
    """Divergence from the weights, up to a constant, of the density with p = (log length, log alpha, log(beta + 1))."""
    log_length, alpha, beta1 = p[0], np.exp(p[1]), np.exp(p[2])
    ratio = LOG_DISTANCE - log_length
    log_p = p[1] - gammaln(beta1 / alpha) + beta1 * ratio - np.exp(np.minimum(alpha * ratio, 300.0))  # E13
    return -float(weight @ log_p)


def fit(weight: np.ndarray, start: np.ndarray) -> np.ndarray:
    """(log length, log alpha, log(beta + 1)) that minimise the divergence from the weights."""
    options = {"xatol": 1e-4, "fatol": 1e-8, "maxiter": 4000}
    return minimize(loss, start, args=(weight,), method="Nelder-Mead", options=options).x


def main() -> None:
    """Fit every pixel and write the table."""
    grid = HEALPix(2**LEVEL, order="nested")
    lon, lat = grid.healpix_to_lonlat(np.arange(grid.npix))
    galactic = SkyCoord(lon, lat, frame="icrs").galactic
    l_deg, b_deg = galactic.l.to_value(u.deg), galactic.b.to_value(u.deg)
    previous = STARTS[0]
    rows, worst = [], []
    for pixel in range(grid.npix):
        weight = target(l_deg[pixel], b_deg[pixel])
        # A pixel's neighbour is a good start but may be a bad one: the best of three.
        found = previous = min(
            (fit(weight, start) for start in (previous, *STARTS)), key=lambda p: loss(p, weight)
        )
        alpha, beta1 = np.exp(found[1:])
        model = gammainc(
            beta1 / alpha, np.exp(alpha * (LOG_DISTANCE + 0.5 * np.diff(LOG_DISTANCE)[0] - found[0]))
        )
        worst.append(np.abs(model - np.cumsum(weight)).max())
        rows.append((pixel, found[0], alpha, beta1 - 1.0))
    high = np.abs(b_deg) > 20
    error = np.array(worst)
    print(
        f"largest difference of the CDFs at |b| > 20 deg: median {np.median(error[high]):.4f}, "
        f"worst {error[high].max():.4f}; elsewhere worst {error[~high].max():.4f}"
    )
    with OUT.open("w") as file:
        file.write(
            "# Distance prior of the mock Galaxy of redflower.simulate, made by scripts/fit_distance_prior.py.\n"
        )
        file.write(
            "# Generalised gamma (docs/model.md, E13) per HEALPix pixel, level 4, nested, ICRS; length in pc.\n"
        )
        file.write(
            f"# Largest difference of the CDFs at |b| > 20 deg: median {np.median(error[high]):.4f}, "
            f"worst {error[high].max():.4f}.\n"
        )
        file.write("healpix,log_length_pc,alpha,beta\n")
        for pixel, log_length, alpha, beta in rows:
            file.write(f"{pixel},{log_length:.5f},{alpha:.5f},{beta:.5f}\n")


if __name__ == "__main__":
    main()
