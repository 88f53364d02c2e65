"""The page of a calibration: what is said, shown and tabulated."""

from typing import Any

import numpy as np
from astropy.table import Table

from redflower.plot.calibration import offsets_figure, p_fit_figure, residuals_figure
from redflower.products.page import Fact

#: An offset is named in words where it is this many errors from 0, and larger than this. [-, mag]
_SIGNIFICANCE, _WORTH_MAG = 4.0, 0.004


def calibration_page(numbers: dict[str, Any], *, stars: Table, offsets: Table) -> dict[str, Any]:  # noqa: ARG001
    """Return title, summary, figures and tables of the page, from what was saved."""
    return {
        "title": "Photometric offsets of a sample",
        "summary": "",
        "facts": calibration_facts(numbers),
        "figures": {
            "offsets": (
                "Offset of every band, in the frame in which they are smallest; one standard error.",
                offsets_figure(numbers),
            ),
            "residuals": (
                "Median residual of every band given G and the bands before it, without the offsets (before) and with "
                "those of the half of the stars that a star is not in (after).",
                residuals_figure(stars, numbers),
            ),
            "p-fit": (
                "How probable the stars are under the model. Flat: they are the model's own. A "
                "peak at 0: stars that it does not know.",
                p_fit_figure(stars),
            ),
        },
        "tables": [
            (
                "Offsets",
                ("band", "sample - model [mmag]", "error [mmag]", "difference of halves [mmag]", "its error [mmag]"),
                [
                    tuple([label, *(f"{1e3 * v:+.1f}" if k != 1 and k != 3 else f"{1e3 * v:.1f}" for k, v in enumerate(row))])
                    for label, *row in zip(
                        numbers["labels"], numbers["offset_mag"], numbers["error_mag"],
                        numbers["halves"]["difference_mag"], numbers["halves"]["error_mag"], strict=True,
                    )
                ],
            ),
            (
                "Correlation of the offsets",
                ("", *numbers["labels"]),
                [
                    (label, *(f"{v:.2f}" for v in row))
                    for label, row in zip(numbers["labels"], numbers["correlation"], strict=True)
                ],
            ),
        ],
    }  # fmt: skip


def calibration_facts(numbers: dict[str, Any]) -> list[Fact]:
    """Return what the page says first: which bands are off, how well the stars fit, and what was taken for dust."""
    named = _bands_off(numbers)
    share, provenance = numbers["share_of_poor_fits"], numbers["provenance"]
    settled = "" if provenance["converged"] else f" The fit had not settled after {numbers['passes']} passes."
    return [
        Fact(
            "Is a band off the model's scale?",
            "no" if not named else f"{len(named)} of {len(numbers['labels'])}",
            (
                f"{'; '.join(named)}."
                if named
                else f"None by more than {1e3 * _WORTH_MAG:g} mmag with certainty."
            )
            + settled,
            not named,
        ),
        Fact(
            "Do the stars fit the model?",
            f"{share['after']:.1%} do not",
            f"With the offsets of the other half of the stars; {share['before']:.1%} without; 1 % expected. "
            f"{provenance['stars']:,} stars were used, {provenance['left_out']:,} left out.",
        ),
        Fact(
            "What was taken for dust?",
            "a map" if "no dust map" not in provenance["dust"] else "no map",
            f"{provenance['dust']}.",
        ),
    ]


def _bands_off(numbers: dict[str, Any]) -> list[str]:
    """Name the bands that are off with certainty, in words."""
    offset, error = np.array(numbers["offset_mag"]), np.array(numbers["error_mag"])
    worth = (np.abs(offset) > _WORTH_MAG) & (np.abs(offset) > _SIGNIFICANCE * error)
    return [
        f"{label} is {abs(1e3 * o):.1f} +- {1e3 * e:.1f} mmag {'fainter' if o > 0 else 'brighter'}"
        for label, o, e, far in zip(numbers["labels"], offset, error, worth, strict=True)
        if far
    ]


def calibration_sentence(numbers: dict[str, Any]) -> str:
    """Return what came out, in words."""
    named = _bands_off(numbers)
    text = (
        f"Against the model's scale {', '.join(named)}. "
        if named
        else f"No band is off by more than {1e3 * _WORTH_MAG:g} mmag with certainty. "
    )
    share, provenance = numbers["share_of_poor_fits"], numbers["provenance"]
    text += (
        f"{provenance['stars']:,} stars were used and {provenance['left_out']:,} left out. {share['before']:.1%} of the "
        f"stars fit the model worse than one in a hundred should; with the offsets of the other half of the stars "
        f"{share['after']:.1%}. Dust: {provenance['dust']}."
    )
    return (
        text
        if provenance["converged"]
        else f"{text} The fit had not settled after {numbers['passes']} passes."
    )
