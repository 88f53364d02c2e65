"""Are odds and intervals of clouds calibrated? Sightlines drawn from the fit's own prior, fitted, and ranked.

    python -m benchmarks.clouds.sightline_ranks [--count 1000] [--workers 2] [--out FILE] [--summary]

0 to 3 clouds in turn, 100 to 500 stars. If the fit is calibrated, the true distances and reddenings of clouds have uniform ranks
among its draws (Talts et al. 2018, arXiv:1804.06788), the odds are kept, and intervals of the profile hold their share.
Sightlines with more than 0.35 mag are not simulated, which the stars' reddening prior would cut; ranks and odds are exactly
those of the prior without them. Every sightline is one line of JSON in the output file; one that is there is not fitted again.
"""

import os
import time
from dataclasses import fields, replace
from functools import cache

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np  # noqa: E402
from benchmarks.clouds.sightline_calibration import (  # noqa: E402
    EBV_RANGE_MAG,
    MAX_CLOUDS,
    PRIOR,
    TOTAL_MAX_MAG,
    cases,
    share_kept,
)
from benchmarks.numbered_runs import numbered_benchmark  # noqa: E402
from benchmarks.results import say, table  # noqa: E402

from redflower.sightline import Dust, SightlineFit, fit_sightline  # noqa: E402
from redflower.sightline.result import INTERVALS, percent_of  # noqa: E402
from redflower.validate.mock_densities import SightlineStars  # noqa: E402
from redflower.validate.mock_sightlines import mock_sightline  # noqa: E402
from redflower.validate.ranks import uniformity  # noqa: E402

SEED = 28
MOST_STARS = 500
NODES_PC = np.array([400.0, 700.0, 1200.0, 2500.0])
#: Intervals of the profile that are compared: their names, and what they are for each share.
KINDS = {
    "between quantiles": ("q16", "q84", "q05", "q95"),
    "shortest": ("low68", "high68", "low90", "high90", "low95", "high95"),
}


def without_much_dust(fit: SightlineFit) -> SightlineFit:
    """Return the fit under a prior without the sightlines that are not simulated."""
    models = []
    for model in fit.models:
        kept = model.draws.ebv_mag.sum(axis=1) < TOTAL_MAX_MAG
        values = {f.name: getattr(model.draws, f.name) for f in fields(Dust)}
        chosen = {name: value[kept] for name, value in values.items() if isinstance(value, np.ndarray)}
        share = model.probability * kept.mean() / _share_kept(model.n_clouds)
        models.append(replace(model, draws=replace(model.draws, **chosen), probability=share))
    total = sum(model.probability for model in models)
    return replace(
        fit, models=tuple(replace(m, probability=m.probability / total) for m in models if m.probability > 0)
    )


_share_kept = cache(share_kept)


def one(k: int) -> dict:
    """Draw, simulate and fit sightline k."""
    rng = np.random.default_rng([SEED, k])
    _, _, clouds, keywords = next(cases("prior", PRIOR, 1, rng, only_clouds=k % (MAX_CLOUDS + 1)))
    n_stars = int(np.exp(rng.uniform(np.log(100.0), np.log(MOST_STARS))))
    mock = mock_sightline(n_stars, clouds, rng, stars=SightlineStars(), **keywords)
    began = time.process_time()
    fit = fit_sightline(mock.density, EBV_RANGE_MAG, rng, max_clouds=MAX_CLOUDS, prior=PRIOR, monotone=False)
    seconds = time.process_time() - began
    fit = without_much_dust(fit)
    probability = np.zeros(MAX_CLOUDS + 1)
    for model in fit.models:
        probability[model.n_clouds] = model.probability
    record = {
        "k": k,
        "n_stars": n_stars,
        "clouds": clouds,
        "seconds": seconds,
        "probability": probability.tolist(),
    }
    # Under the model with the true number of clouds.
    draws = next(m.draws for m in fit.models if m.n_clouds == len(clouds))
    ordered = sorted(clouds)
    record["distance"] = [
        float(np.mean(10 ** (1 + draws.modulus_mag[:, c] / 5) < d)) for c, (d, _) in enumerate(ordered)
    ]
    record["ebv"] = [float(np.mean(draws.ebv_mag[:, c] < e)) for c, (_, e) in enumerate(ordered)]
    # Under all numbers of clouds.
    truth = np.array([sum(e for d, e in clouds if d < node) for node in NODES_PC])
    band = fit.profile(NODES_PC)
    record["truth"] = truth.tolist()
    record["profile"] = profile_ranks(fit, truth, rng)
    record["mean"], record["std"] = band["mean"].tolist(), band["std"].tolist()
    record["ends"] = {name: band[name].tolist() for names in KINDS.values() for name in names}
    return record


def profile_ranks(fit: SightlineFit, truth: np.ndarray, rng: np.random.Generator) -> list[float]:
    """Rank the true profile among the draws of it; where many draws are the truth exactly, at random among them.

    One random number places the truth among its equals of all numbers of clouds together. One for each number of clouds would
    average, and the ranks crowd in the middle.
    """
    below, same = np.zeros(len(truth)), np.zeros(len(truth))
    for model in fit.models:
        values = model.draws.profile_mag(5.0 * np.log10(NODES_PC / 10.0))
        equal = np.abs(values - truth) < 1e-9
        below += model.probability * ((values < truth) & ~equal).mean(axis=0)
        same += model.probability * equal.mean(axis=0)
    return (below + rng.random(len(truth)) * same).tolist()


def summary(records: list[dict]) -> None:
    """Say what the sightlines found."""
    stars = np.array([r["n_stars"] for r in records])
    seconds = np.array([r["seconds"] for r in records])
    say(
        f"{len(records):,} sightlines of 0 to {MAX_CLOUDS} clouds from the fit's own prior, with {stars.min()} to {stars.max()} "
        f"stars. A fit took {np.median(seconds):.1f} s of a core beside others (median)."
    )
    ranked = {
        "distance of clouds": np.concatenate([r["distance"] for r in records]),
        "E(B-V) of clouds": np.concatenate([r["ebv"] for r in records]),
    } | {
        f"profile at {node:,.0f} pc": np.array([r["profile"][j] for r in records])
        for j, node in enumerate(NODES_PC)
    }
    say("Ranks of the truth. The band holds the whole distribution function of uniform ranks with 95 %.")
    rows = table(
        {"rank of": "", "number": ",", "largest deviation": ".3f", "band": ".3f", "inside": ""}
        | {f"inside {percent_of(s)} %": ".3f" for s in INTERVALS}
    )
    for name, rank in ranked.items():
        found = uniformity(np.asarray(rank))
        inside = [np.mean(np.abs(np.asarray(rank) - 0.5) < s / 2) for s in INTERVALS]
        rows.row(
            name, len(rank), found["deviation"], found["band"], "yes" if found["inside"] else "no", *inside
        )
    _odds(records)
    _intervals(records)


def _odds(records: list[dict]) -> None:
    probability = np.array([r["probability"] for r in records])
    true_n = np.array([len(r["clouds"]) for r in records])
    best = probability.argmax(axis=1)
    say(
        "Odds against frequencies: every sightline states a probability for each number of clouds. Its mean should be the share "
        "of those that have this number."
    )
    rows = table(
        {"stated probability": "", "statements": ",", "mean": ".3f", "found": ".3f", "standard error": ".3f"}
    )
    stated, true = probability.ravel(), (true_n[:, None] == np.arange(MAX_CLOUDS + 1)).ravel()
    edges = (0.0, 0.02, 0.1, 0.2, 0.35, 0.5, 0.7, 0.9, 1.0001)
    for low, high in zip(edges[:-1], edges[1:], strict=True):
        here = (stated >= low) & (stated < high)
        if here.any():
            error = np.sqrt(np.sum(stated[here] * (1.0 - stated[here]))) / here.sum()
            rows.row(
                f"{low:.2f} to {min(high, 1):.2f}", here.sum(), stated[here].mean(), true[here].mean(), error
            )
    most = probability.max(axis=1)
    error = np.sqrt(np.sum(most * (1.0 - most))) / len(most)
    say(
        f"The most probable number is right in {np.mean(best == true_n):.3f} of the sightlines, where {most.mean():.3f} "
        f"is stated (standard error {error:.3f}); it is too large in {np.mean(best > true_n):.3f}."
    )


def _intervals(records: list[dict]) -> None:
    truth = np.array([r["truth"] for r in records])
    say(
        "Intervals of the profile, averaged over the numbers of clouds: the share that holds the truth, and their mean width. "
        "Where there may be no dust in front of a distance, many draws are exactly 0, and an interval between quantiles holds "
        "more than its share."
    )
    rows = table(
        {"distance [pc]": ",", "interval": ""}
        | {f"inside {percent_of(share)} %": ".3f" for share in INTERVALS}
        | {f"width of {percent_of(share)} % [mag]": ".4f" for share in INTERVALS}
    )
    for j, node in enumerate(NODES_PC):
        for kind, names in KINDS.items():
            ends = np.array([[r["ends"][name][j] for name in names] for r in records]).reshape(
                len(records), -1, 2
            )
            inside = (
                (ends[:, :, 0] - 1e-9 <= truth[:, j, None]) & (truth[:, j, None] <= ends[:, :, 1] + 1e-9)
            ).mean(axis=0)
            width = (ends[:, :, 1] - ends[:, :, 0]).mean(axis=0)
            none = [None] * (len(INTERVALS) - len(inside))
            rows.row(node, kind, *inside, *none, *width, *none)
    certain = np.mean([np.array(r["ends"]["high68"]) <= 0.0 for r in records])
    say(
        f"{certain:.2f} of the shortest 68 % intervals are 0 to 0 mag: no dust has more than 68 %, and no interval can hold less."
    )


if __name__ == "__main__":
    numbered_benchmark(
        __doc__, one, summary, record="sightlines-ranks", out="sightline-ranks.jsonl", seed=SEED, count=1000,
    )  # fmt: skip
