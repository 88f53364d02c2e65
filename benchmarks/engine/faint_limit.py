"""Do stars without dust come out redder near the faint limit of the sample? (docs/explanation/model.md, D12)

    python -m benchmarks.engine.faint_limit [--stars 4000] [--seed 77]

Mock stars without dust in the last magnitude before the shipped model's faint limit, by the fast engine alone: mean of the
posterior means of E(B-V), mean sigma and share of the status `ok`, by how far a star is from the limit. All of them hold the
pull of the prior's lower end, some 0.01 mag; what must not be there is a rise towards the limit.
"""

import argparse

import numpy as np
from benchmarks.results import recording, table

import redflower
from redflower.catalogue import QualityLimits
from redflower.flow import load_model
from redflower.posterior import InferenceSettings

EDGES_MAG = (0.0, 0.02, 0.05, 0.1, 0.15, 0.3, 0.6, 1.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stars", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=77)
    arguments = parser.parse_args()
    model = load_model("mock-sky")
    faint_mag = model.g_faint_mag
    sky = redflower.simulate(
        arguments.stars, seed=arguments.seed, g_bright_mag=faint_mag - 1.0, g_faint_mag=faint_mag
    )
    limits = QualityLimits(g_bright_mag=model.g_bright_mag, g_faint_mag=faint_mag)
    stars = redflower.prepare(sky, purpose="inference", limits=limits).table
    found = redflower.infer(stars, model, settings=InferenceSettings(hand_on=False))
    below_mag = faint_mag - np.asarray(stars["gaia_g"])
    ebv_mag, sigma_mag = (np.asarray(found[name]) for name in ("ebv_mean", "ebv_std"))
    is_ok = np.asarray(found["status"]).astype(str) == "ok"
    rows = table(
        {
            "distance from the limit [mag]": "", "stars": ",", "mean E(B-V) [mag]": "+.3f", "error": ".3f", "mean sigma": ".3f",
            "share `ok`": ".2f",
        }
    )  # fmt: skip
    for low, high in zip(EDGES_MAG[:-1], EDGES_MAG[1:], strict=True):
        here = np.isfinite(ebv_mag) & (below_mag >= low) & (below_mag < high)
        values = ebv_mag[here]
        rows.row(
            f"{low:.2f} to {high:.2f}", len(values), values.mean(), values.std() / np.sqrt(len(values)),
            sigma_mag[here].mean(), is_ok[here].mean(),
        )  # fmt: skip


if __name__ == "__main__":
    with recording("faint-limit", seed=77):
        main()
