"""Bias and scatter of the log evidence of training stars against K, the number of importance draws.

Usage: python -m benchmarks.flow.evidence_draws [--stars 192] [--repeats 4] [--reference 16384]

For the shipped model and stars of a mock sky of their own: both proposals of distance, and both ways to draw true
magnitudes. The bias is against draws of the default kind, many of them. `docs/measured/training.md` quotes the table.
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
from redflower.flow import load_model
from redflower.train.loss.estimator import Estimator
from redflower.train.loss.evidence import log_evidence

LIMITS = {"g_bright_mag": 13.5, "g_faint_mag": 19.0}
DRAWS = (4, 16, 32, 128)
KINDS = (("posterior", "adapted"), ("posterior", "likelihood"), ("gaussian", "likelihood"))
#: Draws evaluated in one call.
BLOCK = 65_536


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stars", type=int, default=192)
    parser.add_argument("--repeats", type=int, default=4)
    parser.add_argument("--reference", type=int, default=16_384)
    arguments = parser.parse_args()
    n = arguments.stars
    sky = redflower.simulate(8 * n, seed=31, **LIMITS)
    prepared = redflower.prepare(sky, purpose="training", limits=QualityLimits(**LIMITS)).table
    sample = training_sample(prepared, default_distance_prior(), **LIMITS).data
    observed = np.asarray(sample.star.observed)
    full = np.flatnonzero(observed.all(axis=1))[: n // 2]
    short = np.flatnonzero(observed[:, :8].all(axis=1) & ~observed[:, 8:].any(axis=1))[: n // 2]
    data = jax.tree.map(lambda a: jnp.asarray(a[np.concatenate([short, full])]), sample)
    flow = load_model("mock-sky").flow.prepared()

    def values(proposal: str, magnitudes: str, n_draws: int, seed: int) -> np.ndarray:
        one = jax.jit(
            jax.vmap(
                lambda star, key: log_evidence(
                    flow, star, key,
                    Estimator(proposal=proposal, magnitudes=magnitudes, integrate_gaps=False, **LIMITS), n_draws=n_draws,
                )
            )
        )  # fmt: skip
        keys = jax.random.split(jax.random.key(seed), n)
        step = max(1, min(n, BLOCK // n_draws))
        return np.concatenate(
            [
                np.asarray(
                    one(jax.tree.map(lambda a, i=i: a[i : i + step], data), keys[i : i + step]), dtype=float
                )
                for i in range(0, n, step)
            ]
        )

    reference = values("posterior", "adapted", arguments.reference, 99)
    halves = (slice(0, n // 2), slice(n // 2, n))
    say(
        f"{n // 2} stars with 8 bands and {n // 2} with 11, nat a star. The scatter is that of the median star over "
        f"{arguments.repeats} repeats. The reference is {arguments.reference:,} adapted draws."
    )
    rows = table(
        {
            "distance": "", "magnitudes": "", "K": "d", "bias, 8 bands": "+.3f", "scatter, 8 bands": ".3f",
            "bias, 11 bands": "+.3f", "scatter, 11 bands": ".3f", "processor s": ".1f",
        }
    )  # fmt: skip
    for proposal, magnitudes in KINDS:
        for n_draws in DRAWS:
            began = time.process_time()
            repeats = np.stack(
                [values(proposal, magnitudes, n_draws, seed) for seed in range(arguments.repeats)]
            )
            spent = time.process_time() - began
            cells = []
            for half in halves:
                error = repeats[:, half] - reference[half]
                # Over the repeats of a star: the median star, because a few have heavy tails.
                cells += [error.mean(), np.median(repeats[:, half].std(axis=0, ddof=1))]
            rows.row(proposal, magnitudes, n_draws, *cells, spent)


if __name__ == "__main__":
    with recording("evidence-draws", seed=31):
        main()
