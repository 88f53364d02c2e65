"""Throughput of the flow's log density and of its gradient, beside flowjax's flows.

flowjax's block neural autoregressive network has the same weights. Its coupling flow and its masked autoregressive flow, with
splines and of about the same number of parameters, are other families: their density costs what it costs, and what each
density is worth after training is another question.
"""

import time

import jax
import jax.numpy as jnp
from benchmarks.results import recording, say
from flowjax.bijections import BlockAutoregressiveNetwork as FlowjaxNetwork
from flowjax.bijections import RationalQuadraticSpline
from flowjax.distributions import Normal
from flowjax.flows import coupling_flow, masked_autoregressive_flow
from paramax import unwrap
from tests.helpers.flowjax_weights import weights_from_flowjax

from redflower.flow.bnaf import dense_forward

N_STARS, N_REPEATS = 8192, 10


def rate(function, *arguments) -> float:
    """Stars per second, the best of several calls."""
    jax.block_until_ready(function(*arguments))
    best = float("inf")
    for _ in range(N_REPEATS):
        start = time.perf_counter()
        jax.block_until_ready(function(*arguments))
        best = min(best, time.perf_counter() - start)
    return N_STARS / best


def main() -> None:
    """Print both rates and their ratios."""
    key = jax.random.key(0)
    network = FlowjaxNetwork(key, dim=11, cond_dim=2, depth=3, block_dim=4)
    weights = weights_from_flowjax(network)
    x = jax.random.normal(key, (N_STARS, 11))
    condition = jax.random.normal(jax.random.key(1), (N_STARS, 2))

    def theirs(x, c):
        u, log_det = unwrap(network).transform_and_log_det(x, c)
        return log_det - 0.5 * jnp.sum(u * u)

    def ours(x, c):
        u, slope = dense_forward(weights, x, c)
        return jnp.sum(jnp.log(slope)) - 0.5 * jnp.sum(u * u)

    others = {
        name: make(
            key, base_dist=Normal(jnp.zeros(11)), cond_dim=2, flow_layers=4, nn_width=32, nn_depth=1,
            transformer=RationalQuadraticSpline(knots=8, interval=4),
        )
        for name, make in (("coupling", coupling_flow), ("MAF", masked_autoregressive_flow))
    }  # fmt: skip
    difference = jnp.max(jnp.abs(jax.vmap(ours)(x, condition) - jax.vmap(theirs)(x, condition)))
    say(f"largest difference of the log densities: {difference:.1e}")
    for name, wrap in (("log density", jax.vmap), ("gradient in x", lambda f: jax.vmap(jax.grad(f)))):
        flowjax_rate, our_rate = (rate(jax.jit(wrap(f)), x, condition) for f in (theirs, ours))
        say(
            f"{name}: redflower {our_rate / 1e6:.2f} M/s, flowjax {flowjax_rate / 1e6:.3f} M/s, "
            f"ratio {our_rate / flowjax_rate:.1f}"
        )
        for other, flow in others.items():
            their_rate = rate(jax.jit(wrap(lambda x, c, f=flow: unwrap(f).log_prob(x, c))), x, condition)
            say(f"  flowjax {other}: {their_rate / 1e6:.3f} M/s, ratio {our_rate / their_rate:.1f}")


if __name__ == "__main__":
    with recording("speed-flow", seed=0):
        main()
