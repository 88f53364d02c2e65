"""The page of a whole run: three facts first, then one figure, then the rest."""

from typing import Any

from astropy.table import Table

from redflower.calibrate.verdict import Verdict, verdict_of
from redflower.plot.posteriors import (
    MANY_STARS,
    reddening_diagram,
    reddening_histogram,
    reddening_of_distance_figure,
    reddening_sky,
)
from redflower.posterior.usable import usable_rows
from redflower.products.page import Fact, verdict_fact
from redflower.products.words_clouds import cloud_facts


def run_page(numbers: dict[str, Any], *, posteriors: Table, bins: Table) -> dict[str, Any]:
    """Return what a run's page says, shows and tabulates, from what was saved.

    Parameters
    ----------
    numbers : of ``run.json``.
    posteriors : of the stars, with G, BP and RP beside where the stars have them.
    bins : mean reddening in bins of distance.
    """
    usable = posteriors[usable_rows(posteriors)]
    how = "A density of their posterior means" if len(usable) > MANY_STARS else "Posterior means with errors"
    figures = {
        "reddening-distance": (
            f"Reddening E(B-V) against distance of {len(usable):,} usable stars. {how}; squares: the mean of the stars in bins "
            "of distance, the prior of each star divided out.",
            reddening_of_distance_figure(usable, bins),
        ),
        "histogram": (
            "How E(B-V) of the usable stars is distributed; what lies beyond is in the last bins.",
            reddening_histogram(usable),
        ),
        "sky": ("The usable stars on the sky, Galactic coordinates.", reddening_sky(usable)),
    }
    if {"gaia_g", "gaia_bp", "gaia_rp"} <= set(posteriors.colnames):
        figures["diagram"] = (
            "Observed colour-magnitude diagram of the usable stars.",
            reddening_diagram(usable),
        )
    verdict = verdict_of(numbers["provenance"])
    return {
        "title": f"Dust in front of the stars of {numbers['table']}",
        "summary": "",
        "facts": facts(numbers, verdict),
        "verdict": verdict,
        "figures": figures,
        "links": [tuple(link) for link in numbers["links"]],
        "commands": numbers["commands"],
        "tables": _tables(numbers, bins),
    }


def facts(numbers: dict[str, Any], verdict: Verdict | None) -> list[Fact]:
    """Return the three facts: whether the model is right, how many stars can be used, and the dust."""
    first = verdict_fact(verdict, numbers["model_why"])
    n_bands = sum(count > 0 for count in numbers["bands"].values())
    second = Fact(
        "How many stars can be used?",
        f"{numbers['n_usable']:,} of {numbers['n_rows']:,}",
        f"{_lost(numbers)} {n_bands} of {len(numbers['bands'])} bands are there.",
    )
    return [first, second, _dust(numbers)]


def _lost(numbers: dict[str, Any]) -> str:
    """Say where each of the others went: none is lost without a word."""
    said = []
    repeated = numbers.get("n_repeated", 0)
    if repeated:
        said.append("1 row repeats a star." if repeated == 1 else f"{repeated:,} rows repeat a star.")
    cuts = [(c["before"] - c["after"], c) for c in numbers["cuts"] if c["after"] < c["before"]]
    if cuts:
        each = ", ".join(f"{n:,} by {c['name']} ({c['condition']})" for n, c in cuts)
        total = sum(n for n, _ in cuts)
        said.append(
            f"{total:,} {'was' if total == 1 else 'were'} cut: {each}; `left_out.parquet` names them."
        )
    doubtful = numbers["n_prepared"] - numbers["n_usable"]
    if doubtful:
        said.append(f"{doubtful:,} more cannot be used: the columns `status` and `flags` say why.")
    return " ".join(said or ["No star was cut, and all can be used."])


def _dust(numbers: dict[str, Any]) -> Fact:
    """Return the fact on the dust: clouds where they were looked for, else the mean."""
    mean = numbers["mean_reddening"]
    q16, q50, q84 = numbers["distance_pc"]
    level = f"E(B-V) = {mean['ebv_mag']:.3f} ± {mean['ebv_error_mag']:.3f} mag"
    place = f"Mean of the usable stars, whose distances are {q50:,.0f} pc in the median ({q16:,.0f} to {q84:,.0f} pc hold 68 %)"
    clouds = numbers.get("clouds")
    if clouds is None:
        return Fact("How much dust?", level, f"{place}. The error is statistical.")
    count, where = cloud_facts(clouds)
    return Fact(count.question, count.value, f"{where.value}. {where.note} {place}: {level}.")


def _tables(numbers: dict[str, Any], bins: Table) -> list[tuple[str, tuple[str, ...], list[tuple[str, ...]]]]:
    return [
        (
            "Mean reddening by distance (prior of the stars divided out)",
            ("distance [pc]", "stars", "mean E(B-V) [mag]"),
            [
                (
                    f"{row['distance_low']:,.0f} - {row['distance_high']:,.0f}", f"{row['n_stars']}",
                    f"{row['ebv_mean']:.3f} ± {row['ebv_error']:.3f}",
                )
                for row in bins
            ],
        ),
        ("Status of the stars", ("status", "stars", "meaning"), [(w, f"{n:,}", text) for w, n, text in numbers["statuses"]]),
        ("Cuts of `prepare`", ("cut", "stars must have", "before", "after"), [
            (c["name"], c["condition"], f"{c['before']:,}", f"{c['after']:,}") for c in numbers["cuts"]
        ]),
        ("Stars with each band", ("band", "stars"), [(label, f"{n:,}") for label, n in numbers["bands"].items()]),
    ]  # fmt: skip
