"""The shipped flow's log density on the default device against the CPU's, with JAX's default precision and with this package's.

Usage: python -m benchmarks.engine.precision

On a CPU all three agree; `docs/decisions/0012-full-precision-on-gpus.md` quotes a GPU.
"""

import jax
import numpy as np

import redflower
from redflower.bands import BANDS
from redflower.flow import load_model

N_STARS = 4_000
LIMITS = {"g_bright_mag": 13.5, "g_faint_mag": 19.0}


def main() -> None:
    """Print the differences."""
    sky = redflower.simulate(N_STARS, seed=9, include_truth=True, **LIMITS)
    x = np.stack([np.asarray(sky[f"true_x_{band.label}"].value) for band in BANDS], axis=1)
    x = x.astype(np.float32)
    condition = np.tile(np.float32([3.9, 2.8]), (len(x), 1))

    def log_density() -> np.ndarray:
        flow = load_model("mock-sky").flow.prepared()
        return np.asarray(jax.jit(jax.vmap(flow.log_prob))(x, condition))

    with jax.default_device(jax.devices("cpu")[0]):
        reference = log_density()
    print(f"device: {jax.devices()[0].device_kind}, JAX {jax.__version__}")
    for name in ("default", "highest"):
        with jax.default_matmul_precision(name):
            off = np.abs(log_density() - reference)
        print(
            f"{name}: median {np.median(off):.1e}, 99 % {np.quantile(off, 0.99):.1e}, largest {off.max():.1e} nat"
        )


if __name__ == "__main__":
    main()
