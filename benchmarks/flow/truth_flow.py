"""How good could a flow of this size be, and would training know? A flow fitted to the truth, beside a trained model.

Usage: python -m benchmarks.flow.truth_flow [MODEL ...] [--stars 400000] [--epochs 60] [--test 4000] [--block-dim B] [--depth D]

A network of the models' own size, or of another, is fitted by exact maximum likelihood to mock stars at their true
distances, with little noise (`mock_truth.NOISE_MAG`) and within the limits: what no real sample allows. Printed are
its two-sample tests, which are those of the network's size, and the evidence of noisy stars of another sky under it
less that under each model, for several numbers of draws K and by distance: where it is above zero at many draws and
below at few, few draws are what keeps training from it. `docs/measured/training.md` quotes it.
"""

import argparse
import time

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from benchmarks.flow.mock_truth import (
    LIMITS,
    N_HISTOGRAM,
    NOISE_MAG,
    draw_within_limits,
    slices,
    truth,
    two_sample_tests,
    with_noise,
)
from benchmarks.flow.one_flow import chosen, evidence
from benchmarks.results import recording, say

import redflower
from redflower.api.sample import training_sample
from redflower.catalogue import QualityLimits, default_distance_prior
from redflower.flow import ConditionalFlow, load_model
from redflower.flow.bnaf import BlockAutoregressiveNetwork

BATCH, LEARNING_RATE = 2048, 3e-3
DRAWS = (8, 32, 128)


def fit_to_truth(
    like: ConditionalFlow, size: tuple[int, int], n_stars: int, epochs: int, rng: np.random.Generator
) -> ConditionalFlow:
    """A flow of a depth and block size, standardised as another, fitted to slightly noisy stars at their true distances."""
    x, mu, condition = truth(n_stars, 901)
    data = tuple(jnp.asarray(a, jnp.float32) for a in (with_noise(x, NOISE_MAG, rng), mu, condition))
    old, (depth, block_dim) = like.network, size
    network = BlockAutoregressiveNetwork(
        jax.random.key(5), dim=old.dim, cond_dim=old.cond_shape[0], depth=depth, block_dim=block_dim
    )
    steps = n_stars // BATCH
    optimiser = optax.apply_if_finite(
        optax.chain(
            optax.clip_by_global_norm(5.0),
            optax.adam(optax.cosine_decay_schedule(LEARNING_RATE, epochs * steps, 0.002)),
        ),
        max_consecutive_errors=10,
    )

    def loss(network, x, mu, condition):
        flow = ConditionalFlow(network, like.standardisation).prepared()

        def one(x, mu, condition):
            within = flow.log_mass_between(LIMITS["g_bright_mag"] - mu, LIMITS["g_faint_mag"] - mu, condition)
            return within - flow.log_prob(x, condition)

        return jnp.mean(jax.vmap(one)(x, mu, condition))

    @eqx.filter_jit
    def epoch(network, state, key):
        order = jax.random.permutation(key, n_stars)[: steps * BATCH].reshape(steps, BATCH)
        arrays, static = eqx.partition(network, eqx.is_inexact_array)

        def step(carry, rows):
            arrays, state = carry
            value, gradient = jax.value_and_grad(
                lambda a: loss(eqx.combine(a, static), *(d[rows] for d in data))
            )(arrays)
            updates, state = optimiser.update(gradient, state, arrays)
            return (optax.apply_updates(arrays, updates), state), value

        (arrays, state), values = jax.lax.scan(step, (arrays, state), order)
        return eqx.combine(arrays, static), state, jnp.mean(values)

    state = optimiser.init(eqx.filter(network, eqx.is_inexact_array))
    for number in range(epochs):
        network, state, value = epoch(network, state, jax.random.key(number))
    say(f"ln density of its stars: {-float(value):.3f}")
    return ConditionalFlow(network, like.standardisation)


def main() -> None:
    """Fit, and compare with every model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", default=["mock-sky"])
    parser.add_argument("--stars", type=int, default=400_000)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--test", type=int, default=4000)
    parser.add_argument("--block-dim", type=int, help="of the fitted network; the first model's by default")
    parser.add_argument("--depth", type=int, help="of the fitted network; the first model's by default")
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    flows = {name: load_model(name).flow for name in arguments.models}
    began = time.process_time()
    first = next(iter(flows.values()))
    size = (arguments.depth or first.network.depth, arguments.block_dim or first.network.block_dim)
    best = fit_to_truth(first, size, arguments.stars, arguments.epochs, rng)
    say(f"fitted to {arguments.stars:,} stars in {time.process_time() - began:.0f} processor s")

    x, mu, condition = truth(N_HISTOGRAM, 502)
    edges = tuple(np.quantile(condition[:, k], [1 / 3, 2 / 3]) for k in (0, 1))
    drawn = draw_within_limits(best.prepared(), mu, condition)
    # Its draws have the noise already.
    two_sample_tests(x, drawn, mu, slices(condition, edges), noise_on_draws=False)

    sky = redflower.simulate(arguments.test, seed=62, include_truth=True, **LIMITS)
    table = redflower.prepare(sky, purpose="training", limits=QualityLimits(**LIMITS)).table
    data = training_sample(table, default_distance_prior(), **LIMITS).data
    optical = np.asarray(data.star.observed)[:, :8].all(axis=1)
    distance_pc = np.asarray(table["true_distance"].value)[optical]
    data = chosen(data, optical)
    full = np.asarray(data.star.observed).all(axis=1)
    for name, flow in flows.items():
        say(f"ln evidence of a star under the flow of the truth less that under {name}:")
        for n_draws in DRAWS:
            gain = evidence(best, data, n_draws) - evidence(flow, data, n_draws)
            cells = []
            for low_pc, high_pc in ((0, 1000), (1000, 3000), (3000, np.inf)):
                for label, bands in (("8 bands", ~full), ("11 bands", full)):
                    own = gain[bands & (distance_pc >= low_pc) & (distance_pc < high_pc)]
                    error = own.std() / np.sqrt(len(own))
                    cells.append(
                        f"{low_pc / 1e3:.0f} to {high_pc / 1e3:.0f} kpc, {label} {own.mean():+.3f} +- {error:.3f}"
                    )
            say(f"  K = {n_draws}: {gain.mean():+.3f}; " + "; ".join(cells))


if __name__ == "__main__":
    with recording("truth-flow", seed=901):
        main()
