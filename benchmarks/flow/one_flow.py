"""One flow for 8 and 11 bands against a flow of its own for each.

Usage: python -m benchmarks.flow.one_flow [--stars 40000]

Trains three flows with the same short schedule on one mock sky: 11 bands on all stars, 8 bands on all stars, and 11
bands on the stars that have 2MASS alone. Prints the evidence of stars of another sky under each, and the difference
with its standard error.
"""

import argparse
import time

import jax
import jax.numpy as jnp
import numpy as np
from benchmarks.results import recording, say, table

import redflower
from redflower.api.sample import training_sample
from redflower.catalogue import QualityLimits, default_distance_prior
from redflower.train import StageConfig, TrainConfig, train_flow
from redflower.train.loss.estimator import Estimator
from redflower.train.loss.evidence import log_evidence
from redflower.train.loss.training_star import TrainingStar

LIMITS = {"g_bright_mag": 13.5, "g_faint_mag": 19.0}
CONFIG = TrainConfig(
    stages=(
        StageConfig(
            n_draws=4, magnitudes="likelihood", batch_size=256, learning_rate=3e-3, final_rate_fraction=0.1, max_epochs=15
        ),
        StageConfig(n_draws=8, batch_size=512, learning_rate=1e-3, final_rate_fraction=0.02, max_epochs=8),
    ),
    validation_draws=8,
    integrate_gaps=False,
)  # fmt: skip
CHUNK, N_DRAWS = 512, 128


def sky(n_stars: int, seed: int) -> TrainingStar:
    """Tabulated stars of a mock sky that lack no band in between."""
    table = redflower.simulate(n_stars, seed=seed, **LIMITS)
    table = redflower.prepare(table, purpose="training", limits=QualityLimits(**LIMITS)).table
    data = training_sample(table, default_distance_prior(), **LIMITS).data
    return chosen(data, np.asarray(data.star.observed)[:, :8].all(axis=1))


def chosen(data: TrainingStar, rows: np.ndarray) -> TrainingStar:
    return jax.tree.map(lambda a: np.asarray(a)[rows], data)


def evidence(flow, data: TrainingStar, n_draws: int = N_DRAWS) -> np.ndarray:
    """ln evidence of every star."""
    prepared, n = flow.prepared(), len(data.star.parallax_mas)
    one = jax.jit(
        jax.vmap(
            lambda star, key: log_evidence(
                prepared, star, key,
                Estimator(proposal="posterior", magnitudes="adapted", integrate_gaps=False, **LIMITS), n_draws=n_draws,
            )
        )
    )  # fmt: skip
    keys = jax.random.split(jax.random.key(1), n)
    parts = []
    for start in range(0, n, CHUNK):
        rows = np.minimum(np.arange(start, start + CHUNK), n - 1)
        part = one(jax.tree.map(lambda a, rows=rows: jnp.asarray(a[rows]), data), keys[rows])
        parts.append(np.asarray(part, dtype=float)[: min(CHUNK, n - start)])
    return np.concatenate(parts)


def main() -> None:
    """Train and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stars", type=int, default=40_000)
    parser.add_argument("--test", type=int, default=6000)
    arguments = parser.parse_args()
    data, test = sky(arguments.stars, 61), sky(arguments.test, 62)
    full, test_full = (np.asarray(d.star.observed).all(axis=1) for d in (data, test))
    flows = {}
    for name, sample, n_bands in (
        ("one flow", data, 11),
        ("8 bands alone", data, 8),
        ("11 bands alone", chosen(data, full), 11),
    ):
        began = time.process_time()
        flows[name] = train_flow(sample, CONFIG, n_bands=n_bands, **LIMITS).flow
        say(
            f"  {name}: {len(sample.star.parallax_mas):,} stars, {time.process_time() - began:.0f} processor s",
        )
    short, long = chosen(test, ~test_full), chosen(test, test_full)
    rows = table(
        {
            "stars with": "", "number": ",", "ln evidence, one flow": ".3f", "a flow of its own": ".3f", "difference": "+.3f",
            "error": ".3f",
        }
    )  # fmt: skip
    for label, stars, other in (("8 bands", short, "8 bands alone"), ("11 bands", long, "11 bands alone")):
        one, own = evidence(flows["one flow"], stars), evidence(flows[other], stars)
        difference = one - own
        error = difference.std() / np.sqrt(len(difference))
        rows.row(label, len(one), one.mean(), own.mean(), difference.mean(), error)


if __name__ == "__main__":
    with recording("one-flow", seed=61):
        main()
