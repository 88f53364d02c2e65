"""What the shipped models are, and the held-out evidence of each on stars of its own sky that it has not seen.

Usage: python -m benchmarks.flow.shipped_models [--stars 4096] [--draws 64 512]

The stars are simulated here, without dust, in the population and within the limits of the model's training. How the training
went (stages, stars, what it began from) is read from the model files.
"""

import argparse

import jax
import numpy as np
from benchmarks.model_surveys import further_surveys
from benchmarks.results import recording, say, table

import redflower
from redflower.api.sample import training_sample
from redflower.catalogue import QualityLimits, default_distance_prior
from redflower.flow import Model, load_model
from redflower.train import TrainConfig
from redflower.train.batches import rows_with_gaps
from redflower.train.loss.objective import Objective
from redflower.train.measure import make_measure

SEED = 61
#: The population of every shipped model, and of its distance prior.
POPULATIONS = {"mock-sky": "mock", "archive-sky": "sky", "archive-sky-wise": "sky"}


def main() -> None:
    """Measure every shipped model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stars", type=int, default=4096)
    parser.add_argument("--draws", type=int, nargs="+", default=[64, 512])
    arguments = parser.parse_args()
    with recording("shipped-models", seed=SEED):
        say(
            f"{arguments.stars:,} stars that no model has seen; ln evidence by adapted draws. Evidences of models "
            "with other bands are not to be compared: they are densities of other magnitudes."
        )
        rows = table(
            {
                "model": "", "training stars": ",", "epochs of its last run": ",", "weights of the flow": ",", "draws": ",",
                "ln evidence [nat a star]": ".3f", "error": ".3f",
            }
        )  # fmt: skip
        for name, population in POPULATIONS.items():
            model = load_model(name)
            provenance = model.provenance
            weights = sum(np.size(leaf) for leaf in jax.tree.leaves(model.flow.network))
            for draws in arguments.draws:
                evidence = held_out(model, population, arguments.stars, draws)
                rows.row(
                    name, provenance["stars"], provenance["epochs"], weights, draws, evidence.mean(),
                    evidence.std() / np.sqrt(len(evidence)),
                )  # fmt: skip


def held_out(model: Model, population: str, n_stars: int, n_draws: int) -> np.ndarray:
    """Return the ln evidence of stars of a sky of their own. [nat]"""
    limits = {"g_bright_mag": model.g_bright_mag, "g_faint_mag": model.g_faint_mag}
    sky = redflower.simulate(
        round(1.5 * n_stars), seed=SEED, population=population, surveys=further_surveys(model), **limits
    )
    stars = redflower.prepare(sky, purpose="training", limits=QualityLimits(**limits)).table[:n_stars]
    prior = default_distance_prior(population)
    sample = training_sample(stars, prior, bands=model.star_bands, **limits).data
    objective = Objective(
        config=TrainConfig(), law=model.law, prior_limit_mag=prior.g_limit_mag, selection=model.selection, **limits
    )  # fmt: skip
    gaps = rows_with_gaps(sample, model.flow.n_bands)
    measure = make_measure(objective, sample, gaps, n_draws, "adapted")
    return np.asarray(measure(model.flow, np.arange(len(sample.star.parallax_mas)), 1)[0], dtype=float)


if __name__ == "__main__":
    main()
