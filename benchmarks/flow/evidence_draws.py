"""Bias and scatter of the log evidence of training stars against K, the number of importance draws.

Usage: python -m benchmarks.flow.evidence_draws [--stars 192] [--repeats 4] [--reference 16384]

For the shipped model and stars of a mock sky of their own: both proposals of distance, and both ways to draw true
magnitudes. The bias is against draws of the default kind, many of them. `docs/howto/training.md` quotes the table.
"""

import argparse
import time

import jax
import jax.numpy as jnp
import numpy as np

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
    table = redflower.prepare(sky, purpose="training", limits=QualityLimits(**LIMITS)).table
    sample = training_sample(table, default_distance_prior(), **LIMITS).data
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
    print(f"{n // 2} stars with 8 bands, {n // 2} with 11; reference {arguments.reference} adapted draws: "
          f"{reference[halves[0]].mean():.3f} and {reference[halves[1]].mean():.3f} nat")  # fmt: skip
    print("| distance | magnitudes | K | bias, 8 bands | scatter | bias, 11 bands | scatter | processor s |")
    print("|---|---|---|---|---|---|---|---|")
    for proposal, magnitudes in KINDS:
        for n_draws in DRAWS:
            began = time.process_time()
            repeats = np.stack(
                [values(proposal, magnitudes, n_draws, seed) for seed in range(arguments.repeats)]
            )
            spent = time.process_time() - began
            cells = []
            for rows in halves:
                error = repeats[:, rows] - reference[rows]
                # Over the repeats of a star: the median star, because a few have heavy tails.
                cells.append(f"{error.mean():+.3f} | {np.median(repeats[:, rows].std(axis=0, ddof=1)):.3f}")
            print(
                f"| {proposal} | {magnitudes} | {n_draws} | {cells[0]} | {cells[1]} | {spent:.1f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
