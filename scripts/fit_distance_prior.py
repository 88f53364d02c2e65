"""Fit a packaged distance prior to a simulated Galaxy: one generalised gamma (E13) per HEALPix pixel.

Usage: python scripts/fit_distance_prior.py [--population mock|sky]

The target is the number density d^2 rho(R, Z) of all stars of the Galaxy along the sightline, before any
magnitude limit; the limits enter the flow's training through the normaliser of eq. 24. The fit minimises the
Kullback-Leibler divergence on a grid of distance. Writes src/redflower/data/<population>_distance_prior.csv.
"""

import argparse
from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from astropy_healpix import HEALPix
from scipy.special import gammainc, gammaln, logsumexp

from redflower.catalogue.maps.distance_prior import PACKAGED
from redflower.simulate.galaxy import Component, log_number_density
from redflower.simulate.population import POPULATIONS

LEVEL = 4
LOG_DISTANCE = np.linspace(np.log(3.0), np.log(8e4), 500)
STARTS = (np.log([0.5, 3.0]), np.array([-0.5, 1.0]), np.log([0.25, 5.0]))
#: Bounds of log alpha and log(beta + 1). Towards alpha = 0 the density becomes a log-normal, written as the small
#: difference of large numbers, which single precision cannot hold.
LOWEST, HIGHEST = np.log([0.25, 0.05]), np.log([20.0, 60.0])
DATA = Path(__file__).parents[1] / "src" / "redflower" / "data"


def target(l_deg: float, b_deg: float, components: tuple[Component, ...]) -> np.ndarray:
    """Probability per step of log distance."""
    log_density = log_number_density(np.exp(LOG_DISTANCE), l_deg, b_deg, components) + LOG_DISTANCE
    weight = np.exp(log_density - log_density.max())
    return weight / weight.sum()


def best_log_length(log_alpha: np.ndarray, log_beta1: np.ndarray, log_weight: np.ndarray) -> np.ndarray:
    """The log length that minimises the divergence at given (log alpha, log(beta + 1)): it has a closed form."""
    alpha = np.exp(log_alpha)
    moment = logsumexp(log_weight + alpha[:, None] * LOG_DISTANCE, axis=1)
    return (log_alpha - log_beta1 + moment) / alpha


def loss(p: np.ndarray, log_weight: np.ndarray) -> np.ndarray:
    """Divergence from the weights, up to a constant, with p = (log alpha, log(beta + 1)) and the best length."""
    alpha, beta1 = np.exp(p[0]), np.exp(p[1])
    mean = np.sum(np.exp(log_weight) * LOG_DISTANCE, axis=1)
    length = best_log_length(p[0], p[1], log_weight)
    return -(p[0] - gammaln(beta1 / alpha) + beta1 * (mean - length) - beta1 / alpha)  # E13


def fit(log_weight: np.ndarray, start: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(log alpha, log(beta + 1)) that minimise the divergence, and the divergence, for every row of weights.

    Newton's method with differences, damped where the loss is not convex or a step does not lower it.
    """
    n, h = len(log_weight), 1e-3
    p, damping = np.repeat(start[:, None], n, axis=1), np.full(n, 1e-3)
    value = loss(p, log_weight)
    steps = np.array([[1.0, 0.0], [0.0, 1.0]])[:, :, None] * h
    for _ in range(80):
        up = np.array([loss(p + step, log_weight) for step in steps])
        down = np.array([loss(p - step, log_weight) for step in steps])
        both = loss(p + steps[0] + steps[1], log_weight)
        slope = (up - down) / (2 * h)
        curve = (up - 2 * value + down) / h**2
        cross = (both - up[0] - up[1] + value) / h**2
        hessian = np.moveaxis(np.array([[curve[0], cross], [cross, curve[1]]]), 2, 0)
        values, vectors = np.linalg.eigh(hessian)
        along = np.einsum("nij,in->nj", vectors, slope) / (np.abs(values) + damping[:, None])
        move = np.einsum("nij,nj->in", vectors, along)
        move /= np.maximum(1.0, np.abs(move).max(axis=0) / 0.5)
        new = np.clip(p - move, LOWEST[:, None], HIGHEST[:, None])
        lower = loss(new, log_weight)
        better = lower < value
        p, value = np.where(better, new, p), np.where(better, lower, value)
        damping = np.clip(np.where(better, damping / 3, damping * 10), 1e-8, 1e8)
    return p, value


def main() -> None:
    """Fit every pixel and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--population", choices=POPULATIONS, default="mock")
    population = parser.parse_args().population
    components = POPULATIONS[population].components
    grid = HEALPix(2**LEVEL, order="nested")
    lon, lat = grid.healpix_to_lonlat(np.arange(grid.npix))
    galactic = SkyCoord(lon, lat, frame="icrs").galactic
    l_deg, b_deg = galactic.l.to_value(u.deg), galactic.b.to_value(u.deg)
    with np.errstate(divide="ignore"):
        log_weight = np.log(
            np.stack([target(*at, components) for at in zip(l_deg, b_deg, strict=True)]) + 1e-300
        )
    # A start may lead to a valley of its own: the best of three.
    found = [fit(log_weight, start) for start in STARTS]
    best = np.argmin([value for _, value in found], axis=0)
    p = np.stack([p for p, _ in found])[best, :, np.arange(grid.npix)].T
    length, alpha, beta1 = best_log_length(p[0], p[1], log_weight), *np.exp(p)
    ratio = LOG_DISTANCE + 0.5 * np.diff(LOG_DISTANCE)[0] - length[:, None]
    model = gammainc((beta1 / alpha)[:, None], np.exp(np.minimum(alpha[:, None] * ratio, 300.0)))
    error = np.abs(model - np.cumsum(np.exp(log_weight), axis=1)).max(axis=1)
    rows = zip(range(grid.npix), length, alpha, beta1 - 1.0, strict=True)
    high = np.abs(b_deg) > 20
    print(
        f"largest difference of the CDFs at |b| > 20 deg: median {np.median(error[high]):.4f}, "
        f"worst {error[high].max():.4f}; elsewhere worst {error[~high].max():.4f}"
    )
    with (DATA / PACKAGED[population]).open("w") as file:
        file.write(
            f"# Distance prior of the {population} Galaxy of redflower.simulate, made by scripts/fit_distance_prior.py.\n"
        )
        file.write(
            # This line is in the shipped files, whose checksums the models record: it keeps the name that the page once had.
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
