"""E(B-V) of real archive stars in Stripe 82, as a user gets it: prepare, infer, bins of distance, verdict.

    python -m benchmarks.real_stars.stripe82 DATA [--model archive-sky] [--g-faint 19] [--clouds]

DATA holds ``s82_gaiadr2_ps1.fits`` (Gaia DR2 and Pan-STARRS1 as released, (l, b) = (52.2, -33.5), 0.63 deg2) and its column
map. Half of its dwarfs redder than BP - RP = 1.15 had a part in the fit of the population's colours (scripts/field_dwarfs.py):
they are left out here. No star of it was trained on. Maps have E(B-V) of 0.042 to 0.059 mag there (SFD 0.0485,
HI4PI / 8.8e21 0.045, Planck 2013 0.059, Burstein & Heiles 0.042).
Writes docs/results/stripe82-MODEL.json, and the same as a page's fragment (.md).
"""

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
from benchmarks.results import circumstances

import redflower
from redflower.api import status_counts
from redflower.catalogue import QualityLimits
from redflower.flow import load_model
from redflower.posterior import InferenceSettings
from redflower.products.words_clouds import clouds_sentence
from redflower.provenance import META_KEY, VERSION

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))
from field_dwarfs import kept_out  # noqa: E402

#: Redder dwarfs are of class M, about.
M_DWARF_BP_RP_MAG = 1.8
EDGES_PC = (0, 300, 500, 1000, 2000, 3500, 5000, 20000)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", default="archive-sky")
    parser.add_argument("--g-faint", type=float, default=19.0)
    parser.add_argument("--clouds", action="store_true", help="fit the clouds too (minutes)")
    arguments = parser.parse_args()
    began = time.monotonic()
    prepared = redflower.prepare(
        arguments.data / "s82_gaiadr2_ps1.fits",
        purpose="inference",
        columns=arguments.data / "s82_columns.toml",
        photometry="gaia=dr2",
        zero_point=-0.029,
        limits=QualityLimits(g_faint_mag=arguments.g_faint),
    )
    colour = np.asarray(prepared.table["gaia_bp"], float) - np.asarray(prepared.table["gaia_rp"], float)
    out = kept_out(prepared.table["source_id"], colour)
    stars, colour = prepared.table[out], colour[out]
    model = load_model(arguments.model)
    post = redflower.infer(stars, model, settings=InferenceSettings(density=True))
    usable = redflower.usable_rows(post)
    ebv, distance = (np.asarray(post[name], dtype=float) for name in ("ebv_mean", "distance_mean"))
    bins = []
    for low, high in zip(EDGES_PC[:-1], EDGES_PC[1:], strict=True):
        here = usable & (distance > low) & (distance <= high)
        if here.sum() > 10:
            bins.append(
                {
                    "distance_pc": [low, high],
                    "stars": int(here.sum()),
                    "median_ebv_mag": round(float(np.median(ebv[here])), 4),
                    "error_mag": round(1.253 * float(ebv[here].std()) / float(np.sqrt(here.sum())), 4),
                }
            )
    within = [row for row in bins if row["distance_pc"][0] >= 300 and row["distance_pc"][1] <= 5000]
    medians = [row["median_ebv_mag"] for row in within]
    near = usable & (distance > 300) & (distance <= 5000)
    modulus = 5.0 * np.log10(distance[near] / 10.0)
    slope = np.polyfit(modulus, ebv[near], 1)[0]
    # The model's page says that M dwarfs, which are near, may not be published: their relation between colours is the weak spot.
    bluer = colour[near] < M_DWARF_BP_RP_MAG
    slope_of_bluer = np.polyfit(modulus[bluer], ebv[near][bluer], 1)[0]
    p_outlier = np.asarray(post["p_outlier"], dtype=float)
    result = {
        "command": f"python -m benchmarks.real_stars.stripe82 DATA --model {arguments.model} --g-faint {arguments.g_faint:g}"
        + (" --clouds" if arguments.clouds else ""),
        "redflower": VERSION,
        **circumstances(),
        "model": model.model_id,
        "of_the_fit": int((~out).sum()),
        "stars": len(post),
        "usable": int(usable.sum()),
        "median_ebv_mag": round(float(np.median(ebv[usable])), 4),
        "bins": bins,
        "half_range_of_bins_0.3_to_5_kpc_mag": round((max(medians) - min(medians)) / 2, 4),
        "drift_mag_per_mag": round(float(slope), 4),
        "drift_without_m_dwarfs_mag_per_mag": round(float(slope_of_bluer), 4),
        "outliers": round(float(np.nanmean(p_outlier)), 4),
        "status": status_counts(post),
        "engines": {
            str(word): int(count)
            for word, count in zip(
                *np.unique(np.asarray(post["engine"]).astype(str), return_counts=True), strict=True
            )
        },
        "verdict": post.meta[META_KEY]["verdict"],
        "seconds": round(time.monotonic() - began),
    }
    if arguments.clouds:
        result["clouds"] = clouds_sentence(redflower.sightline(post).summary)
    path = ROOT / "docs" / "results" / f"stripe82-{model.name}.json"
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    path.with_suffix(".md").write_text(fragment(result), encoding="utf-8")
    print(json.dumps(result, indent=1))


def fragment(result: dict) -> str:
    """Return the results as Markdown, which the documentation includes."""
    lines = [
        f"`{result['command']}`, model `{result['model']}`: {result['usable']:,} usable of {result['stars']:,} stars "
        f"({result['of_the_fit']:,} that had a part in the fit of the colours are left out), "
        f"median E(B-V) **{result['median_ebv_mag']:.3f} mag**.",
        "",
        "| distance [pc] | stars | median E(B-V) [mag] | error |",
        "|---|---|---|---|",
        *(
            f"| {row['distance_pc'][0]:,} to {row['distance_pc'][1]:,} | {row['stars']} | {row['median_ebv_mag']:.3f} | "
            f"{row['error_mag']:.3f} |"
            for row in result["bins"]
        ),
        "",
        f"Between 0.3 and 5 kpc the bins lie within {result['half_range_of_bins_0.3_to_5_kpc_mag']:.3f} mag of one "
        f"constant; E(B-V) drifts by "
        f"{result['drift_mag_per_mag']:+.4f} mag per magnitude of distance modulus, "
        f"without M dwarfs (BP - RP > {M_DWARF_BP_RP_MAG}) "
        f"{result['drift_without_m_dwarfs_mag_per_mag']:+.4f}; {result['outliers']:.1%} of the stars are not of "
        "the population. Status: "
        + ", ".join(f"{word} {count / result['stars']:.1%}" for word, count in result["status"].items())
        + ". Engines: "
        + ", ".join(f"{word} {count / result['stars']:.1%}" for word, count in result["engines"].items())
        + ".",
        "",
        "Verdict of `infer`:",
        "",
        *(
            f"- {'good' if line['good'] else '**bad**'}: {line['text']}"
            for line in result["verdict"]["lines"]
        ),
    ]
    if "clouds" in result:
        lines += ["", f"`redflower sightline`: {result['clouds']}"]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
