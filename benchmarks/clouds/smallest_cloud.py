"""The smallest second cloud that 345 stars find, and how often they find one that is not there.

    python -m benchmarks.clouds.smallest_cloud [--count 24] [--workers 2] [--out FILE] [--summary]

0.12 mag at 370 pc, and behind it a second cloud at 1,500 pc of none to 0.03 mag. 345 stars is what those who use polarisation
state (TRIShUL). A finding is where two clouds or more have odds beyond 9 to 1, or where they are merely more probable than not.
Every sightline is one line of JSON in the output file, and one that is there is not fitted again.
"""

import os
import time

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np  # noqa: E402
from benchmarks.clouds.sightline_calibration import EBV_RANGE_MAG, MAX_CLOUDS, NEAR, PRIOR  # noqa: E402
from benchmarks.numbered_runs import numbered_benchmark  # noqa: E402
from benchmarks.results import say, table  # noqa: E402

from redflower.sightline import fit_sightline  # noqa: E402
from redflower.validate.mock_sightlines import mock_sightline  # noqa: E402

SEED = 345
N_STARS = 345
FAR_PC = 1500.0
SECOND_MAG = (0.0, 0.005, 0.01, 0.015, 0.02, 0.03)


def one(k: int) -> dict:
    """Simulate and fit sightline k."""
    rng = np.random.default_rng([SEED, k])
    ebv_mag = SECOND_MAG[k % len(SECOND_MAG)]
    mock = mock_sightline(N_STARS, [NEAR, (FAR_PC, ebv_mag)] if ebv_mag else [NEAR], rng)
    began = time.process_time()
    fit = fit_sightline(mock.density, EBV_RANGE_MAG, rng, max_clouds=MAX_CLOUDS, prior=PRIOR, monotone=False)
    band = fit.profile(np.array([700.0, 2500.0]))
    return {
        "k": k,
        "ebv_mag": ebv_mag,
        "seconds": time.process_time() - began,
        "probability": [model.probability for model in fit.models],
        "rise_mag": float(band["mean"][1] - band["mean"][0]),
        "limit_mag": fit.limit_on_further_mag(1),
    }


def summary(records: list[dict]) -> None:
    """Say how often the second cloud is found."""
    count = len(records) / len(SECOND_MAG)
    say(
        f"{len(records)} sightlines of {N_STARS} stars behind {NEAR[1]} mag at {NEAR[0]:.0f} pc, and a second cloud at "
        f"{FAR_PC:,.0f} pc. A share of {count:.0f} has a standard error of {0.5 / np.sqrt(count):.2f} at most."
    )
    rows = table(
        {"second cloud [mag]": ".3f", "sightlines": "d", "mean P(N >= 2)": ".2f", "P(N >= 2) > 0.5": ".2f",
         "P(N >= 2) > 0.9": ".2f",
         "rise from 700 to 2,500 pc [mag]": ".4f", "its scatter [mag]": ".4f", "second strongest cloud below, 95 % [mag]": ".3f"}
    )  # fmt: skip
    shares = []
    for ebv_mag in SECOND_MAG:
        mine = [r for r in records if r["ebv_mag"] == ebv_mag]
        two = np.array([sum(r["probability"][2:]) for r in mine])
        rise = np.array([r["rise_mag"] for r in mine])
        shares.append([np.mean(two > 0.5), np.mean(two > 0.9)])
        rows.row(
            ebv_mag,
            len(mine),
            two.mean(),
            *shares[-1],
            rise.mean(),
            rise.std(),
            np.median([r["limit_mag"] for r in mine]),
        )
    likely, certain = (half_found_mag(np.array(shares)[:, j]) for j in (0, 1))
    say(
        f"Half of the second clouds are more probable than not from {likely} on, and have odds beyond 9 to 1 from {certain} on. "
        f"Where there is no second cloud, {shares[0][0]:.2f} and {shares[0][1]:.2f} of the sightlines say that there is one."
    )


def half_found_mag(share: np.ndarray) -> str:
    """Return in words from which E(B-V) on half of the clouds are found, between those that were tried."""
    above = np.flatnonzero(share >= 0.5)
    if not len(above):
        return f"more than {SECOND_MAG[-1]} mag"
    k = above[0]
    if k == 0:
        return "nothing"
    part = (0.5 - share[k - 1]) / (share[k] - share[k - 1])
    return f"{SECOND_MAG[k - 1] + part * (SECOND_MAG[k] - SECOND_MAG[k - 1]):.4f} mag"


if __name__ == "__main__":
    numbered_benchmark(
        __doc__, one, summary, record="sightlines-smallest", out="smallest-cloud.jsonl", seed=SEED, count=24,
        each=len(SECOND_MAG), count_help="sightlines of each strength",
    )  # fmt: skip
