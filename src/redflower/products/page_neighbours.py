"""The page of neighbouring sightlines: what is said, shown and tabulated."""

from typing import Any

from astropy.table import Table

from redflower.plot.neighbours import neighbours_figure
from redflower.products.words_neighbours import neighbours_facts


def neighbours_page(
    numbers: dict[str, Any],
    *,
    clouds: Table,
    odds: Table,
    density: Table,
    draws: Table,  # noqa: ARG001
) -> dict[str, Any]:
    """Make title, facts, the figure and tables of the page from the saved results."""
    lines = numbers["sightlines"]
    return {
        "title": f"Dust of {len(lines)} neighbouring sightlines",
        "summary": "",
        "facts": neighbours_facts(numbers),
        "figures": {
            "neighbours": (
                "Above: how the distances of clouds are distributed that sightlines share, median with 68 % and 90 %. Below: "
                "clouds of each sightline's most probable number, medians with ranges of 68 %, by the sightline alone and with "
                "its neighbours; of those with a hollow mark too few draws are left.",
                neighbours_figure(numbers, clouds, density),
            )
        },
        "tables": [
            (
                "Clouds of the most probable number\nMedians with ranges of 68 %. Draws: how many equally weighted draws count.",
                ("sightline", "cloud", "distance alone [pc]", "with neighbours [pc]", "E(B-V) alone [mag]",
                 "with neighbours [mag]", "draws", "trusted"),
                [
                    (
                        f"{row['sightline']}", f"{row['cloud']}", _range(row, "distance_pc", "_before", ".0f"),
                        _range(row, "distance_pc", "", ".0f"), _range(row, "ebv_mag", "_before", ".3f"),
                        _range(row, "ebv_mag", "", ".3f"), f"{row['effective_draws']:.0f}", "yes" if row["trusted"] else "no",
                    )
                    for row in clouds
                ],
            ),
            (
                "Probability of each number of clouds\nOf any strength, by the sightline alone and with its neighbours.",
                ("sightline", "clouds", "alone", "with neighbours"),
                [
                    (f"{row['sightline']}", f"{row['n_clouds']}", f"{row['probability_before']:.3f}", f"{row['probability']:.3f}")
                    for row in odds
                ],
            ),
        ],
    }  # fmt: skip


def _range(row: Any, name: str, when: str, form: str) -> str:
    """Write a median with its 68 % range."""
    middle, low, high = (format(row[f"{name}_{label}{when}"], form) for label in ("q50", "q16", "q84"))
    return f"{middle} ({low} - {high})"
