"""A page to explore posteriors by hand: linked plots in one file that needs no network."""

import html
from pathlib import Path
from typing import Any, Final

import numpy as np
from astropy.table import Table

from redflower.calibrate.verdict import verdict_of
from redflower.errors import InputError
from redflower.files import written_whole
from redflower.plot.linked import STAR_ELEMENT, LinkedPlots, linked_plots
from redflower.posterior.columns import DENSITY_COLUMNS
from redflower.posterior.density import joint_density
from redflower.posterior.usable import usable_rows
from redflower.products.page import verdict_block
from redflower.provenance import META_KEY

#: Of more stars so many are taken at random: a browser draws no more at ease, and a star takes half a kilobyte.
MOST_STARS: Final = 5000
_NEEDED: Final = (
    "source_id", "ebv_mean", "ebv_std", "ebv_q05", "ebv_q95", "distance_mean", "distance_std", "distance_q05", "distance_q95",
    "l", "b", "status", "flags",
)  # fmt: skip
_STYLE: Final = (
    "body{font:16px/1.5 system-ui,sans-serif;color:#222;max-width:84rem;margin:1.5rem auto;padding:0 1rem}"
    "h1{font-size:1.5rem;line-height:1.2;margin:.3rem 0}p{max-width:60rem;margin:.4rem 0}"
    ".plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,32rem),1fr));gap:1rem}"
    ".plots>div{min-width:0}.chosen{display:flex;flex-wrap:wrap;gap:.6rem 1rem;align-items:end;margin:.6rem 0}"
    "dl{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,12rem),1fr));gap:.3rem 1rem;margin:.4rem 0;"
    "min-height:7rem;align-content:start;font-variant-numeric:tabular-nums}"
    "dt{color:#555;font-size:.85rem}dd{margin:0;overflow-wrap:anywhere}"
    ".verdict{border-left:.4rem solid #888;background:#f5f5f5;padding:.4rem 1rem;margin:.6rem 0}"
    ".verdict p,.verdict ul{margin:.2rem 0}.right{border-color:#1a7f37}.wrong{border-color:#b3261e;background:#fdf1f0}"
)


def write_explorer(posteriors: Table, path: Path, *, title: str, seed: int = 0) -> int:
    """Write a page with linked plots of the usable stars, whole or not at all; return how many it shows.

    Parameters
    ----------
    posteriors : from `redflower.infer`, with ``gaia_g``, ``gaia_bp`` and ``gaia_rp`` beside for the diagram.
    path : the HTML file.
    title : the heading.
    seed : chooses the stars where there are more than `MOST_STARS`.

    Raises
    ------
    InputError
        If the table holds no posteriors, or no star that can be used.
    """
    lacking = [name for name in _NEEDED if name not in posteriors.colnames]
    if lacking:
        raise InputError(
            f"explore: the table holds no posteriors of redflower: it lacks {', '.join(lacking)}."
        )
    rows = np.flatnonzero(usable_rows(posteriors))
    if not len(rows):
        raise InputError(f"explore: none of {len(posteriors):,} stars can be used; see their status.")
    n_usable = len(rows)
    if n_usable > MOST_STARS:
        rows = np.sort(np.random.default_rng(seed).choice(rows, MOST_STARS, replace=False))
    shown = posteriors[rows]
    density = joint_density(shown) if set(DENSITY_COLUMNS) <= set(posteriors.colnames) else None
    text = _page(linked_plots(shown, density), posteriors, title, len(rows), n_usable)
    with written_whole(path) as part:
        part.write_text(text, encoding="utf-8")
    return len(rows)


def _page(plots: LinkedPlots, posteriors: Table, title: str, n_shown: int, n_usable: int) -> str:
    of = (
        f"{n_shown:,} usable stars"
        if n_shown == n_usable
        else f"{n_shown:,} of {n_usable:,} usable stars, taken at random"
    )
    elements: dict[str, Any] = dict(plots.elements)
    controls = "".join(elements.pop(name) for name in ("find", "previous", "next"))
    return "\n".join(
        [
            "<!doctype html><html lang='en'><head><meta charset='utf-8'>",
            "<meta name='viewport' content='width=device-width, initial-scale=1'>",
            f"<title>{html.escape(title)}</title><style>{_STYLE}</style>",
            plots.library,
            f"</head><body><h1>{html.escape(title)}</h1>",
            verdict_block(verdict_of(posteriors.meta.get(META_KEY, {}))),
            f"<p>{of} of {len(posteriors):,} rows. Click a star in any plot, or give its source_id: it is ringed in all of them, "
            "its posterior is drawn, and its numbers stand below. The shade is the joint density of distance and E(B-V); the "
            "cross spans 90 % of the probability of each. Scroll or pinch to zoom; the arrow in a circle goes back.</p>",
            f"<div class='chosen'>{controls}</div>",
            f"<dl id='{STAR_ELEMENT}' aria-live='polite'><div><dt>no star is chosen</dt><dd></dd></div></dl>",
            "<div class='plots'>",
            *(elements[name] for name in ("distance", "posterior", "sky", "diagram") if name in elements),
            "</div>",
            plots.script,
            "</body></html>",
        ]
    )
