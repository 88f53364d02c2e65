"""What the contrastive term does: one flow, trained on with several strengths lambda, on stars it never saw.

Usage: python -m benchmarks.flow.contrastive [--stars 60000] [--epochs 4] [--test 400] [--strengths 0 0.03 0.1 0.3]

Trains on from the shipped model on a mock sky, the same number of epochs at every lambda, and prints for stars of
another mock sky: the held-out evidence of dust-free stars; the mean log density of their reddened copies; and the
bias and scatter of the posterior mean E(B-V) of reddened copies, by a grid over E. `docs/measured/training.md` quotes it.
"""

import argparse
import time

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from benchmarks.results import recording, say

import redflower
from redflower.bands import BP, RP, G
from redflower.catalogue import QualityLimits, default_distance_prior, to_stars
from redflower.flow import load_model
from redflower.physics import Zhang23Law, extinction_mag, intrinsic_bp_rp
from redflower.train import ContrastConfig, EmulatorConfig, StageConfig, TrainConfig
from redflower.train.dataset import tabulate
from redflower.train.loss.contrastive import redden_star
from redflower.train.loss.estimator import Estimator
from redflower.train.loss.evidence import log_evidence
from redflower.train.loss.training_star import TrainingStar

LIMITS = {"g_bright_mag": 13.5, "g_faint_mag": 19.0}
LAW = Zhang23Law()
E_GRID = np.linspace(-0.05, 0.5, 56)
CHUNK = 16


def prepared(n_stars: int, seed: int):
    sky = redflower.simulate(n_stars, seed=seed, **LIMITS)
    return redflower.prepare(sky, purpose="training", limits=QualityLimits(**LIMITS)).table


def tabulated(n_stars: int, seed: int) -> TrainingStar:
    """Stars with 11 bands (every other one) and with 8, from a sky of their own."""
    batch = to_stars(prepared(4 * n_stars, seed), default_distance_prior())
    observed = np.asarray(batch.stars.observed)
    inside = batch.usable & (
        np.asarray(batch.stars.magnitude_mag)[:, G] < 17.4
    )  # so that E = 0.5 stays in the sample
    full = np.flatnonzero(inside & observed.all(axis=1))[: n_stars // 2]
    short = np.flatnonzero(inside & observed[:, :8].all(axis=1) & ~observed[:, 8:].any(axis=1))[
        : n_stars // 2
    ]
    rows = np.concatenate([full, short])
    return tabulate(jax.tree.map(lambda a: np.asarray(a)[rows], batch.stars))


def with_magnitudes(data: TrainingStar, magnitude_mag):
    return eqx.tree_at(lambda d: d.star.magnitude_mag, data, magnitude_mag)


def evidence(flow, data: TrainingStar, key, n_draws: int, normaliser: str = "exact"):
    return log_evidence(
        flow,
        data,
        key,
        Estimator(proposal="posterior", normaliser=normaliser, integrate_gaps=False, **LIMITS),
        n_draws=n_draws,
    )


def log_likelihood_of_ebv(flow, data: TrainingStar, key, n_draws: int):
    """ln p(data | E) on `E_GRID`: the evidence of the star with A(E, C) taken off, the same draws at every E."""
    star = data.star

    def at(ebv_mag):
        colour = intrinsic_bp_rp(LAW, star.magnitude_mag[BP] - star.magnitude_mag[RP], ebv_mag)
        free = star.magnitude_mag - extinction_mag(LAW, ebv_mag, colour)
        return evidence(flow, with_magnitudes(data, free), key, n_draws, "none")

    return jax.lax.map(at, jnp.asarray(E_GRID, jnp.float32))


def posterior_moments(log_likelihood: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    density = np.exp(log_likelihood - log_likelihood.max(axis=1, keepdims=True))
    density /= np.trapezoid(density, E_GRID, axis=1)[:, None]
    mean = np.trapezoid(density * E_GRID, E_GRID, axis=1)
    return mean, np.sqrt(np.trapezoid(density * (E_GRID - mean[:, None]) ** 2, E_GRID, axis=1))


def over_stars(function, data: TrainingStar) -> np.ndarray:
    n = len(data.star.parallax_mas)
    keys = jax.random.split(jax.random.key(5), n)
    mapped = jax.jit(jax.vmap(function))
    parts = []
    for start in range(0, n, CHUNK):
        rows = np.minimum(np.arange(start, start + CHUNK), n - 1)
        part = mapped(jax.tree.map(lambda a, rows=rows: jnp.asarray(a[rows]), data), keys[rows])
        parts.append(np.asarray(part)[: min(CHUNK, n - start)])
    return np.concatenate(parts)


def report(name: str, flow, data: TrainingStar, n_draws: int) -> None:
    """Print the figures of one flow."""
    prepared_flow = flow.prepared()
    clean = over_stars(lambda d, k: evidence(prepared_flow, d, k, n_draws), data)
    say(f"{name}: held-out ln evidence of dust-free stars {clean.mean():.3f} (median {np.median(clean):.3f})")
    full = np.asarray(data.star.observed).all(axis=1)
    for ebv in (0.0, 0.1, 0.2, 0.4):
        copies = with_magnitudes(
            data,
            np.asarray(
                jax.vmap(lambda s, e=ebv: redden_star(LAW, s, jnp.float32(e)).magnitude_mag)(data.star)
            ),
        )
        dimmed = over_stars(lambda d, k: evidence(prepared_flow, d, k, n_draws), copies)
        mean, std = posterior_moments(
            over_stars(lambda d, k: log_likelihood_of_ebv(prepared_flow, d, k, n_draws), copies)
        )
        line = f"  E = {ebv:.1f}: ln density as if dust-free {dimmed.mean():8.2f};"
        for label, rows in (("8 bands", ~full), ("11 bands", full)):
            residual = mean[rows] - ebv
            line += (
                f" {label}: E mean {residual.mean():+.4f}, median {np.median(residual):+.4f}, sigma {np.mean(std[rows]):.4f},"
                f" rms {np.sqrt(np.mean(residual**2)):.4f}, z {np.std(residual / std[rows]):.2f};"
            )
        say(line)


def main() -> None:
    """Train and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stars", type=int, default=60_000)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--test", type=int, default=400)
    parser.add_argument("--draws", type=int, default=128, help="draws of the evidences that are printed")
    parser.add_argument("--train-draws", type=int, default=64, help="draws of the evidences that train")
    parser.add_argument("--model", default="mock-sky")
    parser.add_argument("--strengths", type=float, nargs="+", default=[0.0, 0.03, 0.1, 0.3])
    arguments = parser.parse_args()
    start = load_model(arguments.model)
    table, data = prepared(arguments.stars, 21), tabulated(arguments.test, 22)
    report("to start from", start.flow, data, arguments.draws)
    for strength in arguments.strengths:
        config = TrainConfig(
            contrast=ContrastConfig(strength=strength, ramp_epochs=max(1, arguments.epochs // 2), n_draws=4, tolerance=10.0),
            stages=(
                StageConfig(
                    n_draws=arguments.train_draws, batch_size=512, learning_rate=5e-4, final_rate_fraction=0.05,
                    max_epochs=arguments.epochs, patience=arguments.epochs,
                ),
            ),
            integrate_gaps=False,
            emulator=EmulatorConfig(n_steps=0),
        )  # fmt: skip
        began = time.process_time()
        model, _ = redflower.train(table, name="contrast", config=config, start_from=start)
        say(f"lambda {strength:g}: trained in {time.process_time() - began:.0f} s of processor time")
        report(f"lambda {strength:g}", model.flow, data, arguments.draws)


if __name__ == "__main__":
    with recording("contrastive", seed=21):
        main()
