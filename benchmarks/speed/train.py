"""Cost of a training step, and flow evaluations to a given held-out evidence: the paper's recipe and this project's.

Usage: python -m benchmarks.speed.train [--stars 20000] [--paper-epochs 60] [--no-step-cost]

A flow evaluation is one density with its gradient. The paper's recipe (batches of 8192, 32 draws, learning rate 1e-3, Gaussian
distances, no contrastive term) runs for a number of epochs; then the first stage of `configs/laptop.toml` runs, whose held-out
evidence is measured with the same draws. On a sample so much smaller than the paper's, its batches make few steps: what is
compared is what a number of flow evaluations buys, not where either would end. On a GPU the same program runs there.
"""

import argparse
import time
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from benchmarks.results import recording, say

import redflower
from redflower.api.sample import training_sample
from redflower.catalogue import QualityLimits, default_distance_prior
from redflower.physics import Zhang23Law
from redflower.train import StageConfig, TrainConfig, read_config, train_flow
from redflower.train.batches import gather_rows
from redflower.train.loss.objective import Objective, make_step, stage_optimiser
from redflower.train.start import initial_flow

LIMITS = {"g_bright_mag": 13.5, "g_faint_mag": 19.0}
#: Epochs after which a line is printed.
REPORTED = (1, 2, 5, 10, 20, 50, 100, 200, 400)
CONFIGS = Path(__file__).parents[2] / "configs"


def seconds(function, *arguments, repeats: int = 10) -> float:
    """The best of several calls."""
    jax.block_until_ready(function(*arguments))
    best = float("inf")
    for _ in range(repeats):
        began = time.perf_counter()
        jax.block_until_ready(function(*arguments))
        best = min(best, time.perf_counter() - began)
    return best


def step_cost(data, config: TrainConfig) -> None:
    """A whole step per star over its K flow evaluations, gradients included."""
    flow = initial_flow(config, 11, data)
    objective = Objective(config=config, law=Zhang23Law(), **LIMITS)
    for n_draws, magnitudes, batch in ((4, "likelihood", 256), (32, "likelihood", 1024), (8, "adapted", 512)):
        stage = StageConfig(n_draws=n_draws, magnitudes=magnitudes, batch_size=batch)
        optimiser = stage_optimiser(stage)
        state = optimiser.init(eqx.filter(flow.network, eqx.is_inexact_array))
        step = make_step(objective, optimiser, stage, contrast=False)
        rows = np.arange(batch)
        groups = ((False, gather_rows(data, rows), jnp.asarray(rows, jnp.uint32), jnp.ones(batch)),)
        whole = seconds(
            lambda s=step, o=state, g=groups: s(
                flow, o, jnp.float32(1e-3), jnp.float32(0), jnp.float32(0), jnp.uint32(2), g
            )[2]
        )
        x = jax.random.normal(jax.random.key(0), (batch * n_draws, 11))
        condition = jax.random.normal(jax.random.key(1), (batch * n_draws, 2))

        @eqx.filter_jit
        def evaluations(network, x, condition):
            def total(network):
                prepared = eqx.tree_at(lambda f: f.network, flow, network).prepared()
                return jnp.sum(jax.vmap(prepared.log_prob)(x, condition))

            return eqx.filter_grad(total)(network)

        bare = seconds(lambda e=evaluations, x=x, c=condition: jax.tree.leaves(e(flow.network, x, c)))
        say(f"step of {batch} stars, K = {n_draws}, {magnitudes}: {whole / batch * 1e6:.1f} us a star, "
              f"{whole / bare:.2f} times its {n_draws} flow evaluations with gradients")  # fmt: skip


def run(data, config: TrainConfig) -> tuple[list[tuple[int, float]], float]:
    """(flow evaluations, held-out evidence) after every epoch; processor seconds."""
    n_training = round(len(data.star.parallax_mas) * (1 - config.validation_fraction))
    trace: list[tuple[int, float]] = []

    def note(epoch) -> None:
        stage = config.stages[epoch.stage]
        batch = min(stage.batch_size, n_training)
        done = trace[-1][0] if trace else 0
        trace.append((done + n_training // batch * batch * stage.n_draws, epoch.validation_log_evidence))
        if len(trace) in REPORTED:
            say(f"  epoch {len(trace)}: {trace[-1][0]:,} evaluations, {trace[-1][1]:.3f}")

    began = time.process_time()
    train_flow(data, config, n_bands=11, progress=note, **LIMITS)
    return trace, time.process_time() - began


def main() -> None:
    """Print both parts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stars", type=int, default=20_000)
    parser.add_argument("--paper-epochs", type=int, default=60)
    parser.add_argument("--no-step-cost", action="store_true")
    arguments = parser.parse_args()
    say(f"device: {jax.devices()[0].device_kind}")
    sky = redflower.simulate(arguments.stars, seed=41, **LIMITS)
    table = redflower.prepare(sky, purpose="training", limits=QualityLimits(**LIMITS)).table
    data = training_sample(table, default_distance_prior(), **LIMITS).data
    laptop, paper = (read_config(CONFIGS / f"{name}.toml") for name in ("laptop", "paper"))
    if not arguments.no_step_cost:
        step_cost(data, laptop)
    # One yardstick for both: plain draws at posterior distances would favour ours, Gaussian ones the paper's; a star's
    # evidence is the same, so the paper's own is used for both.
    yardstick = {
        "proposal": "gaussian",
        "magnitudes": "likelihood",
        "validation_draws": 32,
        "integrate_gaps": False,
    }
    stage = paper.stages[0].model_copy(
        update={"max_epochs": arguments.paper_epochs, "patience": arguments.paper_epochs}
    )
    no_contrast = paper.contrast.model_copy(update={"strength": 0.0})
    theirs = paper.model_copy(update={**yardstick, "stages": (stage,), "contrast": no_contrast})
    trace, spent = run(data, theirs)
    evaluations, reached = trace[-1][0], max(value for _, value in trace)
    say(
        f"the paper's recipe: held-out ln evidence {reached:.3f} after {evaluations:,} flow evaluations, {spent:.0f} processor s"
    )
    trace, spent = run(data, laptop.model_copy(update={**yardstick, "stages": laptop.stages[:1]}))
    first = next(((done, value) for done, value in trace if value >= reached), None)
    if first is None:
        say(f"configs/laptop.toml does not reach that in {trace[-1][0]:,}")
    else:
        say(
            f"configs/laptop.toml passes that within {first[0]:,}, at {first[1]:.3f}: {evaluations / first[0]:.0f} times fewer"
        )
    say(
        f"and is at {trace[-1][1]:.3f} after {trace[-1][0]:,}, {trace[-1][0] / evaluations:.3f} of them; {spent:.0f} processor s"
    )


if __name__ == "__main__":
    with recording("speed-train", seed=41):
        main()
