"""The page of a calibration: what is said, shown and tabulated."""

from typing import Any

import numpy as np
from astropy.table import Table

from redflower.plot.calibration import offsets_figure, p_fit_figure, residuals_figure

#: An offset is named in words where it is this many errors from 0, and larger than this. [-, mag]
_SIGNIFICANCE, _WORTH_MAG = 4.0, 0.004


def calibration_page(numbers: dict[str, Any], *, stars: Table, offsets: Table) -> dict[str, Any]:  # noqa: ARG001
    """Return title, summary, figures and tables of the page, from what was saved."""
    return {
        "title": "Photometric offsets of a sample",
        "summary": calibration_sentence(numbers),
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


def calibration_sentence(numbers: dict[str, Any]) -> str:
    """Return what came out, in words."""
    offset, error = np.array(numbers["offset_mag"]), np.array(numbers["error_mag"])
    worth = (np.abs(offset) > _WORTH_MAG) & (np.abs(offset) > _SIGNIFICANCE * error)
    named = [
        f"{label} is {abs(1e3 * o):.1f} +- {1e3 * e:.1f} mmag {'fainter' if o > 0 else 'brighter'}"
        for label, o, e, far in zip(numbers["labels"], offset, error, worth, strict=True)
        if far
    ]
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
