"""The fast engine against long NUTS runs, star by star.

Usage: python -m benchmarks.engine.agreement [--stars 560] [--model mock-sky] [--draws 800] [--seed 0] [--chains FILE]
           [--out FILE]

Half of the stars come from the mock sky behind clouds of many reddenings, with the surveys' errors; half are drawn from
the model with errors of every size. Each half has stars with 11, 8 and 3 bands, with and without their parallax, and E(B-V)
from 0 to 0.45 mag. Prints the table of docs/measured/inference.md; about a second a star on two cores. The chains are what takes
the time: with ``--chains FILE`` they are kept there, and read again if the file is of the same stars, model and draws.
"""

import argparse
import dataclasses
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from benchmarks.results import Table, recording, say, table
from tests.helpers.model_stars import draw_model_stars

import redflower
from redflower.catalogue import QualityLimits, default_distance_prior, to_stars
from redflower.flow import Model
from redflower.posterior import (
    InferenceSettings,
    NutsSettings,
    infer_stars,
    joint_density,
    make_target,
    sample_stars,
)
from redflower.posterior.keys import star_keys
from redflower.posterior.nuts.summaries import summarise_chains
from redflower.posterior.status import FAST, IMPORTANCE, NUTS
from redflower.star import Star

#: Bands and parallax of the stars: eight groups of equal size.
GROUPS = ((11, True), (11, True), (8, True), (8, True), (3, True), (11, False), (8, False), (3, False))
N_BINS = 24
#: A reference must have converged to judge by.
MAX_R_HAT, MIN_ESS = 1.02, 500.0


def mock_stars(model: Model, n: int, seed: int) -> Star:
    """Stars of the mock sky behind clouds that redden by 0 to 0.45 mag in all."""
    rng = np.random.default_rng(seed)
    tables = []
    for i in range(8):
        clouds = [(300.0, float(rng.uniform(0, 0.25))), (900.0, float(rng.uniform(0, 0.2)))]
        sky = redflower.simulate(
            max(4 * n // 8, 16), seed=seed + i, preset="cone", l_deg=60.0 + 35.0 * i, b_deg=22.0 + 7.0 * i, radius_deg=1.0,
            clouds=clouds if i else [], g_bright_mag=model.g_bright_mag, g_faint_mag=model.g_faint_mag,
        )  # fmt: skip
        limits = QualityLimits(model.g_bright_mag, model.g_faint_mag)
        tables.append(redflower.prepare(sky, purpose="inference", limits=limits).table)
    parts = [to_stars(table, default_distance_prior()).stars for table in tables]
    stars = jax.tree.map(lambda *a: np.concatenate([np.asarray(x) for x in a]), *parts)
    complete = np.flatnonzero(stars.observed.all(axis=1))
    rest = np.flatnonzero(~stars.observed.all(axis=1))
    rows = rng.permutation(np.concatenate([rng.permutation(complete)[: n // 2], rng.permutation(rest)])[:n])
    return jax.tree.map(lambda a: a[rows], stars)


def regroup(stars: Star) -> Star:
    """Hide bands and parallaxes group by group."""
    n = len(stars.parallax_mas)
    group = np.arange(n) % len(GROUPS)
    n_bands = np.array([g[0] for g in GROUPS])[group]
    observed = stars.observed & (np.arange(stars.observed.shape[1])[None, :] < n_bands[:, None])
    has_parallax = stars.has_parallax & np.array([g[1] for g in GROUPS])[group]
    return dataclasses.replace(stars, observed=observed, has_parallax=has_parallax)


def reference(model: Model, stars: Star, ids: np.ndarray, nuts: NutsSettings) -> tuple[dict, np.ndarray]:
    """Summaries of long chains, and their draws of E."""
    target = make_target(model, ebv_min_mag=-0.05, ebv_max_mag=0.5)
    columns: dict[str, list] = {}
    draws_of_e = []
    size = 64
    started = time.monotonic()
    for start in range(0, len(ids), size):
        rows = np.resize(np.arange(start, min(start + size, len(ids))), size)
        part = jax.tree.map(lambda a, rows=rows: jnp.asarray(a[rows]), stars)
        draws = sample_stars(target, part, star_keys(ids[rows], 5), nuts)
        kept = min(size, len(ids) - start)
        for name, values in summarise_chains(
            model, target, part, draws, np.full(size, target.ebv_max_mag)
        ).items():
            columns.setdefault(name, []).append(np.asarray(values)[:kept])
        draws_of_e.append(np.asarray(draws.ebv_mag).reshape(size, -1)[:kept])
        print(
            f"  {start + kept} stars by NUTS, {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True
        )
    return {k: np.concatenate(v) for k, v in columns.items()}, np.concatenate(draws_of_e)


def kept_reference(
    model: Model, stars: Star, ids: np.ndarray, nuts: NutsSettings, path: Path | None
) -> tuple[dict, np.ndarray]:
    """`reference`, read from a file if that has it already, else written there."""
    made_of = f"{model.model_id}, {nuts}, {ids[0]} to {ids[-1]}, {float(np.sum(stars.magnitude_mag)):.3f}"
    if path is not None and path.exists():
        with np.load(path) as kept:
            if str(kept["made_of"]) != made_of:
                raise SystemExit(f"{path} holds chains of {kept['made_of']}; asked for are {made_of}.")
            return {k: kept[k] for k in kept.files if k not in ("made_of", "draws")}, kept["draws"]
    columns, draws = reference(model, stars, ids, nuts)
    if path is not None:
        np.savez(path, made_of=np.array(made_of), draws=draws, **columns)
    return columns, draws


def jensen_shannon(density, draws: np.ndarray) -> np.ndarray:
    """Jensen-Shannon distance (base 2) between the stored marginals of E and the draws, in 24 bins of the prior's range."""
    edges = np.linspace(-0.05, 0.5, N_BINS + 1)
    nodes = density.ebv_nodes_mag()
    marginal = np.exp(density.log_density()).sum(axis=1)
    out = np.empty(len(draws))
    for i in range(len(draws)):
        if not np.isfinite(nodes[i]).all():  # a star that was not inferred
            out[i] = np.nan
            continue
        fine = np.linspace(nodes[i, 0], nodes[i, -1], 2000)
        log_p = np.interp(fine, nodes[i], np.log(np.maximum(marginal[i], 1e-12)))
        p, _ = np.histogram(fine, edges, weights=np.exp(log_p - log_p.max()))
        q, _ = np.histogram(draws[i], edges)
        p, q = p / p.sum(), q / q.sum()
        m = 0.5 * (p + q)
        with np.errstate(divide="ignore", invalid="ignore"):
            terms = 0.5 * np.nan_to_num(p * np.log2(p / m)) + 0.5 * np.nan_to_num(q * np.log2(q / m))
        out[i] = np.sqrt(max(terms.sum(), 0.0))
    return out


def report(lines: Table, rows: np.ndarray, name: str, fast: dict, nuts: dict, js: np.ndarray) -> None:
    """Add a row to the table."""
    if rows.sum() == 0:
        return
    shift = np.abs(fast["ebv_mean"] - nuts["ebv_mean"])[rows] / nuts["ebv_std"][rows]
    distance = np.abs(fast["distance_mean"] - nuts["distance_mean"])[rows] / nuts["distance_std"][rows]
    ratio = fast["ebv_std"][rows] / nuts["ebv_std"][rows]
    lines.row(
        name, rows.sum(), np.median(shift), np.percentile(shift, 95), (shift < 0.15).mean(),
        (np.abs(ratio - 1) < 0.1).mean(), np.percentile(ratio, 5), np.percentile(ratio, 95), np.median(distance),
        (distance < 0.15).mean(), np.median(js[rows]),
    )  # fmt: skip


def main() -> None:
    """Infer by both engines and compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stars", type=int, default=560)
    parser.add_argument("--model", default="mock-sky")
    parser.add_argument("--draws", type=int, default=800)
    parser.add_argument("--seed", type=int, default=0, help="of the fast engine")
    parser.add_argument("--chains", type=Path, help=".npz of the chains: read if it exists, else written")
    parser.add_argument("--out", type=Path, help=".npz with every number")
    arguments = parser.parse_args()
    model = redflower.load_model(arguments.model)
    half = arguments.stars // 2
    drawn = draw_model_stars(model, 2 * arguments.stars, 77, n_observed=11, ebv_limits_mag=(0.0, 0.45))[0]
    within = np.flatnonzero(drawn.magnitude_mag[:, 0] < model.g_faint_mag)[: arguments.stars - half]
    drawn = jax.tree.map(lambda a: a[within], drawn)  # dust dims the others out of the sample
    stars = jax.tree.map(
        lambda *a: np.concatenate([np.asarray(x) for x in a]),
        regroup(mock_stars(model, half, 500)),
        regroup(drawn),
    )
    n = len(stars.parallax_mas)
    ids = np.arange(900_000, 900_000 + n)
    cpu = time.process_time()
    fast = infer_stars(model, stars, ids, InferenceSettings(density=True, seed=arguments.seed))
    settled = ", ".join(f"{(fast['engine'] == word).sum()} by `{word}`" for word in (FAST, IMPORTANCE, NUTS))
    say(
        f"{n} stars, settled: {settled}. The fast engine took {time.process_time() - cpu:.0f} core-seconds with compilation."
    )
    long = NutsSettings(n_chains=4, n_warmup=300, n_draws=arguments.draws)
    nuts, draws = kept_reference(model, stars, ids, long, arguments.chains)
    js = jensen_shannon(joint_density(fast), draws)
    judged = (nuts["r_hat"] < MAX_R_HAT) & (nuts["ess"] > MIN_ESS) & np.isfinite(fast["ebv_mean"])
    say(
        f"The chains' median effective size is {np.median(nuts['ess']):,.0f}. {judged.sum()} stars whose chains converged are "
        f"judged (R-hat below {MAX_R_HAT}, effective size above {MIN_ESS:.0f}). Shifts are differences of means in units of the "
        "chains' standard deviation. The Jensen-Shannon distance is that of E in 24 bins, with the noise of the chains' draws."
    )
    lines = table(
        {
            "stars": "", "number": "d", "shift of E, median": ".3f", "95 %": ".3f", "share below 0.15": ".3f",
            "sigma within 10 %": ".3f", "sigma ratio, 5 %": ".3f", "sigma ratio, 95 %": ".3f", "shift of distance": ".3f",
            "its share below 0.15": ".3f", "Jensen-Shannon distance": ".3f",
        }
    )  # fmt: skip
    report(lines, judged, "all", fast, nuts, js)
    usable = judged & (fast["status"] == "ok")
    report(lines, usable, "status ok", fast, nuts, js)
    count = stars.observed.sum(axis=1)
    for n_bands in (11, 8, 3):
        for parallax in (True, False):
            label = f"up to {n_bands} bands, {'with' if parallax else 'no'} parallax"
            low = {11: 8, 8: 3, 3: 0}[n_bands]
            rows = (count > low) & (count <= n_bands) & (np.asarray(stars.has_parallax) == parallax)
            report(lines, judged & rows, label, fast, nuts, js)
    for engine in (FAST, IMPORTANCE):
        report(lines, judged & (fast["engine"] == engine), f"settled by {engine}", fast, nuts, js)
    outside = judged & (np.abs(fast["ebv_mean"] - nuts["ebv_mean"]) > 0.15 * nuts["ebv_std"])
    words, counts = np.unique(fast["status"][outside], return_counts=True)
    outside_words = ", ".join(f"{n} `{word}`" for word, n in zip(words, counts, strict=True)) or "none"
    say(f"Status of the stars outside 0.15 sigma: {outside_words}.")
    if arguments.out:
        np.savez(arguments.out, js=js, count=count, parallax=stars.has_parallax,
                 **{f"fast_{k}": v for k, v in fast.items()}, **{f"nuts_{k}": v for k, v in nuts.items()})  # fmt: skip


if __name__ == "__main__":
    with recording("agreement", seed=0):
        main()
