"""Reddenings of real fields by the population ``sky`` itself: what a flow trained on it can be hoped to say.

    python -m benchmarks.real_stars.population_posterior DATA_DIR [--field stripe-82|m67] [--stars 1200]
        [--simulated 150000]

The posterior of a star is a sum over simulated stars of the field's sightline, without dust and noise: each is moved
along the line of sight until its G is the star's, dimmed by a grid of E(B-V), and weighted by the star's colours,
with the noise, the survey floors and the population's intrinsic scatter as their covariance, and by its parallax.
Prior on E(B-V): uniform from -0.05 to 0.25 mag. Prints the median over stars of the posterior means, in bins of
distance, colour and G. On two cores 1,200 stars take about two minutes.
"""

import argparse
import dataclasses
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from astropy.table import Table
from benchmarks.real_stars.sky_population import (
    AREA_DEG2,
    B_DEG,
    L_DEG,
    field_table,
    load_m67,
    read_field,
    to_archive_scale,
)
from benchmarks.results import Table as Lines
from benchmarks.results import recording, say, table

import redflower
from redflower.bands import BANDS, BP, RP, G
from redflower.physics import law_of_name
from redflower.physics.extinction import extinction_mag
from redflower.physics.extinction_laws import Zhang23Law
from redflower.simulate import sky_stars, survey
from redflower.simulate.colours import sky_coefficients, sky_colour_relations

N = 8
EBV_MAG = np.arange(-0.05, 0.2501, 0.01)
FLOOR_MAG = np.array([band.error_floor_mag for band in BANDS[:N]])
#: How far a simulated star may be moved in distance modulus: less than the scale on which the Galaxy changes. [mag]
MOVE_MAG = 0.12
MAX_CANDIDATES = 4000


@dataclass(frozen=True)
class Field:
    """Stars with all eight bands: magnitudes without Pan-STARRS1's drift, errors, parallax without its zero point."""

    magnitude_mag: np.ndarray
    error_mag: np.ndarray
    parallax_mas: np.ndarray
    parallax_error_mas: np.ndarray


@dataclass(frozen=True)
class Simulated:
    """Simulated stars without dust, noise and scatter of colours, by rising G, and their extinction at `EBV_MAG`."""

    g_mag: np.ndarray
    colour_mag: np.ndarray
    distance_pc: np.ndarray
    extinction_mag: np.ndarray


def without_drift(magnitude: np.ndarray) -> np.ndarray:
    """Eight bands without Pan-STARRS1's drift."""
    full = np.full((len(magnitude), len(BANDS)), 15.0)
    full[:, :N] = np.nan_to_num(magnitude, nan=15.0)
    return magnitude - survey.ps1_drift_mag(full, sky_coefficients()["ps1_drift"])[:, :N]


def stripe_82(path: Path) -> Field:
    """The field in Stripe 82; zero point of DR2 parallaxes of 0.03 mas."""
    table, columns = Table.read(path), field_table(path)
    magnitude = np.stack([columns[band.label] for band in BANDS[:N]], axis=1)
    error = read_field(path)[1][:, :N]
    parallax = np.asarray(table["parallax"], float) + 0.03
    return Field(without_drift(magnitude), error, parallax, np.asarray(table["parallax_error"], float))


def m67_members(path: Path) -> Field:
    """Members of M67 on the archive's scales; reddened again, as the script that reads them takes 0.04 mag off."""
    stars = load_m67(path)
    stars.magnitude = to_archive_scale(stars.magnitude)
    colour = jnp.asarray(stars.bp_rp)
    law = Zhang23Law()
    dust = jax.jit(jax.vmap(lambda c: extinction_mag(law, 0.04, c)))(colour)
    magnitude = stars.magnitude[:, :N] + np.asarray(dust)[:, :N]
    n = len(magnitude)
    return Field(without_drift(magnitude), stars.error[:, :N], np.full(n, 1000.0 / 850.0), np.full(n, 0.03))


def simulate_field(n_stars: int, l_deg: float, b_deg: float) -> Simulated:
    """Simulated stars of a sightline."""
    relations = sky_colour_relations()
    smooth = dataclasses.replace(relations, scatter_factor=np.zeros_like(relations.scatter_factor))
    kept, sky_stars.sky_colour_relations = sky_stars.sky_colour_relations, lambda _=None: smooth
    try:
        sky = redflower.simulate(
            n_stars, seed=7, preset="cone", population="sky", l_deg=l_deg, b_deg=b_deg,
            radius_deg=float(np.sqrt(AREA_DEG2 / np.pi)), clouds=[], g_bright_mag=12.0, g_faint_mag=19.6,
            include_truth=True,
        )  # fmt: skip
    finally:
        sky_stars.sky_colour_relations = kept
    colour = np.stack([np.asarray(sky[f"true_x_{band.label}"].value) for band in BANDS[:N]], axis=1)
    distance = sky["true_distance"].to_value("pc")
    g = colour[:, G] + 5.0 * np.log10(distance / 10.0)
    colour[:, G] = 0.0
    order = np.argsort(g)
    law = law_of_name("zhang23-corrected")
    dust = jax.jit(jax.vmap(lambda e, c: extinction_mag(law, e, c), (None, 0)))
    bp_rp = jnp.asarray((colour[:, BP] - colour[:, RP])[order])
    extinction = np.stack([np.asarray(dust(e, bp_rp))[:, :N] for e in EBV_MAG], axis=1)
    return Simulated(g[order], colour[order], distance[order], extinction.astype(np.float32))


def posterior(field: Field, row: int, sky: Simulated, rng: np.random.Generator) -> np.ndarray:
    """Mean and standard deviation of E(B-V), distance, and the effective number of simulated stars; NaN for too few."""
    relations = sky_colour_relations()
    magnitude = field.magnitude_mag[row]
    colour = magnitude - magnitude[G]
    bp_rp = colour[BP] - colour[RP]
    factor = relations.scatter_factor[np.searchsorted(relations.scatter_bp_rp_mag, bp_rp)]
    from_g = np.eye(N)[1:]
    from_g[:, G] = -1.0
    noise = np.hypot(field.error_mag[row], FLOOR_MAG) ** 2
    covariance = (from_g * noise) @ from_g.T + (factor @ factor.T)[1:N, 1:N] + 1e-6 * np.eye(N - 1)
    whiten = np.linalg.cholesky(np.linalg.inv(covariance))
    low, high = np.searchsorted(sky.g_mag, magnitude[G] + np.array([-1.0, 0.35]))
    near = np.arange(low, high)
    width = 3.0 * np.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]) + 0.02
    difference = bp_rp - (sky.colour_mag[near, BP] - sky.colour_mag[near, RP])
    near = near[(difference < 0.35 + width) & (difference > -0.08 - width)]
    if len(near) > MAX_CANDIDATES:
        near = rng.choice(near, MAX_CANDIDATES, replace=False)
    if len(near) < 50:
        return np.full(4, np.nan)
    dust = sky.extinction_mag[near]
    move = magnitude[G] - sky.g_mag[near, None] - dust[:, :, G]
    residual = colour[1:] - sky.colour_mag[near, None, 1:] - (dust[:, :, 1:] - dust[:, :, [G]])
    parallax = 1000.0 / (sky.distance_pc[near, None] * 10.0 ** (move / 5.0))
    log_weight = -0.5 * (
        ((residual @ whiten) ** 2).sum(axis=-1)
        + (move / MOVE_MAG) ** 2
        + ((field.parallax_mas[row] - parallax) / field.parallax_error_mas[row]) ** 2
    )
    weight = np.exp(log_weight - log_weight.max())
    share, of_star = weight.sum(axis=0) / weight.sum(), weight.sum(axis=1) / weight.sum()
    mean = share @ EBV_MAG
    std = np.sqrt(max(share @ EBV_MAG**2 - mean**2, 0.0))
    return np.array(
        [mean, std, 10.0 ** (of_star @ np.log10(sky.distance_pc[near])), 1.0 / (of_star**2).sum()]
    )


def add_bins(lines: Lines, name: str, value: np.ndarray, edges: tuple[float, ...], found: np.ndarray) -> None:
    """Add the median of the posterior means in bins."""
    for low, high in zip(edges[:-1], edges[1:], strict=True):
        here = (value > low) & (value <= high)
        if here.sum() >= 8:
            ebv = found[here, 0]
            error = 1.25 * 1.4826 * np.median(np.abs(ebv - np.median(ebv))) / np.sqrt(here.sum())
            lines.row(f"{name} {low:g} to {high:g}", here.sum(), np.median(ebv), error, found[here, 1].mean())


def main() -> None:
    """Run one field."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("--field", choices=("stripe-82", "m67"), default="stripe-82")
    parser.add_argument("--stars", type=int, default=1200)
    parser.add_argument("--simulated", type=int, default=150_000)
    arguments = parser.parse_args()
    suffix = "" if arguments.field == "stripe-82" else f"-{arguments.field}"
    with recording(f"population-posterior{suffix}", seed=7):
        run(arguments)


def run(arguments: argparse.Namespace) -> None:
    """Infer one field, and say every bin."""
    if arguments.field == "stripe-82":
        field, place = stripe_82(arguments.data_dir / "s82_gaiadr2_ps1.fits"), (L_DEG, B_DEG)
    else:
        field, place = m67_members(arguments.data_dir / "m67_gaiadr2_ps1_2mass.fits"), (215.7, 31.9)
    sky = simulate_field(arguments.simulated, *place)
    g = field.magnitude_mag[:, G]
    whole = np.isfinite(field.magnitude_mag).all(axis=1) & np.isfinite(field.error_mag).all(axis=1)
    whole &= np.isfinite(field.parallax_mas) & (g > 13.0) & (g < 19.0)
    rng = np.random.default_rng(0)
    rows = rng.permutation(np.flatnonzero(whole))[: arguments.stars]
    found = np.array([posterior(field, row, sky, rng) for row in rows])
    good = found[:, 3] > 8
    rows, found = rows[good], found[good]
    name = {"stripe-82": "Stripe 82", "m67": "Members of M67"}[arguments.field]
    say(f"{name}: {len(rows):,} of {len(good):,} stars, median E(B-V) {np.median(found[:, 0]):.3f} mag.")
    lines = table(
        {"stars with": "", "number": ",", "median E(B-V) [mag]": "+.3f", "error": ".3f", "mean sigma": ".3f"}
    )
    add_bins(lines, "distance [pc]", found[:, 2], (0, 500, 800, 1200, 2000, 3000, 5000, 9000), found)
    blue = field.magnitude_mag[rows, 3] - field.magnitude_mag[rows, 5]
    add_bins(lines, "g - i", blue, (0.2, 0.5, 0.65, 0.9, 1.3, 1.9, 2.5), found)
    add_bins(lines, "G", g[rows], (13, 14.5, 16, 17, 18, 19), found)


if __name__ == "__main__":
    main()
