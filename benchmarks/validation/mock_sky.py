"""Synthetic reddening of mock stars that the shipped model has not seen: section 5.1 of the paper.

    python -m benchmarks.validation.mock_sky [--stars 1000] [--model mock-sky]

Stars with G < 18.3, so that most stay in the sample behind 0.4 mag. About two minutes on two cores.
"""

import argparse

import numpy as np
from benchmarks.results import recording, say, table

import redflower

SEED = 91


def main(n_stars: int, model: str) -> None:
    """Infer every trial and score it."""
    sky = redflower.simulate(3 * n_stars, seed=SEED, preset="high-latitude", g_faint_mag=18.3, clouds=[])
    stars = redflower.prepare(sky, purpose="inference").table
    trials, _ = redflower.validate(stars, model, n_stars=n_stars)
    say(f"{n_stars:,} stars with G < 18.3, {len(trials):,} posteriors. Usable stars:")
    lines = table(
        {
            "bands": "d", "E(B-V) added": "", "posteriors": ",", "mean residual [mag]": "+.3f", "median": "+.3f",
            "mean sigma": ".3f", "z mean": "+.2f", "z std": ".2f", "inside 68 %": ".2f", "inside 90 %": ".2f",
        }
    )  # fmt: skip
    usable = np.asarray(trials["usable"]).astype(bool)
    trial = np.asarray(trials["trial"]).astype(str)
    for n_bands in np.unique(np.asarray(trials["n_bands"])):
        of_bands = usable & (np.asarray(trials["n_bands"]) == n_bands)
        for name in np.unique(trial):
            rows = trials[of_bands & (trial == name)]
            lines.row(n_bands, name, *figures(rows))


def figures(rows) -> tuple[float, ...]:
    """Return the figures of a row of the table."""
    residual = np.asarray(rows["ebv_mean"]) - np.asarray(rows["true_ebv"])
    sigma = np.asarray(rows["ebv_std"])
    z = residual / sigma
    inside = [
        np.mean((rows["ebv_" + low] <= rows["true_ebv"]) & (rows["true_ebv"] <= rows["ebv_" + high]))
        for low, high in (("q16", "q84"), ("q05", "q95"))
    ]
    return len(rows), residual.mean(), np.median(residual), sigma.mean(), z.mean(), z.std(), *inside


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stars", type=int, default=1000)
    parser.add_argument("--model", default="mock-sky")
    arguments = parser.parse_args()
    with recording("validation", seed=SEED):
        main(arguments.stars, arguments.model)
