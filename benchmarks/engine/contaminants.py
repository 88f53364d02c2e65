"""What do quasars, blends and bad matches do to reddenings and clouds, with and without the outlier component?

    python -m benchmarks.engine.contaminants [--stars 1500] [--seed 1]

A mock sightline with two clouds, and the same with five stars in a hundred spoilt: two made quasars (no
parallax), two whose BP is too bright by 0.3 to 1 mag (a neighbour in the same window), one with the Pan-STARRS1 magnitudes
of another star. Writes docs/results/contaminants.json and .md. Five minutes.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import Table
from benchmarks.results import circumstances

import redflower
from redflower.bands import BANDS
from redflower.posterior import InferenceSettings
from redflower.provenance import VERSION

ROOT = Path(__file__).resolve().parents[2]
#: Of a quasar at redshift 1.5, relative to G. [mag]
QUASAR_MAG = {
    "gaia_bp": 0.25, "gaia_rp": -0.45, "ps1_g": 0.12, "ps1_r": -0.02, "ps1_i": -0.08, "ps1_z": -0.02, "ps1_y": -0.03,
    "tmass_j": -1.1, "tmass_h": -1.7, "tmass_ks": -2.4,
}  # fmt: skip
SHARES = {"quasar": 0.02, "blended BP": 0.02, "bad match": 0.01}


def spoil(table: Table, rng: np.random.Generator) -> tuple[Table, np.ndarray]:
    """Return a prepared table with contaminants, and what each row is: ``star`` or a key of `SHARES`."""
    spoilt, n = table.copy(), len(table)
    order, kind, start = rng.permutation(n), np.full(n, "star", dtype="<U12"), 0
    for name, share in SHARES.items():
        rows = order[start : start + round(share * n)]
        start += len(rows)
        kind[rows] = name
        if name == "quasar":
            for band, colour in QUASAR_MAG.items():
                noise = np.asarray(table[f"{band}_error"], float)[rows] * rng.standard_normal(len(rows))
                scatter = 0.1 * rng.standard_normal(len(rows))
                spoilt[band][rows] = np.asarray(table["gaia_g"], float)[rows] + colour + scatter + noise
            spoilt["parallax"][rows] = np.asarray(table["parallax_error"], float)[rows] * rng.standard_normal(
                len(rows)
            )
        elif name == "blended BP":
            spoilt["gaia_bp"][rows] -= rng.uniform(0.3, 1.0, len(rows))
        else:
            others = rng.permutation(n)[: len(rows)]
            for band in (b.name for b in BANDS if b.name.startswith("ps1")):
                for column in (band, f"{band}_error"):
                    spoilt[column][rows] = np.asarray(table[column], float)[others]
    return spoilt, kind


def outcome(table: Table, kind: np.ndarray, share: float, seed: int) -> dict[str, Any]:
    """Infer a table with a prior share of outliers, fit its sightline, and say what came out."""
    settings = InferenceSettings(density=True, outlier_share=share)
    post = redflower.infer(table, "mock-sky", settings=settings)
    called = np.asarray(post["p_outlier"], float) > 0.5
    usable = redflower.usable_rows(post)
    spoilt = kind != "star"
    error = np.asarray(post["ebv_mean"], float) - np.asarray(table["true_ebv"], float)
    fit = redflower.sightline(post, seed=seed, max_clouds=3)
    draws = fit.draws[np.asarray(fit.draws["n_clouds"]) == 2]
    clouds = [draws[np.asarray(draws["cloud"]) == k] for k in (1, 2)]
    return {
        "stars_called_outliers": round(float(called[kind == "star"].mean()), 4),
        "found": {
            name: round(float(called[kind == name].mean()), 3) for name in SHARES if (kind == name).any()
        },
        "expected_share": round(float(np.nansum(post["p_outlier"]) / len(post)), 4),
        "usable_contaminants": int((usable & spoilt).sum()),
        "of_them_off_by_more_than_0.05_mag": int((usable & spoilt & (np.abs(error) > 0.05)).sum()),
        "to_chains": int((np.asarray(post["engine"]).astype(str) == "nuts").sum()),
        "probability_of_two_clouds": round(float(fit.summary["probability"]["2"]), 3),
        "distance_pc": [round(float(np.median(c["distance"]))) for c in clouds],
        "ebv_mag": [round(float(np.mean(c["ebv"])), 4) for c in clouds],
    }


def main() -> None:
    """Run, print, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stars", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    began = time.monotonic()
    raw = redflower.simulate(
        arguments.stars, seed=arguments.seed, preset="two-cloud", g_faint_mag=18.0, include_truth=True
    )
    clean = redflower.prepare(raw, purpose="inference").table
    spoilt, kind = spoil(clean, np.random.default_rng(arguments.seed))
    stars = np.full(len(clean), "star")
    result = {
        "command": f"python -m benchmarks.engine.contaminants --stars {arguments.stars} --seed {arguments.seed}",
        "redflower": VERSION,
        **circumstances(),
        "stars": len(clean),
        "without contaminants": outcome(clean, stars, 0.01, arguments.seed),
        "with them, all taken for stars": outcome(spoilt, kind, 0.0, arguments.seed),
        "with them, outlier component": outcome(spoilt, kind, 0.01, arguments.seed),
        "seconds": round(time.monotonic() - began),
    }
    path = ROOT / "docs" / "results" / "contaminants.json"
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    path.with_suffix(".md").write_text(fragment(result), encoding="utf-8")
    print(json.dumps(result, indent=1))


def fragment(result: dict[str, Any]) -> str:
    """Return the results as Markdown, which the documentation includes."""
    cases = {name: case for name, case in result.items() if isinstance(case, dict)}
    rows = [
        f"| {name} | {case['expected_share']:.1%} | {case['stars_called_outliers']:.1%} | "
        + (", ".join(f"{kind} {share:.0%}" for kind, share in case["found"].items()) or "-")
        + f" | {case['usable_contaminants']}, {case['of_them_off_by_more_than_0.05_mag']} | {case['to_chains']} | "
        + "; ".join(
            f"{d:,} pc, {e:.3f} mag" for d, e in zip(case["distance_pc"], case["ebv_mag"], strict=True)
        )
        + f" | {case['probability_of_two_clouds']:.2f} |"
        for name, case in cases.items()
    ]
    head = (
        "| sample | share of outliers, found | stars called outliers | contaminants called so | contaminants left "
        "usable, and off by more than 0.05 mag | to chains | two clouds | their odds |"
    )
    return "\n".join(
        [
            f"`{result['command']}`, {result['stars']:,} stars:",
            "",
            head,
            "|---|---|---|---|---|---|---|---|",
            *rows,
            "",
        ]
    )


if __name__ == "__main__":
    main()
