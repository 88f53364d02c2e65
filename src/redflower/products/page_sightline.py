"""The page of a sightline: what is said, shown and tabulated."""

from typing import Any

import numpy as np
from astropy.table import Table

from redflower.calibrate.verdict import verdict_of
from redflower.plot.diagram import colour_magnitude_figure
from redflower.plot.sightline import (
    cloud_posterior_figure,
    odds_figure,
    reddening_histogram_figure,
    sightline_figure,
    star_sky_figure,
)
from redflower.products.page import verdict_fact
from redflower.products.words_clouds import cloud_facts, clouds_in_words, further_sentence, percent

_COMPARED_PC = (200, 300, 500, 800, 1200, 2000, 3000, 4000)


def sightline_page(
    numbers: dict[str, Any],
    *,
    clouds: Table,
    profile: Table,
    bins: Table,
    stars: Table,
    draws: Table,
    comparisons: Table,
) -> dict[str, Any]:
    """Make title, summary, figures and tables of a sightline's page from the saved results."""
    figures = {
        "reddening-distance": (
            "Reddening against distance, logarithmic: posterior means of the stars; fitted clouds averaged over their "
            "number; the non-decreasing profile without clouds. The curves start at the fitted foreground and follow "
            "its zero point, if that may drift.",
            sightline_figure(stars, profile, bins, clouds, comparisons, numbers, log=True),
        ),
        "reddening-distance-bins": (
            "The same on a linear axis, with the number of stars and their mean, the prior divided out, in bins of 500 pc "
            "(Figures 17 and 18 of O'Callaghan et al. 2025). The bins describe the stars; the fit does not use them.",
            sightline_figure(stars, profile, bins, clouds, comparisons, numbers, log=False),
        ),
        "clouds": (
            "Draws of the distance and E(B-V) of every cloud.",
            cloud_posterior_figure(draws, numbers),
        ),
        "odds": (
            "Probability of each number of clouds, all equally likely beforehand.",
            odds_figure(numbers),
        ),
        "histogram": (
            "Posterior means of the stars (Figure 16 of the paper).",
            reddening_histogram_figure(stars),
        ),
    }
    if {"l", "b"} <= set(stars.colnames):
        figures["sky"] = ("The stars on the sky.", star_sky_figure(stars))
    if {"gaia_g", "gaia_bp", "gaia_rp"} <= set(stars.colnames):
        figures["colour-magnitude"] = (
            "Observed colour-magnitude diagram, coloured by posterior mean E(B-V).",
            colour_magnitude_figure(stars, stars),
        )
    place = ""
    if numbers["l_deg"] is not None:
        place = f" towards l, b = {numbers['l_deg']:.2f}, {numbers['b_deg']:+.2f} deg"
    odds = [(n, percent(p), f"{numbers['log_evidence'][n]:.1f}") for n, p in numbers["probability"].items()]
    odds.append(("non-decreasing profile", "", f"{numbers['log_evidence_non_decreasing_profile']:.1f}"))
    tables = [
        (
            "Clouds of the most probable number of clouds\nPatchiness: how much a cloud's E(B-V) differs from star to star, as a "
            "share of its mean. Distance and E(B-V) are medians.",
            ("cloud", "distance [pc]", "68 %", "E(B-V) [mag]", "68 %", "patchiness"),
            [
                (
                    f"{row['cloud']}", f"{row['distance_pc_q50']:.0f}",
                    f"{row['distance_pc_q16']:.0f} - {row['distance_pc_q84']:.0f}", f"{row['ebv_mag_q50']:.3f}",
                    f"{row['ebv_mag_q16']:.3f} - {row['ebv_mag_q84']:.3f}", f"{row['patchiness_q50']:.2f}",
                )
                for row in clouds
            ],
        ),
        (
            "Number of clouds of any strength\nThe evidence is the probability of all stars' data under a number of clouds, the "
            "clouds themselves integrated out; a difference of 1 in its natural log is a factor of 2.7 in the odds. Those of 3 "
            "clouds and more are good to about 0.3. The last row has dust that only ever rises with distance, in no clouds.",
            ("clouds", "probability", "ln evidence"), odds,
        ),
        (
            "Probability of a number of clouds above a given E(B-V)\nWhatever the number of weaker ones: nothing rules them out.",
            ("E(B-V) at least", *(clouds_in_words(k) for k in range(len(numbers["probability"])))),
            [
                (f"{ebv} mag", *(percent(value) for value in values))
                for ebv, values in numbers["probability_of_clouds_above_mag"].items()
            ],
        ),
        (
            "Stars by posterior mean distance",
            ("distance [pc]", "stars", "mean E(B-V) [mag]"),
            [
                (
                    f"{row['distance_low']:.0f} - {row['distance_high']:.0f}", f"{row['n_stars']}",
                    f"{row['ebv_mean']:.3f} ± {row['ebv_error']:.3f}" if np.isfinite(row["ebv_error"]) else "-",
                )
                for row in bins
            ],
        ),
    ]  # fmt: skip
    if len(comparisons):
        tables.append(_compared(profile, comparisons, numbers))
    verdict = verdict_of(numbers["provenance"])
    return {
        "title": f"Dust along the line of sight{place}",
        "summary": further_sentence(numbers),
        "facts": [verdict_fact(verdict), *cloud_facts(numbers)],
        "verdict": verdict,
        "figures": figures,
        "tables": tables,
    }


def _compared(
    profile: Table, comparisons: Table, numbers: dict[str, Any]
) -> tuple[str, tuple[str, ...], list[Any]]:
    """Compare this fit with the others at a few distances; for stars, use the median within 20 %.

    What the fit calls a drift of the zero point belongs to its stars, not to the dust, and is left out.
    """
    of_row = np.asarray(comparisons["name"]).astype(str)
    parts = {name: comparisons[of_row == name] for name in dict.fromkeys(of_row.tolist())}
    nodes = np.asarray(profile["distance"], dtype=float)
    rows = []
    for at in _COMPARED_PC:
        if not nodes[0] <= at <= nodes[-1]:
            continue
        own = numbers["foreground_mag"] + np.interp(
            np.log(at), np.log(nodes), np.asarray(profile["ebv_mean"], dtype=float)
        )
        row = [f"{at:,}", f"{own:.3f}"]
        for part in parts.values():
            kind = str(part["kind"][0])
            distance, ebv = (np.asarray(part[c], dtype=float) for c in ("distance", "ebv"))
            if kind == "map":
                value = ebv[0]
            elif kind == "stars":
                near = np.abs(np.log(distance / at)) < np.log(1.2)
                value = np.nanmedian(ebv[near]) if near.any() else np.nan
            else:
                order = np.argsort(distance)
                value = np.interp(at, distance[order], ebv[order], left=np.nan, right=np.nan)
            row.append("-" if np.isnan(value) else f"{value:.3f}")
        rows.append(tuple(row))
    header = ("distance [pc]", "this fit", *(f"{name} ({part['kind'][0]})" for name, part in parts.items()))
    made = "; ".join(f"{name}: {part['conversion'][0]}" for name, part in parts.items())
    return (f"E(B-V) [mag] beside other sources, foreground included. Converted: {made}", header, rows)
