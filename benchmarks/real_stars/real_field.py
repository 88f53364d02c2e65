"""The shipped flow, corrected by the real stars of M67's field: by all of them, by each half, and by those not of the cluster.

Usage: python -m benchmarks.real_stars.real_field PATH/m67_gaiadr2_ps1_2mass.fits OUT

Writes a model for each into the folder OUT, for `real_sightlines.py PART DATA --model FILE`: what the choice of stars changes
in a sightline is what such a correction leaves uncertain. A minute or two each, on one core; without emulators, so that NUTS
infers (the fast engine's is made by `redflower train`, docs/measured/real-sightlines.md).
"""

import sys
from pathlib import Path

import numpy as np
from benchmarks.real_stars.m67 import FINE_TUNE, MEMBERSHIP_MIN, field
from benchmarks.results import recording, say

import redflower
from redflower.train import EmulatorConfig, read_config


def main() -> None:
    """Train and write."""
    table, out = sys.argv[1], Path(sys.argv[2])
    out.mkdir(parents=True, exist_ok=True)
    stars = field(table).table
    order = np.random.default_rng(0).permutation(len(stars))
    half = np.zeros(len(stars), dtype=bool)
    half[order[: len(stars) // 2]] = True
    member = np.asarray(stars["membership_probability"]) > MEMBERSHIP_MIN
    config = read_config(FINE_TUNE).model_copy(update={"emulator": EmulatorConfig(n_steps=0)})
    for name, rows in (
        ("all", np.ones(len(stars), dtype=bool)),
        ("first-half", half),
        ("second-half", ~half),
        ("not-members", ~member),
    ):
        model, run = redflower.train(
            stars[rows],
            name=name,
            config=config,
            start_from=redflower.load_model("mock-sky"),
            keep_coverage=True,
        )
        redflower.save_model(model, out / f"{name}.safetensors")
        say(
            f"{name}: {rows.sum()} stars, held-out ln evidence {run.history[0].validation_log_evidence:.2f} after the first "
            f"epoch, {run.validation_log_evidence:.2f} at best",
        )


if __name__ == "__main__":
    with recording("real-field"):
        main()
