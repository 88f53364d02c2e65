"""How well the two-pass grid of the fast engine resolves a posterior, and what its check of that lets pass.

Usage: python -m benchmarks.engine.resolution [--stars 768]

The moments of the grid of every star against those of one with four times the nodes, in their own deviations; all by the
emulator, so that nothing but the number of nodes differs. Stars of the mock sky with the surveys' errors, and stars drawn
from the model with errors of every size, up to 11, 8 and 3 bands, with and without a parallax.
"""

import argparse

import jax
import jax.numpy as jnp
import numpy as np
from benchmarks.results import recording, say, table
from benchmarks.speed.engine import sample
from tests.helpers.model_stars import draw_model_stars

from redflower.flow import Model
from redflower.flow.emulator import Noise
from redflower.posterior import FastSettings
from redflower.posterior.batches import take
from redflower.posterior.fast.grid import (
    COARSE_EBV_NODES,
    COARSE_MODULUS_NODES,
    EBV_NODES,
    MODULUS_NODES,
    bounding_box,
    cut_drop,
    log_grid,
    uniform_axes,
    whole_box,
)
from redflower.posterior.fast.grid_summaries import GridSummary, summarise_grid
from redflower.posterior.fast.steps import make_fast_target, noise_inputs
from redflower.posterior.log_density import make_target
from redflower.star import Star

GROUPS = ((11, True), (8, True), (3, True), (11, False), (8, False), (3, False))
SIZES = (COARSE_MODULUS_NODES, COARSE_EBV_NODES, MODULUS_NODES, EBV_NODES)
FINE = (2 * COARSE_MODULUS_NODES, 2 * COARSE_EBV_NODES, 4 * MODULUS_NODES, 4 * EBV_NODES)


def moments(model: Model, stars: Star, sizes: tuple[int, int, int, int]) -> tuple[GridSummary, np.ndarray]:
    """Summaries by a coarse and a second grid of given sizes, and how far the density falls at the sides of the second. [nat]"""
    fast = make_fast_target(model, make_target(model, ebv_min_mag=-0.05, ebv_max_mag=0.5))

    def one(star: Star, noise: Noise) -> tuple[GridSummary, jax.Array]:
        coarse = log_grid(fast, star, noise, *uniform_axes(whole_box(fast, star), *sizes[:2]))
        grid = log_grid(fast, star, noise, *uniform_axes(bounding_box(coarse), *sizes[2:]))
        return summarise_grid(grid), cut_drop(fast, star, grid)

    part = take(stars, np.arange(len(stars.l_deg)))
    noise = jax.tree.map(jnp.asarray, noise_inputs(fast.emulator, part))
    run = jax.jit(lambda s, n: jax.lax.map(lambda a: one(*a), (s, n), batch_size=16))
    return jax.tree.map(np.asarray, run(part, noise))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stars", type=int, default=768)
    n = parser.parse_args().stars
    model, sky, _ = sample(2 * n)
    drawn = [
        draw_model_stars(model, n // len(GROUPS), seed, n_observed=bands, with_parallax=parallax)[0]
        for seed, (bands, parallax) in enumerate(GROUPS)
    ]
    samples = {
        "mock sky": jax.tree.map(lambda a: a[:n], sky),
        "drawn from the model": jax.tree.map(lambda *a: np.concatenate(a), *drawn),
    }
    settings = FastSettings()
    limit = settings.max_resolution_shift
    say(
        f"{SIZES[0]} x {SIZES[1]}, then {SIZES[2]} x {SIZES[3]} nodes, against four times as many along each axis. Differences "
        "in standard deviations, 95 / 99 / 99.9 % of the stars that the checks of resolution and of the sides let pass:"
    )
    rows = table(
        dict.fromkeys(
            ("stars", "sent on", "mean of E", "sigma of E", "mean distance", "sigma of distance"), ""
        )
    )
    for name, stars in samples.items():
        (coarse, drop), (fine, _) = moments(model, stars, SIZES), moments(model, stars, FINE)
        usable = np.isfinite(fine.ebv_mean_mag) & np.isfinite(fine.distance_mean_pc)
        passed = usable & (coarse.resolution_shift <= limit) & (drop >= settings.min_cut_drop)
        cells = [f"{1 - passed.sum() / usable.sum():.1%}"]
        for mean, std in (
            (coarse.ebv_mean_mag - fine.ebv_mean_mag, (coarse.ebv_std_mag, fine.ebv_std_mag)),
            (coarse.distance_mean_pc - fine.distance_mean_pc, (coarse.distance_std_pc, fine.distance_std_pc)),
        ):
            for values in (np.abs(mean) / std[1], np.abs(std[0] / std[1] - 1)):
                cells.append(" / ".join(f"{v:.3f}" for v in np.percentile(values[passed], [95, 99, 99.9])))
        rows.row(name, *cells)


if __name__ == "__main__":
    with recording("resolution"):
        main()
