"""Where the fast engine's milliseconds go, how often the host hands work to the device, and how much of it is padding.

Usage: python -m benchmarks.engine.steps [--stars 4000] [--model mock-sky]

Stars of the mock sky behind two clouds, in this process on one core. Times are its CPU time, without compilation; a step's time
includes the wait for its results. Then the same stars with other settings, to see what each buys; and what ideas that were
not followed could save at most.
"""

import argparse
import dataclasses
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import wraps
from typing import Any
from unittest.mock import patch

if hasattr(os, "sched_setaffinity") and not os.path.exists("/dev/nvidia0"):
    # Before JAX counts the cores: threads that wait for each other would count as work.
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from benchmarks.results import recording, say, table
from benchmarks.speed.engine import sample

from redflower.flow.emulator import Noise
from redflower.flow.model import Model
from redflower.posterior import FastSettings, InferenceSettings, infer_stars
from redflower.posterior.batches import map_stars
from redflower.posterior.fast import rounds, run, steps
from redflower.posterior.fast.grid import (
    COARSE_EBV_NODES,
    COARSE_MODULUS_NODES,
    Box,
    FastTarget,
    bounding_box,
    log_grid,
    uniform_axes,
    whole_box,
)
from redflower.posterior.fast.steps import make_fast_target
from redflower.posterior.log_density import make_target
from redflower.posterior.nuts import run as nuts_run
from redflower.posterior.status import FAST, IMPORTANCE, NUTS
from redflower.star import Star

#: Module, function, position of the number of stars wanted among its arguments, and how many stars a group has of those that
#: a CPU computes or skips together.
STEPS = {
    "first look": (run, "quadrature_batch", 5, steps.QUADRATURE_AT_ONCE),
    "second look": (run, "second_look_batch", 6, steps.QUADRATURE_AT_ONCE),
    "rounds of weights": (rounds, "refined_batch", 6, steps.REFINED_AT_ONCE),
}
VARIANTS: dict[str, dict[str, Any]] = {
    "default": {},
    "twice the nodes at both looks": {"check_nodes": 48, "second_nodes": 128},
    "errors of 0.05 sigma": {"max_error": 0.05, "min_refine_ess": 400.0},
}


@dataclass
class Tally:
    """What was asked of a step: calls of the device, stars that were wanted and computed, seconds."""

    calls: int = 0
    wanted: int = 0
    computed: int = 0
    seconds: float = 0.0


def tallied(function: Callable[..., Any], tally: Tally, position: int, group: int) -> Callable[..., Any]:
    """Return a step that counts."""

    @wraps(function)  # with what reads it ahead
    def counted(*arguments: Any) -> Any:
        began = time.process_time()
        found = jax.block_until_ready(function(*arguments))
        tally.seconds += time.process_time() - began
        wanted, size = int(arguments[position]), len(jax.tree.leaves(arguments[1])[0])
        tally.calls += 1
        tally.wanted += wanted
        on_cpu = jax.default_backend() == "cpu"
        tally.computed += min(-(-wanted // group) * group, size) if on_cpu else size
        return found

    return counted


def measured(
    model: Model, stars: Star, ids: np.ndarray, settings: InferenceSettings
) -> tuple[float, dict[str, Tally], dict[str, np.ndarray]]:
    """Infer stars; return core-milliseconds a star, what was asked of each step, and the columns."""
    for n, compiled in ((256, settings), (4, dataclasses.replace(settings, engine="nuts"))):
        infer_stars(model, jax.tree.map(lambda a: a[:n], stars), ids[:n], compiled)  # noqa: B023
    tallies = {name: Tally() for name in (*STEPS, "chains")}
    chains = tallies["chains"]

    def counted_batches(rows: np.ndarray, size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for batch, padded in nuts_run_batches(rows, size):
            chains.calls += 1
            chains.wanted += len(batch)
            chains.computed += len(padded)
            began = time.process_time()
            yield batch, padded
            chains.seconds += time.process_time() - began

    nuts_run_batches = nuts_run.batches
    with ExitStack() as stack:
        for name, (module, attribute, position, group) in STEPS.items():
            step = tallied(getattr(module, attribute), tallies[name], position, group)
            stack.enter_context(patch.object(module, attribute, step))
        stack.enter_context(patch.object(nuts_run, "batches", counted_batches))
        began = time.process_time()
        columns = infer_stars(model, stars, ids, settings)
        total_ms = 1e3 * (time.process_time() - began) / len(ids)
    return total_ms, tallies, columns


def coarse_ms(model: Model, stars: Star, settings: InferenceSettings) -> float:
    """Return what the coarse grid alone takes of the first look, the box that it finds included. [core-ms a star]"""
    fast = make_fast_target(
        model, make_target(model, ebv_min_mag=settings.ebv_min_mag, ebv_max_mag=settings.ebv_max_mag)
    )

    @eqx.filter_jit
    def boxes(fast: FastTarget, stars: Star, noise: Noise) -> Box:
        def one(star: Star, noise: Noise) -> Box:
            axes = uniform_axes(whole_box(fast, star), COARSE_MODULUS_NODES, COARSE_EBV_NODES)
            return bounding_box(log_grid(fast, star, noise, *axes))

        return map_stars(one, stars, noise, at_once=steps.QUADRATURE_AT_ONCE)

    size, seconds = settings.fast_batch_size, []
    for start in range(0, len(stars.parallax_mas) - size + 1, size):
        part = jax.tree.map(lambda a: jnp.asarray(a[start : start + size]), stars)  # noqa: B023
        noise = jax.tree.map(jnp.asarray, steps.noise_inputs(fast.emulator, part))
        began = time.process_time()
        jax.block_until_ready(boxes(fast, part, noise))
        seconds.append(time.process_time() - began)
    return 1e3 * float(np.mean(seconds[1:])) / size  # the first one compiled


def say_bounds(model: Model, stars: Star, tallies: dict[str, Tally], n_rounds_stars: int) -> None:
    """Say what ideas that were not followed could save at most, by what the steps take now."""
    n = len(stars.parallax_mas)
    ms = {name: 1e3 * tally.seconds / n for name, tally in tallies.items()}
    rounds_of = tallies["rounds of weights"]
    further = 1.0 - n_rounds_stars / max(rounds_of.wanted, 1)
    say(
        "What ideas that were not followed could save at most, if they cost nothing: the time of what they would take the "
        "place of.",
    )
    lines = table({"idea": "", "in place of": "", "core-ms a star at most": ".2f"})
    lines.row(
        "a network that proposes the box",
        "the coarse grid of the first look",
        coarse_ms(model, stars, InferenceSettings()),
    )
    lines.row("a mixture fitted to the first round of weights", "all rounds of a star after its first",
              further * ms["rounds of weights"])  # fmt: skip
    lines.row("longer distillation, until no star needs a second look", "second look, rounds of weights, chains",
              ms["second look"] + ms["rounds of weights"] + ms["chains"])  # fmt: skip


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stars", type=int, default=4000)
    parser.add_argument("--model", default="mock-sky")
    arguments = parser.parse_args()
    n = arguments.stars
    model, stars, ids = sample(3 * n, arguments.model)
    stars, ids = jax.tree.map(lambda a: a[:n], stars), ids[:n]
    runs = {}
    for name, changes in VARIANTS.items():
        runs[name] = measured(model, stars, ids, InferenceSettings(fast=FastSettings(**changes)))
    total_ms, tallies, _ = runs["default"]
    say(
        "{n} stars of the mock sky behind two clouds. A call is one program on the device and one copy back to the host. On a "
        "CPU, groups of padding are skipped: computed is what is left of it.",
        n=len(ids),
    )
    lines = table(
        {
            "step": "", "calls": ",", "stars wanted": ",", "stars computed": ",", "padding [%]": ".0f",
            "core-ms a star of all": ".2f",
        }
    )  # fmt: skip
    for name, tally in tallies.items():
        padding = 100.0 * (1.0 - tally.wanted / max(tally.computed, 1)) if tally.computed else 0.0
        ms = 1e3 * tally.seconds / len(ids)
        lines.row(name, tally.calls, tally.wanted, tally.computed, padding, ms)
    rest = total_ms - sum(1e3 * tally.seconds / len(ids) for tally in tallies.values())
    lines.row("the host's work", 0, 0, 0, 0.0, rest)
    lines.row("all", sum(t.calls for t in tallies.values()), len(ids), 0, 0.0, total_ms)
    say("The same stars with other settings:")
    lines = table(
        {
            "settings": "", "core-ms a star": ".2f", "first look [%]": ".1f", "second look [%]": ".1f",
            "importance weights [%]": ".1f", "chains [%]": ".2f",
        }
    )  # fmt: skip
    for name, (ms, of_steps, columns) in runs.items():
        by_fast, by_weights, by_chains = (
            100.0 * np.mean(columns["engine"] == engine) for engine in (FAST, IMPORTANCE, NUTS)
        )
        first = 100.0 * (1.0 - of_steps["second look"].wanted / len(ids))
        lines.row(name, ms, first, by_fast - first, by_weights, by_chains)
    columns = runs["default"][2]
    say_bounds(model, stars, tallies, int(np.isin(columns["engine"], (IMPORTANCE, NUTS)).sum()))


if __name__ == "__main__":
    with recording("engine-steps", seed=8):
        main()
