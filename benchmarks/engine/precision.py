"""The shipped flow's log density on the default device against the CPU's, with JAX's default precision and with this package's.

Usage: python -m benchmarks.engine.precision

On a CPU all three agree, and no record is written: a GPU's is in docs/measured/inference.md.
"""

import jax
import numpy as np
from benchmarks.results import recording, say, table

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
    say(f"Device: {jax.devices()[0].device_kind}. Difference of the flow's log density from that on the CPU:")
    rows = table({"precision": "", "median [nat]": ".1e", "99 %": ".1e", "largest": ".1e"})
    for name in ("default", "highest"):
        with jax.default_matmul_precision(name):
            off = np.abs(log_density() - reference)
        rows.row(name, np.median(off), np.quantile(off, 0.99), off.max())


if __name__ == "__main__":
    if jax.default_backend() == "cpu":
        main()  # without a record: there is nothing to compare
    else:
        with recording("precision", seed=9):
            main()
