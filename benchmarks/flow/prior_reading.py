"""What becomes of a flow, and of its posteriors, if a catalogue's distance prior is taken for that of all stars?

    python -m benchmarks.flow.prior_reading PRIOR_TABLE

Four epochs on 14,000 mock stars without dust, from the shipped model, with the prior of Bailer-Jones et al. (2021; the table of
`redflower fetch prior`) read both ways (docs/decisions/0018-which-stars-the-distance-prior-means.md): held-out ln evidence a star
after every epoch; then 1,600 other stars: mean residual of E(B-V), mean sigma and median error of ln distance by apparent G.
"""

import dataclasses
import sys

import numpy as np
from benchmarks.results import recording, say, table

import redflower
from redflower.catalogue import QualityLimits, read_distance_prior
from redflower.flow import load_model
from redflower.posterior import InferenceSettings
from redflower.train import EmulatorConfig, StageConfig, TrainConfig

G_EDGES_MAG = (13.5, 15.0, 16.5, 17.5, 18.3, 19.0)
STAGE = StageConfig(n_draws=8, batch_size=512, max_epochs=4, learning_rate=1e-3, final_rate_fraction=0.05)


def main() -> None:
    base, published = load_model("mock-sky"), read_distance_prior(sys.argv[1])
    limits = QualityLimits(g_faint_mag=base.g_faint_mag)
    training = redflower.simulate(14_000, seed=501, g_faint_mag=base.g_faint_mag)
    others = redflower.simulate(1600, seed=502, g_faint_mag=base.g_faint_mag)
    training = redflower.prepare(training, purpose="training", limits=limits).table
    stars = redflower.prepare(others, purpose="inference", limits=limits).table
    truth = {
        int(i): pair
        for i, *pair in zip(others["source_id"], others["true_ebv"], others["true_distance"], strict=True)
    }
    ebv_mag, distance_pc = np.array(
        [[float(getattr(v, "value", v)) for v in truth[int(i)]] for i in stars["source_id"]]
    ).T
    config = TrainConfig(stages=(STAGE,), emulator=EmulatorConfig(n_steps=0), validation_draws=32)
    for reading, prior in (
        ("as of all stars", dataclasses.replace(published, g_limit_mag=None)),
        ("as of the stars to G = 20.7", published),
    ):
        model, run = redflower.train(
            training, name="reading", config=config, distance_prior=prior, start_from=base
        )
        epochs = ", ".join(f"{epoch.validation_log_evidence:.2f}" for epoch in run.history)
        say(f"The prior {reading}: held-out ln evidence {epochs}")
        # The emulator proposes; posteriors are judged, and where it errs made, by weights of the flow's own density.
        model = dataclasses.replace(model, emulator=base.emulator)
        found = redflower.infer(stars, model, distance_prior=prior, settings=InferenceSettings(hand_on=False))
        usable = redflower.usable_rows(found)
        residual = np.asarray(found["ebv_mean"]) - ebv_mag
        error = np.log(np.asarray(found["distance_mean"]) / distance_pc)
        rows = table(
            {
                "G [mag]": "", "stars": ",", "mean residual of E(B-V) [mag]": "+.4f", "error": ".4f", "mean sigma": ".3f",
                "median error of ln distance": "+.3f", "its error": ".3f",
            }
        )  # fmt: skip
        for low, high in zip(G_EDGES_MAG[:-1], G_EDGES_MAG[1:], strict=True):
            here = usable & (stars["gaia_g"] >= low) & (stars["gaia_g"] < high)
            n = int(here.sum())
            rows.row(
                f"{low} to {high}", n, residual[here].mean(), residual[here].std() / np.sqrt(n),
                np.asarray(found["ebv_std"])[here].mean(), np.median(error[here]), error[here].std() / np.sqrt(n),
            )  # fmt: skip


if __name__ == "__main__":
    with recording("prior-reading", seed=501):
        main()
