"""Small triangular matrices in compiled programs: the numbers of LAPACK without its calls."""

import re
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import redflower
from redflower.triangular import inverse_of_lower, lower_root, solve_lower, solve_upper

N_MANY, N = 50, 9


@pytest.fixture(scope="module")
def many() -> np.ndarray:
    """Positive definite matrices."""
    some = np.random.default_rng(1).standard_normal((N_MANY, N, 2 * N))
    return (some @ some.swapaxes(1, 2)).astype(np.float32)


def test_roots_inverses_and_solutions_are_those_of_lapack(many: np.ndarray) -> None:
    root = np.linalg.cholesky(many.astype(float))
    values = np.random.default_rng(2).standard_normal((N_MANY, N)).astype(np.float32)
    np.testing.assert_allclose(jax.jit(lower_root)(many), root, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(jax.jit(inverse_of_lower)(root), np.linalg.inv(root), atol=1e-4)
    np.testing.assert_allclose(
        jax.jit(solve_lower)(root, values), np.linalg.solve(root, values[:, :, None])[:, :, 0], atol=1e-4
    )
    np.testing.assert_allclose(
        jax.jit(inverse_of_lower)(root) @ root, np.broadcast_to(np.eye(N), root.shape), atol=1e-4
    )
    upper = root.swapaxes(1, 2)
    np.testing.assert_allclose(
        jax.jit(solve_upper)(upper, values), np.linalg.solve(upper, values[:, :, None])[:, :, 0], atol=1e-4
    )
    np.testing.assert_array_equal(np.triu(np.asarray(lower_root(many)), 1), 0.0)
    # One at a time is the same as all at once.
    np.testing.assert_allclose(jax.vmap(lower_root)(many), lower_root(many), rtol=1e-6)


def test_a_matrix_that_is_not_positive_gets_the_least_pivot() -> None:
    lower = lower_root(jnp.diag(jnp.array([4.0, -1.0, 0.1])), 0.25)
    np.testing.assert_allclose(lower, np.diag([2.0, 0.5, 0.5]), atol=1e-6)


def test_gradients_are_those_of_lapack(many: np.ndarray) -> None:
    def through(root: object, inverse: object) -> np.ndarray:
        value = lambda m: jnp.sum(jnp.sin(inverse(root(m @ m.T))))  # noqa: E731
        return np.asarray(jax.grad(value)(jnp.asarray(many[0]) / 10.0))

    np.testing.assert_allclose(
        through(lower_root, inverse_of_lower),
        through(jnp.linalg.cholesky, jnp.linalg.inv),
        rtol=2e-3,
        atol=2e-3,
    )


ENDS = """
import threading
import jax, jax.numpy as jnp
from redflower.triangular import inverse_of_lower, lower_root, solve_upper

@jax.jit
def work(matrix, values):
    inverse = inverse_of_lower(lower_root(matrix))
    return solve_upper(jnp.swapaxes(inverse, 1, 2), values).sum()

n = 4096
matrix, values = jnp.eye(10) + jnp.ones((n, 10, 10)), jnp.ones((n, 10))
work(matrix, values).block_until_ready()
threads = [threading.Thread(target=lambda: [work(matrix, values).block_until_ready() for _ in range(20)]) for _ in range(2)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print("ended")
"""


def test_two_programs_at_once_come_to_an_end() -> None:
    """Two with LAPACK's calls in them wait for each other: chains of `field` once did so for ever."""
    done = subprocess.run([sys.executable, "-c", ENDS], capture_output=True, text=True, timeout=120)
    assert done.stdout == "ended\n", done.stderr


def test_no_program_calls_lapack() -> None:
    calls = r"jnp\.linalg\.(?!norm)|jax\.scipy\.linalg|jax\.numpy\.linalg|lax\.linalg"
    found = [
        f"{path.name}:{number}: {line.strip()}"
        for path in Path(redflower.__file__).parent.rglob("*.py")
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if re.search(calls, line)
    ]
    assert not found, "use redflower.triangular: " + "; ".join(found)
