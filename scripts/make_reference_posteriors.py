"""Make the frozen reference posteriors that every engine is tested against: long chains of 100 stars of all kinds.

Usage: python -m scripts.make_reference_posteriors OUT.parquet [--draws 3000]

The stars are of the mock sky behind clouds, E(B-V) from 0 to 0.26 mag and G from 13.6 to 18.9, with the surveys' errors. The
table holds all that a likelihood needs of a star, the distance prior at its place, and what four chains by NUTS found. Beside it
OUT.json has the checksum, the model and the settings. `tests/posterior/test_reference_posteriors.py` reads both from tests/data.
Some minutes of two cores. Make them again where the shipped mock-sky changes, and for nothing else: an engine that moved is what
they are there to find.
"""

import argparse
import json
from dataclasses import asdict, replace
from pathlib import Path

import jax
import numpy as np
from astropy.table import Table

import redflower
from redflower.bands import BANDS
from redflower.catalogue import QualityLimits, default_distance_prior, to_stars
from redflower.files import file_sha256
from redflower.posterior import InferenceSettings, NutsSettings, infer_stars
from redflower.provenance import VERSION
from redflower.star import Star

MODEL = "mock-sky"
#: Name, stars, bands (by place) that are hidden, and whether the parallax is.
KINDS = (
    ("all bands", 24, (), False),
    ("Gaia + PS1", 20, (8, 9, 10), False),
    ("Gaia alone", 12, tuple(range(3, 11)), False),
    ("all bands, no parallax", 10, (), True),
    ("Gaia + PS1, no parallax", 10, (8, 9, 10), True),
    ("Gaia alone, no parallax", 8, tuple(range(3, 11)), True),
    ("gaps: no BP, no r, no H", 10, (1, 4, 9), False),
    ("no Gaia photometry", 6, (0, 1, 2), False),
)
#: What is compared.
SUMMARIES = tuple(
    f"{name}_{what}"
    for name in ("ebv", "distance")
    for what in ("mean", "std", "q05", "q16", "q50", "q84", "q95")
)


def mock_table(seed: int) -> Table:
    """Return prepared stars of many directions, dusts and magnitudes."""
    rng = np.random.default_rng(seed)
    model, tables = redflower.load_model(MODEL), []
    for k in range(10):
        clouds = [(250.0, float(rng.uniform(0.0, 0.25))), (900.0, float(rng.uniform(0.0, 0.2)))]
        sky = redflower.simulate(
            400, seed=seed + k, preset="cone", l_deg=36.0 * k, b_deg=(22.0 + 6.0 * k) * (-1) ** k, radius_deg=1.5,
            clouds=clouds if k else [], g_bright_mag=13.6, g_faint_mag=18.9,
        )  # fmt: skip
        limits = QualityLimits(model.g_bright_mag, model.g_faint_mag)
        tables.append(redflower.prepare(sky, purpose="inference", limits=limits).table)
    names = [name for name in tables[0].colnames if all(name in t.colnames for t in tables)]
    return Table({name: np.concatenate([np.asarray(t[name]) for t in tables]) for name in names})


def chosen_stars(seed: int) -> tuple[Star, np.ndarray, np.ndarray, list[str]]:
    """Return stars of every kind with their identifiers, true reddenings and kinds: spread over G, each once."""
    rng = np.random.default_rng(seed)
    table = mock_table(seed)
    table.meta["redflower"] = {"stage": "prepared"}
    stars = jax.tree.map(np.asarray, to_stars(table, default_distance_prior()).stars)
    complete = rng.permutation(np.flatnonzero(stars.observed.all(axis=1) & stars.has_parallax))
    order = complete[np.argsort(stars.magnitude_mag[complete, 0], kind="stable")]
    n = sum(kind[1] for kind in KINDS)
    # Evenly over G, then dealt out to the kinds at random.
    rows = rng.permutation(order[np.linspace(0, len(order) - 1, n).round().astype(int)])
    stars = jax.tree.map(lambda a: a[rows], stars)
    observed, has_parallax = stars.observed.copy(), stars.has_parallax.copy()
    kinds: list[str] = []
    for name, count, hidden, no_parallax in KINDS:
        here = slice(len(kinds), len(kinds) + count)
        observed[here, list(hidden)] = False
        has_parallax[here] &= not no_parallax
        kinds += [name] * count
    stars = replace(stars, observed=observed, has_parallax=has_parallax)
    return stars, np.asarray(table["source_id"])[rows], np.asarray(table["true_ebv"], float)[rows], kinds


def main() -> None:
    """Write the table and its record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--draws", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=20)
    arguments = parser.parse_args()
    model = redflower.load_model(MODEL)
    stars, ids, true_ebv_mag, kinds = chosen_stars(arguments.seed)
    nuts = NutsSettings(n_chains=4, n_warmup=500, n_draws=arguments.draws)
    settings = InferenceSettings(engine="nuts", nuts=nuts, seed=arguments.seed)
    found = infer_stars(model, stars, ids, settings, progress=lambda n: print(f"{n} stars", flush=True))
    table = Table({"source_id": ids, "kind": kinds, "true_ebv": true_ebv_mag})
    for k, band in enumerate(BANDS):
        there = stars.observed[:, k]
        table[band.name] = np.where(there, stars.magnitude_mag[:, k], np.nan).astype(np.float32)
        table[f"{band.name}_error"] = np.where(there, stars.magnitude_error_mag[:, k], np.nan).astype(
            np.float32
        )
    for name in ("parallax_mas", "parallax_error_mas"):
        table[name] = np.where(stars.has_parallax, getattr(stars, name), np.nan).astype(np.float32)
    for name in ("l_deg", "b_deg", "prior_log_length_pc", "prior_alpha", "prior_beta"):
        table[name] = np.asarray(getattr(stars, name), np.float32)
    for name in (*SUMMARIES, "ebv_distance_corr", "log_evidence", "ess", "r_hat", "divergences"):
        table[name] = found[name].astype(np.float32)
    table["status"] = found["status"]
    print(
        table["kind", "true_ebv", "ebv_mean", "ebv_std", "ess", "r_hat", "divergences", "status"].pformat(
            max_lines=-1
        )
    )
    redflower.write_table(table, arguments.out, overwrite=True)
    record = {
        "sha256": file_sha256(arguments.out), "model": model.model_id, "redflower": VERSION, "seed": arguments.seed,
        "ebv_prior_mag": [settings.ebv_min_mag, settings.ebv_max_mag], "nuts": asdict(nuts), "n_stars": len(table),
    }  # fmt: skip
    arguments.out.with_suffix(".json").write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
