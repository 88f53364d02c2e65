"""What the map with neighbours costs: its parts timed on fields of three sizes, the largest of 100,000 stars.

    python -m benchmarks.speed.field [--stars 1000 10000 100000]

A chain climbs to the posterior's neighbourhood, chooses coordinates before every round, and draws; each of these is run at full
size, a draw several times, and multiplied by how often the default settings take it. Times are of the processor, all cores
together: chains run side by side, so that two cores take half as long where nothing else runs. Every size is a line of a file in
benchmarks/output, so that a run that was stopped goes on from there.
"""

import argparse
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from benchmarks.mock_skies import CENTRE, SHEETS
from benchmarks.numbered_runs import numbered_runs
from benchmarks.results import recording, say, table
from tests.helpers.fields import field_table

from redflower.api.field_maps import field_grid
from redflower.api.field_stars import open_field_stars
from redflower.field.engine import make_engine
from redflower.field.grid import SHELL_MAG
from redflower.field.pixels import fitting_nside, pixel_field
from redflower.field.posterior import field_data
from redflower.field.prior import FieldPrior
from redflower.field.result import FieldFit
from redflower.field.sampler import Draws, FieldSettings
from redflower.field.star_tables import tabulate_stars
from redflower.simulate import draw_dust_field
from redflower.sky_patch import SkyPatch

STARS_PER_SQUARE_DEG = 1000.0
N_DRAWS = 4
SEED = 1


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """Return what comes out and the processor's time. [s]"""
    began = time.process_time()
    found = jax.block_until_ready(work())
    return found, time.process_time() - began


def parts_of(n_stars: int, settings: FieldSettings) -> dict[str, float]:
    """Time the parts of a fit [s]; with them the numbers of shells and of cells of each."""
    size = float(np.sqrt(n_stars / STARS_PER_SQUARE_DEG))
    dust = draw_dust_field(SkyPatch(*CENTRE, size), SHEETS, seed=SEED)
    stars, _ = open_field_stars(field_table(n_stars, dust, seed=SEED))
    grid, prior = field_grid(stars, None, SHELL_MAG), FieldPrior()
    tables, of_tables = timed(lambda: tabulate_stars(stars.density, stars.ebv_range_mag))
    data = field_data(tables, stars.l_deg, stars.b_deg, stars.group, grid)
    engine = make_engine(prior, grid.n_shells, grid.shell_mag, 1)
    key = jax.random.PRNGKey(SEED)
    # These are done once, the compiler's work included, and so they are in a fit.
    start, of_climb = timed(lambda: engine.start(key, data))
    plain, of_plain = timed(lambda: engine.coordinates([start], data, answering=False))
    state = engine.begin(start, data, plain)
    fields, each = [], []
    for k in range(N_DRAWS + 1):
        (state, _), spent = timed(
            lambda k=k, s=state: engine.draw(s, data, plain, 0.05, settings.n_steps, jax.random.PRNGKey(k))
        )
        field, more = timed(lambda s=state: engine.field(s.at, data, plain))
        fields.append(field)
        each.append(spent + more)
    _, of_answer = timed(lambda: engine.coordinates(fields, data, answering=True))
    maps, numbers = zip(*[jax.tree.map(np.asarray, engine.map(f, data)) for f in fields], strict=True)
    draws = Draws(
        np.array(maps), jax.tree.map(lambda *a: np.array(a), *numbers), np.zeros(len(maps), int), 0, 1.0
    )
    fit = FieldFit(grid, prior, draws, n_stars)
    _, of_pixels = timed(
        lambda: pixel_field(
            fit, fitting_nside(grid.cell_deg), grid.edges_pc, stars.l_deg, stars.b_deg, stars.distance_pc,
            stars.ebv_error_mag,
        )
    )  # fmt: skip
    draw = float(np.median(each[1:]))
    n_all, kept = settings.n_all, settings.n_chains * settings.n_draws
    return {
        "shells": grid.n_shells,
        "cells": grid.n_cells**2,
        "draw": draw,
        "draws": n_all * draw,
        "coordinates": settings.n_chains * (of_climb + of_plain + settings.n_bursts * of_answer),
        "rest": of_tables + of_pixels * kept / len(maps),
    }


def one(k: int, sizes: list[int]) -> dict[str, float]:
    """Time a field of one size."""
    return {"k": k, **parts_of(sizes[k], FieldSettings())}


def summary(records: list[dict[str, float]], sizes: list[int]) -> None:
    """Tabulate the times of all sizes, and say how they grow."""
    settings = FieldSettings()
    say(
        "Stars of [small skies](#small-skies-of-many-kinds), {density:.0f} a square degree, in cells with 1.5 stars. A fit of "
        "the default effort whose chains agree at once: {chains} chains, {draws} draws in all, {steps} steps each. Times are of "
        "the processor, all cores together.",
        density=STARS_PER_SQUARE_DEG, chains=settings.n_chains, draws=settings.n_all, steps=settings.n_steps,
    )  # fmt: skip
    rows = table(
        {"stars": ",d", "square degrees": ".0f", "cells a shell": ",d", "shells": "d", "a draw [s]": ".3f",
         "all draws [min]": ".1f", "start and coordinates [min]": ".1f", "tables and pixels [min]": ".1f", "in all [min]": ".1f"}
    )  # fmt: skip
    found = []
    for record in sorted(records, key=lambda record: record["k"]):
        n = sizes[int(record["k"])]
        total = record["draws"] + record["coordinates"] + record["rest"]
        rows.row(
            n, n / STARS_PER_SQUARE_DEG, record["cells"], record["shells"], record["draw"], record["draws"] / 60.0,
            record["coordinates"] / 60.0, record["rest"] / 60.0, total / 60.0,
        )  # fmt: skip
        found.append((n, record["draw"], total))
    (few, quick, _), (many, slow, total) = found[-2:]
    say(
        "From {few:,} to {many:,} stars and as many times the area, a draw takes {times:.1f} times as long: a power of "
        "{power:.2f}. {many:,} stars on {area:.0f} square degrees take {minutes:.0f} minutes of one core, or {halved:.0f} of "
        "two on which nothing else runs, for the chains run side by side.",
        few=few, many=many, times=slow / quick, power=np.log(slow / quick) / np.log(many / few),
        area=many / STARS_PER_SQUARE_DEG, minutes=total / 60.0, halved=total / 120.0,
    )  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stars", type=int, nargs="+", default=[1000, 10_000, 100_000])
    arguments = parser.parse_args()
    wanted = sorted(arguments.stars)
    out = Path(f"benchmarks/output/field-cost-{'-'.join(map(str, wanted))}.jsonl")
    done = numbered_runs(partial(one, sizes=wanted), len(wanted), out, workers=1)
    with recording("field-cost", seed=SEED):
        summary(done, wanted)
