"""Calibration of the cloud fit over simulated sightlines; what it prints is quoted in docs/measured/sightlines.md.

Usage: python -m benchmarks.clouds.sightline_calibration PART [--count N] [--seed S] [--out FILE] [--clouds N] [--least-stars N]
       [--only WORDS] [--drift SIGMA] [--effort N]

PART is one of
  prior    sightlines of 0 to 3 clouds drawn from the fit's own prior, 100 to 1,500 stars: odds and intervals;
           of one number of clouds with --clouds (intervals alone), of more stars with --least-stars
  paper    clouds at 370 pc (0.12 mag) and 1,250 to 2,140 pc (0.02 to 0.05 mag), and the first alone
  second   how often a second cloud at 1,500 pc is found, against its E(B-V) and the number of stars
  fooled   the paper's first cloud alone, with a wrong zero point, a wrong population, outliers, a gradient

and --drift SIGMA lets the fit's zero point change with distance modulus, and that of part prior's stars change so.

Every sightline is one line of JSON in the output file; a run that was cut short is summed up with --summary.
"""

import argparse
import json
import os
import time
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np  # noqa: E402
from benchmarks.results import recording, say, table

from redflower.constants import EBV_MAX_MAG, EBV_MIN_MAG  # noqa: E402
from redflower.sightline import DustPrior, TemperingSettings, fit_sightline, make_grid  # noqa: E402
from redflower.sightline.clouds import cloud_problem, clouds_at  # noqa: E402
from redflower.validate.mock_densities import SightlineStars  # noqa: E402
from redflower.validate.mock_sightlines import mock_sightline  # noqa: E402

EBV_RANGE_MAG = (EBV_MIN_MAG, EBV_MAX_MAG)
#: Compared; as many as part `prior` simulates, so that its odds can be checked.
MAX_CLOUDS = 3
NEAR = (370.0, 0.12)
#: Of every fit, and what part `prior` draws from. The mock stars reach beyond these distances at either end, so that the
#: fit does not draw them in: what is drawn is what is looked for.
PRIOR = DustPrior(distance_pc=(250.0, 3000.0))
#: Part `prior` leaves out sightlines with more dust than this, which the stars' reddening prior would cut; its summary takes
#: account of how many that are for each number of clouds.
TOTAL_MAX_MAG = 0.35
#: What changes in each way of being fooled.
FOOLED = {
    "nothing wrong": {},
    "zero point +0.02 mag": {"zero_point_mag": 0.02},
    "zero point -0.02 mag": {"zero_point_mag": -0.02},
    "zero point growing by 0.01 mag per mag of distance modulus": {"zero_point_per_modulus": 0.01},
    "reddening errors 1.3 times as large as stated": {"error_factor": 1.3},
    "5 % outliers": {"outlier_share": 0.05},
    "10 % outliers": {"outlier_share": 0.10},
    "gradient of +-30 % across the cone": {"gradient": 0.3},
    "gradient of +-60 % across the cone": {"gradient": 0.6},
    "patches of 40 %, normal as the fit has them": {"patchiness": 0.4},
    "patches of 40 %, lognormal": {"patchiness": 0.4, "lognormal_patches": True},
    "patches of 80 %, lognormal": {"patchiness": 0.8, "lognormal_patches": True},
}


def cases(
    part: str,
    prior: DustPrior,
    count: int,
    rng: np.random.Generator,
    only_clouds: int | None = None,
    least_stars: int = 100,
    only: str = "",
):
    """What to simulate: a label, the number of stars, the clouds, and keywords of `mock_sightline`."""
    for k in range(count):
        if part == "prior":
            n_stars = int(np.exp(rng.uniform(np.log(least_stars), np.log(1500))))
            n_clouds = k % 4 if only_clouds is None else only_clouds
            grid = make_grid(EBV_RANGE_MAG)
            while True:
                dust = clouds_at(cloud_problem_start(grid, prior, n_clouds, rng), prior, grid, n_clouds)
                clouds = [
                    (float(10 ** (1 + mu / 5)), float(e))
                    for mu, e in zip(dust.modulus_mag[0], dust.ebv_mag[0], strict=True)
                ]
                if sum(e for _, e in clouds) < TOTAL_MAX_MAG:
                    break
            yield (
                "prior",
                n_stars,
                clouds,
                {
                    "foreground_mag": float(dust.foreground_mag[0]),
                    "scatter_mag": float(dust.scatter_mag[0]),
                    "outlier_share": float(dust.outlier_share[0]),
                    "patchiness": [float(f) for f in dust.patchiness[0]],
                    "drift": float(dust.drift[0]),
                    "drifts_between_mag": dust.drifts_between_mag,
                },
            )
        elif part == "paper":
            n_stars = [150, 400, 1000][k % 3]
            far = (float(rng.uniform(1250, 2140)), float(rng.uniform(0.02, 0.05)))
            two = k % 2 == 0
            yield ("two clouds" if two else "one cloud"), n_stars, [NEAR, far] if two else [NEAR], {}
        elif part == "second":
            n_stars = [150, 400, 1000][k % 3]
            ebv = [0.01, 0.02, 0.03, 0.05, 0.08][(k // 3) % 5]
            yield "second", n_stars, [NEAR, (1500.0, ebv)], {}
        elif part == "fooled":
            labels = [name for name in FOOLED if only in name]
            label = labels[k % len(labels)]
            yield label, 500, [NEAR], dict(FOOLED[label])
        else:
            raise SystemExit(f"unknown part {part!r}")


def cloud_problem_start(grid, prior, n_clouds, rng, count=1):
    """Points of the prior."""
    return cloud_problem(_NoStars(grid), prior, n_clouds).start(count, rng)


def share_kept(n_clouds: int) -> float:
    """Share of the prior's sightlines of a number of clouds that part `prior` does not leave out."""
    if n_clouds == 0:
        return 1.0
    grid = make_grid(EBV_RANGE_MAG)
    points = cloud_problem_start(grid, PRIOR, n_clouds, np.random.default_rng(n_clouds), 20_000)
    return float((clouds_at(points, PRIOR, grid, n_clouds).ebv_mag.sum(axis=1) < TOTAL_MAX_MAG).mean())


class _NoStars:
    """Stands in for the stars where only the prior is drawn."""

    n_per_cloud = 3

    def __init__(self, grid) -> None:
        self.grid = grid


def one(label: str, n_stars: int, clouds, keywords, seed: int, prior: DustPrior, effort: int) -> dict:
    """Simulate and fit one sightline; a record of what came out."""
    rng = np.random.default_rng(seed)
    keywords = dict(keywords)
    factor = keywords.pop("error_factor", 1.0)
    mock = mock_sightline(n_stars, clouds, rng, stars=SightlineStars(), error_factor=factor, **keywords)
    started = time.process_time()
    usual = TemperingSettings()
    settings = replace(usual, n_moves=effort * usual.n_moves, n_final=effort * usual.n_final)
    fit = fit_sightline(
        mock.density,
        EBV_RANGE_MAG,
        rng,
        max_clouds=MAX_CLOUDS,
        prior=prior,
        settings=settings,
        monotone=False,
    )
    seconds = time.process_time() - started
    record = {
        "label": label,
        "n_stars": n_stars,
        "clouds": clouds,
        "seed": seed,
        "seconds": round(seconds, 2),
        "probability": [round(m.probability, 5) for m in fit.models],
        "log_evidence": [round(m.log_evidence, 3) for m in fit.models],
    }
    # Ranks of the truth under the model with the true number of clouds, and under the best one's profile.
    truth = fit.models[len(clouds)].draws if len(clouds) < len(fit.models) else None
    if truth is not None:
        ordered = sorted(clouds)
        record["rank_distance"] = [
            float(np.mean(10 ** (1 + truth.modulus_mag[:, k] / 5) < d)) for k, (d, _) in enumerate(ordered)
        ]
        record["rank_ebv"] = [float(np.mean(truth.ebv_mag[:, k] < e)) for k, (_, e) in enumerate(ordered)]
    nodes = np.array([250.0, 700.0, 1200.0, 2500.0])
    band = fit.profile(nodes)
    true_profile = np.array([sum(e for d, e in clouds if d < node) for node in nodes])
    record["profile_error"] = [round(float(v), 4) for v in band["mean"] - true_profile]
    record["profile_inside_68"] = [
        bool(lo <= t <= hi) for lo, t, hi in zip(band["q16"], true_profile, band["q84"], strict=True)
    ]
    record["profile_inside_90"] = [
        bool(lo <= t <= hi) for lo, t, hi in zip(band["q05"], true_profile, band["q95"], strict=True)
    ]
    best = fit.best
    record["best"] = best.n_clouds
    record["best_distance"] = [
        round(float(v)) for v in 10 ** (1 + np.median(best.draws.modulus_mag, axis=0) / 5)
    ]
    record["best_ebv"] = [round(float(v), 4) for v in np.median(best.draws.ebv_mag, axis=0)]
    return record


def summary(records: list[dict], part: str) -> None:
    """Print what the records say."""
    probability = np.array([r["probability"] for r in records])
    true_n = np.array([len(r["clouds"]) for r in records])
    best = np.array([r["best"] for r in records])
    if part == "prior":
        kept = np.array([share_kept(n) for n in range(MAX_CLOUDS + 1)])
        shares = ", ".join(f"{share:.3f}" for share in kept)
        say(f"Share of the prior's sightlines of 0 to 3 clouds that is simulated: {shares}.")
        probability = probability / kept
        probability /= probability.sum(axis=1, keepdims=True)
        best = probability.argmax(axis=1)
    seconds = np.array([r["seconds"] for r in records])
    stars = np.array([r["n_stars"] for r in records])
    say(
        f"{len(records)} sightlines of {stars.min():,} to {stars.max():,} stars. A fit took {np.median(seconds):.1f} s of one "
        f"core (median), {np.max(seconds):.1f} s at most."
    )
    if part == "prior":
        counts = table({"clouds": "d"} | {f"{m} most probable": "d" for m in range(MAX_CLOUDS + 1)})
        for n in range(4):
            counts.row(n, *(int(np.sum((true_n == n) & (best == m))) for m in range(MAX_CLOUDS + 1)))
        right = probability[np.arange(len(records)), true_n]

        more = np.array([probability[i, n + 1 :].sum() for i, n in enumerate(true_n)])
        said = probability.max(axis=1)
        odds = table({"what": "", "sightlines": "d", "stated": ".2f", "found": ".2f"})
        odds.row("most probable number is right", len(records), said.mean(), np.mean(best == true_n))
        for low, high in ((0.3, 0.6), (0.6, 0.9), (0.9, 1.01)):
            here = (said >= low) & (said < high)
            if here.any():
                odds.row(
                    f"the same, where its probability is {low:.1f} to {min(high, 1):.1f}", here.sum(), said[here].mean(),
                    np.mean(best[here] == true_n[here]),
                )  # fmt: skip
        say(
            f"More clouds than there are were the most probable number in {np.mean(best > true_n):.3f} of the sightlines. The "
            f"mean probability of more clouds than there are is {more.mean():.3f}, that of the truth {right.mean():.2f}."
        )
    if part in ("prior", "paper", "second", "fooled"):
        intervals = table(
            {
                "interval of": "",
                "number": "d",
                "inside 68 %": ".2f",
                "inside 90 %": ".2f",
                "inside 95 %": ".2f",
            }
        )
        for name, what in (("rank_distance", "distances of clouds"), ("rank_ebv", "E(B-V) of clouds")):
            ranks = np.array([v for r in records for v in r.get(name, [])])
            if len(ranks):
                inside = [np.mean(np.abs(ranks - 0.5) < half) for half in (0.34, 0.45, 0.475)]
                intervals.row(what, len(ranks), *inside)
        at_68, at_90 = (
            np.array([r[name] for r in records]).mean(axis=0)
            for name in ("profile_inside_68", "profile_inside_90")
        )
        for k, distance_pc in enumerate((250, 700, 1200, 2500)):
            intervals.row(f"the profile at {distance_pc:,} pc", len(records), at_68[k], at_90[k], None)
    if part in ("paper", "second", "fooled"):
        groups = sorted(
            {(r["label"], r["n_stars"], *(round(e, 3) for _, e in r["clouds"][1:])) for r in records}
            if part == "second"
            else {(r["label"], r["n_stars"]) for r in records}
        )
        rows = table(
            {"case": "", "stars": ",", "second cloud [mag]": ".2f", "sightlines": "d"}
            | {f"mean P({n})": ".2f" for n in range(MAX_CLOUDS + 1)}
            | {
                "two or more most probable": ".2f",
                "P(N >= 2) > 0.9": ".2f",
                "error at 1,200 pc [mag]": "+.3f",
            }
            | {"its scatter": ".3f", "error at 2,500 pc [mag]": "+.3f"}
        )
        for group in groups:
            chosen = [
                r
                for r in records
                if (
                    r["label"],
                    r["n_stars"],
                    *((round(e, 3) for _, e in r["clouds"][1:]) if part == "second" else ()),
                )
                == group
            ]
            p = np.array([r["probability"] for r in chosen])
            error = np.array([r["profile_error"] for r in chosen])
            rows.row(
                group[0], group[1], group[2] if len(group) > 2 else None, len(chosen), *p.mean(axis=0),
                np.mean([r["best"] >= 2 for r in chosen]), np.mean(p[:, 2:].sum(axis=1) > 0.9),
                error[:, 2].mean(), error[:, 2].std(), error[:, 3].mean(),
            )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=["prior", "paper", "second", "fooled"])
    parser.add_argument("--count", type=int, default=120)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--clouds", type=int, choices=range(MAX_CLOUDS + 1), help="of part prior: this many alone"
    )
    parser.add_argument("--least-stars", type=int, default=100, help="of part prior")
    parser.add_argument("--only", default="", help="of part fooled: the ways with these words alone")
    parser.add_argument("--drift", type=float, default=0.0, help="of the fit's prior [mag per mag]")
    parser.add_argument("--effort", type=int, default=1, help="how many times the sampler's usual moves")
    parser.add_argument("--out", type=Path, default=None)
    parser.add_argument("--summary", action="store_true", help="only sum up what the output file holds")
    arguments = parser.parse_args()
    out = arguments.out or Path("benchmarks/output") / f"sightlines-{arguments.part}.jsonl"
    out.parent.mkdir(parents=True, exist_ok=True)
    if not arguments.summary:
        rng = np.random.default_rng(arguments.seed)
        prior = replace(PRIOR, drift_std=arguments.drift)
        with out.open("w") as file:
            drawn = cases(
                arguments.part, prior, arguments.count, rng, arguments.clouds, arguments.least_stars,
                arguments.only,
            )  # fmt: skip
            for k, case in enumerate(drawn):
                file.write(
                    json.dumps(
                        one(*case, seed=1000 * arguments.seed + k, prior=prior, effort=arguments.effort)
                    )
                    + "\n"
                )
                file.flush()
    name = "drift" if arguments.drift and arguments.part == "paper" else arguments.part
    with recording(f"sightlines-{name}", seed=arguments.seed):
        summary([json.loads(line) for line in out.read_text().splitlines()], arguments.part)


if __name__ == "__main__":
    main()
