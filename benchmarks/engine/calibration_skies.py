"""Do planted offsets come back, and are their errors honest?

    python -m benchmarks.engine.calibration_skies [--skies 100] [--stars 2000]

Each sky is a mock sky of its own of low-dust stars (preset high-latitude, G < 18) in which every band is off by a number drawn
from 10 to 20 mmag with either sign, one band at a time in turn, in every third sky all bands at once; the dust is held by the
mock's map. `calibrate` must find them. A shift that all bands share is distance, and taken off before they are compared.
Writes docs/results/calibration-skies.json and .md. About 30 s of a core a sky.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
from benchmarks.results import circumstances

import redflower
from redflower.bands import BANDS
from redflower.flow import Model, load_model
from redflower.provenance import VERSION

ROOT = Path(__file__).resolve().parents[2]
SEED = 20261128
NAMES = [band.name for band in BANDS]


def planted_mag(sky: int, rng: np.random.Generator) -> np.ndarray:
    """Return what each band is off by: one band of 10 to 20 mmag in turn, or in every third sky all of them."""
    size = rng.uniform(0.010, 0.020, len(NAMES)) * rng.choice([-1.0, 1.0], len(NAMES))
    return size if sky % 3 == 0 else np.where(np.arange(len(NAMES)) == sky % len(NAMES), size, 0.0)


def one_sky(sky: int, n_stars: int, model: Model) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return planted and found offsets of all bands, and the stated errors of the latter. [mag]"""
    rng = np.random.default_rng([SEED, sky])
    raw = redflower.simulate(
        n_stars * 11 // 10, seed=SEED + sky, preset="high-latitude", g_faint_mag=18.0, include_truth=True
    )
    table = redflower.prepare(raw, purpose="inference").table[:n_stars]
    planted = planted_mag(sky, rng)
    for name, offset in zip(NAMES, planted, strict=True):
        table[name] = np.asarray(table[name], float) + offset
    table["ebv_map"] = np.asarray(table["true_ebv"], float)
    found = redflower.calibrate(table, model, max_stars=n_stars).offsets
    return planted, np.asarray(found.offset_mag), found.error_mag


def without_shift(difference_mag: np.ndarray, error_mag: np.ndarray) -> np.ndarray:
    """Take off what all bands share, which is distance and of no offset."""
    weight = error_mag**-2.0
    return difference_mag - (weight * difference_mag).sum() / weight.sum()


def summary(rows: list[tuple[np.ndarray, np.ndarray]], command: str, began: float) -> dict:
    """Return what the skies say together: differences found less planted, and their errors [mag]."""
    difference, error = (np.array(a) for a in zip(*rows, strict=True))
    z = difference / error
    return {
        "command": command,
        "redflower": VERSION,
        **circumstances(),
        "seed": SEED,
        "skies": len(rows),
        "offsets": int(difference.size),
        "share_within_2_mmag": round(float((np.abs(difference) < 0.002).mean()), 3),
        "largest_difference_mmag": round(1e3 * float(np.abs(difference).max()), 2),
        "rms_z": round(float(np.sqrt((z**2).mean())), 3),
        "within_1_error": round(float((np.abs(z) < 1.0).mean()), 3),
        "within_2_errors": round(float((np.abs(z) < 2.0).mean()), 3),
        "bands": {
            band.label: {
                "rms_difference_mmag": round(1e3 * float(np.sqrt((difference[:, i] ** 2).mean())), 2),
                "mean_difference_mmag": round(1e3 * float(difference[:, i].mean()), 2),
                "mean_stated_error_mmag": round(1e3 * float(error[:, i].mean()), 2),
                "rms_z": round(float(np.sqrt((z[:, i] ** 2).mean())), 2),
            }
            for i, band in enumerate(BANDS)
        },
        "seconds": round(time.monotonic() - began),
    }


def fragment(result: dict) -> str:
    """Return the results as Markdown, which the documentation includes."""
    lines = [
        f"`{result['command']}`: {result['skies']} skies, {result['offsets']:,} offsets. "
        f"{result['share_within_2_mmag']:.1%} come back within 2 mmag, the worst within "
        f"{result['largest_difference_mmag']:.1f}; in units of their stated errors they scatter by "
        f"{result['rms_z']:.2f}, {result['within_1_error']:.0%} lie within one and {result['within_2_errors']:.0%} within two.",
        "",
        "| band | found less planted, rms [mmag] | mean | stated error | rms in errors |",
        "|---|---|---|---|---|",
        *(
            f"| {label} | {row['rms_difference_mmag']:.2f} | {row['mean_difference_mmag']:+.2f} | "
            f"{row['mean_stated_error_mmag']:.2f} | {row['rms_z']:.2f} |"
            for label, row in result["bands"].items()
        ),
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    """Run, print, and write the results after every tenth sky."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--skies", type=int, default=100)
    parser.add_argument("--stars", type=int, default=2000)
    arguments = parser.parse_args()
    model = load_model("mock-sky")
    began = time.monotonic()
    rows: list[tuple[np.ndarray, np.ndarray]] = []
    command = (
        f"python -m benchmarks.engine.calibration_skies --skies {arguments.skies} --stars {arguments.stars}"
    )
    for sky in range(arguments.skies):
        planted, found, error = one_sky(sky, arguments.stars, model)
        rows.append((without_shift(found - planted, error), error))
        print(sky, np.round(1e3 * rows[-1][0], 1), np.round(1e3 * error, 2), flush=True)
        if sky % 10 == 9 or sky + 1 == arguments.skies:
            result = summary(rows, command, began)
            path = ROOT / "docs" / "results" / "calibration-skies.json"
            path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
            path.with_suffix(".md").write_text(fragment(result), encoding="utf-8")
            print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
