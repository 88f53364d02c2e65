"""What sightlines say together, in words."""

from typing import Any

import numpy as np

from redflower.products.page import Fact
from redflower.products.words_clouds import clouds_in_words, percent


def neighbours_facts(numbers: dict[str, Any]) -> list[Fact]:
    """Return what is said first: whether to trust it, how much is shared, and what changed.

    Parameters
    ----------
    numbers : of ``neighbours.json``.
    """
    lines = numbers["sightlines"]
    doubtful = [one["name"] for one in lines if not one["trusted"]]
    narrower = narrowing(numbers)
    changed = [
        f"{one['name']}: {clouds_in_words(one['most_probable_number'])}, was {one['most_probable_number_before']}"
        for one in lines
        if one["most_probable_number"] != one["most_probable_number_before"]
    ]
    low, high = numbers["shared_share_q16"], numbers["shared_share_q84"]
    near, far = numbers["searched_pc"]
    return [
        _trust(doubtful, len(lines), converged=numbers["converged"]),
        Fact(
            "How many clouds are at shared distances?",
            percent(numbers["shared_share"]),
            f"68 % range: {percent(low)} to {percent(high)}; any share is equally likely beforehand. Shared are distances of "
            f"{near:,.0f} to {far:,.0f} pc.",
        ),
        Fact(
            "How much better are distances?",
            "no cloud stands out" if narrower is None else f"ranges are {narrower:.2f} of what they were",
            "Median over the clouds of each sightline's most probable number, of ranges of 68 % in ln distance.",
        ),
        Fact(
            "Did numbers of clouds change?",
            f"in {len(changed)} of {len(lines)}" if changed else "no",
            "; ".join(changed) + "." if changed else "The most probable number of every sightline is what it was.",
        ),
    ]  # fmt: skip


def _trust(doubtful: list[str], n_lines: int, *, converged: bool) -> Fact:
    """Say whether what neighbours say is to be trusted."""
    question = "Is this to be trusted?"
    if not converged:
        note = "The chains do not agree: take more steps (--steps), which cost seconds."
        return Fact(question, "not yet", note, good=False)
    if not doubtful:
        note = "Enough draws of every fit agree with its neighbours. The fits themselves are judged on their own pages."
        return Fact(question, "yes", note, good=True)
    return Fact(
        question,
        f"not for {len(doubtful)} of {n_lines}",
        f"Too few draws of {', '.join(doubtful)} agree with the neighbours: keep what these sightlines say by themselves.",
        good=False,
    )


def narrowing(numbers: dict[str, Any]) -> float | None:
    """Return the median ratio of 68 % ranges of ln distance, after to before; None without any cloud."""
    ratios = [
        np.log(now["distance_pc_q84"] / now["distance_pc_q16"])
        / np.log(was["distance_pc_q84"] / was["distance_pc_q16"])
        for one in numbers["sightlines"]
        for was, now in zip(one["clouds_before"], one["clouds"], strict=True)
        if was["distance_pc_q84"] > was["distance_pc_q16"]
    ]
    return float(np.median(ratios)) if ratios else None


def neighbours_sentence(numbers: dict[str, Any]) -> str:
    """Say in words what was found, for a terminal."""
    return " ".join(f"{fact.question} {fact.value}. {fact.note}" for fact in neighbours_facts(numbers))
