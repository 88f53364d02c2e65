"""One two-cloud sightline of the mock sky, from stars to clouds: simulate, prepare, infer, sightline.

    python -m benchmarks.clouds.mock_sightline [--stars 600] [--seed 1]

The clouds are at 370 pc with 0.12 mag and at 1,500 pc with 0.04 mag. The flow was trained on the same mock sky.
"""

import argparse
import time

from benchmarks.results import recording, say, table

import redflower
from redflower.posterior import InferenceSettings
from redflower.products.words_clouds import clouds_sentence

CLOUDS = ((370.0, 0.12), (1500.0, 0.04))


def main(n_stars: int, seed: int) -> None:
    """Simulate, infer and fit."""
    sky = redflower.simulate(
        n_stars, seed=seed, preset="two-cloud", g_faint_mag=19.0, clouds=[list(cloud) for cloud in CLOUDS]
    )
    stars = redflower.prepare(sky, purpose="inference").table
    posteriors = redflower.infer(stars, "mock-sky", settings=InferenceSettings(density=True))
    began = time.process_time()
    result = redflower.sightline(posteriors)
    spent = time.process_time() - began
    say(f"{clouds_sentence(result.summary)} The fit took {spent:.0f} s of processor time.")
    rows = table({"number of clouds": "d", "probability": ".3f"})
    for model in result.fit.models:
        rows.row(model.n_clouds, model.probability)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stars", type=int, default=600)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with recording("mock-sightline", seed=arguments.seed):
        main(arguments.stars, arguments.seed)
