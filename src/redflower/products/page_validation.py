"""The page of a validation experiment: what is said, shown and tabulated."""

from typing import Any

import numpy as np
from astropy.table import Table

from redflower.calibrate.verdict import verdict_of
from redflower.plot.ranks import cell_name, cells_figure, ranks_figure
from redflower.plot.validation import (
    calibration_figure,
    posterior_examples_figure,
    residual_distance_figure,
    residual_figure,
)
from redflower.products.page import NOT_JUDGED, Fact

_NUMBERS = ("10", "11", "12"), ("13", "14", "15")
#: A cell of the diagram counts as biased where its mean residual is this many standard errors from 0, and larger than
#: this. [-, mag]
_BIAS_SIGNIFICANCE, _BIAS_MAG = 3.0, 0.02


def validation_page(numbers: dict[str, Any], *, stars: Table) -> dict[str, Any]:
    """Make title, summary, figures and tables of the experiment's page from the saved results."""
    figures: dict[str, Any] = {}
    tables: list[tuple[str, tuple[str, ...], list[tuple[str, ...]]]] = []
    for k, n in enumerate(numbers["bands"]):
        rows = stars[np.asarray(stars["n_bands"]) == int(n)]
        examples, residuals, distances = _NUMBERS[k % 2]
        of_paper = f" (Figure {{}} of O'Callaghan et al. 2025), {n} bands."
        figures[f"posteriors-{n}"] = (
            f"Posteriors of stars along the diagram for every reddening{of_paper.format(examples)}",
            posterior_examples_figure(rows),
        )
        figures[f"residuals-{n}"] = (
            f"Residuals, and sigma and residual over the intrinsic diagram{of_paper.format(residuals)}",
            residual_figure(rows),
        )
        figures[f"distance-{n}"] = (
            f"Residuals against distance{of_paper.format(distances)}",
            residual_distance_figure(rows),
        )
    figures["calibration"] = (
        "How often the truth lies between the quantiles of the posterior, over what is expected (random reddenings): all bars "
        "of a calibrated engine lie within the dashes in 95 of 100 cases. Right: mean and standard deviation of the residuals in "
        "units of sigma, which should be 0 and 1.",
        calibration_figure(numbers),
    )
    for n, entry in numbers["bands"].items():
        tables.append((f"{n} bands", _HEADER, _rows(entry, numbers["paper"].get(n))))
        tables.append(
            (
                f"{n} bands, usable stars by known distance (at none the prior draws means up by 0.01 mag, by design)",
                ("distance [pc]", "posteriors", "mean residual", "mean sigma", "z mean", "z std", "inside 68 %"),
                [
                    (
                        _distances(b["low_pc"], b["high_pc"]), f"{b['n_used']}", f"{b['residual_mean']:+.4f}",
                        f"{b['sigma_mean']:.4f}", f"{b['z_mean']:+.2f}", f"{b['z_std']:.2f}", f"{b['inside_68']:.2f}",
                    )
                    for b in entry.get("by distance", [])
                ],
            )
        )  # fmt: skip
        tables.append(
            (
                f"{n} bands, where in the diagram point estimates are biased, and whether sigma covers it",
                ("BP - RP", "M_G", "stars", "mean residual", "mean sigma", "inside 68 %", "inside 90 %"),
                [
                    (
                        f"{c['bp_rp_mag'][0]:g} - {c['bp_rp_mag'][1]:g}", f"{c['m_g_mag'][0]:g} - {c['m_g_mag'][1]:g}",
                        f"{c['n_different_stars']}", f"{c['residual_mean']:+.3f}", f"{c['sigma_mean']:.3f}",
                        f"{c['inside_68']:.2f}", f"{c['inside_90']:.2f}",
                    )
                    for c in biased_cells(entry)
                ],
            )
        )  # fmt: skip
    simulations = numbers.get("simulations")
    if simulations:
        figures["ranks"] = (
            "Stars drawn from the model's own prior: where the truth lies among the draws of each posterior. A calibrated "
            "engine's curve is flat, and all of it lies within the band in 95 of 100 cases.",
            ranks_figure(simulations),
        )
        if simulations["cells"]:
            figures["cells"] = (
                "The same stars, cell by cell, with the number of stars of each and the scatter that chance gives.",
                cells_figure(simulations),
            )
        tables.append(("Simulated stars: ranks", _RANKS_HEADER, _rank_rows(simulations)))
        if "data_averaged" in simulations:
            tables.append(
                (
                    "Simulated stars: the mean of all posteriors of E(B-V) against the prior that they were drawn from",
                    ("E(B-V) [mag]", "posteriors", "prior", "error of the difference"),
                    _averaged_rows(simulations["data_averaged"]),
                )
            )
        tables.append(
            (
                "Simulated stars: cells whose mean is off by more than 0.01 mag, or that hold the truth too seldom or too often",
                ("cell", "inside 68 %", "by chance", "mean residual [mag]", "error"),
                [
                    (
                        cell_name(c), f"{c['inside_68']:.2f}", f"{c['error']:.2f}", f"{c['residual_mean']:+.4f}",
                        f"{c['residual_error']:.4f}",
                    )
                    for c in flagged_cells(simulations)
                ],
            )
        )  # fmt: skip
    tables.append(("Status", ("status", "posteriors"), [(w, f"{c}") for w, c in numbers["status"].items()]))
    return {
        "title": "Validation with synthetic reddening",
        "summary": "",
        "facts": validation_facts(numbers),
        "verdict": NOT_JUDGED if numbers["provenance"].get("resample") else verdict_of(numbers["provenance"]),
        "figures": figures,
        "tables": tables,
    }


#: Mean residuals up to this are as good as the paper's. [mag]
_GOOD_MAG = 0.01


def validation_facts(numbers: dict[str, Any]) -> list[Fact]:
    """Return what the page says first: is the engine calibrated, are the means right, do the intervals hold the truth."""
    facts = []
    simulations = numbers.get("simulations")
    if simulations:
        good = bool(simulations["good"])
        facts.append(
            Fact(
                "Are the posteriors calibrated?",
                "yes" if good else "no",
                simulations_sentence(simulations),
                good,
            )
        )
    scored = [
        (n, e["fixed steps together"]["usable"])
        for n, e in numbers["bands"].items()
        if "fixed steps together" in e
    ]
    if not scored:
        return facts
    n, most = scored[-1]
    means = "".join(f" With {m} bands {s['residual_mean']:+.3f} mag." for m, s in scored[:-1])
    shares = "".join(f" With {m} bands {100 * s['inside_68']:.0f} %." for m, s in scored[:-1])
    paper = numbers["paper"].get(n)
    beside = f", where the paper has {paper['residual']} mag" if paper else ""
    facts.append(
        Fact(
            "How far off are known reddenings in the mean?",
            f"{most['residual_mean']:+.3f} mag",
            f"Stars reddened by 0 to 0.4 mag, {n} bands{beside}.{means}",
            _mean_is_good(most, n_steps=len(numbers["bands"][n])),
        )
    )
    facts.append(
        Fact(
            "How often does the 68 % interval hold the truth?",
            f"{100 * most['inside_68']:.0f} %",
            f"Of {most['n_used']:,} posteriors with {n} bands; the 90 % interval in {100 * most['inside_90']:.0f} %.{shares}",
        )
    )
    return facts


def _mean_is_good(scores: dict[str, Any], n_steps: int) -> bool | None:
    """Return whether a mean residual is small; None where it is not, but stars are too few to tell."""
    mean, rms = abs(scores["residual_mean"]), scores["residual_rms"]
    if mean <= _GOOD_MAG:
        return True
    # Each star counts once: the residuals of one under several reddenings go together.
    error = rms / np.sqrt(max(scores["n_used"] / n_steps, 1.0))
    return False if mean > _BIAS_SIGNIFICANCE * error else None


def _distances(low_pc: float, high_pc: float) -> str:
    """Name a bin of distance; the last has no end. [pc]"""
    return f"beyond {low_pc:,.0f}" if high_pc >= 1e6 else f"{low_pc:,.0f} - {high_pc:,.0f}"


_HEADER = (
    "E(B-V) [mag]", "stars", "mean residual", "median", "mean sigma", "z mean", "z std", "inside 68 %", "inside 90 %",
    "paper: residual, sigma",
)  # fmt: skip


_RANKS_HEADER = ("quantity", "stars", "largest deviation", "band (95 %)", "calibrated", "inside 68 %")


#: Of eleven cells the furthest is beyond this many errors once in a hundred times.
_AVERAGED_SIGNIFICANCE = 3.5


def _averaged_rows(averaged: dict[str, Any]) -> list[tuple[str, ...]]:
    edges = averaged["edges_mag"]
    return [
        (f"{low:+.2f} to {high:+.2f}", f"{posterior:.4f}", f"{prior:.4f}", f"{error:.4f}")
        for low, high, posterior, prior, error in zip(
            edges[:-1], edges[1:], averaged["posterior"], averaged["prior"], averaged["error"], strict=True
        )
    ]


def _rank_rows(simulations: dict[str, Any]) -> list[tuple[str, ...]]:
    return [
        (
            name, f"{one['n']}", f"{one['deviation']:.3f}", f"{one['band']:.3f}", "yes" if one["inside"] else "NO",
            f"{one['inside_68']:.3f}",
        )
        for name, one in simulations["ranks"].items()
    ]  # fmt: skip


def flagged_cells(simulations: dict[str, Any]) -> list[dict[str, Any]]:
    """Find cells of simulated stars that are biased or miss the truth beyond chance."""
    return [
        cell
        for cell in simulations["cells"]
        if abs(cell["residual_mean"]) > max(0.01, _BIAS_SIGNIFICANCE * cell["residual_error"])
        or abs(cell["inside_68"] - 0.68) > max(0.05, _BIAS_SIGNIFICANCE * cell["error"])
    ]


def simulations_sentence(simulations: dict[str, Any]) -> str:
    """Say in words whether the posteriors of simulated stars are calibrated."""
    off = [name for name, one in simulations["ranks"].items() if not one["inside"]]
    n = next(iter(simulations["ranks"].values()))["n"]
    text = (
        f"Of {n:,} stars drawn from the model's own prior the ranks of "
        f"{', '.join(name for name in simulations['ranks'] if name not in off) or 'nothing'} are uniform"
    )
    if off:
        text += f", those of {', '.join(off)} ARE NOT"
    averaged = simulations.get("data_averaged")
    if averaged is not None:
        is_prior = averaged["worst"] < _AVERAGED_SIGNIFICANCE
        text += f"; the mean of their posteriors of E(B-V) {'is' if is_prior else 'IS NOT'} the prior"
    worst = simulations["worst_cell"]
    if worst is not None:
        inside = f"{100 * worst['inside_68']:.0f} +- {100 * worst['error']:.0f} %"
        text += f"; the cell furthest from 68 % is {cell_name(worst)}: {inside}"
    return text + "."


def biased_cells(entry: dict[str, Any]) -> list[dict[str, Any]]:
    """Find cells of the diagram whose mean residual is significant and larger than 0.02 mag, the largest first."""
    found = [
        cell
        for cell in entry.get("diagram", [])
        if abs(cell["residual_mean"]) > max(_BIAS_MAG, _BIAS_SIGNIFICANCE * cell["residual_error"])
    ]
    return sorted(found, key=lambda cell: -abs(cell["residual_mean"]))


def validation_sentence(numbers: dict[str, Any]) -> str:
    """Say in words how the results compare with the paper's."""
    parts = []
    for n, entry in numbers["bands"].items():
        together = entry.get("fixed steps together")
        if not together:
            continue
        scores = together["usable"]
        text = (
            f"{n} bands: mean residual {scores['residual_mean']:+.4f} mag, mean sigma {scores['sigma_mean']:.4f} mag, "
            f"z-scores of mean {scores['z_mean']:+.2f} and standard deviation {scores['z_std']:.2f}, the truth inside the "
            f"68 % interval of {100 * scores['inside_68']:.0f} % and inside the 90 % interval of "
            f"{100 * scores['inside_90']:.0f} % of {scores['n_used']} posteriors"
        )
        paper = numbers["paper"].get(n)
        if paper:
            text += f" (the paper: residual {paper['residual']} mag, sigma {paper['sigma']} mag)"
        parts.append(text)
    text = "Over the fixed reddenings together, stars that may enter a mean. " + ". ".join(parts) + "."
    # One plain verdict first.
    simulations = numbers.get("simulations")
    return f"{simulations_sentence(simulations)} {text}" if simulations else text


def _rows(entry: dict[str, Any], paper: dict[str, float] | None) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for name, both in entry.items():
        if name in ("by distance", "diagram"):
            continue
        for which in ("usable", "all"):
            s = both[which]
            if which == "all" and name not in ("fixed steps together", "random"):
                continue
            beside = (
                f"{paper['residual']}, {paper['sigma']}" if paper and name == "fixed steps together" else ""
            )
            rows.append(
                (
                    name if which == "usable" else f"{name}, all statuses", f"{s['n_used']}", f"{s['residual_mean']:+.4f}",
                    f"{s['residual_median']:+.4f}", f"{s['sigma_mean']:.4f}", f"{s['z_mean']:+.2f}", f"{s['z_std']:.2f}",
                    f"{s['inside_68']:.2f}", f"{s['inside_90']:.2f}", beside,
                )
            )  # fmt: skip
    return rows
