"""Matrix products keep float32 on every device: JAX's own default rounds their input to ten bits on a GPU."""

import subprocess
import sys

import jax
import jax.numpy as jnp

from redflower.flow import load_model
from redflower.flow.bnaf import BlockAutoregressiveNetwork
from redflower.flow.conditional import ConditionalFlow


def products(lowered: str) -> list[str]:
    """Lines of matrix products in a lowered program."""
    return [line for line in lowered.splitlines() if "stablehlo.dot_general" in line]


def test_every_matrix_product_of_the_flow_asks_for_full_precision() -> None:
    flow: ConditionalFlow = load_model("mock-sky").flow
    assert isinstance(flow.network, BlockAutoregressiveNetwork)
    prepared = flow.prepared()
    text = (
        jax.jit(jax.vmap(jax.grad(prepared.log_prob))).lower(jnp.zeros((4, 11)), jnp.zeros((4, 2))).as_text()
    )
    lines = products(text)
    assert len(lines) >= 8
    assert all("precision = [HIGHEST, HIGHEST]" in line for line in lines)


def test_a_precision_of_the_users_own_is_kept() -> None:
    code = (
        "import jax; jax.config.update('jax_default_matmul_precision', 'high'); import redflower; "
        "print(jax.config.jax_default_matmul_precision)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "high"
