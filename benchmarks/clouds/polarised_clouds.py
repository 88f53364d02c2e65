"""Clouds of a sightline by the reddening of its stars, and by their polarisation too: the mock layers of Pelgrims et al. (2023).

    python -m benchmarks.clouds.polarised_clouds [--count 10]

Two clouds at 400 and 1,300 pc polarise 100 stars by up to 2 and 1 % of their light, their fields turned about from star to star
by a turbulent part of a fifth; errors of q and u are 0.1 to 0.6 %. Weaker clouds of the same design are a quarter and a tenth
of that. Reddenings are those of clouds that polarise by all that a cloud can.
"""

import argparse

import numpy as np
from benchmarks.results import recording, say, table
from tests.helpers.polarised_stars import PolarisingCloud, mock_polarisation

from redflower.sightline import DustPrior, cloud_summary, fit_sightline
from redflower.validate.mock_densities import SightlineStars
from redflower.validate.mock_sightlines import mock_sightline

CLOUDS = (PolarisingCloud(400.0, 0.02, 5.0, -15.0), PolarisingCloud(1300.0, 0.01, 15.0, 45.0))
STRENGTHS = (1.0, 0.25, 0.1)
N_STARS = 100
SEED = 1


def clouds_of(strength: float) -> list[PolarisingCloud]:
    """Return the clouds, weakened."""
    return [
        PolarisingCloud(c.distance_pc, strength * c.p_max, c.inclination_deg, c.angle_deg) for c in CLOUDS
    ]


def fits(strength: float, seed: int) -> list[tuple[float, list[dict[str, float]]]]:
    """Fit one mock sightline without and with its polarisation: the probability of both clouds or more, and two clouds."""
    rng, clouds = np.random.default_rng([SEED, seed, int(100 * strength)]), clouds_of(strength)
    behind = [(c.distance_pc, c.p_max / DustPrior().p_per_ebv) for c in clouds]
    mock = mock_sightline(N_STARS, behind, rng, stars=SightlineStars(ambiguous_share=0.0))
    polarisation = mock_polarisation(mock.true_distance_pc, clouds, rng)
    found = []
    for stars in (None, polarisation):
        fit = fit_sightline(
            mock.density, (-0.05, 0.5), np.random.default_rng(seed), max_clouds=2, polarisation=stars, monotone=False
        )  # fmt: skip
        found.append((fit.models[2].probability, cloud_summary(fit.models[2])))
    return found


def main(count: int) -> None:
    """Fit all mock sightlines, and tabulate what is found."""
    say(
        "{count} sightlines of {n_stars} stars for every strength; distances and polarisation are those of the fit of two "
        "clouds. Errors are root mean squares of the difference to the truth in ln distance, and of what the fits state.",
        count=count, n_stars=N_STARS,
    )  # fmt: skip
    rows = table(
        {"polarisation up to [%]": "", "data": "", "probability of two clouds, median": ".3f", "nearer: error": ".3f",
         "stated": ".3f", "farther: error": ".3f", "stated ": ".3f", "both in their 68 %": ".2f", "error of q, u [%]": ".3f",
         "stated  ": ".3f"}
    )  # fmt: skip
    for strength in STRENGTHS:
        clouds = clouds_of(strength)
        truth = np.array([c.mean() for c in clouds])
        name = " and ".join(f"{100 * c.p_max:g}" for c in clouds)
        runs = list(zip(*(fits(strength, seed) for seed in range(1, count + 1)), strict=True))
        for data, run in zip(("reddening", "reddening and polarisation"), runs, strict=True):
            cells: list[float | None] = []
            inside = []
            for k, cloud in enumerate(clouds):
                found = [summary[k] for _, summary in run]
                off = [np.log(c["distance_pc"] / cloud.distance_pc) for c in found]
                cells += [
                    np.sqrt(np.mean(np.square(off))),
                    np.sqrt(np.mean([(c["distance_pc_std"] / c["distance_pc"]) ** 2 for c in found])),
                ]
                inside += [c["distance_pc_q16"] <= cloud.distance_pc <= c["distance_pc_q84"] for c in found]
            cells.append(float(np.mean(inside)))
            if "q" in run[0][1][0]:
                pairs = [(c[s] - truth[k, i], c[f"{s}_std"]) for _, summary in run for k, c in enumerate(summary)
                         for i, s in enumerate("qu")]  # fmt: skip
                cells += list(100 * np.sqrt(np.mean(np.square(pairs), axis=0)))
            else:
                cells += [None, None]
            rows.row(name, data, float(np.median([p for p, _ in run])), *cells)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=10)
    arguments = parser.parse_args()
    with recording("polarised-clouds", seed=SEED):
        main(arguments.count)
